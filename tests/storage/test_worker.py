"""The worker over a real database: what becomes of a task, and who may run it."""

import asyncio
from collections import Counter
from datetime import timedelta

import pytest

from gateway.sdk.errors import RetryLater
from gateway.storage import lanes, tasks
from gateway.storage.running import Done, Fail, Hold, LaneLimits, Park, Retry, TaskRun
from gateway.storage.transitions import Take, finish, put_back, take
from gateway.storage.writer import StorageUnavailable
from gateway.worker import Periodic, Worker


class Recorder:
    """A handler that does what the test says and remembers what ran."""

    def __init__(self, act=None):
        self.act = act or (lambda run: Done())
        self.ran: list[str] = []
        self.failures: list[str] = []

    async def run(self, run: TaskRun):
        self.ran.append(run.task.args["name"])
        outcome = self.act(run)
        return await outcome if asyncio.iscoroutine(outcome) else outcome

    async def failed(self, conn, task, error, now):
        self.failures.append(error)
        await lanes.create_lanes(conn, [f"failed:{task.id}"])


class Gate:
    """A handler whose tasks wait at a gate, so that a test sees what runs together."""

    def __init__(self):
        self.inside: set[str] = set()
        self.most = 0
        self.changed = asyncio.Event()
        self.open = asyncio.Event()
        self.handler = Recorder(self.wait)

    async def wait(self, run: TaskRun):
        name = run.task.args["name"]
        self.inside.add(name)
        self.most = max(self.most, len(self.inside))
        self.changed.set()
        try:
            await self.open.wait()
        finally:
            self.inside.discard(name)
            self.changed.set()
        return Done()

    async def until(self, inside: set[str]):
        async with asyncio.timeout(10):
            while self.inside != inside:
                self.changed.clear()
                await self.changed.wait()


def make_worker(queue, handler, **changes) -> Worker:
    return Worker(queue.db, {"test": handler}, process_id="test", **changes)


async def drain(queue, handler, **changes) -> int:
    return await make_worker(queue, handler, **changes).drain()


class Running:
    """A worker that runs beside the test."""

    def __init__(self, worker: Worker):
        self.worker = worker

    async def __aenter__(self) -> Worker:
        self.job = asyncio.create_task(self.worker.run())
        return self.worker

    async def __aexit__(self, *_):
        async with asyncio.timeout(10):
            await self.worker.stop()
            await self.job


async def until(condition) -> None:
    async with asyncio.timeout(10):
        while not (await found if asyncio.iscoroutine(found := condition()) else found):  # noqa: ASYNC110
            await asyncio.sleep(0.01)


# --- drain -----------------------------------------------------------------------------------------


async def test_drain_runs_what_is_due_and_what_that_makes_due(queue, new_task):
    def act(run: TaskRun):
        async def apply(conn):
            if run.task.args["name"] < "c":
                await tasks.insert_tasks(conn, [new_task(chr(ord(run.task.args["name"]) + 1), lane="other")], run.now())

        return Done(apply)

    handler = Recorder(act)
    await queue.store(new_task("a"), new_task("late", due_at=queue.db.clock.now() + timedelta(hours=1)))
    assert await drain(queue, handler) == 3
    assert handler.ran == ["a", "b", "c"]
    assert await drain(queue, handler) == 0
    queue.db.clock.advance(timedelta(hours=1))
    assert await drain(queue, handler) == 1
    assert (await queue.read(lanes.get_lane, "internal")).owner is None


async def test_drain_stops_at_tasks_that_make_each_other_without_end(queue, new_task):
    def act(run: TaskRun):
        return Done(lambda conn: tasks.insert_tasks(conn, [new_task()], run.now()))

    await queue.store(new_task())
    with pytest.raises(RuntimeError, match="without end"):
        await make_worker(queue, Recorder(act)).drain(max_tasks=10)
    assert (await queue.read(lanes.get_lane, "internal")).owner is None


async def test_many_tasks_of_many_lanes_each_run_once(queue, new_task):
    names = [f"{lane}/{i}" for lane in range(60) for i in range(25)]
    await queue.store(*(new_task(name, lane=f"lane{name.split('/')[0]}") for name in names))
    handler = Recorder()
    assert await drain(queue, handler, limits=lambda lane: LaneLimits(concurrency=4), max_running=100) == 1_500
    assert Counter(handler.ran) == Counter(names)


