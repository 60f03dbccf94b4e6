"""A person joins a campaign: accepted here, durably, before the answer; ``push`` takes it into the CRM.

``intake`` reads what was sent; ``accept`` takes the signups of all requests that wait, in one transaction and a
constant number of statements: ``admission`` decides what each means, ``admitting`` stores it. What cannot go out yet is
*held* with its cause (``held``), and released when the cause ends.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import msgspec

from gateway.errors import Refused, not_found
from gateway.flows.accounts import existing
from gateway.flows.services import Services
from gateway.flows.signups import held
from gateway.flows.signups.admitting import admit
from gateway.flows.signups.held import release, released_by_connection, released_by_setup
from gateway.flows.signups.intake import Call, Item, hash_of, read_items
from gateway.storage import campaigns, idempotency
from gateway.storage.campaigns import CampaignKey, CampaignRow
from gateway.storage.engine import AsyncConnection
from gateway.storage.idempotency import Key, Used
from gateway.storage.running import Done, Handler, Outcome, Periodic, TaskRun
from gateway.storage.tasks import NewTask, Task, insert_tasks
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
    campaign = await services.database.ask(_campaigns, CampaignKey(account_id, campaign_id))
    if campaign is None:
        async with services.database.read() as conn:
            await existing(conn, account_id)
        raise not_found("campaign", campaign_id)
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


async def _campaigns(conn: AsyncConnection, keys: Sequence[CampaignKey]) -> list[CampaignRow | None]:
    """Return the campaigns of requests that came in together."""
    found = await campaigns.at(conn, keys)
    return [found.get(key) for key in keys]


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

    results = await admit(conn, live, now)

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


def _results(call: Call, results: dict[Item, SignupResult]) -> list[SignupResult]:
    refused = [SignupResult(index=index, problems=problems) for index, problems in call.refused.items()]
    return sorted([*refused, *(results[item] for item in call.items if item in results)], key=lambda one: one.index)


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
