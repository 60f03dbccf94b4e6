"""Notify: tell the host, and every other endpoint, what happened.

Read on in this order: ``publishing`` writes an event down with its fact, ``fan_out`` finds out who wants it,
``deliver`` sends it, ``replay`` sends it again. Here is what other flows use, and what the worker runs.
"""

from datetime import datetime, timedelta

from gateway.flows.notify import fan_out
from gateway.flows.notify.deliver import Deliver
from gateway.flows.notify.fan_out import FanOut
from gateway.flows.notify.publishing import FAN_OUT, NewEvent, publish
from gateway.flows.notify.replay import RESUME, Resume
from gateway.flows.services import Services
from gateway.storage import contact_index, deliveries, events, inbound
from gateway.storage.engine import AsyncConnection
from gateway.storage.running import Done, Handler, Outcome, Periodic, TaskRun
from gateway.storage.tasks import NewTask, Task, insert_tasks, prune_excerpts, prune_finished

__all__ = ["NewEvent", "handlers", "periodic", "publish"]

FORGET = "forget_old"
BATCH = 1_000
CATCH_UP_SECONDS = 15.0
FORGET_SECONDS = 3_600.0


class Forget:
    """Handles ``forget_old``: deletes what retention no longer keeps, a batch a transaction."""

    def __init__(self, services: Services) -> None:
        self._services = services

    async def run(self, run: TaskRun) -> Outcome:
        """Delete one batch of each kind; make the next task while any of them was full."""
        settings, now = self._services.settings, run.now()

        async def apply(conn: AsyncConnection) -> None:
            kept = now - timedelta(days=settings.retention_events_days)
            deleted = [
                await deliveries.prune_deliveries(conn, kept, BATCH),
                await events.prune_events(conn, kept, BATCH),
                await prune_excerpts(conn, now - timedelta(days=settings.retention_attempts_days), BATCH),
                await inbound.prune(conn, now - timedelta(days=settings.retention_attempts_days), BATCH),
                await contact_index.prune(conn, now - timedelta(days=settings.retention_contacts_days), BATCH),
                await prune_finished(conn, now - timedelta(days=settings.retention_tasks_days), BATCH),
            ]
            if max(deleted) >= BATCH:
                await _make_forget(conn, now)

        return Done(apply)

    async def failed(self, conn: AsyncConnection, task: Task, error: str, now: datetime) -> None:
        """Leave it: the next hour tries again."""


async def _make_forget(conn: AsyncConnection, now: datetime) -> None:
    await insert_tasks(conn, [NewTask(kind=FORGET, args={}, lane="internal", unique_key=FORGET)], now)


def handlers(services: Services) -> dict[str, Handler]:
    """Return the handlers of this flow's tasks."""
    return {
        FAN_OUT: FanOut(services),
        deliveries.KIND: Deliver(services),
        RESUME: Resume(services),
        FORGET: Forget(services),
    }


def periodic(_services: Services) -> list[Periodic]:
    """Return what happens again and again: retention, and a look for events that a race left behind."""
    return [
        Periodic("fan_out_catch_up", CATCH_UP_SECONDS, fan_out.catch_up),
        Periodic("forget_old", FORGET_SECONDS, _make_forget),
    ]
