"""Which phase a contact sync is in, when it is done, and when an ongoing one looks again. Pure."""

from datetime import datetime, timedelta
from typing import Any

from gateway.plugins import Integration
from gateway.storage.connections import ConnectionRow
from gateway.storage.syncs import SyncRow

LOOK, HEALTHY_LOOK = timedelta(minutes=5), timedelta(minutes=15)
"""How often an ongoing sync reads what changed: without healthy webhooks, and with them, which tell it at once."""

WHOLE = timedelta(hours=24)
FILTERED = timedelta(hours=1)
"""How often an ongoing sync walks over everything: what left a filter shows by its absence alone."""

WALK_SHARE = 0.05
"""Share of a daily budget that repeated whole walks may use."""

HINTED = timedelta(seconds=20)
"""How long after a hint a filtered sync walks again, so that several hints cost one walk."""


def settled(row: SyncRow, now: datetime) -> dict[str, Any]:
    """Return what changes of a sync whose counts are exact: its phase, and whether it is done."""
    phase = phase_of(row, now)
    if phase != "done":
        return {} if phase == row.phase else {"phase": phase, "rate": None}
    values: dict[str, Any] = {"phase": "done", "rate": None}
    if row.ongoing:
        next_walk_at = row.next_walk_at if row.walk_started_at is not None else row.next_walk_at or now
        return values | {"state": "watching", "completed_at": row.completed_at or now, "next_walk_at": next_walk_at}
    return values | {"state": "completed", "completed_at": row.completed_at or now, "next_walk_at": None}


def going_on(row: SyncRow) -> dict[str, Any]:
    """Return what lets a sync go on from where it is."""
    state = "watching" if row.phase == "done" and row.ongoing else "running"
    return {"state": state, "cause": None, "message": None, "problems": []}


def phase_of(row: SyncRow, now: datetime) -> str:
    """Return the phase that follows from a sync's counts; a later walk does not lead back to reading."""
    if row.walk_started_at is not None and row.phase == "reading":
        return "reading"
    if row.to_write:
        return "writing_back"
    if row.links_outstanding and row.links_due_at is not None and now < row.links_due_at:
        return "awaiting_links"
    return "done"


def look_every(row: SyncRow, connection: ConnectionRow, integration: Integration, *, resumes: bool) -> timedelta:
    """Return how long an ongoing sync waits after a walk before it looks again by itself.

    Args:
        row: The sync.
        connection: Whether its webhooks are healthy.
        integration: What a walk costs.
        resumes: A later walk may read only what changed.
    """
    if not resumes:
        return full_walk_every(row, integration)
    return HEALTHY_LOOK if connection.webhooks == "healthy" else LOOK


def full_walk_every(row: SyncRow, integration: Integration) -> timedelta:
    """Return how often everything is walked over: never so often that it costs more than its share of the budget."""
    base = FILTERED if row.selection.filter is not None else WHOLE
    return max(base, paced(row, integration))


def paced(row: SyncRow, integration: Integration) -> timedelta:
    """Return how far apart whole walks must lie, by what one costs of the vendor's daily budget."""
    limits = integration.manifest.rate_budget
    if limits is None or limits.daily is None:
        return timedelta(0)
    units = max(1, row.pages) * integration.manifest.contact_sync.read_units
    return timedelta(days=units / (limits.daily * WALK_SHARE))


def hinted_at(row: SyncRow, integration: Integration, now: datetime) -> datetime:
    """Return when a filtered sync walks again after a hint."""
    soon = now + HINTED
    return soon if row.walked_at is None else max(soon, row.walked_at + paced(row, integration))
