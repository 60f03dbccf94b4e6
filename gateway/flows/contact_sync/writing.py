"""Write links and counts back to contacts: one task a sync, a few at once, as fast as the vendor's budget allows.

A contact is marked when its referrer's values change, however often; the round that comes to it reads the newest and
writes them once. What the contact has is remembered by a hash, so a value that is there already is never sent. When the
budget of the day is used up, one task waits, not one a contact.
"""

import asyncio
import time
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from gateway.flows import mishaps
from gateway.flows.connections.opening import find_active, open_connection
from gateway.flows.contact_sync import trouble, values
from gateway.flows.contact_sync.importing import lose
from gateway.flows.contact_sync.tasks import settle_task, write_task
from gateway.flows.contact_sync.values import Newest, Unwritable
from gateway.flows.services import Services
from gateway.plugins import Integration
from gateway.sdk import errors
from gateway.sdk.connection import Connection, StatusPush
from gateway.storage import sync_contacts, syncs, timeline
from gateway.storage.connections import ConnectionRow
from gateway.storage.engine import AsyncConnection
from gateway.storage.running import Apply, Done, Hold, Outcome, Retry, TaskRun
from gateway.storage.sync_contacts import ContactRow, Waiting, Written
from gateway.storage.syncs import SyncRow
from gateway.storage.tasks import Task, insert_tasks
from gateway.storage.timeline import NewEntry
from gateway_schemas.base import FieldValue
from gateway_schemas.records import Field, RecordRef

AT_ONCE = 16
"""Calls under way together; the vendor's window of calls bounds them before that where it is narrower."""

ROUND = 500
ROUND_SECONDS = 3.0
"""A round commits after so long at the latest: progress shows, and a crash repeats no more than that."""

CALL_SECONDS = 30.0


class Round:
    """What became of the contacts of one round."""

    def __init__(self) -> None:
        self.written: list[tuple[Waiting, str]] = []
        self.same: list[tuple[Waiting, str | None]] = []
        self.gone: list[Waiting] = []
        self.refused: list[tuple[Waiting, str, str]] = []
        self.stopped: Exception | None = None


class WriteBack:
    """Writes the newest values of some contacts, and makes the task of the next."""

    def __init__(self, services: Services) -> None:
        self._services = services

    async def run(self, run: TaskRun) -> Outcome:
        """Write until the round is over or the vendor asks to wait; what was written is committed in either case."""
        async with self._services.database.read() as conn:
            row = await syncs.get(conn, run.task.args["sync"])
            if row is None or row.state not in ("running", "watching", "completed") or not row.write_back:
                return Done()
            active = await find_active(self._services, conn, row.connection_id)
            waiting = await sync_contacts.waiting(conn, row.id, ROUND)
        if active is None:
            return Done()  # goes on when the connection does
        connection_row, integration = active
        if not integration.has("push_status"):
            return Done()
        if not waiting:
            return Done(_settling(row, run))
        done = Round()
        try:
            connection = await open_connection(self._services, connection_row, run=run)
        except Exception as error:  # noqa: BLE001 - what it means is decided in one place
            return await mishaps.outcome_of(run, connection_row, error)
        began = run.now()
        await _write_all(run, row, integration, connection, waiting, done)
        commit = _committing(row, integration.manifest.contact_kind, done, began, run)
        if done.stopped is None:
            return Done(commit)
        return await _stopped(run, row, connection_row, done.stopped, commit)

    async def failed(self, conn: AsyncConnection, task: Task, error: str, now: datetime) -> None:
        """Say that nothing can be written any more; somebody lets it go on when the cause is mended."""
        row = await syncs.lock(conn, task.args["sync"])
        if row is not None:
            message = f"Links and counts cannot be written to the CRM: {error}. {trouble.RESUME}"
            await trouble.needs_attention(row, "write_failed", message, [], now)(conn)


async def _write_all(
    run: TaskRun,
    row: SyncRow,
    integration: Integration,
    connection: Connection,
    waiting: Sequence[Waiting],
    done: Round,
) -> None:
    """Write contacts, several at once, until the round is over or a call says that all must stop."""
    fields = {one.key: one for one in row.fields}
    contacts = iter(waiting)
    ends = time.monotonic() + ROUND_SECONDS

    async def work() -> None:
        for one in contacts:
            if done.stopped is not None or time.monotonic() >= ends or run.seconds_left < 1:
                return
            await _write_one(run, row, integration, connection, fields, one, done)

    async with asyncio.TaskGroup() as group:
        for _ in range(min(AT_ONCE, len(waiting))):
            group.create_task(work())


