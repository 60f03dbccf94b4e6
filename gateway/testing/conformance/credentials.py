"""Credentials that end: tokens before their time, and everything that a person must authorise again."""

from datetime import timedelta

from gateway.plugins import Integration
from gateway.testing.conformance.rules import Stage, expect, rule
from gateway.testing.conformance.scenes import arrive, connected, prepare, reauthorise, sign_up, targets_of
from gateway.testing.wire import Fault
from gateway.testing.world import World
from gateway_schemas.manifest import Credentials


def _authorised(integration: Integration) -> str | None:
    if not integration.has("push_signup"):
        return "It takes no signups."
    return None if integration.manifest.connect_steps else "There is nothing to authorise."


@rule("bronze", applies=_authorised)
async def asks_to_reauthorise(stage: Stage) -> None:
    """Holds all traffic and asks for authorisation once the vendor refuses the credentials; nothing is lost by it."""
    async with connected(stage) as (world, connection):
        target = targets_of(world)[0].key
        await prepare(world, target, target)
        await world.later(minutes=1)
        world.wire.strike(Fault("answered", times=None, answer=lambda: world.driver.answer(401)))
        person = await sign_up(world, target, "refused@example.com")

        async def asks() -> bool:
            return bool((await world.connection(connection))["state"] == "needs_reauth")

        if not await world.until(asks, within=timedelta(hours=1)):
            shown = await world.connection(connection)
            crm = (await world.person(person))["crm"]
            expect(False, f"every call is answered 401, but the connection is {shown['state']} and the signup {crm}")
        later = await sign_up(world, target, "meanwhile@example.com")
        made = len(world.wire.calls)
        await world.later(hours=2)
        calls = [f"{call.method} {call.path}" for call in world.wire.calls[made:]]
        expect(not calls, f"it calls the vendor although it waits for a person: {calls[:5]}")
        told = len(world.host.of_type("connection.needs_reauth"))
        expect(told == 1, f"the host was told {told} times that it must be authorised again")
        world.wire.mend()
        await reauthorise(world, connection)
        await arrive(world, person, "refused@example.com", "after it was authorised again")
        await arrive(world, later, "meanwhile@example.com", "a signup that came meanwhile")


def _has_tokens(integration: Integration) -> str | None:
    if sentence := _authorised(integration):
        return sentence
    auth = integration.manifest.auth
    keys_alone = isinstance(auth, Credentials) and auth.token_path is None
    return "Its keys do not end by themselves." if keys_alone else None


@rule("bronze", applies=_has_tokens)
async def renews_expired_tokens(stage: Stage) -> None:
    """Goes on with a new token when one ends before its time, between two signups and in the middle of one."""
    async with connected(stage) as (world, connection):
        target = targets_of(world)[0].key
        await prepare(world, target, target)
        await world.later(minutes=1)
        world.driver.expire_token()
        await _goes_through(world, connection, target, "between@example.com", "a token that ended between two signups")
        await world.later(minutes=1)
        world.wire.strike(Fault("noticed", writes=True, then=world.driver.expire_token))
        await _goes_through(world, connection, target, "middle@example.com", "a token that ended between two writes")
        await world.later(days=2)
        await _goes_through(world, connection, target, "days@example.com", "a token that nobody used for two days")


async def _goes_through(world: World, connection: str, target: str, email: str, what: str) -> None:
    asked = sum(call.token for call in world.wire.calls)
    person = await sign_up(world, target, email)
    await world.drain()
    state = (await world.connection(connection))["state"]
    expect(state == "active", f"{what} made the connection {state}")
    await arrive(world, person, email, what)
    asked = sum(call.token for call in world.wire.calls) - asked
    expect(asked <= 2, f"{what} took {asked} calls for new tokens")


RULES = (asks_to_reauthorise, renews_expired_tokens)
