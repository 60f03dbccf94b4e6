"""What becomes of a vendor's call: proven, stored once, answered; then read, followed into the CRM, and reduced.

``accept`` runs inside the request and makes no call to anybody. ``Read`` runs in a task. A payload that we do not like
is no error of the vendor's: it is stored and answered like all others, since a refusal makes vendors stop calling.
"""

import hashlib
import hmac
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import structlog

from gateway.errors import Refused
from gateway.flows import mishaps
from gateway.flows.connections.opening import open_connection
from gateway.flows.contact_sync import hints as contact_hints
from gateway.flows.referrals import sightings
from gateway.flows.referrals.evidence import Looker, follow_hints
from gateway.flows.referrals.feeds import start_task
from gateway.flows.referrals.sightings import look_at
from gateway.flows.referrals.subscriptions import register_task
from gateway.flows.services import Services
from gateway.plugins import Integration
from gateway.sdk.connection import Connection
from gateway.sdk.errors import InvalidSignature
from gateway.sdk.inbound import InboundRequest
from gateway.storage import connections, inbound
from gateway.storage.connections import ConnectionRow
from gateway.storage.engine import AsyncConnection
from gateway.storage.inbound import NewInbound, Unread
from gateway.storage.running import Done, Handler, Outcome, TaskRun
from gateway.storage.tasks import NewTask, Task, insert_tasks
from gateway_schemas.records import RecordChange, RecordRef

__all__ = ["accept", "handlers", "look_at", "tasks_after_activation"]

BATCH = 200
"""Calls that one task reads."""

SUMMARISED = 50
"""Changes that a call's summary names."""

SECRET_HEADERS = frozenset({"authorization", "cookie", "proxy-authorization"})

_log = structlog.get_logger(__name__)


def tasks_after_activation(row: ConnectionRow, now: datetime) -> list[NewTask]:
    """Return what begins when a connection is active, or authorised again: subscriptions, and a reading of feeds."""
    return [register_task(row), start_task(row)]


# --- inside the request ----------------------------------------------------------------------------------


async def accept(
    services: Services, integration_key: str, connection_id: str, token: str, request: InboundRequest
) -> None:
    """Store a call for one connection, once, before it is answered.

    Raises:
        Refused: ``signature_invalid`` for an unknown connection, a wrong token or a wrong signature; nothing is stored.
    """
    integration = services.integrations.get(integration_key)
    row = await services.database.ask(_rows, connection_id)
    proof = hashlib.sha256(token.encode()).hexdigest()
    expected = row.inbound_token_hash if row is not None and row.integration == integration_key else None
    if not hmac.compare_digest(proof, expected or "-") or row is None or integration is None:
        raise unproven()
    if row.state == "disconnected" or row.identity is None or not integration.has("verify_webhook"):
        raise unproven()
    connection = await open_connection(services, row, person_waits=True)
    try:
        integration.hooks.verify_webhook(connection=connection, request=request)
    except InvalidSignature as error:
        raise unproven() from error
    call = new_call(services, integration, row, request, connections.lane(row))
    await services.database.writer.submit(store_calls, [call])


async def _rows(conn: AsyncConnection, ids: Sequence[str]) -> list[ConnectionRow | None]:
    """Return the connections of calls that came in together."""
    found = await connections.by_ids(conn, set(ids))
    return [found.get(one) for one in ids]


def unproven() -> Refused:
    """Return the refusal of a call that does not prove where it comes from; it does not say what is wrong."""
    return Refused("signature_invalid", "The URL, or the signature of the call, is not the one that was registered.")


def new_call(
    services: Services, integration: Integration, row: ConnectionRow | None, request: InboundRequest, lane: str
) -> NewInbound:
    """Return a call as it is stored: without the headers that carry credentials."""
    body_hash = hashlib.sha256(request.body).hexdigest()
    message = _message_id(integration, request)
    given = message if isinstance(message, str) and 0 < len(message) <= 120 else body_hash
    return NewInbound(
        integration=integration.key,
        connection_id=row.id if row is not None else None,
        account_id=row.account_id if row is not None else None,
        dedupe_key=f"{row.id if row is not None else integration.key}:{given}",
        request=InboundRequest(
            method=request.method,
            headers={name: value for name, value in request.headers.items() if name not in SECRET_HEADERS},
            query=request.query,
            body=request.body,
        ),
        body_hash=body_hash,
        lane=lane,
        received_at=services.clock.now(),
    )


def _message_id(integration: Integration, request: InboundRequest) -> str | None:
    if not integration.has("webhook_id"):
        return None
    try:
        return integration.hooks.webhook_id(request=request)
    except Exception:  # noqa: BLE001 - whatever the payload does to the plugin, the call is stored
        _log.exception("webhook.no_id", integration=integration.key)
        return None


async def store_calls(conn: AsyncConnection, calls: Sequence[NewInbound]) -> list[bool]:
    """Store the calls of all requests that wait, and one reading task a connection; return which calls are new."""
    now = max(call.received_at for call in calls)
    new = await inbound.store(conn, calls)
    await insert_tasks(conn, [_read_task(call) for call, is_new in zip(calls, new, strict=True) if is_new], now)
    return new


