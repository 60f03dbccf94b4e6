"""SQLite's statements are handed over once each, and all that SQLAlchemy asks of a cursor is right."""

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


async def test_a_read_is_handed_over_once(tmp_path, clock, handed_over):
    database = await Database.open(f"sqlite:///{tmp_path}/things.db", clock)
    async with database.read() as conn:  # opens the connection
        await conn.execute(text("SELECT 1"))
    handed_over.clear()
    async with database.read() as conn:
        assert (await conn.execute(text("SELECT 1"))).scalar_one() == 1
    assert len(handed_over) == 1  # and there is nothing to roll back
    await database.close()


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


async def test_no_statement_keeps_a_lock_on_what_it_read(tmp_path, clock):
    """A cursor that was left open would hold up the checkpoint of the log for as long as it lives."""
    database = await Database.open(f"sqlite:///{tmp_path}/things.db", clock)
    await database.writer.run(lambda conn: conn.execute(text("CREATE TABLE things AS SELECT 1 AS id")))
    async with database.read() as conn:
        (await conn.execute(text("SELECT id FROM things UNION ALL SELECT 2"))).first()  # one of two rows
        with closing(sqlite3.connect(tmp_path / "things.db")) as other:
            assert other.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone() == (0, 0, 0)  # busy, logged, moved
    await database.close()
