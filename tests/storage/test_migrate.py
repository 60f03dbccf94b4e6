"""The schema's revisions: written from the tables, the same on both databases, checked before serving."""

import shutil

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext

from gateway.sdk.clock import Clock
from gateway.storage import migrate
from gateway.storage.engine import Database, writing_engine
from gateway.storage.migrate import SchemaMismatch
from gateway.storage.tables import metadata


@pytest.fixture
def revisions(tmp_path, monkeypatch):
    """An empty folder of revisions beside the real environment."""
    folder = tmp_path / "migrations"
    shutil.copytree(migrate._MIGRATIONS, folder, ignore=shutil.ignore_patterns("versions", "__pycache__"))
    (folder / "versions").mkdir()
    monkeypatch.setattr(migrate, "_MIGRATIONS", folder)
    return folder / "versions"


async def differences(url: str) -> list:
    engine = writing_engine(url)
    async with engine.connect() as conn:
        found = await conn.run_sync(lambda sync: compare_metadata(MigrationContext.configure(sync), metadata))
    await engine.dispose()
    return found


async def test_a_written_revision_makes_the_tables_on_both_databases(revisions, new_database_url: str):
    assert migrate.head() is None
    await migrate.write_revision("First tables")
    assert migrate.head() == "0001"
    (written,) = revisions.glob("*.py")
    assert "gateway" not in written.read_text().replace("gateway_", ""), "a revision must not change with our code"
    assert await migrate.current(new_database_url) is None
    await migrate.upgrade(new_database_url)
    await migrate.upgrade(new_database_url)
    assert await migrate.current(new_database_url) == "0001"
    assert await differences(new_database_url) == []


async def test_another_schema_is_refused_with_what_to_do(revisions, new_database_url: str, clock: Clock):
    await migrate.write_revision("First tables")
    db = await Database.open(new_database_url, clock)
    with pytest.raises(SchemaMismatch, match="revision None, this gateway needs 0001: run `gateway migrate`"):
        await migrate.check(db)
    await migrate.upgrade(new_database_url)
    await migrate.check(db)
    (written,) = revisions.glob("*.py")
    shutil.move(written, revisions.parent / "kept.py")
    (revisions / "0002_other.py").write_text(
        "revision = '0002'\ndown_revision = None\n\ndef upgrade():\n    pass\n\ndef downgrade():\n    pass\n"
    )
    with pytest.raises(SchemaMismatch, match="0001, which this gateway does not know"):
        await migrate.check(db)
    await db.close()


async def test_the_committed_revisions_make_the_tables_as_they_are(new_database_url: str):
    if migrate.head() is None:
        pytest.skip("no revision is written yet")
    await migrate.upgrade(new_database_url)
    assert await migrate.current(new_database_url) == migrate.head()
    assert await differences(new_database_url) == []
