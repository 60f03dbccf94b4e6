"""Lanes: one owner at a time runs the tasks of a vendor tenant, an endpoint, or the gateway itself.

An owner holds a lease that it renews; each change of owner raises the epoch. All that is written about a task first
checks ``owned``, so an owner that lost its lane changes nothing.
"""

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import ColumnElement, Executable, Select, and_, case, func, literal, literal_column, or_, select, update

from gateway.storage.engine import AsyncConnection, among, now_micros, now_parameter
from gateway.storage.prepared import insert_into, now_of, one_of, prepared
from gateway.storage.tables import lanes, tasks
from gateway.storage.writer import touch

PRIORITIES = (0, 1, 2, 3)
"""Signup, inbound and qualification, status write, bulk."""

INBOUND = 1

SECOND = 1_000_000

# literals: in a plan that PostgreSQL keeps for any value of a parameter it could not use the partial indexes
AVAILABLE: ColumnElement[bool] = tasks.c.state == literal_column("'available'")
RUNNING: ColumnElement[bool] = tasks.c.state == literal_column("'running'")
PARKED: ColumnElement[bool] = tasks.c.state == literal_column("'parked'")


class Lease(msgspec.Struct, frozen=True):
    """The right to run a lane's tasks, until the epoch changes."""

    lane: str
    owner: str
    epoch: int


class Lane(msgspec.Struct, frozen=True):
    """A lane as it stands."""

    id: str
    owner: str | None
    epoch: int
    lease_until: datetime | None
    paused_until: datetime | None
    held: str | None
    runs: bool
    """Neither held nor paused."""


async def create_lanes(conn: AsyncConnection, ids: Iterable[str]) -> None:
    """Make sure that lanes exist; in one order everywhere, so that processes cannot deadlock on new ones."""
    rows = [{"id": lane} for lane in sorted(set(ids))]
    if rows:
        await conn.execute(_create(conn), rows)


@prepared
def _create(dialect: str) -> Executable:
    return insert_into(dialect, lanes).on_conflict_do_nothing(index_elements=[lanes.c.id])


async def get_lane(conn: AsyncConnection, lane: str) -> Lane | None:
    """Return one lane."""
    row = (await conn.execute(select(*_lane(conn)).where(lanes.c.id == lane))).one_or_none()
    return None if row is None else Lane(*row)


async def find_due(conn: AsyncConnection, owner: str) -> tuple[list[str], list[str]]:
    """Return which lanes may be claimed now, and which of ``owner``'s own have due tasks; a read only.

    This is the one-second poll, so that an idle process writes nothing.
    """
    mine = and_(lanes.c.owner == owner, lanes.c.lease_until > now_micros(conn))
    statement = select(lanes.c.id, mine).where(or_(_claimable(conn), and_(mine, _runs(conn), _has_due(conn))))
    found = [(lane, bool(is_mine)) for lane, is_mine in await conn.execute(statement)]
    return [lane for lane, is_mine in found if not is_mine], [lane for lane, is_mine in found if is_mine]


async def claim(conn: AsyncConnection, owner: str, candidates: Sequence[str], lease_seconds: float) -> list[Lease]:
    """Take those of ``candidates`` that are still free or lapsed; never one that another process is taking."""
    free = (
        select(lanes.c.id)
        .where(among(conn, lanes.c.id, candidates), _claimable(conn))
        .with_for_update(skip_locked=True)
        .cte("free")
    )
    statement = (
        update(lanes)
        .where(lanes.c.id.in_(select(free.c.id)))
        .values(owner=owner, epoch=lanes.c.epoch + 1, lease_until=now_micros(conn) + round(lease_seconds * SECOND))
        .returning(lanes.c.id, lanes.c.epoch)
    )
    return [Lease(lane, owner, epoch) for lane, epoch in await conn.execute(statement)]