# --- outcomes --------------------------------------------------------------------------------------


async def test_done_commits_the_flows_writes_with_the_state(queue, new_task):
    (task_id,) = await queue.store(new_task())

    async def act(run: TaskRun):
        run.excerpt("POST /leads")
        run.excerpt("201")
        return Done(lambda conn: lanes.create_lanes(conn, ["written"]))

    await drain(queue, Recorder(act))
    task = await queue.get(task_id)
    assert (task.state, task.error, task.attempt) == ("done", None, 1)
    assert task.finished_at >= task.started_at
    (attempt,) = await queue.read(tasks.list_attempts, task_id)
    assert (attempt.number, attempt.status, attempt.excerpt) == (1, "done", "POST /leads\n201")
    assert attempt.duration_ms >= 0
    assert await queue.read(lanes.get_lane, "written") is not None


async def test_the_attempt_is_counted_before_the_work_starts(queue, other, new_task):
    (task_id,) = await queue.store(new_task())
    seen = []

    async def act(run: TaskRun):
        seen.append(await other.get(task_id))
        return Done()

    await drain(queue, Recorder(act))
    assert [(task.state, task.attempt) for task in seen] == [("running", 1)]


async def test_retry_waits_with_a_growing_back_off_and_then_fails_with_its_handler(queue, new_task):
    (task_id,) = await queue.store(new_task(max_attempts=3))
    handler = Recorder(lambda run: Retry("vendor is down", apply=lambda conn: lanes.create_lanes(conn, ["applied"])))
    waits = []
    for _ in range(2):
        assert await drain(queue, handler) == 1
        task = await queue.get(task_id)
        assert (task.state, task.error) == ("available", "vendor is down")
        waits.append((task.due_at - queue.db.clock.now()).total_seconds())
        queue.db.clock.advance(timedelta(seconds=waits[-1]))
    assert 7 < waits[0] < 12.1
    assert 23 < waits[1] < 36.1
    assert await drain(queue, handler) == 1
    assert await queue.states(task_id) == ["failed"]
    assert handler.failures == ["vendor is down"]
    assert await queue.attempts(task_id) == [
        (1, "retry", "vendor is down"),
        (2, "retry", "vendor is down"),
        (3, "failed", "vendor is down"),
    ]
    for written in ("applied", f"failed:{task_id}"):
        assert await queue.read(lanes.get_lane, written) is not None


async def test_waits_that_the_vendor_asks_for_use_up_no_attempt(queue, new_task):
    (task_id,) = await queue.store(new_task(max_attempts=1))

    def act(run: TaskRun):
        if run.task.attempt <= 5:
            raise RetryLater("too many requests", after_seconds=30)
        return Done()

    for _ in range(5):
        assert await drain(queue, Recorder(act)) == 1
        assert await drain(queue, Recorder(act)) == 0
        queue.db.clock.advance(timedelta(seconds=30))
    assert await drain(queue, Recorder(act)) == 1
    assert await queue.states(task_id) == ["done"]
    assert (await queue.get(task_id)).uncounted == 5
    assert [status for _, status, _ in await queue.attempts(task_id)] == ["RetryLater"] * 5 + ["done"]


async def test_a_bug_is_retried_and_fails_after_the_last_attempt(queue, new_task):
    (task_id,) = await queue.store(new_task(max_attempts=2))

    def act(run: TaskRun):
        raise KeyError("title")

    handler = Recorder(act)
    for _ in range(2):
        assert await drain(queue, handler) == 1
        queue.db.clock.advance(timedelta(minutes=5))
    assert await queue.states(task_id) == ["failed"]
    assert handler.failures == ["KeyError: 'title'"]
    assert [status for _, status, _ in await queue.attempts(task_id)] == ["KeyError", "KeyError"]


async def test_an_answer_that_is_no_outcome_is_a_bug(queue, new_task):
    (task_id,) = await queue.store(new_task())
    await drain(queue, Recorder(lambda run: None))
    assert "no outcome" in (await queue.get(task_id)).error


async def test_fail_is_the_flows_own_word_and_calls_nothing_else(queue, new_task):
    (task_id,) = await queue.store(new_task())
    handler = Recorder(lambda run: Fail("refused", lambda conn: lanes.create_lanes(conn, ["applied"])))
    await drain(queue, handler)
    assert await queue.states(task_id) == ["failed"]
    assert handler.failures == []
    assert await queue.read(lanes.get_lane, "applied") is not None


