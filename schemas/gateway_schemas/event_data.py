"""The ``data`` of each event type, one Struct a shape: flows build them, receivers may decode with them.

Ids are the gateway's (``per_…``, ``con_…``) except ``campaign`` and ``external_id``, the host's own.
Every key is always present, null when it is not known; shapes grow by addition.
"""

from datetime import datetime
from decimal import Decimal
from typing import Any, get_args

from gateway_schemas.base import HostId, Money, Output
from gateway_schemas.campaign import SetupProblem
from gateway_schemas.connection import ConnectionState
from gateway_schemas.events import EventType
from gateway_schemas.manifest import Role
from gateway_schemas.person import Counts, LinkedRecord
from gateway_schemas.records import RecordRef


class SignupData(Output, frozen=True, kw_only=True):
    """``signup.*``: a person joined a campaign, and what became of it in the CRM.

    Attributes:
        person: The person's id.
        referrer: Id of the person who referred; null for a referrer or an unreferred signup.
        connection: The CRM connection that it went, or would go, to; null when there is none.
        records: ``signup.delivered``: the CRM records that were made or found.
        cause: ``signup.refused``, ``held`` and ``parked``: a stable word, for example ``no_connection``.
        message: The same in a sentence for people, with what to do.
    """

    person: str
    campaign: HostId
    role: Role
    email: str | None
    first_name: str | None
    last_name: str | None
    external_id: str | None
    code: str | None
    link: str | None
    referrer: str | None
    source: str | None
    test: bool
    connection: str | None = None
    records: list[LinkedRecord] = []
    cause: str | None = None
    message: str | None = None


class ReferralData(Output, frozen=True, kw_only=True):
    """``referral.qualified`` and ``referral.disqualified``.

    Attributes:
        person: The referred person.
        rule: Key of the trigger that was met or taken back; null by hand.
        record: The CRM record that decided; null by hand.
        seen: What was seen of it, for example ``{"stage": "14", "won": null}``.
        sale_value: The value of the sale as known now; may follow later as ``sale.recorded`` or ``sale.updated``.
        manual: A person or the host decided, not the CRM.
        reason: In words, for a manual decision or a reversal.
    """

    person: str
    campaign: HostId
    referrer: str | None
    external_id: str | None = None
    rule: str | None = None
    record: RecordRef | None = None
    seen: dict[str, Any] = {}
    sale_value: Money | None = None
    manual: bool = False
    reason: str | None = None
    test: bool = False


class SaleData(Output, frozen=True, kw_only=True):
    """``sale.recorded`` and ``sale.updated``: always the whole new value; ``amount`` is a JSON string."""

    sale: str
    person: str
    campaign: HostId
    amount: Decimal
    currency: str
    external_reference: str
    referrer: str | None = None
    origin: str = "host"


class RewardData(Output, frozen=True, kw_only=True):
    """``reward.*``: ``amount`` is a JSON string; null together with ``currency`` while it is not known.

    Attributes:
        rule: Key of the reward rule of the campaign.
        reason: Why it was cancelled or issued, where somebody said so.
    """

    reward: str
    rule: str
    referrer: str
    referred: str
    campaign: HostId
    amount: Decimal | None
    currency: str | None
    state: str
    sale_reference: str | None = None
    reason: str | None = None


class ImportedPerson(Output, frozen=True, kw_only=True):
    """One contact that became a referrer, or was one already."""

    person: str
    email: str | None
    first_name: str | None
    last_name: str | None
    code: str | None
    link: str | None
    record: RecordRef
    created: bool


class ContactsImportedData(Output, frozen=True, kw_only=True):
    """``contacts.imported``: up to 100 people of one contact sync."""

    sync: str
    campaign: HostId
    connection: str
    people: list[ImportedPerson]


class SyncData(Output, frozen=True, kw_only=True):
    """``sync.*``: a contact sync began or ended."""

    sync: str
    campaign: HostId
    connection: str
    state: str
    seen: int = 0
    imported: int = 0
    refused: int = 0
    message: str | None = None


class StatsData(Output, frozen=True, kw_only=True):
    """``referrer.stats_updated``: coalesced; the counts are the newest."""

    person: str
    campaign: HostId
    code: str | None
    counts: Counts
    link: str | None = None
    external_id: str | None = None


class ConnectionData(Output, frozen=True, kw_only=True):
    """``connection.*``.

    Attributes:
        reason: Why, in words, for ``needs_reauth`` and ``disconnected``.
        since: Since when it is in this state.
        reminder: ``pending_approval`` comes a second time, once, when the approval takes longer than it should.
    """

    connection: str
    integration: str
    state: ConnectionState
    identity: str | None
    name: str | None
    reason: str | None = None
    since: datetime | None = None
    reminder: bool = False


class SetupData(Output, frozen=True, kw_only=True):
    """``setup.needs_attention``: what is wrong with the setup of one campaign and role, or with a contact sync.

    Attributes:
        sync: The contact sync whose mapping it is; null for a setup.
    """

    campaign: HostId
    role: Role
    connection: str
    problems: list[SetupProblem]
    sync: str | None = None


class EndpointData(Output, frozen=True, kw_only=True):
    """``endpoint.disabled`` (and ``endpoint.test``, which one endpoint alone receives).

    Attributes:
        reason: ``gone`` (it answered 410), ``failing`` (five days of failures), ``manual`` or ``test``.
    """

    endpoint: str
    url: str
    reason: str


EventData = (
    SignupData
    | ReferralData
    | SaleData
    | RewardData
    | ContactsImportedData
    | SyncData
    | StatsData
    | ConnectionData
    | SetupData
    | EndpointData
)

_BY_NOUN: dict[str, type[Output]] = {
    "signup": SignupData,
    "referral": ReferralData,
    "sale": SaleData,
    "reward": RewardData,
    "contacts": ContactsImportedData,
    "referrer": StatsData,
    "sync": SyncData,
    "connection": ConnectionData,
    "setup": SetupData,
    "endpoint": EndpointData,
}

DATA: dict[str, type[Output]] = {name: _BY_NOUN[name.partition(".")[0]] for name in get_args(EventType)}
"""Event type to the Struct of its ``data``."""
