"""Signups that are held: no CRM is connected, or nothing is set up for their campaign and role.

They go out by themselves when that ends within the time of ``settings.held_days``, later by a call. A release is a task
that goes through them in batches, so that many of them hold up nobody.
"""

from datetime import datetime, timedelta
from functools import partial

from gateway.errors import not_found
from gateway.flows.notify.notify import NewEvent
from gateway.flows.people.shapes import signup_event
from gateway.flows.services import Services
from gateway.storage import accounts, campaigns, held, people, pushes, timeline
from gateway.storage.campaigns import SetupRow
from gateway.storage.connections import ConnectionRow
from gateway.storage.connections import lane as lane_of
from gateway.storage.engine import AsyncConnection
from gateway.storage.held import Held
from gateway.storage.people import PersonRow
from gateway.storage.pushes import Place
from gateway.storage.running import Done, Handler, Outcome, TaskRun
from gateway.storage.tasks import NewTask, Task, cancel_tasks, insert_tasks
from gateway.storage.timeline import NewEntry
from gateway_schemas.signup import ReleaseInput, ReleaseResult

HELD_MESSAGES = {
    "no_connection": "No CRM is connected. The signup goes out by itself when one is connected.",
    "no_setup": "The CRM is not set up for this campaign and role. The signup goes out by itself when it is.",
}

BATCH = 500


def push_task(person: PersonRow, lane: str) -> NewTask:
    """Return the task that takes a signup into the CRM; two for one e-mail never run together."""
    return NewTask(
        kind="push_signup",
        args={"person": person.id},
        lane=lane,
        account_id=person.account_id,
        priority=0,
        exclusive_key=f"email:{person.email_hash}",
        unique_key=f"push:{person.id}",
    )


def told_held(person: PersonRow, connection: str | None) -> tuple[NewEntry, NewEvent]:
    """Return what timeline and host are told of a signup that is held."""
    cause = person.crm_cause or ""
    message = HELD_MESSAGES[cause]
    entry = NewEntry(person.id, person.account_id, "signup.held", message, {"cause": cause})
    return entry, signup_event("signup.held", person, connection=connection, cause=cause, message=message)


# --- what ends the cause -----------------------------------------------------------------------------


async def released_by_connection(conn: AsyncConnection, row: ConnectionRow, now: datetime) -> None:
    """Let held signups of an account go out: its CRM is connected.

    Call it where the connection becomes active, in the same transaction.
    """
    await pushes.lock_accounts(conn, [row.account_id], change=True)
    await insert_tasks(conn, [_release_task(Held(account_id=row.account_id), by="connection", lane=lane_of(row))], now)


async def released_by_setup(conn: AsyncConnection, row: SetupRow, now: datetime) -> None:
    """Let held signups of a campaign and role go out: it is set up.

    Call it where the setup becomes ready, in the same transaction.
    """
    await pushes.lock_accounts(conn, [row.account_id], change=True)
    await people.clear_cause(conn, row.account_id, row.campaign_id, row.role, "setup_needs_attention")
    which = Held(account_id=row.account_id, campaign_id=row.campaign_id, role=row.role)
    await insert_tasks(conn, [_release_task(which, by="setup")], now)


async def release(services: Services, account_id: str, given: ReleaseInput) -> ReleaseResult:
    """Let held signups go out, however long they were held.

    Returns:
        How many go out now: those whose campaign and role are set up at a connected CRM.

    Raises:
        Refused: There is no such account or campaign.
    """
    now = services.clock.now()
    which = Held(account_id=account_id, campaign_id=given.campaign, since=given.since)

    async def write(conn: AsyncConnection) -> int:
        if await accounts.get(conn, account_id) is None:
            raise not_found("account", account_id)
        if given.campaign is not None and await campaigns.get(conn, account_id, given.campaign) is None:
            raise not_found("campaign", given.campaign)
        numbers = await held.count_held(conn, which)
        places = {Place(account_id, campaign, role): number for (campaign, role), number in numbers.items()}
        found = await pushes.destinations(conn, places)
        released = sum(
            number for place, number in places.items() if place in found and found[place].setup_id is not None
        )
        if released:
            await insert_tasks(conn, [_release_task(which, by="call")], now)
        return released

    return ReleaseResult(released=await services.database.writer.run(write))


