"""Read the records of open referrals again, so that what every webhook and feed missed is still found.

Hourly with healthy webhooks or feeds, every five minutes without; fair, those first that were looked at longest ago;
and never more than a set share of the vendor's daily budget, paced over the day (``counters.background_wait``). New
records of a contact cost calls for each person to find: with healthy webhooks or feeds, which name them at once, they
are looked for once a day.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta

import structlog

from gateway.flows import mishaps
from gateway.flows.connections.opening import open_connection
from gateway.flows.referrals import sightings
from gateway.flows.referrals.evidence import Looker, look_for_successor
from gateway.flows.referrals.piece import Piece
from gateway.flows.services import Services
from gateway.sdk.errors import PluginError, Rejected
from gateway.storage import campaigns, connections, links, people, referrals
from gateway.storage.campaigns import SetupRow
from gateway.storage.connections import ConnectionRow
from gateway.storage.engine import AsyncConnection
from gateway.storage.referrals import Watched
from gateway.storage.running import Done, Handler, Outcome, Periodic, Retry, TaskRun
from gateway.storage.tasks import NewTask, Task, insert_tasks
from gateway_schemas.manifest import Manifest

HEALTHY = timedelta(hours=1)
UNHEALTHY = timedelta(minutes=5)
TICK_SECONDS = 300.0
WATCHED_FOR = timedelta(days=90)
"""A qualified referral is looked at for so long after it qualified, and longer while its reward is held."""

_log = structlog.get_logger(__name__)


def sweep_task(row: ConnectionRow) -> NewTask:
    """Return the task that looks at the next piece of a connection's open referrals; at most one waits and one runs."""
    return NewTask(
        kind="sweep",
        args={"connection": row.id},
        lane=connections.lane(row),
        account_id=row.account_id,
        priority=3,
        exclusive_key=f"sweep:{row.id}",
        unique_key=f"sweep:{row.id}",
    )


def every(row: ConnectionRow, manifest: Manifest) -> timedelta:
    """Return how often each open referral of a connection is looked at."""
    return HEALTHY if row.webhooks == "healthy" or manifest.feeds else UNHEALTHY


def watched(row: ConnectionRow, setups: Sequence[SetupRow], now: datetime) -> Watched:
    """Return which referrals of a connection are open."""
    mine = [setup for setup in setups if setup.role == "referred"]
    ruled = {setup.campaign_id: setup.body.qualification for setup in mine if setup.body.qualification is not None}
    return Watched(
        account_id=row.account_id,
        connection_id=row.id,
        ruled=sorted(ruled),
        reversible=sorted(campaign for campaign, rule in ruled.items() if rule.reverse == "until_issued"),
        valued=sorted(setup.campaign_id for setup in mine if setup.body.sale_value is not None),
        since=now - WATCHED_FOR,
    )


