"""Open the database: one writer connection, pooled readers, the same rules on SQLite and PostgreSQL."""

import socket
import sqlite3
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import AbstractAsyncContextManager
from functools import partial
from importlib.util import find_spec
from typing import Any, Literal, TypeVar

from sqlalchemy import (
    ARRAY,
    BigInteger,
    ColumnElement,
    Table,
    Text,
    any_,
    bindparam,
    event,
    func,
    literal,
    literal_column,
    make_url,
    select,
)
from sqlalchemy.dialects import postgresql
from sqlalchemy.dialects import sqlite as sqlite_dialect
from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import PoolProxiedConnection

from gateway.sdk.clock import Clock
from gateway.storage import sqlite_driver
from gateway.storage.columns import Json, to_micros
from gateway.storage.reader import Reader
from gateway.storage.writer import Writer

__all__ = [
    "NOW",
    "UNUSABLE",
    "AsyncConnection",
    "Database",
    "DatabaseMisconfigured",
    "Hints",
    "among",
    "insert",
    "now_micros",
    "now_parameter",
    "why_unusable",
    "writing_engine",
]

T = TypeVar("T")
R = TypeVar("R")

BUSY_SECONDS = 5.0
"""How long a statement waits for a lock of another process before it is reported as unavailable."""

STILL_SECONDS = 10.0
"""How long a transaction may stand still on PostgreSQL, its process frozen or cut off, before its locks are freed."""

CONNECT_SECONDS = 5.0

CHANNEL = "gateway_tasks"
"""The PostgreSQL channel on which a commit that made tasks due is hinted at; the payload names the sender."""

READERS = 5

READER_CACHE_KIB = 256
"""Pages that each reader keeps on SQLite, an eighth of the default; what it misses is in the system's own cache."""

# statement_timestamp() and not clock_timestamp(): a stable function may bound an index scan
OWN_TIME = "CAST(EXTRACT(epoch FROM statement_timestamp()) * 1000000 AS BIGINT)"
NOW = {"sqlite": ":now", "postgresql": f"{OWN_TIME} + :now"}
"""The time of a queue statement as SQL text, for each dialect; ``now_parameter`` is its ``:now``."""


UNUSABLE = (DBAPIError, ConnectionError, TimeoutError, socket.gaierror)
"""What a driver raises when the database cannot be reached or used at all."""


def why_unusable(error: BaseException) -> str:
    """Return what the driver said, without the statement and its values."""
    return str(error.orig if isinstance(error, DBAPIError) else error)


class DatabaseMisconfigured(Exception):
    """The database cannot be used as it is set up; the message says what to change."""


