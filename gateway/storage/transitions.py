"""The owner's side of a task's life: find what is due, take it, save its steps, finish it, put back what a crash left.

Each function takes a list and is given to ``Writer.submit``, so that all lanes of a process share one transaction. Each
checks first which leases still stand: a late owner changes nothing.
"""

import random
from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
from functools import cache
from typing import Any, Literal

import msgspec
from sqlalchemy import (
    BigInteger,
    Executable,
    Select,
    Text,
    TextClause,
    Update,
    bindparam,
    literal,
    select,
    text,
    update,
)
from sqlalchemy.sql.dml import ReturningUpdate

from gateway.storage.columns import Json
from gateway.storage.engine import NOW, AsyncConnection, among, insert, now_micros, now_parameter
from gateway.storage.lanes import INBOUND, PRIORITIES, RUNNING, SECOND, Lane, Lease, hold, owned
from gateway.storage.prepared import insert_into, now_of, one_of, prepared
from gateway.storage.tables import attempts, tasks
from gateway.storage.tasks import TASK_COLUMNS, Task, supersede
from gateway.storage.writer import touch

Apply = Callable[[AsyncConnection], Awaitable[None]]
"""Writes of a flow that commit in the same transaction as the task's new state."""


class Together(msgspec.Struct, frozen=True):
    """An ``Apply`` that many tasks of one transaction share: their items become one list and one call.

    Attributes:
        flow: Writes all items with set-wise statements. If one item is bad it raises, and is called again without it.
        item: What this task wants written.
    """

    flow: Callable[[AsyncConnection, Sequence[Any]], Awaitable[None]]
    item: Any

    async def __call__(self, conn: AsyncConnection) -> None:
        """Write this item alone."""
        await self.flow(conn, [self.item])


LANES_A_STATEMENT = 16
"""How many lanes one statement looks into for due tasks."""


class Take(msgspec.Struct, frozen=True):
    """Tasks of one lane to be marked as running."""

    lease: Lease
    ids: Sequence[str]


class Taken(msgspec.Struct, frozen=True):
    """What was taken; ``lane`` is None when it is lost."""

    lane: Lane | None
    tasks: Sequence[Task] = ()


class Steps(msgspec.Struct, frozen=True):
    """Finished steps of a task that runs."""

    task_id: str
    attempt: int
    lease: Lease
    steps: dict[str, Any]
    apply: Apply | None = None


class Finish(msgspec.Struct, frozen=True, kw_only=True):
    """The end of one attempt.

    Attributes:
        state: What becomes of the task; ``available`` means another attempt ``after_seconds`` from now.
        counts: False if the attempt uses up none.
        hold_cause: Hold the whole lane.
        applies: Writes of the flow, run in this order before the task's own; what is ``Together`` goes first.
        status: ``done`` or the class of the error.
    """

    task: Task
    lease: Lease
    state: Literal["done", "failed", "available", "parked"]
    status: str
    error: str | None = None
    after_seconds: float = 0.0
    counts: bool = True
    park_cause: str | None = None
    hold_cause: str | None = None
    applies: Sequence[Apply] = ()
    duration_ms: int = 0
    excerpt: str | None = None


class Wanted(msgspec.Struct, frozen=True):
    """How many tasks a lane has room for, and which exclusive keys are in use.

    Attributes:
        lane: Its id.
        room: How many tasks may start.
        exclusive: Keys of tasks that run.
        hears: Something inbound runs already; else its first task goes before the signups, of which a list may wait
            for minutes. So signups keep all places of the lane but one.
    """

    lane: str
    room: int
    exclusive: Collection[str] = ()
    hears: bool = False


class Found(msgspec.Struct, frozen=True):
    """Due tasks of a lane, in the order in which to start them."""

    ids: Sequence[str]
    more: bool  # there may be others


