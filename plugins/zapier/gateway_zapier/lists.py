"""What dropdowns offer: campaigns, rewards, form fields; and whose key it is."""

from collections.abc import Sequence
from typing import TypeVar

from gateway.sdk.connection import Connection
from gateway.sdk.routes import Call
from gateway_schemas.campaign import Reward
from gateway_schemas.person import Person
from gateway_zapier import bodies, matching, values
from gateway_zapier.answers import Choice, Me
from gateway_zapier.subscriptions import number

T = TypeVar("T")

PAGE = 100
REWARDS = 200
"""Rewards that a dropdown offers at most, the newest."""


async def me(connection: Connection, _: Call) -> Me:
    """Return whose key it is."""
    account = await connection.host.account()
    return Me(id=account.id, account_name=account.name, environment=connection.settings.environment, plan=None)


async def campaigns(connection: Connection, call: Call) -> list[Choice]:
    """Return a page of the account's campaigns."""
    skip, limit = _part(call)
    found = await connection.host.campaigns(skip=skip, limit=limit)
    return [Choice(id=one.id, name=one.name if one.state == "live" else f"{one.name} (draft)") for one in found]


async def fields(connection: Connection, call: Call) -> list[Choice]:
    """Return a page of the form fields of a campaign; of none when no campaign is chosen yet.

    Raises:
        Rejected: There is no such campaign.
    """
    campaign_id = values.clean(call.query.get("campaign_id"))
    if campaign_id is None:
        return []
    campaign = await matching.campaign_of(connection, campaign_id)
    role = call.query.get("role")
    shown = [one for one in campaign.fields if role in (None, "", one.role)]
    return _page(call, [Choice(id=one.key, name=one.label) for one in shown])


async def rewards(connection: Connection, call: Call) -> list[Choice]:
    """Return a page of the rewards that are due, newest first."""
    found = await connection.host.find_rewards(state=values.clean(call.query.get("status")) or "due", limit=REWARDS)
    wanted = _page(call, found)
    campaigns = await matching.campaigns_of(connection, (one.campaign for one in wanted))
    names = {campaign.id: campaign.name for campaign in campaigns.values()}
    shown = []
    for one in wanted:
        referrer = await connection.host.person(one.referrer)
        shown.append(Choice(id=one.id, name=_named(one, referrer, names.get(one.campaign, one.campaign))))
    return shown


def _named(reward: Reward, referrer: Person, campaign: str) -> str:
    who = bodies.full_name(referrer) or referrer.email or referrer.code or referrer.id
    money = reward.amount
    worth = "" if money is None else f": {bodies.plain(money.amount)} {money.currency}"
    return f"{who}{worth} ({campaign})"


def _page(call: Call, everything: Sequence[T]) -> list[T]:
    skip, limit = _part(call)
    return list(everything[skip : skip + limit])


def _part(call: Call) -> tuple[int, int]:
    """Return how many rows are before the page that is asked for, and how many it holds."""
    limit = number(call.query.get("limit"), PAGE, most=PAGE)
    return number(call.query.get("page"), 0, most=10_000, least=0) * limit, limit
