"""How a connection is doing: its calls, its budget, and what waits for it."""

from gateway.flows.connections.budget import units_left
from gateway.flows.contact_index import walking
from gateway.flows.services import Services
from gateway.storage import connections, contact_index, lanes, tasks
from gateway.storage.connections import ConnectionRow
from gateway_schemas.connection import Health


async def health_of(services: Services, row: ConnectionRow) -> Health:
    """Return how a connection is doing; of one that was never active only what was heard."""
    held, waiting, parked, left, index = None, 0, 0, None, None
    if row.identity is not None and row.activated_at is not None:
        lane_id = connections.lane(row)
        integration = services.integrations.get(row.integration)
        limits = integration.manifest.rate_budget if integration is not None else None
        async with services.database.read() as conn:
            lane = await lanes.get_lane(conn, lane_id)
            counts = await tasks.count_tasks(conn, lane=lane_id, account_id=row.account_id)
            left = await units_left(services, conn, lane_id, limits) if row.state == "active" else None
            if integration is not None and row.state != "disconnected":
                found = await contact_index.find(conn, row)
                index = walking.shown(services, row, integration.manifest, found)
        held = lane.held if lane is not None else None
        waiting, parked = counts["available"] + counts["running"], counts["parked"]
    webhooks = row.webhooks if row.state == "active" else "unavailable"
    return Health(
        last_good_call_at=row.last_good_call_at,
        last_webhook_at=row.last_webhook_at,
        last_error=row.last_error,
        webhooks=webhooks,
        budget_left=left,
        held=held,
        waiting_tasks=waiting,
        parked_tasks=parked,
        contact_index=index,
    )
