"""Tasks: the outbox. A fact and the tasks that follow from it commit in one transaction; workers take them from here.

States: ``available → running → done | failed | parked`` and back to ``available`` for another attempt; ``cancelled``
when a person or a newer task of the same ``unique_key`` makes it needless. A crash leaves ``running``; the next owner
of the lane puts it back.
"""

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from typing import Any, Literal

import msgspec
from sqlalchemy import (
    ColumnElement,
    Executable,
    and_,
    bindparam,
    delete,
    exists,
    func,
    literal_column,
    select,
    text,
    union_all,
    update,
)

from gateway.storage.columns import Json, UtcTime, new_id
from gateway.storage.engine import AsyncConnection, among, now_micros, now_parameter
from gateway.storage.lanes import AVAILABLE, PARKED, PRIORITIES, create_lanes
from gateway.storage.prepared import insert_into, now_of, prepared
from gateway.storage.tables import attempts, tasks
from gateway.storage.writer import touch


class NewTask(msgspec.Struct, frozen=True, kw_only=True):
    """A task to be stored.

    Attributes:
        kind: Names the handler.
        args: What the handler needs, JSON; ids rather than values.
        lane: ``vendor:{integration}:{identity}``, ``endpoint:{id}`` or ``internal``.
        priority: 0 signup, 1 inbound and qualification, 2 status write, 3 bulk.
        exclusive_key: Two tasks of one lane with the same key never run together.
        unique_key: At most one task waits under this key; storing another one is silently nothing.
        due_at: Not before; None is now.
        max_attempts: Attempts that count before the task fails.
    """

    kind: str
    args: dict[str, Any]
    lane: str
    account_id: str | None = None
    priority: int = 3
    exclusive_key: str | None = None
    unique_key: str | None = None
    due_at: datetime | None = None
    max_attempts: int = 12
    id: str = msgspec.field(default_factory=lambda: new_id("tsk"))


class Task(msgspec.Struct, frozen=True):
    """A task as it stands."""

    id: str
    kind: str
    args: dict[str, Any]
    account_id: str | None
    lane: str
    priority: int
    exclusive_key: str | None
    unique_key: str | None
    state: Literal["available", "running", "done", "failed", "cancelled", "parked"]
    attempt: int
    uncounted: int
    max_attempts: int
    due_at: datetime
    started_at: datetime | None
    steps: dict[str, Any] | None
    park_cause: str | None
    error: str | None
    created_at: datetime
    finished_at: datetime | None

    @property
    def tries(self) -> int:
        """Attempts that count, the one under way included."""
        return self.attempt - self.uncounted

    @property
    def is_last_try(self) -> bool:
        """Whether a counted failure of this attempt uses up the attempts."""
        return self.tries >= self.max_attempts


class Attempt(msgspec.Struct, frozen=True):
    """One try of a task: ``status`` is ``done``, ``lost`` (its process died) or what went wrong."""

    task_id: str
    number: int
    started_at: datetime
    duration_ms: int | None
    status: str | None
    error: str | None
    excerpt: str | None


TASK_COLUMNS = [tasks.c[name] for name in Task.__struct_fields__]
_ATTEMPT_COLUMNS = [attempts.c[name] for name in Attempt.__struct_fields__]

_WAITING = text("state = 'available' and unique_key is not null")  # literal: PostgreSQL must prove that the index fits


# --- storing ---------------------------------------------------------------------------------------


async def insert_tasks(conn: AsyncConnection, new: Sequence[NewTask], now: datetime) -> None:
    """Store tasks with the fact that they follow from, in two statements; workers wake when it is committed.

    A task whose ``unique_key`` is waiting already is left out. Times that are not given are the database's own, so a
    process whose clock is ahead delays nothing.

    Args:
        conn: The writer's connection.
        new: Any number of tasks.
        now: Written as the time of creation.
    """
    if not new:
        return
    if wrong := next((task for task in new if task.priority not in PRIORITIES), None):
        raise ValueError(f"priority {wrong.priority} of task kind {wrong.kind} is none of {PRIORITIES}")
    await create_lanes(conn, (task.lane for task in new))
    at = now_parameter(conn)
    rows = [
        {
            "id": task.id,
            "kind": task.kind,
            "args": task.args,
            "account_id": task.account_id,
            "lane": task.lane,
            "priority": task.priority,
            "exclusive_key": task.exclusive_key,
            "unique_key": task.unique_key,
            "max_attempts": task.max_attempts,
            "created_at": now,
            "due": task.due_at,
            "now": at,
        }
        for task in new
    ]
    await conn.execute(_insert(conn), rows)
    touch(conn, {task.lane for task in new})


