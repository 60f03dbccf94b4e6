"""Pushes: where a signup goes, what it sends (frozen at the first attempt), and what a failed one had done."""

from collections.abc import Collection, Sequence
from datetime import datetime
from functools import cache
from typing import Any, Literal, NamedTuple

import msgspec
from sqlalchemy import Executable, Select, and_, delete, exists, literal, select, text, update

from gateway.storage.connections import lane_of
from gateway.storage.engine import AsyncConnection, among, insert
from gateway.storage.prepared import as_wanted, insert_into, prepared, wanted_rows
from gateway.storage.tables import accounts, connections, pushes, setups, tasks
from gateway_schemas.base import FieldValue
from gateway_schemas.records import RecordRef


class Place(NamedTuple):
    """What decides where a signup goes."""

    account_id: str
    campaign_id: str
    role: str


class Destination(msgspec.Struct, frozen=True, kw_only=True):
    """The CRM connection of an account, and its setup for one campaign and role.

    Attributes:
        setup_id: Null when the role has no setup, so that nothing can go there.
        active: False while it needs re-authorisation: its lane is held.
        sources: What the setup maps, where that was asked for.
    """

    connection_id: str
    integration: str
    identity: str
    active: bool
    setup_id: str | None
    sources: frozenset[str] = frozenset()

    @property
    def lane(self) -> str:
        """The lane of the vendor tenant."""
        return lane_of(self.integration, self.identity)


async def lock_accounts(conn: AsyncConnection, account_ids: Collection[str], *, change: bool = False) -> None:
    """Keep the CRM side of accounts from changing (``change``: keep signups from coming in) until the commit.

    A signup that sees no connection is held; a connection that becomes active releases what is held. Without this the
    two could miss each other, and the signup would be held for ever. SQLite has one writer at a time and needs no lock.
    """
    if conn.dialect.name == "postgresql" and account_ids:
        statement = select(accounts.c.id).where(among(conn, accounts.c.id, account_ids)).order_by(accounts.c.id)
        await conn.execute(statement.with_for_update(read=not change, key_share=change))


async def destinations(
    conn: AsyncConnection, places: Collection[Place], *, sources: bool = False
) -> dict[Place, Destination]:
    """Return where signups of these places go; places of accounts without a connected CRM are left out.

    Args:
        conn: A connection.
        places: Accounts, campaigns and roles.
        sources: Read what the setups map, too.
    """
    if not places:
        return {}
    dialect = conn.dialect.name
    found = await conn.execute(
        _destinations(dialect, sources=sources), as_wanted(dialect, Place._fields, sorted(places))
    )
    return {
        Place(row.account_id, row.campaign_id, row.role): Destination(
            connection_id=row.id,
            integration=row.integration,
            identity=row.identity,
            active=row.state == "active",
            setup_id=row.setup_id,
            sources=frozenset(entry["source"] for entry in row.body["mapping"])
            if sources and row.body
            else frozenset(),
        )
        for row in found
    }


@cache
def _destinations(dialect: str, *, sources: bool) -> Select[Any]:
    given = wanted_rows(dialect, Place._fields)
    crm = and_(
        connections.c.account_id == given.c.account_id,
        connections.c.category == "crm",
        connections.c.state.in_(["active", "needs_reauth"]),
        connections.c.identity.is_not(None),
    )
    setup = and_(
        setups.c.connection_id == connections.c.id,
        setups.c.campaign_id == given.c.campaign_id,
        setups.c.role == given.c.role,
    )
    return select(
        given.c.account_id, given.c.campaign_id, given.c.role,
        connections.c.id, connections.c.integration, connections.c.identity, connections.c.state,
        setups.c.id.label("setup_id"),
        *([setups.c.body] if sources else []),
    ).select_from(given.join(connections, crm).outerjoin(setups, setup))  # fmt: skip


async def left_behind(
    conn: AsyncConnection, account_id: str, kind: str, lane: str, limit: int = 500
) -> list[dict[str, Any]]:
    """Return the arguments and ids of waiting and parked tasks of an account in the lanes of CRMs that it has left."""
    left = await conn.execute(
        select(connections.c.integration, connections.c.identity)
        .where(
            connections.c.account_id == account_id, connections.c.category == "crm", connections.c.identity.is_not(None)
        )
        .distinct()
    )
    lanes = {lane_of(integration, identity) for integration, identity in left} - {lane}
    if not lanes:
        return []
    live = text("(tasks.state = 'available' or tasks.state = 'parked')")  # literal, for the partial indexes
    statement = (
        select(tasks.c.id, tasks.c.args)
        .where(tasks.c.lane.in_(sorted(lanes)), live, tasks.c.kind == kind, tasks.c.account_id == account_id)
        .limit(limit)
    )
    return [{"task": row.id, **row.args} for row in await conn.execute(statement)]


# --- what is sent ----------------------------------------------------------------------------------


class Frozen(msgspec.Struct, frozen=True, kw_only=True):
    """What a push sends; the same at every attempt until a refusal proves that nothing was written.

    Attributes:
        existing: Contacts with this e-mail that were there before the first write; null: not asked for.
        existing_complete: The index was complete, or the vendor's search found some.
    """

    reference: str
    role: Literal["referred", "referrer"]
    campaign_name: str
    email: str
    values: dict[str, dict[str, FieldValue]]
    target: str
    target_options: dict[str, str]
    duplicates: str
    notes: list[str] = []
    existing: list[RecordRef] | None = None
    existing_complete: bool = True


