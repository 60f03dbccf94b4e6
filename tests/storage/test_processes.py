"""Several real processes on one database: each task is done exactly once, and a killed one is made good."""

import asyncio
import sys
from collections import Counter
from datetime import timedelta
from pathlib import Path

from sqlalchemy import select

from gateway.storage import lanes
from gateway.storage.running import Done
from gateway.storage.tables import tasks
from gateway.worker import Worker


class Process:
    """A worker process that the test starts, asks to stop, or kills."""

    def __init__(self, url: str, name: str):
        self.arguments = [sys.executable, str(Path(__file__).with_name("process.py")), url, name]

    async def start(self) -> "Process":
        pipe = asyncio.subprocess.PIPE
        self.process = await asyncio.create_subprocess_exec(*self.arguments, stdin=pipe, stdout=pipe)
        await self.says("ready")
        return self

    async def says(self, word: str) -> None:
        async with asyncio.timeout(60):
            while (line := (await self.process.stdout.readline()).decode().strip()) != word:
                assert line or self.process.returncode is None

    def go(self) -> None:
        self.process.stdin.write(b"go\n")

    async def stop(self) -> None:
        async with asyncio.timeout(60):
            await self.process.communicate(b"stop\n")
        assert self.process.returncode == 0

    async def kill(self) -> None:
        self.process.kill()
        await self.process.communicate()


async def effects(queue) -> list[tuple[str, str]]:
    async with queue.db.read() as conn:
        found = await conn.execute(select(tasks.c.args).where(tasks.c.kind == "effect"))
        return [(args["name"], args["by"]) for args in found.scalars()]


async def test_four_processes_do_each_task_exactly_once(queue, database_url, new_task):
    processes = await asyncio.gather(*(Process(database_url, f"process{i}").start() for i in range(4)))
    names = [f"{lane}/{i}" for lane in range(400) for i in range(3)]
    await queue.store(*(new_task(name, lane=f"lane{name.split('/')[0]}") for name in names))
    for process in processes:
        process.go()
    done: list[tuple[str, str]] = []
    async with asyncio.timeout(60):
        while len(done) < len(names):
            await asyncio.sleep(0.05)
            done = await effects(queue)
    await asyncio.gather(*(process.stop() for process in processes))
    assert Counter(name for name, _ in done) == Counter(names)
    assert len(await effects(queue)) == len(names)
    assert len({by for _, by in done}) > 1, "the work is shared"
    async with queue.db.read() as conn:
        assert set((await conn.execute(select(tasks.c.attempt).where(tasks.c.kind == "test"))).scalars()) == {1}


async def test_a_killed_process_loses_nothing(queue, database_url, new_task):
    stuck, *others = await queue.store(new_task("stop here"), *(new_task(str(i)) for i in range(5)))
    process = await Process(database_url, "dies").start()
    process.go()
    await process.says("reached")
    await process.kill()
    assert await queue.states(stuck) == ["running"]

    class Handler:
        async def run(self, run):
            return Done()

        async def failed(self, conn, task, error, now):
            raise NotImplementedError

    worker = Worker(queue.db, {"test": Handler()}, process_id="survivor")
    assert await worker.drain() == 0, "the lease of the dead still stands"
    queue.db.clock.advance(timedelta(seconds=11))
    assert await worker.drain() >= 1
    assert await queue.states(stuck, *others) == ["done"] * 6
    assert await queue.attempts(stuck) == [(1, "lost", None), (2, "done", None)]
    assert (await queue.read(lanes.get_lane, "internal")).owner is None
