"""One owner a lane; an owner that is late changes nothing."""

import asyncio
import re
from datetime import timedelta

import asyncpg
import pytest
from sqlalchemy import event

from gateway.storage import lanes, tasks, transitions
from gateway.storage.engine import Database
from gateway.storage.lanes import Lease
from gateway.storage.transitions import Finish, Steps, Take, Wanted, find_due_tasks


async def claim(queue, owner: str, *ids: str, seconds: float = 10) -> list[Lease]:
    return await queue.write(lanes.claim, owner, ids, seconds)


async def take(queue, lease: Lease, *ids: str):
    (taken,) = await queue.db.writer.submit(transitions.take, [Take(lease, ids)])
    return taken


async def test_two_processes_never_own_one_lane(queue, other, new_task):
    ids = [f"lane{i}" for i in range(40)]
    await queue.store(*(new_task(lane=lane) for lane in ids))
    mine, theirs = await asyncio.gather(claim(queue, "a", *ids), claim(other, "b", *ids))
    assert sorted(lease.lane for lease in mine + theirs) == sorted(ids)
    assert {lease.epoch for lease in mine + theirs} == {1}
    assert await claim(queue, "c", *ids) == []


async def test_only_lanes_with_due_work_are_claimed(queue, new_task):
    later = queue.db.clock.now() + timedelta(hours=1)
    await queue.store(new_task(lane="due"), new_task(lane="later", due_at=later))
    await queue.write(lanes.create_lanes, ["empty"])
    assert await queue.read(lanes.find_due, "me") == (["due"], [])
    assert [lease.lane for lease in await claim(queue, "me", "due", "later", "empty")] == ["due"]
    assert await queue.read(lanes.find_due, "me") == ([], ["due"])
    queue.db.clock.advance(timedelta(hours=1, seconds=-5))
    await queue.write(lanes.renew, [Lease("due", "me", 1)], 10)
    queue.db.clock.advance(timedelta(seconds=5))
    assert await queue.read(lanes.find_due, "me") == (["later"], ["due"])


async def test_a_late_owner_changes_nothing(queue, other, new_task):
    (task_id,) = await queue.store(new_task())
    (late,) = await claim(queue, "late", "internal")
    task = (await take(queue, late, task_id)).tasks[0]
    queue.db.clock.advance(timedelta(seconds=11))
    (fresh,) = await claim(other, "fresh", "internal")
    assert await other.write(transitions.put_back, ["internal"], "lost") == 1
    assert fresh.epoch == late.epoch + 1

    async def apply(conn):
        raise AssertionError("a late owner's writes must not run")

    lost = Finish(task=task, lease=late, state="done", status="done", applies=[apply])
    assert await queue.db.writer.submit(transitions.finish, [lost]) == [False]
    steps = Steps(task_id, task.attempt, late, {"lead": 1}, apply)
    assert await queue.db.writer.submit(transitions.save_steps, [steps]) == [False]
    assert (await take(queue, late, task_id)).lane is None
    assert await queue.write(lanes.renew, [late], 10) == {}
    assert await queue.write(lanes.owned, [late]) == {}
    found = await queue.get(task_id)
    assert (found.state, found.attempt, found.steps) == ("available", 1, None)
    assert await queue.attempts(task_id) == [(1, "lost", None)]
    assert (await take(other, fresh, task_id)).tasks[0].attempt == 2


async def test_the_same_owner_with_an_older_epoch_is_late_too(queue, new_task):
    (task_id,) = await queue.store(new_task())
    (old,) = await claim(queue, "me", "internal")
    queue.db.clock.advance(timedelta(seconds=11))
    (new,) = await claim(queue, "me", "internal")
    assert (await take(queue, old, task_id)).lane is None
    assert (await take(queue, new, task_id)).lane is not None


async def test_a_lease_that_is_renewed_does_not_lapse(queue, other, new_task):
    await queue.store(new_task())
    (lease,) = await claim(queue, "me", "internal")
    for _ in range(3):
        queue.db.clock.advance(timedelta(seconds=9))
        assert list(await queue.write(lanes.renew, [lease], 10)) == [lease]
        assert await claim(other, "thief", "internal") == []


