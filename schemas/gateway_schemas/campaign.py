"""Campaigns, their rewards, and the setup of an integration for one campaign and role."""

from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any, Literal

from msgspec import Meta

from gateway_schemas.base import Currency, FieldValue, HostId, Input, Money, Name, Output
from gateway_schemas.manifest import Role
from gateway_schemas.person import Code, Email, PersonName, Url

CampaignState = Literal["draft", "live"]
SetupState = Literal["ready", "needs_attention"]
RewardState = Literal["held", "due", "issued", "cancelled"]
FieldKey = Annotated[str, Meta(pattern=r"^[a-z][a-z0-9_]{0,63}$(?!\n)", description="Lower-case key of a form field.")]


class FormField(Input, frozen=True, kw_only=True):
    """A form field that the campaign declares."""

    key: FieldKey
    label: Name
    type: Literal["text", "long_text", "number", "date", "boolean", "email", "phone", "url", "option"] = "text"
    role: Role = "referred"
    required: bool = False


class RewardRule(Input, frozen=True, kw_only=True):
    """How the referrer is rewarded.

    Attributes:
        key: Name of this rule within the campaign.
        on: ``qualification`` (once a referral) or ``sale`` (on every sale of a qualified referral).
        kind: ``fixed`` (``amount`` and ``currency``) or ``percentage`` (``percent`` of the sale value, at most
            ``cap``).
        hold_days: Days between the cause and ``reward.due``.
    """

    key: FieldKey = "reward"
    on: Literal["qualification", "sale"] = "qualification"
    kind: Literal["fixed", "percentage"]
    amount: Decimal | None = None
    currency: Currency | None = None
    percent: Decimal | None = None
    cap: Decimal | None = None
    hold_days: Annotated[int, Meta(ge=0, le=365)] = 0


class CampaignInput(Input, frozen=True, kw_only=True):
    """A campaign as the host declares it.

    Attributes:
        link_template: With ``{code}``: the gateway mints codes and links; null: the host sends them.
    """

    name: Name
    state: CampaignState = "draft"
    fields: list[FormField] = []
    link_template: Annotated[str, Meta(pattern=r"^https?://[^\s]*\{code\}[^\s]*$(?!\n)", max_length=500)] | None = None
    rewards: list[RewardRule] = []


class Campaign(Output, frozen=True, kw_only=True):
    """A campaign."""

    id: HostId
    account: HostId
    name: str
    state: CampaignState
    fields: list[FormField]
    link_template: str | None
    rewards: list[RewardRule]
    created_at: datetime
    updated_at: datetime


class MappingEntry(Input, frozen=True, kw_only=True):
    """One row of a mapping: the CRM field takes the value of the source.

    Attributes:
        record_kind: Kind whose field it is.
        field: The vendor's field key.
        source: ``person.…``, ``signup.…``, ``campaign.…`` or ``referrer.…``.
    """

    record_kind: str
    field: str
    source: str


class DefaultEntry(Input, frozen=True, kw_only=True):
    """A constant for a CRM field."""

    record_kind: str
    field: str
    value: FieldValue


class QualificationRule(Input, frozen=True, kw_only=True):
    """Which change in the CRM qualifies a referral.

    Attributes:
        trigger: Key of a trigger of the manifest.
        parameters: The trigger's parameters, as option values.
        match: For ordered parameters: *this or a later one*, or exactly.
        reverse: Whether the CRM may take a qualification back until its reward is issued.
    """

    trigger: str
    parameters: dict[str, str] = {}
    match: Literal["or_later", "exactly"] = "or_later"
    reverse: Literal["never", "until_issued"] = "never"


class SaleValueSource(Input, frozen=True, kw_only=True):
    """Where the sale value is read: any money or number field of a record kind."""

    record_kind: str
    field: str


