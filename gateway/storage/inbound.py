"""Calls that vendors make to us: kept whole until they are read, then reduced to ids, types, times and a hash."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import bindparam, delete, exists, select, update

from gateway.sdk.inbound import InboundRequest
from gateway.storage.columns import new_id
from gateway.storage.engine import AsyncConnection, among, insert
from gateway.storage.tables import connections, inbound


class NewInbound(msgspec.Struct, frozen=True, kw_only=True):
    """A call that proved where it comes from.

    Attributes:
        connection_id: Whose subscriptions sent it; null for a call about the vendor app as a whole.
        dedupe_key: The same message again has the same key.
        request: Without the headers that carry credentials.
        lane: Lane of the vendor tenant in which it is read.
    """

    integration: str
    connection_id: str | None
    account_id: str | None
    dedupe_key: str
    request: InboundRequest
    body_hash: str
    lane: str
    received_at: datetime


class Unread(msgspec.Struct, frozen=True, kw_only=True):
    """A call that waits to be read."""

    id: str
    received_at: datetime
    request: InboundRequest


async def store(conn: AsyncConnection, calls: Sequence[NewInbound]) -> list[bool]:
    """Store calls once each, and when their connections were called last; return for each whether it is new."""
    rows = {
        call.dedupe_key: {
            "id": new_id("inb"),
            "integration": call.integration,
            "connection_id": call.connection_id,
            "dedupe_key": call.dedupe_key,
            "received_at": call.received_at,
            "request": call.request,
            "body_hash": call.body_hash,
        }
        for call in reversed(calls)  # of two with one key in one batch the first stays
    }
    ordered = [rows[key] for key in sorted(rows)]
    if not ordered:
        return []
    statement = insert(conn, inbound).on_conflict_do_nothing(index_elements=[inbound.c.dedupe_key])
    stored = await conn.execute(statement.returning(inbound.c.dedupe_key), ordered)
    new = set(stored.scalars())
    heard = {call.connection_id: call.received_at for call in calls if call.connection_id is not None}
    if heard:
        latest = max(heard.values())
        await conn.execute(
            update(connections).where(among(conn, connections.c.id, sorted(heard))).values(last_webhook_at=latest)
        )
    answers = []
    for call in calls:
        answers.append(call.dedupe_key in new)
        new.discard(call.dedupe_key)
    return answers


async def unread(conn: AsyncConnection, *, integration: str, connection_id: str | None, limit: int) -> list[Unread]:
    """Return calls of a connection (or of the vendor app) that wait to be read, oldest first."""
    statement = select(inbound.c.id, inbound.c.received_at, inbound.c.request).where(
        inbound.c.integration == integration,
        inbound.c.connection_id.is_(None) if connection_id is None else inbound.c.connection_id == connection_id,
        inbound.c.read_at.is_(None),
    )
    rows = await conn.execute(statement.order_by(inbound.c.id).limit(limit))
    return [
        Unread(id=call_id, received_at=at, request=msgspec.convert(request, InboundRequest))
        for call_id, at, request in rows
    ]


async def any_unread(conn: AsyncConnection, *, integration: str, connection_id: str | None) -> bool:
    """Say whether calls wait to be read."""
    waits = exists().where(
        inbound.c.integration == integration,
        inbound.c.connection_id.is_(None) if connection_id is None else inbound.c.connection_id == connection_id,
        inbound.c.read_at.is_(None),
    )
    return bool((await conn.execute(select(waits))).scalar_one())


async def reduce(conn: AsyncConnection, summaries: dict[str, Any], now: datetime) -> None:
    """Mark calls as read and forget what they said but for a summary of ids, types and times.

    Args:
        conn: The writer's connection.
        summaries: By the call's id.
        now: When they were read.
    """
    if summaries:
        await conn.execute(
            update(inbound)
            .where(inbound.c.id == bindparam("row_id"), inbound.c.read_at.is_(None))
            .values(request=None, summary=bindparam("said"), read_at=now),
            [{"row_id": row_id, "said": said} for row_id, said in sorted(summaries.items())],
        )


async def forget_connection(conn: AsyncConnection, connection_id: str, now: datetime) -> None:
    """Forget what waits to be read of a connection that was disconnected."""
    await conn.execute(
        update(inbound)
        .where(inbound.c.connection_id == connection_id, inbound.c.read_at.is_(None))
        .values(request=None, summary={"not_read": "disconnected"}, read_at=now)
    )


async def prune(conn: AsyncConnection, before: datetime, limit: int = 1_000) -> int:
    """Delete up to ``limit`` calls that were read and came before ``before``; return how many."""
    old = select(inbound.c.id).where(inbound.c.received_at < before, inbound.c.read_at.is_not(None))
    ids = list((await conn.execute(old.order_by(inbound.c.received_at).limit(limit))).scalars())
    if ids:
        await conn.execute(delete(inbound).where(among(conn, inbound.c.id, ids)))
    return len(ids)