async def test_a_lapsed_lane_is_claimed_even_if_it_is_held_and_has_nothing_due(queue, new_task):
    (task_id,) = await queue.store(new_task())
    (lease,) = await claim(queue, "dead", "internal")
    await take(queue, lease, task_id)
    await queue.write(lanes.hold, "internal", "needs_reauth")
    queue.db.clock.advance(timedelta(seconds=11))
    assert await queue.read(lanes.find_due, "me") == (["internal"], [])
    assert len(await claim(queue, "me", "internal")) == 1


async def test_an_owner_that_lost_its_own_lane_may_claim_it_again(queue, new_task):
    """Or a process that is alone and once could not renew in time would never run its tasks again."""
    await queue.store(new_task())
    await claim(queue, "me", "internal")
    assert await queue.read(lanes.find_due, "me") == ([], ["internal"])
    queue.db.clock.advance(timedelta(seconds=11))
    assert await queue.read(lanes.find_due, "me") == (["internal"], [])
    assert [lease.epoch for lease in await claim(queue, "me", "internal")] == [2]


async def test_a_held_lane_runs_nothing_and_its_tasks_are_untouched(queue, new_task):
    (task_id,) = await queue.store(new_task(lane="vendor:x:1"))
    (lease,) = await claim(queue, "me", "vendor:x:1")
    await queue.write(lanes.hold, "vendor:x:1", "needs_reauth")
    taken = await take(queue, lease, task_id)
    assert (taken.lane.held, taken.lane.runs, taken.tasks) == ("needs_reauth", False, [])
    await queue.write(lanes.release, [lease])
    assert await queue.read(lanes.find_due, "me") == ([], [])
    assert await claim(queue, "me", "vendor:x:1") == []
    await queue.write(lanes.unhold, "vendor:x:1")
    assert await queue.read(lanes.find_due, "me") == (["vendor:x:1"], [])
    assert (await queue.get(task_id)).attempt == 0


async def test_a_lane_may_be_held_before_it_exists(queue, new_task):
    await queue.write(lanes.hold, "vendor:x:1", "disconnected")
    await queue.store(new_task(lane="vendor:x:1"))
    assert await queue.read(lanes.find_due, "me") == ([], [])


async def test_a_pause_outlives_its_owner_and_a_longer_one_stands(queue, new_task):
    (task_id,) = await queue.store(new_task())
    (lease,) = await claim(queue, "me", "internal")
    await queue.write(lanes.pause, "internal", 60)
    await queue.write(lanes.pause, "internal", 5)
    await queue.write(lanes.release, [lease])
    queue.db.clock.advance(timedelta(seconds=59))
    assert await claim(queue, "other", "internal") == []
    queue.db.clock.advance(timedelta(seconds=1))
    (lease,) = await claim(queue, "other", "internal")
    assert (await take(queue, lease, task_id)).tasks[0].state == "running"


async def test_due_tasks_come_by_priority_and_then_by_age(queue, new_task):
    now = queue.db.clock.now()
    stored = {
        name: new_task(priority=priority, due_at=now - timedelta(seconds=age))
        for name, priority, age in [
            ("bulk old", 3, 90),
            ("signup new", 0, 1),
            ("signup old", 0, 60),
            ("signup later", 0, -60),
            ("inbound", 1, 5),
            ("status", 2, 99),
        ]
    }
    await queue.store(*stored.values())
    names = {task.id: name for name, task in stored.items()}
    (found,) = await queue.read(find_due_tasks, [Wanted("internal", 10, hears=True)])
    assert [names[i] for i in found.ids] == ["signup old", "signup new", "inbound", "status", "bulk old"]
    assert not found.more
    (found,) = await queue.read(find_due_tasks, [Wanted("internal", 2, hears=True)])
    assert [names[i] for i in found.ids] == ["signup old", "signup new"]
    assert found.more


async def test_one_inbound_task_comes_first_where_none_runs(queue, new_task):
    told, later, signup = await queue.store(
        new_task(priority=1, exclusive_key="a"), new_task(priority=1), new_task(priority=0)
    )
    (found,) = await queue.read(find_due_tasks, [Wanted("internal", 10)])
    assert found.ids == [told, signup, later]
    (found,) = await queue.read(find_due_tasks, [Wanted("internal", 1)])
    assert found.ids == [told]
    (found,) = await queue.read(find_due_tasks, [Wanted("internal", 1, {"a"}, hears=True)])
    assert found.ids == [signup]


