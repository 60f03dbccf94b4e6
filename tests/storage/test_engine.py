"""What opening a database promises."""

import importlib.util
from datetime import timedelta

import pytest
from sqlalchemy import select, text
from sqlalchemy.exc import DBAPIError

from gateway.sdk.clock import Clock
from gateway.storage import engine
from gateway.storage.columns import from_micros
from gateway.storage.engine import Database, DatabaseMisconfigured, among, now_micros
from gateway.storage.lanes import create_lanes
from gateway.storage.tables import lanes


async def test_sqlite_keeps_what_was_committed(sqlite_database: Database):
    async def pragmas(conn):
        names = ("journal_mode", "synchronous", "foreign_keys")
        return [(await conn.exec_driver_sql(f"PRAGMA {name}")).scalar_one() for name in names]

    assert await sqlite_database.writer.run(pragmas) == ["wal", 2, 1]


async def test_sqlite_without_full_synchronisation_is_refused(sqlite_url: str, clock: Clock, monkeypatch):
    set_pragmas = engine._pragmas

    def set_less(connection, *pragmas):
        set_pragmas(connection, *pragmas, "synchronous=OFF")

    monkeypatch.setattr(engine, "_pragmas", set_less)
    with pytest.raises(DatabaseMisconfigured, match="synchronous=0 where 2 is needed"):
        await Database.open(sqlite_url, clock)


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("sqlite://", "names? a file"),
        ("sqlite:///:memory:", "name a file"),
        ("mysql://localhost/gateway", "'mysql'"),
        ("sqlite:////no/such/folder/gateway.db", "cannot use /no/such/folder/gateway.db"),
    ],
)
async def test_urls_that_cannot_work_are_refused_in_words(url: str, message: str, clock: Clock):
    with pytest.raises(DatabaseMisconfigured, match=message):
        await Database.open(url, clock)


async def test_postgresql_without_its_driver_says_what_to_install(clock: Clock, monkeypatch):
    monkeypatch.setattr(engine, "find_spec", lambda name: None)
    assert importlib.util.find_spec("asyncpg") is not None
    with pytest.raises(DatabaseMisconfigured, match=r"referral-gateway\[postgres\]"):
        await Database.open("postgresql://localhost/gateway", clock)


async def test_readers_cannot_write(database: Database):
    async with database.read() as conn:
        with pytest.raises(DBAPIError, match=r"read-?only"):
            await conn.execute(text("INSERT INTO lanes (id) VALUES ('internal')"))


@pytest.mark.parametrize("values", [["a"], ["a", "c"], [], [f"x{i}" for i in range(40_000)]], ids=len)
async def test_among_takes_any_number(database: Database, values: list[str]):
    await database.writer.run(lambda conn: create_lanes(conn, ["a", "b", "c"]))
    async with database.read() as conn:
        found = (await conn.execute(select(lanes.c.id).where(among(conn, lanes.c.id, values)))).scalars()
        assert set(found) == {"a", "b", "c"} & set(values)


async def test_a_moved_clock_moves_the_time_of_queue_statements(database: Database):
    async def database_time():
        async with database.read() as conn:
            return from_micros((await conn.execute(select(now_micros(conn)))).scalar_one())

    before = await database_time()
    database.clock.advance(timedelta(days=3))
    assert timedelta(days=3) <= await database_time() - before < timedelta(days=3, minutes=1)
    assert abs(await database_time() - database.clock.now()) < timedelta(minutes=1)


def test_postgres_server_of_the_environment_is_preferred(choose_postgres_server):
    def start():
        return "postgresql://started"

    assert choose_postgres_server({}, start) == "postgresql://started"
    given = {"GATEWAY_TEST_POSTGRES_URL": "postgresql://given"}
    assert choose_postgres_server(given, lambda: pytest.fail("started a server")) == "postgresql://given"
