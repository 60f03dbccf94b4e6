"""The whole common hook spec: what a CRM or automation integration can implement.

One small Protocol class a *capability*. A plugin is a module (or object) whose functions carry
``@hookimpl`` and the names below; it takes the parameters it names and leaves out what it cannot do:
a capability that is not implemented is simply not offered. ``def`` hooks are pure; ``async def``
hooks may do I/O through ``connection.http`` alone.

Every hook has one result (``firstresult``): each integration lives in a plugin manager of its own.
Errors are the other half of the protocol: see ``gateway.sdk.errors``.

The spec grows by addition. ``SPEC_VERSION`` counts incompatible changes; the host runs this version
and the one before.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import pluggy

from gateway.sdk.connection import Connection, Push, PushResult, StatusPush
from gateway.sdk.inbound import AppNotice, InboundRequest, WebhookRegistration
from gateway.sdk.polling import ChangePage
from gateway.sdk.routes import Route
from gateway.sdk.subjects import EventSubjects
from gateway_schemas.base import FieldValue
from gateway_schemas.connection import VendorAccount
from gateway_schemas.events import Endpoint, Event
from gateway_schemas.manifest import Manifest
from gateway_schemas.records import Field, NewField, Option, Record, RecordChange, RecordRef
from gateway_schemas.sync import ContactPage, ContactSelection

SPEC_VERSION = 1
SUPPORTED_VERSIONS = frozenset({1})

hookspec = pluggy.HookspecMarker("gateway")


class Describes(Protocol):
    """Every integration says what it is."""

    @hookspec(firstresult=True)
    def describe(self) -> Manifest:
        """Return the manifest: what to ask, map and watch, as data. Called once, at discovery."""
        ...

    @hookspec(firstresult=True)
    def settings_type(self) -> type[Any]:
        """Return the msgspec Struct of the plugin's own settings, read from ``GATEWAY_{KEY}_*``."""
        ...


class Connects(Protocol):
    """Joins an account to a vendor tenant."""

    @hookspec(firstresult=True)
    async def verify_connection(self, connection: Connection, step: str) -> VendorAccount:
        """Prove the credentials and say whom we are connected as.

        Args:
            connection: Not active yet; its client is authorised already, by the token or the headers that the manifest
                names.
            step: Key of the connect step that was just completed.

        Returns:
            The tenant's identity, name, granted scopes and limitations.

        Raises:
            Rejected: With one problem a wrong field of the step's form, or naming the missing scope.
            ReauthRequired: The vendor refused the credentials.
        """
        ...

    @hookspec(firstresult=True)
    async def disconnect(self, connection: Connection) -> dict[str, list[str]]:
        """Remove at the vendor what we registered there.

        The host revokes the tokens afterwards.

        Returns:
            ``{"removed": […], "by_hand": […]}``: sentences for the receipt.
        """
        ...


class ListsFields(Protocol):
    """Shows the account's fields and lists in pickers."""

    @hookspec(firstresult=True)
    async def list_fields(self, connection: Connection, record_kind: str) -> list[Field]:
        """Return every field of the record kind, built-in and custom, every page of them."""
        ...

    @hookspec(firstresult=True)
    async def list_options(self, connection: Connection, source: str, parent: str | None) -> list[Option]:
        """Return the options of a source of the manifest (pipelines, stages, filters, users).

        Args:
            connection: An active connection.
            source: Key of an option source.
            parent: Value of the option that they belong to (the pipeline of stages); ``None``: all.
        """
        ...

    @hookspec(firstresult=True)
    async def create_field(self, connection: Connection, record_kind: str, field: NewField) -> Field:
        """Make a custom field at the vendor and return it.

        Raises:
            Rejected: The vendor refused (plan limit, missing scope): say so in words for people.
        """
        ...


class TakesSignups(Protocol):
    """Writes signups into the CRM."""

    @hookspec(firstresult=True)
    async def push_signup(self, connection: Connection, push: Push) -> PushResult:
        """Write one signup: each write inside ``await push.once(step, find=…, create=…)``.

        Args:
            connection: An active connection.
            push: The frozen values, the reference, the target and the duplicate policy.

        Returns:
            The records, each created, matched or updated.

        Raises:
            MappingBroken: A mapped field, stage or option is gone.
            Rejected: The vendor refused these values for good.
        """
        ...


class TakesStatuses(Protocol):
    """Writes a person's link and counts back into the CRM."""

    @hookspec(firstresult=True)
    async def push_status(self, connection: Connection, push: StatusPush) -> None:
        """Write the newest values to the record; writing the same again must be harmless.

        Raises:
            RecordGone: The record is not there any more.
            MappingBroken: A mapped field is gone.
        """
        ...


class SendsWebhooks(Protocol):
    """The vendor calls us for one connection."""

    @hookspec(firstresult=True)
    async def register_webhooks(self, connection: Connection, callback_url: str) -> list[WebhookRegistration]:
        """Leave exactly one healthy set of subscriptions, however often this is called.

        Called after connecting, daily and after gaps. Give the vendor ``connection.inbound_secret`` to sign with; where
        it makes a secret itself, return that with the registration, and find it in ``connection.webhook_secrets``.

        Raises:
            NotSupported: This connection may not subscribe (a scope is missing); polls take over.
        """
        ...

    @hookspec(firstresult=True)
    def verify_webhook(self, connection: Connection, request: InboundRequest) -> None:
        """Check the call's signature or Basic auth; do nothing else.

        Raises:
            InvalidSignature: It is missing or wrong.
        """
        ...

    @hookspec(firstresult=True)
    def read_webhook(self, connection: Connection, request: InboundRequest) -> list[RecordChange]:
        """Return what the call says has changed; an unknown payload is an empty list."""
        ...

    @hookspec(firstresult=True)
    def webhook_id(self, request: InboundRequest) -> str | None:
        """Return the vendor's own id of this message for de-duplication; ``None``: the host hashes the body."""
        ...


