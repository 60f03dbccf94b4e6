"""Contact syncs: what was asked for, how far each is, and what it counts."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any, get_type_hints

import msgspec
from sqlalchemy import Row, select, text, update

from gateway.storage.columns import new_id
from gateway.storage.engine import AsyncConnection, among, insert
from gateway.storage.tables import connections, syncs, tasks
from gateway_schemas.campaign import SetupProblem
from gateway_schemas.records import Field
from gateway_schemas.sync import (
    ContactSelection,
    SyncEstimate,
    SyncMapping,
    SyncPhase,
    SyncState,
    WriteBack,
)


class SyncRow(msgspec.Struct, frozen=True, kw_only=True):
    """A contact sync as it stands; see ``tables.syncs`` for what each column means.

    Attributes:
        walk_started_at: When the walk under way began; null between walks.
    """

    id: str
    account_id: str
    campaign_id: str
    connection_id: str
    integration: str
    identity: str
    state: SyncState = "running"
    phase: SyncPhase = "reading"
    cause: str | None = None
    message: str | None = None
    problems: list[SetupProblem] = []
    ongoing: bool
    selection: ContactSelection
    mapping: list[SyncMapping]
    write_back: list[WriteBack]
    fields: list[Field] = []
    estimate: SyncEstimate | None = None
    walk: int = 1
    changes: bool = False
    checkpoint: str | None = None
    resume: str | None = None
    pages: int = 0
    read: int = 0
    total: int | None = None
    at_most: bool = False
    imported: int = 0
    skipped: dict[str, int] = {}
    gone: int = 0
    to_write: int = 0
    written: int = 0
    refused: int = 0
    links_outstanding: int = 0
    rate: int | None = None
    links_due_at: datetime | None = None
    walk_started_at: datetime | None = None
    walked_at: datetime | None = None
    next_walk_at: datetime | None = None
    started_at: datetime
    updated_at: datetime
    completed_at: datetime | None = None

    @property
    def is_at_work(self) -> bool:
        """Whether its tasks do something; in other states they end, and new ones are made when it goes on."""
        return self.state in ("running", "watching")

    @property
    def is_open(self) -> bool:
        """Whether it is the one sync of its connection and campaign that may go on."""
        return self.state not in ("completed", "cancelled")


_NAMES = SyncRow.__struct_fields__
_COLUMNS = [syncs.c[name] for name in _NAMES]
_SHAPES = {
    name: shape
    for name, shape in get_type_hints(SyncRow).items()
    if name in ("problems", "selection", "mapping", "write_back", "fields", "estimate")
}


def _row(row: Row[Any]) -> SyncRow:
    values = dict(zip(_NAMES, row, strict=True))
    return SyncRow(**values | {name: msgspec.convert(values[name], shape) for name, shape in _SHAPES.items()})


async def get(conn: AsyncConnection, sync_id: str) -> SyncRow | None:
    """Return one sync, of whichever account."""
    row = (await conn.execute(select(*_COLUMNS).where(syncs.c.id == sync_id))).one_or_none()
    return None if row is None else _row(row)


async def lock(conn: AsyncConnection, sync_id: str) -> SyncRow | None:
    """Return one sync, and keep others from changing it until the commit."""
    row = (await conn.execute(select(*_COLUMNS).where(syncs.c.id == sync_id).with_for_update())).one_or_none()
    return None if row is None else _row(row)


async def of_campaign(
    conn: AsyncConnection, account_id: str, campaign_id: str, *, limit: int, before: str | None = None
) -> list[SyncRow]:
    """Return the syncs of a campaign, newest first, beginning behind the id ``before``."""
    statement = select(*_COLUMNS).where(syncs.c.account_id == account_id, syncs.c.campaign_id == campaign_id)
    if before is not None:
        statement = statement.where(syncs.c.id < before)
    return [_row(row) for row in await conn.execute(statement.order_by(syncs.c.id.desc()).limit(limit))]


async def open_one(conn: AsyncConnection, connection_id: str, campaign_id: str) -> SyncRow | None:
    """Return the sync of a connection and campaign that has not ended."""
    statement = select(*_COLUMNS).where(
        syncs.c.connection_id == connection_id,
        syncs.c.campaign_id == campaign_id,
        syncs.c.state.not_in(["completed", "cancelled"]),
    )
    row = (await conn.execute(statement)).one_or_none()
    return None if row is None else _row(row)


async def in_states(
    conn: AsyncConnection, states: Collection[SyncState], *, connection_id: str | None = None
) -> list[SyncRow]:
    """Return all syncs in these states, of one connection or of all; open ones are few."""
    statement = select(*_COLUMNS).where(syncs.c.state.in_(list(states)))
    if connection_id is not None:
        statement = statement.where(syncs.c.connection_id == connection_id)
    return [_row(row) for row in await conn.execute(statement.order_by(syncs.c.id))]


async def owing(conn: AsyncConnection) -> list[SyncRow]:
    """Return completed syncs of active connections that have something to write: values that came late."""
    statement = (
        select(*_COLUMNS)
        .join(connections, connections.c.id == syncs.c.connection_id)
        .where(syncs.c.state == "completed", syncs.c.to_write > 0, connections.c.state == "active")
    )
    return [_row(row) for row in await conn.execute(statement.order_by(syncs.c.id))]


async def by_ids(conn: AsyncConnection, ids: Collection[str]) -> dict[str, SyncRow]:
    """Return syncs by id; unknown ids are left out."""
    if not ids:
        return {}
    found = await conn.execute(select(*_COLUMNS).where(among(conn, syncs.c.id, ids)))
    return {row.id: row for row in map(_row, found)}


def new_sync_id() -> str:
    """Return an id for a sync."""
    return new_id("syn")


async def add(conn: AsyncConnection, row: SyncRow) -> bool:
    """Store a new sync unless the connection has an open one for the campaign; return whether it was stored."""
    values = {name: getattr(row, name) for name in _NAMES}
    stored = await conn.execute(insert(conn, syncs).values(values).on_conflict_do_nothing().returning(syncs.c.id))
    return stored.one_or_none() is not None


async def change(conn: AsyncConnection, sync_id: str, values: dict[str, Any], now: datetime) -> None:
    """Write new values of a sync's columns."""
    await conn.execute(update(syncs).where(syncs.c.id == sync_id).values(**values, updated_at=now))


