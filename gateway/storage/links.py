"""Links: which CRM records belong to which person, across campaigns and roles, by a keyed hash of the e-mail."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any, NamedTuple

import msgspec
from msgspec.structs import astuple
from sqlalchemy import Row, Select, and_, exists, null, select, update

from gateway.storage.columns import new_ids, to_micros
from gateway.storage.engine import AsyncConnection, among
from gateway.storage.many import Rows
from gateway.storage.prepared import as_wanted, prepared, wanted_rows
from gateway.storage.tables import connections, links
from gateway.storage.wanted import wanted
from gateway_schemas.person import LinkedRecord
from gateway_schemas.records import RecordRef


class NewLink(msgspec.Struct, frozen=True, kw_only=True):
    """A record that belongs to a person.

    Attributes:
        how: ``created``, ``matched``, ``updated``, ``converted`` or ``contact``.
    """

    account_id: str
    connection_id: str
    record_kind: str
    record_id: str
    person_id: str
    how: str
    email_hash: str | None = None
    url: str | None = None


class LinkRow(NewLink, frozen=True, kw_only=True):
    """A link as it stands; ``gone_at`` is set when the record is not there any more."""

    id: str
    created_at: datetime
    gone_at: datetime | None = None

    @property
    def ref(self) -> RecordRef:
        """Which record it is."""
        return RecordRef(kind=self.record_kind, id=self.record_id)

    @property
    def record(self) -> LinkedRecord:
        """The link as the API shows it."""
        return LinkedRecord(ref=self.ref, how=self.how, url=self.url, gone=self.gone_at is not None)  # type: ignore[arg-type] # the column holds these words only


_NAMES = LinkRow.__struct_fields__
_COLUMNS = [links.c[name] for name in _NAMES]


class Owner(NamedTuple):
    """Whose records are asked for: those of an e-mail on a connection."""

    connection_id: str
    email_hash: str


@prepared
def _known(dialect: str) -> Select[Any]:
    given = wanted_rows(dialect, Owner._fields)
    same = and_(links.c.connection_id == given.c.connection_id, links.c.email_hash == given.c.email_hash)
    return select(*_COLUMNS).join_from(given, links, same).where(links.c.gone_at.is_(None)).order_by(links.c.id.desc())


def _row(row: Row[Any]) -> LinkRow:
    return LinkRow(**dict(zip(_NAMES, row, strict=True)))


def _there(statement: Any) -> Any:
    new = statement.excluded
    return statement.on_conflict_do_update(
        index_elements=[links.c.connection_id, links.c.record_kind, links.c.record_id, links.c.person_id],
        set_={"gone_at": null(), "url": new.url, "email_hash": new.email_hash},
    )


_ROWS = Rows(links, (*NewLink.__struct_fields__, "id", "created_at"), _there)


async def add(conn: AsyncConnection, new: Sequence[NewLink], now: datetime) -> None:
    """Store links; one that is there keeps how it came about, is no longer gone, and takes a URL that was missing."""
    if not new:
        return
    at, ids = to_micros(now), new_ids("lnk", len(new))
    rows = {
        # of a link that is given twice the last stays; the ids go by the list, the rows by their key: no deadlocks
        (one.connection_id, one.record_kind, one.record_id, one.person_id): (*astuple(one), link_id, at)
        for one, link_id in zip(new, ids, strict=True)
    }
    await _ROWS.add(conn, [rows[key] for key in sorted(rows)])


async def of_people(conn: AsyncConnection, person_ids: Collection[str]) -> dict[str, list[LinkRow]]:
    """Return the links of people, oldest first, those that are gone included."""
    found: dict[str, list[LinkRow]] = {person: [] for person in person_ids}
    if person_ids:
        for row in await conn.execute(
            select(*_COLUMNS).where(among(conn, links.c.person_id, person_ids)).order_by(links.c.id)
        ):
            link = _row(row)
            found[link.person_id].append(link)
    return found


async def by_records(conn: AsyncConnection, connection_id: str, refs: Collection[RecordRef]) -> list[LinkRow]:
    """Return the links to these records of a connection."""
    if not refs:
        return []
    given = wanted(conn, ("kind", "id"), [(ref.kind, ref.id) for ref in refs])
    same = and_(
        links.c.connection_id == connection_id, links.c.record_kind == given.c.kind, links.c.record_id == given.c.id
    )
    return [
        _row(row) for row in await conn.execute(select(*_COLUMNS).join_from(given, links, same).order_by(links.c.id))
    ]


async def known_for(conn: AsyncConnection, connection_id: str, email_hash: str | None) -> list[LinkRow]:
    """Return the records that we know for an e-mail on a connection and that are not gone, newest first, each once."""
    if email_hash is None:
        return []
    owner = Owner(connection_id, email_hash)
    return (await known_of(conn, [owner]))[owner]


async def known_of(conn: AsyncConnection, owners: Collection[Owner]) -> dict[Owner, list[LinkRow]]:
    """Return the same for many e-mails, in one statement."""
    once: dict[Owner, dict[RecordRef, LinkRow]] = {owner: {} for owner in owners}
    for row in await conn.execute(_known(conn), as_wanted(conn.dialect.name, Owner._fields, sorted(once))):
        link = _row(row)
        once[Owner(link.connection_id, link.email_hash or "")].setdefault(link.ref, link)
    return {owner: list(found.values()) for owner, found in once.items()}


async def made_lately(
    conn: AsyncConnection, connection_id: str, record_kind: str, record_ids: Collection[str], since: datetime
) -> set[str]:
    """Return the ids of those of these records that a signup of ours made since then."""
    if not record_ids:
        return set()
    statement = select(links.c.record_id).where(
        links.c.connection_id == connection_id,
        links.c.record_kind == record_kind,
        among(conn, links.c.record_id, record_ids),
        links.c.how == "created",
        links.c.created_at >= since,
    )
    return set((await conn.execute(statement)).scalars())


async def made_between(
    conn: AsyncConnection, since: datetime, until: datetime, limit: int
) -> list[tuple[str, str, datetime]]:
    """Return whose records were made in a time, the oldest first: connection, person, and when; people may repeat."""
    statement = (
        select(links.c.connection_id, links.c.person_id, links.c.created_at)
        .where(links.c.created_at >= since, links.c.created_at < until, links.c.how == "created")
        .order_by(links.c.created_at)
        .limit(limit)
    )
    return [(row.connection_id, row.person_id, row.created_at) for row in await conn.execute(statement)]


async def follow_merge(
    conn: AsyncConnection, connection_id: str, record_kind: str, loser: str, survivor: str, now: datetime
) -> list[str]:
    """Let the links to a record that was merged away follow the survivor; return the people concerned."""
    merged = await by_records(conn, connection_id, [RecordRef(kind=record_kind, id=loser)])
    await add(
        conn,
        [
            NewLink(
                account_id=one.account_id, connection_id=connection_id, record_kind=record_kind, record_id=survivor,
                person_id=one.person_id, how=one.how, email_hash=one.email_hash,
            )
            for one in merged
        ],
        now,
    )  # fmt: skip
    await mark_gone(conn, connection_id, [RecordRef(kind=record_kind, id=loser)], now)
    return [one.person_id for one in merged]


async def mark_gone(conn: AsyncConnection, connection_id: str, refs: Collection[RecordRef], now: datetime) -> None:
    """Remember that these records are not there any more."""
    if not refs:
        return
    given = wanted(conn, ("kind", "id"), [(ref.kind, ref.id) for ref in refs])
    same = and_(links.c.record_kind == given.c.kind, links.c.record_id == given.c.id)
    await conn.execute(
        update(links)
        .where(
            links.c.connection_id == connection_id,
            links.c.gone_at.is_(None),
            exists(select(1).select_from(given).where(same)),
        )
        .values(gone_at=now)
    )


async def part(
    conn: AsyncConnection, connection_id: str, record_kind: str, pairs: Collection[tuple[str, str]], now: datetime
) -> None:
    """Remember that records are no longer these people's; whoever else is linked to them stays so.

    Args:
        conn: The writer's connection.
        connection_id: Where the records are.
        record_kind: Their kind.
        pairs: Record ids, each with the person it no longer belongs to.
        now: The time.
    """
    if not pairs:
        return
    given = wanted(conn, ("record", "person"), sorted(pairs))
    same = and_(links.c.record_id == given.c.record, links.c.person_id == given.c.person)
    await conn.execute(
        update(links)
        .where(
            links.c.connection_id == connection_id,
            links.c.record_kind == record_kind,
            links.c.gone_at.is_(None),
            among(conn, links.c.person_id, sorted({person for _, person in pairs})),
            exists(select(1).select_from(given).where(same)),
        )
        .values(gone_at=now)
    )


async def adopt(
    conn: AsyncConnection, account_id: str, integration: str, identity: str, new_connection_id: str
) -> None:
    """Give the links of an account's earlier connections to a vendor tenant to a new connection to the same one."""
    other = links.alias("other")
    earlier = exists().where(
        connections.c.id == links.c.connection_id,
        connections.c.account_id == account_id,
        connections.c.integration == integration,
        connections.c.identity == identity,
        connections.c.id != new_connection_id,
    )
    twice = exists().where(
        other.c.connection_id == new_connection_id,
        other.c.record_kind == links.c.record_kind,
        other.c.record_id == links.c.record_id,
        other.c.person_id == links.c.person_id,
    )
    await conn.execute(
        update(links).where(links.c.account_id == account_id, earlier, ~twice).values(connection_id=new_connection_id)
    )
