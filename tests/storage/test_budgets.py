"""Counters of vendor budgets: shared by all processes, never more than allowed."""

import asyncio

from gateway.storage import budgets
from gateway.storage.engine import Database

LANE = "vendor:toy:c1"


async def add(database: Database, used, *, background=0, sweeps=0, limit=None, remaining=None):
    now = database.clock.now()
    return await database.writer.run(
        lambda conn: budgets.add_use(
            conn,
            LANE,
            "2026-03-01",
            now,
            used=used,
            background=background,
            sweeps=sweeps,
            daily_limit=limit,
            remaining=remaining,
        )
    )


async def test_uses_add_up_and_the_vendors_word_wins(database: Database):
    await add(database, 10, background=4, sweeps=1)
    assert (await add(database, 5, background=2, sweeps=2)).used == 15
    row = await add(database, 1, limit=100, remaining=60)
    assert (row.used, row.background, row.sweeps, row.daily_limit, row.remaining) == (16, 6, 3, 100, 60)
    row = await add(database, 7)
    assert (row.used, row.daily_limit, row.remaining) == (23, 100, 53)
    async with database.read() as conn:
        assert await budgets.get(conn, LANE, "2026-03-01") == row
        assert (await budgets.get(conn, LANE, "2026-03-02")).used == 0


async def test_calls_for_people_are_counted_over_all_processes(database: Database, database_url):
    other = await Database.open(database_url, database.clock)
    try:
        take = [
            db.writer.run(lambda conn: budgets.take_interactive(conn, LANE, 1_000, 5))
            for _ in range(10)
            for db in (database, other)
        ]
        assert sum(await asyncio.gather(*take)) == 5
        assert await database.writer.run(lambda conn: budgets.take_interactive(conn, LANE, 1_001, 5))
    finally:
        await other.close()


async def test_what_is_over_is_forgotten(database: Database):
    await add(database, 1)
    await database.writer.run(lambda conn: budgets.take_interactive(conn, LANE, 1_000, 5))
    await database.writer.run(lambda conn: budgets.prune(conn, database.clock.now()))
    async with database.read() as conn:
        assert (await budgets.get(conn, LANE, "2026-03-01")).used == 0
    for _ in range(5):
        assert await database.writer.run(lambda conn: budgets.take_interactive(conn, LANE, 1_000, 5))
