"""Accounts, their keys, and console sessions.

Keys and tokens are stored as their SHA-256 alone: they are random, not chosen.
"""

from collections.abc import Collection
from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import Select, delete, select, update

from gateway.storage.engine import AsyncConnection
from gateway.storage.prepared import one_of, prepared
from gateway.storage.tables import account_keys, accounts, console_sessions
from gateway.storage.upsert import insert
from gateway_schemas.account import Account, AccountInput

__all__ = [
    "KeyRow",
    "SessionRow",
    "account_of_link",
    "account_of_waiting_link",
    "add_key",
    "add_session_link",
    "by_ids",
    "end_session",
    "get",
    "key_by_hash",
    "keys_of",
    "list_accounts",
    "open_session",
    "prune_sessions",
    "put",
    "revoke_key",
    "revoke_keys_for",
    "session_by_hash",
    "slide_session",
    "touch_key",
]

_ACCOUNT = [accounts.c[name] for name in Account.__struct_fields__]


class KeyRow(msgspec.Struct, frozen=True, kw_only=True):
    """A key of one account.

    Attributes:
        prefix: How it begins; null in those that an earlier version made.
    """

    id: str
    account_id: str
    name: str
    scopes: list[str]
    key_hash: str
    created_at: datetime
    last_used_at: datetime | None
    revoked_at: datetime | None
    prefix: str | None = None


class SessionRow(msgspec.Struct, frozen=True, kw_only=True):
    """A console session of one account; before its link is opened it has no token."""

    id: str
    account_id: str
    token_hash: str | None
    expires_at: datetime | None
    ends_at: datetime | None


_KEY = [account_keys.c[name] for name in KeyRow.__struct_fields__]
_SESSION = [console_sessions.c[name] for name in SessionRow.__struct_fields__]


async def put(conn: AsyncConnection, account_id: str, account: AccountInput, now: datetime) -> tuple[Account, bool]:
    """Store what the host says of an account; return it, and whether it is new."""
    said = msgspec.structs.asdict(account)
    statement = insert(conn, accounts).values(id=account_id, created_at=now, **said)
    made = await conn.execute(statement.on_conflict_do_nothing(index_elements=["id"]).returning(*_ACCOUNT))
    if (row := made.mappings().one_or_none()) is not None:
        return Account(**row), True
    change = update(accounts).where(accounts.c.id == account_id).values(**said).returning(*_ACCOUNT)
    return Account(**(await conn.execute(change)).mappings().one()), False


async def get(conn: AsyncConnection, account_id: str) -> Account | None:
    """Return one account."""
    return (await by_ids(conn, [account_id])).get(account_id)


async def by_ids(conn: AsyncConnection, ids: Collection[str]) -> dict[str, Account]:
    """Return accounts by id; unknown ids are left out."""
    found = await conn.execute(_by_ids(conn), {"ids": list(ids)})
    return {row["id"]: Account(**row) for row in found.mappings()}


@prepared
def _by_ids(dialect: str) -> Select[Any]:
    return select(*_ACCOUNT).where(one_of(dialect, accounts.c.id, "ids"))


async def list_accounts(conn: AsyncConnection, *, after: str = "", limit: int = 50) -> list[Account]:
    """Return accounts in the order of their ids, those after ``after``."""
    statement = select(*_ACCOUNT).where(accounts.c.id > after).order_by(accounts.c.id).limit(limit)
    return [Account(**row) for row in (await conn.execute(statement)).mappings()]


async def add_key(conn: AsyncConnection, key: KeyRow) -> None:
    """Store a new key; one that is there already stays as it is."""
    statement = insert(conn, account_keys).values(msgspec.structs.asdict(key))
    await conn.execute(statement.on_conflict_do_nothing())


async def keys_of(conn: AsyncConnection, account_id: str) -> list[KeyRow]:
    """Return the keys of an account that are not revoked, oldest first."""
    statement = select(*_KEY).where(account_keys.c.account_id == account_id, account_keys.c.revoked_at.is_(None))
    return [KeyRow(**row) for row in (await conn.execute(statement.order_by(account_keys.c.id))).mappings()]


async def key_by_hash(conn: AsyncConnection, key_hash: str, *, revoked: bool = False) -> KeyRow | None:
    """Return the key with this hash; one that is revoked only if that is asked for."""
    statement = select(*_KEY).where(account_keys.c.key_hash == key_hash)
    if not revoked:
        statement = statement.where(account_keys.c.revoked_at.is_(None))
    row = (await conn.execute(statement)).mappings().one_or_none()
    return None if row is None else KeyRow(**row)