async def find_due_tasks(conn: AsyncConnection, wanted: Sequence[Wanted]) -> list[Found]:
    """Return due tasks a lane, priority and then age first, never two of one exclusive key; a read only.

    The first inbound task goes before all others where none runs.
    """
    found: list[Found] = []
    for start in range(0, len(wanted), LANES_A_STATEMENT):
        chunk = wanted[start : start + LANES_A_STATEMENT]
        parameters: dict[str, Any] = {"now": now_parameter(conn)}
        for index, want in enumerate(chunk):
            used = msgspec.json.encode(list(want.exclusive)).decode()
            parameters |= {f"lane{index}": want.lane, f"room{index}": want.room, f"used{index}": used}
        rows: list[list[Any]] = [[] for _ in chunk]
        for row in await conn.execute(_due_tasks(conn.dialect.name, len(chunk)), parameters):
            rows[row.wanted].append(row)
        found += [_choose(lane_rows, want) for lane_rows, want in zip(rows, chunk, strict=True)]
    return found


def _choose(rows: list[Any], want: Wanted) -> Found:
    chosen: list[str] = []
    used: set[str] = set()
    ordered = sorted(rows, key=lambda row: (row.priority, row.due_at, row.id))
    if not want.hears and (first := next((row for row in ordered if row.priority == INBOUND), None)) is not None:
        ordered = [first, *(row for row in ordered if row is not first)]
    for row in ordered:
        if len(chosen) < want.room and row.exclusive_key not in used:
            chosen.append(row.id)
            if row.exclusive_key is not None:
                used.add(row.exclusive_key)
    return Found(chosen, more=len(rows) >= want.room)


@cache
def _due_tasks(dialect: str, lanes: int) -> TextClause:
    """Build the statement that reads the head of every (lane, priority) straight from ix_tasks_due.

    Text, since its size depends on the number of lanes and Core would build hundreds of objects for each call.
    One ``ORDER BY priority, due_at`` a lane would read through all tasks of a better priority that wait for a retry.
    """
    used = {
        "sqlite": "SELECT value FROM json_each(:used{lane})",
        "postgresql": "SELECT json_array_elements_text(CAST(:used{lane} AS json))",
    }
    head = """
        SELECT * FROM (
            SELECT {lane} AS wanted, id, exclusive_key, priority, due_at FROM tasks
            WHERE lane = :lane{lane} AND state = 'available' AND priority = {priority} AND due_at <= <now>
              AND (exclusive_key IS NULL OR exclusive_key NOT IN (<used>))
            ORDER BY due_at LIMIT :room{lane}) AS head{lane}_{priority}"""
    head = head.replace("<now>", NOW[dialect]).replace("<used>", used[dialect])
    heads = [head.format(lane=lane, priority=priority) for lane in range(lanes) for priority in PRIORITIES]
    return text(" UNION ALL ".join(heads))


async def take(conn: AsyncConnection, items: Sequence[Take]) -> list[Taken]:
    """Mark tasks as running and count their attempts; committed before any work starts.

    Nothing is taken from a lane that is lost, held or paused.
    """
    standing = await owned(conn, [item.lease for item in items])
    ids = [task for item in items if (lane := standing.get(item.lease)) and lane.runs for task in item.ids]
    taken: dict[str, Task] = {}
    if ids:
        rows = await conn.execute(_take(conn), {"ids": ids, "now": now_parameter(conn)})
        taken = {row.id: Task(*row) for row in rows}
    return [Taken(standing.get(item.lease), [taken[task] for task in item.ids if task in taken]) for item in items]


@prepared
def _take(dialect: str) -> ReturningUpdate[Any]:
    return (
        update(tasks)
        .where(one_of(dialect, tasks.c.id, "ids"), tasks.c.state == "available")
        .values(state="running", attempt=tasks.c.attempt + 1, started_at=now_of(dialect))
        .returning(*TASK_COLUMNS)
    )


