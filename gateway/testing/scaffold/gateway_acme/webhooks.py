"""Webhooks: one subscription a connection, each message signed with the connection's secret."""

import hashlib
import hmac

from gateway.sdk.connection import Connection
from gateway.sdk.errors import InvalidSignature
from gateway.sdk.inbound import InboundRequest, WebhookRegistration
from gateway_acme.client import Client

SIGNATURE = "x-acme-signature"


async def register(connection: Connection, callback_url: str) -> list[WebhookRegistration]:
    """Leave exactly one subscription of ours, with this URL."""
    client = Client(connection)
    ours = [row async for row in client.rows("/webhooks") if connection.id in row["url"]]
    kept = next((row for row in ours if row["url"] == callback_url), None)
    if kept is None:
        kept = await client.create("/webhooks", {"url": callback_url, "secret": connection.inbound_secret})
    for row in ours:
        if row["id"] != kept["id"]:
            await client.remove(f"/webhooks/{row['id']}")
    return [WebhookRegistration(external_id=kept["id"], subject="deals")]


async def remove(connection: Connection) -> dict[str, list[str]]:
    """Remove our subscription."""
    client = Client(connection)
    ours = [row["id"] async for row in client.rows("/webhooks") if connection.id in row["url"]]
    for one in ours:
        await client.remove(f"/webhooks/{one}")
    removed = ["The webhook in Acme."] if ours else []
    return {"removed": removed, "by_hand": ["Delete the API access for referrals under Settings in Acme."]}


def verify(connection: Connection, request: InboundRequest) -> None:
    """Check the signature over the body.

    Raises:
        InvalidSignature: It is missing or wrong.
    """
    wanted = hmac.new(connection.inbound_secret.encode(), request.body, hashlib.sha256).hexdigest()
    if not hmac.compare_digest(request.headers.get(SIGNATURE, "").encode(), wanted.encode()):
        raise InvalidSignature("the signature is missing or wrong")
