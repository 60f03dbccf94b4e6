"""The contacts of a sync: which were met, whose referrer each is, and whether it has the newest values.

Ids and hashes only: names and addresses stand in ``people`` alone.
"""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any

import msgspec
from msgspec.structs import astuple
from sqlalchemy import Row, and_, bindparam, delete, func, literal, or_, select, text, update

from gateway.storage.columns import UtcTime, to_micros
from gateway.storage.engine import AsyncConnection, among, now_micros
from gateway.storage.many import Rows
from gateway.storage.tables import people, sync_contacts, syncs
from gateway_schemas.sync import SyncContactState


class ContactRow(msgspec.Struct, frozen=True):
    """A contact of a sync as it stands; see ``tables.sync_contacts`` for what each column means."""

    record_id: str
    person_id: str | None
    state: SyncContactState
    reason: str | None
    walk: int
    to_write: bool = False
    written: str | None = None
    written_at: datetime | None = None


class Waiting(msgspec.Struct, frozen=True):
    """A contact whose values wait to be written, with what its referrer has now."""

    record_id: str
    person_id: str
    written: str | None
    email_hash: str | None
    code: str | None
    link: str | None
    referrals: int
    qualified: int


_COLUMNS = [sync_contacts.c[name] for name in ContactRow.__struct_fields__]
_VALUES = (
    people.c.email_hash, people.c.code, people.c.link,
    people.c.base_referrals + people.c.referrals, people.c.base_qualified + people.c.qualified,
)  # fmt: skip
_TO_WRITE = text("sync_contacts.to_write")  # literal: both databases must see that the partial index fits


def _row(row: Row[Any]) -> ContactRow:
    return ContactRow(*tuple(row))


async def by_records(conn: AsyncConnection, sync_id: str, record_ids: Collection[str]) -> dict[str, ContactRow]:
    """Return those of these contacts that the sync has met, by record id."""
    if not record_ids:
        return {}
    statement = select(*_COLUMNS).where(
        sync_contacts.c.sync_id == sync_id, among(conn, sync_contacts.c.record_id, record_ids)
    )
    return {row.record_id: row for row in map(_row, await conn.execute(statement))}


async def holders(conn: AsyncConnection, sync_id: str, person_ids: Collection[str]) -> dict[str, str]:
    """Return which contact of the sync stands for each of these referrers, by person id; those that are gone do not."""
    if not person_ids:
        return {}
    statement = select(sync_contacts.c.person_id, sync_contacts.c.record_id).where(
        among(conn, sync_contacts.c.person_id, person_ids),
        sync_contacts.c.sync_id == sync_id,
        sync_contacts.c.state == "imported",
    )
    return {str(person): record for person, record in await conn.execute(statement)}


def _there(statement: Any) -> Any:
    new = statement.excluded
    changed = {name: new[name] for name in ("person_id", "state", "reason", "walk", "to_write", "written")}
    return statement.on_conflict_do_update(
        index_elements=[sync_contacts.c.sync_id, sync_contacts.c.record_id],
        set_=changed | {"written_at": func.coalesce(new.written_at, sync_contacts.c.written_at)},
    )


_ROWS = Rows(sync_contacts, ("sync_id", *ContactRow.__struct_fields__), _there)


async def put(conn: AsyncConnection, sync_id: str, rows: Sequence[ContactRow]) -> None:
    """Store contacts as they stand now, each once; ``written_at`` of those that are there stays when there is none."""
    await _ROWS.add(
        conn,
        [
            (sync_id, *astuple(row)[:-1], None if row.written_at is None else to_micros(row.written_at))
            for row in sorted(rows, key=lambda one: one.record_id)
        ],
    )


async def meet(conn: AsyncConnection, sync_id: str, record_ids: Collection[str], walk: int) -> None:
    """Note that a walk met contacts of which nothing else changed."""
    if record_ids:
        await conn.execute(
            update(sync_contacts)
            .where(sync_contacts.c.sync_id == sync_id, among(conn, sync_contacts.c.record_id, record_ids))
            .values(walk=walk)
        )


async def not_met(conn: AsyncConnection, sync_id: str, walk: int, *, after: str, limit: int) -> list[ContactRow]:
    """Return contacts that a whole walk did not meet, by record id, those that are gone already left out."""
    statement = (
        select(*_COLUMNS)
        .where(
            sync_contacts.c.sync_id == sync_id,
            sync_contacts.c.record_id > after,
            sync_contacts.c.walk < walk,
            sync_contacts.c.state != "gone",
        )
        .order_by(sync_contacts.c.record_id)
        .limit(limit)
    )
    return [_row(row) for row in await conn.execute(statement)]


