"""Connections: one row an account's authorised link to one vendor tenant.

A connection that waits for an authorisation which nobody finished lapses by time alone: reads show it as
disconnected from then on, whether or not the periodic sweep has written it yet.
"""

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any, Literal

import msgspec
from sqlalchemy import BindParameter, ColumnElement, Select, and_, bindparam, not_, select, update

from gateway.sdk.clock import Clock
from gateway.storage.engine import AsyncConnection
from gateway.storage.prepared import one_of, prepared
from gateway.storage.tables import connections
from gateway.storage.upsert import insert
from gateway_schemas.connection import Category, ConnectionState, Limitation

__all__ = [
    "LAPSED",
    "ConnectionRow",
    "active",
    "active_crm",
    "add",
    "awaiting_approval",
    "by_id_for_account",
    "by_identity",
    "by_ids",
    "change",
    "count_on_lane",
    "get",
    "identity_in_use",
    "idle_tokens",
    "lane",
    "lane_of",
    "lapse",
    "list_of_account",
    "note_health",
    "open_crm",
    "open_crms",
    "open_of",
    "previous",
    "remind",
    "waiting_for_approval",
]

Webhooks = Literal["healthy", "missing", "unavailable"]
LAPSED = "authorisation_lapsed"
"""``reason`` of a connection whose authorisation nobody finished in time."""


class ConnectionRow(msgspec.Struct, frozen=True, kw_only=True):
    """A connection as it stands.

    Attributes:
        step: Key of the connect step that is to be done now; null when there is none.
        identity: The vendor tenant's id; proven once the connection is active.
        identity_claim: What no two connections of the integration may share.
        properties: What the plugin wants back on each call, and ``api_domain`` of OAuth.
        reason: Why it needs re-authorisation or is disconnected: a stable word, or a sentence.
        webhooks: ``healthy``, ``missing`` or ``unavailable``.
    """

    id: str
    account_id: str
    integration: str
    category: Category
    state: ConnectionState
    step: str | None = None
    identity: str | None = None
    identity_claim: str | None = None
    name: str | None = None
    vendor_user: str | None = None
    granted: list[str] = []
    limitations: list[Limitation] = []
    properties: dict[str, str] = {}
    currency: str | None = None
    return_url: str | None = None
    reason: str | None = None
    created_at: datetime
    state_since: datetime
    expires_at: datetime | None = None
    activated_at: datetime | None = None
    disconnected_at: datetime | None = None
    token_expires_at: datetime | None = None
    token_refreshed_at: datetime | None = None
    refresh_owner: str | None = None
    refresh_until: datetime | None = None
    last_good_call_at: datetime | None = None
    last_webhook_at: datetime | None = None
    last_error: str | None = None
    webhooks: Webhooks = "unavailable"
    inbound_token_hash: str | None = None
    reminded_at: datetime | None = None


_COLUMNS = [connections.c[name] for name in ConnectionRow.__struct_fields__]


def lane(row: ConnectionRow) -> str:
    """Return the lane of a connection's vendor tenant.

    Raises:
        ValueError: It was never connected, so it has none.
    """
    if row.identity is None:
        raise ValueError(f"connection {row.id} has no vendor identity yet")
    return lane_of(row.integration, row.identity)


def lane_of(integration: str, identity: str) -> str:
    """Return the lane of a vendor tenant."""
    return f"vendor:{integration}:{identity}"


# --- reading -------------------------------------------------------------------------------------------


async def get(conn: AsyncConnection, connection_id: str) -> ConnectionRow | None:
    """Return one connection."""
    return (await by_ids(conn, [connection_id])).get(connection_id)


async def by_ids(conn: AsyncConnection, ids: Collection[str]) -> dict[str, ConnectionRow]:
    """Return connections by id; unknown ids are left out."""
    now = _now(conn)
    found = (await conn.execute(_by_ids(conn), {"ids": list(ids)})).mappings()
    return {row.id: row for row in (_as_of(_row(each), now) for each in found)}


@prepared
def _by_ids(dialect: str) -> Select[Any]:
    return select(*_COLUMNS).where(one_of(dialect, connections.c.id, "ids"))


async def by_id_for_account(conn: AsyncConnection, account_id: str, connection_id: str) -> ConnectionRow | None:
    """Return a connection of this account; another account's is ``None`` too."""
    return await _one(conn, connections.c.id == connection_id, connections.c.account_id == account_id)


