"""Read a contact sync's pages, a few a task: people, tasks, checkpoint and progress of a batch commit together.

A commit costs the same for one contact as for thousands, so pages that come quickly are stored together. A process that
dies repeats at most the batch that it was at, and a page that is read twice changes nothing. A sync that was paused or
cancelled while its batch was read drops it.
"""

import time
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import msgspec

from gateway.flows import mishaps
from gateway.flows.connections.opening import find_active, open_connection
from gateway.flows.contact_sync import trouble
from gateway.flows.contact_sync.importing import counted, store_page
from gateway.flows.contact_sync.phases import full_walk_every, look_every
from gateway.flows.contact_sync.reading import Contact, ContactReader
from gateway.flows.contact_sync.tasks import missing_task, page_task, settle_task, write_task
from gateway.flows.services import Services
from gateway.plugins import Integration
from gateway.sdk import errors
from gateway.storage import campaigns, syncs
from gateway.storage.campaigns import CampaignRow
from gateway.storage.checkpoints import LONGEST
from gateway.storage.connections import ConnectionRow
from gateway.storage.engine import AsyncConnection
from gateway.storage.running import Apply, Done, LostLease, Outcome, Retry, TaskRun, backoff_seconds
from gateway.storage.syncs import SyncRow
from gateway.storage.tasks import NewTask, Task, insert_tasks
from gateway_schemas.sync import ContactPage

BATCH_CONTACTS = 2_000
"""A batch takes no further page once it has so many: bounds memory, and how long a signup waits for its commit."""

BATCH_SECONDS = 1.0
"""A batch takes no further page after so long: what a slow vendor gave is stored, and shown, page by page."""

LATELY = 0.3
"""Weight of the newest page in the rate that is shown."""


class Batch(msgspec.Struct, frozen=True):
    """Pages that are stored together, joined.

    Attributes:
        page: All their contacts, with where the last one leads.
        pages: How many of the vendor's pages it is.
        ended_by: What the vendor said instead of one more page; what was read before is good.
    """

    page: ContactPage
    pages: int = 1
    ended_by: Exception | None = None


