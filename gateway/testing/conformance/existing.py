"""Contacts that were in the CRM before the signup: used, not made again, and left alone where one says so."""

from datetime import timedelta

from gateway.flows.signups.push_endings import EXISTING
from gateway.plugins import Integration
from gateway.testing.conformance.rules import Stage, expect, rule
from gateway.testing.conformance.scenes import PATIENCE, connected, linked_within, prepare, sign_up, targets_of
from gateway.testing.world import World
from gateway_schemas.records import RecordRef

SEEN_WITHIN = timedelta(hours=2)
"""How long a contact is in the CRM before its signup: feeds tell of it, and the vendor's search knows it."""

CREATE = "create"
"""The policy under which a second contact is what people want."""

SKIP = "skip"
"""The policy under which nothing is written."""


def _has_contacts(integration: Integration) -> str | None:
    if not integration.has("push_signup"):
        return "It takes no signups."
    return None if _contact_kinds(integration) else "It knows no contacts."


def _contact_kinds(integration: Integration) -> set[str]:
    return {one.key for one in integration.manifest.record_kinds if one.is_contact}


@rule("bronze", applies=_has_contacts)
async def uses_existing_contacts(stage: Stage) -> None:
    """Uses a contact that was there before instead of making another one; under the policy *skip* it writes nothing."""
    async with connected(stage) as (world, _):
        manifest = world.integration.manifest
        policies: list[str] = [one.key for one in manifest.duplicates if one.key != CREATE]
        if not policies and not manifest.duplicates:
            policies = [manifest.default_duplicates]
        cases = [(target.key, policy) for target in targets_of(world) for policy in policies]
        emails = {case: f"there.{number}@example.com" for number, case in enumerate(cases)}
        contacts = {case: world.driver.add_contact(emails[case]) for case in cases}
        await world.later(seconds=SEEN_WITHIN.total_seconds())
        for number, (target, policy) in enumerate(cases):
            await prepare(world, f"there-{number}", target, duplicates=policy)
            what = f"target {target!r}, policy {policy!r}, the contact was there before"
            await _signs_up(world, f"there-{number}", emails[target, policy], contacts[target, policy], policy, what)


async def _signs_up(world: World, campaign: str, email: str, contact: str, policy: str, what: str) -> None:
    before, made = set(world.driver.records(email)), len(world.wire.calls)
    mine = {ref for ref in before if ref.kind in _contact_kinds(world.integration)}
    expect(
        {ref.id for ref in mine} == {contact},
        f"{what}: the driver's add_contact() made {contact}, but its records() tells of {_names(mine)}",
    )
    person = await sign_up(world, campaign, email)
    await linked_within(world, person, PATIENCE, what)
    await world.later(minutes=5)
    after = set(world.driver.records(email))
    others = {ref for ref in after - before if ref.kind in _contact_kinds(world.integration)}
    hint = "look at `existing`, at `known` and at the vendor before you create"
    expect(not others, f"{what}: it made another one, {_names(others)}; {hint}")
    shown = await world.person(person)
    linked = {(one["ref"]["kind"], one["ref"]["id"]) for one in shown["records"]}
    if policy == SKIP:
        writes = [f"{call.method} {call.path}" for call in world.wire.writes(made)]
        expect(after == before, f"{what}: it made {_names(after - before)}")
        expect(not writes, f"{what}: it wrote all the same: {writes}")
        cause = shown["crm_cause"]
        expect(cause == EXISTING, f"{what}: the signup's crm_cause is {cause!r}, not {EXISTING!r}; see PushResult")
        return
    reached = linked & {(ref.kind, ref.id) for ref in mine}
    expect(reached, f"{what}: the signup is not linked to it, but to {sorted(linked)}")


def _names(refs: set[RecordRef]) -> str:
    return ", ".join(sorted(f"{ref.kind} {ref.id}" for ref in refs)) or "nothing"


RULES = (uses_existing_contacts,)
