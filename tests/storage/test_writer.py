"""Group commit: what waits is committed together, each caller is answered alone."""

import asyncio
import sqlite3

import asyncpg
import pytest
from sqlalchemy import func, insert, select, text

from gateway.sdk.clock import Clock
from gateway.storage import engine, writer
from gateway.storage.engine import Database
from gateway.storage.tables import lanes
from gateway.storage.writer import Overloaded, StorageUnavailable, touch


class Flow:
    """Stores lanes by name and keeps what it was called with."""

    def __init__(self):
        self.calls: list[list[str]] = []
        self.transactions = []

    async def __call__(self, conn, items):
        self.calls.append(list(items))
        self.transactions.append(conn.sync_connection.get_transaction())
        await conn.execute(insert(lanes), [{"id": item} for item in items])
        if "bug" in items:
            raise ValueError("this one is wrong")
        return [item.upper() for item in items]


async def stored(db: Database) -> set[str]:
    async with db.read() as conn:
        return set((await conn.execute(select(lanes.c.id))).scalars())


class Blocked:
    """Keeps the writer busy until it is let go, so that requests pile up behind it."""

    def __init__(self, db: Database):
        self.inside, self.let_go = asyncio.Event(), asyncio.Event()
        self.job = asyncio.create_task(db.writer.run(self.wait))

    async def wait(self, conn):
        await conn.execute(text("SELECT 1"))
        self.inside.set()
        await self.let_go.wait()


async def test_requests_of_one_flow_are_one_list_and_each_gets_its_answers(database: Database):
    flow = Flow()
    requests = [["a"], ["b", "c"], ["d"]]
    answers = await asyncio.gather(*(database.writer.submit(flow, request) for request in requests))
    assert answers == [["A"], ["B", "C"], ["D"]]
    assert flow.calls == [["a", "b", "c", "d"]]
    assert await stored(database) == {"a", "b", "c", "d"}


async def test_different_flows_share_one_transaction(database: Database):
    one, other = Flow(), Flow()

    async def alone(conn):
        return conn.sync_connection.get_transaction()

    *_, transaction = await asyncio.gather(
        database.writer.submit(one, ["a"]), database.writer.submit(other, ["b"]), database.writer.run(alone)
    )
    assert one.transactions == other.transactions == [transaction]


async def test_long_lists_do_not_add_up_in_one_transaction(database: Database, monkeypatch):
    """Or a few callers with lists of a thousand would fill memory and hold up the renewal of leases."""
    monkeypatch.setattr(writer, "ITEMS_TOGETHER", 4)
    blocked, flow = Blocked(database), Flow()
    await blocked.inside.wait()
    lists = [["a1", "a2"], ["b1", "b2"], ["c1", "c2", "c3", "c4", "c5"], ["d1"]]
    answers = [asyncio.create_task(database.writer.submit(flow, one)) for one in lists]
    await asyncio.sleep(0)
    blocked.let_go.set()
    await asyncio.gather(*answers)
    assert flow.calls == [["a1", "a2", "b1", "b2"], ["c1", "c2", "c3", "c4", "c5"], ["d1"]]


@pytest.mark.parametrize("bad", ["bug", "there"])
async def test_only_the_bad_request_sees_its_error(database: Database, bad: str):
    flow = Flow()
    await database.writer.submit(flow, ["there"])
    requests = ["a", "b", bad, "c", "d", "e"]
    answers = await asyncio.gather(
        *(database.writer.submit(flow, [request]) for request in requests), return_exceptions=True
    )
    errors = [answer for answer in answers if isinstance(answer, Exception)]
    assert [answer for answer in answers if not isinstance(answer, Exception)] == [["A"], ["B"], ["C"], ["D"], ["E"]]
    assert len(errors) == 1
    assert not isinstance(errors[0], StorageUnavailable)
    assert await stored(database) == {"there", "a", "b", "c", "d", "e"}


async def test_a_flow_that_answers_too_little_is_a_bug_and_writes_nothing(database: Database):
    async def forgetful(conn, items):
        await conn.execute(insert(lanes).values(id="lost"))
        return items[1:]

    with pytest.raises(TypeError, match="answered 1 times for 2 items"):
        await database.writer.submit(forgetful, ["a", "b"])
    assert await stored(database) == set()


async def test_nothing_to_write_is_no_transaction(database: Database):
    flow = Flow()
    assert await database.writer.submit(flow, []) == []
    assert flow.calls == []


