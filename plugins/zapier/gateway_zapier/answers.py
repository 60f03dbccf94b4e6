"""What actions and searches answer: one Struct each; an action and the search that pairs with it have the same keys."""

from typing import Any

import msgspec

from gateway_schemas.base import Output
from gateway_schemas.campaign import Campaign
from gateway_schemas.person import Person
from gateway_zapier import bodies
from gateway_zapier.bodies import AboutBody, CampaignBody, LeadBody, ReferrerBody, RewardBody, SaleBody


class Me(Output, frozen=True, kw_only=True):
    """Whose key it is; Zapier labels the connection with it."""

    id: str
    account_name: str
    environment: str
    plan: str | None


class Subscribed(Output, frozen=True, kw_only=True):
    """A subscription; Zapier hands it back when the Zap is turned off."""

    id: str
    event: str
    created_at: str


class Choice(Output, frozen=True, kw_only=True):
    """An entry of a dropdown."""

    id: str
    name: str


class ReferrerAnswer(ReferrerBody, frozen=True, kw_only=True):
    """A referrer that was found, or added (``created``)."""

    campaign: CampaignBody
    created: bool = False


class LeadAnswer(LeadBody, frozen=True, kw_only=True):
    """A referred person who was found, or added (``created``)."""

    campaign: CampaignBody
    referrer: ReferrerBody
    created: bool = False


class DecisionAnswer(Output, frozen=True, kw_only=True):
    """What became of *Qualify* or *Unqualify*; nobody matched is no error."""

    id: str | None = None
    matched: bool
    changed: bool = False
    already_qualified: bool = False
    lead: LeadBody = msgspec.field(default_factory=LeadBody)
    referrer: ReferrerBody = msgspec.field(default_factory=ReferrerBody)
    campaign: CampaignBody = msgspec.field(default_factory=lambda: CampaignBody(id=None, name=None))
    sale: SaleBody = msgspec.field(default_factory=SaleBody)


class SaleAnswer(Output, frozen=True, kw_only=True):
    """What became of *Record Sale*; ``duplicate``: it was recorded before."""

    id: str | None = None
    matched: bool
    duplicate: bool = False
    sale: SaleBody = msgspec.field(default_factory=SaleBody)
    lead: LeadBody = msgspec.field(default_factory=LeadBody)
    referrer: ReferrerBody = msgspec.field(default_factory=ReferrerBody)
    campaign: CampaignBody = msgspec.field(default_factory=lambda: CampaignBody(id=None, name=None))


class UpdateAnswer(Output, frozen=True, kw_only=True):
    """What became of *Update Referrer or Lead*."""

    id: str | None = None
    matched: bool
    person: AboutBody = msgspec.field(default_factory=AboutBody)
    lead: LeadBody = msgspec.field(default_factory=LeadBody)
    referrer: ReferrerBody = msgspec.field(default_factory=ReferrerBody)
    campaign: CampaignBody = msgspec.field(default_factory=lambda: CampaignBody(id=None, name=None))


class RewardAnswer(RewardBody, frozen=True, kw_only=True):
    """A reward with whom it is about."""

    campaign: CampaignBody
    lead: LeadBody
    referrer: ReferrerBody


def referrer_answer(person: Person, campaign: Campaign | None, *, created: bool = False) -> ReferrerAnswer:
    """Return a referrer as search and action answer it."""
    return ReferrerAnswer(
        **_parts(bodies.referrer_body(person)),
        campaign=bodies.campaign_body(campaign, person.campaign),
        created=created,
    )


def lead_answer(
    person: Person, referrer: Person | None, campaign: Campaign | None, *, created: bool = False
) -> LeadAnswer:
    """Return a referred person as search and action answer it."""
    return LeadAnswer(
        **_parts(bodies.lead_body(person, campaign)),
        campaign=bodies.campaign_body(campaign, person.campaign),
        referrer=bodies.referrer_body(referrer),
        created=created,
    )


def _parts(body: Output) -> dict[str, Any]:
    return {name: getattr(body, name) for name in body.__struct_fields__}
