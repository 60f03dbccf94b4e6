"""The log of deliveries as people read it: events to endpoints, and pushes to a CRM, with every attempt."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Literal

import msgspec
from sqlalchemy import Row, select, text

from gateway.storage.engine import AsyncConnection, among
from gateway.storage.tables import attempts, connections, deliveries, endpoints, events, tasks
from gateway_schemas.events import Attempt, Delivery, DeliveryState

PUSHES: dict[str, Literal["signup", "status"]] = {"push_signup": "signup", "push_status": "status"}
"""Task kinds that are shown as deliveries to a CRM."""

_IS_PUSH = text("tasks.kind in ('push_signup', 'push_status')")  # literal, so that the partial index is used
_STATES: dict[str, DeliveryState] = {
    "available": "waiting", "running": "waiting", "done": "delivered", "failed": "failed", "cancelled": "cancelled",
    "parked": "parked",
}  # fmt: skip


class Filter(msgspec.Struct, frozen=True, kw_only=True):
    """Which deliveries to show; what is null does not narrow.

    Attributes:
        account_id: Whose events and pushes.
        endpoints_of: Only endpoints that belong to this account (the host's own are left out).
        before: The end of the last id of the page before.
    """

    state: DeliveryState | None = None
    account_id: str | None = None
    endpoint_id: str | None = None
    endpoints_of: str | None = None
    before: str | None = None
    limit: int = 50


async def page(conn: AsyncConnection, wanted: Filter) -> list[Delivery]:
    """Return deliveries of both sorts, newest first."""
    found = await _event_deliveries(conn, wanted)
    if wanted.endpoint_id is None:
        found += await _pushes(conn, wanted)
    found.sort(key=lambda one: place(one[0].id), reverse=True)
    return await _with_attempts(conn, found[: wanted.limit])


async def get(conn: AsyncConnection, delivery_id: str) -> tuple[Delivery, str | None] | None:
    """Return one delivery, and the account that its endpoint belongs to (null: the host's)."""
    if delivery_id.startswith("tsk_"):
        row = (await conn.execute(_PUSH.where(tasks.c.id == delivery_id, _IS_PUSH))).one_or_none()
        if row is None:
            return None
        found, owner = _push(row, await _targets(conn, [row.account_id])), row.account_id
    else:
        sent = (await conn.execute(_EVENT_DELIVERY.where(deliveries.c.id == delivery_id))).one_or_none()
        if sent is None:
            return None
        found, owner = _event_delivery(sent), sent.owner
    return (await _with_attempts(conn, [found]))[0], owner


def place(delivery_id: str) -> str:
    """Return the time-ordered part of an id, by which both sorts are merged and paged."""
    return delivery_id.partition("_")[2]


_EVENT_DELIVERY = (
    select(
        deliveries.c.id, deliveries.c.account_id, deliveries.c.endpoint_id, deliveries.c.event_id, deliveries.c.state,
        deliveries.c.error, deliveries.c.created_at, deliveries.c.task_id, events.c.type, tasks.c.due_at,
        tasks.c.state.label("task_state"), tasks.c.error.label("task_error"), endpoints.c.account_id.label("owner"),
    )
    .join_from(deliveries, endpoints, endpoints.c.id == deliveries.c.endpoint_id)
    .outerjoin(events, events.c.id == deliveries.c.event_id)
    .outerjoin(tasks, tasks.c.id == deliveries.c.task_id)
)  # fmt: skip
_PUSH = select(
    tasks.c.id, tasks.c.kind, tasks.c.args, tasks.c.account_id, tasks.c.state, tasks.c.error, tasks.c.created_at,
    tasks.c.due_at, tasks.c.lane,
)  # fmt: skip


async def _event_deliveries(conn: AsyncConnection, wanted: Filter) -> list[tuple[Delivery, str]]:
    statement = _EVENT_DELIVERY
    for column, value in (
        (deliveries.c.state, wanted.state),
        (deliveries.c.account_id, wanted.account_id),
        (deliveries.c.endpoint_id, wanted.endpoint_id),
        (endpoints.c.account_id, wanted.endpoints_of),
    ):
        if value is not None:
            statement = statement.where(column == value)
    if wanted.before is not None:
        statement = statement.where(deliveries.c.id < f"dlv_{wanted.before}")
    rows = await conn.execute(statement.order_by(deliveries.c.id.desc()).limit(wanted.limit))
    return [_event_delivery(row) for row in rows]


async def _pushes(conn: AsyncConnection, wanted: Filter) -> list[tuple[Delivery, str]]:
    statement = _PUSH.where(_IS_PUSH)
    if wanted.state is not None:
        statement = statement.where(
            tasks.c.state.in_([name for name, shown in _STATES.items() if shown == wanted.state])
        )
    if wanted.account_id is not None:
        statement = statement.where(tasks.c.account_id == wanted.account_id)
    if wanted.before is not None:
        statement = statement.where(tasks.c.id < f"tsk_{wanted.before}")
    rows = await conn.execute(statement.order_by(tasks.c.id.desc()).limit(wanted.limit))
    found = rows.all()
    targets = await _targets(conn, {row.account_id for row in found})
    return [_push(row, targets) for row in found]


async def _targets(conn: AsyncConnection, account_ids: Iterable[str]) -> dict[tuple[str, str], str]:
    """Return the newest connection of each account and lane."""
    statement = (
        select(connections.c.id, connections.c.account_id, connections.c.integration, connections.c.identity)
        .where(among(conn, connections.c.account_id, account_ids), connections.c.identity.is_not(None))
        .order_by(connections.c.id)
    )
    rows = await conn.execute(statement)
    return {(row.account_id, f"vendor:{row.integration}:{row.identity}"): row.id for row in rows}


def _event_delivery(row: Row[*tuple[Any, ...]]) -> tuple[Delivery, str]:
    shown = Delivery(
        id=row.id,
        kind="event",
        account=row.account_id,
        target=row.endpoint_id,
        subject=row.event_id,
        type=row.type or "",
        state=row.state,
        attempts=[],
        created_at=row.created_at,
        next_attempt_at=_next(row.task_state, row.due_at),
        error=row.error or (row.task_error if row.state == "waiting" else None),
    )
    return shown, row.task_id


def _push(row: Row[*tuple[Any, ...]], targets: Mapping[tuple[str, str], str]) -> tuple[Delivery, str]:
    shown = Delivery(
        id=row.id,
        kind=PUSHES[row.kind],
        account=row.account_id,
        target=targets.get((row.account_id, row.lane), row.lane),
        subject=row.args["person"],
        type=row.kind,
        state=_STATES[row.state],
        attempts=[],
        created_at=row.created_at,
        next_attempt_at=_next(row.state, row.due_at),
        error=row.error,
    )
    return shown, row.id


def _next(task_state: str | None, due_at: datetime | None) -> datetime | None:
    return due_at if task_state == "available" else None


async def _with_attempts(conn: AsyncConnection, found: Sequence[tuple[Delivery, str]]) -> list[Delivery]:
    by_task = await _attempts(conn, [task_id for _, task_id in found])
    return [msgspec.structs.replace(one, attempts=by_task.get(task_id, [])) for one, task_id in found]


async def _attempts(conn: AsyncConnection, task_ids: Iterable[str]) -> dict[str, list[Attempt]]:
    statement = (
        select(attempts)
        .where(among(conn, attempts.c.task_id, task_ids))
        .order_by(attempts.c.task_id, attempts.c.number)
    )
    by_task: dict[str, list[Attempt]] = {}
    for row in await conn.execute(statement):
        attempt = Attempt(
            number=row.number,
            started_at=row.started_at,
            duration_ms=row.duration_ms,
            status=row.status,
            error=row.error,
            excerpt=row.excerpt,
        )
        by_task.setdefault(row.task_id, []).append(attempt)
    return by_task
