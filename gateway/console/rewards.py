"""Rewards of a campaign: the rules, and where the sale value is read (*Define Rules*)."""

from decimal import Decimal, InvalidOperation
from typing import Any

import msgspec
from litestar import Response, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath

from gateway.console import setup_form
from gateway.console.campaigns import Ground, ground_of
from gateway.console.forms import Form
from gateway.console.pages import Desk
from gateway.errors import Refused
from gateway.flows.accounts import CURRENCIES
from gateway.flows.campaigns import campaign as flow
from gateway.flows.campaigns import setup as setups
from gateway.flows.campaigns.vendor_lists import Reader
from gateway.flows.refusals import meaning_of
from gateway.flows.rewards import rewards
from gateway.sdk.errors import PluginError
from gateway.storage.campaigns import mark_of
from gateway_schemas.campaign import Campaign, RewardRule, SaleValueSource
from gateway_schemas.records import Field

PATH = "/a/{account:str}/campaigns/{campaign:str}/rewards"
SPARE = 1


@get(PATH)
async def show_rewards(desk: NamedDependency[Desk], campaign: FromPath[str]) -> Response[str]:
    """Show the rules of rewards and the sale value."""
    found = await flow.find(desk.services, desk.account_id, campaign)
    return await _page(desk, found, [_typed(rule) for rule in found.rewards], None)


@post(PATH)
async def save_rewards(desk: NamedDependency[Desk], campaign: FromPath[str]) -> Response[str]:
    """Save the rules; rewards that are there keep the rule that they arose from."""
    form = await desk.form()
    found = await flow.find(desk.services, desk.account_id, campaign)
    typed = _rules(form)
    if form.get("action") == "add":
        return await _page(desk, found, typed, None, spare=SPARE + 1, seen=form.get("seen"))
    try:
        rules = [_rule(one) for one in typed]
        await flow.save_rewards(desk.services, desk.account_id, campaign, rules, seen=form.get("seen"))
    except (Refused, msgspec.ValidationError) as error:
        refused = meaning_of(error)
        if refused.code == "changed_meanwhile":
            found = await flow.find(desk.services, desk.account_id, campaign)
            return await _page(desk, found, typed, None, status=409, stale="rewards")
        errors: dict[str, list[str]] = {}
        for one in refused.problems:
            errors.setdefault(one.field, []).append(one.message)
        if not errors:
            raise
        return await _page(desk, found, typed, None, status=422, errors=errors, seen=form.get("seen"))
    return desk.go("campaigns", campaign, "rewards", said="saved")


@post(f"{PATH}/sale-value")
async def save_sale_value(desk: NamedDependency[Desk], campaign: FromPath[str]) -> Response[str]:
    """Save where the sale value is read, as a part of the setup for people invited."""
    form = await desk.form()
    found = await flow.find(desk.services, desk.account_id, campaign)
    ground = await ground_of(desk, campaign)
    setup = ground.setups.get("referred")
    kind, _, key = form.get("sale").partition(":")
    chosen = SaleValueSource(record_kind=kind, field=key) if kind and key else None
    if setup is None:
        raise Refused("not_found", "Set up the Person Invited first; then choose where the sale value is read.")
    rules = [_typed(rule) for rule in found.rewards]
    if form.get("action") == "refresh":
        return await _page(desk, found, rules, form.get("sale"), refresh=True)
    try:
        if mark_of(setup.body.sale_value) != form.get("seen"):
            raise flow.changed_meanwhile()
        body = msgspec.structs.replace(setup.body, sale_value=chosen)
        await setups.save(desk.services, desk.account_id, campaign, "referred", body, seen=mark_of(setup.body))
    except (Refused, PluginError) as error:
        refused = meaning_of(error)
        if refused.code == "changed_meanwhile":
            return await _page(desk, found, rules, form.get("sale"), status=409, stale="sale")
        said = [one.message for one in refused.problems] or [refused.detail]
        return await _page(desk, found, rules, form.get("sale"), status=422, errors={"sale": said})
    return desk.go("campaigns", campaign, "rewards", said="saved")


