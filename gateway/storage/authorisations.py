"""Authorisations under way: the single-use states of OAuth, and the right to refresh a token."""

from datetime import datetime

from sqlalchemy import delete, or_, update

from gateway.storage.engine import AsyncConnection
from gateway.storage.tables import connections, oauth_states

__all__ = ["add_state", "end_refresh", "prune_states", "take_state", "win_refresh"]


async def add_state(
    conn: AsyncConnection, state_hash: str, connection_id: str, now: datetime, expires_at: datetime
) -> None:
    """Store the hash of a state that an authorisation carries."""
    await conn.execute(
        oauth_states.insert().values(
            state_hash=state_hash, connection_id=connection_id, created_at=now, expires_at=expires_at
        )
    )


async def take_state(conn: AsyncConnection, state_hash: str, now: datetime) -> str | None:
    """Use a state up; return its connection's id, or ``None`` when it is unknown, used or too old."""
    taken = await conn.execute(
        update(oauth_states)
        .where(
            oauth_states.c.state_hash == state_hash, oauth_states.c.used_at.is_(None), oauth_states.c.expires_at > now
        )
        .values(used_at=now)
        .returning(oauth_states.c.connection_id)
    )
    connection_id: str | None = taken.scalar_one_or_none()
    return connection_id


async def prune_states(conn: AsyncConnection, before: datetime) -> None:
    """Delete states that expired before ``before``."""
    await conn.execute(delete(oauth_states).where(oauth_states.c.expires_at < before))


async def win_refresh(conn: AsyncConnection, connection_id: str, owner: str, now: datetime, until: datetime) -> bool:
    """Take the right to refresh this connection's token until ``until``; one of all processes gets it."""
    free = or_(connections.c.refresh_until.is_(None), connections.c.refresh_until <= now)
    won = await conn.execute(
        update(connections)
        .where(connections.c.id == connection_id, free)
        .values(refresh_owner=owner, refresh_until=until)
        .returning(connections.c.id)
    )
    return won.one_or_none() is not None


async def end_refresh(conn: AsyncConnection, connection_id: str, owner: str) -> None:
    """Give the right to refresh back, if ``owner`` still has it."""
    await conn.execute(
        update(connections)
        .where(connections.c.id == connection_id, connections.c.refresh_owner == owner)
        .values(refresh_owner=None, refresh_until=None)
    )
