"""Poll the feeds of a connection: what its webhooks missed. One task a feed, which makes the next one.

A page's changes and its checkpoint commit together, so a page is read again or not at all.
"""

from datetime import datetime, timedelta

import structlog

from gateway.flows import mishaps
from gateway.flows.connections.counters import Background
from gateway.flows.connections.opening import find_active, open_connection
from gateway.flows.contact_index import walking
from gateway.flows.referrals import sightings
from gateway.flows.referrals.evidence import Looker, follow_hints
from gateway.flows.referrals.subscriptions import register_task
from gateway.flows.services import Services
from gateway.plugins import Integration
from gateway.sdk.errors import NotSupported
from gateway.storage import checkpoints, connections, contact_index
from gateway.storage.checkpoints import Checkpoint
from gateway.storage.connections import ConnectionRow
from gateway.storage.engine import AsyncConnection
from gateway.storage.running import Apply, Done, Handler, Outcome, Periodic, Retry, TaskRun
from gateway.storage.tasks import NewTask, Task, hasten, insert_tasks
from gateway_schemas.manifest import Feed

ENSURE_SECONDS = 600.0
GAP = timedelta(minutes=30)
"""A feed that was not read for longer (and for two of its intervals) has a gap: subscriptions may be gone too."""

_log = structlog.get_logger(__name__)


def poll_task(row: ConnectionRow, feed: Feed, due_at: datetime | None = None) -> NewTask:
    """Return the task that reads one page of a feed; at most one waits and one runs.

    Feeds of contacts are bulk work, and read one after the other: two of them may tell of the same contact.
    """
    key = f"feed:{row.id}:{feed.key}"
    return NewTask(
        kind="poll_feed",
        args={"connection": row.id, "feed": feed.key},
        lane=connections.lane(row),
        account_id=row.account_id,
        priority=3 if feed.contacts else 1,
        exclusive_key=f"contacts:{row.id}" if feed.contacts else key,
        unique_key=key,
        due_at=due_at,
    )


def start_task(row: ConnectionRow) -> NewTask:
    """Return the task that begins to poll a connection's feeds: after activation, and after a gap."""
    return NewTask(
        kind="start_feeds",
        args={"connection": row.id},
        lane=connections.lane(row),
        account_id=row.account_id,
        priority=1,
        unique_key=f"start_feeds:{row.id}",
    )


def interval(feed: Feed, row: ConnectionRow) -> timedelta:
    """Return how long to wait between two readings of a feed."""
    return timedelta(seconds=feed.healthy_interval_seconds if row.webhooks == "healthy" else feed.interval_seconds)


def is_first_look(row: ConnectionRow, before: Checkpoint | None) -> bool:
    """Say whether a feed was not read since the connection was authorised, for the first time or again."""
    return before is None or before.polled_at is None or before.polled_at < row.state_since


class StartFeeds:
    """Begins to poll every feed of a connection now."""

    def __init__(self, services: Services) -> None:
        self._services = services

    async def run(self, run: TaskRun) -> Outcome:
        """Make one task for each feed of the manifest; one that waits for its next turn has it now."""
        async with self._services.database.read() as conn:
            active = await find_active(self._services, conn, run.task.args["connection"])
        if active is None:
            return Done()
        row, integration = active
        if not integration.has("poll_changes"):
            return Done()
        tasks = [poll_task(row, feed) for feed in integration.manifest.feeds if feed.at_start]
        now = run.now()

        async def apply(conn: AsyncConnection) -> None:
            await insert_tasks(conn, tasks, now)
            # signups wait for the index of contacts until its feeds are at their end again
            await hasten(conn, [task.unique_key for task in tasks if task.unique_key is not None])

        return Done(apply)

    async def failed(self, conn: AsyncConnection, task: Task, error: str, now: datetime) -> None:
        """Leave it to the periodic check."""


