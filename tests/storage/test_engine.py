"""What opening a database promises."""

import pytest
from sqlalchemy import select, text
from sqlalchemy.exc import DBAPIError

from gateway.storage.engine import Database, among
from gateway.storage.lanes import create_lanes
from gateway.storage.tables import lanes


async def test_sqlite_keeps_what_was_committed(sqlite_database: Database):
    async def pragmas(conn):
        return [
            (await conn.exec_driver_sql(f"PRAGMA {name}")).scalar_one()
            for name in ("journal_mode", "synchronous", "foreign_keys")
        ]

    assert await sqlite_database.writer.run(pragmas) == ["wal", 2, 1]


async def test_readers_cannot_write(database: Database):
    async with database.read() as conn:
        with pytest.raises(DBAPIError, match=r"read-?only"):
            await conn.execute(text("INSERT INTO lanes (id) VALUES ('internal')"))


@pytest.mark.parametrize("values", [["a"], ["a", "c"], [], [f"x{i}" for i in range(40_000)]])
async def test_among_takes_any_number(database: Database, values: list[str]):
    async with database.read() as conn:
        await conn.execute(select(lanes.c.id).where(among(conn, lanes.c.id, values)))
    await database.writer.run(lambda conn: create_lanes(conn, ["a", "b", "c"]))
    async with database.read() as conn:
        found = (await conn.execute(select(lanes.c.id).where(among(conn, lanes.c.id, values)))).scalars()
        assert set(found) == {"a", "b", "c"} & set(values)
