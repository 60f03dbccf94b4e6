"""Sending deliveries again: which ones, and how their tasks start anew."""

from collections.abc import Collection
from datetime import datetime

import msgspec
from sqlalchemy import ColumnElement, and_, func, select, update

from gateway.storage import endpoints as endpoint_rows
from gateway.storage.deliveries import COLUMNS, REPLAY_PRIORITY, DeliveryRow, task_for
from gateway.storage.engine import AsyncConnection, among, now_micros
from gateway.storage.tables import deliveries, endpoints, tasks
from gateway.storage.tasks import insert_tasks
from gateway.storage.writer import touch
from gateway_schemas.events import DeliveryState


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
    lanes = await endpoint_rows.lanes_of(conn, {row.endpoint_id for row in pruned}) if pruned else {}
    await insert_tasks(
        conn,
        [
            task_for(
                row.id, row.task_id, lanes[row.endpoint_id], row.account_id, attempts=attempts, priority=REPLAY_PRIORITY
            )
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
