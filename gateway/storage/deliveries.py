"""Deliveries: one event on its way to one endpoint. The row is what people see; its task does the work.

A delivery keeps one task id for good: a replay starts the same task again, or stores it anew when it was pruned.
"""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import ColumnElement, Update, and_, bindparam, delete, func, select, update

from gateway.storage import endpoints as endpoint_rows
from gateway.storage.columns import new_id
from gateway.storage.endpoints import EndpointRow, lane_of, park_cause
from gateway.storage.engine import AsyncConnection, among, now_micros
from gateway.storage.events import EventRow
from gateway.storage.tables import deliveries, endpoints, events, tasks
from gateway.storage.tasks import NewTask, cancel_tasks, insert_tasks, park_available, release_parked
from gateway.storage.upsert import insert
from gateway.storage.writer import touch
from gateway_schemas.events import DeliveryState

KIND = "deliver"
PRIORITY, REPLAY_PRIORITY = 1, 3


class NewDelivery(msgspec.Struct, frozen=True):
    """An event that one endpoint is to receive."""

    endpoint_id: str
    event_id: str
    account_id: str


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


class Chosen(msgspec.Struct, frozen=True, kw_only=True):
    """Which deliveries a replay is about; what is null does not narrow.

    Attributes:
        account_id: Whose events.
        endpoints_of: Only endpoints that belong to this account (the host's own are left out).
    """

    endpoint_id: str | None = None
    account_id: str | None = None
    endpoints_of: str | None = None
    state: DeliveryState | None = None
    since: datetime | None = None
    until: datetime | None = None


COLUMNS = [deliveries.c[name] for name in DeliveryRow.__struct_fields__]
_EVENT = [events.c[name] for name in EventRow.__struct_fields__]
_WORK = (
    select(*COLUMNS, *endpoint_rows.COLUMNS, *_EVENT)
    .join_from(deliveries, endpoints, endpoints.c.id == deliveries.c.endpoint_id)
    .outerjoin(events, events.c.id == deliveries.c.event_id)
    .where(deliveries.c.id == bindparam("delivery"))
)


def task_for(
    delivery_id: str, task_id: str, endpoint_id: str, account_id: str, *, attempts: int, priority: int
) -> NewTask:
    """Return the task that carries a delivery."""
    return NewTask(
        id=task_id,
        kind=KIND,
        args={"delivery": delivery_id},
        lane=lane_of(endpoint_id),
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
        task_for(row["id"], row["task_id"], row["endpoint_id"], row["account_id"], attempts=attempts, priority=priority)
        for row in rows
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
    await park_available(conn, park_cause(endpoint_id), error, lane=lane_of(endpoint_id), kind=KIND)
    await conn.execute(_of(endpoint_id, "waiting").values(state="parked", error=error))


async def unpark(conn: AsyncConnection, endpoint_id: str) -> None:
    """Show what is parked for an endpoint as waiting again; ``release`` then makes it go out, bit by bit."""
    await conn.execute(_of(endpoint_id, "parked").values(state="waiting", error=None))


async def release(conn: AsyncConnection, endpoint_id: str, limit: int) -> int:
    """Make up to ``limit`` parked tasks of an endpoint due; return how many. Call again until it answers 0."""
    return await release_parked(conn, park_cause(endpoint_id), limit)


async def cancel_waiting(conn: AsyncConnection, endpoint_id: str, reason: str, now: datetime) -> None:
    """Give up what waits or is parked for an endpoint."""
    await cancel_tasks(conn, reason, lane=lane_of(endpoint_id), kind=KIND)
    await conn.execute(_of(endpoint_id, "waiting", "parked").values(state="cancelled", error=reason, finished_at=now))


def _of(endpoint_id: str, *states: DeliveryState) -> Update:
    return update(deliveries).where(deliveries.c.endpoint_id == endpoint_id, deliveries.c.state.in_(states))


# --- replay --------------------------------------------------------------------------------------------


async def count(conn: AsyncConnection, chosen: Chosen) -> int:
    """Return how many deliveries a replay would send."""
    statement = select(func.count()).select_from(deliveries.join(endpoints)).where(_replayable(chosen))
    return (await conn.execute(statement)).scalar_one()


async def choose(conn: AsyncConnection, chosen: Chosen, after_id: str, limit: int) -> list[str]:
    """Return the ids of deliveries that a replay sends, in order, those after ``after_id``."""
    statement = (
        select(deliveries.c.id)
        .select_from(deliveries.join(endpoints))
        .where(_replayable(chosen), deliveries.c.id > after_id)
        .order_by(deliveries.c.id)
        .limit(limit)
    )
    return list((await conn.execute(statement)).scalars())


async def undelivered(conn: AsyncConnection, endpoint_id: str, event_ids: Collection[str]) -> list[str]:
    """Return the ids of an endpoint's deliveries of these events that ended without success."""
    statement = select(deliveries.c.id).where(
        deliveries.c.endpoint_id == endpoint_id,
        among(conn, deliveries.c.event_id, event_ids),
        deliveries.c.state.in_(["failed", "cancelled"]),
    )
    return list((await conn.execute(statement)).scalars())


async def send_again(conn: AsyncConnection, ids: Collection[str], now: datetime, *, attempts: int) -> int:
    """Start deliveries anew with the whole schedule before them; return how many.

    One that is being sent at this moment is left alone.
    """
    found = [DeliveryRow(*row) for row in await conn.execute(select(*COLUMNS).where(among(conn, deliveries.c.id, ids)))]
    task_ids = [row.task_id for row in found]
    existing = await conn.execute(select(tasks.c.id, tasks.c.state).where(among(conn, tasks.c.id, task_ids)))
    states: dict[str, str] = dict(existing.all())
    again = [row for row in found if states.get(row.task_id) != "running"]
    restarted = await conn.execute(
        update(tasks)
        .where(among(conn, tasks.c.id, [row.task_id for row in again]), tasks.c.state != "running")
        .values(
            state="available",
            due_at=now_micros(conn),
            uncounted=tasks.c.attempt,
            max_attempts=attempts,
            priority=REPLAY_PRIORITY,
            error=None,
            park_cause=None,
            finished_at=None,
        )
        .returning(tasks.c.lane)
    )
    touch(conn, set(restarted.scalars()))
    pruned = [row for row in again if row.task_id not in states]
    await insert_tasks(
        conn,
        [
            task_for(row.id, row.task_id, row.endpoint_id, row.account_id, attempts=attempts, priority=REPLAY_PRIORITY)
            for row in pruned
        ],
        now,
    )
    await conn.execute(
        update(deliveries)
        .where(among(conn, deliveries.c.id, [row.id for row in again]))
        .values(state="waiting", error=None, finished_at=None)
    )
    return len(again)


def _replayable(chosen: Chosen) -> ColumnElement[bool]:
    conditions = [endpoints.c.removed_at.is_(None), endpoints.c.state == "enabled"]
    if chosen.endpoint_id is not None:
        conditions.append(deliveries.c.endpoint_id == chosen.endpoint_id)
    if chosen.account_id is not None:
        conditions.append(deliveries.c.account_id == chosen.account_id)
    if chosen.endpoints_of is not None:
        conditions.append(endpoints.c.account_id == chosen.endpoints_of)
    if chosen.state is not None:
        conditions.append(deliveries.c.state == chosen.state)
    if chosen.since is not None:
        conditions.append(deliveries.c.created_at >= chosen.since)
    if chosen.until is not None:
        conditions.append(deliveries.c.created_at < chosen.until)
    return and_(*conditions)


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
