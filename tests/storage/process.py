"""A process of its own over the database of a test: runs a worker from its first line of input to its second."""

import asyncio
import sys
from datetime import timedelta

from gateway.sdk.clock import Clock
from gateway.storage import tasks
from gateway.storage.engine import Database
from gateway.storage.running import Done, LaneLimits, TaskRun
from gateway.worker import Worker


class Effects:
    """Leaves one task of kind ``effect`` behind for each that it ran; ``stop here`` waits for ever."""

    def __init__(self, name: str):
        self.name = name

    async def run(self, run: TaskRun):
        if run.task.args["name"] == "stop here" and self.name == "dies":
            say("reached")
            await asyncio.sleep(3600)
        args = run.task.args | {"by": self.name}
        effect = tasks.NewTask(kind="effect", args=args, lane="effects", due_at=run.now() + timedelta(days=1))
        return Done(lambda conn: tasks.insert_tasks(conn, [effect], run.now()))

    async def failed(self, conn, task, error, now):
        raise NotImplementedError


def say(word: str) -> None:
    sys.stdout.write(f"{word}\n")
    sys.stdout.flush()


async def main(url: str, name: str) -> None:
    database = await Database.open(url, Clock())
    worker = Worker(database, {"test": Effects(name)}, process_id=name, limits=lambda lane: LaneLimits(concurrency=4))
    say("ready")
    await asyncio.to_thread(sys.stdin.readline)
    running = asyncio.create_task(worker.run())
    await asyncio.to_thread(sys.stdin.readline)
    await worker.stop()
    await running
    await database.close()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
