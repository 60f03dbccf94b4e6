"""Campaigns, and the setup of a connection for one campaign and role.

A setup belongs to a connection, and remembers the vendor identity: after a disconnect it is kept, and a new
connection to the same vendor tenant adopts it.
"""

import hashlib
from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any, NamedTuple

import msgspec
from sqlalchemy import ColumnElement, Row, Select, and_, delete, exists, or_, select, update

from gateway.storage.columns import new_id
from gateway.storage.engine import AsyncConnection, insert
from gateway.storage.prepared import as_wanted, prepared, wanted_rows
from gateway.storage.tables import campaigns, connections, setups
from gateway_schemas.campaign import (
    CampaignInput,
    CampaignState,
    FormField,
    RewardRule,
    SetupInput,
    SetupProblem,
    SetupState,
)
from gateway_schemas.manifest import Role
from gateway_schemas.records import Field


class CampaignRow(msgspec.Struct, frozen=True, kw_only=True):
    """A campaign as it stands; ``id`` is the host's own."""

    account_id: str
    id: str
    name: str
    state: CampaignState
    fields: list[FormField]
    link_template: str | None
    rewards: list[RewardRule]
    created_at: datetime
    updated_at: datetime


class Resolved(msgspec.Struct, frozen=True, kw_only=True):
    """What a setup means at the vendor, as last seen there.

    Attributes:
        accepts: Parameter of the qualification rule → values that count (*this or a later one*, written out).
        labels: ``{key}:{value}`` → the vendor's label: of chosen target options, and of all values that a parameter
            offers, since what was seen instead is told by name.
        fields: Record kind → fields that the setup names; ``required`` where a push cannot do without a value.
        warnings: What was saved although it may disappoint.
    """

    accepts: dict[str, list[str]] = {}
    labels: dict[str, str] = {}
    fields: dict[str, list[Field]] = {}
    warnings: list[SetupProblem] = []


class SetupRow(msgspec.Struct, frozen=True, kw_only=True):
    """A saved setup.

    Attributes:
        body: As it was saved, suggested rows filled in.
        problems: Why it needs attention; empty when it is ready.
        updated_at: When a person saved it last; marks and checks leave it alone.
    """

    id: str
    account_id: str
    campaign_id: str
    role: Role
    connection_id: str
    integration: str
    identity: str
    body: SetupInput
    resolved: Resolved
    state: SetupState
    problems: list[SetupProblem]
    updated_at: datetime


_CAMPAIGN = [campaigns.c[name] for name in CampaignRow.__struct_fields__]
_SETUP = [setups.c[name] for name in SetupRow.__struct_fields__]


class CampaignKey(NamedTuple):
    """What names a campaign: its id is the host's own."""

    account_id: str
    campaign_id: str


class SetupKey(NamedTuple):
    """What names a setup."""

    connection_id: str
    campaign_id: str
    role: str


# --- campaigns -------------------------------------------------------------------------------------


async def get(conn: AsyncConnection, account_id: str, campaign_id: str) -> CampaignRow | None:
    """Return one campaign of an account."""
    key = CampaignKey(account_id, campaign_id)
    return (await at(conn, [key])).get(key)


async def at(conn: AsyncConnection, keys: Collection[CampaignKey]) -> dict[CampaignKey, CampaignRow]:
    """Return campaigns of many accounts; those that do not exist are left out."""
    found = await conn.execute(_at(conn), as_wanted(conn.dialect.name, CampaignKey._fields, sorted(set(keys))))
    return {CampaignKey(row.account_id, row.id): row for row in map(_campaign, found)}


@prepared
def _at(dialect: str) -> Select[Any]:
    given = wanted_rows(dialect, CampaignKey._fields)
    same = and_(campaigns.c.account_id == given.c.account_id, campaigns.c.id == given.c.campaign_id)
    return select(*_CAMPAIGN).join_from(given, campaigns, same)


async def lock(conn: AsyncConnection, account_id: str, campaign_id: str) -> CampaignRow | None:
    """Return one campaign of an account, and keep others from changing it until the commit."""
    found = await conn.execute(
        select(*_CAMPAIGN).where(campaigns.c.account_id == account_id, campaigns.c.id == campaign_id).with_for_update()
    )
    row = found.one_or_none()
    return None if row is None else _campaign(row)


