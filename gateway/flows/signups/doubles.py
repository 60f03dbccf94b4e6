"""Look once a day for signups that are in the CRM twice, and tell people: two records carry one reference.

It should never happen; ``docs/promises.md`` names what stays possible. Only where the plugin can find records by their
reference. Each signup is looked at twice, on the two days after it was made, from the budget's share for sweeps.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import groupby

import structlog

from gateway.flows import mishaps
from gateway.flows.connections.opening import find_active, open_connection
from gateway.flows.services import Services
from gateway.sdk.errors import NotSupported
from gateway.storage import connections, links, people, pushes, timeline
from gateway.storage.connections import ConnectionRow
from gateway.storage.engine import AsyncConnection
from gateway.storage.people import PersonRow
from gateway.storage.running import Done, Handler, Outcome, Periodic, TaskRun
from gateway.storage.tasks import NewTask, Task, insert_tasks
from gateway.storage.timeline import NewEntry
from gateway_schemas.records import RecordRef

DAY_SECONDS = 86_400.0
WINDOW = timedelta(days=2)
SETTLED = timedelta(hours=1)
"""A signup is looked at once its record is so old: a push that is in doubt is decided by then."""

LINKS_AT_ONCE = 5_000
PEOPLE_AT_ONCE = 25
CALL_SECONDS = 30.0
DOUBLED = "record.doubled"

_log = structlog.get_logger(__name__)


class Plan:
    """Handles ``plan_doubles``: finds whose records were made lately, and makes a task for each piece of them."""

    def __init__(self, services: Services) -> None:
        self._services = services

    async def run(self, run: TaskRun) -> Outcome:
        """Make the tasks of one batch, and go on from its end."""
        now = run.now()
        until = now - SETTLED
        given = run.task.args.get("since")
        since = datetime.fromisoformat(given) if given is not None else until - WINDOW
        async with self._services.database.read() as conn:
            made = await links.made_between(conn, since, until, LINKS_AT_ONCE)
            rows = await connections.by_ids(conn, sorted({connection for connection, _, _ in made}))
        pieces: dict[str, dict[str, None]] = {}
        for connection_id, person_id, _ in made:
            pieces.setdefault(connection_id, {})[person_id] = None
        tasks = [task for key, who in pieces.items() if self._can(rows.get(key)) for task in _tasks(rows[key], [*who])]
        last = made[-1][2] if len(made) == LINKS_AT_ONCE else None

        async def apply(conn: AsyncConnection) -> None:
            await insert_tasks(conn, tasks, now)
            if last is not None and last > since:
                await insert_tasks(conn, [_plan(last)], now)

        return Done(apply)

    def _can(self, row: ConnectionRow | None) -> bool:
        integration = self._services.integrations.get(row.integration) if row is not None else None
        return (
            row is not None
            and row.state == "active"
            and integration is not None
            and integration.has("find_by_reference")
        )

    async def failed(self, conn: AsyncConnection, task: Task, error: str, now: datetime) -> None:
        """Leave it to the next day, which looks at the day before too."""


class Check:
    """Handles ``check_doubles``: asks the CRM for everything that carries the reference of each of some people."""

    def __init__(self, services: Services) -> None:
        self._services = services

    async def run(self, run: TaskRun) -> Outcome:
        """Look at one piece, and write down what is there twice."""
        async with self._services.database.read() as conn:
            active = await find_active(self._services, conn, run.task.args["connection"])
            who = await people.by_ids(conn, run.task.args["people"])
            sent = await pushes.sent(conn, sorted(who), run.task.args["connection"])
        if active is None:
            return Done()
        row, integration = active
        doubled: dict[str, list[RecordRef]] = {}
        try:
            connection = await open_connection(self._services, row, run=run, background="sweep")
            for person_id, frozen in sent.items():
                finding = integration.hooks.find_by_reference(
                    connection=connection, reference=frozen.reference, values=frozen.values
                )
                found = await integration.call(finding, timeout_seconds=CALL_SECONDS)
                if twice := _twice(found):
                    doubled[person_id] = twice
        except NotSupported:
            return Done()
        except Exception as error:  # noqa: BLE001 - what it means is decided in one place
            return await mishaps.outcome_of(run, row, error)
        now = run.now()

        async def apply(conn: AsyncConnection) -> None:
            told = await timeline.people_with(conn, sorted(doubled), DOUBLED)
            fresh = {person_id: refs for person_id, refs in doubled.items() if person_id not in told}
            await timeline.add(conn, [_entry(who[person_id], refs) for person_id, refs in fresh.items()], now)
            for person_id, refs in fresh.items():
                named = [f"{ref.kind} {ref.id}" for ref in refs]
                _log.error("signup.doubled", person_id=person_id, connection_id=row.id, records=named)

        return Done(apply)

    async def failed(self, conn: AsyncConnection, task: Task, error: str, now: datetime) -> None:
        """Leave it to the next day, which looks at the day before too."""


def _twice(found: Sequence[RecordRef]) -> list[RecordRef]:
    """Return the records of which one reference has several of a kind."""
    ordered = sorted(set(found), key=lambda ref: (ref.kind, len(ref.id), ref.id))
    kinds = [list(some) for _, some in groupby(ordered, key=lambda ref: ref.kind)]
    return [ref for some in kinds if len(some) > 1 for ref in some]


def _entry(person: PersonRow, refs: Sequence[RecordRef]) -> NewEntry:
    named = ", ".join(f"{ref.kind} {ref.id}" for ref in refs)
    text = f"The CRM has records of this signup more than once: {named}. Keep one, and remove the others there."
    return NewEntry(person.id, person.account_id, DOUBLED, text, {"records": list(refs)})


def _tasks(row: ConnectionRow, who: Sequence[str]) -> list[NewTask]:
    pieces = [who[start : start + PEOPLE_AT_ONCE] for start in range(0, len(who), PEOPLE_AT_ONCE)]
    return [
        NewTask(
            kind="check_doubles",
            args={"connection": row.id, "people": piece},
            lane=connections.lane(row),
            account_id=row.account_id,
            priority=3,
            exclusive_key=f"doubles:{row.id}",
            unique_key=f"doubles:{piece[0]}:{piece[-1]}",  # the next batch begins with the last person of this one
        )
        for piece in pieces
    ]


def _plan(since: datetime | None = None) -> NewTask:
    args = {} if since is None else {"since": since.isoformat()}
    return NewTask(kind="plan_doubles", args=args, lane="internal", unique_key="plan_doubles")


def handlers(services: Services) -> dict[str, Handler]:
    """Return the handlers of this flow's tasks."""
    return {"plan_doubles": Plan(services), "check_doubles": Check(services)}


def periodic(services: Services) -> list[Periodic]:
    """Return the daily look."""

    async def make_tasks(conn: AsyncConnection, now: datetime) -> None:
        await insert_tasks(conn, [_plan()], now)

    return [Periodic("plan_doubles", DAY_SECONDS, make_tasks)]
