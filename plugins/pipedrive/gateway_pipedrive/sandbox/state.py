"""What the fake vendor remembers: companies, users, records, tokens, subscriptions.

Ids of records are counted per company, so that two companies own a person 1 each, as at the vendor. Ids of companies,
users and webhooks are counted over all.

Custom field values are kept in the v2 shape (chapter 6.2); the other shapes are made from it in ``values``.
"""

import hashlib
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal

Clock = Callable[[], datetime]
Kind = Literal["person", "deal", "lead"]


@dataclass
class User:
    """A person with a seat in a company."""

    id: int
    company_id: int
    name: str
    email: str
    is_admin: bool = True
    is_active: bool = True
    api_token: str = ""
    add_time: datetime = field(default_factory=lambda: datetime.now(UTC))


@dataclass
class Option:
    """One choice of an ``enum`` or ``set`` field."""

    id: int
    label: str
    color: str | None = None


@dataclass
class FieldDefinition:
    """A field of persons or of deals. Leads have none of their own: they take those of deals (chapter 6.1)."""

    id: int
    entity: Literal["person", "deal"]
    code: str
    name: str
    type: str
    is_custom: bool = True
    is_optional: bool = False
    options: list[Option] = field(default_factory=list)
    description: str | None = None
    is_deleted: bool = False
    add_time: datetime = field(default_factory=lambda: datetime.now(UTC))
    update_time: datetime = field(default_factory=lambda: datetime.now(UTC))


@dataclass
class Pipeline:
    """A pipeline of deals."""

    id: int
    name: str
    order_nr: int
    is_deleted: bool
    add_time: datetime
    update_time: datetime


@dataclass
class Stage:
    """A stage of one pipeline."""

    id: int
    name: str
    pipeline_id: int
    order_nr: int
    is_deleted: bool
    add_time: datetime
    update_time: datetime
    probability: int = 100


@dataclass(frozen=True)
class Condition:
    """One simple condition of a saved filter: an attribute or a custom field code against a value.

    ``operator`` is ``=``, ``!=``, ``>``, ``<``, ``contains``, ``IS NULL`` or ``IS NOT NULL``.
    """

    field: str
    operator: str = "="
    value: Any = None


@dataclass
class SavedFilter:
    """A saved filter; all its conditions must hold."""

    id: int
    name: str
    type: str
    user_id: int
    conditions: list[Condition]
    add_time: datetime
    is_temporary: bool = False
    is_deleted: bool = False


@dataclass
class Organization:
    """Just enough of an organization for others to point at."""

    id: int
    name: str
    owner_id: int


@dataclass
class Person:
    """A person, with values in v2 shapes."""

    id: int
    name: str
    first_name: str | None
    last_name: str | None
    owner_id: int
    add_time: datetime
    update_time: datetime
    org_id: int | None = None
    emails: list[dict[str, Any]] = field(default_factory=list)
    phones: list[dict[str, Any]] = field(default_factory=list)
    label_ids: list[int] = field(default_factory=list)
    visible_to: int = 3
    custom_fields: dict[str, Any] = field(default_factory=dict)
    is_deleted: bool = False
    merged_into: int | None = None


@dataclass
class Deal:
    """A deal, with values in v2 shapes."""

    id: int
    title: str
    owner_id: int
    creator_user_id: int
    pipeline_id: int
    stage_id: int
    add_time: datetime
    update_time: datetime
    value: float = 0
    currency: str = "EUR"
    status: str = "open"
    person_id: int | None = None
    org_id: int | None = None
    stage_change_time: datetime | None = None
    won_time: datetime | None = None
    lost_time: datetime | None = None
    close_time: datetime | None = None
    first_won_time: datetime | None = None
    lost_reason: str | None = None
    expected_close_date: str | None = None
    probability: float | None = None
    label_ids: list[int] = field(default_factory=list)
    origin: str = "API"
    origin_id: str | None = None
    channel: int | None = None
    channel_id: str | None = None
    acv: float | None = None
    arr: float | None = None
    mrr: float | None = None
    has_products: bool = False
    visible_to: int = 3
    is_archived: bool = False
    archive_time: datetime | None = None
    is_deleted: bool = False
    source_lead_id: str | None = None
    custom_fields: dict[str, Any] = field(default_factory=dict)


