"""Each period of a schedule runs in one process."""

import asyncio
from datetime import timedelta

from gateway.storage import schedules


async def test_a_period_has_one_winner(queue, other):
    await queue.write(schedules.ensure, "nightly", 60)
    await other.write(schedules.ensure, "nightly", 60)
    for _ in range(3):
        assert await queue.read(schedules.due, ["nightly", "unknown"]) == {"nightly"}
        won = await asyncio.gather(*(q.write(schedules.win, "nightly", 60) for q in (queue, other, queue, other)))
        assert sorted(won) == [False, False, False, True]
        assert await queue.read(schedules.due, ["nightly"]) == set()
        queue.db.clock.advance(timedelta(seconds=60))


async def test_ensure_keeps_the_time_and_shortens_a_period(queue):
    await queue.write(schedules.ensure, "sweep", 3600)
    assert await queue.write(schedules.win, "sweep", 3600)
    await queue.write(schedules.ensure, "sweep", 3600)
    assert not await queue.write(schedules.win, "sweep", 3600)
    await queue.write(schedules.ensure, "sweep", 60)
    queue.db.clock.advance(timedelta(seconds=60))
    assert await queue.write(schedules.win, "sweep", 60)


async def test_a_given_time_is_used(queue):
    now = queue.db.clock.now()
    await queue.write(schedules.ensure, "k", 60, now)
    assert not await queue.write(schedules.win, "k", 60, now - timedelta(seconds=1))
    assert await queue.write(schedules.win, "k", 60, now)
    assert not await queue.write(schedules.win, "k", 60, now + timedelta(seconds=59))


async def test_an_unknown_schedule_is_not_won(queue):
    assert not await queue.write(schedules.win, "unknown", 60)
