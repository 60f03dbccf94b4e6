"""The hooks of the ServiceTitan integration; each delegates to the module that holds its idea."""

from collections.abc import Mapping, Sequence

from gateway import hookimpl
from gateway.sdk.connection import Connection, Push, PushResult
from gateway.sdk.inbound import AppNotice, InboundRequest
from gateway.sdk.polling import ChangePage
from gateway_schemas.base import FieldValue
from gateway_schemas.connection import VendorAccount
from gateway_schemas.manifest import Manifest
from gateway_schemas.records import Field, Option, Record, RecordRef
from gateway_schemas.sync import ContactPage, ContactSelection
from gateway_servicetitan import connect, contacts, existing, fields, options, polling, reads, signups, webhooks
from gateway_servicetitan.manifest import MANIFEST
from gateway_servicetitan.settings import ServiceTitanSettings


@hookimpl
def describe() -> Manifest:
    """Return the manifest."""
    return MANIFEST


@hookimpl
def settings_type() -> type[ServiceTitanSettings]:
    """Return the type of ``GATEWAY_SERVICETITAN_*``."""
    return ServiceTitanSettings


@hookimpl
async def verify_connection(connection: Connection, step: str) -> VendorAccount:
    """Prove the values of a connect form; see ``connect.verify``."""
    return await connect.verify(connection, step)


@hookimpl
async def disconnect(connection: Connection) -> dict[str, list[str]]:
    """Say what is to be done by hand; see ``connect.disconnect``."""
    return await connect.disconnect(connection)


@hookimpl
async def list_fields(connection: Connection, record_kind: str) -> list[Field]:
    """Return every field of a record kind; see ``fields.list_fields``."""
    return await fields.list_fields(connection, record_kind)


@hookimpl
async def list_options(connection: Connection, source: str, parent: str | None) -> list[Option]:
    """Return campaigns, business units, job types, priorities or job statuses; see ``options.list_options``."""
    return await options.list_options(connection, source, parent)


@hookimpl
async def push_signup(connection: Connection, push: Push) -> PushResult:
    """Write a signup; see the module ``signups``."""
    return await signups.push_signup(connection, push)


@hookimpl
def verify_app_call(settings: ServiceTitanSettings, request: InboundRequest) -> None:
    """Check the signature of a webhook; see ``webhooks.verify``."""
    webhooks.verify(settings, request)


@hookimpl
def read_app_call(request: InboundRequest) -> list[AppNotice]:
    """Return which records of which tenant a webhook is about; see ``webhooks.read``."""
    return webhooks.read(request)


@hookimpl
def webhook_id(request: InboundRequest) -> str | None:
    """Return the id of the occurrence that a webhook tells of."""
    return webhooks.message_id(request)


@hookimpl
async def poll_changes(connection: Connection, feed: str, checkpoint: str | None) -> ChangePage:
    """Read one page of a feed; see the module ``polling``."""
    return await polling.poll(connection, feed, checkpoint)


@hookimpl
async def read_records(connection: Connection, refs: Sequence[RecordRef]) -> list[Record]:
    """Read records again; see ``reads.read_records``."""
    return await reads.read_records(connection, refs)


@hookimpl
async def find_related(connection: Connection, ref: RecordRef) -> list[Record]:
    """Return the job of a booking; see ``reads.find_related``."""
    return await reads.find_related(connection, ref)


@hookimpl
async def find_contacts(connection: Connection, email: str) -> list[RecordRef]:
    """Return the customers with an e-mail address; see ``existing.find_contacts``."""
    return await existing.find_contacts(connection, email)


@hookimpl
async def read_contacts(connection: Connection, selection: ContactSelection, checkpoint: str | None) -> ContactPage:
    """Read one page of customers; see ``contacts.read_contacts``."""
    return await contacts.read_contacts(connection, selection, checkpoint)


@hookimpl
async def find_by_reference(
    connection: Connection, reference: str, values: Mapping[str, Mapping[str, FieldValue]]
) -> list[RecordRef]:
    """Return the bookings of one signup; see ``signups.find_by_reference``."""
    return await signups.find_by_reference(connection, reference, values)