@dataclass
class Lead:
    """A lead, with custom fields in v2 shapes (answers flatten them)."""

    id: str
    title: str
    owner_id: int
    creator_id: int
    add_time: datetime
    update_time: datetime
    person_id: int | None = None
    organization_id: int | None = None
    label_ids: list[str] = field(default_factory=list)
    value: dict[str, Any] | None = None
    expected_close_date: str | None = None
    origin: str = "API"
    origin_id: str | None = None
    source_name: str = "API"
    channel: int | None = None
    channel_id: str | None = None
    source_deal_id: int | None = None
    is_archived: bool = False
    was_seen: bool = False
    visible_to: int = 3
    is_deleted: bool = False
    custom_fields: dict[str, Any] = field(default_factory=dict)


Record = Person | Deal | Lead


@dataclass
class Note:
    """A note on a lead, deal, person or organization."""

    id: int
    content: str
    user_id: int
    add_time: datetime
    update_time: datetime
    lead_id: str | None = None
    deal_id: int | None = None
    person_id: int | None = None
    org_id: int | None = None
    pinned: dict[str, bool] = field(default_factory=dict)


@dataclass
class LeadLabel:
    """A label of leads: a UUID, other than the integer labels of deals and persons."""

    id: str
    name: str
    color: str
    add_time: datetime


@dataclass
class Conversion:
    """A job that turns a lead into a deal."""

    id: str
    lead_id: str
    stage_id: int
    user_id: int
    source: str
    created: datetime
    due: datetime
    status: str = "not_started"
    deal_id: int | None = None


@dataclass
class Subscription:
    """A webhook subscription of the app."""

    id: int
    company_id: int
    user_id: int
    owner_id: int
    client_id: str
    event_action: str
    event_object: str
    subscription_url: str
    name: str
    version: str
    http_auth_user: str | None
    http_auth_password: str | None
    add_time: datetime
    failures: int = 0
    failing_since: datetime | None = None
    banned_until: datetime | None = None
    remove_time: datetime | None = None
    remove_reason: str | None = None
    last_delivery_time: datetime | None = None
    last_http_status: int | None = None


@dataclass
class Installation:
    """The app, installed by one user of one company; ``scopes`` are those of the app at that moment (chapter 2.1)."""

    company_id: int
    user_id: int
    client_id: str
    scopes: set[str]
    is_alive: bool = True


@dataclass
class AuthorizationCode:
    """A code of five minutes, for one use."""

    code: str
    installation: Installation
    redirect_uri: str
    expires: datetime
    is_used: bool = False


@dataclass
class AccessToken:
    """A bearer token of about an hour."""

    token: str
    installation: Installation
    expires: datetime


@dataclass
class RefreshToken:
    """A refresh token; dies when unused for 60 days, or at once when exchanged under rotation."""

    token: str
    installation: Installation
    last_used: datetime
    is_exchanged: bool = False
    is_revoked: bool = False