async def test_a_bug_in_the_flows_writes_is_a_retry_and_writes_nothing(queue, new_task):
    bad, good = await queue.store(new_task("bad"), new_task("good"))

    async def apply(conn):
        await lanes.create_lanes(conn, ["written"])
        raise ZeroDivisionError("oops")

    await drain(queue, Recorder(lambda run: Done(apply if run.task.id == bad else None)))
    assert await queue.states(bad, good) == ["available", "done"]
    assert await queue.attempts(bad) == [(1, "ZeroDivisionError", "ZeroDivisionError: oops")]
    assert await queue.read(lanes.get_lane, "written") is None


async def test_a_task_whose_failure_cannot_be_recorded_is_kept_and_tried_again(queue, new_task):
    (task_id,) = await queue.store(new_task(max_attempts=1))
    handler = Recorder(lambda run: Retry("down"))
    record = handler.failed

    async def broken(*_):
        raise ZeroDivisionError

    handler.failed = broken
    await drain(queue, handler)
    assert await queue.states(task_id) == ["available"]
    handler.failed = record
    queue.db.clock.advance(timedelta(hours=1))
    await drain(queue, handler)
    assert await queue.states(task_id) == ["failed"]
    assert handler.ran == ["t"]
    assert handler.failures == ["attempts used up: the process ended during the last one"]


async def test_park_waits_for_its_cause_and_uses_up_no_attempt(queue, new_task):
    (task_id,) = await queue.store(new_task(max_attempts=1))
    broken = True
    handler = Recorder(lambda run: Park("setup:1", "stage is gone") if broken else Done())
    await drain(queue, handler)
    assert await queue.states(task_id) == ["parked"]
    assert await drain(queue, handler) == 0
    broken = False
    await queue.write(tasks.release_parked, "setup:1")
    await drain(queue, handler)
    assert await queue.states(task_id) == ["done"]


async def test_hold_stops_the_lane_until_it_is_unheld(queue, new_task):
    ids = await queue.store(new_task("a", max_attempts=1), new_task("b", max_attempts=1), new_task("c", lane="other"))
    refused = True
    handler = Recorder(lambda run: Hold("needs_reauth") if refused and run.task.lane == "internal" else Done())
    await drain(queue, handler, limits=lambda lane: LaneLimits(concurrency=1))
    assert sorted(handler.ran) == ["a", "c"]
    assert await queue.states(*ids) == ["available", "available", "done"]
    assert (await queue.read(lanes.get_lane, "internal")).held == "needs_reauth"
    refused = False
    assert await drain(queue, handler) == 0
    await queue.write(lanes.unhold, "internal")
    assert await drain(queue, handler) == 2
    assert await queue.states(*ids) == ["done"] * 3


async def test_a_paused_lane_starts_nothing_until_its_time(queue, new_task):
    await queue.store(new_task("a"), new_task("b"), new_task("c"))

    async def act(run: TaskRun):
        if run.task.args["name"] == "a":
            await run.pause_lane(60)
        return Done()

    handler = Recorder(act)
    assert await drain(queue, handler, limits=lambda lane: LaneLimits(concurrency=1)) == 1
    queue.db.clock.advance(timedelta(seconds=59))
    assert await drain(queue, handler) == 0
    queue.db.clock.advance(timedelta(seconds=1))
    assert await drain(queue, handler) == 2


async def test_a_task_of_an_unknown_kind_waits_for_a_process_that_knows_it(queue, new_task):
    (task_id,) = await queue.store(new_task(kind="newer", max_attempts=1))
    for _ in range(3):
        assert await drain(queue, Recorder()) == 1
        queue.db.clock.advance(timedelta(minutes=1))
    assert await queue.states(task_id) == ["available"]
    assert (await queue.get(task_id)).error == "no handler for newer"


async def test_saved_steps_are_there_in_the_next_attempt(queue, new_task):
    (task_id,) = await queue.store(new_task())
    seen = []

    async def act(run: TaskRun):
        seen.append(dict(run.steps))
        if not run.steps:
            await run.save_steps({"person": 7}, lambda conn: lanes.create_lanes(conn, ["person:7"]))
            raise ConnectionError
        return Done()

    await drain(queue, Recorder(act))
    queue.db.clock.advance(timedelta(minutes=1))
    await drain(queue, Recorder(act))
    assert seen == [{}, {"person": 7}]
    assert await queue.read(lanes.get_lane, "person:7") is not None
    assert await queue.states(task_id) == ["done"]


