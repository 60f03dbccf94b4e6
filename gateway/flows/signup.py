"""A person joins a campaign: accepted here, durably, before the answer; ``flows.push`` takes it into the CRM.

``accept`` takes the signups of all requests that wait, in one transaction and a constant number of statements. What cannot go out
yet is *held* with its cause, and released below when the cause ends.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import msgspec

from gateway.errors import Refused, not_found
from gateway.flows import held
from gateway.flows.admission import Decision, Plan, names_of
from gateway.flows.held import push_task, release, released_by_connection, released_by_setup, told_held
from gateway.flows.intake import Call, Item, hash_of, read_items
from gateway.flows.notify import publish
from gateway.flows.services import Services
from gateway.flows.shapes import signup_event
from gateway.flows.status_tasks import stats_task, tasks_for
from gateway.storage import accounts, campaigns, idempotency, people, pushes, timeline
from gateway.storage.engine import AsyncConnection
from gateway.storage.idempotency import Key, Used
from gateway.storage.people import Identifier, Name, PersonRow
from gateway.storage.pushes import Place
from gateway.storage.running import Done, Handler, Outcome, Periodic, TaskRun
from gateway.storage.tasks import NewTask, Task, insert_tasks
from gateway.storage.timeline import NewEntry
from gateway.storage.writer import Overloaded
from gateway_schemas.problem import FieldProblem
from gateway_schemas.signup import Signup, SignupResult

__all__ = [
    "Answer",
    "accept",
    "accept_signup",
    "handlers",
    "periodic",
    "release",
    "released_by_connection",
    "released_by_setup",
    "submit",
]

TRIES = 8
"""How often a plan is made anew when other processes were first with the same people."""


class Answer(msgspec.Struct, frozen=True):
    """What a request is answered: its results in order, or ``None`` when its key was used with another body."""

    results: list[SignupResult] | None


# --- in the request ----------------------------------------------------------------------------------


async def submit(
    services: Services,
    account_id: str,
    campaign_id: str,
    raw: Sequence[Any],
    *,
    key: str | None = None,
    body: Any = None,
) -> list[SignupResult]:
    """Check and store signups of one request; what is returned as accepted is durable.

    Args:
        services: What every flow is given.
        account_id: The account.
        campaign_id: Its campaign.
        raw: Decoded JSON, one value a signup.
        key: The Idempotency-Key of the call.
        body: The whole decoded body, compared when the key comes again.

    Returns:
        One result a signup, in order.

    Raises:
        Refused: There is no such campaign, or the key was used with another body.
        Overloaded: Too much waits.
        StorageUnavailable: The database takes no writes.
    """
    async with services.database.read() as conn:
        campaign = await campaigns.get(conn, account_id, campaign_id)
        if campaign is None:
            raise not_found("account" if await accounts.get(conn, account_id) is None else "campaign", campaign_id)
    now = services.clock.now()
    call = Call(
        account_id=account_id,
        campaign_id=campaign_id,
        link_template=campaign.link_template,
        now=now,
        expired_before=now - timedelta(days=services.settings.retention_keys_days),
        key=key,
        body_hash="" if key is None else hash_of(body),
    )
    read_items(call, campaign, raw, services.vault.email_hash)
    if not call.items:
        return _results(call, {})
    answers = await services.database.writer.submit(accept, call.items)
    if answers[0].results is None:
        raise Refused(
            "idempotency_conflict", f"The Idempotency-Key {key!r} was used with another body; send a new key."
        )
    return answers[0].results


async def accept_signup(services: Services, account_id: str, campaign_id: str, signup: Signup) -> SignupResult:
    """Accept one signup that is decoded already, as ``submit`` does."""
    return (await submit(services, account_id, campaign_id, [msgspec.to_builtins(signup)]))[0]


async def accept(conn: AsyncConnection, items: Sequence[Item]) -> list[Answer]:
    """Store the signups of many requests in one transaction; a flow for ``Writer.submit``.

    Args:
        conn: The writer's connection.
        items: Signups that can be read; those of one request are in the same list.

    Returns:
        For each item, what its whole request is answered.
    """
    calls = list(dict.fromkeys(item.call for item in items))
    now = max(call.now for call in calls)
    expired = min(call.expired_before for call in calls)
    first_calls: dict[Key, Call] = {}
    for call in calls:
        if call.key is not None:
            first_calls.setdefault(_call_key(call), call)
    used = await idempotency.claim(conn, {key: call.body_hash for key, call in first_calls.items()}, now, expired)
    live = [
        call
        for call in calls
        if call.key is None or (first_calls[_call_key(call)] is call and _call_key(call) not in used)
    ]

    results = await _accept_items(conn, [item for call in live for item in call.items], now, expired)

    answers = {call: Answer(_results(call, results)) for call in live}
    keep: dict[Key, Any] = {}
    unused: list[Key] = []
    for key, call in first_calls.items():
        if call in answers:
            answer = answers[call].results or []
            if any(one.person for one in answer):
                keep[key] = answer
            else:
                unused.append(key)  # nothing was done under it
    await idempotency.answer(conn, keep)
    await idempotency.release(conn, unused)
    for call in calls:
        if call not in answers:
            answers[call] = _repeated(call, first_calls[_call_key(call)], answers, used)
    return [answers[item.call] for item in items]


def _repeated(call: Call, first: Call, answers: dict[Call, Answer], used: dict[Key, Used]) -> Answer:
    """Return what a request is answered whose key was used before, in this list or earlier."""
    earlier = used.get(_call_key(call))
    if earlier is None:
        return answers[first] if first.body_hash == call.body_hash else Answer(None)
    return Answer(msgspec.convert(earlier.answer, list[SignupResult]) if earlier.body_hash == call.body_hash else None)


async def _accept_items(
    conn: AsyncConnection, items: Sequence[Item], now: datetime, expired: datetime
) -> dict[Item, SignupResult]:
    """Store signups, each once under its own key."""
    first: dict[Key, Item] = {}
    for item in items:
        if item.signup.idempotency_key is not None:
            first.setdefault(_item_key(item), item)
    used = await idempotency.claim(conn, {key: item.body_hash for key, item in first.items()}, now, expired)
    live = [
        item
        for item in items
        if item.signup.idempotency_key is None or (first[_item_key(item)] is item and _item_key(item) not in used)
    ]

    results = await _admit(conn, live, now)

    done = {key: results[item] for key, item in first.items() if item in results}
    await idempotency.answer(conn, {key: result for key, result in done.items() if result.person})
    await idempotency.release(conn, [key for key, result in done.items() if not result.person])
    for item in items:
        if item in results:
            continue
        key = _item_key(item)
        earlier = used.get(key)
        if (earlier.body_hash if earlier is not None else first[key].body_hash) != item.body_hash:
            problem = FieldProblem(
                field="idempotency_key",
                message="The key was used with another signup; send a new one.",
                code="idempotency_conflict",
            )
            results[item] = SignupResult(index=item.index, problems=[problem])
        else:
            result = results[first[key]] if earlier is None else msgspec.convert(earlier.answer, SignupResult)
            results[item] = msgspec.structs.replace(result, index=item.index)
    return results


async def _admit(conn: AsyncConnection, items: Sequence[Item], now: datetime) -> dict[Item, SignupResult]:
    """Decide about signups and store what follows: people, tasks, timeline, events."""
    if not items:
        return {}
    await pushes.lock_accounts(conn, {item.call.account_id for item in items})
    destinations = await pushes.destinations(conn, {_place(item) for item in items})
    for _ in range(TRIES):
        plan = Plan(await _named_people(conn, items), destinations)
        decisions = {item: plan.admit(item, now) for item in items}
        if await people.store(conn, [plan.row(one) for one in plan.created], [plan.row(one) for one in plan.changed]):
            break
    else:
        raise Overloaded("other processes store the same people all the time")
    await people.add_referrals(conn, {one: number for one, number in plan.referrals.items() if number}, now)
    accepted = [plan.row(one) for one in plan.accepted]
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
    entries += [_self_referred_entry(plan.row(one)) for one in plan.self_referred]
    updated = {one: plan.row(one) for one in [*plan.changed, *plan.referrals] if one not in plan.created}
    tasks += [stats_task(one, plan.row(one).account_id) for one in plan.referrals]
    await insert_tasks(conn, [*tasks, *await tasks_for(conn, updated.values())], now)
    await timeline.add(conn, entries, now)
    await publish(conn, events, now)
    return {item: _result(item, decision, plan) for item, decision in decisions.items()}


async def _named_people(conn: AsyncConnection, items: Sequence[Item]) -> list[PersonRow]:
    """Return everybody whom these signups may mean."""
    names = names_of(items)
    found: dict[str, PersonRow] = {}
    for identifier, some in names.items():
        found |= {row.id: row for row in await people.find(conn, identifier, some)}
    # a referred person who shares their own code becomes a referrer: who is that among the referrers?
    shared: dict[Identifier, set[Name]] = {"email_hash": set(), "external_id": set()}
    for row in found.values():
        if (
            row.role == "referred"
            and Name(row.account_id, row.campaign_id, "referrer", row.code or "") in names["code"]
        ):
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
    held = plan.row(decision.person_id).crm == "held"
    return SignupResult(index=item.index, person=decision.person_id, outcome="held" if held else "accepted")


def _results(call: Call, results: dict[Item, SignupResult]) -> list[SignupResult]:
    refused = [SignupResult(index=index, problems=problems) for index, problems in call.refused.items()]
    return sorted([*refused, *(results[item] for item in call.items if item in results)], key=lambda one: one.index)


def _place(item: Item) -> Place:
    return Place(item.call.account_id, item.call.campaign_id, item.signup.role)


def _call_key(call: Call) -> Key:
    return Key(f"{call.account_id}/{call.campaign_id}", call.key or "")


def _item_key(item: Item) -> Key:
    return Key(f"{item.call.account_id}/{item.call.campaign_id}/items", item.signup.idempotency_key or "")


# --- periodic ----------------------------------------------------------------------------------------


class PruneKeys:
    """Forgets idempotency keys that are old enough."""

    def __init__(self, services: Services) -> None:
        self._services = services

    async def run(self, run: TaskRun) -> Outcome:
        """Go on in batches until none is left."""
        before = run.now() - timedelta(days=self._services.settings.retention_keys_days)
        while await self._services.database.writer.run(partial(idempotency.prune, before=before)):
            pass
        return Done()

    async def failed(self, conn: AsyncConnection, task: Task, error: str, now: datetime) -> None:
        """Leave them; tomorrow's task forgets them."""


def handlers(services: Services) -> dict[str, Handler]:
    """Return the handler of each task kind of this flow."""
    return {"prune_keys": PruneKeys(services), **held.handlers(services)}


def periodic(_services: Services) -> list[Periodic]:
    """Return the periodic work of this flow."""

    async def make_tasks(conn: AsyncConnection, now: datetime) -> None:
        await insert_tasks(conn, [NewTask(kind="prune_keys", args={}, lane="internal", unique_key="prune_keys")], now)

    return [Periodic("prune_keys", timedelta(days=1).total_seconds(), make_tasks)]
