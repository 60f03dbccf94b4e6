"""Events and endpoints as others see them, and which endpoint asked for which event. Pure."""

from typing import Any

from gateway.storage.endpoints import EndpointRow
from gateway.storage.events import EventRow
from gateway_schemas.events import Endpoint, Event


def as_event(row: EventRow) -> Event:
    """Return the envelope: what is sent, and what the pull feed shows."""
    return Event(
        id=row.id,
        type=row.type,
        version=row.version,
        occurred_at=row.occurred_at,
        account=row.account_id,
        sequence=row.sequence,
        data=row.data,
    )


def as_endpoint(row: EndpointRow, secret: str | None = None) -> Endpoint:
    """Return an endpoint as the API and plugins see it; ``secret`` only when it was just made."""
    return Endpoint(
        id=row.id,
        url=row.url,
        event_types=row.event_types,
        account=row.account_id,
        description=row.description,
        state=row.state,
        disabled_reason=row.disabled_reason,
        failing_since=row.failing_since,
        created_at=row.created_at,
        last_position=row.last_position,
        previous_secret_until=row.previous_secret_until,
        connection=row.connection_id,
        filters=row.filters or {},
        secret=secret,
    )


def wants(endpoint: EndpointRow, event: EventRow) -> bool:
    """Say whether an endpoint asked for this event: by account, type, and the filters of a subscription."""
    if endpoint.account_id not in (None, event.account_id):
        return False
    if endpoint.event_types and event.type not in endpoint.event_types:
        return False
    return all(_fits(event.data.get(key), wanted) for key, wanted in (endpoint.filters or {}).items())


def _fits(value: Any, wanted: Any) -> bool:
    if wanted in (None, "", []):  # an empty choice in a form does not narrow
        return True
    return value in wanted if isinstance(wanted, list) else value == wanted