# --- ownership -------------------------------------------------------------------------------------


async def test_an_owner_that_lost_its_lane_saves_no_steps_and_finishes_nothing(queue, other, new_task):
    stolen, finished = await queue.store(new_task("stolen"), new_task("finished"))
    thief = make_worker(other, Recorder())
    entered = asyncio.Event()

    async def act(run: TaskRun):
        if run.task.id == finished:
            await entered.wait()
            return Done(lambda conn: lanes.create_lanes(conn, ["late"]))
        queue.db.clock.advance(timedelta(seconds=60))
        assert await thief.drain() == 2
        entered.set()
        await run.save_steps({"lead": 1})
        raise AssertionError("save_steps must raise LostLease")

    handler = Recorder(act)
    await drain(queue, handler)
    assert await queue.states(stolen, finished) == ["done", "done"]
    task = await queue.get(stolen)
    assert (task.attempt, task.steps) == (2, None)
    assert await queue.attempts(stolen) == [(1, "lost", None), (2, "done", None)]
    assert await queue.read(lanes.get_lane, "late") is None


async def test_a_crash_leaves_tasks_that_the_next_owner_puts_back(queue, other, new_task):
    (task_id,) = await queue.store(new_task())
    gate = Gate()
    async with Running(make_worker(queue, gate.handler)):
        await gate.until({"t"})
        queue.db.clock.advance(timedelta(seconds=60))
        handler = Recorder()
        assert await drain(other, handler) == 1
        assert await other.attempts(task_id) == [(1, "lost", None), (2, "done", None)]
        gate.open.set()


async def test_a_task_that_ends_its_process_each_time_fails_at_last(queue, new_task):
    (task_id,) = await queue.store(new_task(max_attempts=2))
    for _ in range(2):
        (lease,) = await queue.write(lanes.claim, "dead", ["internal"], 10)
        await queue.db.writer.submit(take, [Take(lease, [task_id])])
        queue.db.clock.advance(timedelta(seconds=11))
        (lease,) = await queue.write(lanes.claim, "undertaker", ["internal"], 10)
        await queue.write(put_back, ["internal"], "lost")
        await queue.write(lanes.release, [lease])
    handler = Recorder()
    queue.db.clock.advance(timedelta(seconds=8))
    await drain(queue, handler)
    assert handler.ran == []
    assert handler.failures == ["attempts used up: the process ended during the last one"]
    assert await queue.states(task_id) == ["failed"]


async def test_tasks_that_are_lost_together_again_and_again_are_spread_out(queue, new_task):
    """One of them may be what ends their process; the others must not use up their attempts beside it."""
    ids = await queue.store(*(new_task(str(i)) for i in range(20)))
    for lost_before in (False, True):
        (lease,) = await queue.write(lanes.claim, "dead", ["internal"], 10)
        await queue.db.writer.submit(take, [Take(lease, ids)])
        await queue.write(put_back, ["internal"], "lost")
        await queue.write(lanes.release, [lease])
        waits = [((await queue.get(i)).due_at - queue.db.clock.now()).total_seconds() for i in ids]
        assert min(waits) > 2 if lost_before else max(waits) <= 0
    assert max(waits) < 8
    assert max(waits) - min(waits) > 1


async def test_an_owner_that_cannot_renew_breaks_off_its_work(queue, new_task):
    (task_id,) = await queue.store(new_task())
    gate = Gate()
    async with Running(make_worker(queue, gate.handler)) as worker:
        await gate.until({"t"})
        (lane,) = worker._holdings.lanes.values()

        async def stuck(conn):
            lane.renewed -= 7  # two thirds of ten seconds went by
            await worker._holdings.renew()

        await queue.db.writer.run(stuck)
        await gate.until(set())
        assert worker._holdings.lanes == {}
    assert await queue.states(task_id) == ["running"], "the next owner puts it back"


