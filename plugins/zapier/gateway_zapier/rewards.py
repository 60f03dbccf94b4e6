"""Rewards with whom they are about."""

from collections.abc import Mapping

from gateway.sdk.connection import Connection
from gateway_schemas.campaign import Campaign, Reward
from gateway_zapier import bodies
from gateway_zapier.answers import RewardAnswer


async def reward_answer(connection: Connection, reward: Reward, campaigns: Mapping[str, Campaign]) -> RewardAnswer:
    """Return a reward as search and action answer it."""
    campaign = campaigns.get(reward.campaign)
    body = bodies.reward_body(reward)
    return RewardAnswer(
        **{name: getattr(body, name) for name in body.__struct_fields__},
        campaign=bodies.campaign_body(campaign, reward.campaign),
        lead=bodies.lead_body(await connection.host.person(reward.referred), campaign),
        referrer=bodies.referrer_body(await connection.host.person(reward.referrer)),
    )
