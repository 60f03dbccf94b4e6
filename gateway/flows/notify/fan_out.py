"""Fan out: give each published event its place in the feed, and each endpoint that wants it a delivery.

One task at a time does this for the whole gateway, a batch a transaction, and makes itself anew until nothing is left.
"""

import asyncio
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
PAIRS = 2_000
"""Deliveries that one transaction makes, unless a single event has more."""
BREATH = 100
"""Events that are shaped in one go before the process looks after its other work."""


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
        pairs, looked_at = await matches(self._services, targets, batch, most=PAIRS)

        async def apply(conn: AsyncConnection) -> None:
            now = run.now()
            placed = await events.give_positions(conn, [event.id for event in batch[:looked_at]])
            await deliver(conn, [(endpoint, event) for endpoint, event in pairs if event.id in placed], placed, now)
            if len(batch) == BATCH or looked_at < len(batch):
                await insert_tasks(conn, [fan_out_task()], now)

        return Done(apply)

    async def failed(self, conn: AsyncConnection, task: Task, error: str, now: datetime) -> None:
        """Go on with a new task: what was published must be told."""
        await insert_tasks(conn, [fan_out_task()], now)


async def matches(
    services: Services, targets: Sequence[EndpointRow], batch: Sequence[EventRow], *, most: int | None = None
) -> tuple[list[tuple[EndpointRow, EventRow]], int]:
    """Return which endpoint is to receive which event, and how many events of the batch were looked at.

    Args:
        services: The process's services.
        targets: Enabled endpoints.
        batch: Events in their order.
        most: Look at no further event once there are so many pairs; the first event is always looked at.
    """
    shaper = Shaper(services)
    asked = _by_interest(targets)
    wanted = [[one for one in _candidates(asked, event) if wants(one, event)] for event in batch]
    shaped_ones = [event for event, found in zip(batch, wanted, strict=True) if any(one.connection_id for one in found)]
    await shaper.prepare(shaped_ones)
    pairs: list[tuple[EndpointRow, EventRow]] = []
    for looked_at, (event, found) in enumerate(zip(batch, wanted, strict=True)):
        if most is not None and looked_at and len(pairs) + len(found) > most:
            return pairs, looked_at
        for number, endpoint in enumerate(found, 1):
            if not await shaper.leaves_out(endpoint, event):
                pairs.append((endpoint, event))
            if number % BREATH == 0:
                await asyncio.sleep(0)  # thousands of subscriptions must not keep the process from its leases
    return pairs, len(batch)


Interest = dict[tuple[str | None, str], list[EndpointRow]]


def _by_interest(targets: Sequence[EndpointRow]) -> Interest:
    """Return endpoints by account and event type, so that an event is not held against each of thousands."""
    asked: Interest = {}
    for endpoint in targets:
        for event_type in endpoint.event_types or [""]:
            asked.setdefault((endpoint.account_id, event_type), []).append(endpoint)
    return asked


def _candidates(asked: Interest, event: EventRow) -> list[EndpointRow]:
    keys = [(account, kind) for account in (None, event.account_id) for kind in ("", event.type)]
    return [endpoint for key in keys for endpoint in asked.get(key, ())]


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
    new = [
        NewDelivery(endpoint.id, event.id, event.account_id, endpoints.lane_of(endpoint)) for endpoint, event in pairs
    ]
    return await deliveries.add(conn, new, now, attempts=ATTEMPTS, priority=priority)


async def catch_up(conn: AsyncConnection, now: datetime) -> None:
    """Make the fan-out look again if something is left.

    A publisher of another process may find the waiting task, leave it be, and commit only after that task has looked.
    """
    if await events.unpositioned(conn, 1):
        await insert_tasks(conn, [fan_out_task()], now)