async def adopt(conn: AsyncConnection, earlier: Sequence[str], to: str, now: datetime) -> list[str]:
    """Give syncs of disconnected connections to a new connection to the same vendor tenant.

    Args:
        conn: The writer's connection.
        earlier: The account's earlier connections to the tenant, newest first.
        to: The new connection.
        now: The time.

    Returns:
        The syncs that were paused because of the disconnect and may go on now.
    """
    released: list[str] = []
    for old in earlier:
        found = await conn.execute(select(*_COLUMNS).where(syncs.c.connection_id == old).order_by(syncs.c.id.desc()))
        for row in map(_row, found.all()):
            taken = row.is_open and await open_one(conn, to, row.campaign_id) is not None
            values: dict[str, Any] = {"connection_id": to}
            if taken:
                values |= {"state": "cancelled", "cause": "superseded"}
            elif row.is_open and row.cause == "disconnected":
                released.append(row.id)
            await change(conn, row.id, values, now)
    return released


async def has_live_task(conn: AsyncConnection, unique_key: str) -> bool:
    """Return whether a task under this key waits or runs.

    A second one beside a task that runs would take the place of its next attempt, and its back-off with it.
    """
    for state in ("available", "running"):  # a literal each, so that each reads its partial index
        statement = select(tasks.c.id).where(text(f"tasks.state = '{state}'"), tasks.c.unique_key == unique_key)
        if (await conn.execute(statement.limit(1))).one_or_none() is not None:
            return True
    return False