def mark_of(saved: Any) -> str:
    """Return a mark of what is saved: a page that shows it sends it back, and whoever saved meanwhile is noticed.

    Args:
        saved: A body, or a part of one; ``None``: nothing is saved.
    """
    return "" if saved is None else hashlib.sha256(msgspec.json.encode(saved)).hexdigest()[:24]


async def by_ids(conn: AsyncConnection, account_id: str, ids: Sequence[str]) -> dict[str, CampaignRow]:
    """Return those of an account's campaigns that exist, by id."""
    found = await at(conn, [CampaignKey(account_id, one) for one in ids])
    return {row.id: row for row in found.values()}


async def list_campaigns(
    conn: AsyncConnection,
    account_id: str,
    *,
    limit: int | None = 200,
    after: str | None = None,
    skip: int = 0,
    words: str | None = None,
) -> list[CampaignRow]:
    """Return an account's campaigns by id, at most ``limit``, beginning behind the id ``after``.

    Args:
        conn: A connection.
        account_id: Whose.
        limit: How many at most; null: all.
        after: Id of the last one of the page before.
        skip: So many are left out at the beginning.
        words: Part of a name or id, in any case; null or empty: all.
    """
    statement = select(*_CAMPAIGN).where(campaigns.c.account_id == account_id)
    if words:
        named = (column.icontains(words, autoescape=True) for column in (campaigns.c.name, campaigns.c.id))
        statement = statement.where(or_(*named))
    if after is not None:
        statement = statement.where(campaigns.c.id > after)
    return [
        _campaign(row)
        for row in await conn.execute(statement.order_by(campaigns.c.id).limit(limit).offset(skip or None))
    ]


async def upsert(
    conn: AsyncConnection, account_id: str, campaign_id: str, given: CampaignInput, now: datetime
) -> CampaignRow:
    """Store a campaign as the host declares it; saying the same again changes nothing, ``updated_at`` included."""
    said = {
        "name": given.name,
        "state": given.state,
        "fields": given.fields,
        "link_template": given.link_template,
        "rewards": given.rewards,
    }
    statement = insert(conn, campaigns).values(
        account_id=account_id, id=campaign_id, **said, created_at=now, updated_at=now
    )
    new = statement.excluded
    differs = or_(*(campaigns.c[name].is_distinct_from(new[name]) for name in said))
    await conn.execute(
        statement.on_conflict_do_update(
            index_elements=[campaigns.c.account_id, campaigns.c.id],
            set_={name: new[name] for name in (*said, "updated_at")},
            where=differs,
        )
    )
    saved = await get(conn, account_id, campaign_id)
    assert saved is not None
    return saved


# --- setups ----------------------------------------------------------------------------------------


async def setup(conn: AsyncConnection, connection_id: str, campaign_id: str, role: str) -> SetupRow | None:
    """Return the setup of a connection for one campaign and role."""
    key = SetupKey(connection_id, campaign_id, role)
    return (await setups_at(conn, [key])).get(key)


async def setups_at(conn: AsyncConnection, keys: Collection[SetupKey]) -> dict[SetupKey, SetupRow]:
    """Return setups of many connections; those that do not exist are left out."""
    found = await conn.execute(_setups_at(conn), as_wanted(conn.dialect.name, SetupKey._fields, sorted(set(keys))))
    return {SetupKey(row.connection_id, row.campaign_id, row.role): row for row in map(_setup, found)}


@prepared
def _setups_at(dialect: str) -> Select[Any]:
    given = wanted_rows(dialect, SetupKey._fields)
    same = and_(*(setups.c[name] == given.c[name] for name in SetupKey._fields))
    return select(*_SETUP).join_from(given, setups, same)


async def setup_by_id(conn: AsyncConnection, setup_id: str) -> SetupRow | None:
    """Return one setup."""
    return await _one(conn, setups.c.id == setup_id)


async def setups_of(conn: AsyncConnection, connection_id: str) -> list[SetupRow]:
    """Return all setups of a connection."""
    return await _many(conn, setups.c.connection_id == connection_id)


async def setups_of_campaign(conn: AsyncConnection, account_id: str, campaign_id: str) -> list[SetupRow]:
    """Return all setups of a campaign, those of disconnected connections too, the one saved last first."""
    found = await _many(conn, and_(setups.c.account_id == account_id, setups.c.campaign_id == campaign_id))
    return sorted(found, key=lambda row: row.updated_at, reverse=True)


