"""Words of the queue's tests."""

from collections.abc import AsyncIterator

import pytest

from gateway.storage import tasks
from gateway.storage.engine import Database
from gateway.storage.tasks import NewTask, Task


class Queue:
    """A database as the queue's tests speak of it."""

    def __init__(self, db: Database):
        self.db = db

    async def write(self, fn, *args, **kwargs):
        return await self.db.writer.run(lambda conn: fn(conn, *args, **kwargs))

    async def read(self, fn, *args, **kwargs):
        async with self.db.read() as conn:
            return await fn(conn, *args, **kwargs)

    async def store(self, *new: NewTask) -> list[str]:
        await self.write(tasks.insert_tasks, new, self.db.clock.now())
        return [task.id for task in new]

    async def get(self, task_id: str) -> Task:
        return await self.read(tasks.get_task, task_id)

    async def states(self, *ids: str) -> list[str | None]:
        found = [await self.get(task_id) for task_id in ids]
        return [task and task.state for task in found]

    async def attempts(self, task_id: str) -> list[tuple[int, str | None, str | None]]:
        return [(a.number, a.status, a.error) for a in await self.read(tasks.list_attempts, task_id)]


@pytest.fixture
def make_queue() -> type[Queue]:
    return Queue


@pytest.fixture
def queue(database: Database) -> Queue:
    return Queue(database)


@pytest.fixture
async def other(database: Database, database_url: str) -> AsyncIterator[Queue]:
    """Another process's view of the same database, with the same clock."""
    db = await Database.open(database_url, database.clock)
    yield Queue(db)
    await db.close()


@pytest.fixture
def new_task():
    """Make a task with what matters to the test."""

    def make(name: str = "t", **changes) -> NewTask:
        return NewTask(**{"kind": "test", "args": {"name": name}, "lane": "internal", **changes})

    return make
