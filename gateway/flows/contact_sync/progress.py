"""Watch a contact sync: its state as it changes, until it has ended or the watcher goes away."""

import asyncio
from collections.abc import AsyncIterator

from gateway.flows.contact_sync import start
from gateway.flows.services import Services
from gateway.storage import syncs
from gateway_schemas.sync import Sync

LOOK_SECONDS = 0.5
QUIET_SECONDS = 15.0
"""After so long without a change the state is told again, so that nobody takes the stream for dead."""


async def watch(services: Services, account_id: str, campaign_id: str, sync_id: str) -> AsyncIterator[Sync]:
    """Return the states of a sync, the present one first; the last one is an ended state.

    Each look reads one row by its key, so many watchers cost little. The sync is looked for before the first state is
    given, so that a wrong id is answered as such.

    Raises:
        Refused: There is no such sync.
    """
    first = await start.find(services, account_id, campaign_id, sync_id)
    return _states(services, first)


async def _states(services: Services, first: Sync) -> AsyncIterator[Sync]:
    yield first
    last, quiet = first, 0.0
    while last.state not in ("completed", "cancelled"):
        await asyncio.sleep(LOOK_SECONDS)
        quiet += LOOK_SECONDS
        async with services.database.read() as conn:
            row = await syncs.get(conn, first.id)
        if row is None:
            return
        if row.updated_at == last.updated_at and quiet < QUIET_SECONDS:
            continue
        last, quiet = await start.find(services, first.account, first.campaign, first.id), 0.0
        yield last