async def test_of_one_exclusive_key_one_task_is_due_and_none_while_it_is_in_use(queue, new_task):
    a1, a2, b1, free = await queue.store(*(new_task(exclusive_key=key) for key in ("a", "a", "b", None)))
    (found,) = await queue.read(find_due_tasks, [Wanted("internal", 10)])
    assert found.ids == [a1, b1, free]
    (found,) = await queue.read(find_due_tasks, [Wanted("internal", 10, {"a"})])
    assert found.ids == [b1, free]
    assert a2 not in found.ids


@pytest.mark.parametrize("number", [1, 16, 17, 50])
async def test_due_tasks_of_many_lanes_are_found_together(queue, new_task, number: int):
    ids = await queue.store(*(new_task(lane=f"lane{i}") for i in range(number)))
    wanted = [Wanted("nothing here", 5), *(Wanted(f"lane{i}", 5) for i in range(number))]
    assert [list(found.ids) for found in await queue.read(find_due_tasks, wanted)] == [[], *([i] for i in ids)]


async def test_steps_are_saved_with_their_writes_and_survive_a_crash(queue, new_task):
    (task_id,) = await queue.store(new_task())
    (lease,) = await claim(queue, "me", "internal")
    await take(queue, lease, task_id)
    steps = Steps(task_id, 1, lease, {"person": 7}, lambda conn: lanes.create_lanes(conn, ["written"]))
    assert await queue.db.writer.submit(transitions.save_steps, [steps]) == [True]
    await queue.write(transitions.put_back, ["internal"], "lost")
    assert (await take(queue, lease, task_id)).tasks[0].steps == {"person": 7}
    assert await queue.read(lanes.get_lane, "written") is not None


async def test_plans_that_postgresql_keeps_use_the_partial_indexes(postgresql_url, clock, new_task, make_queue):
    """Else a plan made while there were few tasks would read through millions of finished ones, for each lane."""
    queue = make_queue(await Database.open(postgresql_url, clock))
    await queue.store(new_task())
    statements = []
    for engine in (queue.db._reading, queue.db._writing):
        event.listen(engine.sync_engine, "before_cursor_execute", lambda *said: statements.append(said[2]))
    await queue.read(lanes.find_due, "me")
    await claim(queue, "me", "internal")
    await queue.write(transitions.put_back, ["internal"], "lost")
    await queue.write(tasks.release_parked, "setup")
    await queue.write(tasks.park_available, "setup", "gone", lane="internal")
    await queue.read(tasks.oldest_due)
    await queue.db.close()
    connection = await asyncpg.connect(postgresql_url)
    await connection.execute("SET plan_cache_mode = force_generic_plan; SET enable_seqscan = off")
    for number, statement in enumerate(statements):
        await connection.execute(f"PREPARE kept{number} AS {statement}")
        nulls = ", ".join(["NULL"] * len(set(re.findall(r"\$\d+", statement))))
        plan = [row[0] for row in await connection.fetch(f"EXPLAIN EXECUTE kept{number}({nulls})".replace("()", ""))]
        assert not [line for line in plan if "Seq Scan on tasks" in line], statement
    await connection.close()
    assert len(statements) == 6


async def test_a_newer_task_stored_just_now_elsewhere_wins(postgresql_url, clock, new_task, make_queue, monkeypatch):
    """On PostgreSQL it may be committed between our look for it and our write; SQLite has one writer at a time."""
    mine, theirs = [make_queue(await Database.open(postgresql_url, clock)) for _ in range(2)]
    (older,) = await mine.store(new_task(unique_key="p"))
    (lease,) = await claim(mine, "me", "internal")
    task = (await take(mine, lease, older)).tasks[0]
    newer = new_task(unique_key="p")
    look = transitions.supersede

    async def look_and_be_overtaken(conn, ids):
        await look(conn, ids)
        if await theirs.get(newer.id) is None:
            await theirs.store(newer)

    monkeypatch.setattr(transitions, "supersede", look_and_be_overtaken)
    again = Finish(task=task, lease=lease, state="available", status="retry", error="busy")
    assert await mine.db.writer.submit(transitions.finish, [again]) == [True]
    assert await mine.states(older, newer.id) == ["cancelled", "available"]
    for queue in (mine, theirs):
        await queue.db.close()
