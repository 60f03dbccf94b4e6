"""What a Zap sees: one Struct a shape, used by events, samples, actions and searches alike. Pure.

Keys are promises to every Zap that maps them: add, never rename or remove. Every key is always present, null when it
is not known. Amounts are texts of an exact number, for example ``"1200.00"``.
"""

from datetime import datetime
from typing import Any

import msgspec

from gateway_schemas.base import Money, Output
from gateway_schemas.campaign import Campaign, Reward
from gateway_schemas.person import Person


class CampaignBody(Output, frozen=True, kw_only=True):
    """A campaign."""

    id: str | None
    name: str | None


class AnswerBody(Output, frozen=True, kw_only=True):
    """One answer of the signup form."""

    key: str
    label: str
    value: str


class LeadBody(Output, frozen=True, kw_only=True):
    """A referred person.

    Attributes:
        status: ``pending``, ``qualified`` or ``disqualified``.
        crm_url: The person's record in the CRM, where it can be linked to.
    """

    id: str | None = None
    email: str | None = None
    first_name: str | None = None
    last_name: str | None = None
    full_name: str | None = None
    phone: str | None = None
    code: str | None = None
    external_id: str | None = None
    status: str | None = None
    signed_up_at: datetime | None = None
    qualified_at: datetime | None = None
    sale_value: str | None = None
    sale_currency: str | None = None
    crm_url: str | None = None
    form_answers: list[AnswerBody] = []


class ReferrerBody(Output, frozen=True, kw_only=True):
    """A person who refers."""

    id: str | None = None
    email: str | None = None
    first_name: str | None = None
    last_name: str | None = None
    full_name: str | None = None
    phone: str | None = None
    code: str | None = None
    external_id: str | None = None
    referral_link: str | None = None
    referral_count: int | None = None
    converted_referral_count: int | None = None
    crm_url: str | None = None


class SaleBody(Output, frozen=True, kw_only=True):
    """A sale; a negative value is a refund."""

    id: str | None = None
    value: str | None = None
    currency: str | None = None
    external_reference: str | None = None


class RewardBody(Output, frozen=True, kw_only=True):
    """A reward that is owed to a referrer."""

    id: str | None = None
    rule: str | None = None
    status: str | None = None
    amount: str | None = None
    currency: str | None = None
    sale_reference: str | None = None
    reason: str | None = None


class ConnectionBody(Output, frozen=True, kw_only=True):
    """The connection to a CRM that a problem is about."""

    id: str | None = None
    integration: str | None = None
    name: str | None = None


class ProblemBody(Output, frozen=True, kw_only=True):
    """What went wrong, as a stable word and in words."""

    code: str
    message: str


class AboutBody(Output, frozen=True, kw_only=True):
    """The person whom a problem is about."""

    id: str | None = None
    role: str | None = None
    email: str | None = None
    first_name: str | None = None
    last_name: str | None = None
    full_name: str | None = None
    external_id: str | None = None


def campaign_body(campaign: Campaign | None, campaign_id: str | None = None) -> CampaignBody:
    """Return a campaign; of one that is not there any more, its id."""
    if campaign is None:
        return CampaignBody(id=campaign_id, name=None)
    return CampaignBody(id=campaign.id, name=campaign.name)


def lead_body(person: Person | None, campaign: Campaign | None) -> LeadBody:
    """Return a referred person; all null when there is none."""
    if person is None:
        return LeadBody()
    labels = {} if campaign is None else {field.key: field.label for field in campaign.fields}
    answers = [
        AnswerBody(key=key, label=labels.get(key, key), value=text_of(value))
        for key, value in person.fields.items()
        if value is not None
    ]
    sale = person.sale_value
    return LeadBody(
        id=person.id,
        email=person.email or None,
        first_name=person.first_name,
        last_name=person.last_name,
        full_name=full_name(person),
        phone=person.phone,
        code=person.code,
        external_id=person.external_id,
        status=person.state,
        signed_up_at=person.signed_up_at,
        qualified_at=person.qualified_at,
        sale_value=None if sale is None else plain(sale.amount),
        sale_currency=None if sale is None else sale.currency,
        crm_url=crm_url(person),
        form_answers=answers,
    )


def referrer_body(person: Person | None) -> ReferrerBody:
    """Return a referrer; all null when there is none."""
    if person is None:
        return ReferrerBody()
    counts = person.counts
    return ReferrerBody(
        id=person.id,
        email=person.email or None,
        first_name=person.first_name,
        last_name=person.last_name,
        full_name=full_name(person),
        phone=person.phone,
        code=person.code,
        external_id=person.external_id,
        referral_link=person.link,
        referral_count=None if counts is None else counts.referrals,
        converted_referral_count=None if counts is None else counts.qualified,
        crm_url=crm_url(person),
    )


def reward_body(reward: Reward) -> RewardBody:
    """Return a reward as a search or an action shows it."""
    return RewardBody(
        id=reward.id,
        rule=reward.rule,
        status=reward.state,
        amount=None if reward.amount is None else plain(reward.amount.amount),
        currency=None if reward.amount is None else reward.amount.currency,
        sale_reference=reward.sale_reference,
        reason=reward.held_reason,
    )


def about_body(person: Person | None) -> AboutBody:
    """Return whom a problem is about; all null when it is about nobody."""
    if person is None:
        return AboutBody()
    return AboutBody(
        id=person.id,
        role=person.role,
        email=person.email or None,
        first_name=person.first_name,
        last_name=person.last_name,
        full_name=full_name(person),
        external_id=person.external_id,
    )


def full_name(person: Person) -> str | None:
    """Return first and last name together."""
    return " ".join(part for part in (person.first_name, person.last_name) if part) or None


def crm_url(person: Person) -> str | None:
    """Return the link to the first CRM record that has one and is still there."""
    return next((record.url for record in person.records if record.url and not record.gone), None)


def plain(amount: Any) -> str:
    """Return an exact number as text without an exponent."""
    return format(amount, "f")


def text_of(value: Any) -> str:
    """Return an answer of a form as a text for people."""
    match value:
        case bool():
            return "yes" if value else "no"
        case Money():
            return f"{plain(value.amount)} {value.currency}"
        case list():
            return ", ".join(str(one) for one in value)
        case _:
            return str(value)


def as_plain(body: msgspec.Struct) -> dict[str, Any]:
    """Return a body as JSON has it."""
    built: dict[str, Any] = msgspec.to_builtins(body)
    return built
