"""What becomes of contact syncs when their connection ends, and when the account connects to the same vendor again."""

from collections.abc import Sequence
from datetime import datetime

from gateway.flows.contact_sync.drift import check_task
from gateway.flows.contact_sync.phases import going_on
from gateway.flows.contact_sync.tasks import page_task, settle_task, write_task
from gateway.storage import syncs
from gateway.storage.connections import ConnectionRow
from gateway.storage.engine import AsyncConnection
from gateway.storage.tasks import insert_tasks

DISCONNECTED = (
    "The CRM was disconnected. When the account connects to the same one again, the sync goes on from where it is."
)


async def pause_all(conn: AsyncConnection, connection: ConnectionRow, now: datetime) -> None:
    """Pause the syncs of a connection that ends, so that people see why nothing moves."""
    for row in await syncs.in_states(conn, ["running", "watching"], connection_id=connection.id):
        values = {"state": "paused", "cause": "disconnected", "message": DISCONNECTED}
        await syncs.change(conn, row.id, values, now)


async def adopt(
    conn: AsyncConnection, connection: ConnectionRow, previous: Sequence[ConnectionRow], now: datetime
) -> None:
    """Let the syncs of earlier connections to the same vendor tenant go on over a new one."""
    for sync_id in await syncs.adopt(conn, [one.id for one in previous], connection.id, now):
        row = await syncs.lock(conn, sync_id)
        if row is None:
            continue
        await syncs.change(conn, row.id, going_on(row), now)
        tasks = [settle_task(row), check_task(connection)]
        if row.walk_started_at is not None:
            tasks.append(page_task(row))
        if row.to_write:
            tasks.append(write_task(row))
        await insert_tasks(conn, tasks, now)
    # what completed before may have values that came late, and that waited while nothing was connected
    completed = await syncs.in_states(conn, ["completed"], connection_id=connection.id)
    await insert_tasks(conn, [write_task(row) for row in completed if row.to_write], now)
