"""The contact index: which contacts a vendor tenant has, by a keyed hash of each e-mail; no names, no addresses.

For vendors without a search by e-mail. It belongs to an account's vendor tenant, not to a connection: connecting the
same tenant again goes on with it, without a row being changed.
"""

from collections.abc import Collection, Mapping
from datetime import datetime

import msgspec
from sqlalchemy import ColumnElement, and_, bindparam, delete, exists, func, or_, select, update

from gateway.storage.columns import new_id
from gateway.storage.connections import ConnectionRow
from gateway.storage.engine import AsyncConnection, among, insert
from gateway.storage.tables import connections, contact_indexes, contact_walks, seen_contacts, seen_emails

MERGES = 5
"""How far a chain of merged contacts is followed."""


class Walk(msgspec.Struct, frozen=True, kw_only=True):
    """How far a feed has been read; ``done_at`` is null until its end was reached."""

    contacts_read: int
    done_at: datetime | None


class IndexRow(msgspec.Struct, frozen=True, kw_only=True):
    """A contact index with its walks by feed; ``begun_at`` is when the walk that counts began."""

    id: str
    begun_at: datetime
    walks: Mapping[str, Walk]

    @property
    def contacts_read(self) -> int:
        """How many contacts the walks have read."""
        return sum(walk.contacts_read for walk in self.walks.values())


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """A contact as a feed tells it; ``email_hashes`` null: not told, what is known stays."""

    record_id: str
    email_hashes: frozenset[str] | None
    active: bool
    merged_into: str | None


# --- the index and its walks ------------------------------------------------------------------------


async def find(conn: AsyncConnection, row: ConnectionRow) -> IndexRow | None:
    """Return the index of a connection's vendor tenant; ``None`` before its first page."""
    statement = (
        select(contact_indexes.c.id, contact_indexes.c.begun_at, contact_walks)
        .join_from(contact_indexes, contact_walks, contact_walks.c.index_id == contact_indexes.c.id, isouter=True)
        .where(_of(row))
    )
    found = (await conn.execute(statement)).all()
    if not found:
        return None
    walks = {
        one.feed: Walk(contacts_read=one.contacts_read, done_at=one.done_at) for one in found if one.feed is not None
    }
    return IndexRow(id=found[0].id, begun_at=found[0].begun_at, walks=walks)


async def begin(conn: AsyncConnection, row: ConnectionRow, now: datetime) -> str:
    """Return the id of the index of a connection's vendor tenant, made now where there is none."""
    assert row.identity is not None
    new = {
        "id": new_id("idx"),
        "account_id": row.account_id,
        "integration": row.integration,
        "identity": row.identity,
        "begun_at": now,
    }
    await conn.execute(insert(conn, contact_indexes).values(new).on_conflict_do_nothing())
    index_id: str = (await conn.execute(select(contact_indexes.c.id).where(_of(row)))).scalar_one()
    return index_id


async def walked(
    conn: AsyncConnection, index_id: str, feed: str, contacts: int, *, at_end: bool, now: datetime
) -> None:
    """Count the contacts of a page, and remember that the feed's end was reached; it stays reached."""
    statement = insert(conn, contact_walks).values(
        index_id=index_id, feed=feed, contacts_read=contacts, done_at=now if at_end else None
    )
    await conn.execute(
        statement.on_conflict_do_update(
            index_elements=[contact_walks.c.index_id, contact_walks.c.feed],
            set_={
                "contacts_read": contact_walks.c.contacts_read + statement.excluded.contacts_read,
                "done_at": func.coalesce(contact_walks.c.done_at, statement.excluded.done_at),
            },
        )
    )


async def look_again(conn: AsyncConnection, row: ConnectionRow, now: datetime) -> None:
    """Hold an index for incomplete until its feeds are at their end again: nobody read them for a while."""
    mine = select(contact_indexes.c.id).where(_of(row)).scalar_subquery()
    await conn.execute(
        update(contact_walks).where(contact_walks.c.index_id == mine).values(done_at=None, contacts_read=0)
    )
    await conn.execute(update(contact_indexes).where(_of(row)).values(begun_at=now))


def _of(row: ConnectionRow) -> ColumnElement[bool]:
    return and_(
        contact_indexes.c.account_id == row.account_id,
        contact_indexes.c.integration == row.integration,
        contact_indexes.c.identity == row.identity,
    )


# --- contacts ---------------------------------------------------------------------------------------


async def put(conn: AsyncConnection, index_id: str, seen: Collection[Seen]) -> None:
    """Store contacts as they are now, in a number of statements that does not grow with them.

    Args:
        conn: The writer's connection.
        index_id: The index.
        seen: Contacts in the order in which they were told; of one that comes twice the last counts.
    """
    by_id = {one.record_id: one for one in seen}
    await _put_contacts(conn, index_id, by_id)
    await _put_emails(conn, index_id, {key: one for key, one in by_id.items() if one.email_hashes is not None})