async def forget(conn: AsyncConnection, sync_id: str, record_ids: Collection[str]) -> None:
    """Forget contacts that were skipped and are not there any more."""
    await conn.execute(
        delete(sync_contacts).where(
            sync_contacts.c.sync_id == sync_id, among(conn, sync_contacts.c.record_id, record_ids)
        )
    )


# --- the write-back --------------------------------------------------------------------------------


async def waiting(conn: AsyncConnection, sync_id: str, limit: int) -> list[Waiting]:
    """Return contacts whose values wait to be written, by record id."""
    statement = (
        select(sync_contacts.c.record_id, sync_contacts.c.person_id, sync_contacts.c.written, *_VALUES)
        .join_from(sync_contacts, people, people.c.id == sync_contacts.c.person_id)
        .where(sync_contacts.c.sync_id == sync_id, _TO_WRITE)
        .order_by(sync_contacts.c.record_id)
        .limit(limit)
    )
    return [Waiting(*row) for row in await conn.execute(statement)]


async def as_they_are(conn: AsyncConnection, sync_id: str, record_ids: Collection[str]) -> list[Waiting]:
    """Return these contacts with what their referrers have now, whether or not it waits."""
    if not record_ids:
        return []
    statement = (
        select(sync_contacts.c.record_id, sync_contacts.c.person_id, sync_contacts.c.written, *_VALUES)
        .join_from(sync_contacts, people, people.c.id == sync_contacts.c.person_id)
        .where(sync_contacts.c.sync_id == sync_id, among(conn, sync_contacts.c.record_id, record_ids))
    )
    return [Waiting(*row) for row in await conn.execute(statement)]


class Written(msgspec.Struct, frozen=True):
    """What became of a contact in a round of writes."""

    record_id: str
    to_write: bool
    written: str | None
    written_at: datetime | None


async def note_written(conn: AsyncConnection, sync_id: str, done: Sequence[Written]) -> int:
    """Note what contacts have now; return how many wait no longer."""
    if not done:
        return 0
    ended = [one.record_id for one in done if not one.to_write]
    before = select(func.count()).where(
        sync_contacts.c.sync_id == sync_id, _TO_WRITE, among(conn, sync_contacts.c.record_id, ended)
    )
    number = int((await conn.execute(before)).scalar_one()) if ended else 0
    statement = (
        update(sync_contacts)
        .where(sync_contacts.c.sync_id == sync_id, sync_contacts.c.record_id == bindparam("b_record"))
        .values(
            to_write=bindparam("b_to_write"),
            written=bindparam("b_written"),
            written_at=func.coalesce(bindparam("b_at", type_=UtcTime), sync_contacts.c.written_at),
        )
    )
    await conn.execute(
        statement,
        [
            {
                "b_record": one.record_id,
                "b_to_write": one.to_write,
                "b_written": one.written,
                "b_at": one.written_at,
            }
            for one in done
        ],
    )
    return number


async def mark_people(conn: AsyncConnection, person_ids: Collection[str]) -> list[str]:
    """Say that the values of these referrers changed, wherever a sync writes them back.

    Cancelled syncs write nothing any more; of several syncs of a person the newest writes.

    Returns:
        The syncs that have something to write now.
    """
    if not person_ids:
        return []
    writes = and_(syncs.c.state != "cancelled", syncs.c.write_back != literal([], syncs.c.write_back.type))
    found = await conn.execute(
        select(sync_contacts.c.person_id, func.max(sync_contacts.c.sync_id))
        .join_from(sync_contacts, syncs, syncs.c.id == sync_contacts.c.sync_id)
        .where(among(conn, sync_contacts.c.person_id, person_ids), sync_contacts.c.state == "imported", writes)
        .group_by(sync_contacts.c.person_id)
    )
    by_sync: dict[str, list[str]] = {}
    for person, sync in found:
        by_sync.setdefault(sync, []).append(person)
    for sync, some in sorted(by_sync.items()):
        marked = await conn.execute(
            update(sync_contacts)
            .where(
                sync_contacts.c.sync_id == sync,
                among(conn, sync_contacts.c.person_id, some),
                sync_contacts.c.state == "imported",
                sync_contacts.c.to_write.is_(False),
            )
            .values(to_write=True)
        )
        if marked.rowcount:
            await conn.execute(
                update(syncs)
                .where(syncs.c.id == sync)
                .values(to_write=syncs.c.to_write + marked.rowcount, updated_at=now_micros(conn))
            )
    return sorted(by_sync)


async def being_written(
    conn: AsyncConnection, connection_id: str, record_ids: Collection[str], since: datetime
) -> set[str]:
    """Return those of these contacts that some sync of a connection is about to write, or has written since then."""
    if not record_ids:
        return set()
    statement = (
        select(sync_contacts.c.record_id)
        .join_from(sync_contacts, syncs, syncs.c.id == sync_contacts.c.sync_id)
        .where(
            syncs.c.connection_id == connection_id,
            among(conn, sync_contacts.c.record_id, record_ids),
            or_(sync_contacts.c.to_write, sync_contacts.c.written_at >= since),
        )
        .distinct()
    )
    return set((await conn.execute(statement)).scalars())


