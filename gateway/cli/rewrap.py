"""``gateway rewrap``: encrypt stored secrets anew after a key was put in front."""

import asyncio

import click

from gateway.app import open_services
from gateway.settings import Settings, load


@click.command()
def rewrap() -> None:
    """Encrypt with the first of GATEWAY_SECRET_KEYS what an older key encrypted.

    Run it when every process has the new key. When it is done, the older keys may be removed. It may run
    while the gateway serves, and again at any time.
    """
    click.echo(f"{asyncio.run(_rewrap())} secrets encrypted anew; keys after the first may be removed now")


async def _rewrap() -> int:
    total = 0
    async with open_services(load(Settings)) as services:
        while number := await services.database.writer.run(services.vault.rewrap):
            total += number
    return total