class Sweep:
    """Looks at the records of people: those that the task names, else the next piece of those that are due.

    Args:
        services: The process's services.
        background: The calls come from the share of the budget that sweeps may use.
    """

    def __init__(self, services: Services, *, background: bool) -> None:
        self._services = services
        self._background = background

    async def run(self, run: TaskRun) -> Outcome:
        """Look at one piece, and make the task for the next."""
        started = run.now()
        async with self._services.database.read() as conn:
            row = await connections.get(conn, run.task.args["connection"])
            integration = self._services.integrations.get(row.integration) if row is not None else None
            if row is None or integration is None or row.state != "active" or not integration.has("read_records"):
                return Done()
            setups = await campaigns.setups_of(conn, row.id)
            size = max(1, integration.manifest.read_batch)
            due = started - every(row, integration.manifest)
            named = run.task.args.get("people")
            chosen = (
                named
                if named is not None
                else await referrals.due_for_sweep(conn, watched(row, setups, started), due, size)
            )
            who = await people.by_ids(conn, chosen)
            mine = await links.of_people(conn, sorted(who))
        if not who:
            return Done()
        is_told = named is None and every(row, integration.manifest) == HEALTHY
        piece = Piece(
            row,
            integration.manifest,
            {one.campaign_id: one for one in setups if one.role == "referred"},
            who,
            mine,
            follow_daily_at=started if is_told else None,
        )
        try:
            connection = await open_connection(
                self._services, row, run=run, background="sweep" if self._background else None
            )
            looker = Looker(integration, connection, started)
            await looker.read(ref for person in sorted(who) for ref in piece.to_read(person))
        except Exception as error:  # noqa: BLE001 - what it means is decided in one place
            return await self._stopped(run, row, error, sorted(who))
        done, stopped = await _look_around(looker, piece)
        found = looker.found(run.task.args.get("source", "sweep"))

        async def apply(conn: AsyncConnection) -> None:
            now = run.now()
            await sightings.record(conn, self._services, row, found, now, swept=done)
            if (
                named is None
                and stopped is None
                and await referrals.any_due_for_sweep(conn, watched(row, setups, now), due)
            ):
                await insert_tasks(conn, [sweep_task(row)], now)

        if stopped is None:
            return Done(apply)
        outcome = await self._stopped(run, row, stopped, sorted(who))
        return (
            Retry(outcome.error, outcome.after_seconds, outcome.counts, apply)
            if isinstance(outcome, Retry)
            else outcome
        )

    async def _stopped(self, run: TaskRun, row: ConnectionRow, error: Exception, who: list[str]) -> Outcome:
        """Try again later; but a piece that the vendor or the plugin cannot read must not stop all the others."""
        outcome = await mishaps.outcome_of(run, row, error)
        passable = isinstance(error, Rejected) or not isinstance(error, PluginError)
        if not isinstance(outcome, Retry) or not passable or run.task.tries < 3:
            return outcome
        _log.error("sweep.piece_skipped", connection_id=row.id, people=len(who), error=outcome.error)
        now = run.now()

        async def apply(conn: AsyncConnection) -> None:
            await referrals.mark_swept(conn, who, now)

        return Done(apply)

    async def failed(self, conn: AsyncConnection, task: Task, error: str, now: datetime) -> None:
        """Leave it to the next sweep."""


async def _look_around(looker: Looker, piece: Piece) -> tuple[list[str], Exception | None]:
    """Look for records that came of the people's, one person after the other; return who is done, and what stopped us.

    This costs calls for each person. When the share of the budget ends here, what was found until then is kept.
    """
    done: list[str] = []
    for person in sorted(piece.who):
        try:
            await look_for_successor(looker, piece.links_of(person))
            await looker.read_related(piece.contacts_to_follow(person))
        except Exception as error:  # noqa: BLE001 - handed to the one place that decides what it means
            return done, error
        done.append(person)
    return done, None


class PlanSweeps:
    """Finds the connections that have open referrals to look at."""

    def __init__(self, services: Services) -> None:
        self._services = services

    async def run(self, run: TaskRun) -> Outcome:
        """Make one task for each of them; a read for each connection, none of it in the writer's way."""
        now = run.now()
        tasks = []
        async with self._services.database.read() as conn:
            for row in await connections.active(conn):
                integration = self._services.integrations.get(row.integration)
                if integration is None or not integration.has("read_records") or row.identity is None:
                    continue
                open_ones = watched(row, await campaigns.setups_of(conn, row.id), now)
                if await referrals.any_due_for_sweep(conn, open_ones, now - every(row, integration.manifest)):
                    tasks.append(sweep_task(row))

        async def apply(conn: AsyncConnection) -> None:
            await insert_tasks(conn, tasks, now)

        return Done(apply)

    async def failed(self, conn: AsyncConnection, task: Task, error: str, now: datetime) -> None:
        """Leave it to the next period."""


def handlers(services: Services) -> dict[str, Handler]:
    """Return the handlers of this flow's tasks: the sweep, and the look at people whom another flow names."""
    return {
        "sweep": Sweep(services, background=True),
        "sweep_people": Sweep(services, background=False),
        "plan_sweeps": PlanSweeps(services),
    }


def periodic(services: Services) -> list[Periodic]:
    """Return the check for open referrals that are due to be looked at."""

    async def make_tasks(conn: AsyncConnection, now: datetime) -> None:
        await insert_tasks(conn, [NewTask(kind="plan_sweeps", args={}, lane="internal", unique_key="plan_sweeps")], now)

    return [Periodic("plan_sweeps", TICK_SECONDS, make_tasks)]
