"""Events: stored with the fact that they tell, given a place in the feed afterwards by the fan-out alone.

A place (``position``) is given in the order of commits and never twice, so a reader that goes on from where it stopped
has missed nothing, however the transactions that wrote the events overlapped.
"""

from collections import Counter
from collections.abc import Collection, Sequence
from datetime import datetime
from functools import cache
from typing import Any

import msgspec
from sqlalchemy import BigInteger, Table, cast, delete, func, select, update
from sqlalchemy.sql.dml import ReturningUpdate

from gateway.storage.columns import new_ids, to_micros
from gateway.storage.engine import AsyncConnection, among
from gateway.storage.many import Rows, as_json
from gateway.storage.prepared import as_wanted, wanted_rows
from gateway.storage.tables import accounts, counters, events, people
from gateway.storage.upsert import insert
from gateway_schemas.event_data import EventData
from gateway_schemas.events import EventType

VERSION = 1
_NEWEST, _PRUNED = "events", "events_pruned"


class NewEvent(msgspec.Struct, frozen=True):
    """A fact to be told.

    Attributes:
        type: For example ``referral.qualified``.
        account_id: Whose event it is.
        person_id: Whom it concerns; it then counts in this person's sequence, else in the account's.
        data: The Struct of this type from ``gateway_schemas.event_data`` (or the same as a dict).
    """

    type: EventType
    account_id: str
    person_id: str | None
    data: EventData | dict[str, Any]


class EventRow(msgspec.Struct, frozen=True):
    """An event as it stands; ``position`` is null until the fan-out has seen it."""

    id: str
    account_id: str
    person_id: str | None
    type: EventType
    version: int
    occurred_at: datetime
    sequence: int
    data: dict[str, Any]
    position: int | None


_COLUMNS = [events.c[name] for name in EventRow.__struct_fields__]
_ROWS = Rows(events, ("id", "account_id", "person_id", "type", "version", "occurred_at", "sequence", "data"))
_MORE = ("id", "more")


# --- storing -------------------------------------------------------------------------------------------


async def add(conn: AsyncConnection, new: Sequence[NewEvent], now: datetime) -> list[str]:
    """Store events in at most three statements and return their ids.

    Each takes the next number of its person (or of its account); several of one person in one call count on.

    Raises:
        LookupError: A person or account does not exist.
    """
    people_next = await _next_numbers(conn, people, Counter(event.person_id for event in new if event.person_id))
    accounts_next = await _next_numbers(
        conn, accounts, Counter(event.account_id for event in new if not event.person_id)
    )
    ids = new_ids("evt", len(new))  # in order, so that ids sort as the list does
    at = to_micros(now)
    rows = []
    for event_id, event in zip(ids, new, strict=True):
        numbers, owner = (people_next, event.person_id) if event.person_id else (accounts_next, event.account_id)
        sequence = numbers[owner]
        numbers[owner] = sequence + 1
        rows.append(
            (event_id, event.account_id, event.person_id, event.type, VERSION, at, sequence, as_json(event.data))
        )
    await _ROWS.add(conn, rows)
    return ids


async def _next_numbers(conn: AsyncConnection, table: Table, counts: Counter[str]) -> dict[str, int]:
    """Raise the sequence of each row by its count, in one statement; return each row's first new number."""
    if not counts:
        return {}
    dialect = conn.dialect.name
    more = as_wanted(dialect, _MORE, [(owner, str(more)) for owner, more in sorted(counts.items())])
    raised = await conn.execute(_raise(dialect, table), more)
    first = {owner: last - counts[owner] + 1 for owner, last in raised}
    if missing := sorted(counts.keys() - first.keys()):
        raise LookupError(f"events of {table.name} that do not exist: {', '.join(missing)}")
    return first


@cache
def _raise(dialect: str, table: Table) -> ReturningUpdate[Any]:
    given = wanted_rows(dialect, _MORE)
    return (
        update(table)
        .where(table.c.id == given.c.id)
        .values(sequence=table.c.sequence + cast(given.c.more, BigInteger))
        .returning(table.c.id, table.c.sequence)
    )


# --- places in the feed --------------------------------------------------------------------------------


async def unpositioned(conn: AsyncConnection, limit: int) -> list[EventRow]:
    """Return the oldest events that have no place yet."""
    statement = select(*_COLUMNS).where(events.c.position.is_(None)).order_by(events.c.id).limit(limit)
    return [EventRow(*row) for row in await conn.execute(statement)]


