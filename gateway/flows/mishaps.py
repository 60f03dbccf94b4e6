"""What an error of a plugin means for the task that met it, in one place; what is special to a flow stands there."""

import re
from datetime import datetime

import structlog

from gateway.flows.campaigns import attention
from gateway.flows.connections import reauth
from gateway.sdk import errors
from gateway.storage.campaigns import SetupRow
from gateway.storage.connections import ConnectionRow
from gateway.storage.engine import AsyncConnection
from gateway.storage.running import Apply, Hold, LostLease, Outcome, Park, Retry, TaskRun, backoff_seconds

_ADDRESS = re.compile(r"[^\s@<>\"'(),;:\\/=]+@[^\s@<>\"'(),;:\\/=]+\.[^\s@<>\"'(),;:\\/=]+")
_log = structlog.get_logger()

MISCONFIGURED_SECONDS = 600.0
"""How long to wait while the operator mends the settings; no signup is lost over it."""


def scrubbed(text: str, limit: int = 1_000) -> str:
    """Return the text without e-mail addresses: errors are kept, shown and logged."""
    return _ADDRESS.sub("…@…", text)[:limit]


async def outcome_of(run: TaskRun, row: ConnectionRow, error: BaseException, *, settle_seconds: float = 0.0) -> Outcome:
    """Return what becomes of a task after an error that is not special to its flow.

    Args:
        run: The attempt.
        row: The connection that was used.
        error: What a plugin raised; anything that is no ``PluginError`` is a bug.
        settle_seconds: After this long, what may have been done is visible at the vendor.

    Raises:
        LostLease: Another process owns the lane; the work stops.
    """
    said = scrubbed(f"{type(error).__name__}: {error}")
    match error:
        case LostLease():
            raise error
        case errors.RetryLater():
            if error.lane_wide:
                await run.pause_lane(error.after_seconds)
            return Retry(error=said, after_seconds=error.after_seconds, counts=False)
        case errors.ReauthRequired():
            return Hold(cause="needs_reauth", apply=_mark_needs_reauth(row, said, run.now()))
        case errors.OutcomeUnknown():
            return Retry(error=said, after_seconds=max(settle_seconds, backoff_seconds(run.task.tries)))
        case errors.Misconfigured():
            _log.error("integration.misconfigured", integration=row.integration, connection_id=row.id, error=said)
            return Retry(error=said, after_seconds=MISCONFIGURED_SECONDS, counts=False)
        case _:
            _log.warning("task.retried", kind=run.task.kind, task_id=run.task.id, connection_id=row.id, error=said)
            return Retry(error=said)


def _mark_needs_reauth(row: ConnectionRow, reason: str, now: datetime) -> Apply:
    async def write(conn: AsyncConnection) -> None:
        await reauth.mark_needs_reauth(conn, row, reason, now)

    return write


def mapping_broken(setup: SetupRow, error: errors.MappingBroken, now: datetime, apply: Apply | None = None) -> Outcome:
    """Say that a setup needs attention, and park the task until it is mended."""

    async def write(conn: AsyncConnection) -> None:
        await attention.mark_needs_attention(conn, setup, attention.problems_of(setup, error), now)
        if apply is not None:
            await apply(conn)

    return Park(cause=attention.park_cause(setup.id), error=scrubbed(str(error)), apply=write)
