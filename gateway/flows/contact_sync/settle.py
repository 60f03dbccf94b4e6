"""Find out whether a sync is done, what left its selection, and which ongoing ones are to look again. Calls nobody."""

from collections import Counter
from datetime import datetime
from typing import Any

import msgspec

from gateway.flows.contact_sync.importing import counted, lose
from gateway.flows.contact_sync.phases import settled
from gateway.flows.contact_sync.shapes import sync_event
from gateway.flows.contact_sync.tasks import (
    MISSING,
    PAGE,
    WRITE,
    missing_task,
    page_task,
    remark_task,
    settle_task,
    write_task,
)
from gateway.flows.notify.publishing import publish
from gateway.flows.services import Services
from gateway.storage import sync_contacts, syncs
from gateway.storage.engine import AsyncConnection
from gateway.storage.running import Done, Outcome, TaskRun
from gateway.storage.sync_contacts import ContactRow
from gateway.storage.syncs import SyncRow
from gateway.storage.tasks import NewTask, Task, insert_tasks

BATCH = 1_000


class Settle:
    """Counts exactly what a sync still waits for, and says which phase it is in."""

    def __init__(self, services: Services) -> None:
        self._services = services

    async def run(self, run: TaskRun) -> Outcome:
        """Count, and complete the sync when nothing is left to do."""
        sync_id = run.task.args["sync"]
        async with self._services.database.read() as conn:
            before = await syncs.get(conn, sync_id)
            if before is None:
                return Done()
            # a look at each contact: seconds at hundreds of thousands, in which signups must be able to write
            without_link = await sync_contacts.count_without_link(conn, sync_id) if before.links_outstanding else 0

        async def apply(conn: AsyncConnection) -> None:
            row = await syncs.lock(conn, sync_id)
            if row is not None:
                # what pages added meanwhile may be counted twice, never missed: the next count is exact again
                added = max(0, row.links_outstanding - before.links_outstanding)
                await settle(conn, row, without_link + added, run.now())

        return Done(apply)

    async def failed(self, conn: AsyncConnection, task: Task, error: str, now: datetime) -> None:
        """Leave it to the next check."""


async def settle(conn: AsyncConnection, row: SyncRow, without_link: int, now: datetime) -> SyncRow:
    """Write the exact counts of a sync that is locked, and what follows from them.

    Args:
        conn: The writer's connection.
        row: The sync.
        without_link: How many of its referrers have no link, counted before: that takes long.
        now: The time.
    """
    counts = {"to_write": await sync_contacts.count_to_write(conn, row.id)}
    if row.links_outstanding:
        counts["links_outstanding"] = without_link
    row = msgspec.structs.replace(row, **counts)
    values: dict[str, Any] = {**counts}
    if row.state == "running" or (row.state == "watching" and row.walk_started_at is None):
        values |= settled(row, now)
    after = msgspec.structs.replace(row, **values)
    tasks: list[NewTask] = []
    if after.to_write and row.state in ("running", "watching", "completed"):
        tasks.append(write_task(after))
    if after.state != row.state or (after.completed_at is not None and row.completed_at is None):
        if after.links_outstanding:
            values["message"] = (
                f"Links outstanding: {after.links_outstanding}. They are written back when the host sends them."
            )
            after = msgspec.structs.replace(after, message=values["message"])
        if row.completed_at is None:
            await publish(conn, [sync_event("sync.completed", after)], now)
    elif row.message is not None and not after.links_outstanding and row.is_at_work:
        values["message"] = None
    if any(getattr(row, name) != value for name, value in values.items()) or counts:
        await syncs.change(conn, row.id, values, now)
    await insert_tasks(conn, tasks, now)
    return after