async def list_of_account(
    conn: AsyncConnection, account_id: str, *, before: str | None = None, limit: int = 50
) -> list[ConnectionRow]:
    """Return an account's connections, newest first, those older than the id ``before``."""
    older = [] if before is None else [connections.c.id < before]
    return await _all(conn, connections.c.account_id == account_id, *older, limit=limit)


def _open(now: datetime | BindParameter[datetime]) -> ColumnElement[bool]:
    return and_(
        connections.c.state != "disconnected",
        not_(
            and_(
                connections.c.state == "awaiting_authorisation",
                connections.c.expires_at.is_not(None),
                connections.c.expires_at <= now,
            )
        ),
    )


@prepared
def _open_crms(dialect: str) -> Select[Any]:
    return select(*_COLUMNS).where(
        one_of(dialect, connections.c.account_id, "accounts"),
        connections.c.category == "crm",
        _open(bindparam("at", type_=connections.c.expires_at.type)),
    )


async def open_crms(conn: AsyncConnection, account_ids: Collection[str]) -> dict[str, ConnectionRow]:
    """Return accounts' CRM connections in any state but disconnected; each has at most one."""
    now = _now(conn)
    found = await conn.execute(_open_crms(conn), {"accounts": list(account_ids), "at": now})
    return {row.account_id: _as_of(_row(row), now) for row in found.mappings()}


async def open_crm(conn: AsyncConnection, account_id: str) -> ConnectionRow | None:
    """Return the account's CRM connection in any state but disconnected; there is at most one."""
    return (await open_crms(conn, [account_id])).get(account_id)


async def active_crm(conn: AsyncConnection, account_id: str) -> ConnectionRow | None:
    """Return the account's CRM connection if it is active."""
    row = await open_crm(conn, account_id)
    return row if row is not None and row.state == "active" else None


async def open_of(conn: AsyncConnection, account_id: str, integration: str) -> ConnectionRow | None:
    """Return the account's connection of one integration that is not disconnected; there is at most one."""
    return await _one(
        conn, connections.c.account_id == account_id, connections.c.integration == integration, _open(_now(conn))
    )


async def active(conn: AsyncConnection, integration: str | None = None) -> list[ConnectionRow]:
    """Return every active connection, newest first."""
    narrowed = [] if integration is None else [connections.c.integration == integration]
    return await _all(conn, connections.c.state == "active", *narrowed)


async def awaiting_approval(conn: AsyncConnection, limit: int = 200) -> list[ConnectionRow]:
    """Return the connections of all accounts that wait for the operator, newest first."""
    return await _all(conn, connections.c.state == "pending_approval", limit=limit)


async def by_identity(conn: AsyncConnection, integration: str, identity: str) -> list[ConnectionRow]:
    """Return the connections to one vendor tenant that are not disconnected, of any account."""
    return await _all(
        conn, connections.c.integration == integration, connections.c.identity == identity, _open(_now(conn))
    )


async def previous(conn: AsyncConnection, row: ConnectionRow) -> list[ConnectionRow]:
    """Return the account's earlier connections to the same vendor tenant, newest first."""
    return await _all(
        conn,
        connections.c.account_id == row.account_id,
        connections.c.integration == row.integration,
        connections.c.identity == row.identity,
        connections.c.state == "disconnected",
        connections.c.id != row.id,
    )


async def identity_in_use(conn: AsyncConnection, row: ConnectionRow, claim: str) -> ConnectionRow | None:
    """Return another connection that has this identity claim and is not disconnected."""
    return await _one(
        conn,
        connections.c.integration == row.integration,
        connections.c.identity_claim == claim,
        connections.c.state != "disconnected",
        connections.c.id != row.id,
    )


async def count_on_lane(conn: AsyncConnection, row: ConnectionRow) -> int:
    """Return how many *other* active connections share the lane of this one (a setting allows it)."""
    if row.identity is None:
        return 0
    sharing = await by_identity(conn, row.integration, row.identity)
    return sum(1 for other in sharing if other.id != row.id and other.state == "active")


async def idle_tokens(
    conn: AsyncConnection, integration: str, before: datetime, limit: int = 200
) -> list[ConnectionRow]:
    """Return active connections of an integration whose tokens were last refreshed before ``before``."""
    return await _all(
        conn,
        connections.c.integration == integration,
        connections.c.state == "active",
        connections.c.token_refreshed_at < before,
        limit=limit,
    )


# --- writing -------------------------------------------------------------------------------------------


async def add(conn: AsyncConnection, row: ConnectionRow) -> bool:
    """Store a new connection unless the account has one (one CRM, one of each integration); return whether it was."""
    statement = insert(conn, connections).values(msgspec.structs.asdict(row)).on_conflict_do_nothing()
    return (await conn.execute(statement.returning(connections.c.id))).one_or_none() is not None