async def test_leases_are_renewed_before_other_writes_that_wait(queue, new_task):
    """Or a slow database would cost the leases of all that runs, and what is broken off is more work for it."""
    await queue.store(new_task())
    gate = Gate()
    async with Running(make_worker(queue, gate.handler)) as worker:
        await gate.until({"t"})
        (lane,) = worker._holdings.lanes.values()
        before = lane.renewed
        first, second = asyncio.Event(), asyncio.Event()
        writes = [asyncio.create_task(queue.db.writer.run(lambda _conn: first.wait()))]
        await asyncio.sleep(0.01)
        writes.append(asyncio.create_task(queue.db.writer.run(lambda _conn: second.wait())))
        await asyncio.sleep(0)
        renewing = asyncio.create_task(worker._holdings.renew())
        await asyncio.sleep(0)
        first.set()
        assert await renewing is True
        assert lane.renewed > before
        assert not writes[1].done()
        second.set()
        await asyncio.gather(*writes)
        gate.open.set()


async def test_a_lane_whose_renewal_finds_another_owner_is_broken_off(queue, other, new_task):
    await queue.store(new_task())
    gate = Gate()
    async with Running(make_worker(queue, gate.handler)) as worker:
        await gate.until({"t"})
        queue.db.clock.advance(timedelta(seconds=60))
        await other.write(lanes.claim, "thief", ["internal"], 1_000)
        await worker._holdings.renew()
        await gate.until(set())


async def test_renewal_notices_a_hold_by_another_process(queue, other, new_task):
    await queue.store(new_task("a"))
    gate = Gate()
    async with Running(make_worker(queue, gate.handler)) as worker:
        await gate.until({"a"})
        await other.write(lanes.hold, "internal", "disconnected")
        await worker._holdings.renew()
        assert [lane.runs for lane in worker._holdings.lanes.values()] == [False]
        gate.open.set()


async def test_time_for_calls_is_less_than_the_lease_and_memory_survives_in_the_lane(queue, new_task):
    await queue.store(*(new_task(str(i)) for i in range(5)), new_task("x", lane="other"))
    budgets, memories = [], []

    def act(run: TaskRun):
        budgets.append(run.seconds_left)
        memories.append(run.lane_memory)
        run.lane_memory["calls"] = run.lane_memory.get("calls", 0) + 1
        return Done()

    worker = make_worker(queue, Recorder(act), lease_seconds=8)
    await worker.drain()
    assert all(0 < budget < 7.5 for budget in budgets)
    assert sorted(memory["calls"] for memory in {id(m): m for m in memories}.values()) == [1, 5]
    await queue.store(new_task("again"))
    await worker.drain()
    assert memories[-1]["calls"] == 6, "nobody else owned the lane meanwhile"
    (lease,) = await claim_and_release(queue, new_task)
    await worker.drain()
    assert memories[-1]["calls"] == 1, f"{lease.owner} owned the lane meanwhile"


async def claim_and_release(queue, new_task):
    await queue.store(new_task())
    leases = await queue.write(lanes.claim, "somebody else", ["internal"], 10)
    await queue.write(lanes.release, leases)
    return leases


# --- answers that were lost ------------------------------------------------------------------------


def lose_answer(queue, flow, monkeypatch) -> list[str]:
    """Let the connection break right after the next commit of ``flow``: it is done, but nobody knows."""
    submit, left = queue.db.writer.submit, ["once"]

    async def submit_and_break(fn, items, **options):
        answer = await submit(fn, items, **options)
        if fn is flow and items and left:
            left.pop()
            raise StorageUnavailable("connection broke during the commit")
        return answer

    monkeypatch.setattr(queue.db.writer, "submit", submit_and_break)
    return left


async def test_an_outcome_whose_commit_was_not_answered_is_written_once(queue, new_task, monkeypatch):
    monkeypatch.setattr("gateway.worker.POLL_SECONDS", 0.01)
    (task_id,) = await queue.store(new_task())
    applied = []

    async def apply(conn):
        applied.append(task_id)

    left = lose_answer(queue, finish, monkeypatch)
    async with Running(make_worker(queue, Recorder(lambda run: Done(apply)))) as worker:
        await until(lambda: not left and not worker._holdings.jobs())
    assert applied == [task_id]
    assert await queue.states(task_id) == ["done"]


