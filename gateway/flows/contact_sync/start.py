"""Start a contact sync, estimate it before, change it, stop it: what happens in the request.

What is asked for is checked against the vendor before anything is stored. A connection has one open sync a campaign:
starting again answers with it, and one that is up to date begins a new walk.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import msgspec
from msgspec import UNSET

from gateway.errors import Refused, invalid, not_found
from gateway.flows.campaigns import vendor_lists
from gateway.flows.campaigns.campaign import refuse_unknown
from gateway.flows.campaigns.vendor_lists import Reader, find_connection, integration_of
from gateway.flows.connections.opening import open_connection
from gateway.flows.contact_sync import checks
from gateway.flows.contact_sync.checks import Checked, Wanted
from gateway.flows.contact_sync.estimates import estimate as reckon
from gateway.flows.contact_sync.phases import going_on
from gateway.flows.contact_sync.shapes import budget_of, shown, sync_event
from gateway.flows.contact_sync.tasks import page_task, remark_task, settle_task, write_task
from gateway.flows.notify.publishing import publish
from gateway.flows.services import Services
from gateway.plugins import Integration
from gateway.storage import campaigns, connections, syncs
from gateway.storage.campaigns import CampaignRow
from gateway.storage.connections import ConnectionRow
from gateway.storage.engine import AsyncConnection
from gateway.storage.syncs import SyncRow
from gateway.storage.tasks import cancel_tasks, insert_tasks
from gateway_schemas.base import Page
from gateway_schemas.problem import FieldProblem
from gateway_schemas.records import Field, FieldInput
from gateway_schemas.sync import (
    ContactPage,
    ContactSelection,
    Sync,
    SyncEstimate,
    SyncInput,
    SyncPatch,
    WriteBack,
    WriteBackFields,
)

LINKS_WAIT = timedelta(hours=24)
"""How long a sync waits for the host's links before it completes without them."""


class Context(msgspec.Struct, frozen=True, kw_only=True):
    """The campaign and the connection that a sync is for."""

    campaign: CampaignRow
    connection: ConnectionRow
    integration: Integration

    @property
    def takes_statuses(self) -> bool:
        """Whether the integration writes values back at all."""
        return self.integration.has("push_status")


# --- start -----------------------------------------------------------------------------------------------


async def start(services: Services, account_id: str, campaign_id: str, given: SyncInput) -> tuple[Sync, bool]:
    """Begin to sync contacts, or answer with the sync that is open.

    Returns:
        The sync, and whether it begins now.

    Raises:
        Refused: There is no campaign or no active connection, the integration reads no contacts, or fields are wrong.
        PluginError: The vendor could not be read now; nothing was stored.
    """
    context = await find_context(services, account_id, campaign_id, given.connection)
    async with services.database.read() as conn:
        running = await syncs.open_one(conn, context.connection.id, campaign_id)
        if running is not None and running.state != "watching":
            return await shown(services, conn, running), False
    wanted, checked = await judge(services, context, given)
    told = await _estimate(services, context, wanted)
    now = services.clock.now()
    new = SyncRow(
        id=syncs.new_sync_id(),
        account_id=account_id,
        campaign_id=campaign_id,
        connection_id=context.connection.id,
        integration=context.integration.key,
        identity=context.connection.identity or "",
        ongoing=given.ongoing,
        selection=wanted.selection,
        mapping=wanted.mapping,
        write_back=wanted.write_back,
        fields=checked.fields,
        estimate=told,
        total=told.contacts,
        at_most=told.at_most,
        walk_started_at=now,
        links_due_at=now + LINKS_WAIT,
        started_at=now,
        updated_at=now,
    )

    async def write(conn: AsyncConnection) -> tuple[SyncRow, bool]:
        still = await connections.get(conn, new.connection_id)
        if still is None or still.state != "active":
            raise Refused("not_connected", "The connection ended meanwhile; connect again, then start.")
        if await syncs.add(conn, new):
            await publish(conn, [sync_event("sync.started", new)], now)
            await insert_tasks(conn, [page_task(new)], now)
            return new, True
        there = await syncs.open_one(conn, new.connection_id, campaign_id)
        assert there is not None
        there = await syncs.lock(conn, there.id) or there
        if there.state != "watching":
            return there, False
        return await _walk_again(conn, there, new, now), True

    row, begins = await services.database.writer.run(write)
    async with services.database.read() as conn:
        return await shown(services, conn, row), begins