async def change(
    conn: AsyncConnection,
    connection_id: str,
    values: Mapping[str, object] | None = None,
    *,
    states: Collection[ConnectionState] | None = None,
    **more: Any,
) -> ConnectionRow | None:
    """Change columns of a connection; return it as it is then.

    Args:
        conn: The writer's connection.
        connection_id: Which one.
        values: Columns and their new values, or none.
        states: Where given, the states in which the change applies; ``None`` is returned in others.
        more: More columns.
    """
    condition = [connections.c.id == connection_id]
    if states is not None:
        condition.append(connections.c.state.in_(list(states)))
    new = {**(values or {}), **more}
    statement = update(connections).where(*condition).values(new or {"id": connection_id}).returning(*_COLUMNS)
    changed = (await conn.execute(statement)).mappings().one_or_none()
    return None if changed is None else _row(changed)


async def lapse(conn: AsyncConnection, now: datetime, *, account_id: str | None = None) -> list[ConnectionRow]:
    """Disconnect connections whose authorisation nobody finished in time; return them."""
    narrowed = [] if account_id is None else [connections.c.account_id == account_id]
    lapsed = await conn.execute(
        update(connections)
        .where(_lapsed(now), *narrowed)
        .values(state="disconnected", reason=LAPSED, step=None, state_since=now, disconnected_at=now, expires_at=None)
        .returning(*_COLUMNS)
    )
    return [_row(row) for row in lapsed.mappings()]


async def remind(conn: AsyncConnection, since: datetime, now: datetime, limit: int = 200) -> list[ConnectionRow]:
    """Mark connections that have waited for approval since ``since`` or longer as reminded of; return them, once."""
    late = (
        select(connections.c.id)
        .where(
            connections.c.state == "pending_approval",
            connections.c.state_since <= since,
            connections.c.reminded_at.is_(None),
        )
        .order_by(connections.c.id)
        .limit(limit)
    )
    reminded = await conn.execute(
        update(connections).where(connections.c.id.in_(late)).values(reminded_at=now).returning(*_COLUMNS)
    )
    return [_row(row) for row in reminded.mappings()]


async def waiting_for_approval(conn: AsyncConnection) -> list[ConnectionRow]:
    """Return the connections that wait for the operator, those first that have waited longest."""
    statement = select(*_COLUMNS).where(connections.c.state == "pending_approval").order_by(connections.c.state_since)
    return [_row(row) for row in (await conn.execute(statement)).mappings()]


async def note_health(
    conn: AsyncConnection, connection_id: str, *, good_call_at: datetime | None = None, error: str | None = None
) -> None:
    """Note how calls to the vendor went; callers coalesce."""
    values: dict[str, Any] = {"last_error": error}
    if good_call_at is not None:
        values["last_good_call_at"] = good_call_at
    await conn.execute(update(connections).where(connections.c.id == connection_id).values(values))


# --- helpers -------------------------------------------------------------------------------------------


def _lapsed(now: datetime) -> ColumnElement[bool]:
    return and_(connections.c.state == "awaiting_authorisation", connections.c.expires_at <= now)


def _now(conn: AsyncConnection) -> datetime:
    clock: Clock = conn.info["clock"]
    return clock.now()


async def _one(conn: AsyncConnection, *conditions: ColumnElement[bool]) -> ConnectionRow | None:
    found = await _all(conn, *conditions, limit=1)
    return found[0] if found else None


async def _all(
    conn: AsyncConnection, *conditions: ColumnElement[bool], limit: int | None = None
) -> list[ConnectionRow]:
    statement = select(*_COLUMNS).where(*conditions).order_by(connections.c.id.desc())
    found = await conn.execute(statement if limit is None else statement.limit(limit))
    return [_as_of(_row(row), _now(conn)) for row in found.mappings()]


def _as_of(row: ConnectionRow, now: datetime) -> ConnectionRow:
    if row.state != "awaiting_authorisation" or row.expires_at is None or row.expires_at > now:
        return row
    return msgspec.structs.replace(
        row, state="disconnected", reason=LAPSED, step=None, state_since=row.expires_at, disconnected_at=row.expires_at
    )


def _row(columns: Mapping[Any, Any]) -> ConnectionRow:
    values = dict(columns)
    values["limitations"] = msgspec.convert(values["limitations"], list[Limitation])
    return ConnectionRow(**values)
