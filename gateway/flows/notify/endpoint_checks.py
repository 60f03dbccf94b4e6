"""An endpoint's secret and its test: give it a new secret while the old one still signs, and try it out."""

from datetime import timedelta

import msgspec

from gateway.errors import Refused, not_found
from gateway.flows.notify.deliver import live_secrets
from gateway.flows.notify.envelopes import as_endpoint
from gateway.flows.services import Services
from gateway.storage import endpoints, events
from gateway.storage.columns import new_id
from gateway.storage.endpoints import EndpointRow
from gateway.storage.engine import AsyncConnection
from gateway.webhooks.sending import send
from gateway.webhooks.signing import new_secret, sign
from gateway_schemas.event_data import EndpointData
from gateway_schemas.events import Endpoint, EndpointTest, Event, RotateInput


async def rotate(services: Services, row: EndpointRow, wanted: RotateInput) -> Endpoint:
    """Give an endpoint a new secret; the old one signs too until the grace period ends.

    Raises:
        Refused: ``rotation_under_way`` while an older secret still signs, unless forced.
    """
    now = services.clock.now()
    secret = new_secret()

    async def write(conn: AsyncConnection) -> EndpointRow | Refused | None:
        current = await endpoints.get(conn, row.id)
        if current is None:
            return None
        until = current.previous_secret_until
        if until is not None and now < until and not wanted.force:
            text = f"The secret before signs until {until:%Y-%m-%d %H:%M} UTC. Wait, or send force: true to end it now."
            return Refused("rotation_under_way", text)
        before = await services.vault.get(conn, row.id, "secret")
        if before is not None and wanted.grace_hours > 0:
            await services.vault.put(conn, row.id, "previous_secret", before, now)
        else:
            await services.vault.delete(conn, row.id, "previous_secret")
        await services.vault.put(conn, row.id, "secret", secret, now)
        grace = now + timedelta(hours=wanted.grace_hours) if wanted.grace_hours > 0 else None
        return await endpoints.change(conn, row.id, previous_secret_until=grace)

    answer = await services.database.writer.run(write)
    if isinstance(answer, Refused):
        raise answer
    if answer is None:
        raise not_found("endpoint", row.id)
    return as_endpoint(answer, secret)


async def test(services: Services, row: EndpointRow) -> EndpointTest:
    """Send an ``endpoint.test`` event to this endpoint alone, once and at once, and tell what came of it.

    The event is in no feed, is not tried again, and changes nothing about the endpoint.
    """
    event = Event(
        id=new_id("evt"),
        type="endpoint.test",
        version=events.VERSION,
        occurred_at=services.clock.now(),
        account=row.account_id or "-",
        sequence=0,
        data=msgspec.to_builtins(EndpointData(endpoint=row.id, url=row.url, reason="test")),
    )
    body = msgspec.json.encode(event)
    async with services.database.read() as conn:
        secrets = await live_secrets(services, conn, row)
    headers = sign(event.id, body, secrets, services.clock.wall())
    answer = await send(services.webhook_http, row.url, headers, body)
    return EndpointTest(
        id=event.id,
        delivered=answer.error is None,
        status=answer.status,
        duration_ms=answer.duration_ms,
        error=answer.error,
        excerpt=answer.excerpt,
    )