async def _put_contacts(conn: AsyncConnection, index_id: str, by_id: Mapping[str, Seen]) -> None:
    statement = select(seen_contacts.c.record_id, seen_contacts.c.active, seen_contacts.c.merged_into).where(
        seen_contacts.c.index_id == index_id, among(conn, seen_contacts.c.record_id, by_id)
    )
    known = {row.record_id: (row.active, row.merged_into) for row in await conn.execute(statement)}
    changed = [
        {"index_id": index_id, "record_id": key, "active": one.active, "merged_into": one.merged_into}
        for key, one in sorted(by_id.items())
        if known.get(key) != (one.active, one.merged_into)
    ]
    if changed:
        put = insert(conn, seen_contacts)
        await conn.execute(
            put.on_conflict_do_update(
                index_elements=[seen_contacts.c.index_id, seen_contacts.c.record_id],
                set_={"active": put.excluded.active, "merged_into": put.excluded.merged_into},
            ),
            changed,
        )


async def _put_emails(conn: AsyncConnection, index_id: str, by_id: Mapping[str, Seen]) -> None:
    statement = select(seen_emails.c.record_id, seen_emails.c.email_hash).where(
        seen_emails.c.index_id == index_id, among(conn, seen_emails.c.record_id, by_id)
    )
    known = {(row.record_id, row.email_hash) for row in await conn.execute(statement)}
    told = {(key, email_hash) for key, one in by_id.items() for email_hash in one.email_hashes or ()}
    if ended := sorted(known - told):
        same = [
            seen_emails.c.index_id == index_id,
            seen_emails.c.record_id == bindparam("b_record"),
            seen_emails.c.email_hash == bindparam("b_hash"),
        ]
        await conn.execute(
            delete(seen_emails).where(*same), [{"b_record": key, "b_hash": email_hash} for key, email_hash in ended]
        )
    if new := sorted(told - known):
        rows = [{"index_id": index_id, "email_hash": email_hash, "record_id": key} for key, email_hash in new]
        await conn.execute(insert(conn, seen_emails).on_conflict_do_nothing(), rows)


async def with_email(conn: AsyncConnection, index_id: str, email_hash: str) -> list[str]:
    """Return the ids of the active contacts with this e-mail, those that were merged away by their survivors."""
    found = seen_contacts.join(
        seen_emails,
        and_(
            seen_emails.c.index_id == seen_contacts.c.index_id,
            seen_emails.c.record_id == seen_contacts.c.record_id,
        ),
    )
    statement = (
        select(seen_contacts.c.record_id, seen_contacts.c.active, seen_contacts.c.merged_into)
        .select_from(found)
        .where(seen_emails.c.index_id == index_id, seen_emails.c.email_hash == email_hash)
    )
    rows = (await conn.execute(statement)).all()
    active = {record_id for record_id, is_active, merged in rows if is_active and merged is None}
    seen = {record_id for record_id, _, _ in rows}
    survivors = {merged for _, _, merged in rows if merged is not None} - seen
    for _ in range(MERGES):
        if not survivors:
            break
        statement = select(seen_contacts.c.record_id, seen_contacts.c.active, seen_contacts.c.merged_into).where(
            seen_contacts.c.index_id == index_id, among(conn, seen_contacts.c.record_id, sorted(survivors))
        )
        rows = (await conn.execute(statement)).all()
        # a survivor that no page has told of yet is there: the vendor has just named it
        active |= survivors - {record_id for record_id, _, _ in rows}
        active |= {record_id for record_id, is_active, merged in rows if is_active and merged is None}
        seen |= survivors
        survivors = {merged for _, _, merged in rows if merged is not None} - seen
    return sorted(active, key=lambda one: (len(one), one))  # numbers as numbers: the oldest first


async def forget_emails(conn: AsyncConnection, account_id: str, email_hashes: Collection[str]) -> None:
    """Forget that contacts of an account have these e-mails; the feed tells it again when such a contact changes."""
    mine = select(contact_indexes.c.id).where(contact_indexes.c.account_id == account_id)
    await conn.execute(
        delete(seen_emails).where(
            seen_emails.c.index_id.in_(mine), among(conn, seen_emails.c.email_hash, sorted(email_hashes))
        )
    )


async def prune(conn: AsyncConnection, before: datetime, limit: int) -> int:
    """Delete some of an index whose tenant was disconnected before ``before``; return ``limit``, or 0 at the end.

    About ``limit`` rows a call. The walks go first, so that a connection that is made meanwhile begins anew.
    """
    same = and_(
        connections.c.account_id == contact_indexes.c.account_id,
        connections.c.integration == contact_indexes.c.integration,
        connections.c.identity == contact_indexes.c.identity,
    )
    in_use = exists().where(same, or_(connections.c.disconnected_at.is_(None), connections.c.disconnected_at >= before))
    index_id = await conn.scalar(select(contact_indexes.c.id).where(~in_use).limit(1))
    if index_id is None:
        return 0
    await conn.execute(delete(contact_walks).where(contact_walks.c.index_id == index_id))
    for table in (seen_emails, seen_contacts):
        some = select(table.c.record_id).where(table.c.index_id == index_id).limit(limit)
        ids = set((await conn.execute(some)).scalars())
        if ids:
            await conn.execute(delete(table).where(table.c.index_id == index_id, among(conn, table.c.record_id, ids)))
            return limit  # more may be there
    await conn.execute(delete(contact_indexes).where(contact_indexes.c.id == index_id))
    return limit