async def of_people(conn: AsyncConnection, person_ids: Collection[str]) -> set[str]:
    """Return the syncs in which these people are contacts."""
    if not person_ids:
        return set()
    statement = select(sync_contacts.c.sync_id).where(among(conn, sync_contacts.c.person_id, person_ids)).distinct()
    return set((await conn.execute(statement)).scalars())


async def written_fields(conn: AsyncConnection, person_id: str) -> set[str]:
    """Return the fields of their contact that a sync keeps up to date for a person."""
    statement = (
        select(syncs.c.write_back)
        .join_from(sync_contacts, syncs, syncs.c.id == sync_contacts.c.sync_id)
        .where(
            sync_contacts.c.person_id == person_id,
            sync_contacts.c.state == "imported",
            syncs.c.state != "cancelled",
        )
        .order_by(syncs.c.id.desc())
        .limit(1)
    )
    row = (await conn.execute(statement)).one_or_none()
    return set() if row is None else {one["field"] for one in row.write_back}


# --- counting and listing --------------------------------------------------------------------------


async def count_without_link(conn: AsyncConnection, sync_id: str) -> int:
    """Return for how many referrers of a sync there is no link yet."""
    statement = (
        select(func.count())
        .select_from(sync_contacts)
        .join(people, people.c.id == sync_contacts.c.person_id)
        .where(
            sync_contacts.c.sync_id == sync_id,
            sync_contacts.c.state == "imported",
            people.c.link.is_(None),
            people.c.email_hash.is_not(None),
        )
    )
    return int((await conn.execute(statement)).scalar_one())


async def count_to_write(conn: AsyncConnection, sync_id: str) -> int:
    """Return how many contacts wait for a write."""
    statement = select(func.count()).where(sync_contacts.c.sync_id == sync_id, _TO_WRITE)
    return int((await conn.execute(statement)).scalar_one())


async def mark_all(conn: AsyncConnection, sync_id: str, *, after: str, limit: int) -> tuple[int, str | None]:
    """Say that every contact waits to be written, a batch a call: the write-back was mapped anew.

    Returns:
        How many wait that did not before, and the record id to go on from; ``None`` at the end.
    """
    statement = (
        select(sync_contacts.c.record_id)
        .where(
            sync_contacts.c.sync_id == sync_id,
            sync_contacts.c.record_id > after,
            sync_contacts.c.state == "imported",
        )
        .order_by(sync_contacts.c.record_id)
        .limit(limit)
    )
    ids = list((await conn.execute(statement)).scalars())
    if not ids:
        return 0, None
    marked = await conn.execute(
        update(sync_contacts)
        .where(
            sync_contacts.c.sync_id == sync_id,
            among(conn, sync_contacts.c.record_id, ids),
            sync_contacts.c.to_write.is_(False),
        )
        .values(to_write=True)
    )
    return marked.rowcount, ids[-1]


async def unmark(conn: AsyncConnection, sync_id: str, *, limit: int) -> int:
    """Say that contacts wait for no write any more, a batch a call; return of how many that was changed."""
    statement = (
        select(sync_contacts.c.record_id)
        .where(sync_contacts.c.sync_id == sync_id, _TO_WRITE)
        .order_by(sync_contacts.c.record_id)
        .limit(limit)
    )
    ids = list((await conn.execute(statement)).scalars())
    if ids:
        await conn.execute(
            update(sync_contacts)
            .where(sync_contacts.c.sync_id == sync_id, among(conn, sync_contacts.c.record_id, ids))
            .values(to_write=False)
        )
    return len(ids)


async def page(
    conn: AsyncConnection,
    sync_id: str,
    *,
    state: SyncContactState | None = None,
    reason: str | None = None,
    after: str | None = None,
    limit: int,
) -> list[ContactRow]:
    """Return contacts of a sync by record id, narrowed by what became of them."""
    statement = select(*_COLUMNS).where(sync_contacts.c.sync_id == sync_id)
    if state is not None:
        statement = statement.where(sync_contacts.c.state == state)
        if state != "imported":
            statement = statement.where(text("sync_contacts.state <> 'imported'"))
    if reason is not None:
        statement = statement.where(sync_contacts.c.reason == reason)
    if after is not None:
        statement = statement.where(sync_contacts.c.record_id > after)
    found = await conn.execute(statement.order_by(sync_contacts.c.record_id).limit(limit))
    return [_row(row) for row in found]
