"""The hooks of the Pipedrive integration; each delegates to the module that holds its idea."""

from collections.abc import Sequence

import msgspec

from gateway import hookimpl
from gateway.sdk.connection import Connection, Push, PushResult, StatusPush
from gateway.sdk.inbound import AppNotice, InboundRequest, Uninstalled, WebhookRegistration, require_basic_auth
from gateway.sdk.polling import ChangePage
from gateway_pipedrive import changes, connect, contacts, fields, options, polling, reads, signups, status, webhooks
from gateway_pipedrive.manifest import MANIFEST
from gateway_pipedrive.settings import PipedriveSettings
from gateway_schemas.connection import VendorAccount
from gateway_schemas.manifest import Manifest
from gateway_schemas.records import Field, NewField, Option, Record, RecordChange, RecordRef
from gateway_schemas.sync import ContactPage, ContactSelection


@hookimpl
def describe() -> Manifest:
    """Return the manifest."""
    return MANIFEST


@hookimpl
def settings_type() -> type[PipedriveSettings]:
    """Return the type of ``GATEWAY_PIPEDRIVE_*``."""
    return PipedriveSettings


@hookimpl
async def verify_connection(connection: Connection) -> VendorAccount:
    """Return company, user and limitations; see ``connect.verify``."""
    return await connect.verify(connection)


@hookimpl
async def disconnect(connection: Connection) -> dict[str, list[str]]:
    """Remove our subscriptions; see ``connect.disconnect``."""
    return await connect.disconnect(connection)


@hookimpl
async def list_fields(connection: Connection, record_kind: str) -> list[Field]:
    """Return every field of a record kind; see ``fields.list_fields``."""
    return await fields.list_fields(connection, record_kind)


@hookimpl
async def list_options(connection: Connection, source: str, parent: str | None) -> list[Option]:
    """Return pipelines, stages, filters, users or currencies; see ``options.list_options``."""
    return await options.list_options(connection, source, parent)


@hookimpl
async def create_field(connection: Connection, record_kind: str, field: NewField) -> Field:
    """Make a custom field, once; see ``fields.create_field``."""
    return await fields.create_field(connection, record_kind, field)


@hookimpl
async def push_signup(connection: Connection, push: Push) -> PushResult:
    """Write a signup; see the module ``signups``."""
    return await signups.push_signup(connection, push)


@hookimpl
async def push_status(connection: Connection, push: StatusPush) -> None:
    """Write values back to a record; see ``status.push_status``."""
    await status.push_status(connection, push)


@hookimpl
async def register_webhooks(connection: Connection, callback_url: str) -> list[WebhookRegistration]:
    """Leave exactly one healthy set of subscriptions; see ``webhooks.register``."""
    return await webhooks.register(connection, callback_url)


@hookimpl
def verify_webhook(connection: Connection, request: InboundRequest) -> None:
    """Check the Basic auth of a webhook: the vendor signs nothing."""
    require_basic_auth(request, webhooks.USER, connection.inbound_secret)


@hookimpl
def read_webhook(connection: Connection, request: InboundRequest) -> list[RecordChange]:
    """Return what a webhook says; see the module ``changes``."""
    payload = changes.read_payload(request.body)
    if payload is None:
        return []
    return changes.read_changes(payload, identity=connection.identity, user=connection.user)


@hookimpl
def webhook_id(request: InboundRequest) -> str | None:
    """Return the id of a message, the same for each of its attempts."""
    payload = changes.read_payload(request.body)
    return changes.message_id(payload) if payload is not None else None


@hookimpl
def verify_app_call(settings: PipedriveSettings, request: InboundRequest) -> None:
    """Check that an uninstall call proves the app's own client id and secret."""
    require_basic_auth(request, settings.client_id, settings.client_secret)


@hookimpl
def read_app_call(settings: PipedriveSettings, request: InboundRequest) -> list[AppNotice]:
    """Return which company and user removed the app; whether ids are numbers or strings is undocumented."""
    if request.method.upper() != "DELETE":
        return []
    try:
        notice = msgspec.json.decode(request.body, type=_UninstallCall)
    except msgspec.DecodeError:
        return []
    if notice.client_id is not None and notice.client_id != settings.client_id:
        return []
    return [Uninstalled(identity=str(notice.company_id), user=None if notice.user_id is None else str(notice.user_id))]


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
    """Return deals of a contact or of a lead; see ``reads.find_related``."""
    return await reads.find_related(connection, ref)


@hookimpl
async def read_contacts(connection: Connection, selection: ContactSelection, checkpoint: str | None) -> ContactPage:
    """Read one page of contacts; see ``contacts.read_contacts``."""
    return await contacts.read_contacts(connection, selection, checkpoint)


class _UninstallCall(msgspec.Struct, frozen=True):
    """The body of the uninstall call (``VENDOR.md``, chapter 2.5)."""

    company_id: int | str
    user_id: int | str | None = None
    client_id: str | None = None