async def renew(conn: AsyncConnection, leases: Collection[Lease], lease_seconds: float) -> dict[Lease, Lane]:
    """Prolong all leases of a process in one statement; return those that stand. What is missing was lost."""
    statement = (
        update(lanes)
        .where(
            among(conn, lanes.c.id, [lease.lane for lease in leases]),
            lanes.c.owner.in_({lease.owner for lease in leases}),
        )
        .values(lease_until=now_micros(conn) + round(lease_seconds * SECOND))
        .returning(*_lane(conn))
    )
    found = [Lane(*row) for row in await conn.execute(statement)]
    return {lease: lane for lane in found if (lease := Lease(lane.id, lane.owner or "", lane.epoch)) in leases}


async def owned(conn: AsyncConnection, leases: Iterable[Lease]) -> dict[Lease, Lane]:
    """Return those of ``leases`` that still stand, and keep others from taking these lanes until the commit."""
    wanted = set(leases)
    ids = {"ids": sorted({lease.lane for lease in wanted}), "now": now_parameter(conn)}
    found = [Lane(*row) for row in await conn.execute(_owned(conn), ids)]
    return {lease: lane for lane in found if (lease := Lease(lane.id, lane.owner or "", lane.epoch)) in wanted}


@prepared
def _owned(dialect: str) -> Select[Any]:
    runs = and_(lanes.c.held.is_(None), func.coalesce(lanes.c.paused_until, 0) <= now_of(dialect))
    columns = [*(lanes.c[name] for name in Lane.__struct_fields__[:-1]), runs]
    return select(*columns).where(one_of(dialect, lanes.c.id, "ids")).with_for_update(read=True)


async def release(conn: AsyncConnection, leases: Collection[Lease]) -> None:
    """Give back lanes whose leases stand; none of their tasks may be running."""
    await conn.execute(
        update(lanes)
        .where(among(conn, lanes.c.id, [lease.lane for lease in leases]))
        .values(owner=None, lease_until=None)
    )


async def pause(conn: AsyncConnection, lane: str, seconds: float) -> None:
    """Start no task of ``lane`` for ``seconds`` (a wait that the vendor asked for); a longer pause stands."""
    until = now_micros(conn) + round(seconds * SECOND)
    longer = case((lanes.c.paused_until > until, lanes.c.paused_until), else_=until)
    await conn.execute(update(lanes).where(lanes.c.id == lane).values(paused_until=longer))


async def hold(conn: AsyncConnection, lane: str, cause: str) -> None:
    """Start no task of ``lane`` until it is unheld; no task is touched, and the lane need not exist yet.

    ``cause`` is ``needs_reauth`` or ``disconnected``; at most 64 characters.
    """
    await create_lanes(conn, [lane])
    await conn.execute(update(lanes).where(lanes.c.id == lane).values(held=cause))


async def unhold(conn: AsyncConnection, lane: str) -> None:
    """Let the tasks of ``lane`` run again."""
    await conn.execute(update(lanes).where(lanes.c.id == lane).values(held=None, paused_until=None))
    touch(conn, [lane])


def _lane(conn: AsyncConnection) -> list[ColumnElement[Any]]:
    return [*(lanes.c[name] for name in Lane.__struct_fields__[:-1]), _runs(conn)]


def _runs(conn: AsyncConnection) -> ColumnElement[bool]:
    return and_(lanes.c.held.is_(None), func.coalesce(lanes.c.paused_until, 0) <= now_micros(conn))


def _has_due(conn: AsyncConnection) -> ColumnElement[bool]:
    # the list of priorities lets both databases use all three columns of ix_tasks_due; a scalar and not EXISTS, for
    # which PostgreSQL would read all due tasks at once, where one of each lane is enough
    due = (
        select(literal(1))
        .where(
            tasks.c.lane == lanes.c.id,
            AVAILABLE,
            tasks.c.priority.in_(PRIORITIES),
            tasks.c.due_at <= now_micros(conn),
        )
        .limit(1)
    )
    return due.scalar_subquery().is_not(None)


def _claimable(conn: AsyncConnection) -> ColumnElement[bool]:
    """Return the condition for a new owner: free with due work, or lapsed.

    A lapsed lane is claimed even if it is held or has nothing due: what it left running must be put back.
    """
    lapsed = and_(lanes.c.owner.is_not(None), lanes.c.lease_until <= now_micros(conn))  # once ours or another's
    return or_(lapsed, and_(lanes.c.owner.is_(None), _runs(conn), _has_due(conn)))
