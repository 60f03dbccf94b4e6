"""Run tasks: claim lanes, take what is due in turns, give each task to its handler, commit what became of it.

One owner a lane, so that concurrency, waits and exclusive keys of a vendor tenant live in this process's memory,
exact and without a write a call. What must survive (attempts, steps, outcomes, pauses) is committed, with a check of
the lease.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial

import structlog

from gateway.sdk.errors import RetryLater
from gateway.storage import schedules
from gateway.storage.columns import new_id
from gateway.storage.engine import AsyncConnection, Database, Hints
from gateway.storage.holdings import Holdings
from gateway.storage.lanes import INBOUND
from gateway.storage.running import (
    Handler,
    LaneLimits,
    LostLease,
    Outcome,
    OwnedLane,
    Periodic,
    Retry,
    TaskRun,
    end_attempt,
    share_out,
)
from gateway.storage.tasks import Task
from gateway.storage.transitions import Finish, Take, Wanted, find_due_tasks, finish, take
from gateway.storage.writer import StorageUnavailable

log = structlog.get_logger(__name__)

POLL_SECONDS = 1.0
"""How often an idle worker looks for due work and gives idle lanes back; hints and events make it look earlier."""

LOOK_SECONDS = 0.02
"""Shortest time between two looks at the database for lanes, however many hints arrive."""

UNKNOWN_KIND_SECONDS = 60.0
ERROR_CHARACTERS = 2_000


def default_limits(_lane: str) -> LaneLimits:
    """Allow every lane the same."""
    return LaneLimits()


class Worker:
    """Runs the tasks of one process."""

    def __init__(
        self,
        database: Database,
        handlers: Mapping[str, Handler],
        *,
        process_id: str,
        limits: Callable[[str], LaneLimits] = default_limits,
        periodic: Sequence[Periodic] = (),
        max_running: int = 500,
        lease_seconds: float = 10.0,
        grace_seconds: float = 20.0,
    ) -> None:
        """Make a worker; ``run`` or ``drain`` sets it to work.

        Args:
            database: An open database with the schema of this version.
            handlers: One for each task kind.
            process_id: Shown as the owner of lanes; made unique here.
            limits: How much one lane may use.
            periodic: Work with a schedule.
            max_running: Tasks at work in this process at one time, of each pool of lanes.
            lease_seconds: How long a lane stays ours without renewal. Renewed every third of it.
            grace_seconds: How long ``stop`` waits for tasks at work before it breaks them off.
        """
        self.owner = f"{process_id[:30]}/{new_id('own')}"
        self._database = database
        self._handlers = handlers
        self._holdings = Holdings(database, self.owner, limits, lease_seconds)
        self._periodic = {schedule.key: schedule for schedule in periodic}
        self._max_running = max_running
        self._grace_seconds = grace_seconds
        self._working: Counter[str] = Counter()  # by pool
        self._look = True  # lanes may be free, or ours may have new work
        self._wake = asyncio.Event()
        self._schedules_ensured = False
        self._draining = False
        self._stopping = False
        self._stopped: asyncio.Event | None = None

    # --- running ---------------------------------------------------------------------------------

    async def run(self) -> None:
        """Run tasks until ``stop`` is called; then let those at work end and give the lanes back."""
        self._stopped = asyncio.Event()
        self._database.writer.on_touched.append(self._touched)
        renewing = asyncio.create_task(self._holdings.keep(), name="gateway-leases")
        hints: Hints | None = None
        ticked = look_after = -POLL_SECONDS
        try:
            while not self._stopping:
                self._wake.clear()
                try:
                    if time.monotonic() - ticked >= POLL_SECONDS:
                        ticked = time.monotonic()
                        hints = await self._keep_listening(hints)
                        await self._run_periodic()
                        await self._holdings.put_back_strays()
                        await self._holdings.give_back_idle(POLL_SECONDS)
                        self._look = True
                    if self._look and time.monotonic() >= look_after:
                        look_after = await self._claim()
                    await self._start_due()
                except StorageUnavailable as error:
                    log.warning("worker.storage_unavailable", error=str(error))
                except Exception:
                    log.exception("worker.round_failed")
                until = ticked + POLL_SECONDS
                if self._look:
                    until = min(until, look_after)
                with suppress(TimeoutError):
                    async with asyncio.timeout(max(0.0, until - time.monotonic())):
                        await self._wake.wait()
        finally:
            self._database.writer.on_touched.remove(self._touched)
            if hints is not None:
                hints.close()
            try:
                await self._end_work(self._grace_seconds)
            finally:
                await _cancel(renewing)
                self._stopped.set()

    async def stop(self) -> None:
        """Start nothing more and return when ``run`` has ended."""
        self._stopping = True
        self._wake.set()
        if self._stopped is not None:
            await self._stopped.wait()

    async def drain(self, *, max_tasks: int = 10_000) -> int:
        """Run every task that is due now, and those that become due by it, until nothing is due; return how many ran.

        For tests and the demo: it never waits for time to pass. Not while ``run`` runs.

        Raises:
            RuntimeError: More than ``max_tasks`` ran; they seem to make each other without end.
            StorageUnavailable: The database could not take a write.
        """
        ran = 0
        renewing = asyncio.create_task(self._holdings.keep(), name="gateway-leases")
        self._draining = True
        try:
            await self._run_periodic()
            while True:
                while await self._holdings.claim():
                    pass
                started = await self._start_due()
                if not started:
                    return ran
                ran += started
                if ran > max_tasks:
                    raise RuntimeError(f"drain ran {ran} tasks and more are due; do they make each other without end?")
                jobs = self._holdings.jobs()
                if jobs:  # else all that was taken stood in lanes that were given up meanwhile
                    await asyncio.wait(jobs)
                # those that were cancelled were broken off since their lane was lost; every error is looked at
                ended = [job.exception() for job in jobs if not job.cancelled()]
                if errors := [error for error in ended if error is not None]:
                    raise errors[0]
        finally:
            self._draining = False
            await self._end_work(0)
            await _cancel(renewing)

    def _touched(self, touched: frozenset[str]) -> None:
        """Hear that a commit of this process made tasks due in some lanes."""
        for lane_id in touched:
            lane = self._holdings.lanes.get(lane_id)
            if lane is None or not lane.runs:
                self._look = True
            else:
                lane.ready = True
        self._wake.set()

    def _hinted(self) -> None:
        self._look = True
        self._wake.set()

    async def _claim(self) -> float:
        """Look for lanes with due work; return before which (monotonic) time not to look again.

        A look costs more the more lanes wait, so it takes at most a tenth of the time. A full process looks once a
        poll: it still gets some lanes, so that each has its turn even if all processes are full, but does not hoard.
        """
        self._look = False
        before = time.monotonic()
        self._look = await self._holdings.claim() or self._look
        took = time.monotonic() - before
        full = self._working["vendor"] >= self._max_running
        return before + (POLL_SECONDS if full else max(LOOK_SECONDS, 10 * took))

    async def _keep_listening(self, hints: Hints | None) -> Hints | None:
        if hints is not None:
            if hints.alive:
                return hints
            hints.close()
        try:
            return await self._database.hints(self._hinted)
        except Exception as error:  # noqa: BLE001 - hints only save time, the poll goes on
            log.warning("worker.no_hints", error=str(error))
            return None

    async def _run_periodic(self) -> None:
        if not self._periodic:
            return
        if not self._schedules_ensured:
            await self._database.writer.run(self._ensure_schedules, bounded=False)
            self._schedules_ensured = True
        async with self._database.read() as conn:
            due = await schedules.due(conn, self._periodic)
        for key in sorted(due):
            try:
                await self._database.writer.run(partial(self._win, self._periodic[key]), bounded=False)
            except StorageUnavailable:
                raise
            except Exception:
                if self._draining:
                    raise
                log.exception("periodic.failed", schedule=key)  # stays due; the queue goes on

    async def _ensure_schedules(self, conn: AsyncConnection) -> None:
        for schedule in self._periodic.values():
            await schedules.ensure(conn, schedule.key, schedule.every_seconds)

    async def _win(self, schedule: Periodic, conn: AsyncConnection) -> None:
        if await schedules.win(conn, schedule.key, schedule.every_seconds):
            await schedule.make_tasks(conn, self._database.clock.now())

    async def _end_work(self, grace_seconds: float) -> None:
        """Wait for the tasks at work, break off what is left, and give all lanes back."""
        if jobs := self._holdings.jobs():
            _, late = await asyncio.wait(jobs, timeout=grace_seconds)
            for job in late:
                job.cancel()
            await asyncio.gather(*late, return_exceptions=True)
        try:
            await self._holdings.give_back(list(self._holdings.lanes.values()))
        except StorageUnavailable as error:
            log.warning("worker.lanes_not_given_back", error=str(error))  # their leases lapse

    # --- tasks -----------------------------------------------------------------------------------

    async def _start_due(self) -> int:
        """Take due tasks of all lanes that have room, in turns, and start them; return how many."""
        held = self._holdings.lanes
        lanes_with_room = [lane for lane in held.values() if lane.room > 0]
        turns: dict[OwnedLane, int] = {}
        for pool in sorted({lane.limits.pool for lane in lanes_with_room}):
            compete = [lane for lane in lanes_with_room if lane.limits.pool == pool]
            rooms = [(lane.room, lane.limits.weight) for lane in compete]
            shares = share_out(rooms, self._max_running - self._working[pool])
            turns |= {lane: share for lane, share in zip(compete, shares, strict=True) if share > 0}
        if not turns:
            return 0
        for lane in turns:  # before the look, so that what comes in meanwhile is not overlooked
            lane.ready = False
            held[lane.lease.lane] = held.pop(lane.lease.lane)  # to the end of the row
        wanted = [
            # a lane of one place keeps none for what the vendor told: signups would wait for the end of a flood of it
            Wanted(lane.lease.lane, share, lane.exclusive, bool(lane.inbound) or lane.limits.concurrency == 1)
            for lane, share in turns.items()
        ]
        async with self._database.read() as conn:
            found = dict(zip(turns, await find_due_tasks(conn, wanted), strict=True))
        for lane, due in found.items():
            lane.ready = lane.ready or due.more
        takes = {lane: Take(lane.lease, due.ids) for lane, due in found.items() if due.ids}
        try:
            taken = await self._database.writer.submit(take, list(takes.values()), bounded=False)
        except Exception:  # the commit may have been done although its answer was lost
            for lane in takes:
                lane.has_strays = True
            raise
        for lane, answer in zip(takes, taken, strict=True):
            if answer.lane is None:
                self._holdings.lose(lane)
                continue
            lane.runs = lane.runs and answer.lane.runs
            if self._holdings.has(lane):  # else given up meanwhile: the next owner puts the tasks back
                for task in answer.tasks:
                    self._start(lane, task)
        if any(lane.room > 0 for lane in turns):
            self._wake.set()
        return sum(len(answer.tasks) for answer in taken if answer.lane is not None)

    def _start(self, lane: OwnedLane, task: Task) -> None:
        lane.working += 1
        self._working[lane.limits.pool] += 1
        if task.exclusive_key is not None:
            lane.exclusive.add(task.exclusive_key)
        if task.priority == INBOUND:
            lane.inbound.add(task.id)
        lane.running[task.id] = asyncio.create_task(self._execute(lane, task), name=task.id)

    async def _execute(self, lane: OwnedLane, task: Task) -> None:
        """Run one attempt and commit what became of it."""
        run = TaskRun(task, lane, self._database.writer, self._database.clock)
        handler = self._handlers.get(task.kind)
        try:
            started = time.monotonic()
            try:
                outcome, status = await _attempt(run, handler)
            finally:
                lane.working -= 1
                self._working[lane.limits.pool] -= 1
                self._wake.set()
            duration_ms = round((time.monotonic() - started) * 1000)
            end = partial(end_attempt, run, lease=lane.lease, duration_ms=duration_ms)
            if not await self._commit(end, outcome, handler, status):
                self._holdings.lose(lane)
        except LostLease as error:
            log.warning("task.lease_lost", task_id=task.id, error=str(error))
            self._holdings.lose(lane)
        except Exception:
            if self._draining:
                raise
            log.exception("task.not_finished", task_id=task.id)
            lane.has_strays = True
        finally:
            if lane.running.get(task.id) is asyncio.current_task():  # else its next attempt has begun
                del lane.running[task.id]
                lane.inbound.discard(task.id)
            if task.exclusive_key is not None:
                lane.exclusive.discard(task.exclusive_key)
                lane.ready = True  # others may have waited for the key
            lane.idle_since = time.monotonic()
            self._wake.set()

    async def _commit(
        self, end: Callable[..., Finish], outcome: Outcome, handler: Handler | None, status: str | None
    ) -> bool:
        """Commit an outcome; return False if the lease is lost.

        A bug in the writes of the flow must not lose the task: it becomes a counted retry, and if the handler's
        ``failed`` is what fails, the task stays and is tried again until somebody mends it.
        """
        try:
            return await self._write(end(outcome, handler=handler, status=status))
        except StorageUnavailable:
            raise
        except Exception as error:
            log.exception("task.outcome_not_written", outcome=type(outcome).__name__)
            outcome, status = Retry(_describe(error)), type(error).__name__
        try:
            return await self._write(end(outcome, handler=handler, status=status))
        except StorageUnavailable:
            raise
        except Exception:
            log.exception("task.failure_not_written")
        return await self._write(end(outcome, handler=None, status=status))

    async def _write(self, finished: Finish) -> bool:
        while True:
            try:
                (kept,) = await self._database.writer.submit(finish, [finished], bounded=False)
            except StorageUnavailable as error:
                if self._draining:
                    raise
                # the task is ours as long as the lease is; if that ends too, this wait is cancelled
                log.warning("task.outcome_waits", task_id=finished.task.id, error=str(error))
                await asyncio.sleep(POLL_SECONDS)
            else:
                return kept


async def _attempt(run: TaskRun, handler: Handler | None) -> tuple[Outcome, str | None]:
    """Let the handler work; return its outcome, and the class of the exception that took its place."""
    task = run.task
    if handler is None:
        log.error("task.unknown_kind", task_id=task.id, kind=task.kind)  # perhaps of a newer version: wait for it
        return Retry(f"no handler for {task.kind}", after_seconds=UNKNOWN_KIND_SECONDS, counts=False), "unknown_kind"
    if task.tries > task.max_attempts:
        return Retry("attempts used up: the process ended during the last one"), "lost"
    try:
        return await handler.run(run), None
    except LostLease:
        raise
    except RetryLater as error:
        return Retry(str(error), after_seconds=error.after_seconds, counts=False), type(error).__name__
    except asyncio.CancelledError:
        if (job := asyncio.current_task()) is not None and job.cancelling():
            raise
        return Retry("broken off from inside"), "CancelledError"
    except Exception as error:
        log.exception("task.crashed", task_id=task.id, kind=task.kind, attempt=task.attempt)
        return Retry(_describe(error)), type(error).__name__


def _describe(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"[:ERROR_CHARACTERS]


async def _cancel(job: asyncio.Task[None]) -> None:
    job.cancel()
    with suppress(asyncio.CancelledError):
        await job
