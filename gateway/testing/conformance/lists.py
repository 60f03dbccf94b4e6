"""Fields and options: what a person can choose must be all that there is."""

from typing import Any

from gateway.plugins import Integration
from gateway.testing.conformance.rules import Broken, Stage, expect, needs, rule
from gateway.testing.conformance.scenes import connected


@rule("silver", applies=needs("list_fields", "It lists no fields: mappings are fixed."))
async def lists_every_field(stage: Stage) -> None:
    """Lists the fields of each record kind to the last page."""
    async with connected(stage) as (world, connection):
        grown = 0
        for kind in world.integration.manifest.record_kinds:
            try:
                made = list(world.driver.make_fields(kind.key, world.driver.page_size + 1))
            except NotImplementedError as why:
                stage.notes.append(_sentence(why, f"fields of {kind.key}"))
                continue
            grown += 1
            path = f"/v1/connections/{connection}/fields/{kind.key}"
            shown = {one["label"] for one in (await world.call("GET", path, params={"refresh": "true"}))["data"]}
            _all_there(f"fields of {kind.key!r}", made, shown)
        expect(grown, "the driver can make fields of no record kind; exempt the plugin with a sentence")


def _lists_options(integration: Integration) -> str | None:
    return None if integration.manifest.option_sources else "Nothing is chosen from a list of the vendor."


@rule("silver", applies=_lists_options)
async def lists_every_option(stage: Stage) -> None:
    """Lists the options of each source to the last page."""
    async with connected(stage) as (world, connection):
        grown = 0
        for source in world.integration.manifest.option_sources:
            try:
                made = list(world.driver.make_options(source.key, world.driver.page_size + 1))
            except NotImplementedError as why:
                stage.notes.append(_sentence(why, f"options of {source.key}"))
                continue
            grown += 1
            path = f"/v1/connections/{connection}/options/{source.key}"
            shown = {one["value"] for one in (await world.call("GET", path, params={"refresh": "true"}))["data"]}
            _all_there(f"options of {source.key!r}", made, shown)
        expect(grown, "the driver can make options of no source; exempt the plugin with a sentence")


def _all_there(what: str, made: list[str], shown: set[Any]) -> None:
    missing = [one for one in made if one not in shown]
    expect(made, f"{what}: the driver says that it made none")
    expect(not missing, f"{what}: {len(missing)} of {len(made)} are missing; are all pages read? First: {missing[:3]}")


def _sentence(why: NotImplementedError, what: str) -> str:
    if not str(why).strip():
        raise Broken(f"{what}: the driver raises NotImplementedError without a sentence that says why") from why
    return str(why)


RULES = (lists_every_field, lists_every_option)
