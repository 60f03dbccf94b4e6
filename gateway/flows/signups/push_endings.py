"""How a push ends: delivered, refused, parked or held, each as writes that commit with the task's new state.

Each reads the person again inside its transaction: it may have been changed, or erased, while the push was under way.
"""

from collections.abc import Sequence
from datetime import datetime

import msgspec

from gateway.flows import mishaps
from gateway.flows.notify.notify import NewEvent, publish
from gateway.flows.people.shapes import signup_event
from gateway.flows.people.status_tasks import tasks_for
from gateway.flows.referrals.inbound import look_at
from gateway.flows.signups.held import push_task, told_held
from gateway.flows.signups.once import Steps
from gateway.flows.signups.pushing import Loaded, Ready
from gateway.sdk.connection import PushedRecord, PushResult
from gateway.sdk.errors import Problem
from gateway.storage import links, people, pushes, timeline
from gateway.storage.engine import AsyncConnection
from gateway.storage.links import NewLink
from gateway.storage.people import Change, PersonRow
from gateway.storage.running import Apply, Done, Fail, Outcome, TaskRun, Together
from gateway.storage.tasks import insert_tasks
from gateway.storage.timeline import NewEntry
from gateway_schemas.person import LinkedRecord

EXISTING = "existing_contact"
"""``crm_cause`` of a person who is in the CRM already, so that nothing was written."""

PARKED = "setup_needs_attention"
"""``crm_cause`` of a person whose push waits for its setup to be mended."""


async def as_it_stands(conn: AsyncConnection, person: PersonRow) -> PersonRow:
    """Return the person as it is now, inside the transaction."""
    return await people.by_id(conn, person.id) or person


def words(record: PushedRecord) -> str:
    """Say in words what happened to a record."""
    how = {"created": "was created", "matched": "was there already", "updated": "was there and was updated"}[record.how]
    return f"{record.ref.kind} {record.ref.id} {how}"


def link_to(record: PushedRecord, person: PersonRow, connection_id: str) -> NewLink:
    """Return the link of a person to a record."""
    return NewLink(
        account_id=person.account_id,
        connection_id=connection_id,
        record_kind=record.ref.kind,
        record_id=record.ref.id,
        person_id=person.id,
        how=record.how,
        email_hash=person.email_hash,
        url=record.url,
    )


def delivered(ready: Ready, result: PushResult, shown_at: datetime, notes: Sequence[str], now: datetime) -> Apply:
    """Return the writes of a signup that is in the CRM.

    Args:
        ready: The push.
        result: What the plugin did.
        shown_at: State of the person (its ``updated_at``) that the CRM shows.
        notes: What the mapping cut or left out.
        now: The time.
    """
    records = [LinkedRecord(ref=one.ref, how=one.how, url=one.url) for one in result.records]
    told = [*notes, *result.notes]
    if result.others:
        others = ", ".join(f"{one.kind} {one.id}" for one in result.others)
        told.append(f"More contacts with this e-mail: {others}.")
    if result.cannot_qualify is not None:
        told.append(result.cannot_qualify)
    skipped = result.cannot_qualify is not None or ready.setup.body.duplicates == "skip"
    untouched = skipped and all(one.how == "matched" for one in result.records)
    done = "; ".join(words(one) for one in result.records)
    said = f"Delivered to the CRM: {done}." if done else "Already a contact in the CRM: nothing was written."
    if not untouched and not done:
        said = "Delivered to the CRM: nothing was written."
    text = mishaps.scrubbed(" ".join([said, *told]), 4_000)

    cause = EXISTING if untouched else None
    return Together(write_delivered, Delivered(ready, result, records, text, cause, shown_at, now))


class Delivered(msgspec.Struct, frozen=True):
    """A signup that is in the CRM: what is written about it; see ``delivered``."""

    ready: Ready
    result: PushResult
    records: Sequence[LinkedRecord]
    text: str
    cause: str | None
    shown_at: datetime
    now: datetime


async def write_delivered(conn: AsyncConnection, done: Sequence[Delivered]) -> None:
    """Write what follows from signups that are in the CRM, in the same statements for all of them."""
    now = max(one.now for one in done)
    current = await people.as_they_stand(conn, [one.ready.person.id for one in done])
    new = [(one, current.get(one.ready.person.id, one.ready.person)) for one in done]
    linked = [link_to(record, person, one.ready.row.id) for one, person in new for record in one.result.records]
    await links.add(conn, linked, now)
    for cause in sorted({one.cause for one in done}, key=str):
        await people.set_crm(conn, [p.id for one, p in new if one.cause == cause], "linked", now, cause=cause)
    changes = [
        Change(id=person.id, values={"cannot_qualify": one.result.cannot_qualify})
        for one, person in new
        if one.result.cannot_qualify != person.cannot_qualify
    ]
    await people.change(conn, changes, now)
    await timeline.add(conn, [_entry_of(one, person) for one, person in new], now)
    looks = [
        look_at([person.id], one.ready.row)
        for one, person in new
        if person.role == "referred" and one.ready.setup.body.qualification is not None
    ]
    changed = [  # on their way
        msgspec.structs.replace(person, crm="linked")
        for one, person in new
        if person.updated_at != one.shown_at and person.email is not None
    ]
    tasks = [*looks, *(await tasks_for(conn, changed) if changed else [])]
    await publish(conn, [_event_of(one, person) for one, person in new], now, tasks=tasks)


