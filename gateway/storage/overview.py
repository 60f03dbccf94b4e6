"""Counts over the whole gateway for metrics and ``doctor``: cheap enough for every scrape."""

from datetime import datetime

from sqlalchemy import func, select
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
