"""Idempotency keys: who was first with a key, and what was answered, in the transaction of the work itself."""

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any, NamedTuple

import msgspec
from sqlalchemy import and_, bindparam, delete, select, update

from gateway.storage.engine import AsyncConnection, insert
from gateway.storage.tables import idempotency_keys as keys
from gateway.storage.wanted import wanted


class Key(NamedTuple):
    """A caller's key; ``scope`` is the account and campaign (and whether it names a call or an item)."""

    scope: str
    key: str


class Used(msgspec.Struct, frozen=True):
    """An earlier use of a key."""

    body_hash: str
    answer: Any


async def claim(
    conn: AsyncConnection, wanted_keys: Mapping[Key, str], now: datetime, expired_before: datetime
) -> dict[Key, Used]:
    """Take keys that nobody has used; return the earlier use of each of the others.

    Another process that claims the same key waits until this transaction ends and then sees its answer.

    Args:
        conn: The writer's connection.
        wanted_keys: Each key with the hash of its body.
        now: The time of the claim.
        expired_before: Uses that are older do not count.
    """
    if not wanted_keys:
        return {}
    statement = insert(conn, keys)
    rows = [
        {"scope": key.scope, "key": key.key, "body_hash": wanted_keys[key], "created_at": now}
        for key in sorted(wanted_keys)
    ]
    taken = await conn.execute(
        statement.on_conflict_do_update(
            index_elements=[keys.c.scope, keys.c.key],
            set_={
                "body_hash": statement.excluded.body_hash,
                "created_at": statement.excluded.created_at,
                "answer": None,
            },
            where=keys.c.created_at < expired_before,
        ).returning(keys.c.scope, keys.c.key),
        rows,
    )
    fresh = {Key(scope, key) for scope, key in taken}
    left = [key for key in wanted_keys if key not in fresh]
    if not left:
        return {}
    given = wanted(conn, ("scope", "key"), left)
    same = and_(keys.c.scope == given.c.scope, keys.c.key == given.c.key)
    found = await conn.execute(
        select(keys.c.scope, keys.c.key, keys.c.body_hash, keys.c.answer).join_from(given, keys, same)
    )
    return {Key(scope, key): Used(body_hash, answer) for scope, key, body_hash, answer in found}


async def answer(conn: AsyncConnection, answers: Mapping[Key, Any]) -> None:
    """Remember what was answered."""
    if answers:
        statement = update(keys).where(keys.c.scope == bindparam("b_scope"), keys.c.key == bindparam("b_key"))
        await conn.execute(
            statement.values(answer=bindparam("b_answer", type_=keys.c.answer.type)),
            [{"b_scope": key.scope, "b_key": key.key, "b_answer": answers[key]} for key in sorted(answers)],
        )


async def release(conn: AsyncConnection, unused: Collection[Key]) -> None:
    """Give up keys whose work was refused: nothing was done under them."""
    if unused:
        given = [{"b_scope": key.scope, "b_key": key.key} for key in sorted(unused)]
        await conn.execute(
            delete(keys).where(keys.c.scope == bindparam("b_scope"), keys.c.key == bindparam("b_key")), given
        )


async def prune(conn: AsyncConnection, before: datetime, limit: int = 1_000) -> int:
    """Forget up to ``limit`` keys that were used before ``before``; return how many."""
    old = (await conn.execute(select(keys.c.scope, keys.c.key).where(keys.c.created_at < before).limit(limit))).all()
    await release(conn, [Key(scope, key) for scope, key in old])
    return len(old)
