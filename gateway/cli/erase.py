"""``gateway erase``: remove a person's plain data from the gateway."""

import asyncio

import click

from gateway.app import open_services
from gateway.flows.people import erase as flow
from gateway.settings import Settings, load


@click.command()
@click.argument("account")
@click.argument("email")
@click.option("--yes", is_flag=True, help="Do not ask.")
def erase(account: str, email: str, yes: bool) -> None:
    """Erase everything that names EMAIL in ACCOUNT; counts and rewards stay, without the person.

    The CRM's own records are not touched: the account erases those there.
    """
    if not yes:
        click.confirm(f"Erase {email} from account {account}? This cannot be undone", abort=True)
    erased = asyncio.run(_erase(account, email))
    click.echo(f"erased: {erased} person(s). Records in the CRM are not touched; erase them there.")


async def _erase(account: str, email: str) -> int:
    async with open_services(load(Settings)) as services:
        return await flow.erase(services, account, email)
