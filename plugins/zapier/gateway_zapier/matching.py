"""Find whom an action is about: by e-mail, code or id, and in which campaign."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from gateway.sdk.connection import Connection
from gateway_schemas.campaign import Campaign
from gateway_schemas.person import Person
from gateway_zapier import values
from gateway_zapier.inputs import MatchBy

LABELS: dict[str, str] = {
    "email": "E-mail",
    "code": "Referral code",
    "coupon": "Coupon code",
    "external_id": "External id",
}
_COLUMNS = {"email": "email", "code": "code", "coupon": "code", "external_id": "external_id"}


async def find(
    connection: Connection, role: str, match_by: MatchBy, value: str | None, campaign: str | None, *, limit: int = 50
) -> Sequence[Person]:
    """Return the people of a role whom a value means, newest first; one in each campaign at most.

    Raises:
        Rejected: The value is empty, or is no e-mail address where one is asked for; there is no such campaign.
    """
    campaign = values.clean(campaign)
    if campaign is not None:
        await campaign_of(connection, campaign)
    wanted: dict[str, Any] = {_COLUMNS[match_by]: _wanted(match_by, value)}
    return await connection.host.find_people(campaign=campaign, role=role, limit=limit, **wanted)


def _wanted(match_by: MatchBy, value: str | None) -> str:
    if match_by == "email":
        return values.email("value", LABELS["email"], value)
    return values.needed("value", LABELS[match_by], value)


def choose(
    found: Sequence[Person], order: Sequence[str], *, harmless: str, campaigns: Mapping[str, Campaign]
) -> Person | None:
    """Return the one person whom an action means, or ``None`` when nobody was found. Pure.

    Args:
        found: People with the same e-mail, code or id, newest first.
        order: States of a referral; those who are in the first one go before the others.
        harmless: The state in which the action changes nothing: any of them will do.
        campaigns: For the names in the message.

    Raises:
        Rejected: Several people are meant and the action would change one of them.
    """
    for state in order:
        fitting = [person for person in found if person.state == state]
        if len(fitting) == 1 or (fitting and state == harmless):
            return fitting[0]
        if fitting:
            raise several(fitting, campaigns)
    return None


def several(found: Sequence[Person], campaigns: Mapping[str, Campaign]) -> Exception:
    """Return the refusal of a value that means people of several campaigns."""
    names = sorted(campaigns[one.campaign].name if one.campaign in campaigns else one.campaign for one in found)
    shown = ", ".join(names[:4]) + (" …" if len(names) > 4 else "")
    return values.refuse(
        "campaign", f"This person is in {len(found)} campaigns ({shown}). Choose the Campaign.", "several_campaigns"
    )


async def campaign_of(connection: Connection, campaign: str) -> Campaign:
    """Return a campaign of this account.

    Raises:
        Rejected: There is none with this id here.
    """
    found = (await campaigns_of(connection, [campaign])).get(campaign)
    if found is None:
        raise values.refuse(
            "campaign", "This campaign is not there (any more). Choose another one from the list.", "unknown_campaign"
        )
    return found


async def campaigns_of(connection: Connection, ids: Iterable[str]) -> dict[str, Campaign]:
    """Return these campaigns of the account by id; those that are not there (any more) are left out."""
    wanted = set(ids)
    return {one.id: one for one in await connection.host.campaigns(wanted)} if wanted else {}


async def referrer_of(connection: Connection, person: Person | None) -> Person | None:
    """Return who referred a person, where that is known."""
    if person is None or person.referrer is None:
        return None
    return await connection.host.person(person.referrer)