class PushRow(msgspec.Struct, frozen=True, kw_only=True):
    """The frozen push of a person to one connection; ``steps`` is what a failed task had done."""

    person_id: str
    connection_id: str
    setup_id: str
    frozen: Frozen | None
    frozen_at: datetime
    steps: dict[str, Any] | None


async def sent(conn: AsyncConnection, person_ids: Collection[str], connection_id: str) -> dict[str, Frozen]:
    """Return what people's signups sent to a connection; those of whom nothing is frozen any more are left out."""
    statement = select(pushes.c.person_id, pushes.c.frozen).where(
        among(conn, pushes.c.person_id, person_ids), pushes.c.connection_id == connection_id
    )
    return {
        row.person_id: msgspec.convert(row.frozen, Frozen)
        for row in await conn.execute(statement)
        if row.frozen is not None
    }


class PushKey(NamedTuple):
    """A person and the vendor tenant that the push goes to, by whichever of the account's connections to it."""

    person_id: str
    integration: str
    identity: str


@prepared
def _get(dialect: str) -> Select[Any]:
    given = wanted_rows(dialect, PushKey._fields)
    tenant = and_(
        connections.c.id == pushes.c.connection_id,
        connections.c.integration == given.c.integration,
        connections.c.identity == given.c.identity,
    )
    return (
        select(
            *(pushes.c[name] for name in PushRow.__struct_fields__), connections.c.integration, connections.c.identity
        )
        .join_from(given, pushes, pushes.c.person_id == given.c.person_id)
        .join(connections, tenant)
        .order_by(pushes.c.frozen_at)
    )


class ToFreeze(msgspec.Struct, frozen=True, kw_only=True):
    """What a push is about to send; ``frozen_at`` is the state of the person that it shows."""

    person_id: str
    connection_id: str
    setup_id: str
    frozen: Frozen
    frozen_at: datetime


async def freeze(conn: AsyncConnection, new: Sequence[ToFreeze]) -> None:
    """Store what pushes send, in one statement; what was frozen first stays."""
    if new:
        rows = sorted(map(msgspec.structs.asdict, new), key=lambda row: (row["person_id"], row["connection_id"]))
        await conn.execute(_freeze(conn), rows)


@prepared
def _freeze(dialect: str) -> Executable:
    statement = insert_into(dialect, pushes)
    new = statement.excluded
    return statement.on_conflict_do_update(
        index_elements=[pushes.c.person_id, pushes.c.connection_id],
        set_={"frozen": new.frozen, "frozen_at": new.frozen_at, "setup_id": new.setup_id},
        where=pushes.c.frozen.is_(None),
    )


async def get(conn: AsyncConnection, keys: Collection[PushKey]) -> dict[PushKey, PushRow]:
    """Return the newest push of each person to a vendor tenant, in one statement; where there is none, nothing."""
    names = PushRow.__struct_fields__
    found = await conn.execute(_get(conn), as_wanted(conn.dialect.name, PushKey._fields, sorted(set(keys))))
    return {  # the newest comes last
        PushKey(row.person_id, row.integration, row.identity): msgspec.convert(
            dict(zip(names, row[: len(names)], strict=True)), PushRow
        )
        for row in found
    }


async def thaw(conn: AsyncConnection, person_id: str) -> None:
    """Forget the frozen values, so that the next attempt maps anew; only when nothing is in doubt."""
    await conn.execute(update(pushes).where(pushes.c.person_id == person_id).values(frozen=None))


async def keep_steps(
    conn: AsyncConnection, person_id: str, connection_id: str, setup_id: str, steps: dict[str, Any], now: datetime
) -> None:
    """Remember what a task that ended for good had done, for a replay."""
    statement = insert(conn, pushes).values(
        person_id=person_id, connection_id=connection_id, setup_id=setup_id, frozen=None, frozen_at=now, steps=steps
    )
    await conn.execute(
        statement.on_conflict_do_update(
            index_elements=[pushes.c.person_id, pushes.c.connection_id], set_={"steps": statement.excluded.steps}
        )
    )


async def keep_task_steps(conn: AsyncConnection, person_id: str, task_id: str) -> None:
    """Remember what a task that ended had done at its vendor tenant; without a frozen push it had done nothing."""
    mine = tasks.c.id == task_id
    steps = select(tasks.c.steps).where(mine).scalar_subquery()
    lane = literal("vendor:") + connections.c.integration + ":" + connections.c.identity
    same = exists().where(
        mine, tasks.c.steps.is_not(None), connections.c.id == pushes.c.connection_id, tasks.c.lane == lane
    )
    await conn.execute(update(pushes).where(pushes.c.person_id == person_id, same).values(steps=steps))


async def forget(conn: AsyncConnection, person_id: str) -> None:
    """Forget what was sent for a person; the next push starts from nothing."""
    await conn.execute(delete(pushes).where(pushes.c.person_id == person_id))
