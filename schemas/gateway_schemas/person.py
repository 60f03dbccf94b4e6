"""People: referrers and referred persons of a campaign, their CRM link and their timeline."""

from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, UnsetType

from gateway_schemas.base import Currency, FieldValue, HostId, Input, Money, Output
from gateway_schemas.manifest import Role
from gateway_schemas.problem import FieldProblem
from gateway_schemas.records import RecordRef

ReferralState = Literal["pending", "qualified", "disqualified"]
CrmState = Literal["waiting", "held", "linked", "refused", "gone"]
Url = Annotated[str, Meta(pattern=r"^https?://\S+$(?!\n)", max_length=2000)]
Code = Annotated[str, Meta(pattern=r"^\S{1,100}$(?!\n)")]
Email = Annotated[str, Meta(min_length=3, max_length=320)]
Count = Annotated[int, Meta(ge=0, le=2_000_000_000)]
PersonName = Annotated[str, Meta(min_length=1, max_length=200)]


class Counts(Output, frozen=True, kw_only=True):
    """How many people a referrer brought."""

    referrals: Count = 0
    qualified: Count = 0


class LinkedRecord(Output, frozen=True, kw_only=True):
    """A CRM record that belongs to a person.

    Attributes:
        how: ``created``, ``matched``, ``converted`` (made by the vendor from ours) or ``contact`` (of the contact,
            later).
    """

    ref: RecordRef
    how: Literal["created", "matched", "updated", "converted", "contact"]
    url: str | None = None
    gone: bool = False


class Person(Output, frozen=True, kw_only=True):
    """One person in one campaign and role.

    Attributes:
        state: State of a referral; null for a referrer.
        crm: State of the link to the CRM, with ``crm_cause`` when it is held or refused.
    """

    id: str
    account: HostId
    campaign: HostId
    role: Role
    email: str
    first_name: str | None
    last_name: str | None
    phone: str | None
    external_id: str | None
    code: str | None
    link: str | None
    fields: dict[str, FieldValue]
    source: str | None
    state: ReferralState | None
    crm: CrmState
    crm_cause: str | None
    referrer: str | None
    counts: Counts | None
    sale_value: Money | None
    test: bool
    records: list[LinkedRecord]
    signed_up_at: datetime
    created_at: datetime
    updated_at: datetime
    qualified_at: datetime | None = None


class PersonPatch(Input, frozen=True, kw_only=True):
    """What the host changes of one person; what is left out stays.

    Attributes:
        external_id: The host's own id of the person; one person of a campaign and role has it.
        fields: Answers to the form fields that the campaign declares, by key; others stay, null empties one.
    """

    first_name: PersonName | UnsetType = UNSET
    last_name: PersonName | None | UnsetType = UNSET
    phone: Annotated[str, Meta(max_length=60)] | None | UnsetType = UNSET
    link: Url | None | UnsetType = UNSET
    code: Code | None | UnsetType = UNSET
    counts: Counts | UnsetType = UNSET
    external_id: HostId | None | UnsetType = UNSET
    fields: dict[str, FieldValue] | UnsetType = UNSET


class StatusUpdate(PersonPatch, frozen=True, kw_only=True):
    """One of up to 1,000 status updates: who, and what changed (the host's word on link and counts)."""

    person: str


class StatusUpdates(Input, frozen=True, kw_only=True):
    """Status updates, at most 1,000; each is done or refused on its own."""

    people: Annotated[list[Any], Meta(min_length=1, max_length=1000, description="Each a StatusUpdate.")]


class StatusResult(Output, frozen=True, kw_only=True):
    """What became of one status update of the request: ``person``, or ``problems``."""

    index: int
    person: str | None = None
    problems: list[FieldProblem] = []


class StatusResults(Output, frozen=True, kw_only=True):
    """The answer to status updates, in the order of the request."""

    results: list[StatusResult]


class QualificationInput(Input, frozen=True, kw_only=True):
    """Qualify or reverse by hand."""

    qualified: bool
    sale_value: Money | None = None
    reason: Annotated[str, Meta(max_length=500)] | None = None


class SaleInput(Input, frozen=True, kw_only=True):
    """A sale of a referred person; a negative amount is a refund.

    Attributes:
        external_reference: The host's name for this sale; the same reference again changes nothing.
    """

    amount: Decimal
    currency: Currency
    external_reference: Annotated[str, Meta(pattern=r"^[\x21-\x7e]{1,128}$(?!\n)")]
    occurred_at: datetime | None = None


class Sale(Output, frozen=True, kw_only=True):
    """A recorded sale."""

    id: str
    person: str
    amount: Money
    external_reference: str
    origin: Literal["host", "crm", "plugin"]
    occurred_at: datetime
    duplicate: bool = False


class TimelineEntry(Output, frozen=True, kw_only=True):
    """Something that happened to a person, oldest first.

    Attributes:
        kind: Stable word, for example ``signup.accepted``, ``push.step``, ``record.seen``, ``referral.qualified``.
        text: The same in a sentence for people.
    """

    at: datetime
    kind: str
    text: str
    data: dict[str, Any] = {}


class Condition(Output, frozen=True, kw_only=True):
    """One condition of the qualification rule: met or not, and by what."""

    label: str
    met: bool
    evidence: str | None = None


class Explanation(Output, frozen=True, kw_only=True):
    """Why a referral has not qualified yet (or why it has), condition by condition."""

    qualified: bool
    rule: str | None
    conditions: list[Condition]
    note: str | None = None


class Timeline(Output, frozen=True, kw_only=True):
    """Everything that happened to a person."""

    person: Person
    entries: list[TimelineEntry]
    why: Explanation | None
