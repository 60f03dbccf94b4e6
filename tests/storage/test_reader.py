"""Questions that are asked at the same time are read together; each gets its own answer, and its own error."""

import asyncio
from contextlib import asynccontextmanager

import pytest
from sqlalchemy import text

from gateway.storage.reader import TOGETHER, Reader


class Reads:
    """A flow that remembers what it was asked; ``gate`` holds it up, ``bad`` questions raise."""

    def __init__(self, error=None):
        self.calls = []
        self.began = asyncio.Event()
        self.gate = asyncio.Event()
        self.gate.set()
        self.error = error or LookupError("bad")

    async def __call__(self, conn, items):
        self.calls.append(list(items))
        self.began.set()
        await self.gate.wait()
        (await conn.execute(text("SELECT 1"))).all()
        if "bad" in items:
            raise self.error
        return [f"answer {item}" for item in items]


async def test_what_is_asked_at_the_same_time_is_one_read(database):
    reads = Reads()
    answers = await asyncio.gather(*(database.ask(reads, name) for name in "abc"))
    assert answers == ["answer a", "answer b", "answer c"]
    assert reads.calls == [["a", "b", "c"]]


async def test_nobody_joins_a_read_that_has_begun(database):
    reads = Reads()
    reads.gate.clear()
    first = asyncio.create_task(database.ask(reads, "first"))
    await reads.began.wait()
    later = [asyncio.create_task(database.ask(reads, name)) for name in ("late", "later")]
    await asyncio.sleep(0)
    reads.gate.set()
    assert await asyncio.gather(first, *later) == ["answer first", "answer late", "answer later"]
    assert reads.calls == [["first"], ["late", "later"]]
    assert await database.ask(reads, "alone") == "answer alone"  # and it goes on


async def test_flows_do_not_wait_for_each_other(database):
    slow, quick = Reads(), Reads()
    slow.gate.clear()
    waiting = asyncio.create_task(database.ask(slow, "slow"))
    assert await database.ask(quick, "quick") == "answer quick"
    assert not waiting.done()
    slow.gate.set()
    assert await waiting == "answer slow"


async def test_a_bad_question_fails_alone(database):
    reads = Reads()
    answers = await asyncio.gather(*(database.ask(reads, name) for name in ("a", "bad", "c")), return_exceptions=True)
    assert [answers[0], answers[2]] == ["answer a", "answer c"]
    assert isinstance(answers[1], LookupError)


async def test_a_caller_that_goes_away_is_not_asked_for(database):
    reads = Reads()
    reads.gate.clear()
    first = asyncio.create_task(database.ask(reads, "first"))
    await reads.began.wait()
    gone, stays = (asyncio.create_task(database.ask(reads, name)) for name in ("gone", "stays"))
    await asyncio.sleep(0)
    gone.cancel()
    first.cancel()  # its read goes on, for nobody
    reads.gate.set()
    assert await stays == "answer stays"
    assert reads.calls == [["first"], ["stays"]]


async def test_many_questions_are_several_reads(database):
    reads = Reads()
    answers = await asyncio.gather(*(database.ask(reads, str(number)) for number in range(TOGETHER + 1)))
    assert answers[-1] == f"answer {TOGETHER}"
    assert [len(call) for call in reads.calls] == [TOGETHER, 1]


async def test_a_flow_that_forgets_an_answer_is_a_bug_and_leaves_nobody_waiting(database):
    async def forgets(_conn, items):
        return items[1:]

    answers = await asyncio.gather(*(database.ask(forgets, name) for name in "ab"), return_exceptions=True)
    assert [type(answer) for answer in answers] == [TypeError, TypeError]


async def test_a_database_that_is_away_is_tried_once_for_all():
    tries = []

    @asynccontextmanager
    async def connect():
        tries.append(1)
        raise ConnectionRefusedError("nobody there")
        yield

    reader = Reader(connect)
    reads = Reads()
    answers = await asyncio.gather(*(reader.ask(reads, name) for name in "abc"), return_exceptions=True)
    assert [type(answer) for answer in answers] == [ConnectionRefusedError] * 3
    assert len(tries) == 1


async def test_when_the_process_ends_nobody_waits_for_ever(database):
    reads = Reads()
    reads.gate.clear()
    waiting = asyncio.create_task(database.ask(reads, "a"))
    await reads.began.wait()
    (reading,) = (task for task in asyncio.all_tasks() if task.get_name() == "gateway-reader")
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
