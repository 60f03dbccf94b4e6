"""A database that any earlier version filled is brought to this one with all its rows."""

from typing import Any

import pytest
from alembic import command
from sqlalchemy import BigInteger, Boolean, Connection, Integer, LargeBinary, MetaData, Table, func, insert, select

from gateway.sdk.clock import Clock
from gateway.storage import migrate
from gateway.storage.engine import Database, writing_engine


def value(column: Any) -> Any:
    """A value that fits the column, whatever it means."""
    match column.type:
        case Boolean():
            return True
        case BigInteger() | Integer():
            return 1
        case LargeBinary():
            return b"x"
        case _:
            return "1"


def fill(conn: Connection) -> dict[str, int]:
    """Put a row into each table but Alembic's own, parents first."""
    metadata = MetaData()
    metadata.reflect(conn)
    filled = [table for table in metadata.sorted_tables if table.name != "alembic_version"]
    for table in filled:
        conn.execute(insert(table), {column.name: value(column) for column in table.columns})
    return counts(conn, filled)


def counts(conn: Connection, tables: list[Table]) -> dict[str, int]:
    return {table.name: conn.scalar(select(func.count()).select_from(table)) for table in tables}


def counted(conn: Connection, names: list[str]) -> dict[str, int]:
    metadata = MetaData()
    metadata.reflect(conn)
    return counts(conn, [metadata.tables[name] for name in names if name in metadata.tables])


@pytest.mark.parametrize("revision", migrate.revisions())
async def test_rows_of_each_earlier_revision_survive_the_upgrade(revision: str, new_database_url: str, clock: Clock):
    await migrate.upgrade(new_database_url, revision)
    engine = writing_engine(new_database_url)
    async with engine.begin() as conn:
        before = await conn.run_sync(fill)
    await migrate.upgrade(new_database_url)
    async with engine.begin() as conn:
        after = await conn.run_sync(counted, list(before))
    await engine.dispose()
    assert after == before
    assert len(before) > 30
    database = await Database.open(new_database_url, clock)
    try:
        await migrate.check(database)
    finally:
        await database.close()


async def test_each_revision_can_be_taken_back_and_run_again(new_database_url: str, clock: Clock):
    await migrate.upgrade(new_database_url)
    first = migrate.revisions()[0]
    await migrate._with_connection(new_database_url, lambda config: command.downgrade(config, first))
    assert await migrate.current(new_database_url) == first
    await migrate.upgrade(new_database_url)
    database = await Database.open(new_database_url, clock)
    try:
        await migrate.check(database)
    finally:
        await database.close()