@prepared
def _insert(dialect: str) -> Executable:
    due_at = func.coalesce(bindparam("due", type_=UtcTime), now_of(dialect))
    statement = insert_into(dialect, tasks).values(state="available", due_at=due_at)
    return statement.on_conflict_do_nothing(index_elements=[tasks.c.unique_key], index_where=_WAITING)


# --- parked and cancelled ----------------------------------------------------------------------------


async def park_available(
    conn: AsyncConnection,
    cause: str,
    error: str,
    *,
    lane: str | None = None,
    kind: str | None = None,
    account_id: str | None = None,
    ids: Collection[str] | None = None,
) -> int:
    """Park all waiting tasks that fit every given condition; return how many. At least one condition is needed."""
    chosen = _chosen(conn, lane=lane, kind=kind, account_id=account_id, ids=ids)
    parked = await conn.execute(
        update(tasks).where(AVAILABLE, chosen).values(state="parked", park_cause=cause, error=error)
    )
    return parked.rowcount


async def release_parked(conn: AsyncConnection, park_cause: str, limit: int = 500) -> int:
    """Make up to ``limit`` tasks parked for ``park_cause`` due now, oldest first; return how many left the park.

    Call again until it answers 0, each time in a transaction of its own: thousands of tasks then hold up nobody.
    """
    parked = and_(PARKED, tasks.c.park_cause == park_cause)
    ids = list((await conn.execute(select(tasks.c.id).where(parked).order_by(tasks.c.id).limit(limit))).scalars())
    if ids:
        await supersede(conn, ids)
        released = await conn.execute(
            update(tasks)
            .where(among(conn, tasks.c.id, ids), tasks.c.state == "parked")
            .values(state="available", park_cause=None, due_at=now_micros(conn))
            .returning(tasks.c.lane)
        )
        touch(conn, set(released.scalars()))
    return len(ids)


async def hasten(conn: AsyncConnection, unique_keys: Collection[str]) -> None:
    """Make tasks due now that wait under these keys for a later time; what runs, or is due already, stays as it is."""
    now = now_micros(conn)
    hastened = await conn.execute(
        update(tasks)
        .where(_WAITING, among(conn, tasks.c.unique_key, unique_keys), tasks.c.due_at > now)
        .values(due_at=now)
        .returning(tasks.c.lane)
    )
    touch(conn, set(hastened.scalars()))


async def cancel_tasks(
    conn: AsyncConnection,
    reason: str,
    *,
    kind: str | None = None,
    account_id: str | None = None,
    unique_key: str | None = None,
    park_cause: str | None = None,
    ids: Collection[str] | None = None,
) -> int:
    """Cancel waiting and parked tasks that fit every given condition; return how many. Running ones go on."""
    chosen = _chosen(conn, kind=kind, account_id=account_id, unique_key=unique_key, park_cause=park_cause, ids=ids)
    cancelled = await conn.execute(
        update(tasks)
        .where(tasks.c.state.in_(["available", "parked"]), chosen)
        .values(state="cancelled", error=reason, finished_at=now_micros(conn))
    )
    return cancelled.rowcount