class FindMissing:
    """Finds contacts that a whole walk did not meet: they were deleted, or left the selection."""

    def __init__(self, services: Services) -> None:
        self._services = services

    async def run(self, run: TaskRun) -> Outcome:
        """Mark one batch as gone, and go on until none is left."""
        args = run.task.args

        async def apply(conn: AsyncConnection) -> None:
            row = await syncs.lock(conn, args["sync"])
            if row is None or not row.is_at_work or row.walk != args["walk"]:
                return  # a later walk finds out
            integration = self._services.integrations.get(row.integration)
            kind = integration.manifest.contact_kind if integration is not None else "contact"
            now = run.now()
            batch = await sync_contacts.not_met(conn, row.id, args["walk"], after=args["after"], limit=BATCH)
            imported = [one for one in batch if one.state == "imported"]
            await sync_contacts.forget(conn, row.id, [one.record_id for one in batch if one.state == "skipped"])
            gone = [ContactRow(one.record_id, one.person_id, "gone", "left_selection", one.walk) for one in imported]
            await sync_contacts.put(conn, row.id, gone)
            await lose(conn, row, kind, gone, now)
            counts = Counter({"imported": -len(imported), "gone": len(imported)})
            counts["to_write"] -= sum(one.to_write for one in imported)
            counts.update({f"skipped:{one.reason}": 0 for one in batch})
            for one in batch:
                if one.state == "skipped":
                    counts[f"skipped:{one.reason}"] -= 1
            await syncs.change(conn, row.id, counted(row, counts), now)
            following = missing_task(row, batch[-1].record_id) if len(batch) == BATCH else settle_task(row)
            await insert_tasks(conn, [following], now)

        return Done(apply)

    async def failed(self, conn: AsyncConnection, task: Task, error: str, now: datetime) -> None:
        """Leave it to the next whole walk."""


class Remark:
    """Marks every contact to be written, after the write-back was mapped anew; none, after it was switched off."""

    def __init__(self, services: Services) -> None:
        self._services = services

    async def run(self, run: TaskRun) -> Outcome:
        """Mark one batch, and go on until none is left."""
        args = run.task.args

        async def apply(conn: AsyncConnection) -> None:
            row = await syncs.lock(conn, args["sync"])
            if row is None or row.state == "cancelled":
                return
            now = run.now()
            if not row.write_back:
                ended = await sync_contacts.unmark(conn, row.id, limit=BATCH)
                await syncs.change(conn, row.id, {"to_write": max(0, row.to_write - ended)}, now)
                await insert_tasks(conn, [remark_task(row) if ended == BATCH else settle_task(row)], now)
                return
            marked, after = await sync_contacts.mark_all(conn, row.id, after=args["after"], limit=BATCH)
            await syncs.change(conn, row.id, {"to_write": row.to_write + marked}, now)
            following = [remark_task(row, after)] if after is not None else [settle_task(row)]
            await insert_tasks(conn, [*following, write_task(row)], now)

        return Done(apply)

    async def failed(self, conn: AsyncConnection, task: Task, error: str, now: datetime) -> None:
        """Leave it: each contact is written when it changes."""


class Plan:
    """Lets ongoing syncs look again, and puts syncs back to work that have no task any more."""

    def __init__(self, services: Services) -> None:
        self._services = services

    async def run(self, run: TaskRun) -> Outcome:
        """Make the tasks that are due; what waits already stays as it is."""
        now = run.now()
        tasks: list[NewTask] = []
        async with self._services.database.read() as conn:
            for row in await syncs.in_states(conn, ["running", "watching"]):
                due = row.ongoing and (row.next_walk_at is None or row.next_walk_at <= now)
                walks = row.walk_started_at is not None
                if (walks or due) and not await syncs.has_live_task(conn, f"{PAGE}:{row.id}"):
                    tasks.append(page_task(row))
                reads = walks and row.phase == "reading"
                if row.state == "running" and not reads and await _is_to_settle(conn, row, now):
                    tasks.append(settle_task(row))
                if row.to_write and not await syncs.has_live_task(conn, f"{WRITE}:{row.id}"):
                    tasks.append(write_task(row))
            late = [row for row in await syncs.owing(conn) if row.write_back]
            tasks += [write_task(row) for row in late if not await syncs.has_live_task(conn, f"{WRITE}:{row.id}")]

        async def apply(conn: AsyncConnection) -> None:
            await insert_tasks(conn, tasks, now)

        return Done(apply)

    async def failed(self, conn: AsyncConnection, task: Task, error: str, now: datetime) -> None:
        """Leave it to the next period."""


async def _is_to_settle(conn: AsyncConnection, row: SyncRow, now: datetime) -> bool:
    """Say whether the counts of a sync that reads nothing now decide something: they cost a look at each contact."""
    if row.phase == "awaiting_links":
        return row.links_due_at is None or row.links_due_at <= now
    if row.phase == "writing_back":
        return row.to_write == 0
    return not await syncs.has_live_task(conn, f"{MISSING}:{row.id}")