_SAVE_STEPS = update(tasks).where(tasks.c.id == bindparam("task")).values(steps=bindparam("new_steps", type_=Json))


async def save_steps(conn: AsyncConnection, items: Sequence[Steps]) -> list[bool]:
    """Store finished steps with the writes that belong to them; False: the lease is lost, nothing was written."""
    standing = await owned(conn, [item.lease for item in items])
    running = await _running(conn, [item.task_id for item in items])
    saved = [item.lease in standing and (item.task_id, item.attempt) in running for item in items]
    kept = [item for item, is_kept in zip(items, saved, strict=True) if is_kept]
    await _write_together(conn, [item.apply for item in kept])
    for item in kept:
        if item.apply is not None and not isinstance(item.apply, Together):
            await item.apply(conn)
    if kept:
        await conn.execute(_SAVE_STEPS, [{"task": item.task_id, "new_steps": item.steps} for item in kept])
    return saved


async def finish(conn: AsyncConnection, items: Sequence[Finish]) -> list[bool]:
    """Give tasks their new states with the writes of their flows; False: the lease is lost, nothing was written.

    An attempt that has ended already is left as it is: its commit was done, only the answer to it was lost.
    """
    standing = await owned(conn, [item.lease for item in items])
    running = await _running(conn, [item.task.id for item in items])
    kept = [item for item in items if item.lease in standing and (item.task.id, item.task.attempt) in running]
    await _write_together(conn, [apply for item in kept for apply in item.applies])
    for item in kept:
        for apply in item.applies:
            if not isinstance(apply, Together):
                await apply(conn)
        if item.hold_cause is not None:
            await hold(conn, item.lease.lane, item.hold_cause)
    await _end(conn, [item for item in kept if item.state in ("done", "failed")])
    await _park(conn, [item for item in kept if item.state == "parked"])
    await _try_again(conn, [item for item in kept if item.state == "available"])
    await _note_attempts(conn, kept)
    return [item.lease in standing for item in items]


async def _write_together(conn: AsyncConnection, applies: Iterable[Apply | None]) -> None:
    """Write what tasks share, one call a flow."""
    shared: dict[Any, list[Any]] = {}
    for apply in applies:
        if isinstance(apply, Together):
            shared.setdefault(apply.flow, []).append(apply.item)
    for flow, items in shared.items():
        await flow(conn, items)


async def put_back(conn: AsyncConnection, lanes: Collection[str], status: str, *, at_work: Collection[str] = ()) -> int:
    """Make the tasks available that a former owner left running; their attempts stay counted. Return how many.

    A task that was lost before waits a while: if one of those that ran together ends its process each time, they are
    spread out, and the others do not use up their attempts beside it.

    Args:
        conn: A transaction in which the caller owns ``lanes``.
        lanes: Lanes in which nothing but ``at_work`` is at work.
        status: Noted for their attempts: ``lost`` (the process died or froze) or ``stopped``.
        at_work: Tasks to be left alone.
    """
    left = select(tasks.c.id, tasks.c.attempt - tasks.c.uncounted).where(among(conn, tasks.c.lane, lanes), RUNNING)
    tries = {task: number for task, number in await conn.execute(left) if task not in at_work}
    if not tries:
        return 0
    ids = list(tries)
    noted = select(tasks.c.id, tasks.c.attempt, tasks.c.started_at, literal(status)).where(among(conn, tasks.c.id, ids))
    await conn.execute(
        insert(conn, attempts)
        .from_select(["task_id", "number", "started_at", "status"], noted)
        .on_conflict_do_nothing(index_elements=[attempts.c.task_id, attempts.c.number])
    )
    await supersede(conn, ids)
    waits = {task: _lost_seconds(number) for task, number in tries.items() if number > 1 and status == "lost"}
    if waits:
        await conn.execute(
            update(tasks)
            .where(tasks.c.id == bindparam("task"))
            .values(due_at=now_micros(conn) + bindparam("wait", type_=BigInteger)),
            [{"task": task, "wait": round(seconds * SECOND)} for task, seconds in waits.items()],
        )
    await conn.execute(
        update(tasks).where(among(conn, tasks.c.id, ids), tasks.c.state == "running").values(state="available")
    )
    touch(conn, lanes)
    return len(ids)


