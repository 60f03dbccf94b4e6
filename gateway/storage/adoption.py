"""What an account has at a vendor tenant passes to its new connection to the same tenant: nothing is asked twice.

Setups, links and checkpoints, and with them what was seen of records and which of them qualified a referral.
"""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Table, exists, update

from gateway.storage import campaigns, checkpoints, links
from gateway.storage.connections import ConnectionRow
from gateway.storage.engine import AsyncConnection, among
from gateway.storage.tables import claims, pushes, record_states

__all__ = ["adopt"]


async def adopt(conn: AsyncConnection, row: ConnectionRow, previous: Sequence[ConnectionRow]) -> None:
    """Give all that belongs to the account's earlier connections to a new one to the same vendor tenant.

    Args:
        conn: The writer's connection.
        row: The new connection; it has its identity.
        previous: The account's disconnected connections to the same tenant, newest first.
    """
    if row.identity is None or not previous:
        return
    await campaigns.adopt(conn, row.account_id, row.integration, row.identity, row.id)
    await links.adopt(conn, row.account_id, row.integration, row.identity, row.id)
    await checkpoints.adopt(conn, previous[0].id, row.id)
    earlier = [one.id for one in previous]
    await _pass_on(conn, record_states, [record_states.c.record_kind, record_states.c.record_id], earlier, row.id)
    await _pass_on(conn, pushes, [pushes.c.person_id], earlier, row.id)
    key = [claims.c.account_id, claims.c.campaign_id, claims.c.record_kind, claims.c.record_id]
    await _pass_on(conn, claims, key, earlier, row.id)


async def _pass_on(conn: AsyncConnection, table: Table, key: Sequence[Any], earlier: Sequence[str], to: str) -> None:
    """Rename the connection in rows whose key the new one does not have; of several earlier ones the newest wins."""
    for old in earlier:  # one a statement: two old rows of one key would meet in the new connection
        other = table.alias()
        there = exists().where(other.c.connection_id == to, *[other.c[column.name] == column for column in key])
        await conn.execute(
            update(table).where(among(conn, table.c.connection_id, [old]), ~there).values(connection_id=to)
        )
