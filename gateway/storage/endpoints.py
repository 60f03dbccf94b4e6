"""Endpoints: URLs that receive events. A subscription of an automation is an endpoint that its connection owns."""

import hashlib
from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any, Literal

import msgspec
from sqlalchemy import BigInteger, bindparam, func, or_, select, update

from gateway.storage.engine import AsyncConnection, among
from gateway.storage.tables import endpoints
from gateway.storage.upsert import insert

State = Literal["enabled", "disabled"]
Reason = Literal["gone", "failing", "manual"]


class EndpointRow(msgspec.Struct, frozen=True, kw_only=True):
    """An endpoint as it stands.

    Attributes:
        account_id: Only events of this account; null: the host's, of all accounts.
        connection_id: The connection that owns it.
        event_types: Empty: all of them.
        filters: Keys of ``data`` and the values that they must have.
        subscription_key: The same for the same subscription of a connection; null for other endpoints.
        failing_since: First failure since the last success.
        last_position: Place of the newest event for which it was given a delivery.
    """

    id: str
    account_id: str | None
    connection_id: str | None = None
    url: str
    event_types: list[str] = []
    filters: dict[str, Any] | None = None
    subscription_key: str | None = None
    description: str = ""
    state: State = "enabled"
    disabled_reason: Reason | None = None
    failing_since: datetime | None = None
    last_position: int = 0
    previous_secret_until: datetime | None = None
    created_at: datetime
    removed_at: datetime | None = None


NAMES = EndpointRow.__struct_fields__
COLUMNS = [endpoints.c[name] for name in NAMES]


def lane_of(endpoint: EndpointRow) -> str:
    """Return the lane of an endpoint's deliveries.

    A subscription's is that of its URL, which others may have subscribed too: a URL is called at its integration's pace
    (``Manifest.deliveries_per_second``), and the one owner of a lane is who can count its calls.
    """
    return _lane(endpoint.id, endpoint.connection_id, endpoint.url)


def _lane(endpoint_id: str, connection_id: str | None, url: str) -> str:
    if connection_id is None:
        return f"endpoint:{endpoint_id}"
    return f"url:{hashlib.sha256(url.encode()).hexdigest()}"


def park_cause(endpoint_id: str) -> str:
    """Return the cause under which the deliveries of a disabled endpoint are parked."""
    return f"endpoint:{endpoint_id}"


# --- reading -------------------------------------------------------------------------------------------


async def get(conn: AsyncConnection, endpoint_id: str) -> EndpointRow | None:
    """Return one endpoint; a removed one is not there."""
    return next(iter(await _all(conn, endpoints.c.id == endpoint_id)), None)


async def is_known(conn: AsyncConnection, endpoint_id: str, owner: str | None = None) -> bool:
    """Say whether there is such an endpoint, of this account if one is given; a removed one counts."""
    conditions = [endpoints.c.id == endpoint_id, *([] if owner is None else [endpoints.c.account_id == owner])]
    return (await conn.execute(select(endpoints.c.id).where(*conditions))).first() is not None


async def lanes_of(conn: AsyncConnection, endpoint_ids: Collection[str]) -> dict[str, str]:
    """Return the lane of each endpoint, removed ones too."""
    columns = (endpoints.c.id, endpoints.c.connection_id, endpoints.c.url)
    rows = await conn.execute(select(*columns).where(among(conn, endpoints.c.id, endpoint_ids)))
    return {row.id: _lane(row.id, row.connection_id, row.url) for row in rows}


async def list_endpoints(
    conn: AsyncConnection, *, account_id: str | None = None, before: str | None = None, limit: int = 50
) -> list[EndpointRow]:
    """Return endpoints, newest first, those older than the id ``before``; of one account, or all."""
    conditions = [] if account_id is None else [endpoints.c.account_id == account_id]
    if before is not None:
        conditions.append(endpoints.c.id < before)
    return await _all(conn, *conditions, limit=limit)


async def listening(conn: AsyncConnection, account_ids: Collection[str]) -> list[EndpointRow]:
    """Return the enabled endpoints that may receive events of these accounts: theirs and the host's."""
    theirs = or_(endpoints.c.account_id.is_(None), among(conn, endpoints.c.account_id, account_ids))
    return await _all(conn, endpoints.c.state == "enabled", theirs)


async def of_connection(conn: AsyncConnection, connection_id: str) -> list[EndpointRow]:
    """Return the endpoints that a connection owns, newest first."""
    return await _all(conn, endpoints.c.connection_id == connection_id)


