"""Setups that need attention: marked when a push finds a field gone or the nightly check does, released when mended.

While a setup needs attention its pushes are parked under ``setup:{id}``; a check that finds all well again, or a person
who saves it, lets them go.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta

import msgspec

from gateway.errors import Refused
from gateway.flows.campaigns.campaign import check_task
from gateway.flows.campaigns.setup_checks import check, locality_of, needs
from gateway.flows.campaigns.vendor_lists import Reader, integration_of, read_live
from gateway.flows.notify.publishing import NewEvent, publish
from gateway.flows.services import Services
from gateway.flows.signups import held
from gateway.sdk.errors import MappingBroken, OutcomeUnknown, ReauthRequired
from gateway.storage import accounts, campaigns, connections
from gateway.storage.campaigns import Resolved, SetupRow
from gateway.storage.connections import ConnectionRow
from gateway.storage.engine import AsyncConnection
from gateway.storage.running import Apply, Done, Handler, Outcome, Periodic, Retry, TaskRun
from gateway.storage.tasks import NewTask, Task, insert_tasks, release_parked
from gateway_schemas.campaign import SetupProblem
from gateway_schemas.event_data import SetupData

CHECK_EVERY = timedelta(days=1)


def park_cause(setup_id: str) -> str:
    """Return under which cause tasks wait for a setup to be mended."""
    return f"setup:{setup_id}"


def problems_of(row: SetupRow, error: MappingBroken) -> list[SetupProblem]:
    """Say which rows of the setup name the fields that a plugin found broken."""
    body = row.body
    places = [(f"mapping[{i}].field", one.field) for i, one in enumerate(body.mapping)]
    places += [(f"referrer_fields[{i}].field", one.field) for i, one in enumerate(body.referrer_fields)]
    places += [(f"defaults[{i}].field", one.field) for i, one in enumerate(body.defaults)]
    places += [(f"target_options.{name}", value) for name, value in body.target_options.items()]
    found: list[SetupProblem] = []
    for key in error.fields:
        message = f"{key} is gone at the vendor, or has changed: {error}. Refresh, choose another, and save."
        paths = [path for path, named in places if named == key or path == f"target_options.{key}"]
        found += [SetupProblem(field=path, message=message, code="mapping_broken") for path in paths or [key]]
    return found or [SetupProblem(field="mapping", message=str(error), code="mapping_broken")]


async def mark_needs_attention(
    conn: AsyncConnection, row: SetupRow, problems: Sequence[SetupProblem], now: datetime
) -> bool:
    """Say that a setup cannot be used as it is; the host is told once.

    Tasks may be parked under its cause in the same transaction. When the setup was saved or deleted since ``row`` was
    read, it is left alone and those tasks are released at once.

    Returns:
        Whether the setup needs attention.
    """
    current = await campaigns.lock_setup(conn, row.id)
    if current is None or (current.updated_at != row.updated_at and current.state == "ready"):
        await insert_tasks(conn, [_release_task(row)], now)
        return False
    if current.updated_at != row.updated_at:
        return True
    await campaigns.mark(conn, row.id, state="needs_attention", problems=problems)
    if current.state == "ready":
        data = SetupData(
            campaign=current.campaign_id,
            role=current.role,
            connection=current.connection_id,
            problems=list(problems),
        )
        event = NewEvent(
            type="setup.needs_attention", account_id=row.account_id, person_id=None, data=msgspec.to_builtins(data)
        )
        await publish(conn, [event], now)
    return True


def parking(row: SetupRow, now: datetime, also: Apply | None = None) -> Apply:
    """Return the writes that go with parking a task under a setup.

    When the setup was mended or removed since ``row`` was read, its release may have run already: the task is released
    by another one, instead of waiting for somebody to save the setup again.
    """

    async def write(conn: AsyncConnection) -> None:
        current = await campaigns.lock_setup(conn, row.id)
        if current is None or current.state == "ready":
            await insert_tasks(conn, [_release_task(row)], now)
        if also is not None:
            await also(conn)

    return write


async def mark_ready(conn: AsyncConnection, row: SetupRow, resolved: Resolved, now: datetime) -> None:
    """Write that a check found all well; what waited for it goes out. A setup saved since then is left alone."""
    current = await campaigns.lock_setup(conn, row.id)
    if current is None or current.updated_at != row.updated_at:
        return
    await campaigns.mark(conn, row.id, state="ready", problems=[], resolved=resolved)
    if current.state != "ready":
        await release(conn, current, now)


async def release(conn: AsyncConnection, row: SetupRow, now: datetime) -> None:
    """Let what waits for a setup go: held signups now, parked tasks in batches by a task."""
    await held.released_by_setup(conn, row, now)
    await insert_tasks(conn, [_release_task(row)], now)


async def release_tasks(conn: AsyncConnection, row: SetupRow, now: datetime) -> None:
    """Let the parked tasks of a setup that is removed go; each finds out for itself that there is no setup."""
    await insert_tasks(conn, [_release_task(row)], now)


def _release_task(row: SetupRow) -> NewTask:
    return NewTask(
        kind="release_setup",
        args={"setup": row.id},
        lane="internal",
        account_id=row.account_id,
        priority=1,
        unique_key=f"release_setup:{row.id}",
    )


# --- checking --------------------------------------------------------------------------------------


async def check_setup(
    services: Services, row: SetupRow, reader: Reader, connection: ConnectionRow
) -> list[SetupProblem]:
    """Compare one setup with its campaign and with what the vendor has now, and write what was found.

    Args:
        services: What every flow is given.
        row: The setup.
        reader: Reads the connection's lists; a live one, since an old list proves nothing.
        connection: The setup's connection.

    Returns:
        Why it needs attention; empty when it is ready.

    Raises:
        PluginError: The vendor could not be read; nothing was changed.
    """
    async with services.database.read() as conn:
        campaign = await campaigns.get(conn, row.account_id, row.campaign_id)
        account = await accounts.get(conn, row.account_id)
    assert campaign is not None
    assert account is not None
    manifest = integration_of(services, connection).manifest
    live = await read_live(reader, needs(manifest, row.role, row.body))
    checked = check(manifest, campaign, row.role, row.body, live, locality_of(account))
    now = services.clock.now()

    async def write(conn: AsyncConnection) -> None:
        if checked.problems:
            await mark_needs_attention(conn, row, checked.problems, now)
        else:
            await mark_ready(conn, row, checked.resolved, now)

    await services.database.writer.run(write)
    return checked.problems


class CheckSetups:
    """Compares all setups of a connection with the vendor."""

    def __init__(self, services: Services) -> None:
        self._services = services

    async def run(self, run: TaskRun) -> Outcome:
        """Read each list once, and judge every setup with them."""
        async with self._services.database.read() as conn:
            connection = await connections.get(conn, run.task.args["connection"])
            rows = [] if connection is None else await campaigns.setups_of(conn, connection.id)
        if connection is None or connection.state != "active":
            return Done()  # checked again when it is connected
        try:
            reader = Reader(self._services, connection, live=True, run=run)
            for row in rows:
                await check_setup(self._services, row, reader, connection)
        except (ReauthRequired, Refused):
            return Done()  # noted already; the next check comes by itself
        except OutcomeUnknown as error:
            return Retry(str(error))
        return Done()

    async def failed(self, conn: AsyncConnection, task: Task, error: str, now: datetime) -> None:
        """Leave the setups as they are: what could not be checked is not broken."""


class ReleaseSetup:
    """Releases the parked tasks of a setup, a batch a transaction."""

    def __init__(self, services: Services) -> None:
        self._services = services

    async def run(self, run: TaskRun) -> Outcome:
        """Go on until none is left."""
        cause = park_cause(run.task.args["setup"])

        async def batch(conn: AsyncConnection) -> int:
            return await release_parked(conn, cause)

        while await self._services.database.writer.run(batch):
            pass
        return Done()

    async def failed(self, conn: AsyncConnection, task: Task, error: str, now: datetime) -> None:
        """Leave the rest parked; saving the setup again releases it."""


def handlers(services: Services) -> dict[str, Handler]:
    """Return the handlers of this flow's tasks."""
    return {"check_setups": CheckSetups(services), "release_setup": ReleaseSetup(services)}


def periodic(_services: Services) -> list[Periodic]:
    """Return the nightly check."""

    async def make_tasks(conn: AsyncConnection, now: datetime) -> None:
        due = await campaigns.setups_to_check(conn)
        tasks = [check_task(one, account, connections.lane_of(key, identity)) for one, account, key, identity in due]
        await insert_tasks(conn, tasks, now)

    return [Periodic(key="check_setups", every_seconds=CHECK_EVERY.total_seconds(), make_tasks=make_tasks)]
