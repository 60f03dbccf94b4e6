"""Tasks as flows store, park, cancel and read them."""

from datetime import timedelta

import msgspec
import pytest

from gateway.storage import lanes, tasks, transitions
from gateway.storage.lanes import Lease


async def take(queue, *ids: str) -> list[transitions.Finish]:
    """Take tasks as the owner of ``internal``; return their successful ends."""
    async with queue.db.read() as conn:
        lane = await lanes.get_lane(conn, "internal")
    if lane.owner is None:
        await queue.write(lanes.claim, "me", ["internal"], 10)
        lane = await queue.read(lanes.get_lane, "internal")
    lease = Lease("internal", "me", lane.epoch)
    (taken,) = await queue.db.writer.submit(transitions.take, [transitions.Take(lease, ids)])
    return [transitions.Finish(task=task, lease=lease, state="done", status="done") for task in taken.tasks]


async def test_a_stored_task_reads_back_whole(queue, new_task):
    due_at = queue.db.clock.now() + timedelta(hours=1)
    named = {"account_id": "acc_1", "exclusive_key": "x", "unique_key": "u"}
    new = new_task("née", **named, priority=0, due_at=due_at, max_attempts=3)
    await queue.store(new)
    found = await queue.get(new.id)
    assert (found.kind, found.args, found.lane, found.account_id) == ("test", {"name": "née"}, "internal", "acc_1")
    assert (found.priority, found.exclusive_key, found.unique_key, found.max_attempts) == (0, "x", "u", 3)
    assert (found.state, found.attempt, found.uncounted, found.due_at) == ("available", 0, 0, due_at)
    assert (await queue.read(lanes.get_lane, "internal")).runs
    assert await queue.get("tsk_none") is None


async def test_storing_nothing_or_a_wrong_priority(queue, new_task):
    assert await queue.store() == []
    with pytest.raises(ValueError, match="priority 4"):
        await queue.store(new_task(priority=4))


async def test_one_task_waits_under_a_unique_key(queue, new_task):
    ids = await queue.store(new_task(unique_key="p"), new_task(unique_key="p"), new_task(), new_task())
    ids += await queue.store(new_task(unique_key="p"))
    assert await queue.states(*ids) == ["available", None, "available", "available", None]


async def test_a_change_while_the_task_runs_makes_a_new_one(queue, new_task):
    (running,) = await queue.store(new_task(unique_key="p"))
    (end,) = await take(queue, running)
    (newer,) = await queue.store(new_task(unique_key="p"))
    assert await queue.states(running, newer) == ["running", "available"]
    again = transitions.Finish(task=end.task, lease=end.lease, state="available", status="retry", error="busy")
    assert await queue.db.writer.submit(transitions.finish, [again]) == [True]
    assert await queue.states(running, newer) == ["cancelled", "available"]
    assert (await queue.get(running)).error == "superseded"
    assert await queue.attempts(running) == [(1, "retry", "busy")]


async def test_two_running_tasks_of_one_key_that_both_go_back_leave_the_newer(queue, new_task):
    (first,) = await queue.store(new_task(unique_key="p"))
    await take(queue, first)
    (second,) = await queue.store(new_task(unique_key="p"))
    await take(queue, second)
    assert await queue.write(transitions.put_back, ["internal"], "lost") == 2
    assert await queue.states(first, second) == ["cancelled", "available"]


async def test_parked_tasks_wait_for_their_cause_and_are_released_in_batches(queue, new_task):
    pushes = [new_task(account_id="acc_1", kind="push") for _ in range(5)]
    ids = await queue.store(*pushes, new_task(account_id="acc_2"))
    assert await queue.write(tasks.park_available, "setup:1", "stage is gone", account_id="acc_1", kind="push") == 5
    assert await queue.states(*ids) == ["parked"] * 5 + ["available"]
    assert (await queue.get(ids[0])).error == "stage is gone"
    assert await queue.write(tasks.release_parked, "setup:2") == 0
    woken = []
    queue.db.writer.on_touched.append(woken.append)
    assert [await queue.write(tasks.release_parked, "setup:1", 3) for _ in range(3)] == [3, 2, 0]
    assert await queue.states(*ids) == ["available"] * 6
    assert woken == [{"internal"}, {"internal"}]
    assert (await queue.get(ids[0])).park_cause is None


async def test_release_gives_way_to_a_newer_waiting_task(queue, new_task):
    (old,) = await queue.store(new_task(unique_key="p"))
    await queue.write(tasks.park_available, "c", "e", ids=[old])
    (older,) = await queue.store(new_task(unique_key="p"))
    await queue.write(tasks.park_available, "c", "e", ids=[older])
    await queue.write(tasks.release_parked, "c")
    assert await queue.states(old, older) == ["cancelled", "available"]


