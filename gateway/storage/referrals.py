"""Referrals that are still open: which of them are to be looked at again, and how many of a referrer's qualified."""

from collections.abc import Collection, Mapping
from datetime import datetime

import msgspec
from sqlalchemy import ColumnElement, and_, bindparam, exists, func, or_, select, update

from gateway.storage.engine import AsyncConnection, among
from gateway.storage.tables import links, people, rewards


class Watched(msgspec.Struct, frozen=True, kw_only=True):
    """Which referrals of a connection are open.

    Attributes:
        ruled: Campaigns with a qualification rule: their pending referrals are open.
        reversible: Campaigns whose rule lets the CRM take a qualification back until its reward is issued.
        valued: Campaigns with a sale value that may be missing still.
        since: Qualified ones are looked at no longer than since this time, unless a reward is held.
    """

    account_id: str
    connection_id: str
    ruled: Collection[str]
    reversible: Collection[str]
    valued: Collection[str]
    since: datetime


async def due_for_sweep(conn: AsyncConnection, watched: Watched, before: datetime, limit: int) -> list[str]:
    """Return open referrals that were not looked at since ``before``, those that waited longest first."""
    statement = (
        select(people.c.id)
        .where(*_open(conn, watched), _not_since(before))
        .order_by(func.coalesce(people.c.swept_at, 0), people.c.id)
        .limit(limit)
    )
    return list((await conn.execute(statement)).scalars())


async def any_due_for_sweep(conn: AsyncConnection, watched: Watched, before: datetime) -> bool:
    """Say whether an open referral was not looked at since ``before``."""
    return bool((await conn.execute(select(exists().where(*_open(conn, watched), _not_since(before))))).scalar_one())


async def mark_swept(conn: AsyncConnection, person_ids: Collection[str], now: datetime) -> None:
    """Note that these people's records were looked at."""
    if person_ids:
        await conn.execute(update(people).where(among(conn, people.c.id, person_ids)).values(swept_at=now))


async def count_qualified(conn: AsyncConnection, changes: Mapping[str, int], now: datetime) -> None:
    """Add to how many qualified people each referrer brought; in one order everywhere, so that nobody deadlocks."""
    rows = [{"referrer": person, "number": changes[person]} for person in sorted(changes) if changes[person]]
    if rows:
        await conn.execute(
            update(people)
            .where(people.c.id == bindparam("referrer"))
            .values(qualified=people.c.qualified + bindparam("number"), updated_at=now),
            rows,
        )


def _not_since(before: datetime) -> ColumnElement[bool]:
    return or_(people.c.swept_at.is_(None), people.c.swept_at <= before)


def _open(conn: AsyncConnection, watched: Watched) -> list[ColumnElement[bool]]:
    of_connection = exists().where(links.c.person_id == people.c.id, links.c.connection_id == watched.connection_id)
    pending = and_(
        people.c.state == "pending", people.c.cannot_qualify.is_(None), people.c.campaign_id.in_(list(watched.ruled))
    )
    owed = rewards.c.referred_id == people.c.id
    recent = people.c.qualified_at >= watched.since
    decided = people.c.state.in_(["qualified", "disqualified"])
    reversible = and_(
        decided,
        people.c.campaign_id.in_(list(watched.reversible)),
        or_(recent, exists().where(owed, rewards.c.state.in_(["held", "due"]))),
        ~exists().where(owed, rewards.c.state == "issued"),
    )
    settling = and_(people.c.state == "qualified", exists().where(owed, rewards.c.state == "held"))
    unvalued = and_(
        people.c.state == "qualified",
        people.c.sale_amount.is_(None),
        people.c.campaign_id.in_(list(watched.valued)),
        recent,
    )
    return [
        people.c.account_id == watched.account_id,
        people.c.role == "referred",
        people.c.crm == "linked",
        people.c.manual.is_(False),
        or_(pending, reversible, settling, unvalued),
        of_connection,
    ]
