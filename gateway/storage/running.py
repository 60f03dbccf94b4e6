"""What a flow's task half is written against: handlers, their outcomes, and the run they are given."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from functools import partial
from typing import Any, Literal, Protocol

import msgspec

from gateway.sdk.clock import Clock
from gateway.storage import lanes
from gateway.storage.engine import AsyncConnection
from gateway.storage.lanes import Lease
from gateway.storage.tasks import Task
from gateway.storage.transitions import Apply, Finish, Steps, Together, save_steps
from gateway.storage.writer import Writer

__all__ = [
    "Apply",
    "Done",
    "Fail",
    "Handler",
    "Hold",
    "LaneLimits",
    "LostLease",
    "Outcome",
    "OwnedLane",
    "Park",
    "Periodic",
    "Retry",
    "TaskRun",
    "Together",
    "backoff_seconds",
    "end_attempt",
    "share_out",
]

EXCERPT_CHARACTERS = 8_000
SAFETY_SECONDS = 0.5
"""A call must have ended this long before the lease does."""


class Done(msgspec.Struct, frozen=True):
    """The task is finished; ``apply`` writes what it learnt."""

    apply: Apply | None = None


class Retry(msgspec.Struct, frozen=True):
    """Try again after ``after_seconds`` (None: back-off with jitter); ``counts=False`` uses up no attempt.

    When the attempts are used up the task fails instead: ``apply`` and then the handler's ``failed`` run.
    """

    error: str
    after_seconds: float | None = None
    counts: bool = True
    apply: Apply | None = None


class Fail(msgspec.Struct, frozen=True):
    """The task failed for good and the flow knows why; ``apply`` records it, ``Handler.failed`` is not called."""

    error: str
    apply: Apply | None = None


class Park(msgspec.Struct, frozen=True):
    """The task waits until ``release_parked(cause)``; uses up no attempt."""

    cause: str
    error: str
    apply: Apply | None = None


class Hold(msgspec.Struct, frozen=True):
    """The whole lane stops until it is unheld; the task goes back to available and uses up no attempt."""

    cause: str
    apply: Apply | None = None


Outcome = Done | Retry | Fail | Park | Hold


class Handler(Protocol):
    """The task half of a flow, one for each task kind."""

    async def run(self, run: "TaskRun") -> Outcome:
        """Do the work of one attempt, outside any transaction, and say what became of it.

        An exception is a bug, except ``RetryLater``: it is logged and retried with back-off.
        """
        ...

    async def failed(self, conn: AsyncConnection, task: Task, error: str, now: datetime) -> None:
        """Record that ``task`` failed for good because its attempts are used up.

        Runs inside the transaction that marks the task failed.
        """
        ...


class Periodic(msgspec.Struct, frozen=True):
    """Work that some process does every ``every_seconds``.

    Attributes:
        key: Names the schedule for all processes.
        every_seconds: The period.
        make_tasks: Stores the tasks of the period, in the transaction that wins it.
    """

    key: str
    every_seconds: float
    make_tasks: Callable[[AsyncConnection, datetime], Awaitable[None]]


class LaneLimits(msgspec.Struct, frozen=True):
    """How much of a process one lane may use."""

    concurrency: int = 16
    weight: int = 1
    """Tasks that the lane may start in its turn while lanes compete for the process."""
    pool: Literal["vendor", "own"] = "vendor"
    """Lanes of one pool compete with each other alone: slow vendors must not hold up what we tell the host."""


class LostLease(Exception):
    """Another process owns the lane now; nothing that this attempt writes is taken."""


class OwnedLane:
    """A lane that this process owns: its lease and all that lives in memory alone."""

    def __init__(
        self, lease: Lease, limits: LaneLimits, memory: dict[str, Any], *, lease_seconds: float, renewed: float
    ) -> None:
        """Begin with due tasks expected; ``renewed`` is the monotonic time before the statement that won the lease."""
        self.lease = lease
        self.limits = limits
        self.memory = memory
        self.lease_seconds = lease_seconds
        self.renewed = renewed
        self.runs = True  # neither held nor paused, as far as we know; taking tasks checks the row
        self.ready = True  # may have due tasks
        self.working = 0  # handlers at work; a task whose outcome is being committed needs no slot
        self.running: dict[str, asyncio.Task[None]] = {}
        self.exclusive: set[str] = set()
        self.inbound: set[str] = set()  # ids of those of ``running`` that read what the vendor told
        self.has_strays = False  # perhaps tasks are marked as running that do not: their answer or their end was lost
        self.idle_since = renewed

    @property
    def room(self) -> int:
        """How many more tasks may start now."""
        return self.limits.concurrency - self.working if self.ready and self.runs else 0

    def is_idle(self, since: float) -> bool:
        """Return whether nothing ran or waited here after ``since`` (monotonic time)."""
        return not self.running and not self.room and self.idle_since <= since

    def seconds_left(self) -> float:
        """Return how long a call may take so that it ends within the lease."""
        return max(0.0, self.renewed + self.lease_seconds - SAFETY_SECONDS - time.monotonic())


class TaskRun:
    """One attempt of one task, given to its handler."""

    def __init__(self, task: Task, lane: OwnedLane, writer: Writer, clock: Clock) -> None:
        self.task = task
        self.steps: dict[str, Any] = dict(task.steps or {})
        self._lane = lane
        self._writer = writer
        self._clock = clock
        self._excerpts: list[str] = []

    @property
    def lane_memory(self) -> dict[str, Any]:
        """What this process remembers for the lane between its tasks: rate budget, waits."""
        return self._lane.memory

    @property
    def seconds_left(self) -> float:
        """How long the next call may take at most: less than what is left of the lease, which is renewed meanwhile."""
        return self._lane.seconds_left()

    @property
    def excerpts(self) -> str | None:
        """What was noted for the attempt, cut to a size that a page can show."""
        return "\n".join(self._excerpts)[:EXCERPT_CHARACTERS] or None

    def now(self) -> datetime:
        """Return the current time, aware, in UTC."""
        return self._clock.now()

    def excerpt(self, text: str) -> None:
        """Note what was sent or answered; secrets must be redacted already."""
        self._excerpts.append(text)

    async def save_steps(self, steps: dict[str, Any], apply: Apply | None = None) -> None:
        """Commit the steps that are finished, with ``apply`` in the same transaction.

        Raises:
            LostLease: Another process owns the lane; nothing was written and the work must stop.
        """
        item = Steps(self.task.id, self.task.attempt, self._lane.lease, steps, apply)
        (saved,) = await self._writer.submit(save_steps, [item], bounded=False)
        if not saved:
            raise LostLease(f"lane {self._lane.lease.lane} has another owner; {self.task.id} stops")
        self.steps = dict(steps)

    async def pause_lane(self, seconds: float) -> None:
        """Start no task of this lane for ``seconds``; the wait outlives this process."""
        self._lane.runs = False
        lane = self._lane.lease.lane

        async def write(conn: AsyncConnection) -> None:
            await lanes.pause(conn, lane, seconds)

        await self._writer.run(write, bounded=False)


def backoff_seconds(tries: int, *, spread: Callable[[], float] = random.random) -> float:
    """Return the wait after the ``tries``-th counted attempt: 10 s, 30 s, 90 s … 6 hours, a fifth more or less.

    Twelve attempts last about a day.
    """
    return float(min(10 * 3 ** min(tries - 1, 10), 21_600) * (0.8 + 0.4 * spread()))


def end_attempt(
    run: TaskRun,
    outcome: Outcome,
    *,
    lease: Lease,
    handler: Handler | None,
    duration_ms: int,
    status: str | None = None,
) -> Finish:
    """Return what to commit for an outcome; a counted ``Retry`` of the last try becomes a failure.

    Without a handler nobody could record the failure: the task is tried again.
    """
    task, now = run.task, run.now()
    if not isinstance(outcome, Outcome):
        raise TypeError(f"a handler of {task.kind} answered {outcome!r}, which is no outcome")
    end = partial(Finish, task=task, lease=lease, duration_ms=duration_ms, excerpt=run.excerpts)
    applies = [] if outcome.apply is None else [outcome.apply]
    match outcome:
        case Done():
            return end(state="done", status="done", applies=applies)
        case Fail(error):
            return end(state="failed", status=status or "failed", error=error, applies=applies)
        case Park(cause, error):
            return end(state="parked", status="parked", error=error, park_cause=cause, applies=applies)
        case Hold(cause):
            return end(state="available", status="held", counts=False, hold_cause=cause, applies=applies)
        case Retry(error, counts=True) if task.is_last_try and handler is not None:

            async def failed(conn: AsyncConnection) -> None:
                await handler.failed(conn, task, error, now)

            return end(state="failed", status=status or "failed", error=error, applies=[*applies, failed])
        case Retry(error, after_seconds, counts):
            wait = backoff_seconds(max(1, task.tries)) if after_seconds is None else after_seconds
            return end(
                state="available",
                status=status or "retry",
                error=error,
                after_seconds=wait,
                counts=counts,
                applies=applies,
            )


def share_out(rooms: Sequence[tuple[int, int]], free: int) -> list[int]:
    """Return how many tasks each lane may start: in turns of its weight, until its room or what is free is used.

    Args:
        rooms: Room and weight of each lane, in the order of their turns.
        free: What the process has left for all of them.
    """
    shares = [0] * len(rooms)
    while free > 0 and any(share < room for share, (room, _) in zip(shares, rooms, strict=True)):
        for index, (room, weight) in enumerate(rooms):
            turn = min(max(1, weight), room - shares[index], free)
            shares[index] += turn
            free -= turn
    return shares