class Database:
    """One process's access to the database: read anywhere, write through ``writer`` alone."""

    def __init__(
        self, dialect: Literal["sqlite", "postgresql"], clock: Clock, writing: AsyncEngine, reading: AsyncEngine
    ) -> None:
        self.dialect: Literal["sqlite", "postgresql"] = dialect
        self.clock = clock
        self.writer = Writer(writing, channel=CHANNEL if dialect == "postgresql" else None)
        self._writing = writing
        self._reading = reading
        self._reader = Reader(reading.connect)

    @classmethod
    async def open(cls, url: str, clock: Clock) -> "Database":
        """Open the database at ``url`` and start its writer; the schema is not touched.

        Args:
            url: ``sqlite:///relative/path``, ``sqlite:////absolute/path`` or ``postgresql://user:password@host/name``.
            clock: Time of queue statements on SQLite; on PostgreSQL its offset is added to the database's own time.

        Raises:
            DatabaseMisconfigured: Unknown scheme, an in-memory SQLite database, the PostgreSQL driver is not
                installed, or SQLite cannot hold what we commit (no WAL, no full synchronisation).
        """
        parsed = _driver_url(url)
        if parsed.drivername == "sqlite+aiosqlite":
            _assert_usable(parsed.database or "")
            self = cls("sqlite", clock, *_sqlite_engines(parsed))
        else:
            self = cls("postgresql", clock, *_postgresql_engines(parsed))
        for engine in (self._writing, self._reading):
            _hand_in_clock(engine, clock)
        try:
            if self.dialect == "sqlite":
                await self._assert_durable()
        except BaseException:
            await self._dispose()
            raise
        self.writer.start()
        return self

    def read(self) -> AbstractAsyncContextManager[AsyncConnection]:
        """Return a pooled read connection; each statement sees what is committed, and writing is refused."""
        return self._reading.connect()

    async def ask(self, flow: Callable[[AsyncConnection, list[T]], Awaitable[Sequence[R]]], item: T) -> R:
        """Return ``flow``'s answer for ``item``; what is asked of one flow at the same time is read together.

        See ``reader.Reader``.
        """
        return await self._reader.ask(flow, item)

    async def close(self) -> None:
        """Commit what waits in the writer, then close every connection."""
        await self.writer.close()
        await self._dispose()

    async def hints(self, on_hint: Callable[[], None]) -> "Hints | None":
        """Call ``on_hint`` when another process made tasks due; None where the database cannot tell (SQLite)."""
        if self.dialect == "sqlite":
            return None
        connection = await self._writing.raw_connection()
        driver: Any = connection.driver_connection

        def heard(_connection: object, _pid: int, _channel: str, sender: object) -> None:
            if sender != self.writer.token:
                on_hint()

        try:
            await driver.add_listener(CHANNEL, heard)
        except BaseException:
            connection.invalidate()  # else it would be missing from the pool
            raise
        return Hints(connection, driver)

    async def _dispose(self) -> None:
        await self._writing.dispose()
        await self._reading.dispose()

    async def _assert_durable(self) -> None:
        async with self._writing.connect() as conn:
            wanted = {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1}
            for pragma, value in wanted.items():
                found = (await conn.exec_driver_sql(f"PRAGMA {pragma}")).scalar_one()
                if found != value:
                    raise DatabaseMisconfigured(
                        f"SQLite answers {pragma}={found!r} where {value!r} is needed to keep what was committed; "
                        "use a file on a local disk that this process may write to."
                    )


class Hints:
    """A connection that listens for hints of other processes."""

    def __init__(self, connection: PoolProxiedConnection, driver: Any) -> None:
        self._connection = connection
        self._driver = driver

    @property
    def alive(self) -> bool:
        """Whether the connection still stands; the caller's poll finds what was missed."""
        return not self._driver.is_closed()

    def close(self) -> None:
        """Give up the connection; it is not used again, since it still listens."""
        self._connection.invalidate()


def now_micros(conn: AsyncConnection) -> ColumnElement[int]:
    """Return the time of a queue statement, in microseconds since the epoch.

    The database's own time on PostgreSQL, so that processes with different clocks agree, plus the clock's offset
    (tests move it); the clock's time on SQLite, whose processes share one machine.
    """
    parameter = literal(now_parameter(conn), BigInteger)
    return parameter if conn.dialect.name == "sqlite" else literal_column(OWN_TIME, BigInteger) + parameter


def now_parameter(conn: AsyncConnection) -> int:
    """Return the value of ``:now`` in ``NOW``: the clock's time on SQLite, its offset on PostgreSQL; microseconds."""
    clock: Clock = conn.info["clock"]
    if conn.dialect.name == "sqlite":
        return to_micros(clock.now())
    return round(clock.offset.total_seconds() * 1_000_000)


def among(conn: AsyncConnection, column: ColumnElement[str], values: Iterable[str]) -> ColumnElement[bool]:
    """Return the condition that ``column`` is one of ``values``, as one bound parameter whatever their number.

    The statement's text stays the same, so both databases keep its plan; there is no limit on the number of values.
    """
    if conn.dialect.name == "sqlite":
        each = func.json_each(bindparam(None, list(values), Json)).table_valued("value")
        return column.in_(select(each.c.value))
    return column == any_(bindparam(None, list(values), ARRAY(Text)))


def insert(conn: AsyncConnection, table: Table) -> "postgresql.Insert | sqlite_dialect.Insert":
    """Return the dialect's INSERT, which knows ``on_conflict_do_nothing`` and ``on_conflict_do_update``."""
    return sqlite_dialect.insert(table) if conn.dialect.name == "sqlite" else postgresql.insert(table)


