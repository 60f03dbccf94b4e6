"""Rewards: list an account's, and say that one was paid or will not be."""

from typing import Annotated

from litestar import get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery, JSONBody, Parameter, QueryParameter

from gateway.api.auth import Caller
from gateway.api.cursors import RewardCursor
from gateway.errors import not_found
from gateway.flows.campaigns import campaign as campaigns
from gateway.flows.rewards import rewards
from gateway.flows.services import Services
from gateway_schemas.base import Page
from gateway_schemas.campaign import Reward, RewardDecision, RewardState

Limit = Annotated[int, Parameter(ge=1, le=200)]

TAGS = ["rewards"]


@get("/v1/accounts/{account:str}/rewards", tags=TAGS, opt={"scope": "read"})
async def list_rewards(
    account: FromPath[str],
    caller: NamedDependency[Caller],
    services: NamedDependency[Services],
    campaign: FromQuery[str | None] = None,
    in_state: Annotated[RewardState | None, QueryParameter(name="state")] = None,
    cursor: RewardCursor = None,
    limit: Limit = 50,
) -> Page[Reward]:
    """List an account's rewards, newest first; of one ``campaign`` and in one ``state`` where given."""
    caller.require(account, "read")
    await campaigns.check_known(services, account, campaign)
    return await rewards.find_rewards(services, account, campaign=campaign, state=in_state, after=cursor, limit=limit)


@post("/v1/rewards/{reward:str}/issued", status_code=200, tags=TAGS, opt={"scope": "signups"})
async def mark_issued(
    reward: FromPath[str],
    caller: NamedDependency[Caller],
    services: NamedDependency[Services],
    data: JSONBody[RewardDecision | None] = None,
) -> Reward:
    """Say that a due reward was paid; saying it again changes nothing."""
    return await rewards.mark_reward_issued(
        services, await _account_of(services, caller, reward), reward, reason=data.reason if data else None
    )


@post("/v1/rewards/{reward:str}/cancelled", status_code=200, tags=TAGS, opt={"scope": "signups"})
async def mark_cancelled(
    reward: FromPath[str],
    caller: NamedDependency[Caller],
    services: NamedDependency[Services],
    data: JSONBody[RewardDecision | None] = None,
) -> Reward:
    """Say that a held or due reward will not be paid; saying it again changes nothing."""
    return await rewards.cancel_reward(
        services, await _account_of(services, caller, reward), reward, reason=data.reason if data else None
    )


async def _account_of(services: NamedDependency[Services], caller: NamedDependency[Caller], reward_id: str) -> str:
    account = await rewards.owner_of(services, reward_id)
    if not caller.sees(account):
        raise not_found("reward", reward_id)
    caller.require(account, "signups")
    return account


ROUTES = [list_rewards, mark_issued, mark_cancelled]