async def supersede(conn: AsyncConnection, ids: Iterable[str]) -> None:
    """Cancel those of ``ids`` that may not wait: under their ``unique_key`` a newer task waits, or is about to.

    The task that stays goes on from the steps that a cancelled one had finished or begun.
    """
    ids = list(ids)
    columns = (tasks.c.id, tasks.c.unique_key, tasks.c.steps)
    with_key = select(*columns).where(among(conn, tasks.c.id, ids), tasks.c.unique_key.is_not(None))
    leaving = sorted(await conn.execute(with_key), key=lambda row: row.id)
    if not leaving:
        return
    waiting = select(*columns).where(_WAITING, among(conn, tasks.c.unique_key, {row.unique_key for row in leaving}))
    stays = {row.unique_key: row for row in [*leaving, *await conn.execute(waiting)]}
    cancelled = [row for row in leaving if stays[row.unique_key] is not row]
    if not cancelled:
        return
    await conn.execute(
        update(tasks)
        .where(among(conn, tasks.c.id, [row.id for row in cancelled]))
        .values(state="cancelled", error="superseded", finished_at=now_micros(conn))
    )
    steps = {stays[row.unique_key].id: row.steps for row in cancelled if row.steps and not stays[row.unique_key].steps}
    if steps:
        await conn.execute(
            update(tasks).where(tasks.c.id == bindparam("task")).values(steps=bindparam("new_steps", type_=Json)),
            [{"task": task, "new_steps": value} for task, value in steps.items()],
        )


def _chosen(conn: AsyncConnection, *, ids: Collection[str] | None, **equal: str | None) -> ColumnElement[bool]:
    conditions = [tasks.c[column] == value for column, value in equal.items() if value is not None]
    if ids is not None:
        conditions.append(among(conn, tasks.c.id, ids))
    if not conditions:
        raise ValueError("refusing to change every task: give at least one condition")
    return and_(*conditions)


# --- reading and pruning ---------------------------------------------------------------------------


async def get_task(conn: AsyncConnection, task_id: str) -> Task | None:
    """Return one task."""
    row = (await conn.execute(select(*TASK_COLUMNS).where(tasks.c.id == task_id))).one_or_none()
    return None if row is None else Task(*row)


async def list_attempts(conn: AsyncConnection, task_id: str) -> list[Attempt]:
    """Return the attempts of a task that have ended, oldest first."""
    rows = await conn.execute(
        select(*_ATTEMPT_COLUMNS).where(attempts.c.task_id == task_id).order_by(attempts.c.number)
    )
    return [Attempt(*row) for row in rows]


async def count_tasks(
    conn: AsyncConnection, *, lane: str | None = None, account_id: str | None = None
) -> dict[str, int]:
    """Return how many tasks are ``available``, ``running`` and ``parked``; the many finished ones are not counted."""
    narrowed = [
        tasks.c[name] == value for name, value in (("lane", lane), ("account_id", account_id)) if value is not None
    ]
    counts = []
    for state in ("available", "running", "parked"):  # a literal each, so that each count reads its partial index
        literal: ColumnElement[str] = literal_column(f"'{state}'")
        counted = select(literal.label("state"), func.count().label("tasks"))
        counts.append(counted.where(tasks.c.state == literal, *narrowed))
    return {row.state: row.tasks for row in await conn.execute(union_all(*counts))}


async def oldest_due(conn: AsyncConnection) -> datetime | None:
    """Return since when the task that has waited longest is due, lanes that are held or paused included."""
    statement = select(func.min(tasks.c.due_at)).where(AVAILABLE, tasks.c.due_at <= now_micros(conn))
    oldest: datetime | None = (await conn.execute(statement)).scalar_one()
    return oldest


async def prune_finished(conn: AsyncConnection, before: datetime, limit: int = 1_000) -> int:
    """Delete up to ``limit`` tasks that ended before ``before``, and their attempts; return how many."""
    ids = list((await conn.execute(select(tasks.c.id).where(tasks.c.finished_at < before).limit(limit))).scalars())
    if ids:
        await conn.execute(delete(attempts).where(among(conn, attempts.c.task_id, ids)))
        await conn.execute(delete(tasks).where(among(conn, tasks.c.id, ids)))
    return len(ids)


async def prune_excerpts(conn: AsyncConnection, before: datetime, limit: int = 1_000) -> int:
    """Forget what up to ``limit`` attempts older than ``before`` sent and were answered; return how many."""
    old = select(attempts.c.task_id, attempts.c.number).where(
        attempts.c.started_at < before, attempts.c.excerpt.is_not(None)
    )
    chosen = old.limit(limit).subquery()
    forgotten = await conn.execute(
        update(attempts)
        .where(exists().where(chosen.c.task_id == attempts.c.task_id, chosen.c.number == attempts.c.number))
        .values(excerpt=None)
    )
    return forgotten.rowcount