async def _write_one(
    run: TaskRun,
    row: SyncRow,
    integration: Integration,
    connection: Connection,
    fields: dict[str, Field],
    one: Waiting,
    done: Round,
) -> None:
    try:
        ours = _values(row, fields, one)
    except Unwritable as error:
        if one.written == (mark := values.unwritable(error)):
            done.same.append((one, mark))
        else:
            done.refused.append((one, mark, str(error)))
        return
    digest = values.digest(ours) if ours else None
    if digest is None or one.written in (digest, values.refused(digest)):
        done.same.append((one, one.written))
        return
    push = StatusPush(
        reference=one.person_id,
        record=RecordRef(kind=integration.manifest.contact_kind, id=one.record_id),
        values=ours,
        fields=row.fields,
    )
    try:
        call = integration.hooks.push_status(connection=connection, push=push)
        await integration.call(call, timeout_seconds=min(CALL_SECONDS, max(1.0, run.seconds_left)))
    except errors.RecordGone:
        done.gone.append(one)
    except (errors.Rejected, errors.NotSupported) as error:
        done.refused.append((one, values.refused(digest), mishaps.scrubbed(str(error))))
    except Exception as error:  # noqa: BLE001 - one place decides what it means; the others stop
        done.stopped = done.stopped or error
    else:
        done.written.append((one, digest))


def _values(row: SyncRow, fields: dict[str, Field], one: Waiting) -> dict[str, FieldValue]:
    if one.email_hash is None:
        return {}  # erased
    newest = Newest(one.code, one.link, one.referrals, one.qualified)
    return values.to_write(row.write_back, fields, newest)


async def _stopped(run: TaskRun, row: SyncRow, connection: ConnectionRow, error: Exception, commit: Apply) -> Outcome:
    """Say what follows from an error; what was written before it is committed with it."""
    if isinstance(error, errors.MappingBroken):
        broken = trouble.mapping_broken(row, error, run.now())

        async def both(conn: AsyncConnection) -> None:
            await commit(conn)
            await broken(conn)

        return Done(both)
    outcome = await mishaps.outcome_of(run, connection, error)
    also = outcome.apply if isinstance(outcome, Retry | Hold) else None

    async def apply(conn: AsyncConnection) -> None:
        await commit(conn)
        if also is not None:
            await also(conn)

    if isinstance(outcome, Retry):
        return Retry(outcome.error, outcome.after_seconds, outcome.counts, apply)
    if isinstance(outcome, Hold):
        return Hold(outcome.cause, apply)
    return outcome


def _settling(row: SyncRow, run: TaskRun) -> Apply:
    async def apply(conn: AsyncConnection) -> None:
        await insert_tasks(conn, [settle_task(row)], run.now())

    return apply


def _committing(row: SyncRow, kind: str, done: Round, began: datetime, run: TaskRun) -> Apply:
    async def apply(conn: AsyncConnection) -> None:
        now = run.now()
        fresh = await syncs.lock(conn, row.id)
        if fresh is None:
            return
        ended = await _note(conn, fresh, done, now)
        # a hint or a page may have found out meanwhile, and counted it
        there = await sync_contacts.by_records(conn, row.id, [one.record_id for one in done.gone])
        losing = [one for one in there.values() if one.state == "imported"]
        lost = [ContactRow(one.record_id, one.person_id, "gone", "deleted", fresh.walk) for one in losing]
        await sync_contacts.put(conn, row.id, lost)
        await lose(conn, fresh, kind, lost, now)
        await timeline.add(conn, [_refusal(row, one, said) for one, _, said in done.refused], now)
        seconds = max(0.001, (now - began).total_seconds())
        changed: dict[str, Any] = {
            "to_write": max(0, fresh.to_write - ended - sum(one.to_write for one in losing)),
            "written": fresh.written + len(done.written),
            "refused": fresh.refused + len(done.refused),
            "imported": max(0, fresh.imported - len(lost)),
            "gone": fresh.gone + len(lost),
        }
        if fresh.phase == "writing_back" and done.written:
            changed["rate"] = min(2_000_000_000, round(len(done.written) / seconds * 1000))
        await syncs.change(conn, row.id, changed, now)
        if done.stopped is None:
            following = write_task(row) if changed["to_write"] else settle_task(row)
            await insert_tasks(conn, [following], now)

    return apply


async def _note(conn: AsyncConnection, row: SyncRow, done: Round, now: datetime) -> int:
    """Note what contacts have now; one whose values changed meanwhile waits on. Return how many wait no longer."""
    # what was refused is remembered too: it is sent again when it is another value, not at every walk
    has = {one.record_id: digest for one, digest in (*done.written, *done.same)}
    has |= {one.record_id: mark for one, mark, _ in done.refused}
    fields = {one.key: one for one in row.fields}
    current = await sync_contacts.as_they_are(conn, row.id, [*has])
    wrote = {one.record_id for one, _ in done.written}
    noted = []
    for one in current:
        written = has.get(one.record_id, one.written)
        try:
            ours = _values(row, fields, one)
        except Unwritable as error:
            waits = written != values.unwritable(error)
        else:
            digest = values.digest(ours)
            waits = bool(ours) and written not in (digest, values.refused(digest))
        at = now if one.record_id in wrote else None
        noted.append(Written(one.record_id, waits, written, at))
    return await sync_contacts.note_written(conn, row.id, noted)


def _refusal(row: SyncRow, one: Waiting, said: str) -> NewEntry:
    text = f"The CRM refused link and counts: {mishaps.scrubbed(said)}"
    data = {"sync": row.id, "connection": row.connection_id, "record": one.record_id}
    return NewEntry(one.person_id, row.account_id, "status.refused", text, data)
