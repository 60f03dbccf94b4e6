"""What a sale is worth: money is read to the cent and in its currency, or rewards come out wrong."""

from decimal import Decimal

from gateway.plugins import Integration
from gateway.testing.conformance.rules import Broken, Stage, expect, rule
from gateway.testing.conformance.scenes import connected
from gateway.testing.conformance.watching import FOUND_WITHIN, watched
from gateway.testing.driver import TellsWorth
from gateway.testing.world import World
from gateway_schemas.base import Money
from gateway_schemas.manifest import Trigger


def _has_sales(integration: Integration) -> str | None:
    manifest = integration.manifest
    sold = any(one.sale_value for one in manifest.record_kinds)
    return None if sold and manifest.triggers else "No record of it has a sale value."


@rule("silver", applies=_has_sales)
async def reads_sale_values(stage: Stage) -> None:
    """Reads what a sale is worth, to the cent and in its currency, for every trigger that comes with one."""
    async with connected(stage) as (world, _):
        driver, tried = world.driver, 0
        if not isinstance(driver, TellsWorth):
            raise Broken("the manifest offers sale values, but the driver has no worth() that tells of a sale")
        for number, trigger in enumerate(world.integration.manifest.triggers):
            for target in trigger.targets:
                worth = driver.worth(trigger.key, target)
                if worth is not None:
                    await _sells(world, trigger, target, f"sale-{number}-{target}", *worth)
                    tried += 1
        expect(tried, "the driver's worth() tells of no sale for any trigger, but the manifest offers sale values")


async def _sells(world: World, trigger: Trigger, target: str, name: str, kind: str, field: str, money: Money) -> None:
    what = f"trigger {trigger.key!r}, target {target!r}, {kind}.{field} holds {_words(money)}"
    person, email = await watched(world, trigger, target, name, sale_value={"record_kind": kind, "field": field})
    await world.driver.reach(trigger.key, target, email)

    async def is_sold() -> bool:
        return bool((await world.person(person))["sale_value"])

    if not await world.until(is_sold, within=FOUND_WITHIN):
        shown = await world.person(person)
        note = (await world.timeline(person))["why"]["note"]
        raise Broken(f"{what}: the referral is {shown['state']} without a sale value; {note or 'nothing is noted'}")
    await world.later(minutes=5)
    read = (await world.person(person))["sale_value"]
    same = Decimal(read["amount"]) == money.amount and read["currency"] == money.currency
    expect(same, f"{what}, but the sale value is {read['amount']} {read['currency']}")


def _words(money: Money) -> str:
    return f"{money.amount} {money.currency}"


RULES = (reads_sale_values,)
