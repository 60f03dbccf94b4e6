"""Which tasks follow when link, code or counts of people change; ``status`` runs them."""

from collections.abc import Collection, Iterable
from datetime import datetime

from gateway.flows.contact_sync.tasks import settle_task, write_task
from gateway.storage import people, pushes, sync_contacts, syncs
from gateway.storage.engine import AsyncConnection
from gateway.storage.people import PersonRow
from gateway.storage.pushes import Place
from gateway.storage.tasks import NewTask, insert_tasks

SOURCES = frozenset({"person.link", "person.code", "person.referral_count", "person.converted_referral_count"})
"""What may change after the signup and is written back."""


async def tasks_for(conn: AsyncConnection, rows: Iterable[PersonRow]) -> list[NewTask]:
    """Return one status push for each of these people who has a CRM record and whose setup maps what may change.

    Contacts of a sync are marked to be written by it (``contact_sync.writing``), and one task a sync is returned.
    """
    rows = list(rows)
    linked = [row for row in rows if row.crm == "linked"]
    places = {Place(row.account_id, row.campaign_id, row.role) for row in linked}
    found = await pushes.destinations(conn, places, sources=True)
    tasks = []
    for row in linked:
        destination = found.get(Place(row.account_id, row.campaign_id, row.role))
        if destination is not None and destination.sources & SOURCES:
            tasks.append(push_task(row.id, row.account_id, destination.lane))
    return tasks + await _sync_tasks(conn, [row.id for row in rows if row.role == "referrer"])


async def _sync_tasks(conn: AsyncConnection, referrers: Collection[str]) -> list[NewTask]:
    """Return what the contact syncs of these referrers have to do now."""
    concerned = await sync_contacts.of_people(conn, referrers)
    if not concerned:
        return []
    writing = set(await sync_contacts.mark_people(conn, referrers))
    rows = await syncs.by_ids(conn, concerned)
    return [
        write_task(row) if row.id in writing else settle_task(row) for row in rows.values() if row.state != "cancelled"
    ]


def push_task(person_id: str, account_id: str, lane: str) -> NewTask:
    """Return the task that writes a person's newest link and counts to the CRM; at most one waits per person."""
    return NewTask(
        kind="push_status",
        args={"person": person_id},
        lane=lane,
        account_id=account_id,
        priority=2,
        unique_key=f"status:{person_id}",
    )


def stats_task(person_id: str, account_id: str) -> NewTask:
    """Return the task that tells the host a referrer's newest counts; at most one waits per person."""
    return NewTask(
        kind="publish_stats",
        args={"person": person_id},
        lane="internal",
        account_id=account_id,
        priority=2,
        unique_key=f"stats:{person_id}",
    )


async def counts_changed(conn: AsyncConnection, person_ids: Collection[str], now: datetime) -> None:
    """Tell host and CRM that the counts of these referrers changed."""
    if not person_ids:
        return
    rows = (await people.by_ids(conn, person_ids)).values()
    await insert_tasks(conn, [*(stats_task(row.id, row.account_id) for row in rows), *await tasks_for(conn, rows)], now)