async def test_a_task_that_was_taken_without_an_answer_runs_although_its_lane_stays_busy(queue, new_task, monkeypatch):
    monkeypatch.setattr("gateway.worker.POLL_SECONDS", 0.01)
    gate = Gate()
    async with Running(make_worker(queue, gate.handler)):
        await queue.store(new_task("busy"))
        await gate.until({"busy"})
        left = lose_answer(queue, take, monkeypatch)
        (task_id,) = await queue.store(new_task("taken"))
        await gate.until({"busy", "taken"})
        assert not left
        gate.open.set()
    assert gate.handler.ran == ["busy", "taken"]
    assert await queue.attempts(task_id) == [(1, "lost", None), (2, "done", None)]


async def test_leases_are_kept_after_a_renewal_that_failed_in_an_unexpected_way(queue, new_task, monkeypatch):
    await queue.store(new_task())
    renew, failures = lanes.renew, [ZeroDivisionError("first"), ZeroDivisionError("second")]

    async def fail_twice(*arguments):
        if failures:
            raise failures.pop()
        return await renew(*arguments)

    monkeypatch.setattr(lanes, "renew", fail_twice)
    gate = Gate()
    async with Running(make_worker(queue, gate.handler, lease_seconds=0.6)) as worker:
        await gate.until({"t"})
        (lane,) = worker._holdings.lanes.values()
        began = lane.renewed
        await until(lambda: lane.renewed > began)
        assert gate.inside == {"t"}
        gate.open.set()


async def test_a_lane_that_was_lost_is_not_taken_again_while_its_work_is_still_breaking_off(queue, new_task):
    await queue.store(new_task("first", exclusive_key="k"), new_task("second", exclusive_key="k"))
    breaking_off, broken_off = asyncio.Event(), asyncio.Event()
    inside: list[str] = []

    async def act(run: TaskRun):
        name = f"{run.task.args['name']} {run.task.attempt}"
        assert inside == [], f"{name} runs beside {inside}"
        inside.append(name)
        try:
            if name == "first 1":
                await asyncio.Event().wait()
        finally:
            if name == "first 1":
                breaking_off.set()
                await broken_off.wait()
            inside.remove(name)
        return Done()

    handler = Recorder(act)
    async with Running(make_worker(queue, handler)) as worker:
        await until(lambda: inside)
        queue.db.clock.advance(timedelta(seconds=60))
        worker._holdings.lose(next(iter(worker._holdings.lanes.values())))
        await breaking_off.wait()
        assert not await worker._holdings.claim()
        assert worker._holdings.lanes == {}
        broken_off.set()
        await until(lambda: len(handler.ran) == 3)
    assert handler.ran == ["first", "first", "second"]


async def test_a_clock_that_jumps_ahead_breaks_off_nothing_in_a_lane_that_nobody_else_wants(queue, new_task):
    (task_id,) = await queue.store(new_task())
    gate = Gate()
    async with Running(make_worker(queue, gate.handler)) as worker:
        await gate.until({"t"})
        queue.db.clock.advance(timedelta(hours=1))
        await worker._holdings.claim()
        await worker._holdings.renew()
        gate.open.set()
    assert gate.handler.ran == ["t"]
    assert await queue.attempts(task_id) == [(1, "done", None)]


# --- fairness and concurrency ----------------------------------------------------------------------


async def test_concurrency_of_a_lane_and_of_the_process_are_kept(queue, new_task):
    await queue.store(*(new_task(f"{lane}{i}", lane=lane) for lane in "ab" for i in range(9)))
    gate = Gate()
    limits = {"a": LaneLimits(concurrency=2), "b": LaneLimits(concurrency=9)}
    async with Running(make_worker(queue, gate.handler, limits=limits.__getitem__, max_running=6)):
        await gate.until({"a0", "a1", "b0", "b1", "b2", "b3"})
        gate.open.set()
        await until(lambda: len(gate.handler.ran) == 18)
    assert gate.most <= 6


async def test_vendors_that_are_slow_hold_up_nothing_of_our_own(queue, new_task):
    gate = Gate()
    await queue.store(*(new_task(f"push{lane}", lane=f"vendor:{lane}") for lane in range(9)))
    limits = {"endpoint:1": LaneLimits(pool="own")}
    async with Running(
        make_worker(queue, gate.handler, limits=lambda lane: limits.get(lane, LaneLimits()), max_running=3)
    ):
        async with asyncio.timeout(10):
            while len(gate.inside) < 3:
                gate.changed.clear()
                await gate.changed.wait()
        full = set(gate.inside)
        await queue.store(new_task("event", lane="endpoint:1"))
        await gate.until({*full, "event"})
        gate.open.set()


