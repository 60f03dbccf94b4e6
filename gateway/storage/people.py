"""People: one per campaign, role and e-mail. Found, stored and completed in whole lists.

A referrer who is only *named* by signups has ``signed_up`` false and may lack an e-mail; a signup or an import completes it.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, Literal, NamedTuple

import msgspec
from sqlalchemy import ColumnElement, Row, and_, bindparam, case, func, literal, or_, select, update

from gateway.storage.columns import UtcTime, new_id
from gateway.storage.engine import AsyncConnection, among, insert
from gateway.storage.tables import people
from gateway.storage.upsert import AlreadyThere
from gateway.storage.wanted import wanted
from gateway_schemas.base import FieldValue
from gateway_schemas.manifest import Role
from gateway_schemas.person import CrmState, ReferralState

Identifier = Literal["email_hash", "external_id", "code"]


class PersonRow(msgspec.Struct, frozen=True, kw_only=True):
    """A person as it stands; see ``tables.people`` for what each column means."""

    id: str
    account_id: str
    campaign_id: str
    role: Role
    email: str | None = None
    email_hash: str | None = None
    first_name: str | None = None
    last_name: str | None = None
    phone: str | None = None
    external_id: str | None = None
    code: str | None = None
    link: str | None = None
    fields: dict[str, FieldValue] = {}
    source: str | None = None
    signed_up: bool = True
    test: bool = False
    state: ReferralState | None = None
    crm: CrmState = "waiting"
    crm_cause: str | None = None
    crm_note: str | None = None
    crm_since: datetime
    cannot_qualify: str | None = None
    referrer_id: str | None = None
    base_referrals: int = 0
    base_qualified: int = 0
    referrals: int = 0
    qualified: int = 0
    sale_amount: Decimal | None = None
    sale_currency: str | None = None
    qualified_at: datetime | None = None
    qualified_by: dict[str, Any] | None = None
    manual: bool = False
    sequence: int = 0
    swept_at: datetime | None = None
    signed_up_at: datetime
    accepted_at: datetime | None = None
    created_at: datetime
    updated_at: datetime


COLUMNS = [people.c[name] for name in PersonRow.__struct_fields__]
_NAMES = PersonRow.__struct_fields__

COMPLETED = (
    "email", "email_hash", "first_name", "last_name", "phone", "external_id", "code", "link", "fields", "source", "signed_up", "test",
    "state", "crm", "crm_cause", "crm_since", "referrer_id", "signed_up_at", "accepted_at", "updated_at",
)  # fmt: skip
"""Columns that a signup may fill or change of a person who is there already."""


class Name(NamedTuple):
    """What identifies a person inside a campaign and role."""

    account_id: str
    campaign_id: str
    role: str
    value: str


def new_person_id() -> str:
    """Return an id for a person."""
    return new_id("per")


def row_of(row: Row[Any]) -> PersonRow:
    """Return the Struct of a row that was selected as ``COLUMNS``."""
    return PersonRow(**dict(zip(_NAMES, row, strict=True)))


# --- reading ---------------------------------------------------------------------------------------


async def find(conn: AsyncConnection, identifier: Identifier, names: Collection[Name]) -> list[PersonRow]:
    """Return the people who have one of these e-mail hashes, external ids or codes, in one statement.

    Nobody else changes them until the commit, when it is the writer who asks.
    """
    if not names:
        return []
    given = wanted(conn, ("account_id", "campaign_id", "role", "value"), sorted(names))
    same = and_(
        people.c.account_id == given.c.account_id,
        people.c.campaign_id == given.c.campaign_id,
        people.c.role == given.c.role,
        people.c[identifier] == given.c.value,
    )
    statement = select(*COLUMNS).join_from(given, people, same).order_by(people.c.id)
    return [row_of(row) for row in await conn.execute(statement.with_for_update(of=people, key_share=True))]


async def by_ids(conn: AsyncConnection, ids: Collection[str]) -> dict[str, PersonRow]:
    """Return people by id; unknown ids are left out."""
    if not ids:
        return {}
    found = await conn.execute(select(*COLUMNS).where(among(conn, people.c.id, ids)))
    return {row.id: row for row in map(row_of, found)}


async def by_id(conn: AsyncConnection, person_id: str) -> PersonRow | None:
    """Return one person, of whichever account."""
    return (await by_ids(conn, [person_id])).get(person_id)


async def matching(
    conn: AsyncConnection, account_id: str, ref: str, *, campaign_id: str | None = None, role: str | None = None
) -> list[PersonRow]:
    """Return the people of an account that ``per_…`` or ``ext:…`` means; an external id may name several, by campaign and role."""
    if ref.startswith("ext:"):
        named = people.c.external_id == ref.removeprefix("ext:")
    else:
        named = people.c.id == ref
    narrowed = [
        people.c[name] == value for name, value in (("campaign_id", campaign_id), ("role", role)) if value is not None
    ]
    found = await conn.execute(
        select(*COLUMNS).where(people.c.account_id == account_id, named, *narrowed).order_by(people.c.id).limit(20)
    )
    return [row_of(row) for row in found]


async def get(conn: AsyncConnection, account_id: str, ref: str) -> PersonRow | None:
    """Return the person that ``per_…`` or ``ext:…`` means, the newest where an external id names several."""
    found = await matching(conn, account_id, ref)
    return found[-1] if found else None


class Query(msgspec.Struct, frozen=True, kw_only=True):
    """Which people to list.

    Attributes:
        state: A referral state (``pending`` …) or a CRM state (``held`` …).
        words: Part of a name, in any case.
        exact: An id, external id or code; ``email_hash`` that of a whole e-mail.
        after: Id of the last person of the page before.
    """

    account_id: str
    campaign_id: str | None = None
    role: str | None = None
    state: str | None = None
    words: str | None = None
    exact: str | None = None
    email_hash: str | None = None
    after: str | None = None
    limit: int = 50


async def search(conn: AsyncConnection, query: Query) -> list[PersonRow]:
    """Return one page of people, newest first."""
    conditions: list[ColumnElement[bool]] = [people.c.account_id == query.account_id]
    for column, value in ((people.c.campaign_id, query.campaign_id), (people.c.role, query.role)):
        if value is not None:
            conditions.append(column == value)
    if query.state is not None:
        conditions.append(or_(people.c.state == query.state, people.c.crm == query.state))
    named: list[ColumnElement[bool]] = []
    if query.words:
        whole = func.coalesce(people.c.first_name, "") + " " + func.coalesce(people.c.last_name, "")
        named.append(whole.icontains(query.words, autoescape=True))
    if query.exact:
        named += [people.c.id == query.exact, people.c.external_id == query.exact, people.c.code == query.exact]
    if query.email_hash:
        named.append(people.c.email_hash == query.email_hash)
    if named:
        conditions.append(or_(*named))
    if query.after is not None:
        conditions.append(people.c.id < query.after)
    found = await conn.execute(select(*COLUMNS).where(*conditions).order_by(people.c.id.desc()).limit(query.limit))
    return [row_of(row) for row in found]


# --- storing ---------------------------------------------------------------------------------------


async def store(conn: AsyncConnection, new: Sequence[PersonRow], changed: Sequence[PersonRow]) -> bool:
    """Insert new people and complete known ones; return False, with nothing written, if another process was first.

    The caller then looks again and decides anew. On SQLite nobody else can be first: the transaction holds the write lock.
    """
    if conn.dialect.name == "sqlite":
        if len(await _insert(conn, new)) != len(new):
            raise RuntimeError("people were refused as duplicates although nobody else writes")
        await _complete(conn, changed)
        return True
    savepoint = await conn.begin_nested()
    try:
        inserted = await _insert(conn, new)
        if len(inserted) == len(new):
            await _complete(conn, changed)
            await savepoint.commit()
            return True
    except AlreadyThere:
        pass
    await savepoint.rollback()
    return False


async def _insert(conn: AsyncConnection, new: Sequence[PersonRow]) -> set[str]:
    if not new:
        return set()
    rows = [{name: getattr(row, name) for name in _NAMES} for row in new]
    rows.sort(
        key=lambda row: (row["account_id"], row["campaign_id"], row["role"], row["email_hash"] or "", row["id"])
    )  # no deadlocks
    inserted = await conn.execute(insert(conn, people).on_conflict_do_nothing().returning(people.c.id), rows)
    return set(inserted.scalars())


async def _complete(conn: AsyncConnection, changed: Sequence[PersonRow]) -> None:
    if not changed:
        return
    statement = (
        update(people)
        .where(people.c.id == bindparam("b_id"))
        .values({name: bindparam(f"b_{name}", type_=people.c[name].type) for name in COMPLETED})
    )
    rows = [
        {"b_id": row.id, **{f"b_{name}": getattr(row, name) for name in COMPLETED}}
        for row in sorted(changed, key=lambda one: one.id)
    ]
    await conn.execute(statement, rows)


async def add_referrals(conn: AsyncConnection, numbers: Mapping[str, int], now: datetime) -> None:
    """Add to how many people each referrer brought."""
    if not numbers:
        return
    statement = (
        update(people)
        .where(people.c.id == bindparam("b_id"))
        .values(
            referrals=people.c.referrals + bindparam("b_number"),
            updated_at=bindparam("b_now", type_=people.c.updated_at.type),
        )
    )
    await conn.execute(
        statement, [{"b_id": person, "b_number": numbers[person], "b_now": now} for person in sorted(numbers)]
    )


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """New values of one person's columns."""

    id: str
    values: dict[str, Any]


