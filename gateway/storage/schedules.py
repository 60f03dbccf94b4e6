"""Periodic work: one row a schedule, won by compare-and-set, so that each period runs in one process."""

from collections.abc import Iterable
from datetime import datetime

from sqlalchemy import BigInteger, ColumnElement, literal, select, update

from gateway.storage.columns import to_micros
from gateway.storage.engine import AsyncConnection, insert, now_micros
from gateway.storage.tables import schedules


async def ensure(conn: AsyncConnection, key: str, every_seconds: float, now: datetime | None = None) -> None:
    """Make sure that the schedule exists, due at once, and that a shortened period takes effect.

    ``key`` names it for all processes. ``now`` is the time; None is the database's.
    """
    time = _time(conn, now)
    await conn.execute(
        insert(conn, schedules).values(key=key, due_at=time).on_conflict_do_nothing(index_elements=[schedules.c.key])
    )
    latest = time + round(every_seconds * 1_000_000)
    await conn.execute(
        update(schedules).where(schedules.c.key == key, schedules.c.due_at > latest).values(due_at=latest)
    )


async def win(conn: AsyncConnection, key: str, every_seconds: float, now: datetime | None = None) -> bool:
    """Return whether this transaction runs the period that is due; the next one is due ``every_seconds`` from now."""
    time = _time(conn, now)
    won = await conn.execute(
        update(schedules)
        .where(schedules.c.key == key, schedules.c.due_at <= time)
        .values(due_at=time + round(every_seconds * 1_000_000))
        .returning(schedules.c.key)
    )
    return won.first() is not None


async def due(conn: AsyncConnection, keys: Iterable[str]) -> set[str]:
    """Return which of ``keys`` are due; a read only."""
    statement = select(schedules.c.key).where(schedules.c.key.in_(list(keys)), schedules.c.due_at <= now_micros(conn))
    return set((await conn.execute(statement)).scalars())


def _time(conn: AsyncConnection, now: datetime | None) -> ColumnElement[int]:
    return now_micros(conn) if now is None else literal(to_micros(now), BigInteger)
