"""Searches: the best match first, and an empty list when there is none; never an error for nobody found."""

from typing import cast, get_args

from gateway.sdk.connection import Connection
from gateway.sdk.routes import Call
from gateway_zapier import matching, values
from gateway_zapier.answers import LeadAnswer, ReferrerAnswer, RewardAnswer, lead_answer, referrer_answer
from gateway_zapier.inputs import MatchBy
from gateway_zapier.rewards import reward_answer

MOST = 10


async def find_referrer(connection: Connection, call: Call) -> list[ReferrerAnswer]:
    """Find referrers by e-mail, code or external id, newest first.

    Raises:
        Rejected: The value cannot be searched for, or there is no such campaign.
    """
    found = await matching.find(connection, "referrer", *_query(call), limit=MOST)
    campaigns = await matching.campaigns_of(connection, (person.campaign for person in found))
    return [referrer_answer(person, campaigns.get(person.campaign)) for person in found]


async def find_lead(connection: Connection, call: Call) -> list[LeadAnswer]:
    """Find referred people by e-mail, code or external id, newest first.

    Raises:
        Rejected: The value cannot be searched for, or there is no such campaign.
    """
    found = await matching.find(connection, "referred", *_query(call), limit=MOST)
    campaigns = await matching.campaigns_of(connection, (person.campaign for person in found))
    return [
        lead_answer(person, await matching.referrer_of(connection, person), campaigns.get(person.campaign))
        for person in found
    ]


async def find_reward(connection: Connection, call: Call) -> list[RewardAnswer]:
    """Find rewards by the e-mail of their referrer and their status, newest first.

    Raises:
        Rejected: The e-mail or the status is none, or there is no such campaign.
    """
    email = values.email("email", "E-mail of the referrer", call.query.get("email"))
    status = values.clean(call.query.get("status"))
    if status is not None and status not in ("held", "due", "issued", "cancelled"):
        raise values.refuse("status", "Status is one of held, due, issued, cancelled.", "unknown_status")
    referrers = await matching.find(connection, "referrer", "email", email, call.query.get("campaign"))
    found = [
        reward
        for person in referrers
        for reward in await connection.host.find_rewards(state=status, referrer=person.id, limit=MOST)
    ]
    newest = sorted(found, key=lambda reward: reward.id, reverse=True)[:MOST]
    campaigns = await matching.campaigns_of(connection, (reward.campaign for reward in newest))
    return [await reward_answer(connection, reward, campaigns) for reward in newest]


def _query(call: Call) -> tuple[MatchBy, str | None, str | None]:
    by = values.clean(call.query.get("match_by")) or "email"
    if by not in get_args(MatchBy):
        known = ", ".join(get_args(MatchBy))
        raise values.refuse("match_by", f"A person can be found by one of: {known}.", "unknown_choice")
    return cast("MatchBy", by), call.query.get("value"), call.query.get("campaign")
