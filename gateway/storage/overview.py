"""Counts over the whole gateway for metrics and ``doctor``, cheap enough for every scrape; and those of one account."""

from collections.abc import Sequence
from datetime import datetime
from itertools import pairwise

from sqlalchemy import case, func, literal, select, text, union_all
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.storage.tables import connections, deliveries, inbound, lanes, people, tasks

Gauges = dict[str, tuple[str, str | None, dict[str, float]]]
"""Name to (help, label name or null, label value to number); the label value is "" where there is no label."""


async def counts(conn: AsyncConnection, now: datetime) -> Gauges:
    """Return the gauges of the metrics page. Live rows alone are counted, by partial indexes."""
    waiting = await conn.execute(
        select(tasks.c.kind, func.count()).where(tasks.c.state == "available").group_by(tasks.c.kind)
    )
    parked = await conn.scalar(select(func.count()).where(tasks.c.state == "parked"))
    running = await conn.scalar(select(func.count()).where(tasks.c.state == "running"))
    oldest = await conn.scalar(
        select(func.min(tasks.c.due_at)).where(tasks.c.state == "available", tasks.c.due_at <= now)
    )
    held_lanes = await conn.scalar(select(func.count()).where(lanes.c.held.is_not(None)))
    states = await conn.execute(select(connections.c.state, func.count()).group_by(connections.c.state))
    held = await conn.execute(
        select(people.c.crm_cause, func.count()).where(people.c.crm == "held").group_by(people.c.crm_cause)
    )
    unread = await conn.scalar(select(func.count()).where(inbound.c.read_at.is_(None)))
    out = await conn.execute(
        select(deliveries.c.state, func.count()).where(deliveries.c.state == "waiting").group_by(deliveries.c.state)
    )
    return {
        "tasks_waiting": ("Tasks that wait, by kind", "kind", dict(waiting.all())),
        "tasks_running": ("Tasks that run", None, {"": running or 0}),
        "tasks_parked": ("Tasks parked for a mapping or a contact index", None, {"": parked or 0}),
        "tasks_oldest_due_seconds": (
            "How long the oldest due task has waited",
            None,
            {"": (now - oldest).total_seconds() if oldest else 0},
        ),
        "lanes_held": ("Vendor tenants that need a person (re-authorisation)", None, {"": held_lanes or 0}),
        "connections": ("Connections by state", "state", dict(states.all())),
        "signups_held": ("Signups held, by cause", "cause", {cause or "unknown": number for cause, number in held}),
        "inbound_unread": ("Vendor calls stored and not read yet", None, {"": unread or 0}),
        "deliveries_waiting": ("Event deliveries under way", "state", dict(out.all())),
    }


# --- one account -----------------------------------------------------------------------------------------


async def people_by_campaign(
    conn: AsyncConnection, account_id: str, campaign_ids: Sequence[str]
) -> list[tuple[str, str, int, int]]:
    """Return campaign, role, how many people, and how many of them are qualified."""
    statement = (
        select(
            people.c.campaign_id,
            people.c.role,
            func.count(),
            func.sum(case((people.c.state == "qualified", 1), else_=0)),
        )
        .where(people.c.account_id == account_id, people.c.campaign_id.in_(campaign_ids))
        .group_by(people.c.campaign_id, people.c.role)
    )
    return [(campaign, role, number, int(done or 0)) for campaign, role, number, done in await conn.execute(statement)]


async def by_day(conn: AsyncConnection, account_id: str, starts: Sequence[datetime]) -> list[tuple[int, int, int]]:
    """Return signups, qualified referrals and refused signups of each day.

    Args:
        conn: Where to read.
        account_id: Whose.
        starts: When each day begins, and when the last one ends.
    """
    account = people.c.account_id == account_id
    # one look into the index a day: the days of a time zone are not all of one length
    signups = [
        select(
            literal(number),
            func.count(),
            func.coalesce(func.sum(case((people.c.crm == "refused", 1), else_=0)), 0),
        ).where(account, people.c.accepted_at >= begin, people.c.accepted_at < end)
        for number, (begin, end) in enumerate(pairwise(starts))
    ]
    qualified = [
        select(literal(number), func.count()).where(
            account,
            text("people.qualified_at is not null"),  # literal, so that the partial index is used
            people.c.qualified_at >= begin,
            people.c.qualified_at < end,
        )
        for number, (begin, end) in enumerate(pairwise(starts))
    ]
    days = [[0, 0, 0] for _ in starts[1:]]
    for day, number, refused in await conn.execute(union_all(*signups)):
        days[day][0], days[day][2] = number, int(refused)
    for day, number in await conn.execute(union_all(*qualified)):
        days[day][1] = number
    return [(number, done, failed) for number, done, failed in days]


async def parked(conn: AsyncConnection, account_id: str) -> list[tuple[str, int]]:
    """Return why tasks of an account are parked, and how many for each cause."""
    number = func.count()
    statement = (
        select(tasks.c.park_cause, number)
        .where(text("tasks.state = 'parked'"), tasks.c.account_id == account_id)
        .group_by(tasks.c.park_cause)
        .order_by(number.desc())
    )
    return [(cause or "", found) for cause, found in await conn.execute(statement)]


async def held(conn: AsyncConnection, account_id: str) -> list[tuple[str, int]]:
    """Return why signups of an account are held, and how many for each cause."""
    number = func.count()
    statement = (
        select(people.c.crm_cause, number)
        .where(text("people.crm = 'held'"), people.c.account_id == account_id)
        .group_by(people.c.crm_cause)
        .order_by(number.desc())
    )
    return [(cause or "", found) for cause, found in await conn.execute(statement)]