async def test_lanes_take_turns_by_weight(queue, new_task):
    await queue.store(*(new_task(f"{lane}{i}", lane=lane) for lane in "abc" for i in range(12)))
    handler = Recorder()
    weights = {"a": 1, "b": 1, "c": 2}
    await drain(queue, handler, limits=lambda lane: LaneLimits(concurrency=99, weight=weights[lane]), max_running=4)
    first = Counter(name[0] for name in handler.ran[:12])
    assert first == {"a": 3, "b": 3, "c": 6}


async def test_priority_goes_before_age_inside_a_lane(queue, new_task):
    now = queue.db.clock.now()
    await queue.store(
        new_task("bulk", priority=3, due_at=now - timedelta(hours=1)),
        new_task("status", priority=2),
        new_task("signup", priority=0),
        new_task("older signup", priority=0, due_at=now - timedelta(minutes=1)),
        new_task("inbound", priority=1),
    )
    handler = Recorder()
    await drain(queue, handler, limits=lambda lane: LaneLimits(concurrency=1))
    assert handler.ran == ["older signup", "signup", "inbound", "status", "bulk"]


async def test_what_the_vendor_told_has_one_place_before_a_list_of_signups(queue, new_task):
    now = queue.db.clock.now()
    told = [new_task(f"told{i}", priority=1) for i in range(3)]
    signups = [new_task(f"signup{i}", priority=0, due_at=now - timedelta(minutes=60 - i)) for i in range(30)]
    await queue.store(*told, *signups)
    gate = Gate()
    async with Running(make_worker(queue, gate.handler, limits=lambda lane: LaneLimits(concurrency=3))):
        await gate.until({"told0", "signup0", "signup1"})  # one place, the others are the signups'
        gate.open.set()
        await until(lambda: len(gate.handler.ran) == 33)
    assert gate.handler.ran.index("told1") < gate.handler.ran.index("signup29")  # and again when it is free


async def test_tasks_of_one_exclusive_key_never_run_together(queue, new_task):
    await queue.store(*(new_task(f"{key}{i}", exclusive_key=key) for key in "ab" for i in range(4)), new_task("free"))
    inside: Counter[str] = Counter()
    most: Counter[str] = Counter()

    async def act(run: TaskRun):
        key = run.task.args["name"][0]
        inside[key] += 1
        most[key] = max(most[key], inside[key])
        await asyncio.sleep(0)
        inside[key] -= 1
        return Done()

    handler = Recorder(act)
    assert await drain(queue, handler) == 9
    assert most == {"a": 1, "b": 1, "f": 1}


async def test_an_exclusive_key_is_in_use_until_the_outcome_is_committed(queue, new_task):
    await queue.store(new_task("first", exclusive_key="k"), new_task("second", exclusive_key="k"))
    seen = []

    async def act(run: TaskRun):
        seen.append((run.task.args["name"], (await queue.read(lanes.get_lane, "first is written")) is not None))
        return Done(lambda conn: lanes.create_lanes(conn, [f"{run.task.args['name']} is written"]))

    await drain(queue, Recorder(act))
    assert seen == [("first", False), ("second", True)]


# --- running ---------------------------------------------------------------------------------------


async def test_a_stored_task_wakes_the_worker_of_its_process(queue, new_task):
    gate = Gate()
    async with Running(make_worker(queue, gate.handler)):
        await asyncio.sleep(0.05)
        for name in ("a", "b"):
            await queue.store(new_task(name))
            await gate.until(gate.inside | {name})
        await queue.write(lanes.hold, "vendor", "needs_reauth")
        await queue.store(new_task("c", lane="vendor"))
        await queue.write(lanes.unhold, "vendor")
        await gate.until({"a", "b", "c"})
        gate.open.set()


async def test_a_stored_task_wakes_another_process(queue, other, new_task):
    gate = Gate()
    async with Running(make_worker(queue, gate.handler)):
        await asyncio.sleep(0.05)
        await other.store(new_task("a"))
        await gate.until({"a"})
        gate.open.set()


async def test_idle_lanes_are_given_back(queue, new_task, monkeypatch):
    monkeypatch.setattr("gateway.worker.POLL_SECONDS", 0.02)
    await queue.store(new_task())

    async def given_back():
        lane = await queue.read(lanes.get_lane, "internal")
        return lane.epoch > 0 and lane.owner is None

    async with Running(make_worker(queue, Recorder())):
        await until(given_back)