class PollFeed:
    """Reads one page of a feed, follows what it says, and goes on: at once while more waits, else later."""

    def __init__(self, services: Services) -> None:
        self._services = services

    async def run(self, run: TaskRun) -> Outcome:
        """Read a page and commit what it says with its checkpoint."""
        feed_key = run.task.args["feed"]
        async with self._services.database.read() as conn:
            active = await find_active(self._services, conn, run.task.args["connection"])
            before = await checkpoints.get(conn, run.task.args["connection"], feed_key)
            index = await contact_index.find(conn, active[0]) if active is not None else None
        if active is None:
            return Done()  # begins again when the connection is authorised
        row, integration = active
        feed = next((one for one in integration.manifest.feeds if one.key == feed_key), None)
        if feed is None or not integration.has("poll_changes"):
            return Done()  # a newer version of the plugin has no such feed
        walk = index.walks.get(feed_key) if index is not None else None
        if feed.contacts and walk is None:
            before = None  # the index of these contacts begins, or begins anew: so does the feed
        is_first = is_first_look(row, before) or (feed.contacts and (walk is None or walk.done_at is None))
        try:
            return Done(await self._poll(run, row, integration, feed, before, is_first=is_first))
        except NotSupported as error:
            return Done(self._later(row, feed, run.now(), error=mishaps.scrubbed(str(error))))
        except Exception as error:  # noqa: BLE001 - what it means is decided in one place
            outcome = await mishaps.outcome_of(run, row, error)
            if isinstance(outcome, Retry):
                return Retry(outcome.error, outcome.after_seconds, outcome.counts, _noting(row, feed, outcome.error))
            return outcome

    async def _poll(
        self,
        run: TaskRun,
        row: ConnectionRow,
        integration: Integration,
        feed: Feed,
        before: Checkpoint | None,
        *,
        is_first: bool,
    ) -> Apply:
        started = run.now()
        polled = before.polled_at if before is not None else None
        background: Background = "first_look" if is_first else "feed"
        connection = await open_connection(self._services, row, run=run, background=background)
        call = integration.hooks.poll_changes(
            connection=connection, feed=feed.key, checkpoint=before.checkpoint if before is not None else None
        )
        page = await integration.call(call, timeout_seconds=feed.page_seconds)
        found = await follow_hints(self._services, row, Looker(integration, connection, started), page.changes, "feed")
        contacts = await walking.hashed(self._services, page.contacts)
        if contacts and not feed.contacts:
            _log.warning("feed.contacts_not_declared", integration=integration.key, feed=feed.key)
        go_on = self._later(row, feed, started, more=page.more)
        has_gap = polled is not None and started - polled > max(GAP, 2 * interval(feed, row))

        async def apply(conn: AsyncConnection) -> None:
            now = run.now()
            await sightings.record(conn, self._services, row, found, now)
            await checkpoints.advance(conn, row.id, feed.key, page.checkpoint, now)
            if feed.contacts:
                manifest = integration.manifest
                await walking.keep(conn, row, manifest, feed.key, contacts, at_end=not page.more, now=now)
            await go_on(conn)
            if has_gap:
                await insert_tasks(conn, [register_task(row)], now)

        return apply

    def _later(
        self, row: ConnectionRow, feed: Feed, now: datetime, *, more: bool = False, error: str | None = None
    ) -> Apply:
        async def apply(conn: AsyncConnection) -> None:
            if error is not None:
                await checkpoints.note_error(conn, row.id, feed.key, error)
            current = await connections.get(conn, row.id)
            if current is not None and current.state == "active":
                due_at = None if more else now + interval(feed, current)
                await insert_tasks(conn, [poll_task(current, feed, due_at)], now)

        return apply

    async def failed(self, conn: AsyncConnection, task: Task, error: str, now: datetime) -> None:
        """Keep why, and go on at the interval all the same: a feed never stops for good."""
        row = await connections.get(conn, task.args["connection"])
        integration = self._services.integrations.get(row.integration) if row is not None else None
        if row is None or integration is None:
            return
        for feed in integration.manifest.feeds:
            if feed.key == task.args["feed"]:
                await self._later(row, feed, now, error=error)(conn)


def _noting(row: ConnectionRow, feed: Feed, error: str) -> Apply:
    async def apply(conn: AsyncConnection) -> None:
        await checkpoints.note_error(conn, row.id, feed.key, error)

    return apply


class PlanFeeds:
    """Makes sure that every active connection's feeds are being polled."""

    def __init__(self, services: Services) -> None:
        self._services = services

    async def run(self, run: TaskRun) -> Outcome:
        """Make the task of each feed that was not read for two of its intervals and has no task."""
        now = run.now()
        overdue: dict[str, NewTask] = {}
        async with self._services.database.read() as conn:
            for row in await connections.active(conn):
                integration = self._services.integrations.get(row.integration)
                if integration is None or not integration.has("poll_changes") or row.identity is None:
                    continue
                known = {one.feed: one.polled_at for one in await checkpoints.of_connection(conn, row.id)}
                for feed in integration.manifest.feeds:
                    polled = known.get(feed.key)
                    if polled is None or now - polled > 2 * interval(feed, row):
                        task = poll_task(row, feed)
                        overdue[task.unique_key or ""] = task
            alive = await checkpoints.tasks_alive(conn, sorted(overdue))
        tasks = [task for key, task in overdue.items() if key not in alive]

        async def apply(conn: AsyncConnection) -> None:
            await insert_tasks(conn, tasks, now)

        return Done(apply)

    async def failed(self, conn: AsyncConnection, task: Task, error: str, now: datetime) -> None:
        """Leave it to the next period."""


def handlers(services: Services) -> dict[str, Handler]:
    """Return the handlers of this flow's tasks."""
    return {"poll_feed": PollFeed(services), "start_feeds": StartFeeds(services), "plan_feeds": PlanFeeds(services)}


def periodic(services: Services) -> list[Periodic]:
    """Return the check that every feed is being polled."""

    async def make_tasks(conn: AsyncConnection, now: datetime) -> None:
        await insert_tasks(conn, [NewTask(kind="plan_feeds", args={}, lane="internal", unique_key="plan_feeds")], now)

    return [Periodic("plan_feeds", ENSURE_SECONDS, make_tasks)]