async def revoke_key(conn: AsyncConnection, account_id: str, key_id: str, now: datetime) -> bool:
    """Revoke a key; return whether the account has it (revoking again is fine)."""
    mine = (account_keys.c.id == key_id) & (account_keys.c.account_id == account_id)
    await conn.execute(update(account_keys).where(mine, account_keys.c.revoked_at.is_(None)).values(revoked_at=now))
    return (await conn.execute(select(account_keys.c.id).where(mine))).one_or_none() is not None


async def revoke_keys_for(conn: AsyncConnection, account_id: str, scope: str, now: datetime) -> int:
    """Revoke an account's keys that are good for this scope alone; return how many."""
    ids = [key.id for key in await keys_of(conn, account_id) if key.scopes == [scope]]
    for key_id in ids:
        await revoke_key(conn, account_id, key_id, now)
    return len(ids)


async def touch_key(conn: AsyncConnection, key_id: str, now: datetime) -> None:
    """Note that a key was used."""
    await conn.execute(update(account_keys).where(account_keys.c.id == key_id).values(last_used_at=now))


async def add_session_link(
    conn: AsyncConnection, session_id: str, account_id: str, link_hash: str, expires_at: datetime, now: datetime
) -> None:
    """Store a link that opens the console once."""
    await conn.execute(
        console_sessions.insert().values(
            id=session_id, account_id=account_id, link_hash=link_hash, link_expires_at=expires_at, created_at=now
        )
    )


async def open_session(
    conn: AsyncConnection, link_hash: str, token_hash: str, *, expires_at: datetime, ends_at: datetime, now: datetime
) -> SessionRow | None:
    """Use a link: the first caller gets the session, everybody later ``None``."""
    opened = await conn.execute(
        update(console_sessions)
        .where(
            console_sessions.c.link_hash == link_hash,
            console_sessions.c.token_hash.is_(None),
            console_sessions.c.link_expires_at > now,
        )
        .values(token_hash=token_hash, expires_at=expires_at, ends_at=ends_at)
        .returning(*_SESSION)
    )
    row = opened.mappings().one_or_none()
    return None if row is None else SessionRow(**row)


async def account_of_link(conn: AsyncConnection, link_hash: str) -> str | None:
    """Return the account of a link, used or not."""
    statement = select(console_sessions.c.account_id).where(console_sessions.c.link_hash == link_hash)
    return (await conn.execute(statement)).scalar_one_or_none()


async def account_of_waiting_link(conn: AsyncConnection, link_hash: str, now: datetime) -> str | None:
    """Return the account of a link that opens the console still."""
    statement = select(console_sessions.c.account_id).where(
        console_sessions.c.link_hash == link_hash,
        console_sessions.c.token_hash.is_(None),
        console_sessions.c.link_expires_at > now,
    )
    return (await conn.execute(statement)).scalar_one_or_none()


async def session_by_hash(conn: AsyncConnection, token_hash: str, now: datetime) -> SessionRow | None:
    """Return the session with this token unless it has ended."""
    statement = select(*_SESSION).where(
        console_sessions.c.token_hash == token_hash,
        console_sessions.c.expires_at > now,
        console_sessions.c.ends_at > now,
    )
    row = (await conn.execute(statement)).mappings().one_or_none()
    return None if row is None else SessionRow(**row)


async def slide_session(conn: AsyncConnection, session_id: str, expires_at: datetime) -> None:
    """Let a session that is used end later (its ``ends_at`` stands)."""
    await conn.execute(
        update(console_sessions).where(console_sessions.c.id == session_id).values(expires_at=expires_at)
    )


async def end_session(conn: AsyncConnection, session_id: str, now: datetime) -> None:
    """End a session at once."""
    await conn.execute(
        update(console_sessions).where(console_sessions.c.id == session_id).values(expires_at=now, ends_at=now)
    )


async def prune_sessions(conn: AsyncConnection, before: datetime) -> None:
    """Delete links that nobody opened and sessions that ended, before ``before``."""
    unopened = console_sessions.c.token_hash.is_(None) & (console_sessions.c.link_expires_at < before)
    await conn.execute(delete(console_sessions).where(unopened | (console_sessions.c.ends_at < before)))