async def give_positions(conn: AsyncConnection, ids: Collection[str]) -> dict[str, int]:
    """Give events the next places, by id; return those that were given one now.

    The counter's row is locked until the commit, so places become visible in their order.
    """
    if not ids:
        return {}
    last = await _raise_counter(conn, _NEWEST, len(ids))
    ranked = (
        select(events.c.id, func.row_number().over(order_by=events.c.id).label("rank"))
        .where(among(conn, events.c.id, ids), events.c.position.is_(None))
        .subquery()
    )
    placed = await conn.execute(
        update(events)
        .where(events.c.id == ranked.c.id)
        .values(position=last - len(ids) + ranked.c.rank)
        .returning(events.c.id, events.c.position)
    )
    return dict(placed.all())


async def newest_position(conn: AsyncConnection) -> int:
    """Return the last place that was given; 0 before the first event."""
    return await _counter(conn, _NEWEST)


async def pruned_position(conn: AsyncConnection) -> int:
    """Return the last place whose event was deleted by retention; 0 when none was."""
    return await _counter(conn, _PRUNED)


async def _counter(conn: AsyncConnection, name: str) -> int:
    return (await conn.execute(select(counters.c.value).where(counters.c.name == name))).scalar_one_or_none() or 0


async def _raise_counter(conn: AsyncConnection, name: str, by: int) -> int:
    statement = insert(conn, counters).values(name=name, value=by)
    raised = statement.on_conflict_do_update(index_elements=["name"], set_={"value": counters.c.value + by})
    value: int = (await conn.execute(raised.returning(counters.c.value))).scalar_one()
    return value


# --- reading -------------------------------------------------------------------------------------------


async def after(
    conn: AsyncConnection, position: int, limit: int, *, until: int | None = None, account_id: str | None = None
) -> list[EventRow]:
    """Return events whose place is after ``position`` (and at most ``until``), in the order of the feed."""
    conditions = [events.c.position > position]
    if until is not None:
        conditions.append(events.c.position <= until)
    if account_id is not None:
        conditions.append(events.c.account_id == account_id)
    statement = select(*_COLUMNS).where(*conditions).order_by(events.c.position).limit(limit)
    return [EventRow(*row) for row in await conn.execute(statement)]


async def recent(
    conn: AsyncConnection, account_id: str, event_type: str, limit: int, *, since: datetime | None = None
) -> list[EventRow]:
    """Return an account's newest events of one type, newest first."""
    conditions = [events.c.account_id == account_id, events.c.type == event_type, events.c.position.is_not(None)]
    if since is not None:
        conditions.append(events.c.occurred_at >= since)
    statement = select(*_COLUMNS).where(*conditions).order_by(events.c.position.desc()).limit(limit)
    return [EventRow(*row) for row in await conn.execute(statement)]


async def recent_of(conn: AsyncConnection, account_id: str, types: Collection[str], limit: int) -> list[EventRow]:
    """Return an account's newest events of some types, newest first."""
    statement = select(*_COLUMNS).where(
        events.c.account_id == account_id, events.c.type.in_(list(types)), events.c.position.is_not(None)
    )
    return [EventRow(*row) for row in await conn.execute(statement.order_by(events.c.position.desc()).limit(limit))]


async def get(conn: AsyncConnection, event_id: str) -> EventRow | None:
    """Return one event."""
    row = (await conn.execute(select(*_COLUMNS).where(events.c.id == event_id))).one_or_none()
    return None if row is None else EventRow(*row)


# --- retention -----------------------------------------------------------------------------------------


async def prune_events(conn: AsyncConnection, before: datetime, limit: int = 1_000) -> int:
    """Delete up to ``limit`` events that happened before ``before`` and were fanned out; return how many."""
    old = select(events.c.id).where(events.c.occurred_at < before, events.c.position.is_not(None))
    ids = list((await conn.execute(old.order_by(events.c.occurred_at).limit(limit))).scalars())
    if not ids:
        return 0
    gone = await conn.execute(delete(events).where(among(conn, events.c.id, ids)).returning(events.c.position))
    newest = max(gone.scalars())
    statement = insert(conn, counters).values(name=_PRUNED, value=newest)
    await conn.execute(
        statement.on_conflict_do_update(
            index_elements=["name"], set_={"value": newest}, where=counters.c.value < newest
        )
    )
    return len(ids)
