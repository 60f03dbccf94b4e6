"""Store people as signups bring them: new ones inserted, known ones completed, whole lists at once."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import bindparam, update
from sqlalchemy.sql.dml import ReturningInsert

from gateway.storage.engine import AsyncConnection
from gateway.storage.people import PersonRow
from gateway.storage.prepared import insert_into, prepared
from gateway.storage.tables import people
from gateway.storage.upsert import AlreadyThere

COMPLETED = (
    "email", "email_hash", "first_name", "last_name", "phone", "external_id", "code", "link", "fields", "source",
    "signed_up", "test", "state", "crm", "crm_cause", "crm_since", "referrer_id", "signed_up_at", "accepted_at",
    "updated_at",
)  # fmt: skip
"""Columns that a signup may fill or change of a person who is there already."""


async def store(conn: AsyncConnection, new: Sequence[PersonRow], changed: Sequence[PersonRow]) -> bool:
    """Insert new people and complete known ones; return False, with nothing written, if another process was first.

    The caller then looks again and decides anew. On SQLite nobody else can be first: the transaction holds the write
    lock.
    """
    if conn.dialect.name == "sqlite":
        if len(await _insert(conn, new)) != len(new):
            raise RuntimeError("people were refused as duplicates although nobody else writes")
        await _complete(conn, changed)
        return True
    savepoint = await conn.begin_nested()
    try:
        inserted = await _insert(conn, new)
        if len(inserted) == len(new):
            await _complete(conn, changed)
            await savepoint.commit()
            return True
    except AlreadyThere:
        pass
    await savepoint.rollback()
    return False


async def _insert(conn: AsyncConnection, new: Sequence[PersonRow]) -> set[str]:
    if not new:
        return set()
    rows = [{name: getattr(row, name) for name in PersonRow.__struct_fields__} for row in new]
    rows.sort(
        key=lambda row: (row["account_id"], row["campaign_id"], row["role"], row["email_hash"] or "", row["id"])
    )  # no deadlocks
    return set((await conn.execute(_new(conn), rows)).scalars())


@prepared
def _new(dialect: str) -> ReturningInsert[Any]:
    return insert_into(dialect, people).on_conflict_do_nothing().returning(people.c.id)


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
