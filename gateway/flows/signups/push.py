"""Take a signup into the CRM: never lost, and never twice.

Read on in this order:
``pushing`` reads what a push needs and freezes what it sends; ``push_attempt`` calls the plugin, each step through
``once``; ``push_endings`` writes how it ended. What is sent stays the same until a refusal proves that nothing is in
doubt, and the record of each step is linked in the transaction that finishes it.
"""

from datetime import datetime

from gateway.errors import Refused
from gateway.flows import mishaps
from gateway.flows.campaigns import attention
from gateway.flows.connections import reauth
from gateway.flows.services import Services
from gateway.flows.signups.held import push_task
from gateway.flows.signups.push_attempt import Attempt
from gateway.flows.signups.push_endings import PARKED, held, kept, moved, parked, used_up
from gateway.flows.signups.pushing import Loaded, Ready, load
from gateway.storage import people, pushes, timeline
from gateway.storage.connections import lane
from gateway.storage.engine import AsyncConnection
from gateway.storage.pushes import Place
from gateway.storage.running import Done, Handler, Outcome, Park, TaskRun
from gateway.storage.tasks import Task, insert_tasks
from gateway.storage.timeline import NewEntry

__all__ = ["handlers", "replay_push"]

STILL_WAITING = (
    "It is on its way already: it goes out by itself. If it is parked, its timeline says what it waits for: mend the"
    " setup that it names, or re-authorise the connection."
)
"""Why a signup that waits is not sent again."""


class PushSignup:
    """Handles ``push_signup``: takes one signup into the CRM."""

    def __init__(self, services: Services) -> None:
        self._services = services

    async def run(self, run: TaskRun) -> Outcome:
        """Push what can be pushed; else hold, park or refuse it with the cause."""
        loaded = await self._services.database.ask(load, run.task.args["person"])
        if loaded is None or loaded.person.crm != "waiting" or loaded.person.email is None:
            return Done()  # delivered, held, refused or erased meanwhile
        ready = _ready(loaded, run)
        return await Attempt(self._services, run, ready).run() if isinstance(ready, Ready) else ready

    async def failed(self, conn: AsyncConnection, task: Task, error: str, now: datetime) -> None:
        """Refuse the signup: its attempts are used up."""
        person = await people.by_id(conn, task.args["person"])
        if person is not None and person.crm != "linked":
            said = mishaps.scrubbed(error, 300)
            message = f"It could not be delivered in {task.tries} attempts; the last one said: {said}"
            await used_up(conn, person, task.id, message, now)


def _ready(loaded: Loaded, run: TaskRun) -> Ready | Outcome:
    """Return the push that can go out, or what becomes of it as things are."""
    person, row, setup = loaded.person, loaded.row, loaded.setup
    if row is None:
        return held(loaded, "no_connection", run)
    if lane(row) != run.task.lane:
        return moved(loaded, lane(row), run)
    if row.state == "needs_reauth":
        error = "the connection needs re-authorisation"
        return Park(cause=reauth.park_cause(row), error=error, apply=kept(loaded, run.task.id))
    if setup is None or loaded.campaign is None or loaded.account is None:
        return held(loaded, "no_setup", run)
    if setup.state != "ready":
        message = "; ".join(problem.message for problem in setup.problems) or "Its setup needs attention."
        tell = None if person.crm_cause == PARKED else parked(loaded, message, run.now())
        tell = kept(loaded, run.task.id, tell)
        apply = attention.parking(setup, run.now(), tell)
        return Park(cause=attention.park_cause(setup.id), error=message, apply=apply)
    return Ready.of(loaded)


async def replay_push(conn: AsyncConnection, person_id: str, now: datetime) -> bool:
    """Push a signup again that was refused, or whose record is gone; return whether it goes out now.

    What was done already is not done again; a signup whose records are gone is pushed as if for the first time.

    Raises:
        Refused: ``wrong_state``: its push is on its way, or parked. That one has the steps; a second one would not.
    """
    person = (await people.lock(conn, [person_id])).get(person_id)
    if person is None or not person.signed_up or person.email is None or person.crm == "linked":
        return False
    if person.crm == "waiting":
        raise Refused("wrong_state", STILL_WAITING)
    if person.crm == "gone":
        await pushes.forget(conn, person_id)
    place = Place(person.account_id, person.campaign_id, person.role)
    await pushes.lock_accounts(conn, [person.account_id])
    destination = (await pushes.destinations(conn, [place])).get(place)
    if destination is None or destination.setup_id is None:
        cause = "no_connection" if destination is None else "no_setup"
        await people.set_crm(conn, [person_id], "held", now, cause=cause)
        return False
    await people.set_crm(conn, [person_id], "waiting", now)
    await insert_tasks(conn, [push_task(person, destination.lane)], now)
    entry = NewEntry(person_id, person.account_id, "signup.replayed", "The signup is sent again.")
    await timeline.add(conn, [entry], now)
    return True


def handlers(services: Services) -> dict[str, Handler]:
    """Return the handler of each task kind of this flow."""
    return {"push_signup": PushSignup(services)}