async def _page(
    desk: Desk,
    campaign: Campaign,
    rules: list[dict[str, str]],
    sale: str | None,
    *,
    status: int = 200,
    errors: dict[str, list[str]] | None = None,
    spare: int = SPARE,
    refresh: bool = False,
    stale: str = "",
    seen: str | None = None,
) -> Response[str]:
    ground = await ground_of(desk, campaign.id)
    setup = ground.setups.get("referred")
    saved = None if setup is None else setup.body.sale_value
    chosen = sale if sale is not None else f"{saved.record_kind}:{saved.field}" if saved is not None else ""
    groups, trouble = await _sale_fields(desk, ground, chosen, refresh=refresh)
    return desk.page(
        "rewards.html",
        status=status,
        campaign=campaign,
        ground=ground,
        setup=setup,
        rules=[*rules, *({} for _ in range(spare))],
        errors=errors or {},
        groups=groups,
        trouble=trouble,
        chosen=chosen,
        stale_form=stale,
        seen=mark_of(campaign.rewards) if seen is None else seen,
        sale_seen=mark_of(saved),
        currencies=sorted(CURRENCIES),
        due=await rewards.find_rewards(desk.services, desk.account_id, state=None, after=None, limit=1),
    )


async def _sale_fields(
    desk: Desk, ground: Ground, chosen: str, *, refresh: bool
) -> tuple[list[tuple[str, list[setup_form.Choice]]], str]:
    """Return the fields that may hold a sale value, by record kind, and what failed."""
    if not ground.is_active or ground.row is None or ground.manifest is None or "referred" not in ground.setups:
        return [], ""
    reader = Reader(desk.services, ground.row, refresh=refresh)
    fields: dict[str, list[Field]] = {}
    trouble = ""
    kinds = {one.key: one.label for one in ground.manifest.record_kinds if one.sale_value}
    for kind in kinds:
        try:
            found = (await reader.fields(kind)).data
        except (Refused, PluginError) as error:
            trouble = meaning_of(error).detail
            continue
        money = [one for one in found if one.type in ("money", "number")]
        texts = [one for one in found if one.type == "text"]
        fields[kind] = [msgspec.structs.replace(one, writable=True) for one in (*money, *texts)]
    return setup_form.field_groups(kinds, kinds, fields, chosen), trouble


def _typed(rule: RewardRule) -> dict[str, str]:
    shown = {name: getattr(rule, name) for name in RewardRule.__struct_fields__}
    return {
        name: "" if value is None else f"{value:f}" if isinstance(value, Decimal) else str(value)
        for name, value in shown.items()
    }


def _rules(form: Form) -> list[dict[str, str]]:
    """Return the rules that were typed; a rule without a kind is none."""
    numbers = dict.fromkeys(name.partition(".")[0] for name, _ in form.starting("rule."))
    found = [dict(form.starting(f"rule.{number}.")) for number in sorted(numbers, key=lambda one: one.zfill(4))]
    return [one for one in found if one.get("kind")]


def _rule(typed: dict[str, str]) -> RewardRule:
    given: dict[str, Any] = {name: value for name, value in typed.items() if value}
    kind = given.get("kind")
    for name in ("amount", "percent", "cap"):
        if (name == "amount") != (kind == "fixed"):
            given.pop(name, None)  # the page shows the fields of both kinds: those of the other one say nothing
        elif name in given:
            try:
                given[name] = Decimal(given[name].replace(" ", ""))
            except InvalidOperation:
                raise msgspec.ValidationError(f"Expected a number such as 12.50 - at `$.{name}`") from None
    if kind == "percentage" and "cap" not in given:
        given.pop("currency", None)
    return msgspec.convert(given, RewardRule, strict=False)


ROUTES: list[Any] = [show_rewards, save_rewards, save_sale_value]