async def test_stop_lets_work_end_and_gives_lanes_back(queue, new_task):
    running, waiting = await queue.store(new_task("running"), new_task("waiting"))
    gate = Gate()
    worker = make_worker(queue, gate.handler, limits=lambda lane: LaneLimits(concurrency=1))
    job = asyncio.create_task(worker.run())
    await gate.until({"running"})
    stopping = asyncio.create_task(worker.stop())
    await asyncio.sleep(0)
    gate.open.set()
    await asyncio.gather(stopping, job)
    assert await queue.states(running, waiting) == ["done", "available"]
    assert (await queue.read(lanes.get_lane, "internal")).owner is None
    await worker.stop()


async def test_stop_breaks_off_what_does_not_end_and_puts_it_back(queue, new_task):
    (task_id,) = await queue.store(new_task())
    gate = Gate()
    worker = make_worker(queue, gate.handler, grace_seconds=0.01)
    job = asyncio.create_task(worker.run())
    await gate.until({"t"})
    await worker.stop()
    await job
    assert await queue.states(task_id) == ["available"]
    assert await queue.attempts(task_id) == [(1, "stopped", None)]
    assert (await queue.read(lanes.get_lane, "internal")).owner is None


async def test_stopping_a_worker_that_never_ran_returns(queue):
    await make_worker(queue, Recorder()).stop()


async def test_an_outcome_waits_out_a_database_that_takes_no_writes(queue, new_task, monkeypatch):
    monkeypatch.setattr("gateway.worker.POLL_SECONDS", 0.01)
    (task_id,) = await queue.store(new_task())
    failures = 3

    async def apply(conn):
        nonlocal failures
        failures -= 1
        if failures >= 0:
            raise StorageUnavailable("disk is full")

    async def done():
        return await queue.states(task_id) == ["done"]

    async with Running(make_worker(queue, Recorder(lambda run: Done(apply)))):
        await until(done)
    assert (await queue.get(task_id)).attempt == 1


async def test_drain_reports_a_database_that_takes_no_writes(queue, new_task):
    await queue.store(new_task())

    async def apply(conn):
        raise StorageUnavailable("disk is full")

    with pytest.raises(StorageUnavailable):
        await drain(queue, Recorder(lambda run: Done(apply)))


# --- periodic --------------------------------------------------------------------------------------


async def test_periodic_work_runs_once_a_period_whoever_looks(queue, other, new_task):
    handler = Recorder()

    async def make_tasks(conn, now):
        await tasks.insert_tasks(conn, [new_task("sweep")], now)

    periodic = [Periodic("sweep", 60, make_tasks)]
    assert await drain(queue, handler, periodic=periodic) == 1
    assert await drain(other, handler, periodic=periodic) == 0
    queue.db.clock.advance(timedelta(seconds=60))
    assert await drain(other, handler, periodic=periodic) == 1
    assert await drain(queue, handler, periodic=periodic) == 0


async def test_a_period_whose_tasks_cannot_be_made_is_not_used_up(queue, new_task):
    broken = True

    async def make_tasks(conn, now):
        if broken:
            raise ZeroDivisionError
        await tasks.insert_tasks(conn, [new_task("sweep")], now)

    periodic = [Periodic("sweep", 60, make_tasks)]
    with pytest.raises(ZeroDivisionError):
        await drain(queue, Recorder(), periodic=periodic)
    broken = False
    assert await drain(queue, Recorder(), periodic=periodic) == 1


async def test_periodic_work_that_fails_stops_neither_other_periodic_work_nor_the_queue(queue, other, new_task):
    async def broken(conn, now):
        raise ZeroDivisionError

    async def make_tasks(conn, now):
        await tasks.insert_tasks(conn, [new_task("sweep", lane="sweeps")], now)

    handler = Recorder()
    periodic = [Periodic("a broken one", 60, broken), Periodic("sweep", 60, make_tasks)]
    await queue.store(new_task("later", due_at=queue.db.clock.now() + timedelta(seconds=30)))
    async with Running(make_worker(queue, handler, periodic=periodic)):
        await until(lambda: handler.ran == ["sweep"])
        queue.db.clock.advance(timedelta(seconds=30))
        await until(lambda: handler.ran == ["sweep", "later"])
