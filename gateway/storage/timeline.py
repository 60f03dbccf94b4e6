"""The timeline of a person: what happened, in words for people and in a stable word for programs."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import select

from gateway.storage.columns import new_ids, to_micros
from gateway.storage.engine import AsyncConnection, among
from gateway.storage.many import Rows, as_json
from gateway.storage.tables import timeline
from gateway_schemas.person import TimelineEntry

_ROWS = Rows(timeline, ("id", "person_id", "account_id", "at", "kind", "text", "data"))


class NewEntry(msgspec.Struct, frozen=True):
    """Something that happened to a person.

    Attributes:
        kind: Stable word, for example ``signup.accepted``.
        text: The same in a sentence for people.
        data: Ids and values that belong to it, JSON.
    """

    person_id: str
    account_id: str
    kind: str
    text: str
    data: dict[str, Any] = {}


async def people_with(conn: AsyncConnection, person_ids: Collection[str], kind: str) -> set[str]:
    """Return those of these people whose timeline has an entry of a kind."""
    statement = select(timeline.c.person_id).where(
        among(conn, timeline.c.person_id, person_ids), timeline.c.kind == kind
    )
    return set((await conn.execute(statement)).scalars())


async def add(conn: AsyncConnection, entries: Sequence[NewEntry], now: datetime) -> None:
    """Add entries, in this order, in one statement."""
    if not entries:
        return
    at = to_micros(now)
    rows = [
        (entry_id, one.person_id, one.account_id, at, one.kind, one.text, as_json(one.data))
        # ids of one call are in order, so that they keep the order in which things happened
        for one, entry_id in zip(entries, new_ids("tml", len(entries)), strict=True)
    ]
    await _ROWS.add(conn, rows)


async def of_person(conn: AsyncConnection, person_id: str, limit: int = 1_000) -> list[TimelineEntry]:
    """Return what happened to a person, oldest first; the newest ``limit`` entries."""
    statement = (
        select(timeline.c.at, timeline.c.kind, timeline.c.text, timeline.c.data)
        .where(timeline.c.person_id == person_id)
        .order_by(timeline.c.id.desc())
        .limit(limit)
    )
    found = [
        TimelineEntry(at=at, kind=kind, text=text, data=data) for at, kind, text, data in await conn.execute(statement)
    ]
    return found[::-1]
