"""People: one per campaign, role and e-mail. Found, stored and completed in whole lists.

A referrer who is only *named* by signups has ``signed_up`` false and may lack an e-mail; a signup or an import
completes it.
"""

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from decimal import Decimal
from functools import cache
from typing import Any, Literal, NamedTuple

import msgspec
from sqlalchemy import Row, Select, Update, and_, bindparam, case, select, update

from gateway.storage.columns import UtcTime, new_id
from gateway.storage.engine import AsyncConnection, among
from gateway.storage.prepared import as_wanted, one_of, prepared, wanted_rows
from gateway.storage.tables import people
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
    dialect = conn.dialect.name
    found = await conn.execute(_find(dialect, identifier), as_wanted(dialect, Name._fields, sorted(names)))
    return [row_of(row) for row in found]


@cache
def _find(dialect: str, identifier: Identifier) -> Select[Any]:
    given = wanted_rows(dialect, Name._fields)
    same = and_(
        people.c.account_id == given.c.account_id,
        people.c.campaign_id == given.c.campaign_id,
        people.c.role == given.c.role,
        people.c[identifier] == given.c.value,
    )
    found = select(*COLUMNS).join_from(given, people, same).order_by(people.c.id)
    return found.with_for_update(of=people, key_share=True)


async def by_ids(conn: AsyncConnection, ids: Collection[str]) -> dict[str, PersonRow]:
    """Return people by id; unknown ids are left out."""
    if not ids:
        return {}
    found = await conn.execute(_by_ids(conn), {"ids": list(ids)})
    return {row.id: row for row in map(row_of, found)}


def _by_ids_of(dialect: str) -> Select[Any]:
    return select(*COLUMNS).where(one_of(dialect, people.c.id, "ids"))


_by_ids = prepared(_by_ids_of)


async def as_they_stand(conn: AsyncConnection, ids: Collection[str]) -> dict[str, PersonRow]:
    """Return people by id, unchanged by others until the commit; locked in one order, so that writers do not deadlock.

    Other transactions may still add what refers to them.
    """
    if not ids:
        return {}
    found = await conn.execute(_as_they_stand(conn), {"ids": sorted(set(ids))})
    return {row.id: row for row in map(row_of, found)}


@prepared
def _as_they_stand(dialect: str) -> Select[Any]:
    return _by_ids_of(dialect).order_by(people.c.id).with_for_update(key_share=True)


async def email_hashes(conn: AsyncConnection, ids: Collection[str]) -> dict[str, str | None]:
    """Return the e-mail hashes of people by id, null for those who were erased; unknown ids are left out."""
    found = await conn.execute(_email_hashes(conn), {"ids": list(ids)})
    return {row.id: row.email_hash for row in found}


@prepared
def _email_hashes(dialect: str) -> Select[Any]:
    return select(people.c.id, people.c.email_hash).where(one_of(dialect, people.c.id, "ids"))


async def by_id(conn: AsyncConnection, person_id: str) -> PersonRow | None:
    """Return one person, of whichever account."""
    return (await by_ids(conn, [person_id])).get(person_id)


async def matching(
    conn: AsyncConnection, account_id: str, ref: str, *, campaign_id: str | None = None, role: str | None = None
) -> list[PersonRow]:
    """Return the people of an account that ``per_…`` or ``ext:…`` means; an external id may name several."""
    external = ref.startswith("ext:")
    named = people.c.external_id == ref.removeprefix("ext:") if external else people.c.id == ref
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


# --- changing -----------------------------------------------------------------------------------------------


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
    said = {"new_crm": crm, "cause": cause, "note": note, "at": now, "ids": list(ids), "unless": list(unless)}
    await conn.execute(_set_crm(conn), said)


@prepared
def _set_crm(dialect: str) -> Update:
    crm, at = bindparam("new_crm", type_=people.c.crm.type), bindparam("at", type_=UtcTime)
    return (
        update(people)
        .where(one_of(dialect, people.c.id, "ids"), people.c.crm.not_in(bindparam("unless", expanding=True)))
        .values(
            crm=crm,
            crm_cause=bindparam("cause", type_=people.c.crm_cause.type),
            crm_note=bindparam("note", type_=people.c.crm_note.type),
            crm_since=case((people.c.crm == crm, people.c.crm_since), else_=at),
            updated_at=at,
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


async def end_wait(conn: AsyncConnection, account_id: str, cause: str) -> None:
    """Forget why people of an account wait: what they waited for is over."""
    await conn.execute(
        update(people)
        .where(people.c.account_id == account_id, people.c.crm == "waiting", people.c.crm_cause == cause)
        .values(crm_cause=None, crm_note=None)
    )


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