def _lost_seconds(tries: int, spread: Callable[[], float] = random.random) -> float:
    return min(5.0 * (tries - 1), 30.0) * (0.5 + spread())


async def _running(conn: AsyncConnection, ids: Collection[str]) -> set[tuple[str, int]]:
    """Return which of these tasks are running, and in which attempt."""
    return {(task, attempt) for task, attempt in await conn.execute(_which_run(conn), {"ids": list(ids)})}


@prepared
def _which_run(dialect: str) -> Select[Any]:
    return select(tasks.c.id, tasks.c.attempt).where(one_of(dialect, tasks.c.id, "ids"), tasks.c.state == "running")


async def _end(conn: AsyncConnection, items: Sequence[Finish]) -> None:
    if done := [item.task.id for item in items if item.state == "done"]:
        await conn.execute(_done(conn), {"ids": done, "now": now_parameter(conn)})
    if failed := [{"task": item.task.id, "why": item.error} for item in items if item.state == "failed"]:
        await conn.execute(
            update(tasks)
            .where(tasks.c.state == "running", tasks.c.id == bindparam("task"))
            .values(state="failed", error=bindparam("why", type_=Text), finished_at=now_micros(conn)),
            failed,
        )


@prepared
def _done(dialect: str) -> Update:
    return (
        update(tasks)
        .where(tasks.c.state == "running", one_of(dialect, tasks.c.id, "ids"))
        .values(state="done", error=None, finished_at=now_of(dialect))
    )


async def _park(conn: AsyncConnection, items: Sequence[Finish]) -> None:
    if items:
        await conn.execute(
            update(tasks)
            .where(tasks.c.id == bindparam("task"), tasks.c.state == "running")
            .values(
                state="parked",
                error=bindparam("why", type_=Text),
                park_cause=bindparam("cause", type_=Text),
                uncounted=tasks.c.uncounted + 1,
            ),
            [{"task": item.task.id, "why": item.error, "cause": item.park_cause} for item in items],
        )


async def _try_again(conn: AsyncConnection, items: Sequence[Finish]) -> None:
    if not items:
        return
    if unique := [item.task.id for item in items if item.task.unique_key is not None]:
        await supersede(conn, unique)
    await conn.execute(
        update(tasks)
        .where(tasks.c.id == bindparam("task"), tasks.c.state == "running")
        .values(
            state="available",
            error=bindparam("why", type_=Text),
            due_at=now_micros(conn) + bindparam("wait", type_=BigInteger),
            uncounted=tasks.c.uncounted + bindparam("free", type_=BigInteger),
        ),
        [
            {
                "task": item.task.id,
                "why": item.error,
                "wait": round(item.after_seconds * SECOND),
                "free": 0 if item.counts else 1,
            }
            for item in items
        ],
    )
    touch(conn, {item.lease.lane for item in items if item.after_seconds <= 0 and item.hold_cause is None})


@prepared
def _note(dialect: str) -> Executable:
    statement = insert_into(dialect, attempts)
    return statement.on_conflict_do_nothing(index_elements=[attempts.c.task_id, attempts.c.number])


async def _note_attempts(conn: AsyncConnection, items: Sequence[Finish]) -> None:
    if items:
        await conn.execute(
            _note(conn),
            [
                {
                    "task_id": item.task.id,
                    "number": item.task.attempt,
                    "started_at": item.task.started_at,
                    "duration_ms": item.duration_ms,
                    "status": item.status,
                    "error": item.error,
                    "excerpt": item.excerpt,
                }
                for item in items
            ],
        )