async def _walk_again(conn: AsyncConnection, there: SyncRow, new: SyncRow, now: datetime) -> SyncRow:
    """Let a sync that is up to date begin anew, as it is asked for now."""
    values: dict[str, Any] = {
        "state": "running", "phase": "reading", "cause": None, "message": None, "problems": [],
        "ongoing": new.ongoing, "selection": new.selection, "mapping": new.mapping, "write_back": new.write_back,
        "fields": new.fields, "estimate": new.estimate, "total": new.total, "at_most": new.at_most,
        "walk": there.walk + 1, "changes": False, "checkpoint": None, "resume": None, "pages": 0, "read": 0,
        "walk_started_at": now, "next_walk_at": None, "completed_at": None, "links_due_at": new.links_due_at,
    }  # fmt: skip
    await syncs.change(conn, there.id, values, now)
    row = msgspec.structs.replace(there, **values, updated_at=now)
    await cancel_tasks(conn, "a new walk begins", unique_key=page_task(row).unique_key)
    again = [remark_task(row)] if new.write_back != there.write_back else []
    await publish(conn, [sync_event("sync.started", row)], now)
    await insert_tasks(conn, [page_task(row), *again], now)
    return row


async def estimate(services: Services, account_id: str, campaign_id: str, given: SyncInput) -> SyncEstimate:
    """Return what a sync would take, without starting it; the same checks, and the first page is read.

    Raises:
        Refused: As ``start``.
        PluginError: The vendor could not be read now.
    """
    context = await find_context(services, account_id, campaign_id, given.connection)
    wanted, _ = await judge(services, context, given)
    return await _estimate(services, context, wanted)


async def _estimate(services: Services, context: Context, wanted: Wanted) -> SyncEstimate:
    """Read the first page, which says how many contacts there are, and what the budget makes of it."""
    connection = await open_connection(services, context.connection, person_waits=True)
    call = context.integration.hooks.read_contacts(connection=connection, selection=wanted.selection, checkpoint=None)
    seconds = context.integration.manifest.contact_sync.page_seconds
    first: ContactPage = await vendor_lists.noting_reauth(
        services, context.connection, context.integration.call(call, timeout_seconds=seconds)
    )
    total, at_most = first.total, first.at_most
    if first.checkpoint is None:
        total, at_most = len(first.contacts), False
    manifest = context.integration.manifest
    row = _stand_in(context, wanted, services.clock.now())
    async with services.database.read() as conn:
        budget = await budget_of(services, conn, row, context.integration)
    return reckon(
        manifest.contact_sync,
        budget,
        total,
        at_most=at_most,
        writes=bool(wanted.write_back),
        name=manifest.name,
    )


def _stand_in(context: Context, wanted: Wanted, now: datetime) -> SyncRow:
    return SyncRow(
        id="",
        account_id=context.connection.account_id,
        campaign_id=context.campaign.id,
        connection_id=context.connection.id,
        integration=context.integration.key,
        identity=context.connection.identity or "",
        ongoing=False,
        selection=wanted.selection,
        mapping=wanted.mapping,
        write_back=wanted.write_back,
        started_at=now,
        updated_at=now,
    )


# --- change ----------------------------------------------------------------------------------------------


async def patch(services: Services, account_id: str, campaign_id: str, sync_id: str, given: SyncPatch) -> Sync:
    """Pause or resume a sync, toggle whether it is ongoing, or map it anew; what is left out stays.

    Raises:
        Refused: There is no such sync, it has ended, or fields are wrong.
        PluginError: The vendor could not be read now; nothing was changed.
    """
    before = await _find_row(services, account_id, campaign_id, sync_id)
    checked, wanted = await _judge_anew(services, before, given)
    now = services.clock.now()

    async def write(conn: AsyncConnection) -> SyncRow:
        row = await syncs.lock(conn, sync_id)
        assert row is not None
        if row.state == "cancelled" or (row.state == "completed" and not _revives(row, given)):
            raise Refused("wrong_state", f"This sync is {row.state}; start another one.")
        values = _changes(row, given, wanted, checked, now)
        if row.state == "completed" and await syncs.open_one(conn, row.connection_id, campaign_id) is not None:
            raise Refused("wrong_state", "Another sync of this campaign is open; make that one ongoing.")
        if values:
            await syncs.change(conn, row.id, values, now)
            row = msgspec.structs.replace(row, **values, updated_at=now)
            await insert_tasks(conn, following(row, before), now)
        return row

    row = await services.database.writer.run(write)
    async with services.database.read() as conn:
        return await shown(services, conn, row)


