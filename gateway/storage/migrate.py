"""Bring a database's schema to this version, tell which one it has, and write new revisions.

``python -m gateway.storage.migrate "Add a column for the sale value"`` compares the tables with the revisions so far
and writes the next one into ``migrations/versions``; read it before you commit it.
"""

import asyncio
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection

from gateway.storage.engine import Database, writing_engine

_MIGRATIONS = Path(__file__).parent / "migrations"


class SchemaMismatch(Exception):
    """The database has another schema than this version of the gateway; the message says what to run."""


async def upgrade(url: str, revision: str = "head") -> None:
    """Run the revisions that the database at ``url`` lacks, up to ``revision``; safe to repeat.

    Processes of the version before may go on meanwhile: revisions expand first and contract a version later.
    """
    await _with_connection(url, lambda config: command.upgrade(config, revision))


async def first_start(url: str) -> None:
    """Set up a new SQLite file; any other database is left to the operator and ``gateway migrate``."""
    if writing_engine(url).dialect.name == "sqlite" and await current(url) is None:
        await upgrade(url)


async def current(url: str) -> str | None:
    """Return the revision of the database at ``url``; None before the first."""
    engine = writing_engine(url)
    try:
        async with engine.connect() as conn:
            return await conn.run_sync(_revision)
    finally:
        await engine.dispose()


def head() -> str | None:
    """Return the revision that this version needs; None while none is written."""
    return ScriptDirectory.from_config(_config()).get_current_head()


async def check(db: Database) -> None:
    """Refuse another schema than this version's.

    Raises:
        SchemaMismatch: Run ``gateway migrate``, or a newer gateway.
    """
    async with db.read() as conn:
        found = await conn.run_sync(_revision)
    if found == head():
        return
    known = {script.revision for script in ScriptDirectory.from_config(_config()).walk_revisions()}
    if found is None or found in known:
        raise SchemaMismatch(f"the database is at revision {found}, this gateway needs {head()}: run `gateway migrate`")
    raise SchemaMismatch(f"the database is at revision {found}, which this gateway does not know: run a newer gateway")


def revisions() -> list[str]:
    """Return all revisions, the first one first."""
    return [script.revision for script in ScriptDirectory.from_config(_config()).walk_revisions()][::-1]


async def write_revision(message: str) -> None:
    """Write the revision that leads from the revisions so far to the tables as they are."""
    with tempfile.TemporaryDirectory() as folder:
        url = f"sqlite:///{folder}/revision.db"
        await upgrade(url)
        number = f"{len(list(ScriptDirectory.from_config(_config()).walk_revisions())) + 1:04}"
        await _with_connection(url, lambda config: command.revision(config, message, autogenerate=True, rev_id=number))


def _config(**attributes: Any) -> Config:
    config = Config()
    config.set_main_option("script_location", _MIGRATIONS.as_posix().replace("%", "%%"))
    config.attributes.update(attributes)
    return config


async def _with_connection(url: str, run: Callable[[Config], object]) -> None:
    engine = writing_engine(url)

    def with_config(connection: Connection) -> None:
        run(_config(connection=connection))

    try:
        async with engine.begin() as conn:
            await conn.run_sync(with_config)
    finally:
        await engine.dispose()


def _revision(connection: Connection) -> str | None:
    return MigrationContext.configure(connection).get_current_revision()


if __name__ == "__main__":
    asyncio.run(write_revision(" ".join(sys.argv[1:])))
