"""What several rules begin with, and what they look at in the end."""

from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

from gateway.testing.conformance.rules import Broken, Stage, expect
from gateway.testing.world import World
from gateway_schemas.manifest import Target
from gateway_schemas.records import RecordRef

PATIENCE = timedelta(hours=3)
"""How long a signup may take to arrive once the vendor answers again."""


@asynccontextmanager
async def connected(stage: Stage) -> AsyncIterator[tuple[World, str]]:
    """Open a world whose account is connected; gives the connection's id."""
    async with stage.world() as world:
        await world.account()
        await world.endpoint()
        connection = await world.connect()
        state = (await world.connection(connection))["state"]
        expect(state == "active", f"after all steps of the manifest the connection is {state}, not active")
        yield world, connection


def targets_of(world: World) -> list[Target]:
    """Return the targets for referred persons, the one that makes the most records first."""
    offered = [one for one in world.integration.manifest.targets if "referred" in one.roles]
    return sorted(offered, key=lambda one: -len(one.creates))


async def prepare(world: World, campaign: str, target: str, **setup: Any) -> None:
    """Declare a campaign whose signups go to a target."""
    await world.campaign(campaign=campaign)
    await world.setup(campaign=campaign, target=target, **setup)


async def sign_up(world: World, campaign: str, email: str, **more: Any) -> str:
    """Sign a referred person up; return its id."""
    return str((await world.signup(campaign=campaign, email=email, **more))["person"])


async def reauthorise(world: World, connection: str) -> None:
    """Authorise a connection again, as people would.

    Raises:
        Broken: It is not active afterwards.
    """
    shown = await world.call("POST", f"/v1/connections/{connection}/reauthorise", {})
    while shown["next_step"] is not None:
        shown = await world.take_step(shown)
    expect(shown["state"] == "active", f"authorised again, the connection is {shown['state']}, not active")


async def arrive(world: World, person: str, email: str, what: str) -> None:
    """Wait until a signup is in the CRM, and look whether it is there once.

    Args:
        world: The world.
        person: The signup's person.
        email: Its e-mail.
        what: What had happened to it, for the message.

    Raises:
        Broken: It did not arrive, or not once.
    """
    await linked_within(world, person, PATIENCE, what)
    await once(world, person, email, what)


async def linked_within(world: World, person: str, patience: timedelta, what: str) -> None:
    """Wait until a signup is linked.

    Raises:
        Broken: It is not, after this time.
    """

    async def linked() -> bool:
        return bool((await world.person(person))["crm"] == "linked")

    if not await world.until(linked, within=patience):
        shown = await world.person(person)
        entries = (await world.timeline(person))["entries"]
        last = entries[-1]["text"] if entries else "nothing"
        said = f"{what}: the signup is {shown['crm']}, not linked, after {patience}; its timeline ends: {last}"
        raise Broken(said + await last_error(world, person))


async def last_error(world: World, person: str) -> str:
    """Return the last error of the attempts to push a signup, redacted as it is stored, as the end of a sentence."""
    found = (await world.call("GET", "/v1/deliveries?account=acme&limit=200"))["data"]
    mine = [one for one in found if one["kind"] == "signup" and one["subject"] == person]
    errors = [one["error"] for delivery in mine for one in delivery["attempts"] if one["error"]]
    errors += [delivery["error"] for delivery in mine if delivery["error"]]
    return f"; the last error of its attempts: {errors[-1]}" if errors else ""


async def once(world: World, person: str, email: str, what: str) -> None:
    """Look whether exactly the records that the gateway shows are at the vendor, one of each kind.

    Raises:
        Broken: One is there twice, or the gateway does not know it.
    """
    there = set(world.driver.records(email))
    counted = Counter(ref.kind for ref in there)
    twice = {kind: number for kind, number in counted.items() if number > 1}
    expect(not twice, f"{what}: the vendor has more than one record for one signup: {twice}")
    expect(there, f"{what}: the signup is linked, but the vendor has no record of it")
    shown = {
        RecordRef(kind=one["ref"]["kind"], id=one["ref"]["id"])
        for one in (await world.person(person))["records"]
        if not one["gone"]
    }
    unknown = {f"{ref.kind} {ref.id}" for ref in there - shown}
    expect(not unknown, f"{what}: the vendor has records that push_signup did not return: {sorted(unknown)}")
    lost = {f"{ref.kind} {ref.id}" for ref in shown - there if ref.kind in counted}
    expect(not lost, f"{what}: push_signup returned records that the vendor does not have: {sorted(lost)}")