async def test_more_than_may_wait_is_refused_unless_it_is_bounded_elsewhere(database: Database):
    database.writer.max_waiting = 3
    blocked, flow = Blocked(database), Flow()
    await blocked.inside.wait()
    waiting = [asyncio.create_task(database.writer.submit(flow, ["a", "b"]))]
    await asyncio.sleep(0)
    with pytest.raises(Overloaded):
        await database.writer.submit(flow, ["c", "d"])
    waiting.append(asyncio.create_task(database.writer.submit(flow, ["e", "f"], bounded=False)))
    blocked.let_go.set()
    await asyncio.gather(blocked.job, *waiting)
    assert await stored(database) == {"a", "b", "e", "f"}


async def test_a_request_larger_than_the_bound_is_taken_when_nothing_waits(database: Database):
    database.writer.max_waiting = 3
    assert len(await database.writer.submit(Flow(), list("abcdef"))) == 6


async def test_a_caller_that_left_before_its_turn_writes_nothing(database: Database):
    blocked, flow = Blocked(database), Flow()
    await blocked.inside.wait()
    gone = asyncio.create_task(database.writer.submit(flow, ["gone"]))
    stays = asyncio.create_task(database.writer.submit(flow, ["stays"]))
    await asyncio.sleep(0)
    gone.cancel()
    blocked.let_go.set()
    assert await stays == ["STAYS"]
    with pytest.raises(asyncio.CancelledError):
        await gone
    assert await stored(database) == {"stays"}


async def test_a_caller_that_leaves_during_the_commit_harms_nobody(database: Database):
    blocked = Blocked(database)
    await blocked.inside.wait()
    blocked.job.cancel()
    await asyncio.sleep(0)
    blocked.let_go.set()
    assert await database.writer.submit(Flow(), ["next"]) == ["NEXT"]


async def test_what_is_urgent_goes_before_all_that_waits(database: Database):
    urgent = Flow()
    first = Blocked(database)
    await first.inside.wait()
    waiting = Blocked(database)
    await asyncio.sleep(0)
    answer = asyncio.create_task(database.writer.submit(urgent, ["now"], urgent=True))
    await asyncio.sleep(0)
    first.let_go.set()
    assert await answer == ["NOW"]
    await waiting.inside.wait()
    assert await stored(database) == {"now"}, "committed, and what waited longer is still under way"
    waiting.let_go.set()
    await waiting.job


async def test_a_transaction_takes_so_many_requests_that_urgent_ones_need_not_wait_for_long(
    database: Database, monkeypatch
):
    monkeypatch.setattr(writer, "TOGETHER", 2)
    blocked, flow = Blocked(database), Flow()
    await blocked.inside.wait()
    requests = [asyncio.create_task(database.writer.submit(flow, [name])) for name in "abcdefg"]
    await asyncio.sleep(0)
    requests[2].cancel()
    requests[3].cancel()
    blocked.let_go.set()
    await asyncio.gather(*requests, return_exceptions=True)
    assert flow.calls == [["a", "b"], ["e", "f"], ["g"]]
    assert database.writer._waiting_items == 0


async def test_an_urgent_caller_that_left_keeps_nobody_waiting(database: Database):
    flow, urgent = Flow(), Flow()
    blocked = Blocked(database)
    await blocked.inside.wait()
    left = asyncio.create_task(database.writer.submit(urgent, ["gone"], urgent=True))
    waiting = asyncio.create_task(database.writer.submit(flow, ["waits"]))
    await asyncio.sleep(0)
    left.cancel()
    blocked.let_go.set()
    async with asyncio.timeout(10):
        assert await waiting == ["WAITS"]
    assert urgent.calls == []


async def test_close_commits_what_waits_and_refuses_what_comes(database_url: str, clock: Clock):
    db = await Database.open(database_url, clock)
    flow = Flow()
    waits = asyncio.create_task(db.writer.submit(flow, ["a"]))
    await asyncio.sleep(0)
    await db.close()
    assert await waits == ["A"]
    with pytest.raises(StorageUnavailable, match="not running"):
        await db.writer.submit(flow, ["b"])


async def test_workers_are_woken_after_the_commit_and_never_for_a_rollback(database: Database):
    woken = []
    database.writer.on_touched.append(woken.append)

    async def write(conn, ok):
        touch(conn, ["internal"])
        assert not woken
        if not ok:
            raise ValueError

    with pytest.raises(ValueError):
        await database.writer.run(lambda conn: write(conn, ok=False))
    assert woken == []
    await database.writer.run(lambda conn: write(conn, ok=True))
    assert woken == [{"internal"}]


