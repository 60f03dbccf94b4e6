"""Fan out: give each published event its place in the feed, and each endpoint that wants it a delivery.

One task at a time does this for the whole gateway, a batch a transaction, and makes itself anew until nothing is left.
"""

from collections.abc import Sequence
from datetime import datetime

from gateway.flows.notify.envelopes import wants
from gateway.flows.notify.publishing import fan_out_task
from gateway.flows.notify.shaping import Shaper
from gateway.flows.services import Services
from gateway.storage import deliveries, endpoints, events
from gateway.storage.deliveries import NewDelivery
from gateway.storage.endpoints import EndpointRow
from gateway.storage.engine import AsyncConnection
from gateway.storage.events import EventRow
from gateway.storage.running import Done, Outcome, TaskRun
from gateway.storage.tasks import Task, insert_tasks
from gateway.webhooks.schedule import ATTEMPTS

BATCH = 200


class FanOut:
    """Handles ``fan_out``."""

    def __init__(self, services: Services) -> None:
        self._services = services

    async def run(self, run: TaskRun) -> Outcome:
        """Take one batch."""
        async with self._services.database.read() as conn:
            batch = await events.unpositioned(conn, BATCH)
            if not batch:
                return Done()
            targets = await endpoints.listening(conn, {event.account_id for event in batch})
        pairs = await matches(self._services, targets, batch)

        async def apply(conn: AsyncConnection) -> None:
            now = run.now()
            placed = await events.give_positions(conn, [event.id for event in batch])
            await deliver(conn, [(endpoint, event) for endpoint, event in pairs if event.id in placed], placed, now)
            if len(batch) == BATCH:
                await insert_tasks(conn, [fan_out_task()], now)

        return Done(apply)

    async def failed(self, conn: AsyncConnection, task: Task, error: str, now: datetime) -> None:
        """Go on with a new task: what was published must be told."""
        await insert_tasks(conn, [fan_out_task()], now)


async def matches(
    services: Services, targets: Sequence[EndpointRow], batch: Sequence[EventRow]
) -> list[tuple[EndpointRow, EventRow]]:
    """Return which endpoint is to receive which event."""
    shaper = Shaper(services)
    return [
        (endpoint, event)
        for event in batch
        for endpoint in targets
        if wants(endpoint, event) and not await shaper.leaves_out(endpoint, event)
    ]


async def deliver(
    conn: AsyncConnection,
    pairs: Sequence[tuple[EndpointRow, EventRow]],
    placed: dict[str, int],
    now: datetime,
    *,
    priority: int = deliveries.PRIORITY,
) -> int:
    """Store a delivery for each pair that has none yet; return how many are new.

    Args:
        conn: The writer's connection.
        pairs: Endpoints with the events that they are to receive.
        placed: The place of each event.
        now: The time.
        priority: Of the tasks.
    """
    newest: dict[str, int] = {}
    for endpoint, event in pairs:
        newest[endpoint.id] = max(newest.get(endpoint.id, 0), placed[event.id])
    await endpoints.note_positions(conn, newest)
    new = [NewDelivery(endpoint.id, event.id, event.account_id) for endpoint, event in pairs]
    return await deliveries.add(conn, new, now, attempts=ATTEMPTS, priority=priority)


async def catch_up(conn: AsyncConnection, now: datetime) -> None:
    """Make the fan-out look again if something is left.

    A publisher of another process may find the waiting task, leave it be, and commit only after that task has looked.
    """
    if await events.unpositioned(conn, 1):
        await insert_tasks(conn, [fan_out_task()], now)
