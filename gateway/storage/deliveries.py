"""Deliveries: one event on its way to one endpoint. The row is what people see; its task does the work.

A delivery keeps one task id for good: a replay starts the same task again, or stores it anew when it was pruned.
"""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import Update, bindparam, delete, select, update

from gateway.storage import endpoints as endpoint_rows
from gateway.storage.columns import new_id
from gateway.storage.endpoints import EndpointRow, park_cause
from gateway.storage.engine import AsyncConnection, among
from gateway.storage.events import EventRow
from gateway.storage.tables import deliveries, endpoints, events
from gateway.storage.tasks import NewTask, cancel_tasks, insert_tasks, park_available, release_parked
from gateway.storage.upsert import insert
from gateway_schemas.events import DeliveryState

KIND = "deliver"
PRIORITY, REPLAY_PRIORITY = 1, 3


class NewDelivery(msgspec.Struct, frozen=True):
    """An event that one endpoint is to receive, by its lane."""

    endpoint_id: str
    event_id: str
    account_id: str
    lane: str


class DeliveryRow(msgspec.Struct, frozen=True):
    """A delivery as it stands."""

    id: str
    endpoint_id: str
    event_id: str
    account_id: str
    state: DeliveryState
    task_id: str
    created_at: datetime
    finished_at: datetime | None
    error: str | None


class Work(msgspec.Struct, frozen=True):
    """All that one attempt needs; the event is null when retention has deleted it."""

    delivery: DeliveryRow
    endpoint: EndpointRow
    event: EventRow | None


COLUMNS = [deliveries.c[name] for name in DeliveryRow.__struct_fields__]
_EVENT = [events.c[name] for name in EventRow.__struct_fields__]
_WORK = (
    select(*COLUMNS, *endpoint_rows.COLUMNS, *_EVENT)
    .join_from(deliveries, endpoints, endpoints.c.id == deliveries.c.endpoint_id)
    .outerjoin(events, events.c.id == deliveries.c.event_id)
    .where(deliveries.c.id == bindparam("delivery"))
)


def task_for(delivery_id: str, task_id: str, lane: str, account_id: str, *, attempts: int, priority: int) -> NewTask:
    """Return the task that carries a delivery."""
    return NewTask(
        id=task_id,
        kind=KIND,
        args={"delivery": delivery_id},
        lane=lane,
        account_id=account_id,
        priority=priority,
        max_attempts=attempts,
    )


async def add(
    conn: AsyncConnection, new: Sequence[NewDelivery], now: datetime, *, attempts: int, priority: int = PRIORITY
) -> int:
    """Store deliveries with their tasks; those that exist already are left alone. Return how many are new."""
    rows: list[dict[str, Any]] = [
        {
            "id": new_id("dlv"),
            "endpoint_id": one.endpoint_id,
            "event_id": one.event_id,
            "account_id": one.account_id,
            "state": "waiting",
            "task_id": new_id("tsk"),
            "created_at": now,
        }
        for one in new
    ]
    if not rows:
        return 0
    statement = insert(conn, deliveries).on_conflict_do_nothing(index_elements=["endpoint_id", "event_id"])
    stored = set((await conn.execute(statement.returning(deliveries.c.id), rows)).scalars())
    made = [
        task_for(row["id"], row["task_id"], one.lane, one.account_id, attempts=attempts, priority=priority)
        for row, one in zip(rows, new, strict=True)
        if row["id"] in stored
    ]
    await insert_tasks(conn, made, now)
    return len(made)


async def work(conn: AsyncConnection, delivery_id: str) -> Work | None:
    """Return a delivery with its endpoint (removed ones too) and event."""
    found = (await conn.execute(_WORK, {"delivery": delivery_id})).one_or_none()
    if found is None:
        return None
    values = tuple(found)
    first, second = len(COLUMNS), len(COLUMNS) + len(endpoint_rows.COLUMNS)
    endpoint = EndpointRow(**dict(zip(endpoint_rows.NAMES, values[first:second], strict=True)))
    event = None if values[second] is None else EventRow(*values[second:])
    return Work(DeliveryRow(*values[:first]), endpoint, event)


# --- states --------------------------------------------------------------------------------------------


async def mark(
    conn: AsyncConnection, delivery_id: str, state: DeliveryState, now: datetime, error: str | None = None
) -> None:
    """Give a delivery the state that its task has now."""
    finished_at = None if state in ("waiting", "parked") else now
    await conn.execute(
        update(deliveries)
        .where(deliveries.c.id == delivery_id)
        .values(state=state, error=error, finished_at=finished_at)
    )


async def park_waiting(conn: AsyncConnection, endpoint_id: str, error: str) -> None:
    """Keep what waits for an endpoint until it is enabled again."""
    parked = _of(endpoint_id, "waiting").values(state="parked", error=error)
    task_ids = list((await conn.execute(parked.returning(deliveries.c.task_id))).scalars())
    await park_available(conn, park_cause(endpoint_id), error, kind=KIND, ids=task_ids)


async def unpark(conn: AsyncConnection, endpoint_id: str) -> None:
    """Show what is parked for an endpoint as waiting again; ``release`` then makes it go out, bit by bit."""
    await conn.execute(_of(endpoint_id, "parked").values(state="waiting", error=None))


async def release(conn: AsyncConnection, endpoint_id: str, limit: int) -> int:
    """Make up to ``limit`` parked tasks of an endpoint due; return how many. Call again until it answers 0."""
    return await release_parked(conn, park_cause(endpoint_id), limit)


async def cancel_waiting(conn: AsyncConnection, endpoint_id: str, reason: str, now: datetime) -> None:
    """Give up what waits or is parked for an endpoint."""
    await cancel_waiting_of(conn, [endpoint_id], reason, now)


async def cancel_waiting_of(conn: AsyncConnection, endpoint_ids: Collection[str], reason: str, now: datetime) -> None:
    """Give up what waits or is parked for many endpoints, in a constant number of statements."""
    waiting = among(conn, deliveries.c.endpoint_id, endpoint_ids) & deliveries.c.state.in_(["waiting", "parked"])
    cancelled = update(deliveries).where(waiting).values(state="cancelled", error=reason, finished_at=now)
    task_ids = list((await conn.execute(cancelled.returning(deliveries.c.task_id))).scalars())
    await cancel_tasks(conn, reason, kind=KIND, ids=task_ids)


def _of(endpoint_id: str, *states: DeliveryState) -> Update:
    return update(deliveries).where(deliveries.c.endpoint_id == endpoint_id, deliveries.c.state.in_(states))


# --- retention -----------------------------------------------------------------------------------------


async def prune_deliveries(conn: AsyncConnection, before: datetime, limit: int = 1_000) -> int:
    """Delete up to ``limit`` deliveries made before ``before``, cancelling what still waits; return how many."""
    old = select(deliveries.c.id).where(deliveries.c.created_at < before)
    ids = list((await conn.execute(old.order_by(deliveries.c.created_at).limit(limit))).scalars())
    if ids:
        gone = await conn.execute(
            delete(deliveries).where(among(conn, deliveries.c.id, ids)).returning(deliveries.c.task_id)
        )
        await cancel_tasks(conn, "older than the retention", ids=list(gone.scalars()))
    return len(ids)
