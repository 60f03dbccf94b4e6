"""The nightly check: compare the mappings of contact syncs with the fields and filters that the vendor has now.

A field or filter that is gone stops the sync before a write fails on it; one that came back lets it go on.
"""

from datetime import datetime

import msgspec

from gateway.errors import Refused
from gateway.flows.campaigns.vendor_lists import Reader, integration_of
from gateway.flows.contact_sync import phases, start, trouble
from gateway.flows.contact_sync.checks import Checked, Wanted
from gateway.flows.services import Services
from gateway.sdk.errors import OutcomeUnknown, ReauthRequired
from gateway.storage import campaigns, connections, syncs
from gateway.storage.connections import ConnectionRow
from gateway.storage.engine import AsyncConnection
from gateway.storage.running import Apply, Done, Outcome, Retry, TaskRun
from gateway.storage.syncs import SyncRow
from gateway.storage.tasks import NewTask, Task, insert_tasks
from gateway_schemas.sync import SyncState

CHECK = "sync_check"
CHECKED_STATES: tuple[SyncState, ...] = ("running", "watching", "needs_attention")


def check_task(connection: ConnectionRow) -> NewTask:
    """Return the task that checks the syncs of a connection."""
    return NewTask(
        kind=CHECK,
        args={"connection": connection.id},
        lane=connections.lane(connection),
        account_id=connection.account_id,
        priority=3,
        unique_key=f"{CHECK}:{connection.id}",
    )


class CheckSyncs:
    """Compares all open syncs of a connection with the vendor."""

    def __init__(self, services: Services) -> None:
        self._services = services

    async def run(self, run: TaskRun) -> Outcome:
        """Read each list once, and judge every sync with them."""
        async with self._services.database.read() as conn:
            connection = await connections.get(conn, run.task.args["connection"])
            rows = (
                [] if connection is None else await syncs.in_states(conn, CHECKED_STATES, connection_id=connection.id)
            )
        if connection is None or connection.state != "active" or not rows:
            return Done()  # checked again when it is connected
        try:
            reader = Reader(self._services, connection, live=True, run=run)
            writes = [await self._check(row, connection, reader, run.now()) for row in rows]
        except (ReauthRequired, Refused):
            return Done()  # noted already; the next check comes by itself
        except OutcomeUnknown as error:
            return Retry(str(error))

        async def apply(conn: AsyncConnection) -> None:
            for write in writes:
                await write(conn)

        return Done(apply)

    async def _check(self, row: SyncRow, connection: ConnectionRow, reader: Reader, now: datetime) -> Apply:
        integration = integration_of(self._services, connection)
        async with self._services.database.read() as conn:
            campaign = await campaigns.get(conn, row.account_id, row.campaign_id)
        assert campaign is not None
        context = start.Context(campaign=campaign, connection=connection, integration=integration)
        wanted = Wanted(selection=row.selection, mapping=row.mapping, write_back=row.write_back)
        fields = (await reader.fields(integration.manifest.contact_kind)).data
        checked = await start.check(context, wanted, fields, reader)
        if checked.problems:
            message = " ".join(one.message for one in checked.problems)
            return trouble.needs_attention(row, "mapping_broken", message, checked.problems, now)
        return _well(row, checked, now)

    async def failed(self, conn: AsyncConnection, task: Task, error: str, now: datetime) -> None:
        """Leave the syncs as they are: what could not be checked is not broken."""


def _well(row: SyncRow, checked: Checked, now: datetime) -> Apply:
    """Return the writes for a sync whose mapping fits: one that stopped because it did not goes on."""

    async def write(conn: AsyncConnection) -> None:
        current = await syncs.lock(conn, row.id)
        if current is None or (current.mapping, current.write_back) != (row.mapping, row.write_back):
            return
        values: dict[str, object] = {"fields": checked.fields} if current.fields != checked.fields else {}
        if current.state == "needs_attention" and current.cause == "mapping_broken":
            values |= phases.going_on(current)
        if values:
            await syncs.change(conn, row.id, values, now)
            after = msgspec.structs.replace(current, **values)
            await insert_tasks(conn, start.following(after, current), now)

    return write
