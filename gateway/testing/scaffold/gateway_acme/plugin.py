"""The hooks of the Acme integration; what is left out is simply not offered."""

from collections.abc import Sequence

from gateway import hookimpl
from gateway.sdk.connection import Connection, Push, PushResult
from gateway.sdk.errors import Problem, Rejected
from gateway.sdk.inbound import InboundRequest, WebhookRegistration
from gateway.sdk.polling import ChangePage
from gateway_acme import reads, signups, webhooks
from gateway_acme.client import Client
from gateway_acme.manifest import MANIFEST
from gateway_acme.settings import AcmeSettings
from gateway_schemas.connection import VendorAccount
from gateway_schemas.manifest import Manifest
from gateway_schemas.records import Field, NewField, Option, Record, RecordChange, RecordRef
from gateway_schemas.sync import ContactPage, ContactSelection


@hookimpl
def describe() -> Manifest:
    """Return the manifest."""
    return MANIFEST


@hookimpl
def settings_type() -> type[AcmeSettings]:
    """Return the type of ``GATEWAY_ACME_*``."""
    return AcmeSettings


@hookimpl
async def verify_connection(connection: Connection, step: str) -> VendorAccount:
    """Say which tenant it is: claimed in the first step, proven in the last."""
    tenant = connection.credentials["tenant"]
    if step == "tenant":
        return VendorAccount(identity=tenant, name=f"Acme {tenant}")
    me = await Client(connection).get("/me")
    if me["tenant"] != tenant:
        message = f"This client id belongs to another tenant than {tenant}."
        raise Rejected(message, [Problem(field="values.client_id", message=message)])
    return VendorAccount(identity=tenant, name=me["name"], currency=me["currency"])


@hookimpl
async def disconnect(connection: Connection) -> dict[str, list[str]]:
    """Remove what we registered."""
    return await webhooks.remove(connection)


@hookimpl
async def list_fields(connection: Connection, record_kind: str) -> list[Field]:
    """Return every field."""
    rows = Client(connection).rows(f"/fields/{record_kind}")
    return [Field(key=row["key"], label=row["label"], type=row["type"], custom=row["custom"]) async for row in rows]


@hookimpl
async def list_options(connection: Connection, source: str, parent: str | None) -> list[Option]:
    """Return every stage, in the order that deals pass."""
    rows = [row async for row in Client(connection).rows(f"/{source}")]
    return [Option(value=row["id"], label=row["name"], rank=rank) for rank, row in enumerate(rows)]


@hookimpl
async def create_field(connection: Connection, record_kind: str, field: NewField) -> Field:
    """Make a custom field."""
    made = await Client(connection).create(f"/fields/{record_kind}", {"label": field.label, "type": field.type})
    return Field(key=made["key"], label=made["label"], type=made["type"], custom=True)


@hookimpl
async def push_signup(connection: Connection, push: Push) -> PushResult:
    """Write a signup; see the module ``signups``."""
    return await signups.push_signup(connection, push)


@hookimpl
async def register_webhooks(connection: Connection, callback_url: str) -> list[WebhookRegistration]:
    """Leave exactly one subscription; see the module ``webhooks``."""
    return await webhooks.register(connection, callback_url)


@hookimpl
def verify_webhook(connection: Connection, request: InboundRequest) -> None:
    """Check the signature."""
    webhooks.verify(connection, request)


@hookimpl
def read_webhook(connection: Connection, request: InboundRequest) -> list[RecordChange]:
    """Return which deal changed."""
    return reads.read_webhook(request.body)


@hookimpl
def webhook_id(request: InboundRequest) -> str | None:
    """Return the vendor's id of the message, where it is one that we know."""
    said = reads.read_message(request.body)
    return None if said is None else said.id


@hookimpl
async def poll_changes(connection: Connection, feed: str, checkpoint: str | None) -> ChangePage:
    """Return one page of changed deals."""
    return await reads.poll_changes(connection, checkpoint)


@hookimpl
async def read_records(connection: Connection, refs: Sequence[RecordRef]) -> list[Record]:
    """Read records again."""
    return await reads.read_records(connection, refs)


@hookimpl
async def read_contacts(connection: Connection, selection: ContactSelection, checkpoint: str | None) -> ContactPage:
    """Return one page of contacts."""
    return await reads.read_contacts(connection, checkpoint)
