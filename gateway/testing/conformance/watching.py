"""What happens in the CRM: every trigger is reached, by messages in any order, without messages, and by nobody else."""

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import httpx

from gateway.plugins import Integration
from gateway.testing.conformance.forging import forge
from gateway.testing.conformance.rules import Broken, Stage, expect, needs, rule
from gateway.testing.conformance.scenes import arrive, connected, prepare, sign_up
from gateway.testing.world import World
from gateway_schemas.manifest import Trigger

FOUND_WITHIN = timedelta(hours=26)
"""What every message missed is found within a day, and the hour in which the day's look happens."""

AT_ONCE = timedelta(minutes=1)


def _has_triggers(integration: Integration) -> str | None:
    return None if integration.manifest.triggers else "Nothing is watched in the CRM."


def _is_told(integration: Integration) -> str | None:
    if missing := _has_triggers(integration):
        return missing
    told = integration.has("read_webhook") or integration.has("read_app_call")
    return None if told else "The vendor tells nothing by itself; changes are looked up."


async def watched(world: World, trigger: Trigger, target: str, name: str, **setup: Any) -> tuple[str, str]:
    """Sign somebody up under a rule with this trigger; return person and e-mail once the CRM has it.

    Args:
        world: The world.
        trigger: Of the manifest.
        target: Where the signup goes.
        name: Of the campaign, and of the e-mail.
        setup: More of the setup.
    """
    rule = {
        "trigger": trigger.key,
        "parameters": dict(world.driver.parameters(trigger.key)),
        "reverse": "until_issued" if trigger.reversed_by else "never",
    }
    await prepare(world, name, target, qualification=rule, **setup)
    email = f"{name.replace('_', '-')}@example.com"
    person = await sign_up(world, name, email)
    await arrive(world, person, email, f"a signup under the trigger {trigger.key!r}")
    await world.later(seconds=10)
    await _is(
        world, person, "pending", f"trigger {trigger.key!r}, target {target!r}: before anything happened in the CRM"
    )
    return person, email


async def _is(world: World, person: str, state: str, what: str) -> None:
    found = (await world.person(person))["state"]
    expect(found == state, f"{what} the referral is {found}, not {state}")


def _qualified(world: World, person: str) -> Callable[[], Awaitable[bool]]:
    async def ask() -> bool:
        return bool((await world.person(person))["state"] == "qualified")

    return ask


async def _why_not(world: World, person: str) -> str:
    conditions = (await world.timeline(person))["why"]["conditions"]
    return "; ".join(f"{one['label']}: {'met' if one['met'] else 'not met'}" for one in conditions) or "no condition"


def _told_once(world: World, person: str, what: str) -> None:
    told = [one for one in world.host.of_type("referral.qualified") if one["data"]["person"] == person]
    expect(len(told) == 1, f"{what}: the host was told {len(told)} times that the referral qualified")


@rule("silver", applies=_has_triggers)
async def reaches_every_trigger(stage: Stage) -> None:
    """Qualifies by every trigger of the manifest, for each target that it is offered for, and tells the host once."""
    async with connected(stage) as (world, _):
        for number, trigger in enumerate(world.integration.manifest.triggers):
            for target in trigger.targets:
                what = f"trigger {trigger.key!r}, target {target!r}"
                person, email = await watched(world, trigger, target, f"trigger-{number}-{target}")
                await world.driver.reach(trigger.key, target, email)
                if not await world.until(_qualified(world, person), within=FOUND_WITHIN):
                    raise Broken(f"{what}: it happened in the CRM, but {await _why_not(world, person)}")
                await world.drain()
                _told_once(world, person, what)


@rule("silver", applies=_has_triggers)
async def finds_what_messages_missed(stage: Stage) -> None:
    """Finds within a day what no message told."""
    async with connected(stage) as (world, _):
        trigger = world.integration.manifest.triggers[0]
        person, email = await watched(world, trigger, trigger.targets[0], "missed")
        world.mailbox.keeps = True
        await world.driver.reach(trigger.key, trigger.targets[0], email)
        await world.deliver()
        if not await world.until(_qualified(world, person), within=FOUND_WITHIN):
            raise Broken(f"all messages were lost, and after {FOUND_WITHIN}: {await _why_not(world, person)}")


@rule("silver", applies=_is_told)
async def takes_messages_in_any_order(stage: Stage) -> None:
    """Qualifies once by messages that come shuffled and several times, at once and without waiting for a poll."""
    async with connected(stage) as (world, _):
        trigger = world.integration.manifest.triggers[0]
        person, email = await watched(world, trigger, trigger.targets[0], "shuffled")
        taken = await _taken(world, lambda: world.driver.reach(trigger.key, trigger.targets[0], email))
        for request in [*reversed(taken), *taken, *reversed(taken)]:
            answer = await world.mailbox.send(request)
            expect(answer.is_success, f"a message was answered {answer.status_code} {answer.text[:200]}")
        if not await world.until(_qualified(world, person), within=AT_ONCE):
            raise Broken(f"all messages came, in another order, but {await _why_not(world, person)}")
        for request in taken:
            await world.mailbox.send(request)
        await world.later(hours=2)
        await _is(world, person, "qualified", "after the messages came again")
        _told_once(world, person, "messages that come again")


@rule("bronze", applies=needs("verify_webhook", "The vendor sends no webhooks of one connection."))
async def refuses_forged_webhooks(stage: Stage) -> None:
    """Refuses webhooks whose proof is missing, wrong or for another body, and takes the genuine one."""
    async with connected(stage) as (world, _):
        trigger = world.integration.manifest.triggers[0]
        person, email = await watched(world, trigger, trigger.targets[0], "forged")
        taken = await _taken(world, lambda: world.driver.reach(trigger.key, trigger.targets[0], email))
        await forge(world, taken[0])
        await world.drain()
        await _is(world, person, "pending", "after forged webhooks")
        answer = await world.mailbox.send(taken[0])
        expect(answer.is_success, f"the genuine webhook was answered {answer.status_code} {answer.text[:200]}")


@rule("bronze", applies=needs("verify_app_call", "The vendor makes no calls for the app as a whole."))
async def refuses_forged_app_calls(stage: Stage) -> None:
    """Refuses calls for the app as a whole whose proof is missing, wrong or for another body, and takes the genuine."""
    async with connected(stage) as (world, connection):
        taken = await _taken(world, world.driver.call_app)
        await forge(world, taken[0])
        await world.drain()
        state = (await world.connection(connection))["state"]
        expect(state == "active", f"forged calls made the connection {state}")
        answer = await world.mailbox.send(taken[0])
        expect(answer.is_success, f"the genuine call was answered {answer.status_code} {answer.text[:200]}")


async def _taken(world: World, happens: Callable[[], Awaitable[Any]]) -> list[httpx.Request]:
    """Let something happen, and take what the vendor sends of it before the gateway sees it."""
    world.mailbox.taken.clear()
    world.mailbox.keeps = True
    await happens()
    await world.deliver()
    world.mailbox.keeps = False
    expect(world.mailbox.taken, "the vendor sent nothing; does the sandbox call the URLs that it was given?")
    return list(world.mailbox.taken)


RULES = (refuses_forged_webhooks, refuses_forged_app_calls)
MORE = (reaches_every_trigger, takes_messages_in_any_order, finds_what_messages_missed)
