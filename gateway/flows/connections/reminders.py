"""Remind the host, once, of connections whose approval takes longer than it should."""

from datetime import datetime, timedelta

import structlog

from gateway.flows.connections.reauth import tell_host
from gateway.flows.services import Services
from gateway.storage import connections
from gateway.storage.engine import AsyncConnection
from gateway.storage.running import Periodic

LOOK_EVERY_SECONDS = 300.0

log = structlog.get_logger(__name__)


def periodic(services: Services) -> list[Periodic]:
    """Return the look for connections that have waited for longer than ``settings.approval_hours``."""

    async def remind(conn: AsyncConnection, now: datetime) -> None:
        since = now - timedelta(hours=services.settings.approval_hours)
        for row in await connections.remind(conn, since, now):
            await tell_host(conn, "connection.pending_approval", row, now, reminder=True)
            log.warning("connection.approval_overdue", connection_id=row.id, account_id=row.account_id)

    return [Periodic(key="remind_pending", every_seconds=LOOK_EVERY_SECONDS, make_tasks=remind)]
