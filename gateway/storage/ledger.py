"""The ledger: where a day's accepted signups are, counted from the people and, independently, from their tasks."""

from datetime import datetime

import msgspec
from sqlalchemy import ColumnElement, and_, case, exists, func, literal, or_, select, text

from gateway.storage.engine import AsyncConnection
from gateway.storage.tables import deliveries, people, tasks


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """Numbers of signups; ``lost`` wait for a task that is not there, which is a bug."""

    accepted: int
    delivered: int
    refused: int
    held: int
    parked: int
    under_way: int
    lost: int


def _has_task(state: str) -> ColumnElement[bool]:
    """Return whether the push of a person stands in this state; the states are literal, for the partial indexes."""
    key = literal("push:") + people.c.id
    if state == "available":  # there may be many: looked up one by one in the index of unique keys
        waits = text("tasks.state = 'available' and tasks.unique_key is not null")
        return exists(select(1).where(waits, tasks.c.unique_key == key))
    chosen = select(tasks.c.unique_key).where(text(f"tasks.state = '{state}'"), tasks.c.kind == "push_signup")
    return key.in_(chosen)


async def standing(conn: AsyncConnection, start: datetime, end: datetime, account_id: str | None) -> Standing:
    """Count the signups that were accepted from ``start`` to ``end``, of one account or of all."""
    day = and_(people.c.accepted_at >= start, people.c.accepted_at < end)
    if account_id is not None:
        day = and_(day, people.c.account_id == account_id)
    waiting = people.c.crm == "waiting"
    place = case(
        (people.c.crm.in_(["linked", "gone"]), "delivered"),
        (people.c.crm == "refused", "refused"),
        (people.c.crm == "held", "held"),
        (and_(waiting, _has_task("parked")), "parked"),
        (and_(waiting, or_(_has_task("available"), _has_task("running"))), "under_way"),
        else_="lost",
    )
    sorted_out = select(place.label("place")).where(day).subquery()
    rows = await conn.execute(select(sorted_out.c.place, func.count()).group_by(sorted_out.c.place))
    numbers: dict[str, int] = dict(rows.all())
    accepted = await conn.scalar(select(func.count()).select_from(people).where(day))
    return Standing(
        accepted=accepted or 0,
        **{name: numbers.get(name, 0) for name in ("delivered", "refused", "held", "parked", "under_way", "lost")},
    )


async def event_deliveries(
    conn: AsyncConnection, start: datetime, end: datetime, account_id: str | None
) -> dict[str, int]:
    """Count the deliveries of events that were made from ``start`` to ``end``, by state."""
    conditions = [deliveries.c.created_at >= start, deliveries.c.created_at < end]
    if account_id is not None:
        conditions.append(deliveries.c.account_id == account_id)
    rows = await conn.execute(select(deliveries.c.state, func.count()).where(*conditions).group_by(deliveries.c.state))
    return dict(rows.all())
