"""Store what a plan decided about signups, and what follows: people, tasks, timeline, events; set-wise."""

from collections.abc import Sequence
from datetime import datetime

from gateway.flows.notify.notify import publish
from gateway.flows.people.shapes import signup_event
from gateway.flows.people.status_tasks import stats_task, tasks_for
from gateway.flows.signups.admission import Decision, Plan
from gateway.flows.signups.directory import names_of
from gateway.flows.signups.held import push_task, told_held
from gateway.flows.signups.intake import Item
from gateway.storage import admitting, people, pushes, timeline
from gateway.storage.engine import AsyncConnection
from gateway.storage.people import Identifier, Name, PersonRow
from gateway.storage.pushes import Place
from gateway.storage.timeline import NewEntry
from gateway.storage.writer import Overloaded
from gateway_schemas.signup import SignupResult

TRIES = 8
"""How often a plan is made anew when other processes were first with the same people."""


async def admit(conn: AsyncConnection, items: Sequence[Item], now: datetime) -> dict[Item, SignupResult]:
    """Decide about signups and store what follows: people, tasks, timeline, events."""
    if not items:
        return {}
    await pushes.lock_accounts(conn, {item.call.account_id for item in items})
    destinations = await pushes.destinations(conn, {_place(item) for item in items})
    for _ in range(TRIES):
        plan = Plan(await _named_people(conn, items), destinations)
        decisions = {item: plan.admit(item, now) for item in items}
        if await admitting.store(
            conn, [plan.people.row(one) for one in plan.created], [plan.people.row(one) for one in plan.changed]
        ):
            break
    else:
        raise Overloaded("other processes store the same people all the time")
    await admitting.add_referrals(conn, {one: number for one, number in plan.referrals.items() if number}, now)
    accepted = [plan.people.row(one) for one in plan.accepted]
    tasks, entries, events = [], [], []
    for person in accepted:
        destination = destinations.get(Place(person.account_id, person.campaign_id, person.role))
        connection = destination.connection_id if destination is not None else None
        entries.append(_accepted_entry(person))
        events.append(signup_event("signup.accepted", person, connection=connection))
        if person.crm == "waiting" and destination is not None:
            tasks.append(push_task(person, destination.lane))
        elif person.crm == "held":
            held_entry, held_event = told_held(person, connection)
            entries.append(held_entry)
            events.append(held_event)
    entries += [_self_referred_entry(plan.people.row(one)) for one in plan.self_referred]
    referrers = (await people.by_ids(conn, plan.referrals)).values()  # with their new counts; not all are in the plan
    completed = [plan.people.row(one) for one in plan.changed if one not in plan.referrals]
    tasks += [stats_task(row.id, row.account_id) for row in referrers]
    tasks += await tasks_for(conn, [*completed, *referrers])
    await timeline.add(conn, entries, now)
    await publish(conn, events, now, tasks=tasks)
    return {item: _result(item, decision, plan) for item, decision in decisions.items()}


async def _named_people(conn: AsyncConnection, items: Sequence[Item]) -> list[PersonRow]:
    """Return everybody whom these signups may mean."""
    names = names_of(items)
    found: dict[str, PersonRow] = {}
    for identifier, some in names.items():
        found |= {row.id: row for row in await people.find(conn, identifier, some)}
    # a referred person who shares their own code becomes a referrer: who is that among the referrers?
    shared: dict[Identifier, set[Name]] = {"email_hash": set(), "external_id": set()}
    given = {item.email_hash for item in items if item.signup.person.code is not None}  # codes that come with the list
    for row in found.values():
        named = Name(row.account_id, row.campaign_id, "referrer", row.code or "") in names["code"]
        if row.role == "referred" and (named or row.email_hash in given):
            for identifier, values in shared.items():
                value = getattr(row, identifier)
                if value is not None:
                    values.add(Name(row.account_id, row.campaign_id, "referrer", value))
    for identifier, some in shared.items():
        found |= {row.id: row for row in await people.find(conn, identifier, some - names[identifier])}
    return list(found.values())


def _accepted_entry(person: PersonRow) -> NewEntry:
    text = f"Signed up as {person.role} through {person.source}{' (a test)' if person.test else ''}."
    return NewEntry(person.id, person.account_id, "signup.accepted", text, {"referrer": person.referrer_id})


def _self_referred_entry(person: PersonRow) -> NewEntry:
    text = "The referrer turned out to be the same person, so nobody is rewarded for this referral."
    return NewEntry(person.id, person.account_id, "signup.self_referral", text)


def _result(item: Item, decision: Decision, plan: Plan) -> SignupResult:
    if decision.person_id is None:
        return SignupResult(index=item.index, problems=decision.problems)
    if decision.outcome == "known":
        return SignupResult(index=item.index, person=decision.person_id, outcome="already_signed_up")
    held = plan.people.row(decision.person_id).crm == "held"
    return SignupResult(index=item.index, person=decision.person_id, outcome="held" if held else "accepted")


def _place(item: Item) -> Place:
    return Place(item.call.account_id, item.call.campaign_id, item.signup.role)