async def test_hastened_tasks_are_due_now_and_others_keep_their_time(queue, new_task):
    now = queue.db.clock.now()
    later, due, other = await queue.store(
        new_task(unique_key="a", due_at=now + timedelta(hours=1)),
        new_task(unique_key="b", due_at=now - timedelta(hours=1)),
        new_task(unique_key="c", due_at=now + timedelta(hours=1)),
    )
    before = {one: (await queue.get(one)).due_at for one in (due, other)}
    woken = []
    queue.db.writer.on_touched.append(woken.append)
    await queue.write(tasks.hasten, ["a", "b"])
    assert (await queue.get(later)).due_at < now + timedelta(minutes=1)
    assert {one: (await queue.get(one)).due_at for one in (due, other)} == before
    assert woken == [{"internal"}]
    await queue.write(tasks.hasten, [])


async def test_cancel_takes_waiting_and_parked_tasks_and_leaves_running_ones(queue, new_task):
    waiting, parked, running, elsewhere = await queue.store(
        *(new_task(account_id="acc_1") for _ in range(3)), new_task(account_id="acc_2")
    )
    await queue.write(tasks.park_available, "c", "e", ids=[parked])
    await take(queue, running)
    assert await queue.write(tasks.cancel_tasks, "disconnected", account_id="acc_1") == 2
    assert await queue.states(waiting, parked, running, elsewhere) == ["cancelled", "cancelled", "running", "available"]
    assert (await queue.get(waiting)).finished_at is not None


@pytest.mark.parametrize("change", [tasks.cancel_tasks, lambda conn, why: tasks.park_available(conn, "c", why)])
async def test_a_change_of_everything_is_refused(queue, change):
    with pytest.raises(ValueError, match="at least one condition"):
        await queue.write(change, "oops")


async def test_counts_and_the_oldest_due_task(queue, new_task):
    assert await queue.read(tasks.oldest_due) is None
    ids = await queue.store(*(new_task(account_id="acc_1") for _ in range(3)), new_task(lane="endpoint:1"))
    await queue.write(tasks.park_available, "c", "e", ids=ids[:1])
    await take(queue, ids[1])
    assert await queue.read(tasks.count_tasks) == {"available": 2, "running": 1, "parked": 1}
    assert await queue.read(tasks.count_tasks, lane="endpoint:1") == {"available": 1, "running": 0, "parked": 0}
    assert await queue.read(tasks.count_tasks, account_id="acc_1") == {"available": 1, "running": 1, "parked": 1}
    assert await queue.read(tasks.oldest_due) == (await queue.get(ids[2])).due_at


async def test_finished_tasks_and_old_excerpts_are_pruned_in_batches(queue, new_task):
    ids = await queue.store(*(new_task() for _ in range(4)))
    ends = await take(queue, *ids[:3])
    ends = [msgspec.structs.replace(end, excerpt="POST /leads") for end in ends]
    assert await queue.db.writer.submit(transitions.finish, ends) == [True] * 3
    cut = queue.db.clock.now() + timedelta(days=1)
    assert await queue.write(tasks.prune_excerpts, cut - timedelta(days=2)) == 0
    assert [await queue.write(tasks.prune_excerpts, cut, 2) for _ in range(3)] == [2, 1, 0]
    assert [a.excerpt for a in await queue.read(tasks.list_attempts, ids[0])] == [None]
    assert await queue.write(tasks.prune_finished, cut - timedelta(days=2)) == 0
    assert [await queue.write(tasks.prune_finished, cut, 2) for _ in range(3)] == [2, 1, 0]
    assert await queue.states(*ids) == [None, None, None, "available"]
    assert await queue.attempts(ids[0]) == []


async def test_what_a_superseded_task_had_done_passes_to_the_one_that_takes_its_place(queue, new_task):
    steps = {"contact": {"id": "7"}}
    (older,) = await queue.store(new_task(unique_key="p"))
    (end,) = await take(queue, older)
    await queue.db.writer.submit(transitions.save_steps, [transitions.Steps(older, 1, end.lease, steps)])
    (newer,) = await queue.store(new_task(unique_key="p"))
    await queue.write(transitions.put_back, ["internal"], "lost")
    assert await queue.states(older, newer) == ["cancelled", "available"]
    assert (await queue.get(newer)).steps == steps
    await take(queue, newer)
    (newest,) = await queue.store(new_task(unique_key="p"))
    await take(queue, newest)
    await queue.write(transitions.put_back, ["internal"], "lost")
    assert await queue.states(newer, newest) == ["cancelled", "available"]
    assert (await queue.get(newest)).steps == steps
