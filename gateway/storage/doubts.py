"""Other pushes of one e-mail at one vendor tenant, and what their steps may have done without our knowing."""

from collections.abc import Collection
from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import Select, Text, and_, bindparam, literal, select, text

from gateway.storage.engine import AsyncConnection
from gateway.storage.prepared import one_of, prepared
from gateway.storage.tables import connections, people, pushes, tasks

NOT_THERE = ["waiting", "held", "refused"]
"""``crm`` of people whose push may still begin, or be in doubt."""


class OtherPush(msgspec.Struct, frozen=True, kw_only=True):
    """A push of another person with the same e-mail that is not in the CRM.

    Attributes:
        steps: What its task has done so far, or what an earlier one left.
        due_at: When its task goes on; null when none is on its way: parked, or ended for good.
    """

    person_id: str
    steps: dict[str, Any]
    due_at: datetime | None = None


async def shared_emails(conn: AsyncConnection, email_hashes: Collection[str]) -> dict[str, set[str]]:
    """Return who has these e-mails and is not in the CRM, in one statement: hash and ids of people.

    Most e-mails have one person, who has no others; ``other_pushes`` is for those that have more.
    """
    found: dict[str, set[str]] = {}
    for person, email_hash in await conn.execute(_shared(conn), {"hashes": list(email_hashes)}):
        found.setdefault(email_hash, set()).add(person)
    return found


@prepared
def _shared(dialect: str) -> Select[Any]:
    return select(people.c.id, people.c.email_hash).where(
        one_of(dialect, people.c.email_hash, "hashes"), people.c.crm.in_(NOT_THERE)
    )


async def other_pushes(conn: AsyncConnection, person_id: str, email_hash: str | None, lane: str) -> list[OtherPush]:
    """Return the pushes in a lane, with steps, of other people who have this e-mail, whatever campaign and role.

    One statement by indexes alone: people by e-mail, then for each their waiting task and what is kept of their push.
    """
    if email_hash is None:
        return []
    found = []
    for row in await conn.execute(_others(conn), {"person": person_id, "hash": email_hash, "lane": lane}):
        steps = row.waiting_steps or row.running_steps or row.kept_steps
        if steps:
            found.append(OtherPush(person_id=row.id, steps=steps, due_at=row.waiting_due or row.running_due))
    return found


@prepared
def _others(_dialect: str) -> Select[Any]:
    person_id, email_hash, lane = (bindparam(name, type_=Text) for name in ("person", "hash", "lane"))
    waiting, running = tasks.alias("waiting"), tasks.alias("running")
    key = literal("push:") + people.c.id
    # the states are literal, so that the partial indexes fit
    is_waiting = text("waiting.state = 'available' and waiting.unique_key is not null")
    # none runs beside us: what is marked so was left by a process that died, and goes on soon
    is_running = text("running.state = 'running'")
    vendor = literal("vendor:") + connections.c.integration + ":" + connections.c.identity
    kept = (
        select(pushes.c.person_id, pushes.c.steps)
        .join_from(pushes, connections, connections.c.id == pushes.c.connection_id)
        .join(people, people.c.id == pushes.c.person_id)
        .where(people.c.email_hash == email_hash, vendor == lane, pushes.c.steps.is_not(None))
        .subquery("kept")
    )
    return (
        select(
            people.c.id,
            waiting.c.steps.label("waiting_steps"), waiting.c.due_at.label("waiting_due"),
            running.c.steps.label("running_steps"), running.c.due_at.label("running_due"),
            kept.c.steps.label("kept_steps"),
        )
        .outerjoin_from(people, waiting, and_(waiting.c.unique_key == key, is_waiting, waiting.c.lane == lane))
        .outerjoin(running, and_(running.c.lane == lane, is_running, running.c.unique_key == key))
        .outerjoin(kept, kept.c.person_id == people.c.id)
        .where(
            people.c.email_hash == email_hash,
            people.c.id != person_id,
            people.c.crm.in_(NOT_THERE),
        )
    )  # fmt: skip
