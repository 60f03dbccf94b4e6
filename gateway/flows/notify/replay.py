"""Replay: send again what was delivered or given up, and let go out what an endpoint missed while it was disabled.

The ``webhook-id`` stays, so that a receiver that has the message already can tell.
"""

from datetime import datetime
from functools import partial

from gateway.errors import Refused
from gateway.flows.notify.fan_out import deliver, matches
from gateway.flows.services import Services
from gateway.storage import deliveries, endpoints, events, lanes, redelivery
from gateway.storage.endpoints import EndpointRow
from gateway.storage.engine import AsyncConnection
from gateway.storage.redelivery import Chosen
from gateway.storage.running import Done, Outcome, TaskRun
from gateway.storage.tasks import NewTask, Task, insert_tasks
from gateway.webhooks.schedule import ATTEMPTS
from gateway_schemas.events import ReplayResult

RESUME = "resume_endpoint"
BATCH = 500


def resume_task(endpoint_id: str, replay_after: int | None = None, until: int = 0) -> NewTask:
    """Return the task that lets parked deliveries of an endpoint go out, then makes those that it missed.

    Args:
        endpoint_id: Which endpoint.
        replay_after: Make deliveries of events after this place in the feed; ``None``: release parked ones alone.
        until: The last place to replay; later events find the endpoint enabled.
    """
    args = {"endpoint": endpoint_id, "after": replay_after, "until": until}
    return NewTask(kind=RESUME, args=args, lane="internal", exclusive_key=f"resume:{endpoint_id}")


class Resume:
    """Handles ``resume_endpoint``: one batch an attempt."""

    def __init__(self, services: Services) -> None:
        self._services = services

    async def run(self, run: TaskRun) -> Outcome:
        """Release a batch; when nothing is parked, replay a batch; make the next task until both are done."""
        endpoint_id, place = run.task.args["endpoint"], run.task.args["after"]
        until = run.task.args["until"]
        async with self._services.database.read() as conn:
            endpoint = await endpoints.get(conn, endpoint_id)
            batch = [] if place is None else await events.after(conn, place, BATCH, until=until)
        if endpoint is None or endpoint.state != "enabled":
            return Done()
        pairs, _ = await matches(self._services, [endpoint], batch)
        placed = {event.id: event.position for event in batch if event.position is not None}

        async def apply(conn: AsyncConnection) -> None:
            now = run.now()
            if await deliveries.release(conn, endpoint_id, BATCH):
                await insert_tasks(conn, [resume_task(endpoint_id, place, until)], now)
                return
            await deliver(conn, pairs, placed, now, priority=deliveries.REPLAY_PRIORITY)
            ids = [event.id for _, event in pairs]
            again = await redelivery.undelivered(conn, endpoint_id, ids)
            await redelivery.send_again(conn, again, now, attempts=ATTEMPTS)
            if len(batch) == BATCH:
                await insert_tasks(conn, [resume_task(endpoint_id, placed[batch[-1].id], until)], now)

        return Done(apply)

    async def failed(self, conn: AsyncConnection, task: Task, error: str, now: datetime) -> None:
        """Leave it: the endpoint can be enabled again with the same position."""


async def resume(conn: AsyncConnection, endpoint: EndpointRow, replay_from: int | None, now: datetime) -> None:
    """Let an endpoint that was just enabled have what was parked for it, and what it missed since a position."""
    await deliveries.unpark(conn, endpoint.id)
    await lanes.unhold(conn, endpoints.lane_of(endpoint))  # a pause that it asked for before no longer counts
    until = await events.newest_position(conn)
    await insert_tasks(conn, [resume_task(endpoint.id, replay_from, until)], now)


async def replay_one(services: Services, delivery_id: str) -> None:
    """Send a delivery again, whatever became of it.

    Raises:
        Refused: ``wrong_state`` when its endpoint is disabled or removed, or its event was deleted.
    """
    now = services.clock.now()

    async def write(conn: AsyncConnection) -> Refused | None:
        work = await deliveries.work(conn, delivery_id)
        if work is None or work.endpoint.removed_at is not None:
            return Refused("wrong_state", "The endpoint was removed; make a new one and replay to it.")
        if work.endpoint.state != "enabled":
            return Refused("wrong_state", f"Enable the endpoint {work.endpoint.id} first.")
        if work.event is None:
            return Refused("wrong_state", "The event is older than the retention and was deleted.")
        await redelivery.send_again(conn, [delivery_id], now, attempts=ATTEMPTS)
        return None

    if refused := await services.database.writer.run(write):
        raise refused


async def replay_many(services: Services, chosen: Chosen, *, dry_run: bool) -> ReplayResult:
    """Send all chosen deliveries of enabled endpoints again, a batch a transaction."""
    async with services.database.read() as conn:
        matched = await redelivery.count(conn, chosen)
    replayed, last = 0, ""
    while not dry_run:
        async with services.database.read() as conn:
            ids = await redelivery.choose(conn, chosen, last, BATCH)
        if not ids:
            break
        send = partial(redelivery.send_again, ids=ids, now=services.clock.now(), attempts=ATTEMPTS)
        replayed += await services.database.writer.run(send)
        last = ids[-1]
    return ReplayResult(matched=matched, replayed=replayed, dry_run=dry_run)
