"""Connecting by every step of the manifest, being refused, going on after a restart, and leaving nothing behind."""

from collections import Counter
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

from gateway.plugins import Integration
from gateway.testing.conformance.rules import Stage, expect, needs, rule
from gateway.testing.conformance.scenes import connected
from gateway.testing.world import World

WAITS = timedelta(days=2)
"""How long an approval may take."""


def _has_steps(integration: Integration) -> str | None:
    return None if integration.manifest.connect_steps else "There is nothing to authorise: it is connected by a click."


@rule("bronze")
async def connects(stage: Stage) -> None:
    """Connects by every step of its manifest, and says whom it is connected as."""
    async with connected(stage) as (world, connection):
        shown = await world.connection(connection)
        if world.integration.has("verify_connection"):
            identity = world.driver.identity or shown["account"]  # without a vendor of its own: the account itself
            expect(shown["identity"] == identity, f"it is connected as {shown['identity']!r}, but to {identity!r}")
            expect(shown["name"], "verify_connection returned no name by which people know the tenant")


@rule("bronze", applies=_has_steps)
async def refuses_wrong_credentials(stage: Stage) -> None:
    """Refuses wrong credentials, naming the field that is wrong, and connects with the right ones afterwards."""
    async with stage.world() as world:
        await world.account()
        shown = await world.begin()
        tried = 0
        while (step := shown["next_step"]) is not None:
            match step["kind"]:
                case "redirect":
                    await _denied(world)
                    tried += 1
                    shown = await world.begin()
                case "form":
                    tried += await _wrong_form(world, shown)
            shown = await world.take_step(shown)
        expect(shown["state"] == "active", f"with the right credentials it is {shown['state']}, not active")
        expect(tried, "the driver's wrong_values() is empty for every form: nothing was tried")


async def _denied(world: World) -> None:
    """A person refuses at the vendor; then somebody comes back with a code that the vendor never gave."""
    shown = await world.connection(await world.connect(allow=False))
    expect(shown["state"] != "active", "it is active although the person refused at the vendor")
    shown = await world.begin()
    state = parse_qs(urlsplit(shown["next_step"]["url"]).query)["state"][0]
    path = f"/v1/oauth/{world.subject.key}/callback"
    answer = await world.api.get(path, params={"code": "forged", "state": state}, headers={"authorization": ""})
    after = await world.connection(shown["id"])
    expect(after["state"] != "active", f"it is active by a forged code, answered {answer.status_code}")
    await world.call("DELETE", f"/v1/connections/{shown['id']}")


async def _wrong_form(world: World, shown: dict[str, Any]) -> int:
    step, path = shown["next_step"]["step"], f"/v1/connections/{shown['id']}"
    wrong = world.driver.wrong_values(step)
    for field, values in wrong.items():
        answer = await world.api.post(f"{path}/steps/{step}", json={"values": dict(values)})
        said = f"a wrong {field!r} in step {step!r} was answered {answer.status_code} {answer.text[:300]}"
        wanted = f"values.{field}"
        hint = f"raise Rejected(…, [Problem(field={wanted!r}, …)])"
        expect(answer.status_code == 422, f"{said}; it must be refused with 422: {hint}")
        named = [one["field"] for one in answer.json().get("problems", [])]
        came = ", ".join(map(repr, named)) or "no field at all"
        expect(
            wanted in named, f"{said}; the field that is wrong is not named: it is {wanted!r}, and came {came}; {hint}"
        )
        after = await world.connection(shown["id"])
        expect(after["next_step"] is not None, f"{said}; and the step counts as done")
    return len(wrong)


@rule("bronze", applies=_has_steps)
async def resumes_pending_connect(stage: Stage) -> None:
    """Goes on with a pending connect after days and after a restart between any two steps."""
    async with stage.world() as world:
        await world.account()
        shown = await world.begin()
        while (step := shown["next_step"]) is not None:
            if shown["state"] in ("pending_approval", "awaiting_credentials"):
                await world.later(seconds=WAITS.total_seconds())
            await world.restart()
            again = await world.connection(shown["id"])
            expect(
                again["state"] == shown["state"] and again["next_step"]["step"] == step["step"],
                f"after a restart at step {step['step']!r} it is {again['state']} and asks for {again['next_step']}",
            )
            shown = await world.take_step(shown)
        expect(shown["state"] == "active", f"after all steps it is {shown['state']}, not active")


@rule("bronze", applies=needs("disconnect", "It registers nothing at the vendor: there is no disconnect()."))
async def disconnect_leaves_nothing(stage: Stage) -> None:
    """Leaves nothing registered at the vendor after a disconnect, and makes no more calls."""
    async with connected(stage) as (world, connection):
        before = list(world.driver.registered())
        receipt = await world.call("DELETE", f"/v1/connections/{connection}")
        left = list(world.driver.registered())
        expect(not left, f"registered at the vendor were {before}; after the disconnect there is still {left}")
        expect(
            not before or receipt["removed"] or receipt["by_hand"],
            "disconnect() says neither what was removed nor what must be done by hand",
        )
        made = len(world.wire.calls)
        await world.later(days=1, hours=1)
        calls = [f"{call.method} {call.path}" for call in world.wire.calls[made:]]
        expect(not calls, f"it went on calling the vendor after the disconnect: {calls[:5]}")


@rule("silver", applies=needs("register_webhooks", "The vendor sends no webhooks of one connection."))
async def registers_webhooks_once(stage: Stage) -> None:
    """Keeps exactly one set of webhook subscriptions, however often it is asked to register."""
    async with connected(stage) as (world, _):
        before = Counter(world.driver.registered())
        expect(before, "nothing is registered at the vendor after connecting")
        for _again in range(3):
            await world.later(days=1, hours=1)
        after = Counter(world.driver.registered())
        expect(after == before, f"registered were {dict(before)}; after three days of checks it is {dict(after)}")


RULES = (connects, refuses_wrong_credentials, resumes_pending_connect, disconnect_leaves_nothing)
MORE = (registers_webhooks_once,)