async def save_setup(conn: AsyncConnection, row: SetupRow) -> SetupRow:
    """Store a setup under its connection, campaign and role; one that is there keeps its id."""
    values = {name: getattr(row, name) for name in SetupRow.__struct_fields__}
    statement = insert(conn, setups).values(**values)
    new = statement.excluded
    kept = ("id", "connection_id", "campaign_id", "role")
    saved = await conn.execute(
        statement.on_conflict_do_update(
            index_elements=[setups.c.connection_id, setups.c.campaign_id, setups.c.role],
            set_={name: new[name] for name in values if name not in kept},
        ).returning(*_SETUP)
    )
    return _setup(saved.one())


async def delete_setup(conn: AsyncConnection, setup_id: str) -> None:
    """Remove a setup."""
    await conn.execute(delete(setups).where(setups.c.id == setup_id))


async def lock_setup(conn: AsyncConnection, setup_id: str) -> SetupRow | None:
    """Return one setup, and keep others from changing it until the commit."""
    row = (await conn.execute(select(*_SETUP).where(setups.c.id == setup_id).with_for_update())).one_or_none()
    return None if row is None else _setup(row)


async def mark(
    conn: AsyncConnection,
    setup_id: str,
    *,
    state: SetupState,
    problems: Sequence[SetupProblem],
    resolved: Resolved | None = None,
) -> None:
    """Write what a check found; ``resolved`` where it was read anew. ``updated_at`` stays."""
    values: dict[str, Any] = {"state": state, "problems": list(problems)}
    if resolved is not None:
        values["resolved"] = resolved
    await conn.execute(update(setups).where(setups.c.id == setup_id).values(**values))


async def adopt(
    conn: AsyncConnection, account_id: str, integration: str, identity: str, new_connection_id: str
) -> list[SetupRow]:
    """Give an account's setups of disconnected connections to a new connection to the same vendor identity.

    Of several for one campaign and role the one saved last is taken; one that the new connection has already stays.

    Returns:
        The setups that were adopted; what waits for them may go out now.
    """
    other = setups.alias("other")
    same = and_(
        other.c.account_id == setups.c.account_id,
        other.c.integration == setups.c.integration,
        other.c.identity == setups.c.identity,
        other.c.campaign_id == setups.c.campaign_id,
        other.c.role == setups.c.role,
        other.c.id != setups.c.id,
    )
    newer = or_(
        other.c.updated_at > setups.c.updated_at,
        and_(other.c.updated_at == setups.c.updated_at, other.c.id > setups.c.id),
    )
    left_behind = exists().where(connections.c.id == setups.c.connection_id, connections.c.state == "disconnected")
    adopted = await conn.execute(
        update(setups)
        .where(
            setups.c.account_id == account_id,
            setups.c.integration == integration,
            setups.c.identity == identity,
            setups.c.connection_id != new_connection_id,
            left_behind,
            ~exists().where(same, or_(other.c.connection_id == new_connection_id, newer)),
        )
        .values(connection_id=new_connection_id)
        .returning(*_SETUP)
    )
    return [_setup(row) for row in adopted]


async def setups_to_check(conn: AsyncConnection) -> list[tuple[str, str, str, str]]:
    """Return the active connections that have setups: id, account, integration and vendor identity."""
    found = await conn.execute(
        select(connections.c.id, connections.c.account_id, connections.c.integration, connections.c.identity)
        .where(
            connections.c.state == "active",
            connections.c.identity.is_not(None),
            exists().where(setups.c.connection_id == connections.c.id),
        )
        .order_by(connections.c.id)
    )
    return [(row.id, row.account_id, row.integration, row.identity) for row in found]


def new_setup_id() -> str:
    """Return an id for a setup."""
    return new_id("set")


async def _one(conn: AsyncConnection, condition: ColumnElement[bool]) -> SetupRow | None:
    row = (await conn.execute(select(*_SETUP).where(condition))).one_or_none()
    return None if row is None else _setup(row)


async def _many(conn: AsyncConnection, condition: ColumnElement[bool]) -> list[SetupRow]:
    return [_setup(row) for row in await conn.execute(select(*_SETUP).where(condition).order_by(setups.c.id))]


def _campaign(row: Row[Any]) -> CampaignRow:
    return msgspec.convert(dict(zip(CampaignRow.__struct_fields__, row, strict=True)), CampaignRow)


def _setup(row: Row[Any]) -> SetupRow:
    return msgspec.convert(dict(zip(SetupRow.__struct_fields__, row, strict=True)), SetupRow)
