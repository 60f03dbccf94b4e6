"""Which contacts of the CRM have a signup's e-mail already: by the vendor's own search, and by the contact index.

Asked once, before the first write, and frozen with the values: a contact that the CRM makes of our own booking in
between must not turn a push that has begun into *already a contact*. Until the index is complete a push waits, unless
the search finds somebody; not for longer than ``settings.contact_index_hours``, and then it says that nobody checked.
An empty answer of the search settles nothing: it may lag, and need not know every contact that a feed tells of.
"""

import time
from datetime import datetime

import msgspec

from gateway.flows.contact_index import walking
from gateway.flows.notify.notify import publish
from gateway.flows.people.shapes import signup_event
from gateway.flows.services import Services
from gateway.flows.signups.pushing import Ready
from gateway.plugins import Integration
from gateway.sdk.connection import Connection
from gateway.sdk.errors import NotSupported, Rejected
from gateway.storage import contact_index, people, timeline
from gateway.storage.connections import ConnectionRow
from gateway.storage.contact_index import IndexRow
from gateway.storage.engine import AsyncConnection
from gateway.storage.running import Apply, Park, TaskRun
from gateway.storage.tasks import insert_tasks
from gateway.storage.timeline import NewEntry
from gateway_schemas.records import RecordRef

SEARCH_SECONDS = 60.0
CLOSED_SECONDS = 3_600.0
"""A search that the vendor does not allow is tried again this often."""

ALWAYS_CREATES = "create"
"""The duplicate policy under which an existing contact changes nothing: nobody waits for it."""


class Existing(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of contacts with an e-mail.

    Attributes:
        refs: Those that are there, oldest first.
        complete: Nothing is left to wait for: the vendor's own search found some, or the index is complete.
        index: The index as it stands; null where there is none.
    """

    refs: list[RecordRef] = []
    complete: bool = True
    index: IndexRow | None = None


async def look(
    services: Services,
    integration: Integration,
    connection: Connection,
    row: ConnectionRow,
    email: str,
    *,
    run: TaskRun | None = None,
) -> Existing:
    """Return which contacts have this e-mail, as well as can be known now.

    Args:
        services: The process's services.
        integration: Of the connection.
        connection: Opened for this push, or for a preview.
        row: The connection as it stands.
        email: Normalised.
        run: The push; remembers in its lane when the vendor does not allow a search.

    Raises:
        PluginError: The vendor's search could not be asked now.
    """
    manifest = integration.manifest
    needed = bool(walking.feeds_of(manifest))
    searched = await _search(integration, connection, email, run)
    if not needed:
        return Existing(refs=searched)
    async with services.database.read() as conn:
        index = await contact_index.find(conn, row)
        found = (
            await contact_index.with_email(conn, index.id, services.vault.email_hash(email))
            if index is not None
            else []
        )
    known = [RecordRef(kind=manifest.contact_kind, id=record_id) for record_id in found]
    return Existing(
        refs=list(dict.fromkeys([*known, *searched])),
        complete=bool(searched) or walking.is_complete(manifest, index),
        index=index,
    )


async def _search(integration: Integration, connection: Connection, email: str, run: TaskRun | None) -> list[RecordRef]:
    """Ask the vendor's own search; nothing is found where there is none, or this account may not use it."""
    if not integration.has("find_contacts"):
        return []
    closed = f"search_closed:{connection.id}"
    if run is not None and time.monotonic() < run.lane_memory.get(closed, 0.0):
        return []
    try:
        found: list[RecordRef] = await integration.call(
            integration.hooks.find_contacts(connection=connection, email=email), timeout_seconds=SEARCH_SECONDS
        )
    except (NotSupported, Rejected):  # a 403 that the plugin does not read itself is a refusal too
        if run is not None:
            run.lane_memory[closed] = time.monotonic() + CLOSED_SECONDS
        return []
    return found


# --- waiting ----------------------------------------------------------------------------------------


def must_wait(services: Services, ready: Ready, existing: Existing, duplicates: str, now: datetime) -> bool:
    """Say whether a push waits until it is known whether its e-mail is a contact already."""
    if existing.complete or duplicates == ALWAYS_CREATES:
        return False
    return now < walking.waits_until(services, ready.row, existing.index)


def wait(services: Services, integration: Integration, ready: Ready, existing: Existing, now: datetime) -> Park:
    """Return the outcome of a push that waits for the index; what it says changes with the index."""
    row = ready.row
    number = existing.index.contacts_read if existing.index is not None else 0
    until = walking.waits_until(services, row, existing.index)
    message = (
        f"The contact index is being built ({number:,} contacts read); the signup goes out when it is complete, "
        f"{until:%Y-%m-%d %H:%M} UTC at the latest."
    )
    return Park(cause=walking.park_cause(row), error=message, apply=_waiting(integration, ready, message, until, now))


def _waiting(integration: Integration, ready: Ready, message: str, until: datetime, now: datetime) -> Apply:
    row = ready.row

    async def write(conn: AsyncConnection) -> None:
        person = await people.by_id(conn, ready.person.id) or ready.person
        await people.set_crm(
            conn, [person.id], "waiting", now, cause=walking.WAITS, note=message, unless=("linked", "refused")
        )
        if person.crm_cause != walking.WAITS:
            entry = NewEntry(person.id, person.account_id, "signup.parked", message, {"cause": walking.WAITS})
            await timeline.add(conn, [entry], now)
            event = signup_event("signup.parked", person, connection=row.id, cause=walking.WAITS, message=message)
            await publish(conn, [event], now)
        await insert_tasks(conn, [walking.release_task(row, until)], now)
        if walking.is_complete(integration.manifest, await contact_index.find(conn, row)):
            await insert_tasks(conn, [walking.release_task(row)], now)  # it was completed while we decided to wait

    return write


def not_checked(existing: Existing, duplicates: str) -> list[str]:
    """Return what the timeline says of a push that went out without the check."""
    if existing.complete or duplicates == ALWAYS_CREATES:
        return []
    number = existing.index.contacts_read if existing.index is not None else 0
    why = f"the contact index was not complete ({number:,} contacts read)"
    return [f"Not checked: {why}, so this e-mail may be a contact already."]
