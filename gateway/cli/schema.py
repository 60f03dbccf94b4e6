"""``gateway migrate``: bring the database to the schema of this version."""

import asyncio

import click

from gateway.settings import Settings, load
from gateway.storage import migrate as migrations


@click.command()
@click.option("--check", "check_only", is_flag=True, help="Change nothing; exit with 1 when the schema is another one.")
def migrate(check_only: bool) -> None:
    """Bring the database to the schema of this version.

    Run it before starting a new version. Migrations expand first and contract a release later, so the
    version before goes on working meanwhile.
    """
    url = load(Settings).database_url
    before, head = asyncio.run(migrations.current(url)), migrations.head()
    if check_only:
        click.echo(f"database: {before or 'empty'}, this version: {head}")
        raise SystemExit(0 if before == head else 1)
    asyncio.run(migrations.upgrade(url))
    click.echo(f"database: {before or 'empty'} -> {head}" if before != head else f"database: {head}, nothing to do")
