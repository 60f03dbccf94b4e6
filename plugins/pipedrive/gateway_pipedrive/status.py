"""Write a person's newest values, such as link and counts, back to its record."""

from gateway.sdk.connection import Connection, StatusPush
from gateway.sdk.errors import NotSupported
from gateway_pipedrive.bodies import status_body
from gateway_pipedrive.client import Pipedrive
from gateway_pipedrive.errors import RefusedInput
from gateway_pipedrive.fields import writable_fields
from gateway_pipedrive.refusals import explain


async def push_status(connection: Connection, push: StatusPush) -> None:
    """Write the values; the same again is harmless.

    Raises:
        RecordGone: The record is deleted, merged away, converted (a lead), or not visible.
        MappingBroken: A mapped field is gone.
        NotSupported: Records of this kind take no values.
    """
    kind, record_id = push.record.kind, push.record.id
    if kind not in ("contact", "lead", "deal"):
        raise NotSupported(f"nothing is written back to a {kind}")
    if not push.values:
        return
    client = Pipedrive(connection)
    try:
        fields = await writable_fields(client, kind, push.values, push.fields)
        body = status_body(kind, push.values, fields, connection.currency)
        if not body:
            return
        if kind == "contact":
            await client.update_person(record_id, body)
        elif kind == "lead":
            await client.update_lead(record_id, body)
        else:
            await client.update_deal(record_id, body)
    except RefusedInput as refused:
        raise await explain(client, {kind: push.values}, refused) from refused
