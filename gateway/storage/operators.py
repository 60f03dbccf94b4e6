"""Sessions of operators: people who signed in to the console with a host key. Tokens and keys are stored as hashes."""

from datetime import datetime

import msgspec
from sqlalchemy import delete, or_, select, update

from gateway.storage.engine import AsyncConnection
from gateway.storage.tables import operator_sessions


class OperatorRow(msgspec.Struct, frozen=True, kw_only=True):
    """A session of an operator.

    Attributes:
        key_hash: Of the host key that opened it.
        expires_at: Slides while it is used.
        ends_at: Does not.
    """

    id: str
    token_hash: str
    key_hash: str
    expires_at: datetime
    ends_at: datetime
    created_at: datetime


_COLUMNS = [operator_sessions.c[name] for name in OperatorRow.__struct_fields__]


async def add(conn: AsyncConnection, row: OperatorRow) -> None:
    """Store a session; those that ended are deleted."""
    ended = or_(operator_sessions.c.ends_at < row.created_at, operator_sessions.c.expires_at < row.created_at)
    await conn.execute(delete(operator_sessions).where(ended))
    await conn.execute(operator_sessions.insert().values(msgspec.structs.asdict(row)))


async def by_hash(conn: AsyncConnection, token_hash: str, now: datetime) -> OperatorRow | None:
    """Return the session with this token unless it has ended."""
    statement = select(*_COLUMNS).where(
        operator_sessions.c.token_hash == token_hash,
        operator_sessions.c.expires_at > now,
        operator_sessions.c.ends_at > now,
    )
    row = (await conn.execute(statement)).mappings().one_or_none()
    return None if row is None else OperatorRow(**row)


async def slide(conn: AsyncConnection, session_id: str, expires_at: datetime) -> None:
    """Let a session that is used end later (its ``ends_at`` stands)."""
    await conn.execute(
        update(operator_sessions).where(operator_sessions.c.id == session_id).values(expires_at=expires_at)
    )


async def end(conn: AsyncConnection, token_hash: str) -> None:
    """End a session at once."""
    await conn.execute(delete(operator_sessions).where(operator_sessions.c.token_hash == token_hash))
