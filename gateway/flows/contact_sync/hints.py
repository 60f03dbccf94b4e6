"""Follow what webhooks say of contacts: an ongoing sync reads those again at once.

A webhook is a hint. A sync of all contacts reads the ones that it names; one of a saved filter walks again soon, since
only a walk shows who belongs to a filter. The echo of a write that we did a moment ago is no hint.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

import msgspec

from gateway.flows import mishaps
from gateway.flows.connections.opening import find_active, open_connection
from gateway.flows.contact_sync import trouble
from gateway.flows.contact_sync.importing import GONE, counted, store_page
from gateway.flows.contact_sync.pages import read_all
from gateway.flows.contact_sync.phases import hinted_at
from gateway.flows.contact_sync.tasks import hints_task, settle_task, write_task
from gateway.flows.services import Services
from gateway.plugins import Integration
from gateway.sdk import errors
from gateway.storage import campaigns, links, sync_contacts, syncs
from gateway.storage.connections import ConnectionRow
from gateway.storage.engine import AsyncConnection
from gateway.storage.running import Done, Outcome, TaskRun
from gateway.storage.syncs import SyncRow
from gateway.storage.tasks import NewTask, Task, insert_tasks
from gateway_schemas.records import Record, RecordChange, RecordRef
from gateway_schemas.sync import ContactPage

CALL_SECONDS = 60.0
ECHO = timedelta(minutes=1)
"""How long after a write of ours a change by the connected user is taken for its echo."""

A_TASK = 100
"""Contacts of one task."""


async def follow(
    conn: AsyncConnection,
    services: Services,
    connection: ConnectionRow,
    changes: Iterable[RecordChange],
    now: datetime,
) -> None:
    """Let the ongoing syncs of a connection look at contacts that changed, in the transaction that read the hints."""
    integration = services.integrations.get(connection.integration)
    if integration is None:
        return
    kind = integration.manifest.contact_kind
    told = [one for one in changes if one.ref.kind == kind]
    if not told:
        return
    tasks: list[NewTask] = []
    rows = await syncs.in_states(conn, ["running", "watching"], connection_id=connection.id)
    ongoing = [row for row in rows if row.ongoing]
    told = await _without_echoes(conn, connection, kind, told, now) if ongoing else []
    for row in ongoing if told else []:
        if row.selection.filter is None:
            merged = {one.ref.id: one.merged_into for one in told if one.merged_into}
            # who was merged away stands beside the survivor, so that one task sees both
            ids = sorted(
                {one.ref.id for one in told} | set(merged.values()), key=lambda one: (merged.get(one, one), one)
            )
            tasks += [hints_task(row, ids[start : start + A_TASK], merged) for start in range(0, len(ids), A_TASK)]
        else:
            at = hinted_at(row, integration, now)
            if row.next_walk_at is None or at < row.next_walk_at:
                await syncs.change(conn, row.id, {"next_walk_at": at}, now)
    await insert_tasks(conn, tasks, now)


async def _without_echoes(
    conn: AsyncConnection, connection: ConnectionRow, kind: str, told: Sequence[RecordChange], now: datetime
) -> list[RecordChange]:
    """Leave out what our own writes brought about.

    A vendor says at best which user it was, and another app may share the user: it is our echo only where we write now
    or wrote a moment ago. What is taken for one by mistake is found by the next walk.
    """
    own = sorted({one.ref.id for one in told if one.own})
    if not own:
        return list(told)
    since = now - ECHO
    ours = await sync_contacts.being_written(conn, connection.id, own, since)
    ours |= await links.made_lately(conn, connection.id, kind, own, since)
    return [one for one in told if not (one.own and one.ref.id in ours)]


def _asks_otherwise(fresh: SyncRow, known: SyncRow) -> bool:
    return (fresh.mapping, fresh.selection) != (known.mapping, known.selection)


class ReadHints:
    """Reads contacts that changed, and makes them referrers as a page would."""

    def __init__(self, services: Services) -> None:
        self._services = services

    async def run(self, run: TaskRun) -> Outcome:
        """Read the contacts again, and store what became of each; those that are missing were deleted."""
        ids: Sequence[str] = run.task.args["ids"]
        async with self._services.database.read() as conn:
            row = await syncs.get(conn, run.task.args["sync"])
            if row is None or not row.is_at_work or not row.ongoing or row.selection.filter is not None:
                return Done()  # who belongs to a filter, only a walk shows
            active = await find_active(self._services, conn, row.connection_id)
            campaign = await campaigns.get(conn, row.account_id, row.campaign_id)
        if active is None or campaign is None:
            return Done()
        connection_row, integration = active
        if not integration.has("read_records"):
            return Done()  # the next walk finds what changed
        read_at = run.now()
        try:
            records = await self._read(run, connection_row, integration, ids)
        except errors.MappingBroken as error:
            return Done(trouble.mapping_broken(row, error, run.now()))
        except Exception as error:  # noqa: BLE001 - what it means is decided in one place
            return await mishaps.outcome_of(run, connection_row, error)
        kind = integration.manifest.contact_kind
        there = {one.ref.id for one in records}
        merged: dict[str, str] = run.task.args["merged"]
        records += [
            Record(ref=RecordRef(kind=kind, id=one), state="deleted", merged_into=merged.get(one))
            for one in ids
            if one not in there
        ]
        contacts = read_all(self._services, row, campaign, integration, ContactPage(contacts=records, checkpoint=None))
        known = row

        async def apply(conn: AsyncConnection) -> None:
            now = run.now()
            fresh = await syncs.lock(conn, known.id)
            if fresh is None or not fresh.is_at_work or _asks_otherwise(fresh, known):
                return
            met = await sync_contacts.by_records(conn, fresh.id, [one.record_id for one in contacts])
            # a contact that we never met and that is not there is none of ours
            mine = [one for one in contacts if one.reason not in GONE or one.record_id in met]
            plan = await store_page(conn, fresh, campaign, kind, mine, now, read_at)
            values = counted(fresh, plan.counts) | {"read": fresh.read + plan.seen}
            if fresh.phase != "reading":
                values["total"] = values["read"]
            await syncs.change(conn, fresh.id, values, now)
            after = msgspec.structs.replace(fresh, **values)
            await insert_tasks(conn, [settle_task(after)] + ([write_task(after)] if after.to_write else []), now)

        return Done(apply)

    async def _read(
        self, run: TaskRun, connection_row: ConnectionRow, integration: Integration, ids: Sequence[str]
    ) -> list[Record]:
        connection = await open_connection(self._services, connection_row, run=run)
        size, kind = max(1, integration.manifest.read_batch), integration.manifest.contact_kind
        found: list[Record] = []
        for start in range(0, len(ids), size):
            refs = [RecordRef(kind=kind, id=one) for one in ids[start : start + size]]
            call = integration.hooks.read_records(connection=connection, refs=refs)
            found += await integration.call(call, timeout_seconds=CALL_SECONDS)
        return found

    async def failed(self, conn: AsyncConnection, task: Task, error: str, now: datetime) -> None:
        """Leave it to the next walk."""
