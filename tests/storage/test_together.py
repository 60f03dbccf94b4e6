"""Writes that many tasks of one transaction share are made in one call, and a bad one spoils nobody else's."""

import asyncio

from gateway.storage import lanes, transitions
from gateway.storage.transitions import Finish, Steps, Take, Together


async def running(queue, new_task, *names):
    """Store and take tasks; return the lease and the tasks."""
    ids = await queue.store(*(new_task(name) for name in names))
    (lease,) = await queue.write(lanes.claim, "me", ["internal"], 60)
    (taken,) = await queue.db.writer.submit(transitions.take, [Take(lease, ids)])
    return lease, taken.tasks


async def write_lanes(conn, names):
    """Write one row an item, so that it can be seen what was written."""
    await lanes.create_lanes(conn, names)


async def test_ends_of_one_transaction_share_a_call_and_steps_do(queue, new_task):
    lease, tasks = await running(queue, new_task, "a", "b", "c")
    calls = []

    async def flow(conn, items):
        calls.append(list(items))
        await write_lanes(conn, items)

    submit = queue.db.writer.submit
    steps = [Steps(one.id, 1, lease, {"lead": 1}, Together(flow, f"step{place}")) for place, one in enumerate(tasks)]
    assert await asyncio.gather(*(submit(transitions.save_steps, [one]) for one in steps)) == [[True]] * 3
    ends = [
        Finish(task=one, lease=lease, state="done", status="done", applies=[Together(flow, f"end{place}")])
        for place, one in enumerate(tasks)
    ]
    assert await asyncio.gather(*(submit(transitions.finish, [one]) for one in ends)) == [[True]] * 3
    assert calls == [["step0", "step1", "step2"], ["end0", "end1", "end2"]]
    assert await queue.states(*(one.id for one in tasks)) == ["done"] * 3
    assert await queue.read(lanes.get_lane, "end2") is not None


async def test_what_is_not_ours_any_more_is_left_out_of_the_call(queue, new_task):
    lease, (mine, over) = await running(queue, new_task, "mine", "over")
    submit = queue.db.writer.submit
    await submit(transitions.finish, [Finish(task=over, lease=lease, state="done", status="done")])
    calls = []

    async def flow(_conn, items):
        calls.append(list(items))

    ends = [
        Finish(task=one, lease=lease, state="done", status="done", applies=[Together(flow, one.id)])
        for one in (over, mine)
    ]
    await submit(transitions.finish, ends)
    assert calls == [[mine.id]]


async def test_a_bad_item_fails_alone(queue, new_task):
    lease, tasks = await running(queue, new_task, "a", "b", "c", "d")

    async def flow(conn, items):
        await write_lanes(conn, items)
        if "bad" in items:
            raise ValueError("bad")

    names = ["a", "bad", "c", "d"]
    ends = [
        Finish(task=one, lease=lease, state="done", status="done", applies=[Together(flow, name)])
        for one, name in zip(tasks, names, strict=True)
    ]
    answers = await asyncio.gather(
        *(queue.db.writer.submit(transitions.finish, [one]) for one in ends), return_exceptions=True
    )
    assert [answers[0], answers[2], answers[3]] == [[True]] * 3
    assert isinstance(answers[1], ValueError)
    assert await queue.states(*(one.id for one in tasks)) == ["done", "running", "done", "done"]
    written = [await queue.read(lanes.get_lane, name) for name in names]
    assert [one is not None for one in written] == [True, False, True, True]


async def test_shared_writes_go_before_those_of_a_task_alone(queue, new_task):
    """``Retry`` of the last try: what the attempt learnt, then that it failed."""
    lease, (task,) = await running(queue, new_task, "a")
    seen = []

    async def shared(_conn, items):
        seen.extend(items)

    async def alone(_conn):
        seen.append("alone")

    end = Finish(task=task, lease=lease, state="failed", status="x", error="x", applies=[Together(shared, 1), alone])
    await queue.db.writer.submit(transitions.finish, [end])
    assert seen == [1, "alone"]
    await queue.write(Together(shared, 2))
    assert seen == [1, "alone", 2]
