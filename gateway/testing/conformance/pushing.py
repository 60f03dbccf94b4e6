"""Signups: in the CRM once, whatever is lost on the way, and in the end whatever the vendor answers meanwhile."""

from gateway.testing.conformance.rules import Broken, Stage, expect, needs, rule
from gateway.testing.conformance.scenes import arrive, connected, once, prepare, reauthorise, sign_up, targets_of
from gateway.testing.wire import LOSSES, Fault
from gateway.testing.world import World

_applies = needs("push_signup", "It takes no signups.")
WAITING_ROUNDS = 14
"""More than a task has attempts: a wait that used them up would show."""


@rule("bronze", applies=_applies)
async def pushes_once(stage: Stage) -> None:
    """Makes one record of a signup that is sent twice, and one contact of a person in two campaigns."""
    async with connected(stage) as (world, _):
        for target in targets_of(world):
            name, email = target.key, f"once.{target.key}@example.com"
            await prepare(world, name, name)
            person = await sign_up(world, name, email, key=f"signup-{name}")
            again = await sign_up(world, name, email, key=f"signup-{name}")
            expect(person == again, "a signup that is sent again is another person")
            await arrive(world, person, email, f"target {name!r}, sent twice with one key")
            await sign_up(world, name, email)
            await world.later(minutes=5)
            await once(world, person, email, f"target {name!r}, sent again without a key")
            await _in_another_campaign(world, name, email)


async def _in_another_campaign(world: World, target: str, email: str) -> None:
    await prepare(world, f"{target}-2", target)
    await sign_up(world, f"{target}-2", email)
    await world.later(minutes=5)
    kinds = {one.key for one in world.integration.manifest.record_kinds if one.is_contact}
    contacts = [ref for ref in world.driver.records(email) if ref.kind in kinds]
    said = f"target {target!r}: a person in two campaigns became {len(contacts)} contacts"
    expect(len(contacts) <= 1, f"{said}; look among `known` and at the vendor before you create")


@rule("bronze", applies=_applies)
async def survives_lost_answers(stage: Stage) -> None:
    """Makes one record although the answer of any of its writes is lost, cut, late or an error."""
    async with connected(stage) as (world, _):
        for number, target in enumerate(targets_of(world)):
            await prepare(world, target.key, target.key)
            writes = await _writes_of(world, target.key)
            for place, write in enumerate(writes):
                for effect, words in LOSSES.items():
                    if number > 0 and effect != "lost":
                        continue  # every way for the longest target, one way for each write of the others
                    await world.later(minutes=1)
                    email = f"lost.{target.key}.{place}.{effect}@example.com".replace("_", "-")
                    fault = world.wire.strike(Fault(effect, skip=place, writes=True))
                    person = await sign_up(world, target.key, email)
                    await world.drain()
                    world.wire.mend()
                    what = f"target {target.key!r}, write {place + 1} ({write}): {words}"
                    expect(fault.struck, f"{what}: the write was not made; does each signup make the same writes?")
                    await arrive(world, person, email, what)


async def _writes_of(world: World, target: str) -> list[str]:
    """Sign somebody up in peace; return the writes that it took."""
    made, email = len(world.wire.calls), f"calm.{target}@example.com"
    person = await sign_up(world, target, email)
    await arrive(world, person, email, f"target {target!r}, in peace")
    writes = [f"{call.method} {call.path}" for call in world.wire.writes(made)]
    expect(writes, f"target {target!r}: a signup made no write call at the vendor")
    return writes


@rule("bronze", applies=_applies)
async def waits_at_the_rate_limit(stage: Stage) -> None:
    """Waits when the vendor answers 429, for as long as it takes, and uses up no attempt."""
    async with connected(stage) as (world, _):
        target = targets_of(world)[0].key
        await prepare(world, target, target)
        await world.later(minutes=1)
        fault = world.wire.strike(Fault("answered", times=None, answer=lambda: world.driver.answer(429)))
        person = await sign_up(world, target, "limit@example.com")
        await world.drain()
        expect(fault.struck, "the signup made no call")
        made = len(world.wire.calls)
        await world.drain()
        expect(len(world.wire.calls) == made, "after a 429 it calls again without waiting; use Retry-After")
        await _stays(world, person, WAITING_ROUNDS, "the vendor answers 429")
        world.wire.mend()
        await arrive(world, person, "limit@example.com", "after the rate limit")


@rule("bronze", applies=_applies)
async def waits_while_the_vendor_is_down(stage: Stage) -> None:
    """Waits while the vendor fails, and goes on when it is back."""
    async with connected(stage) as (world, _):
        target = targets_of(world)[0].key
        await prepare(world, target, target)
        await world.later(minutes=1)
        world.wire.strike(Fault("answered", times=None, answer=lambda: world.driver.answer(503)))
        person = await sign_up(world, target, "down@example.com")
        await _stays(world, person, 3, "the vendor answers 503")
        world.wire.mend()
        await arrive(world, person, "down@example.com", "after the vendor was down")


async def _stays(world: World, person: str, rounds: int, why: str) -> None:
    for _ in range(rounds):
        await world.later(minutes=5)
        crm = (await world.person(person))["crm"]
        if crm != "waiting":
            entries = (await world.timeline(person))["entries"]
            raise Broken(f"while {why} the signup is {crm}, not waiting: {entries[-1]['text']}")


@rule("bronze", applies=_applies)
async def tells_refusals(stage: Stage) -> None:
    """Says why when the vendor forbids a signup (403), writes nothing, and can be sent again."""
    async with connected(stage) as (world, connection):
        target = targets_of(world)[0].key
        await prepare(world, target, target)
        await world.later(minutes=1)
        fault = world.wire.strike(Fault("answered", times=None, answer=lambda: world.driver.answer(403)))
        person = await sign_up(world, target, "forbidden@example.com")
        await world.drain()
        expect(fault.struck, "the signup made no call")
        await world.later(minutes=5)
        crm = (await world.person(person))["crm"]
        expect(crm != "linked", "the signup counts as delivered although the vendor refused every call")
        if crm == "refused":
            entries = [one for one in (await world.timeline(person))["entries"] if one["kind"] == "signup.refused"]
            expect(entries and entries[-1]["text"], "the signup is refused, and its timeline does not say why")
        shown = await world.connection(connection)
        world.wire.mend()
        if shown["state"] == "needs_reauth":  # at some vendors that is what a 403 means
            expect(shown["reason"], "it must be authorised again, and does not say why")
            await reauthorise(world, connection)
        if crm == "refused":
            await _send_again(world, person)
        await arrive(world, person, "forbidden@example.com", "after a refusal, sent again")


async def _send_again(world: World, person: str) -> None:
    found = (await world.call("GET", "/v1/deliveries?account=acme"))["data"]
    mine = next(one for one in found if one["kind"] == "signup" and one["subject"] == person)
    await world.call("POST", f"/v1/deliveries/{mine['id']}/replay", expect=202)


RULES = (
    pushes_once,
    survives_lost_answers,
    waits_at_the_rate_limit,
    waits_while_the_vendor_is_down,
    tells_refusals,
)
