"""The worker over a real database: what becomes of a task, and who may run it."""

from datetime import timedelta

from gateway.storage import lanes, tasks
from gateway.storage.engine import Database
from gateway.storage.running import Done, TaskRun
from gateway.storage.tasks import NewTask
from gateway.worker import Worker


class Recorder:
    """A handler that does what each test says and remembers what ran."""

    def __init__(self, act=None):
        self.act = act
        self.ran: list[str] = []
        self.failures: list[tuple[str, str]] = []

    async def run(self, run: TaskRun):
        self.ran.append(run.task.args.get("name", run.task.id))
        if self.act is None:
            return Done()
        return await self.act(run)

    async def failed(self, conn, task, error, now):
        self.failures.append((task.id, error))
        await lanes.create_lanes(conn, [f"failed:{task.id}"])


def task(name: str = "t", **changes) -> NewTask:
    return NewTask(**{"kind": "test", "args": {"name": name}, "lane": "internal", **changes})


async def store(db: Database, *new: NewTask) -> None:
    await db.writer.run(lambda conn: tasks.insert_tasks(conn, new, db.clock.now()))


def worker(db: Database, handler, **changes) -> Worker:
    return Worker(db, {"test": handler}, process_id="test", **changes)


async def read(db: Database, task_id: str):
    async with db.read() as conn:
        return await tasks.get_task(conn, task_id)


async def test_drain_runs_what_is_due_and_what_that_makes_due(database: Database):
    async def act(run: TaskRun):
        async def apply(conn):
            if run.task.args["name"] < "c":
                await tasks.insert_tasks(conn, [task(chr(ord(run.task.args["name"]) + 1), lane="other")], run.now())

        return Done(apply)

    handler = Recorder(act)
    await store(database, task("a"), task("late", due_at=database.clock.now() + timedelta(hours=1)))
    assert await worker(database, handler).drain() == 3
    assert handler.ran == ["a", "b", "c"]
    database.clock.advance(timedelta(hours=1))
    assert await worker(database, handler).drain() == 1
