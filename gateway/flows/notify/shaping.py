"""What an endpoint receives of an event: the envelope as it is, or what its integration makes of it."""

import msgspec
import structlog

from gateway.flows.notify.envelopes import as_endpoint, as_event
from gateway.flows.services import Services
from gateway.plugins import Integration
from gateway.sdk.connection import Connection
from gateway.storage import connections
from gateway.storage.endpoints import EndpointRow
from gateway.storage.events import EventRow

log = structlog.get_logger(__name__)


class Shaper:
    """Shapes events for one batch: opens each connection once."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._opened: dict[str, tuple[Integration, Connection] | None] = {}

    async def body(self, endpoint: EndpointRow, event: EventRow) -> bytes | None:
        """Return the bytes to send, serialised once; ``None`` when the integration leaves this event out.

        Raises:
            Exception: The integration failed over it.
        """
        envelope = as_event(event)
        shaper = await self._shaper(endpoint)
        if shaper is None:
            return msgspec.json.encode(envelope)
        integration, connection = shaper
        shaped = integration.hooks.shape_event(connection=connection, event=envelope, endpoint=as_endpoint(endpoint))
        return None if shaped is None else msgspec.json.encode(shaped)

    async def leaves_out(self, endpoint: EndpointRow, event: EventRow) -> bool:
        """Say whether the integration leaves this event out; if it fails over it, the delivery will tell."""
        if endpoint.connection_id is None:
            return False
        try:
            return await self.body(endpoint, event) is None
        except Exception:
            log.exception("event.not_shaped", endpoint_id=endpoint.id, event_id=event.id)
            return False

    async def _shaper(self, endpoint: EndpointRow) -> tuple[Integration, Connection] | None:
        owner = endpoint.connection_id
        if owner is None:
            return None
        if owner not in self._opened:
            self._opened[owner] = await self._open(owner)
        return self._opened[owner]

    async def _open(self, connection_id: str) -> tuple[Integration, Connection] | None:
        # imported when needed: opening a connection may have something to tell, and so needs notify, which needs us
        from gateway.flows.connections.opening import open_connection

        async with self._services.database.read() as conn:
            row = await connections.get(conn, connection_id)
        integration = None if row is None else self._services.integrations.get(row.integration)
        if row is None or integration is None or not integration.has("shape_event"):
            return None
        return integration, await open_connection(self._services, row)
