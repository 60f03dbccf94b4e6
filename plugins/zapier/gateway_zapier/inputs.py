"""What the app sends: the input of each action, as the fields of the Zap's form are called."""

from typing import Literal

import msgspec

from gateway_schemas.base import Input

MatchBy = Literal["email", "code", "coupon", "external_id"]
"""How a person is found. A coupon code is the referral code where a shop uses it as a coupon: a person has one."""

Given = str | int | float | None
"""An amount or answer as Zapier sends it: mostly a text."""


class Filter(Input, frozen=True, kw_only=True):
    """What a subscription is narrowed to."""

    campaign_id: str | None = None
    include_synced: bool = False


class Subscribe(Input, frozen=True, kw_only=True):
    """A Zap was turned on."""

    event: str
    target_url: str
    filter: Filter = msgspec.field(default_factory=Filter)


class PersonInput(Input, frozen=True, kw_only=True):
    """A person to be added."""

    campaign: str
    email: str
    first_name: str | None = None
    last_name: str | None = None
    phone: str | None = None
    external_id: str | None = None
    code: str | None = None
    referral_link: str | None = None
    custom_field: str | None = None
    custom_value: Given = None
    signed_up_at: str | None = None


class ReferrerInput(PersonInput, frozen=True, kw_only=True):
    """``add_referrer``."""


class LeadInput(PersonInput, frozen=True, kw_only=True):
    """``add_lead``; ``referrer`` is a code or an e-mail."""

    referrer: str


class MatchInput(Input, frozen=True, kw_only=True):
    """Whom an action is about."""

    match_by: MatchBy = "email"
    value: str
    campaign: str | None = None


class QualifyInput(MatchInput, frozen=True, kw_only=True):
    """``qualify_lead``."""

    sale_value: Given = None
    currency: str | None = None
    external_reference: str | None = None
    occurred_at: str | None = None
    reason: str | None = None


class UnqualifyInput(MatchInput, frozen=True, kw_only=True):
    """``unqualify_lead``."""

    reason: str | None = None


class SaleRecordInput(MatchInput, frozen=True, kw_only=True):
    """``record_sale``."""

    sale_value: Given
    currency: str | None = None
    external_reference: str
    occurred_at: str | None = None


class UpdateInput(MatchInput, frozen=True, kw_only=True):
    """``update_person``; what is left out stays."""

    role: Literal["referrer", "referred"] = "referrer"
    first_name: str | None = None
    last_name: str | None = None
    phone: str | None = None
    new_external_id: str | None = None
    new_code: str | None = None
    referral_link: str | None = None
    custom_field: str | None = None
    custom_value: Given = None


class RewardInput(Input, frozen=True, kw_only=True):
    """``mark_reward_issued``."""

    reward: str
