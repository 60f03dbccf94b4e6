"""Store people as signups bring them: new ones inserted, known ones completed, whole lists at once."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from sqlalchemy import bindparam, update

from gateway.storage.engine import AsyncConnection
from gateway.storage.many import Rows
from gateway.storage.people import PersonRow
from gateway.storage.tables import people
from gateway.storage.upsert import AlreadyThere

COMPLETED = (
    "email", "email_hash", "first_name", "last_name", "phone", "external_id", "code", "link", "fields", "source",
    "signed_up", "test", "state", "crm", "crm_cause", "crm_since", "referrer_id", "signed_up_at", "accepted_at",
    "updated_at",
)  # fmt: skip
"""Columns that a signup may fill or change of a person who is there already."""

_ROWS = Rows(people, PersonRow.__struct_fields__, lambda statement: statement.on_conflict_do_nothing())


async def store(conn: AsyncConnection, new: Sequence[PersonRow], changed: Sequence[PersonRow]) -> bool:
    """Insert new people and complete known ones; return False, with nothing written, if another process was first.

    The caller then looks again and decides anew. On SQLite nobody else can be first: the transaction holds the write
    lock.
    """
    if conn.dialect.name == "sqlite":
        if await _insert(conn, new) != len(new):
            raise RuntimeError("people were refused as duplicates although nobody else writes")
        await _complete(conn, changed)
        return True
    savepoint = await conn.begin_nested()
    try:
        if await _insert(conn, new) == len(new):
            await _complete(conn, changed)
            await savepoint.commit()
            return True
    except AlreadyThere:
        pass
    await savepoint.rollback()
    return False


async def _insert(conn: AsyncConnection, new: Sequence[PersonRow]) -> int:
    # no deadlocks
    in_order = sorted(new, key=lambda row: (row.account_id, row.campaign_id, row.role, row.email_hash or "", row.id))
    return await _ROWS.add(conn, [_ROWS.row(person) for person in in_order])


async def _complete(conn: AsyncConnection, changed: Sequence[PersonRow]) -> None:
    if not changed:
        return
    statement = (
        update(people)
        .where(people.c.id == bindparam("b_id"))
        .values({name: bindparam(f"b_{name}", type_=people.c[name].type) for name in COMPLETED})
    )
    rows = [
        {"b_id": row.id, **{f"b_{name}": getattr(row, name) for name in COMPLETED}}
        for row in sorted(changed, key=lambda one: one.id)
    ]
    await conn.execute(statement, rows)


async def add_referrals(conn: AsyncConnection, numbers: Mapping[str, int], now: datetime) -> None:
    """Add to how many people each referrer brought."""
    if not numbers:
        return
    statement = (
        update(people)
        .where(people.c.id == bindparam("b_id"))
        .values(
            referrals=people.c.referrals + bindparam("b_number"),
            updated_at=bindparam("b_now", type_=people.c.updated_at.type),
        )
    )
    await conn.execute(
        statement, [{"b_id": person, "b_number": numbers[person], "b_now": now} for person in sorted(numbers)]
    )
