"""``gateway approve``: let a connection that waits for the operator go on."""

import asyncio

import click

from gateway.app import open_services
from gateway.flows.connections import connect, steps
from gateway.settings import Settings, load
from gateway.storage import connections
from gateway.storage.connections import ConnectionRow


@click.command()
@click.argument("connection", required=False)
def approve(connection: str | None) -> None:
    """Approve CONNECTION, so that who connects can go on; without it: list those that wait, the longest first.

    Do what the integration asks of you first, at the vendor.
    """
    if connection is None:
        waiting = asyncio.run(_waiting())
        for row in waiting:
            since = f"{row.state_since:%Y-%m-%d %H:%M} UTC"
            click.echo(f"{row.id}  {row.integration}  account {row.account_id}  {row.identity or '-'}  since {since}")
        if not waiting:
            click.echo("no connection waits for approval")
        return
    row = asyncio.run(_approve(connection))
    click.echo(f"approved: {row.id} of account {row.account_id} is {row.state} now")


async def _waiting() -> list[ConnectionRow]:
    async with open_services(load(Settings)) as services, services.database.read() as conn:
        return await connections.waiting_for_approval(conn)


async def _approve(connection_id: str) -> ConnectionRow:
    async with open_services(load(Settings)) as services:
        return await steps.approve(services, await connect.find(services, connection_id))