def _read_task(call: NewInbound) -> NewTask:
    if call.connection_id is None:
        key = f"app_calls:{call.integration}"
        return NewTask(
            kind="read_app_calls",
            args={"integration": call.integration},
            lane=call.lane,
            priority=1,
            unique_key=key,
            exclusive_key=key,
        )
    return read_task(call.connection_id, call.account_id, call.lane)


def read_task(connection_id: str, account_id: str | None, lane: str, refs: Sequence[RecordRef] = ()) -> NewTask:
    """Return the task that reads a connection's calls and follows hints to ``refs``; one without hints waits once."""
    return NewTask(
        kind="read_inbound",
        args={"connection": connection_id, "refs": list(refs)},
        lane=lane,
        account_id=account_id,
        priority=1,
        exclusive_key=f"inbound:{connection_id}",
        unique_key=None if refs else f"inbound:{connection_id}",
        max_attempts=5,
    )


# --- in the task -----------------------------------------------------------------------------------------


class Read:
    """Reads a connection's calls: turns each into changes, and follows those about our records into the CRM."""

    def __init__(self, services: Services) -> None:
        self._services = services

    async def run(self, run: TaskRun) -> Outcome:
        """Read one batch; another task follows while more waits."""
        async with self._services.database.read() as conn:
            row = await connections.get(conn, run.task.args["connection"])
            if row is None:
                return Done()
            # fewer after each failure, so that one call which cannot be followed is found out
            size = max(1, BATCH // 10 ** (run.task.tries - 1))
            waiting = await inbound.unread(conn, integration=row.integration, connection_id=row.id, limit=size)
        integration = self._services.integrations.get(row.integration)
        hints = [RecordRef(kind=one["kind"], id=one["id"]) for one in run.task.args.get("refs", ())]
        if row.state == "disconnected" or integration is None:
            return Done(self._forgetting(row, run.now()))
        if not waiting and not hints:
            return Done()
        try:
            connection = await open_connection(self._services, row, run=run)
            read = {one.id: _read(integration, connection, one) for one in waiting}
            changes = [
                *(change for some in read.values() for change in some or ()),
                *(RecordChange(ref=ref) for ref in hints),
            ]
            found = await follow_hints(
                self._services, row, Looker(integration, connection, run.now()), changes, "webhook"
            )
        except Exception as error:  # noqa: BLE001 - what it means is decided in one place
            return await mishaps.outcome_of(run, row, error)
        summaries = {call_id: _summary(some) for call_id, some in read.items()}

        async def apply(conn: AsyncConnection) -> None:
            now = run.now()
            await sightings.record(conn, self._services, row, found, now)
            await contact_hints.follow(conn, self._services, row, changes, now)
            await inbound.reduce(conn, summaries, now)
            if await inbound.any_unread(conn, integration=row.integration, connection_id=row.id):
                await insert_tasks(conn, [read_task(row.id, row.account_id, run.task.lane)], now)

        return Done(apply)

    def _forgetting(self, row: ConnectionRow, now: datetime) -> Any:
        async def apply(conn: AsyncConnection) -> None:
            await inbound.forget_connection(conn, row.id, now)

        return apply

    async def failed(self, conn: AsyncConnection, task: Task, error: str, now: datetime) -> None:
        """Give up the call that could not be followed and go on with the others; a sweep finds what it said."""
        row = await connections.get(conn, task.args["connection"])
        if row is None or task.args.get("refs"):
            return
        waiting = await inbound.unread(conn, integration=row.integration, connection_id=row.id, limit=1)
        await inbound.reduce(conn, {call.id: {"failed": True} for call in waiting}, now)
        if await inbound.any_unread(conn, integration=row.integration, connection_id=row.id):
            await insert_tasks(conn, [read_task(row.id, row.account_id, task.lane)], now)


def _read(integration: Integration, connection: Connection, call: Unread) -> list[RecordChange] | None:
    """Return what one call says; ``None`` when the plugin fails on it: one bad payload must not hold up the others."""
    try:
        return integration.hooks.read_webhook(connection=connection, request=call.request)
    except Exception:  # noqa: BLE001 - a bug of the plugin; the sweep finds what the call said
        _log.exception("webhook.unreadable", integration=integration.key, inbound_id=call.id)
        return None


def _summary(changes: Sequence[RecordChange] | None) -> dict[str, Any]:
    """Return what is kept of a call: ids, types and times; no payload."""
    if changes is None:
        return {"unreadable": True}
    said = [
        {
            "kind": one.ref.kind,
            "id": one.ref.id,
            "at": one.occurred_at,
            "facts": [fact.name for fact in one.facts],
            "deleted": one.deleted,
        }
        for one in changes[:SUMMARISED]
    ]
    return {"changes": said, "number": len(changes)}


def handlers(services: Services) -> dict[str, Handler]:
    """Return the handler of this flow's tasks."""
    return {"read_inbound": Read(services)}
