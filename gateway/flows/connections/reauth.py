"""A connection whose credentials the vendor refuses: its traffic is held, the host is told, and nothing is lost.

Also where every change of a connection's state becomes an event.
"""

from datetime import datetime

import structlog

from gateway.flows.notify.publishing import NewEvent, publish
from gateway.storage import connections, lanes, tasks
from gateway.storage.connections import ConnectionRow
from gateway.storage.engine import AsyncConnection
from gateway_schemas.event_data import ConnectionData
from gateway_schemas.events import EventType

log = structlog.get_logger(__name__)


async def mark_needs_reauth(conn: AsyncConnection, row: ConnectionRow, reason: str, now: datetime) -> None:
    """Hold the traffic of an active connection until a person authorises again; repeating it changes nothing.

    Args:
        conn: The writer's connection.
        row: The connection, as read at any time before.
        reason: What the vendor refused, in words for people; no secrets.
        now: The time.
    """
    marked = await connections.change(
        conn, row.id, states=["active"], state="needs_reauth", reason=reason[:500], state_since=now
    )
    if marked is None:
        return
    await stop_traffic(conn, marked, "needs_reauth")
    await tell_host(conn, "connection.needs_reauth", marked, now)
    log.warning("connection.needs_reauth", connection_id=row.id, account_id=row.account_id, integration=row.integration)


async def stop_traffic(conn: AsyncConnection, row: ConnectionRow, cause: str) -> None:
    """Hold the connection's lane; where another account shares it, park this account's tasks instead."""
    if row.identity is None:
        return
    lane = connections.lane(row)
    if await connections.count_on_lane(conn, row) == 0:
        await lanes.hold(conn, lane, cause)
    else:
        await tasks.park_available(conn, park_cause(row), cause, lane=lane, account_id=row.account_id)


def park_cause(row: ConnectionRow) -> str:
    """Return under which cause tasks of a connection wait that shares its lane with another account."""
    return f"connection:{row.integration}:{row.account_id}"


async def start_traffic(conn: AsyncConnection, row: ConnectionRow) -> None:
    """Let the connection's lane run again, with all that waits in it."""
    await lanes.unhold(conn, connections.lane(row))
    while await tasks.release_parked(conn, park_cause(row)):
        pass


async def tell_host(
    conn: AsyncConnection, event: EventType, row: ConnectionRow, now: datetime, *, reminder: bool = False
) -> None:
    """Publish an event about a connection as it stands."""
    data = ConnectionData(
        connection=row.id,
        integration=row.integration,
        state=row.state,
        identity=row.identity,
        name=row.name,
        reason=row.reason,
        since=row.state_since,
        reminder=reminder,
    )
    await publish(conn, [NewEvent(type=event, account_id=row.account_id, person_id=None, data=data)], now)
