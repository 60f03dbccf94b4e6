"""How far each feed of a connection was read: the plugin's checkpoint, opaque to us."""

from collections.abc import Collection
from datetime import datetime

import msgspec
from sqlalchemy import select, text, update

from gateway.storage.engine import AsyncConnection, among, insert
from gateway.storage.tables import checkpoints, tasks

LONGEST = 16 * 1024
"""Characters of a checkpoint."""


class Checkpoint(msgspec.Struct, frozen=True, kw_only=True):
    """The state of one feed; ``polled_at`` is when a page was last read, ``error`` why the last try read none."""

    connection_id: str
    feed: str
    checkpoint: str | None
    polled_at: datetime | None
    error: str | None


_COLUMNS = [checkpoints.c[name] for name in Checkpoint.__struct_fields__]


async def get(conn: AsyncConnection, connection_id: str, feed: str) -> Checkpoint | None:
    """Return the state of one feed, ``None`` before its first page."""
    statement = select(*_COLUMNS).where(checkpoints.c.connection_id == connection_id, checkpoints.c.feed == feed)
    row = (await conn.execute(statement)).one_or_none()
    return None if row is None else Checkpoint(**row._asdict())


async def of_connection(conn: AsyncConnection, connection_id: str) -> list[Checkpoint]:
    """Return the state of every feed that was polled."""
    statement = select(*_COLUMNS).where(checkpoints.c.connection_id == connection_id).order_by(checkpoints.c.feed)
    return [Checkpoint(**row._asdict()) for row in await conn.execute(statement)]


async def tasks_alive(conn: AsyncConnection, unique_keys: Collection[str]) -> set[str]:
    """Return under which of these keys a task of a feed waits, runs, or is parked.

    A second one beside a task that runs would take the place of its next attempt, and its back-off with it.
    """
    alive = text("tasks.state in ('available', 'running', 'parked')")
    statement = select(tasks.c.unique_key).where(
        alive, tasks.c.kind == "poll_feed", among(conn, tasks.c.unique_key, unique_keys)
    )
    return {key for key in (await conn.execute(statement)).scalars() if key is not None}


async def advance(conn: AsyncConnection, connection_id: str, feed: str, checkpoint: str, now: datetime) -> None:
    """Store where to go on; in the transaction that stores what the page said."""
    if len(checkpoint) > LONGEST:
        raise ValueError(
            f"the checkpoint of feed {feed!r} has {len(checkpoint)} characters; at most {LONGEST} are kept"
        )
    await _put(conn, connection_id, feed, {"checkpoint": checkpoint, "polled_at": now, "error": None})


async def note_error(conn: AsyncConnection, connection_id: str, feed: str, error: str) -> None:
    """Keep why the feed could not be read; the checkpoint stays."""
    await _put(conn, connection_id, feed, {"error": error[:2000]})


async def adopt(conn: AsyncConnection, old_connection_id: str, new_connection_id: str) -> None:
    """Give all checkpoints to a new connection to the same vendor account; it goes on where the old one stopped."""
    await conn.execute(
        update(checkpoints)
        .where(checkpoints.c.connection_id == old_connection_id)
        .values(connection_id=new_connection_id, error=None)
    )


async def _put(conn: AsyncConnection, connection_id: str, feed: str, values: dict[str, object]) -> None:
    statement = insert(conn, checkpoints).values(connection_id=connection_id, feed=feed, **values)
    await conn.execute(
        statement.on_conflict_do_update(
            index_elements=[checkpoints.c.connection_id, checkpoints.c.feed],
            set_={name: statement.excluded[name] for name in values},
        )
    )