def _entry_of(one: Delivered, person: PersonRow) -> NewEntry:
    data = {"records": one.records, "others": one.result.others, "connection": one.ready.row.id}
    return NewEntry(person.id, person.account_id, "signup.delivered", one.text, data)


def _event_of(one: Delivered, person: PersonRow) -> NewEvent:
    return signup_event("signup.delivered", person, connection=one.ready.row.id, records=one.records)


def refused(ready: Ready, steps: Steps, cause: str, said: str, problems: Sequence[Problem], now: datetime) -> Outcome:
    """Return the outcome of a signup that the CRM, or the mapping, does not take."""
    shown = [{"field": one.field, "message": mishaps.scrubbed(one.message), "code": one.code} for one in problems]
    message = mishaps.scrubbed("; ".join(one.message for one in problems) or said)
    connection = ready.row.id

    async def write(conn: AsyncConnection) -> None:
        person = await as_it_stands(conn, ready.person)
        await people.set_crm(conn, [person.id], "refused", now, cause=cause, note=message, unless=("linked",))
        await let_go(conn, ready, steps, now)
        data = {"cause": cause, "problems": shown, "connection": connection}
        await timeline.add(conn, [NewEntry(person.id, person.account_id, "signup.refused", message, data)], now)
        event = signup_event("signup.refused", person, connection=connection, cause=cause, message=message)
        await publish(conn, [event], now)

    return Fail(error=f"{cause}: {message}", apply=write)


async def let_go(conn: AsyncConnection, ready: Ready, steps: Steps, now: datetime) -> None:
    """Keep what was done for a later attempt; unless something is in doubt, the values are mapped anew then."""
    if steps.steps:
        await pushes.keep_steps(conn, ready.person.id, ready.row.id, ready.setup.id, steps.stored, now)
    if not steps.in_doubt:
        await pushes.thaw(conn, ready.person.id)


def parked(loaded: Loaded, message: str, now: datetime) -> Apply:
    """Return the writes of a signup that waits for its mapping to be mended."""
    connection = loaded.row.id if loaded.row is not None else None

    async def write(conn: AsyncConnection) -> None:
        person = await as_it_stands(conn, loaded.person)
        await people.set_crm(conn, [person.id], "waiting", now, cause=PARKED, note=message, unless=("linked",))
        entry = NewEntry(person.id, person.account_id, "signup.parked", message, {"cause": PARKED})
        await timeline.add(conn, [entry], now)
        event = signup_event("signup.parked", person, connection=connection, cause=PARKED, message=message)
        await publish(conn, [event], now)

    return write


def kept(loaded: Loaded, task_id: str, also: Apply | None = None) -> Apply:
    """Return the writes that go with parking a push: what it has done is kept where pushes of its e-mail see it."""

    async def write(conn: AsyncConnection) -> None:
        await pushes.keep_task_steps(conn, loaded.person.id, task_id)
        if also is not None:
            await also(conn)

    return write


def held(loaded: Loaded, cause: str, run: TaskRun) -> Outcome:
    """Return the outcome of a signup that has nowhere to go; when it goes out it goes on from what was done."""
    connection = loaded.row.id if loaded.row is not None else None
    now = run.now()

    async def write(conn: AsyncConnection) -> None:
        person = await as_it_stands(conn, loaded.person)
        await pushes.keep_task_steps(conn, person.id, run.task.id)
        entry, event = told_held(msgspec.structs.replace(person, crm_cause=cause), connection)
        await people.set_crm(conn, [person.id], "held", now, cause=cause)
        await timeline.add(conn, [entry], now)
        await publish(conn, [event], now)

    return Done(apply=write)


def moved(loaded: Loaded, lane: str, run: TaskRun) -> Outcome:
    """Return the outcome of a signup whose account is connected to another CRM now: it is pushed there."""
    now = run.now()

    async def write(conn: AsyncConnection) -> None:
        await pushes.keep_task_steps(conn, loaded.person.id, run.task.id)
        await insert_tasks(conn, [push_task(loaded.person, lane)], now)

    return Done(apply=write)


async def used_up(conn: AsyncConnection, person: PersonRow, task_id: str, message: str, now: datetime) -> None:
    """Refuse a signup whose attempts are used up; a replay goes on from the steps that were done."""
    await pushes.keep_task_steps(conn, person.id, task_id)
    await people.set_crm(conn, [person.id], "refused", now, cause="failed", note=message)
    entry = NewEntry(person.id, person.account_id, "signup.refused", message, {"cause": "failed"})
    await timeline.add(conn, [entry], now)
    await publish(conn, [signup_event("signup.refused", person, cause="failed", message=message)], now)