async def count_of_connection(conn: AsyncConnection, connection_id: str) -> int:
    """Return how many endpoints a connection owns."""
    mine = (endpoints.c.connection_id == connection_id) & endpoints.c.removed_at.is_(None)
    return (await conn.execute(select(func.count()).select_from(endpoints).where(mine))).scalar_one()


async def by_url(conn: AsyncConnection, connection_id: str, url: str) -> list[EndpointRow]:
    """Return the endpoints of a connection with this URL, newest first."""
    return await _all(conn, endpoints.c.connection_id == connection_id, endpoints.c.url == url)


async def has_enabled(conn: AsyncConnection, account_id: str | None, url: str) -> bool:
    """Say whether the host has an enabled endpoint with this URL for this account (``None``: for all accounts)."""
    mine = endpoints.c.account_id.is_(None) if account_id is None else endpoints.c.account_id == account_id
    found = await _all(
        conn, mine, endpoints.c.connection_id.is_(None), endpoints.c.url == url, endpoints.c.state == "enabled", limit=1
    )
    return bool(found)


async def by_subscription_key(conn: AsyncConnection, key: str) -> EndpointRow | None:
    """Return the subscription with this key; a removed one is not there."""
    return next(iter(await _all(conn, endpoints.c.subscription_key == key)), None)


async def _all(conn: AsyncConnection, *conditions: Any, limit: int | None = None) -> list[EndpointRow]:
    statement = select(*COLUMNS).where(endpoints.c.removed_at.is_(None), *conditions).order_by(endpoints.c.id.desc())
    rows = await conn.execute(statement if limit is None else statement.limit(limit))
    return [EndpointRow(**dict(zip(NAMES, row, strict=True))) for row in rows]


# --- writing -------------------------------------------------------------------------------------------


async def add(conn: AsyncConnection, row: EndpointRow) -> None:
    """Store a new endpoint."""
    await conn.execute(endpoints.insert().values(msgspec.structs.asdict(row)))


async def add_subscription(conn: AsyncConnection, row: EndpointRow) -> bool:
    """Store a new subscription; return False when the same one is there."""
    statement = insert(conn, endpoints).values(msgspec.structs.asdict(row)).on_conflict_do_nothing()
    return (await conn.execute(statement.returning(endpoints.c.id))).one_or_none() is not None


async def remove_of_connection(conn: AsyncConnection, connection_id: str, now: datetime) -> list[str]:
    """Remove all endpoints that a connection owns; return their ids."""
    mine = (endpoints.c.connection_id == connection_id) & endpoints.c.removed_at.is_(None)
    removed = update(endpoints).where(mine).values(state="disabled", removed_at=now)
    return list((await conn.execute(removed.returning(endpoints.c.id))).scalars())


async def change(
    conn: AsyncConnection, endpoint_id: str, *, state: State | None = None, **values: Any
) -> EndpointRow | None:
    """Change columns of an endpoint and return it; ``None`` when it is removed, or not in ``state``.

    Args:
        conn: The writer's connection.
        endpoint_id: Which one.
        state: Where given, the state in which the change applies; ``to_state`` is the new one.
        values: Columns.
    """
    conditions = [endpoints.c.id == endpoint_id, endpoints.c.removed_at.is_(None)]
    if state is not None:
        conditions.append(endpoints.c.state == state)
    if "to_state" in values:
        values["state"] = values.pop("to_state")
    changed = await conn.execute(update(endpoints).where(*conditions).values(values).returning(*COLUMNS))
    row = changed.one_or_none()
    return None if row is None else EndpointRow(**dict(zip(NAMES, row, strict=True)))


async def note_success(conn: AsyncConnection, endpoint_id: str) -> None:
    """Note that it took a message: it no longer counts as failing."""
    failing = endpoints.c.failing_since.is_not(None)
    await conn.execute(update(endpoints).where(endpoints.c.id == endpoint_id, failing).values(failing_since=None))


async def note_failure(conn: AsyncConnection, endpoint_id: str, now: datetime) -> None:
    """Note that it did not take a message; the first one since a success counts."""
    fine = endpoints.c.failing_since.is_(None)
    await conn.execute(update(endpoints).where(endpoints.c.id == endpoint_id, fine).values(failing_since=now))


async def note_positions(conn: AsyncConnection, positions: Mapping[str, int]) -> None:
    """Note the newest place of which each endpoint was given a delivery; it never goes back."""
    if positions:
        place = bindparam("place", type_=BigInteger)
        await conn.execute(
            update(endpoints)
            .where(endpoints.c.id == bindparam("endpoint"), endpoints.c.last_position < place)
            .values(last_position=place),
            [{"endpoint": endpoint, "place": position} for endpoint, position in sorted(positions.items())],
        )