def _release_task(which: Held, *, by: str, lane: str | None = None) -> NewTask:
    since = None if which.since is None else which.since.isoformat()
    parts = (which.account_id, which.campaign_id or "", which.role or "", since or "", by)
    return NewTask(
        kind="release_held",
        args={
            "account": which.account_id,
            "campaign": which.campaign_id,
            "role": which.role,
            "since": since,
            "late": by == "call",
            "lane": lane,
        },
        lane="internal",
        account_id=which.account_id,
        priority=0,
        unique_key="release:" + "/".join(parts) if len("/".join(parts)) < 190 else None,
    )


# --- the task ----------------------------------------------------------------------------------------


class ReleaseHeld:
    """Goes through held signups in batches; what has a destination now goes out."""

    def __init__(self, services: Services) -> None:
        self._services = services

    async def run(self, run: TaskRun) -> Outcome:
        """Release until none is left that can go."""
        args = run.task.args
        write = self._services.database.writer.run
        if args["lane"] is not None:
            while await write(
                partial(_take_back, account_id=args["account"], lane=args["lane"], now=run.now()), bounded=False
            ):
                pass
        which = Held(
            account_id=args["account"],
            campaign_id=args["campaign"],
            role=args["role"],
            since=None if args["since"] is None else datetime.fromisoformat(args["since"]),
            held_since=None if args["late"] else run.now() - timedelta(days=self._services.settings.held_days),
        )
        after = ""
        while (
            last := await write(partial(_release_batch, which=which, after=after, now=run.now()), bounded=False)
        ) is not None:
            after = last
        return Done()

    async def failed(self, conn: AsyncConnection, task: Task, error: str, now: datetime) -> None:
        """Leave the rest held; the release call lets them go."""


async def _release_batch(conn: AsyncConnection, *, which: Held, after: str, now: datetime) -> str | None:
    """Release one batch; return the id to go on from, or ``None`` at the end."""
    await pushes.lock_accounts(conn, [which.account_id])
    batch = await held.held(conn, which, after=after, limit=BATCH)
    if not batch:
        return None
    found = await pushes.destinations(conn, {_place(person) for person in batch})
    going = [person for person in batch if _place(person) in found and found[_place(person)].setup_id is not None]
    without_setup = [person for person in batch if _place(person) in found and found[_place(person)].setup_id is None]
    await people.set_crm(conn, [person.id for person in going], "waiting", now)
    await people.set_crm(conn, [person.id for person in without_setup], "held", now, cause="no_setup")
    await insert_tasks(conn, [push_task(person, found[_place(person)].lane) for person in going], now)
    entries = [
        NewEntry(
            person.id, person.account_id, "signup.released", "The signup goes out now.", {"cause": person.crm_cause}
        )
        for person in going
    ]
    await timeline.add(conn, entries, now)
    return batch[-1].id


async def _take_back(conn: AsyncConnection, *, account_id: str, lane: str, now: datetime) -> int:
    """Hold signups that wait for a CRM which the account has left, so that they go to the new one; return how many."""
    left = await pushes.left_behind(conn, account_id, "push_signup", lane, BATCH)
    if left:
        await cancel_tasks(conn, "the account is connected to another CRM", ids=[one["task"] for one in left])
        for one in left:
            await pushes.keep_task_steps(conn, one["person"], one["task"])
        await people.set_crm(
            conn, [one["person"] for one in left], "held", now, cause="no_connection", unless=("linked", "gone")
        )
    return len(left)


def _place(person: PersonRow) -> Place:
    return Place(person.account_id, person.campaign_id, person.role)


def handlers(services: Services) -> dict[str, Handler]:
    """Return the handler of each task kind of this flow."""
    return {"release_held": ReleaseHeld(services)}
