"""Installations: authorisations that began in a vendor's marketplace and that no account has claimed yet."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import select, update

from gateway.storage.engine import AsyncConnection
from gateway.storage.tables import installations
from gateway_schemas.connection import VendorAccount

__all__ = ["InstallationRow", "add", "claim", "end", "end_of_identity", "find", "get", "overdue"]


class InstallationRow(msgspec.Struct, frozen=True, kw_only=True):
    """An unclaimed installation.

    Attributes:
        verified: Whom the plugin proved that the authorisation is for.
        claim_hash: Of the cookie in the browser that installed.
        code_hash: Of the one-time code that its page showed.
        claimed_by: The connection that came of it.
        ended_at: When it was claimed, revoked or uninstalled.
    """

    id: str
    integration: str
    identity: str
    name: str | None
    verified: VendorAccount
    claim_hash: str
    code_hash: str
    created_at: datetime
    expires_at: datetime
    claimed_by: str | None = None
    ended_at: datetime | None = None


_COLUMNS = [installations.c[name] for name in InstallationRow.__struct_fields__]


async def add(conn: AsyncConnection, row: InstallationRow) -> None:
    """Store a new installation."""
    await conn.execute(installations.insert().values(msgspec.structs.asdict(row)))


async def get(conn: AsyncConnection, installation_id: str) -> InstallationRow | None:
    """Return one installation."""
    found = await conn.execute(select(*_COLUMNS).where(installations.c.id == installation_id))
    row = found.mappings().one_or_none()
    return None if row is None else _row(row)


async def find(
    conn: AsyncConnection, now: datetime, *, code_hash: str | None = None, claim_hash: str | None = None
) -> InstallationRow | None:
    """Return the installation that can still be claimed with this code, or with this cookie."""
    by = installations.c.code_hash == code_hash if code_hash is not None else installations.c.claim_hash == claim_hash
    found = await conn.execute(
        select(*_COLUMNS).where(by, installations.c.ended_at.is_(None), installations.c.expires_at > now)
    )
    row = found.mappings().one_or_none()
    return None if row is None else _row(row)


async def claim(conn: AsyncConnection, installation_id: str, connection_id: str, now: datetime) -> bool:
    """Give an installation to a connection; one of several callers succeeds."""
    claimed = await conn.execute(
        update(installations)
        .where(installations.c.id == installation_id, installations.c.ended_at.is_(None))
        .values(claimed_by=connection_id, ended_at=now)
        .returning(installations.c.id)
    )
    return claimed.one_or_none() is not None


async def end(conn: AsyncConnection, installation_id: str, now: datetime) -> bool:
    """End an installation that nobody claimed; return whether it was open."""
    ended = await conn.execute(
        update(installations)
        .where(installations.c.id == installation_id, installations.c.ended_at.is_(None))
        .values(ended_at=now)
        .returning(installations.c.id)
    )
    return ended.one_or_none() is not None


async def end_of_identity(conn: AsyncConnection, integration: str, identity: str, now: datetime) -> list[str]:
    """End what a customer uninstalled before anybody claimed it; return the ids."""
    ended = await conn.execute(
        update(installations)
        .where(
            installations.c.integration == integration,
            installations.c.identity == identity,
            installations.c.ended_at.is_(None),
        )
        .values(ended_at=now)
        .returning(installations.c.id)
    )
    return list(ended.scalars())


async def overdue(conn: AsyncConnection, now: datetime, limit: int = 100) -> list[InstallationRow]:
    """Return installations that nobody claimed in time, oldest first."""
    found = await conn.execute(
        select(*_COLUMNS)
        .where(installations.c.ended_at.is_(None), installations.c.expires_at <= now)
        .order_by(installations.c.id)
        .limit(limit)
    )
    return [_row(row) for row in found.mappings()]


def _row(columns: Mapping[Any, Any]) -> InstallationRow:
    values = dict(columns)
    values["verified"] = msgspec.convert(values["verified"], VendorAccount)
    return InstallationRow(**values)
