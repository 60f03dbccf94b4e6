"""Publish: write down that something is to be told, in the transaction of the fact itself, and nothing else.

Who is told is found out afterwards by the fan-out, so that a flow pays for one row and not for the number of endpoints.
"""

from collections.abc import Sequence
from datetime import datetime

from gateway.storage import events
from gateway.storage.engine import AsyncConnection
from gateway.storage.events import NewEvent
from gateway.storage.tasks import NewTask, insert_tasks

__all__ = ["FAN_OUT", "NewEvent", "fan_out_task", "publish"]

FAN_OUT = "fan_out"


async def publish(
    conn: AsyncConnection, new: Sequence[NewEvent], now: datetime, *, tasks: Sequence[NewTask] = ()
) -> None:
    """Store events and make sure that the fan-out runs; a constant number of statements for any number of events.

    Args:
        conn: The transaction that writes the fact.
        new: In the order in which they happened; several of one person count on in its sequence.
        now: When they happened.
        tasks: What else follows from the fact; stored in the same statements as the fan-out's task.

    Raises:
        LookupError: A person or account does not exist.
    """
    if new:
        await events.add(conn, new, now)
    await insert_tasks(conn, [*tasks, *([fan_out_task()] if new else [])], now)


def fan_out_task() -> NewTask:
    """Return the one task that tells what was published; at most one waits, and never two run together."""
    return NewTask(
        kind=FAN_OUT,
        args={},
        lane="internal",
        priority=1,
        exclusive_key=FAN_OUT,
        unique_key=FAN_OUT,
        max_attempts=1_000_000,
    )
