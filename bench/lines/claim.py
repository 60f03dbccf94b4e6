"""What it costs to find, take and finish a task: flat, however many have finished before and however many wait."""

import time

from sqlalchemy import text

from bench.lines import Setting
from bench.measuring import Figure, of_runs
from bench.world import host_of
from gateway.sdk.clock import Clock
from gateway.storage import migrate
from gateway.storage.engine import AsyncConnection, Database
from gateway.storage.running import Done, Outcome, TaskRun
from gateway.storage.tasks import NewTask, Task, insert_tasks
from gateway.worker import Worker

FINISHED = (1_000, 100_000, 1_000_000)
WAITING = 50_000
LANES = 20
TAKEN = 2_000


class Nothing:
    """A task that does nothing."""

    async def run(self, run: TaskRun) -> Outcome:
        """Be done."""
        return Done()

    async def failed(self, conn: AsyncConnection, task: Task, error: str, now: object) -> None:
        """Never called."""


async def measure(setting: Setting) -> list[Figure]:
    """Run the same tasks beside ever more others."""
    figures: list[Figure] = []
    for kind in setting.databases.kinds:
        url = await setting.databases.new(kind)
        await migrate.upgrade(url)
        db = await Database.open(url, Clock())
        taken = setting.size(TAKEN, 200)
        try:
            await _run(db, taken)  # not counted
            there = 0
            for wanted in FINISHED:
                finished = setting.size(wanted, 10)
                await _add_finished(db, there, finished)
                there = finished
                what = f"µs of CPU a task, {finished:,} finished ones beside"
                figures.append(await _figure(what, db, url, taken, setting.pairs))
            waiting = setting.size(WAITING, 10)
            await _add_waiting(db, waiting)
            what = f"µs of CPU a task, and {waiting:,} waiting ones"
            figures.append(await _figure(what, db, url, taken, setting.pairs))
        finally:
            await db.close()
    return figures


async def _figure(what: str, db: Database, url: str, taken: int, rounds: int) -> Figure:
    """Measure some rounds: single ones differ by more than what they are compared for."""
    micros = [await _run(db, taken) for _ in range(rounds)]
    return of_runs("claim", what, micros, database=host_of(url), better="less")


async def _run(db: Database, number: int) -> float:
    """Store tasks and run them; return the CPU microseconds of one, of this process."""
    now = db.clock.now()
    new = [NewTask(kind="nothing", args={}, lane=f"bench:{place % LANES}", priority=0) for place in range(number)]
    await db.writer.run(lambda conn: insert_tasks(conn, new, now))
    worker = Worker(db, {"nothing": Nothing()}, process_id="bench")
    began = time.process_time()
    ran = await worker.drain(max_tasks=10 * number)
    if ran != number:
        raise RuntimeError(f"{ran} tasks ran instead of {number}")
    return 1e6 * (time.process_time() - began) / number


_MANY = """
    WITH RECURSIVE numbers(n) AS (SELECT {start} UNION ALL SELECT n + 1 FROM numbers WHERE n + 1 < {end})
    INSERT INTO tasks (id, kind, args, account_id, lane, priority, state, attempt, uncounted, max_attempts, due_at,
                       created_at, finished_at)
    SELECT 'tsk_{state}' || n, 'nothing', '{{}}', 'acme', 'bench:' || (n % {lanes}), {priority}, '{state}', 1, 0, 12,
           {due}, 1, {finished} FROM numbers
"""


async def _add_finished(db: Database, start: int, end: int) -> None:
    if start < end:
        values = {"state": "done", "priority": 0, "due": 1, "finished": 1_000_000, "lanes": LANES}
        await _write(db, _MANY.format(start=start, end=end, **values))


async def _add_waiting(db: Database, end: int) -> None:
    """Store tasks that wait in the same lanes: due tomorrow, as after many refusals to take more today."""
    tomorrow = int((db.clock.now().timestamp() + 86_400) * 1_000_000)
    values = {"state": "available", "priority": 0, "due": tomorrow, "finished": "NULL", "lanes": LANES}
    await _write(db, _MANY.format(start=0, end=end, **values))


async def _write(db: Database, statement: str) -> None:
    async def write(conn: AsyncConnection) -> None:
        await conn.execute(text(statement))

    await db.writer.run(write)
    await db.writer.run(lambda conn: conn.execute(text("ANALYZE")))