async def change(conn: AsyncConnection, changes: Sequence[Change], now: datetime) -> None:
    """Write changes of people; those that change the same columns go together.

    Raises:
        AlreadyThere: A code is another person's.
    """
    by_columns: dict[tuple[str, ...], list[Change]] = {}
    for one in changes:
        if one.values:
            by_columns.setdefault(tuple(sorted(one.values)), []).append(one)
    for names, some in by_columns.items():
        statement = (
            update(people)
            .where(people.c.id == bindparam("b_id"))
            .values(
                {name: bindparam(f"b_{name}", type_=people.c[name].type) for name in names}
                | {"updated_at": bindparam("b_now", type_=people.c.updated_at.type)}
            )
        )
        rows = [
            {"b_id": one.id, "b_now": now, **{f"b_{name}": one.values[name] for name in names}}
            for one in sorted(some, key=lambda each: each.id)
        ]
        await conn.execute(statement, rows)


async def lock(conn: AsyncConnection, ids: Collection[str]) -> dict[str, PersonRow]:
    """Return people as they stand now, unchanged by others until the commit."""
    if not ids:
        return {}
    statement = select(*COLUMNS).where(among(conn, people.c.id, ids)).order_by(people.c.id).with_for_update()
    return {row.id: row for row in map(row_of, await conn.execute(statement))}