def writing_engine(url: str) -> AsyncEngine:
    """Return an engine that may write, for the schema's own changes; all other writes go through the writer."""
    parsed = _driver_url(url)
    engines = _sqlite_engines if parsed.drivername.startswith("sqlite") else _postgresql_engines
    return engines(parsed)[0]


def _driver_url(url: str) -> URL:
    parsed = make_url(url)
    scheme = parsed.drivername.partition("+")[0]
    if scheme == "sqlite":
        if parsed.database in (None, "", ":memory:"):
            raise DatabaseMisconfigured("An in-memory SQLite database keeps nothing; name a file: sqlite:///gateway.db")
        return parsed.set(drivername="sqlite+aiosqlite")
    if scheme in ("postgresql", "postgres"):
        if find_spec("asyncpg") is None:
            raise DatabaseMisconfigured("PostgreSQL needs its driver: pip install 'referral-gateway[postgres]'")
        return parsed.set(drivername="postgresql+asyncpg")
    raise DatabaseMisconfigured(f"GATEWAY_DATABASE_URL starts with {scheme!r}; use sqlite:///… or postgresql://…")


def _assert_usable(path: str) -> None:
    try:
        connection = sqlite3.connect(path, timeout=BUSY_SECONDS)
        try:
            connection.execute("PRAGMA schema_version")
        finally:
            connection.close()
    except sqlite3.Error as error:
        raise DatabaseMisconfigured(f"SQLite cannot use {path}: {error}") from error


def _sqlite_engines(url: URL) -> tuple[AsyncEngine, AsyncEngine]:
    # isolation_level None: the driver opens no transaction by itself; the writer's begin is ours (below)
    open_file = partial(sqlite_driver.connect, url.database or "", timeout=BUSY_SECONDS, isolation_level=None)
    writing = create_async_engine(
        url,
        async_creator=open_file,
        hide_parameters=True,  # what a statement was about is in no log
        pool_size=1,
        max_overflow=0,
        pool_reset_on_return=None,
    )
    reading = create_async_engine(
        url,
        async_creator=open_file,
        hide_parameters=True,
        pool_size=READERS,
        max_overflow=0,
        pool_reset_on_return=None,
        isolation_level="AUTOCOMMIT",
        skip_autocommit_rollback=True,
    )

    @event.listens_for(writing.sync_engine, "connect")
    def make_durable(connection: Any, _record: object) -> None:
        _pragmas(connection, "journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON")

    @event.listens_for(reading.sync_engine, "connect")
    def make_read_only(connection: Any, _record: object) -> None:
        _pragmas(connection, "query_only=ON", f"cache_size=-{READER_CACHE_KIB}")

    @event.listens_for(writing.sync_engine, "begin")
    def take_write_lock_first(connection: Any) -> None:
        # a transaction that reads first and writes later would fail with SQLITE_BUSY_SNAPSHOT instead of waiting
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    return writing, reading


def _pragmas(connection: Any, *pragmas: str) -> None:
    cursor = connection.cursor()
    for pragma in pragmas:
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _postgresql_engines(url: URL) -> tuple[AsyncEngine, AsyncEngine]:
    waits = {
        "lock_timeout": f"{round(BUSY_SECONDS * 1000)}ms",
        "idle_in_transaction_session_timeout": f"{round(STILL_SECONDS * 1000)}ms",
    }
    writing = create_async_engine(
        url,
        hide_parameters=True,
        pool_size=1,
        max_overflow=1,  # the connection that listens for hints
        connect_args={"timeout": CONNECT_SECONDS, "server_settings": waits},
    )
    reading = create_async_engine(
        url,
        hide_parameters=True,
        pool_size=READERS,
        max_overflow=0,
        pool_pre_ping=True,
        isolation_level="AUTOCOMMIT",
        connect_args={"timeout": CONNECT_SECONDS, "server_settings": {"default_transaction_read_only": "on"}},
    )
    return writing, reading


def _hand_in_clock(engine: AsyncEngine, clock: Clock) -> None:
    @event.listens_for(engine.sync_engine, "connect")
    def remember(_connection: object, record: Any) -> None:
        record.info["clock"] = clock