def _revives(row: SyncRow, given: SyncPatch) -> bool:
    """Say whether a completed sync becomes ongoing."""
    return given.ongoing is True and row.state == "completed"


def _changes(
    row: SyncRow, given: SyncPatch, wanted: Wanted | None, checked: Checked | None, now: datetime
) -> dict[str, Any]:
    """Return what changes of a sync, in columns."""
    values: dict[str, Any] = {}
    if given.ongoing is not UNSET and given.ongoing != row.ongoing:
        values |= {"ongoing": given.ongoing, "next_walk_at": None}
        if given.ongoing and row.walk_started_at is None:
            values["next_walk_at"] = now  # the walk is over: nothing else would lead to another
        if given.ongoing and row.state == "completed":
            values["state"] = "watching"
        elif not given.ongoing and row.state == "watching":
            values |= {"state": "completed", "completed_at": row.completed_at or now}
    if wanted is not None and checked is not None:
        values |= {"mapping": wanted.mapping, "write_back": wanted.write_back, "fields": checked.fields}
        if row.state != "paused":
            values |= going_on(row)  # what was broken is mended; what somebody paused stays so
        if wanted.selection != row.selection or wanted.mapping != row.mapping:
            values |= {"selection": wanted.selection} | new_walk(row, now)
    if given.paused is True:
        values |= {"state": "paused", "cause": "by_request", "message": None}
    elif given.paused is False and row.state in ("paused", "needs_attention"):
        values |= going_on(row)
    return values


def new_walk(row: SyncRow, now: datetime) -> dict[str, Any]:
    """Return what begins a whole walk from the beginning."""
    return {
        "walk": row.walk + 1, "changes": False, "checkpoint": None, "resume": None, "pages": 0, "read": 0,
        "walk_started_at": now, "phase": "reading",
    }  # fmt: skip


def following(row: SyncRow, before: SyncRow) -> list[Any]:
    """Return the tasks of a sync that was changed: whatever is to be done now; of each kind one waits at most."""
    # marked whatever its state: when it goes on, nothing else says that the mapping is another one
    marking = [remark_task(row)] if row.write_back != before.write_back and row.state != "cancelled" else []
    if not row.is_at_work:
        return marking
    tasks = [settle_task(row), *marking]
    if row.walk_started_at is not None:
        tasks.append(page_task(row))
    if row.to_write:
        tasks.append(write_task(row))
    return tasks


async def cancel(services: Services, account_id: str, campaign_id: str, sync_id: str) -> Sync:
    """End a sync for good: nothing more is read or written; referrers and links stay. One that has ended stays so.

    Raises:
        Refused: There is no such sync.
    """
    await _find_row(services, account_id, campaign_id, sync_id)
    now = services.clock.now()

    async def write(conn: AsyncConnection) -> SyncRow:
        row = await syncs.lock(conn, sync_id)
        assert row is not None
        if row.state == "cancelled":
            return row
        values: dict[str, Any] = {
            "state": "cancelled", "cause": "by_request", "message": None, "ongoing": False,
            "walk_started_at": None, "next_walk_at": None, "completed_at": row.completed_at or now,
        }  # fmt: skip
        await syncs.change(conn, row.id, values, now)
        return msgspec.structs.replace(row, **values, updated_at=now)

    row = await services.database.writer.run(write)
    async with services.database.read() as conn:
        return await shown(services, conn, row)


# --- find ------------------------------------------------------------------------------------------------


async def find(services: Services, account_id: str, campaign_id: str, sync_id: str) -> Sync:
    """Return one sync.

    Raises:
        Refused: There is none.
    """
    row = await _find_row(services, account_id, campaign_id, sync_id)
    async with services.database.read() as conn:
        return await shown(services, conn, row)


async def find_page(
    services: Services, account_id: str, campaign_id: str, *, limit: int, cursor: str | None
) -> Page[Sync]:
    """Return the syncs of a campaign, newest first.

    Raises:
        Refused: There is no such campaign.
    """
    async with services.database.read() as conn:
        refuse_unknown(await campaigns.get(conn, account_id, campaign_id), campaign_id)
        rows = await syncs.of_campaign(conn, account_id, campaign_id, limit=limit + 1, before=cursor)
        data = [await shown(services, conn, row) for row in rows[:limit]]
    return Page(data=data, next=rows[limit - 1].id if len(rows) > limit else None)


