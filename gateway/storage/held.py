"""Held signups: accepted, with nowhere to go yet."""

from datetime import datetime

import msgspec
from sqlalchemy import ColumnElement, func, select

from gateway.storage.engine import AsyncConnection
from gateway.storage.people import COLUMNS, PersonRow, row_of
from gateway.storage.tables import people


class Held(msgspec.Struct, frozen=True, kw_only=True):
    """Which held signups are meant.

    Attributes:
        since: Signed up then or later.
        held_since: Held then or later; null: however long.
    """

    account_id: str
    campaign_id: str | None = None
    role: str | None = None
    since: datetime | None = None
    held_since: datetime | None = None


HELD_CAUSES = ("no_connection", "no_setup")


def _held(which: Held) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = [
        people.c.account_id == which.account_id,
        people.c.crm == "held",
        people.c.crm_cause.in_(HELD_CAUSES),
        people.c.signed_up,
    ]
    if which.campaign_id is not None:
        conditions.append(people.c.campaign_id == which.campaign_id)
    if which.role is not None:
        conditions.append(people.c.role == which.role)
    if which.since is not None:
        conditions.append(people.c.signed_up_at >= which.since)
    if which.held_since is not None:
        conditions.append(people.c.crm_since >= which.held_since)
    return conditions


async def held(conn: AsyncConnection, which: Held, *, after: str = "", limit: int = 500) -> list[PersonRow]:
    """Return one batch of held signups by id, nobody else changing them until the commit."""
    statement = select(*COLUMNS).where(*_held(which), people.c.id > after).order_by(people.c.id).limit(limit)
    return [row_of(row) for row in await conn.execute(statement.with_for_update())]


async def count_held(conn: AsyncConnection, which: Held) -> dict[tuple[str, str], int]:
    """Return how many signups are held, by campaign and role."""
    statement = (
        select(people.c.campaign_id, people.c.role, func.count())
        .where(*_held(which))
        .group_by(people.c.campaign_id, people.c.role)
    )
    return {(campaign, role): number for campaign, role, number in await conn.execute(statement)}
