"""What an endpoint receives of an event: the envelope as it is, or what its integration makes of it."""

from collections.abc import Sequence
from typing import Any

import msgspec
import structlog

from gateway.flows.notify import subjects
from gateway.flows.notify.envelopes import as_endpoint, as_event
from gateway.flows.services import Services
from gateway.plugins import Integration
from gateway.sdk.connection import Connection
from gateway.sdk.subjects import EventSubjects
from gateway.storage import connections
from gateway.storage.endpoints import EndpointRow
from gateway.storage.events import EventRow

log = structlog.get_logger(__name__)


class Shaper:
    """Shapes events for one batch: opens each connection once, and reads whom the events are about once."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._opened: dict[str, tuple[Integration, Connection] | None] = {}
        self._subjects: dict[str, EventSubjects] = {}

    async def prepare(self, events: Sequence[EventRow]) -> None:
        """Read at once whom these events are about; one that was not prepared is read when it is shaped."""
        new = [event for event in events if event.id not in self._subjects]
        if new:
            self._subjects |= await subjects.of_events(self._services, new)

    async def body(self, endpoint: EndpointRow, event: EventRow) -> bytes | None:
        """Return the bytes to send, serialised once; ``None`` when the integration leaves this event out.

        Raises:
            Exception: The integration failed over it.
        """
        shaper = await self._shaper(endpoint)
        if shaper is None:
            return msgspec.json.encode(as_event(event))
        shaped = await self._shape(shaper, endpoint, event)
        return None if shaped is None else msgspec.json.encode(shaped)

    async def shaped(self, endpoint: EndpointRow, event: EventRow) -> dict[str, Any] | None:
        """Return the body that an integration makes of an event, not serialised yet; ``None`` when it leaves it out."""
        shaper = await self._shaper(endpoint)
        return None if shaper is None else await self._shape(shaper, endpoint, event)

    async def leaves_out(self, endpoint: EndpointRow, event: EventRow) -> bool:
        """Say whether the integration leaves this event out; if it fails over it, the delivery will tell."""
        if endpoint.connection_id is None:
            return False
        try:
            shaper = await self._shaper(endpoint)
            return shaper is not None and await self._shape(shaper, endpoint, event) is None
        except Exception:
            log.exception("event.not_shaped", endpoint_id=endpoint.id, event_id=event.id)
            return False

    async def per_second(self, endpoint: EndpointRow) -> int | None:
        """Return how many events a second its integration lets go to one URL; ``None``: as many as it takes."""
        shaper = await self._shaper(endpoint)
        return None if shaper is None else shaper[0].manifest.deliveries_per_second

    async def _shape(
        self, shaper: tuple[Integration, Connection], endpoint: EndpointRow, event: EventRow
    ) -> dict[str, Any] | None:
        integration, connection = shaper
        await self.prepare([event])
        return integration.hooks.shape_event(
            connection=connection,
            event=as_event(event),
            endpoint=as_endpoint(endpoint),
            subjects=self._subjects[event.id],
        )

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