@dataclass
class Company:
    """A tenant of the vendor with all that it owns."""

    id: int
    name: str
    domain: str
    default_currency: str = "EUR"
    country: str = "EE"
    plan: str = "Growth"
    seats: int = 1
    is_open: bool = True
    api_domain: str | None = None
    daily_budget: int | None = None
    open_deals_limit: int | None = None
    custom_fields_limit: int | None = None
    tokens_used: int = 0
    budget_day: str = ""
    users: dict[int, User] = field(default_factory=dict)
    fields: list[FieldDefinition] = field(default_factory=list)
    pipelines: dict[int, Pipeline] = field(default_factory=dict)
    stages: dict[int, Stage] = field(default_factory=dict)
    filters: dict[int, SavedFilter] = field(default_factory=dict)
    organizations: dict[int, Organization] = field(default_factory=dict)
    persons: dict[int, Person] = field(default_factory=dict)
    deals: dict[int, Deal] = field(default_factory=dict)
    leads: dict[str, Lead] = field(default_factory=dict)
    lead_labels: dict[str, LeadLabel] = field(default_factory=dict)
    notes: dict[int, Note] = field(default_factory=dict)
    conversions: dict[str, Conversion] = field(default_factory=dict)
    counters: dict[str, int] = field(default_factory=dict)

    def next_id(self, what: str) -> int:
        """Count up the ids of one kind of record in this company."""
        self.counters[what] = self.counters.get(what, 0) + 1
        return self.counters[what]

    def custom_fields(self, entity: str) -> Iterator[FieldDefinition]:
        """Walk the living custom fields of ``person`` or ``deal`` (``lead`` means those of ``deal``)."""
        wanted = "person" if entity == "person" else "deal"
        return (one for one in self.fields if one.entity == wanted and one.is_custom and not one.is_deleted)

    def field_by_code(self, entity: str, code: str) -> FieldDefinition | None:
        """Find a living field, custom or built in, by its code."""
        wanted = "person" if entity == "person" else "deal"
        for one in self.fields:
            if one.entity == wanted and one.code == code and not one.is_deleted:
                return one
        return None

    def stages_of(self, pipeline_id: int) -> list[Stage]:
        """List the living stages of a pipeline in their order."""
        stages = [one for one in self.stages.values() if one.pipeline_id == pipeline_id and not one.is_deleted]
        return sorted(stages, key=lambda one: one.order_nr)

    def default_pipeline(self) -> Pipeline:
        """Return the first living pipeline by order."""
        living = [one for one in self.pipelines.values() if not one.is_deleted]
        return min(living, key=lambda one: one.order_nr)


def visible(user: User, record: Record) -> bool:
    """Tell whether a user sees a record: ``visible_to`` 1 is for its owner and admins, all else for everybody.

    The vendor's visibility groups are finer; two levels are enough to show a connection that misses records.
    """
    return user.is_admin or record.visible_to != 1 or record.owner_id == user.id


@dataclass
class State:
    """Everything, with the clock that all of it lives by."""

    clock: Clock
    companies: dict[int, Company] = field(default_factory=dict)
    users: dict[int, User] = field(default_factory=dict)
    installations: list[Installation] = field(default_factory=list)
    codes: dict[str, AuthorizationCode] = field(default_factory=dict)
    access_tokens: dict[str, AccessToken] = field(default_factory=dict)
    refresh_tokens: dict[str, RefreshToken] = field(default_factory=dict)
    subscriptions: dict[int, Subscription] = field(default_factory=dict)
    counters: dict[str, int] = field(default_factory=dict)

    def now(self) -> datetime:
        """Return the sandbox's time, in UTC."""
        return self.clock().astimezone(UTC)

    def next_id(self, what: str, start: int = 0) -> int:
        """Count up the ids that are shared by all companies."""
        self.counters[what] = self.counters.get(what, start) + 1
        return self.counters[what]

    def unguessable(self, what: str) -> str:
        """Return 40 hexadecimal characters that no other call returns. Repeatable, so that failures can be read."""
        return hashlib.sha256(f"{what}:{self.next_id('unguessable')}".encode()).hexdigest()[:40]

    def new_uuid(self, what: str) -> str:
        """Return a UUID, repeatable for the same history."""
        return str(uuid.uuid5(uuid.NAMESPACE_OID, f"{what}:{self.next_id('uuid')}"))

    def only_company(self) -> Company:
        """Return the first company, which most tests have alone."""
        return next(iter(self.companies.values()))