class SetupInput(Input, frozen=True, kw_only=True):
    """An integration's settings for one campaign and role.

    Attributes:
        target: Key of a target of the manifest.
        target_options: Pipeline, initial stage, owner: option values by the target's option keys.
        mapping: CRM field from source. ``use_suggested`` fills the rows that are not given.
        referrer_fields: Rows that store who made the referral; the same shape as mapping, sources ``referrer.…``.
    """

    target: str
    target_options: dict[str, str] = {}
    mapping: list[MappingEntry] = []
    use_suggested: bool = False
    defaults: list[DefaultEntry] = []
    referrer_fields: list[MappingEntry] = []
    duplicates: str | None = None
    qualification: QualificationRule | None = None
    sale_value: SaleValueSource | None = None
    connection: str | None = None


class SetupProblem(Output, frozen=True, kw_only=True):
    """Why a setup needs attention, with the page that explains it."""

    field: str
    message: str
    code: str


class Setup(Output, frozen=True, kw_only=True):
    """A saved setup; ``warnings`` were saved although they may disappoint."""

    connection: str
    campaign: HostId
    role: Role
    state: SetupState
    target: str
    target_options: dict[str, str]
    mapping: list[MappingEntry]
    defaults: list[DefaultEntry]
    referrer_fields: list[MappingEntry]
    duplicates: str
    qualification: QualificationRule | None
    sale_value: SaleValueSource | None
    problems: list[SetupProblem]
    updated_at: datetime
    warnings: list[SetupProblem] = []


class SampleReferrer(Input, frozen=True, kw_only=True):
    """A referrer for a preview; the shape of a signup's, and all of it may be left out."""

    id: Annotated[str, Meta(max_length=40)] | None = None
    external_id: HostId | None = None
    code: Code | None = None
    email: Email | None = None
    first_name: PersonName | None = None
    last_name: PersonName | None = None
    link: Url | None = None


class SamplePerson(SampleReferrer, frozen=True, kw_only=True):
    """A person for a preview; the shape of a signup's. E-mail and first name are made up when left out.

    Attributes:
        id: The person's id at the gateway, where there is one already: shown as the reference.
    """

    phone: Annotated[str, Meta(max_length=60)] | None = None
    fields: dict[str, FieldValue] = {}


class PreviewInput(Input, frozen=True, kw_only=True):
    """A sample to see what a signup would write; left out: an example is made up.

    Attributes:
        setup: A setup that is not saved yet; null: the saved one.
    """

    person: SamplePerson | None = None
    referrer: SampleReferrer | None = None
    setup: SetupInput | None = None
    source: Annotated[str, Meta(max_length=200)] = "preview"
    signed_up_at: datetime | None = None


class PreviewRequest(Output, frozen=True, kw_only=True):
    """One request that a push would send, exactly; the id of a record that it would make before is shown as 0."""

    step: str
    method: str
    path: str
    body: dict[str, Any] | None


class Preview(Output, frozen=True, kw_only=True):
    """What would happen, without doing it: exact payloads, the duplicate verdict, and every problem.

    Attributes:
        duplicate: What was found at the vendor for this e-mail, and what the policy does, in words.
        existing: Ids of the contacts that were found.
        problems: What would refuse the push, and (code ``note``) what would be cut or left out.
    """

    requests: list[PreviewRequest]
    duplicate: str
    existing: list[str]
    problems: list[SetupProblem]


class RewardDecision(Input, frozen=True, kw_only=True):
    """A word with a decision on a reward."""

    reason: Annotated[str, Meta(max_length=500)] | None = None


class Reward(Output, frozen=True, kw_only=True):
    """A reward that is owed to a referrer.

    Attributes:
        state: ``held`` (with ``held_reason``) → ``due`` → ``issued`` or ``cancelled``.
        held_reason: ``hold_period``, ``awaiting_sale``, ``currency_mismatch`` …
    """

    id: str
    account: HostId
    campaign: HostId
    referrer: str
    referred: str
    rule: str
    state: RewardState
    held_reason: str | None
    amount: Money | None
    sale_reference: str | None
    due_at: datetime | None
    created_at: datetime
    updated_at: datetime
