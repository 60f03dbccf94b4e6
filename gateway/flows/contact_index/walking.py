"""Keep the contacts that feeds tell of, page by page, and say when every such feed was read to its end.

A page's contacts are stored in the transaction of its checkpoint, so a walk goes on after a crash where it stopped.
Addresses are hashed before they are stored; names are never asked for.
"""

import asyncio
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

import structlog

from gateway.flows.services import Services
from gateway.sdk.values import normalise_email
from gateway.storage import contact_index, people, tasks
from gateway.storage.connections import ConnectionRow
from gateway.storage.contact_index import IndexRow, Seen
from gateway.storage.engine import AsyncConnection
from gateway.storage.running import Done, Handler, Outcome, TaskRun
from gateway.storage.tasks import NewTask, Task, insert_tasks
from gateway_schemas.connection import ContactIndex
from gateway_schemas.manifest import Manifest
from gateway_schemas.records import ContactSeen

WAITS = "contact_index"
"""``crm_cause`` of people whose push waits for the index."""

AT_ONCE = 100
"""Addresses that are hashed before others get their turn."""

_log = structlog.get_logger(__name__)


# --- the state of an index --------------------------------------------------------------------------


def feeds_of(manifest: Manifest) -> list[str]:
    """Return the feeds that tell of contacts; none: the vendor needs no index."""
    return [feed.key for feed in manifest.feeds if feed.contacts]


def is_complete(manifest: Manifest, index: IndexRow | None) -> bool:
    """Say whether every feed that tells of contacts was read to its end since the connection was authorised."""
    if index is None:
        return not feeds_of(manifest)
    return all(feed in index.walks and index.walks[feed].done_at is not None for feed in feeds_of(manifest))


def waits_until(services: Services, row: ConnectionRow, index: IndexRow | None) -> datetime:
    """Return until when signups wait for the index at most."""
    begun_at = index.begun_at if index is not None else row.state_since
    return begun_at + timedelta(hours=services.settings.contact_index_hours)


def shown(services: Services, row: ConnectionRow, manifest: Manifest, index: IndexRow | None) -> ContactIndex | None:
    """Return how the index stands, for people; ``None`` where the vendor needs none."""
    if not feeds_of(manifest):
        return None
    complete = is_complete(manifest, index)
    return ContactIndex(
        complete=complete,
        contacts_read=index.contacts_read if index is not None else 0,
        waits_until=None if complete else waits_until(services, row, index),
    )


def park_cause(row: ConnectionRow) -> str:
    """Return under which cause pushes wait for the index of a connection's vendor tenant."""
    return f"contact_index:{row.id}"


# --- a page -----------------------------------------------------------------------------------------


async def hashed(services: Services, contacts: Sequence[ContactSeen]) -> list[Seen]:
    """Return contacts as they are stored; what is no address is left out: no signup can have it."""
    seen = []
    for number, one in enumerate(contacts, 1):
        emails = None if one.emails is None else frozenset(_hashes(services, one.emails))
        seen.append(Seen(record_id=one.id, email_hashes=emails, active=one.active, merged_into=one.merged_into))
        if number % AT_ONCE == 0:
            await asyncio.sleep(0)
    return seen


def _hashes(services: Services, emails: Iterable[str]) -> Iterable[str]:
    for email in emails:
        try:
            yield services.vault.email_hash(normalise_email(email))
        except ValueError:
            continue


async def keep(
    conn: AsyncConnection,
    row: ConnectionRow,
    manifest: Manifest,
    feed: str,
    seen: Sequence[Seen],
    *,
    at_end: bool,
    now: datetime,
) -> None:
    """Store the contacts of a page; when they complete the index, let the pushes go that wait for it.

    Call it in the transaction that stores the page's checkpoint.
    """
    before = await contact_index.find(conn, row)
    index_id = before.id if before is not None else await contact_index.begin(conn, row, now)
    await contact_index.put(conn, index_id, seen)
    await contact_index.walked(conn, index_id, feed, len(seen), at_end=at_end, now=now)
    if is_complete(manifest, before):
        return
    after = await contact_index.find(conn, row)
    if after is not None and is_complete(manifest, after):
        await insert_tasks(conn, [release_task(row)], now)
        _log.info("contact_index.complete", connection_id=row.id, contacts=after.contacts_read)


# --- letting go -------------------------------------------------------------------------------------


def release_task(row: ConnectionRow, due_at: datetime | None = None) -> NewTask:
    """Return the task that lets waiting pushes go: now, since the index is complete, or when they waited enough."""
    return NewTask(
        kind="release_indexed",
        args={"account": row.account_id, "cause": park_cause(row)},
        lane="internal",
        account_id=row.account_id,
        priority=0,
        unique_key=f"release_indexed:{row.id}:{'now' if due_at is None else 'late'}",
        due_at=due_at,
    )


class Release:
    """Handles ``release_indexed``: makes the pushes due that wait for an index."""

    def __init__(self, services: Services) -> None:
        self._services = services

    async def run(self, run: TaskRun) -> Outcome:
        """Release all, a batch a transaction."""
        account_id, cause = run.task.args["account"], run.task.args["cause"]
        write = self._services.database.writer.run
        while await write(lambda conn: tasks.release_parked(conn, cause), bounded=False):
            pass

        async def apply(conn: AsyncConnection) -> None:
            await people.end_wait(conn, account_id, WAITS)

        return Done(apply)

    async def failed(self, conn: AsyncConnection, task: Task, error: str, now: datetime) -> None:
        """Try again later: nobody else would let them go."""
        again = NewTask(
            kind=task.kind,
            args=task.args,
            lane=task.lane,
            account_id=task.account_id,
            priority=0,
            due_at=now + timedelta(minutes=10),
        )
        await insert_tasks(conn, [again], now)


def handlers(services: Services) -> dict[str, Handler]:
    """Return the handler of this flow's tasks."""
    return {"release_indexed": Release(services)}