class ReadPage:
    """Reads a batch of a sync's pages, and makes the task of the next."""

    def __init__(self, services: Services) -> None:
        self._services = services

    async def run(self, run: TaskRun) -> Outcome:
        """Read where the checkpoint stands, and commit what became of each contact with the next checkpoint."""
        async with self._services.database.read() as conn:
            row = await syncs.get(conn, run.task.args["sync"])
            if row is None or not row.is_at_work:
                return Done()  # begins again when somebody lets it go on
            active = await find_active(self._services, conn, row.connection_id)
            campaign = await campaigns.get(conn, row.account_id, row.campaign_id)
        if active is None or campaign is None:
            return Done()  # paused by the disconnect; goes on with the next connection to the same vendor tenant
        connection_row, integration = active
        if not integration.has("read_contacts"):
            return Done(trouble.needs_attention(row, "not_supported", NO_CONTACTS, [], run.now()))
        read_at = run.now()
        row = _begun(row, connection_row, integration, read_at)
        try:
            batch = await self._read(run, row, connection_row, integration)
        except errors.MappingBroken as error:
            return Done(trouble.mapping_broken(row, error, run.now()))
        except errors.Rejected as error:
            return Done(trouble.page_refused(row, error, run.now()))
        except errors.NotSupported as error:
            return Done(trouble.needs_attention(row, "not_supported", str(error), [], run.now()))
        except Exception as error:  # noqa: BLE001 - what any other error means is decided in one place
            return await self._stopped(run, row, connection_row, error)
        contacts = read_all(self._services, row, campaign, integration, batch.page)
        wait_seconds = await _wait(run, connection_row, batch.ended_by)
        return Done(_applying(row, campaign, connection_row, integration, batch, contacts, run, read_at, wait_seconds))

    async def _read(self, run: TaskRun, row: SyncRow, connection_row: ConnectionRow, integration: Integration) -> Batch:
        """Read pages until there are enough contacts for a commit, or it has taken long enough."""
        connection = await open_connection(self._services, connection_row, run=run)
        began = time.monotonic()

        async def read(checkpoint: str | None) -> ContactPage:
            call = integration.hooks.read_contacts(
                connection=connection, selection=row.selection, checkpoint=checkpoint
            )
            page: ContactPage = await integration.call(
                call, timeout_seconds=integration.manifest.contact_sync.page_seconds
            )
            for given in (page.checkpoint, page.resume):
                if given is not None and len(given) > LONGEST:
                    raise ValueError(f"{integration.key}: a checkpoint of {len(given)} characters; at most {LONGEST}")
            return page

        batch = Batch(await read(row.checkpoint))
        while (
            batch.page.checkpoint is not None
            and len(batch.page.contacts) < BATCH_CONTACTS
            and time.monotonic() - began < BATCH_SECONDS
        ):
            try:
                batch = _joined(batch, await read(batch.page.checkpoint))
            except LostLease:
                raise
            except Exception as error:  # noqa: BLE001 - the next task begins there, and decides what it means
                return msgspec.structs.replace(batch, ended_by=error)
        return batch

    async def _stopped(self, run: TaskRun, row: SyncRow, connection_row: ConnectionRow, error: Exception) -> Outcome:
        """Try again later, and say why it waits. A vendor that fails on a page does not do so for ever."""
        outcome = await mishaps.outcome_of(run, connection_row, error)
        if not isinstance(outcome, Retry) or isinstance(error, errors.OverBudget):
            return outcome
        noting = trouble.noting(row, str(error), run.now())
        if isinstance(error, errors.RetryLater) and error.lane_wide:
            return Retry(outcome.error, outcome.after_seconds, outcome.counts, noting)
        return Retry(outcome.error, max(outcome.after_seconds or 0.0, backoff_seconds(run.task.tries)), True, noting)

    async def failed(self, conn: AsyncConnection, task: Task, error: str, now: datetime) -> None:
        """Say that a page cannot be read, and stop there: somebody lets it go on when the cause is mended."""
        row = await syncs.lock(conn, task.args["sync"])
        if row is not None and row.is_at_work:
            await trouble.page_failed(row, error, now)(conn)


NO_CONTACTS = "The installed version of the integration reads no contacts."


def read_all(
    services: Services, row: SyncRow, campaign: CampaignRow, integration: Integration, page: ContactPage
) -> list[Contact]:
    """Return what the contacts of a page mean by the sync's mapping."""
    reader = ContactReader(
        row.mapping,
        campaign.fields,
        integration.manifest.contact_sync,
        [one.field for one in row.write_back],
        services.vault.email_hash,
    )
    return [reader.read(record) for record in page.contacts]


def _joined(batch: Batch, page: ContactPage) -> Batch:
    said = page if page.total is not None else batch.page
    joined = msgspec.structs.replace(
        page, contacts=batch.page.contacts + page.contacts, total=said.total, at_most=said.at_most
    )
    return Batch(joined, batch.pages + 1)


async def _wait(run: TaskRun, connection_row: ConnectionRow, error: Exception | None) -> float | None:
    """Return how long the next page has to wait after a batch that an error ended; the lane pauses if it must.

    What any other error means is found out by the next task, which meets it at its first page.
    """
    if not isinstance(error, errors.RetryLater):
        return None
    outcome = await mishaps.outcome_of(run, connection_row, error)
    return outcome.after_seconds if isinstance(outcome, Retry) else None


def _begun(row: SyncRow, connection: ConnectionRow, integration: Integration, now: datetime) -> SyncRow:
    """Return the sync with its walk begun: over what changed where that is possible, over everything when it is due."""
    if row.walk_started_at is not None:
        return row
    every = full_walk_every(row, integration)
    whole = row.resume is None or row.walked_at is None or now - row.walked_at >= every
    values: dict[str, Any] = {"changes": not whole, "checkpoint": None if whole else row.resume, "walk_started_at": now}
    if whole:
        values |= {"walk": row.walk + 1, "pages": 0}
    return msgspec.structs.replace(row, **values)


