"""What a plugin is given for each call: the connection, and for pushes the signup's values and ``once``."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, Protocol

import msgspec
import structlog

from gateway.sdk.host import Host
from gateway.sdk.http import VendorHttp
from gateway_schemas.base import FieldValue
from gateway_schemas.manifest import Role
from gateway_schemas.records import Field, RecordRef


@dataclass(frozen=True, slots=True, kw_only=True)
class Connection:
    """An account's authorised link to one vendor tenant, as a plugin sees it.

    Attributes:
        id / account_id / integration: Ids of the gateway; the integration's key.
        identity: The vendor tenant's id; empty before the first verify.
        user: Id of the vendor user who authorised.
        properties: What ``verify_connection`` returned as properties, and ``api_domain`` of OAuth.
        granted: Scopes that were granted.
        settings: The plugin's own settings Struct.
        credentials: Values of all connect forms by the keys of their fields (Credentials scheme), decrypted.
        inbound_secret: Password for Basic auth or signature of this connection's webhooks; made by the host.
        webhook_secrets: What the vendor signs with where it makes that itself, by ``external_id`` of its subscriptions:
            see ``WebhookRegistration.secret``.
        currency: Of amounts that name none: the vendor tenant's, else the account's.
        country: The account's (ISO 3166-1 alpha-2).
        http: Client authorised by a token or the headers of ``Credentials.headers``; reaches the manifest's hosts only.
        host: What a plugin may ask of the gateway, for this account.
        now: The clock.
        log: Logger, bound to account and connection.
    """

    id: str
    account_id: str
    integration: str
    identity: str
    user: str | None
    properties: Mapping[str, str]
    granted: frozenset[str]
    settings: Any
    credentials: Mapping[str, str] = field(repr=False)
    inbound_secret: str = field(repr=False)
    currency: str
    country: str | None
    http: VendorHttp = field(repr=False)
    host: Host = field(repr=False)
    now: Callable[[], datetime]
    log: structlog.typing.FilteringBoundLogger = field(repr=False)
    webhook_secrets: Mapping[str, str] = field(default_factory=dict, repr=False)


How = Literal["created", "matched", "updated"]


class PushedRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A record that a push made or found.

    Attributes:
        ref: Kind and the vendor's id.
        how: ``created``, ``matched`` (found and left alone) or ``updated`` (found and written to).
        url: Where a person can look at it.
    """

    ref: RecordRef
    how: How
    url: str | None = None


Find = Callable[[datetime], Awaitable[PushedRecord | None]]
Create = Callable[[], Awaitable[PushedRecord]]


class Once(Protocol):
    """Run one step of a push at most once, whatever happens in between."""

    async def __call__(self, step: str, *, find: Find, create: Create) -> PushedRecord:
        """Return the step's record: remembered, found, or created.

        A finished step is remembered and neither called again. A step *in doubt* (an earlier attempt
        began it and read no full answer) waits until the manifest's ``settle_seconds`` have passed since
        that attempt began, then calls ``find``; only a miss calls ``create``.

        Args:
            step: Name of the step: the record kind that it makes, and the same in each attempt. Each record of a push
                needs a name of its own (``line_1``, ``line_2``).
            find: Looks for what an earlier attempt may have made; gets the time when that attempt began.
                It must see fresh writes: never a search index that lags.
            create: Makes the record: exactly one write call.

        Raises:
            StepNamedTwice: This push has used the name for another record already; nothing is written.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class Push:
    """A signup on its way into a CRM; values and reference are frozen at the first attempt.

    Attributes:
        reference: The person's id in the gateway; unique, sent wherever the vendor has room for it.
        values: Mapped values, defaults and referrer details by record kind and field key.
        fields: The mapped fields by record kind as last seen, for their types; a plugin reads what is missing itself.
        code: The person's referral code, to recognise a record of ours by it.
        email: Normalised e-mail of the person.
        role / campaign_name: In which role of which campaign the person signed up.
        target / target_options / duplicates: As the setup says.
        known: Records that we already know for this e-mail on this connection, newest first.
        existing: Vendor contacts with this e-mail, oldest first, as they were before the first write: from the contact
            index and ``find_contacts`` (vendors without a search by e-mail).
        existing_complete: The index was complete, or ``find_contacts`` found some. Else the signup waited for as long
            as it may, and the timeline says that nobody could check.
        once: Runs a step at most once.
    """

    reference: str
    role: Role
    campaign_name: str
    email: str
    values: Mapping[str, Mapping[str, FieldValue]]
    target: str
    target_options: Mapping[str, str]
    duplicates: str
    known: tuple[RecordRef, ...] = ()
    existing: tuple[RecordRef, ...] = ()
    existing_complete: bool = True
    fields: Mapping[str, Sequence[Field]] = field(default_factory=dict)
    code: str | None = None
    once: Once


class PushResult(msgspec.Struct, frozen=True, kw_only=True):
    """What a push did.

    Attributes:
        records: Every record of the signup, in the order in which it was made or found.
        others: More contacts with the same e-mail, named in the timeline.
        cannot_qualify: A sentence when this signup cannot qualify (an existing contact that was skipped).
        notes: Sentences for the timeline.
    """

    records: list[PushedRecord]
    others: list[RecordRef] = []
    cannot_qualify: str | None = None
    notes: list[str] = []


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusPush:
    """The newest link and counts of a person, to be written to its record.

    Attributes:
        reference: The person's id in the gateway.
        record: The record to write to.
        values: Field key to value; only fields that the setup maps.
        fields: The mapped fields as last seen, for their types; a plugin reads what is missing itself.
    """

    reference: str
    record: RecordRef
    values: Mapping[str, FieldValue]
    fields: Sequence[Field] = ()