class AppCalls(Protocol):
    """The vendor calls the app as a whole: uninstalls, one webhook URL for all tenants."""

    @hookspec(firstresult=True)
    def verify_app_call(self, settings: Any, request: InboundRequest) -> None:
        """Check that the call comes from the vendor.

        Raises:
            InvalidSignature: It does not.
        """
        ...

    @hookspec(firstresult=True)
    def read_app_call(self, settings: Any, request: InboundRequest) -> list[AppNotice]:
        """Return what the call says, each notice with the vendor identity it concerns."""
        ...


class Polls(Protocol):
    """Reads feeds of changes that webhooks may have missed."""

    @hookspec(firstresult=True)
    async def poll_changes(self, connection: Connection, feed: str, checkpoint: str | None) -> ChangePage:
        """Read one page of a feed of the manifest.

        Args:
            connection: An active connection.
            feed: Key of the feed.
            checkpoint: The value of the page before; ``None`` at the beginning. Opaque, at most 16 KiB.
        """
        ...


class Reads(Protocol):
    """Reads records again: the state of the record decides."""

    @hookspec(firstresult=True)
    async def read_records(self, connection: Connection, refs: Sequence[RecordRef]) -> list[Record]:
        """Return the records that exist, each authoritative; missing ones are left out.

        Args:
            connection: An active connection.
            refs: At most ``manifest.read_batch``.
        """
        ...

    @hookspec(firstresult=True)
    async def find_related(self, connection: Connection, ref: RecordRef) -> list[Record]:
        """Return what came of this record or belongs to it (deals of a lead, deals of a contact), archived too."""
        ...


class FindsContacts(Protocol):
    """Searches contacts by e-mail, beside a contact index."""

    @hookspec(firstresult=True)
    async def find_contacts(self, connection: Connection, email: str) -> list[RecordRef]:
        """Return the contacts with this e-mail by the vendor's own search; asked before a signup's first write.

        For vendors with a contact index: what the search finds counts beside the index and becomes ``push.existing``.
        While the index is being built, a signup that the search finds waits no longer; an empty answer does not count
        as "no contact", since a search may lag behind the records, and leaves the signup waiting.

        Args:
            connection: An active connection.
            email: Normalised e-mail of the person.

        Raises:
            NotSupported: This account or plan may not search; the index alone decides.
        """
        ...


class FindsReferences(Protocol):
    """Finds what carries a reference of ours: a daily check tells people of records that were made twice."""

    @hookspec(firstresult=True)
    async def find_by_reference(
        self, connection: Connection, reference: str, values: Mapping[str, Mapping[str, FieldValue]]
    ) -> list[RecordRef]:
        """Return every record that carries the reference of one push (``push.reference``), one call or few.

        Args:
            connection: An active connection.
            reference: As the push had it.
            values: The values that it sent, by record kind and field (``push.values``).

        Raises:
            NotSupported: This account cannot be searched by reference.
        """
        ...


class ReadsContacts(Protocol):
    """Reads contacts for contact sync."""

    @hookspec(firstresult=True)
    async def read_contacts(
        self, connection: Connection, selection: ContactSelection, checkpoint: str | None
    ) -> ContactPage:
        """Read one page of contacts.

        Args:
            connection: An active connection.
            selection: All contacts, or those of one saved filter.
            checkpoint: The value of the page before; ``None`` at the beginning. Opaque, at most 16 KiB.

        Returns:
            The contacts with their mapped fields, and the next checkpoint. With the last page, where possible, a
            ``resume`` from which a later walk reads only what changed since this one began, a little overlapping.

        Raises:
            MappingBroken: The saved filter is gone: name the field ``filter``.
        """
        ...


class Observes(Protocol):
    """Shapes events for an automation's endpoints."""

    @hookspec(firstresult=True)
    def shape_event(
        self, connection: Connection, event: Event, endpoint: Endpoint, subjects: EventSubjects
    ) -> dict[str, Any] | None:
        """Return the JSON body for this endpoint, or ``None`` to leave the event out.

        Samples come from the same call (``connection.host.sample_bodies``), so their keys cannot differ.

        Args:
            connection: The connection that owns the endpoint.
            event: What happened; ``data`` as ``gateway_schemas.event_data`` has it.
            endpoint: The subscription, with the event types and filters that it was made with.
            subjects: Whom and what the event is about, as they stand now.
        """
        ...


class Serves(Protocol):
    """Serves HTTP routes of its own under ``/v1/apps/{integration}/``."""

    @hookspec(firstresult=True)
    def routes(self) -> list[Route]:
        """Return the routes; the host authenticates, checks the scope, decodes and encodes."""
        ...


class Hooks(
    Describes, Connects, ListsFields, TakesSignups, TakesStatuses, SendsWebhooks, AppCalls, Polls, Reads,
    FindsContacts, FindsReferences, ReadsContacts, Observes, Serves, Protocol,
):  # fmt: skip
    """All capabilities joined: the spec that plugins are checked against."""


CAPABILITIES: tuple[type, ...] = (
    Describes, Connects, ListsFields, TakesSignups, TakesStatuses, SendsWebhooks, AppCalls, Polls, Reads,
    FindsContacts, FindsReferences, ReadsContacts, Observes, Serves,
)  # fmt: skip
