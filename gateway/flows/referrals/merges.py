"""Let everything that belongs to a record which was merged away follow the survivor.

Whoever sees the merge first does it: a webhook, a feed, a sweep, or a contact sync.
"""

from collections.abc import Mapping
from datetime import datetime

from gateway.storage import facts, links, timeline
from gateway.storage.engine import AsyncConnection
from gateway.storage.timeline import NewEntry
from gateway_schemas.records import RecordRef


async def follow_merges(
    conn: AsyncConnection, account_id: str, connection_id: str, kind: str, merged: Mapping[str, str], now: datetime
) -> set[str]:
    """Carry links and facts over to the survivors; harmless to repeat.

    Args:
        conn: The writer's connection.
        account_id: Whose connection it is.
        connection_id: Where the records are.
        kind: Their kind.
        merged: Ids of survivors by the ids of the records that were merged into them; a survivor may itself be one that
            was merged away.
        now: The time.

    Returns:
        The people whose records moved.
    """
    concerned: set[str] = set()
    followed: set[str] = set()
    losers = set(merged)
    while losers:
        refs = [RecordRef(kind=kind, id=one) for one in sorted(losers)]
        whose: dict[str, set[str]] = {}
        for link in await links.by_records(conn, connection_id, refs):
            if link.gone_at is None:
                whose.setdefault(link.record_id, set()).add(link.person_id)
        for loser, who in sorted(whose.items()):  # others are nobody's, or were followed already
            await _follow(conn, account_id, connection_id, kind, loser, merged[loser], sorted(who), now)
            concerned |= who
        followed |= set(whose)
        losers = {merged[one] for one in whose} & set(merged) - followed
    return concerned


async def _follow(
    conn: AsyncConnection,
    account_id: str,
    connection_id: str,
    kind: str,
    loser: str,
    survivor: str,
    who: list[str],
    now: datetime,
) -> None:
    await links.follow_merge(conn, connection_id, kind, loser, survivor, now)
    await facts.follow_merge(conn, connection_id, kind, loser, survivor, who)
    text = f"{kind.capitalize()} {loser} was merged into {survivor} in the CRM; the signup follows it."
    data = {"from": RecordRef(kind=kind, id=loser), "to": RecordRef(kind=kind, id=survivor)}
    await timeline.add(conn, [NewEntry(person, account_id, "record.merged", text, data) for person in who], now)
