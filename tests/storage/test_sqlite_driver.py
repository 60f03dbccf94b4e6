"""SQLite's statements are handed over once each, and all that SQLAlchemy asks of a cursor is right."""

import asyncio
import gc
import sqlite3
from contextlib import closing

import aiosqlite
import pytest
from sqlalchemy import column, insert, table, text
from sqlalchemy.exc import IntegrityError, OperationalError
from sqlalchemy.ext.asyncio import create_async_engine

from gateway.storage import sqlite_driver
from gateway.storage.engine import Database

THINGS = table("things", column("id"), column("name"))


@pytest.fixture
async def engine(tmp_path):
    url = f"sqlite+aiosqlite:///{tmp_path}/things.db"
    engine = create_async_engine(url, async_creator=lambda: sqlite_driver.connect(f"{tmp_path}/things.db"))
    async with engine.begin() as conn:
        await conn.execute(text("CREATE TABLE things (id INTEGER PRIMARY KEY, name TEXT UNIQUE)"))
    yield engine
    await engine.dispose()


@pytest.fixture
async def things(engine, tmp_path, clock):
    database = await Database.open(f"sqlite:///{tmp_path}/things.db", clock)
    yield database
    await database.close()


@pytest.fixture
def handed_over(monkeypatch):
    """What is handed over to aiosqlite's threads from now on."""
    calls = []
    execute = aiosqlite.Connection._execute

    async def counted(self, fn, *args, **kwargs):
        calls.append(fn)
        return await execute(self, fn, *args, **kwargs)

    monkeypatch.setattr(aiosqlite.Connection, "_execute", counted)
    return calls


async def test_a_statement_is_handed_over_once(engine, handed_over):
    async with engine.connect() as conn:
        await conn.execute(insert(THINGS), [{"id": number, "name": f"n{number}"} for number in range(5)])
        assert len(handed_over) == 1
        assert len((await conn.execute(THINGS.select())).all()) == 5
        assert len(handed_over) == 2
        await conn.execute(insert(THINGS), {"id": 7, "name": "n7"})
        assert len(handed_over) == 3
        await conn.commit()
        assert len(handed_over) == 4


async def test_a_read_is_handed_over_once(things, handed_over):
    async with things.read() as conn:  # opens the connection
        await conn.execute(text("SELECT 1"))
    handed_over.clear()
    async with things.read() as conn:
        assert (await conn.execute(text("SELECT 1"))).scalar_one() == 1
    assert len(handed_over) == 1  # and there is nothing to roll back


async def test_rows_numbers_and_keys_are_the_drivers(engine):
    async with engine.begin() as conn:
        made = await conn.execute(
            insert(THINGS).returning(THINGS.c.id), [{"id": 1, "name": "a"}, {"id": 2, "name": "b"}]
        )
        assert sorted(made.scalars()) == [1, 2]
        assert (await conn.execute(text("UPDATE things SET name = name || '!'"))).rowcount == 2
        assert (await conn.execute(text("INSERT OR IGNORE INTO things VALUES (1, 'c')"))).rowcount == 0
        assert (await conn.execute(text("INSERT INTO things (name) VALUES ('d')"))).lastrowid == 3
        found = await conn.execute(THINGS.select().order_by(THINGS.c.id))
        assert list(found.keys()) == ["id", "name"]
        assert found.all() == [(1, "a!"), (2, "b!"), (3, "d")]
        assert (await conn.execute(THINGS.select().where(THINGS.c.id == 9))).first() is None


async def test_an_error_is_the_drivers_and_the_connection_goes_on(engine):
    async with engine.begin() as conn:
        await conn.execute(text("INSERT INTO things VALUES (1, 'a')"))
        with pytest.raises(IntegrityError, match="UNIQUE constraint failed") as caught:
            await conn.execute(insert(THINGS), [{"id": 2, "name": "b"}, {"id": 3, "name": "a"}])
        assert caught.value.orig.sqlite_errorname == "SQLITE_CONSTRAINT_UNIQUE"
        with pytest.raises(OperationalError, match="no such table: others"):
            await conn.execute(text("SELECT * FROM others"))
        assert (await conn.execute(text("SELECT count(*) FROM things WHERE id = 1"))).scalar_one() == 1


async def test_rows_can_be_taken_one_by_one_once_they_are_read(engine):
    async with engine.connect() as conn:
        found = await conn.execute(text("SELECT 1 UNION ALL SELECT 2"))
        assert found.fetchmany() == [(1,)]
        assert list(found.partitions()) == [[(2,)]]


async def test_a_statement_that_failed_amid_its_rows_does_not_hold_up_the_log(things, tmp_path):
    """Its error holds frames, and those would hold the cursor, open, for as long as somebody keeps the error."""
    async with things.read() as conn:
        with pytest.raises(OperationalError) as kept:
            await conn.execute(text("SELECT CAST(x'ff' AS TEXT) AS id UNION ALL SELECT id FROM things"))
        assert "decode to UTF-8" in str(kept.value)
        with closing(sqlite3.connect(tmp_path / "things.db")) as other:
            other.execute("CREATE TABLE more (id)")
            assert other.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone() == (0, 0, 0)  # busy, logged, moved


async def test_a_connection_that_was_forgotten_is_given_up_and_says_so(tmp_path):
    connection = await sqlite_driver.connect(f"{tmp_path}/things.db")
    cursor = connection.cursor()
    await cursor.execute("SELECT 1")
    assert await cursor.fetchall() == [(1,)]
    thread = connection._thread
    with pytest.warns(ResourceWarning, match="deleted before being closed"):
        del connection, cursor
    await asyncio.to_thread(thread.join, 10)
    assert not thread.is_alive()


async def test_what_a_statement_found_is_not_kept_until_the_next_one(engine):
    async with engine.connect() as conn:
        found = (await conn.execute(text("SELECT 'kept' || value AS kept FROM json_each('[1, 2]')"))).all()
        assert found == [("kept1",), ("kept2",)]
        del found
        gc.collect()
        rows = [one for one in gc.get_objects() if isinstance(one, list) and one and one[0] == ("kept1",)]
        assert rows == []