async def test_a_locked_sqlite_file_is_reported_and_later_writable(sqlite_url: str, clock: Clock, monkeypatch):
    monkeypatch.setattr(engine, "BUSY_SECONDS", 0.01)
    db = await Database.open(sqlite_url, clock)
    other = sqlite3.connect(sqlite_url.removeprefix("sqlite:///"), isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    answers = await asyncio.gather(*(db.writer.submit(Flow(), [i]) for i in "ab"), return_exceptions=True)
    assert [(type(answer), str(answer)) for answer in answers] == [(StorageUnavailable, "database is locked")] * 2
    other.execute("ROLLBACK")
    other.close()
    assert await db.writer.submit(Flow(), ["c"]) == ["C"]
    assert await stored(db) == {"c"}
    await db.close()


async def test_a_locked_postgresql_table_is_reported(postgresql_url: str, clock: Clock, monkeypatch):
    monkeypatch.setattr(engine, "BUSY_SECONDS", 0.01)
    db = await Database.open(postgresql_url, clock)
    other = await asyncpg.connect(postgresql_url)
    async with other.transaction():
        await other.execute("LOCK TABLE lanes")
        with pytest.raises(StorageUnavailable, match="lock timeout"):
            await db.writer.submit(Flow(), ["a"])
    assert await db.writer.submit(Flow(), ["a"]) == ["A"]
    await other.close()
    await db.close()


async def test_a_full_disk_is_reported_on_sqlite(sqlite_database: Database):
    async def fill(conn):
        pages = (await conn.exec_driver_sql("PRAGMA page_count")).scalar_one()
        await conn.exec_driver_sql(f"PRAGMA max_page_count={pages}")
        await conn.execute(insert(lanes), [{"id": f"{i}{'x' * 190}"} for i in range(1_000)])

    with pytest.raises(StorageUnavailable, match="disk is full"):
        await sqlite_database.writer.run(fill)
    assert await stored(sqlite_database) == set()


@pytest.mark.parametrize(("sqlstate", "repeats"), [("53100", 1), ("57P03", 1), ("40P01", 3), ("40001", 3)])
async def test_what_postgresql_refuses_is_reported_or_repeated(postgresql_url, clock, sqlstate: str, repeats: int):
    db = await Database.open(postgresql_url, clock)
    calls = 0

    async def refused(conn):
        nonlocal calls
        calls += 1
        await conn.execute(text(f"DO $$ BEGIN RAISE EXCEPTION 'refused' USING ERRCODE = '{sqlstate}'; END $$"))

    with pytest.raises(Exception, match="refused") as caught:
        await db.writer.run(refused)
    assert isinstance(caught.value, StorageUnavailable) is (repeats == 1)
    assert calls == repeats
    await db.close()


async def test_a_broken_connection_is_replaced(postgresql_url: str, clock: Clock):
    db = await Database.open(postgresql_url, clock)

    async def backend(conn):
        return (await conn.execute(select(func.pg_backend_pid()))).scalar_one()

    pid = await db.writer.run(backend)
    other = await asyncpg.connect(postgresql_url)
    await other.execute("SELECT pg_terminate_backend($1, 5000)", pid)
    await other.close()
    assert await db.writer.run(backend) != pid
    await db.close()


async def test_an_unreachable_server_is_reported(clock: Clock):
    db = await Database.open("postgresql://nobody@127.0.0.1:1/gateway", clock)
    with pytest.raises(StorageUnavailable, match="cannot be reached"):
        await db.writer.submit(Flow(), ["a"])
    await db.close()


async def test_a_writer_that_reads_first_waits_for_the_lock_of_another_process(sqlite_database: Database):
    other = sqlite3.connect(str(sqlite_database._writing.url.database), isolation_level=None)

    async def read_then_write(conn):
        await conn.execute(select(lanes.c.id))
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            other.execute("PRAGMA busy_timeout=0").connection.execute("BEGIN IMMEDIATE")
        await conn.execute(insert(lanes).values(id="a"))

    await sqlite_database.writer.run(read_then_write)
    other.close()
    assert await stored(sqlite_database) == {"a"}


async def test_a_transaction_that_stands_still_keeps_nobody_waiting_for_long(postgresql_url, clock, monkeypatch):
    """As when its process is frozen: PostgreSQL ends it, and its process runs it again."""
    monkeypatch.setattr(engine, "STILL_SECONDS", 0.2)
    frozen, other = [await Database.open(postgresql_url, clock) for _ in range(2)]
    inserted, thaw = asyncio.Event(), asyncio.Event()
    calls = 0

    async def stand_still(conn):
        nonlocal calls
        calls += 1
        await conn.execute(insert(lanes).values(id=f"call {calls}"))
        inserted.set()
        await thaw.wait()
        await conn.execute(select(func.now()))

    job = asyncio.create_task(frozen.writer.run(stand_still))
    await inserted.wait()
    assert await other.writer.submit(Flow(), ["call 1"]) == ["CALL 1"]
    thaw.set()
    await job
    assert await stored(other) == {"call 1", "call 2"}
    for db in (frozen, other):
        await db.close()