def _applying(
    row: SyncRow,
    campaign: CampaignRow,
    connection: ConnectionRow,
    integration: Integration,
    batch: Batch,
    contacts: Sequence[Contact],
    run: TaskRun,
    read_at: datetime,
    wait_seconds: float | None,
) -> Apply:
    page, kind = batch.page, integration.manifest.contact_kind

    async def apply(conn: AsyncConnection) -> None:
        now = run.now()
        fresh = await syncs.lock(conn, row.id)
        if fresh is None or not fresh.is_at_work or not _is_the_same_place(row, fresh):
            return
        fresh = msgspec.structs.replace(
            fresh, walk=row.walk, changes=row.changes, walk_started_at=row.walk_started_at, pages=row.pages
        )
        plan = await store_page(conn, fresh, campaign, kind, contacts, now, read_at)
        values = counted(fresh, plan.counts) | _walked(fresh, page, len(contacts), plan.seen, now)
        if fresh.message is not None:
            values["message"] = None
        values |= {"walk": row.walk, "changes": row.changes, "pages": row.pages + (0 if row.changes else batch.pages)}
        tasks: list[NewTask] = []
        if values["to_write"] > 0:
            tasks.append(write_task(fresh))
        if page.checkpoint is not None:
            values |= {"checkpoint": page.checkpoint, "walk_started_at": row.walk_started_at}
            due_at = None if wait_seconds is None else now + timedelta(seconds=wait_seconds)
            tasks.append(msgspec.structs.replace(page_task(fresh), due_at=due_at))
        else:
            values |= _ended(fresh, page, connection, integration, now)
            if fresh.phase == "reading":
                values |= {"total": values["read"], "at_most": False}
            tasks.append(missing_task(fresh) if not row.changes and row.walk > 1 else settle_task(fresh))
        await syncs.change(conn, row.id, values, now)
        await insert_tasks(conn, tasks, now)

    return apply


def _is_the_same_place(row: SyncRow, fresh: SyncRow) -> bool:
    """Say whether the sync still stands where the page was read from: it may have been begun anew meanwhile."""
    if fresh.walk_started_at is None:
        return row.walk in (fresh.walk, fresh.walk + 1) and (fresh.selection, fresh.mapping) == (
            row.selection, row.mapping,
        )  # fmt: skip
    return (fresh.walk, fresh.changes, fresh.checkpoint, fresh.selection, fresh.mapping) == (
        row.walk, row.changes, row.checkpoint, row.selection, row.mapping,
    )  # fmt: skip


def _walked(row: SyncRow, page: ContactPage, number: int, seen: int, now: datetime) -> dict[str, Any]:
    read = row.read + (number if row.phase == "reading" else seen)
    values: dict[str, Any] = {"read": read}
    if row.phase != "reading":
        return values  # a later walk: what is shown is the rate of the writes
    seconds = max(0.001, (now - row.updated_at).total_seconds())
    lately = number / seconds * 1000
    rate = lately if row.rate is None else LATELY * lately + (1 - LATELY) * row.rate
    values["rate"] = min(2_000_000_000, round(rate))
    if page.total is not None:
        values |= {"total": page.total, "at_most": page.at_most}
    return values


def _ended(
    row: SyncRow, page: ContactPage, connection: ConnectionRow, integration: Integration, now: datetime
) -> dict[str, Any]:
    """Return what changes at the end of a walk."""
    resume = page.resume or (row.resume if row.changes else None)
    every = look_every(row, connection, integration, resumes=resume is not None)
    values: dict[str, Any] = {
        "checkpoint": None,
        "walk_started_at": None,
        "resume": resume,
        "next_walk_at": now + every if row.ongoing else None,
    }
    if not row.changes:
        values["walked_at"] = now
    return values