async def _find_row(services: Services, account_id: str, campaign_id: str, sync_id: str) -> SyncRow:
    async with services.database.read() as conn:
        row = await syncs.get(conn, sync_id)
    if row is None or (row.account_id, row.campaign_id) != (account_id, campaign_id):
        raise not_found("contact sync", sync_id)
    return row


# --- the vendor's side -------------------------------------------------------------------------------------


async def find_context(services: Services, account_id: str, campaign_id: str, connection_id: str | None) -> Context:
    """Return the campaign and the connection of a sync.

    Raises:
        Refused: One of them is missing, or the integration reads no contacts.
    """
    async with services.database.read() as conn:
        campaign = refuse_unknown(await campaigns.get(conn, account_id, campaign_id), campaign_id)
        connection = await find_connection(conn, account_id, connection_id)
    integration = integration_of(services, connection)
    if not integration.has("read_contacts"):
        raise Refused("not_supported", f"{integration.manifest.name} has no contacts to sync.")
    return Context(campaign=campaign, connection=connection, integration=integration)


async def judge(services: Services, context: Context, given: SyncInput) -> tuple[Wanted, Checked]:
    """Read what the vendor has now, fill suggested rows, and check everything.

    Raises:
        Refused: Fields are wrong; each is named.
        PluginError: The vendor could not be read.
    """
    manifest, reader = context.integration.manifest, Reader(services, context.connection, live=True)
    fields = (await reader.fields(manifest.contact_kind)).data
    wanted = Wanted(
        selection=ContactSelection(filter=given.selection.filter),
        mapping=given.mapping,
        write_back=given.write_back,
    )
    if given.use_suggested:
        can_write = checks.no_write_back(manifest, takes_statuses=context.takes_statuses) is None
        wanted = checks.with_suggested(manifest, wanted, fields, write_back=can_write)
    checked = await check(context, wanted, fields, reader)
    if checked.problems:
        raise invalid(*(FieldProblem(field=one.field, message=one.message, code=one.code) for one in checked.problems))
    return wanted, checked


async def check(context: Context, wanted: Wanted, fields: Sequence[Field], reader: Reader) -> Checked:
    """Compare what is asked for with what the vendor has.

    Raises:
        PluginError: The saved filters could not be read.
    """
    manifest, source = context.integration.manifest, context.integration.manifest.contact_sync.filters
    filters = None
    if wanted.selection.filter is not None and source is not None:
        filters = (await reader.options(source)).data
    return checks.check(
        manifest, context.campaign.fields, wanted, fields, filters, takes_statuses=context.takes_statuses
    )


async def _judge_anew(services: Services, row: SyncRow, given: SyncPatch) -> tuple[Checked | None, Wanted | None]:
    if given.selection is UNSET and given.mapping is UNSET and given.write_back is UNSET:
        return None, None
    context = await find_context(services, row.account_id, row.campaign_id, row.connection_id)
    selection = row.selection if given.selection is UNSET else ContactSelection(filter=given.selection.filter)
    wanted = Wanted(
        selection=selection,
        mapping=row.mapping if given.mapping is UNSET else given.mapping,
        write_back=row.write_back if given.write_back is UNSET else given.write_back,
    )
    reader = Reader(services, context.connection, live=True)
    fields = (await reader.fields(context.integration.manifest.contact_kind)).data
    checked = await check(context, wanted, fields, reader)
    if checked.problems:
        raise invalid(*(FieldProblem(field=one.field, message=one.message, code=one.code) for one in checked.problems))
    return checked, wanted


async def make_fields(
    services: Services, account_id: str, campaign_id: str, connection_id: str | None = None
) -> WriteBackFields:
    """Make the custom fields of the write-back that are missing, and return the rows to start with; twice makes none.

    Raises:
        Refused: The integration takes nothing back, or a field of the name has another type.
        Rejected: The vendor refused a field; its words say why.
        PluginError: The vendor could not be read now.
    """
    context = await find_context(services, account_id, campaign_id, connection_id)
    manifest = context.integration.manifest
    if (why := checks.no_write_back(manifest, takes_statuses=context.takes_statuses)) is not None:
        raise Refused("not_supported", why)
    rows: list[WriteBack] = []
    fields: list[Field] = []
    created: list[str] = []
    for one in manifest.contact_sync.write_back:
        wanted = FieldInput(label=one.label, type=one.type)
        field, made = await vendor_lists.create_field(services, context.connection, manifest.contact_kind, wanted)
        rows.append(WriteBack(source=one.source, field=field.key))
        fields.append(field)
        if made:
            created.append(field.label)
    return WriteBackFields(write_back=rows, fields=fields, created=created)