# --- the CRM side ----------------------------------------------------------------------------------


async def set_crm(
    conn: AsyncConnection,
    ids: Collection[str],
    crm: CrmState,
    now: datetime,
    *,
    cause: str | None = None,
    note: str | None = None,
    unless: Iterable[CrmState] = (),
) -> None:
    """Say how people stand with the CRM, and why; ``crm_since`` moves only when the state does."""
    await conn.execute(
        update(people)
        .where(among(conn, people.c.id, ids), people.c.crm.not_in(list(unless)))
        .values(
            crm=crm,
            crm_cause=cause,
            crm_note=note,
            crm_since=case((people.c.crm == crm, people.c.crm_since), else_=literal(now, UtcTime)),
            updated_at=now,
        )
    )


async def clear_cause(conn: AsyncConnection, account_id: str, campaign_id: str, role: str, cause: str) -> None:
    """Forget why people wait: what they waited for was mended."""
    await conn.execute(
        update(people)
        .where(
            people.c.account_id == account_id,
            people.c.campaign_id == campaign_id,
            people.c.role == role,
            people.c.crm == "waiting",
            people.c.crm_cause == cause,
        )
        .values(crm_cause=None, crm_note=None)
    )


class Held(msgspec.Struct, frozen=True, kw_only=True):
    """Which held signups are meant.

    Attributes:
        since: Signed up then or later.
        held_since: Held then or later; null: however long.
    """

    account_id: str
    campaign_id: str | None = None
    role: str | None = None
    since: datetime | None = None
    held_since: datetime | None = None


HELD_CAUSES = ("no_connection", "no_setup")


def _held(which: Held) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = [
        people.c.account_id == which.account_id,
        people.c.crm == "held",
        people.c.crm_cause.in_(HELD_CAUSES),
        people.c.signed_up,
    ]
    if which.campaign_id is not None:
        conditions.append(people.c.campaign_id == which.campaign_id)
    if which.role is not None:
        conditions.append(people.c.role == which.role)
    if which.since is not None:
        conditions.append(people.c.signed_up_at >= which.since)
    if which.held_since is not None:
        conditions.append(people.c.crm_since >= which.held_since)
    return conditions


async def held(conn: AsyncConnection, which: Held, *, after: str = "", limit: int = 500) -> list[PersonRow]:
    """Return one batch of held signups by id, nobody else changing them until the commit."""
    statement = select(*COLUMNS).where(*_held(which), people.c.id > after).order_by(people.c.id).limit(limit)
    return [row_of(row) for row in await conn.execute(statement.with_for_update())]


async def count_held(conn: AsyncConnection, which: Held) -> dict[tuple[str, str], int]:
    """Return how many signups are held, by campaign and role."""
    statement = (
        select(people.c.campaign_id, people.c.role, func.count())
        .where(*_held(which))
        .group_by(people.c.campaign_id, people.c.role)
    )
    return {(campaign, role): number for campaign, role, number in await conn.execute(statement)}


async def sharing_email(conn: AsyncConnection, account_id: str, email_hash: str) -> list[PersonRow]:
    """Return every person of an account with this e-mail, in all campaigns and roles."""
    found = await conn.execute(
        select(*COLUMNS).where(people.c.email_hash == email_hash, people.c.account_id == account_id)
    )
    return [row_of(row) for row in found]


async def brought_by(conn: AsyncConnection, referrer_ids: Collection[str]) -> list[str]:
    """Return the ids of the people whom these referrers brought."""
    found = await conn.execute(select(people.c.id).where(among(conn, people.c.referrer_id, referrer_ids)))
    return list(found.scalars())
