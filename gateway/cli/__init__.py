"""The ``gateway`` command: each subcommand in a module of its own, joined here."""

import sys

import click

from gateway import __version__
from gateway.cli import (
    approve,
    check_plugin,
    demo,
    doctor,
    erase,
    export,
    integrations,
    logs,
    new_plugin,
    rewrap,
    sandbox,
    schema,
    serve,
    sync,
)
from gateway.errors import Refused
from gateway.settings import SettingsError
from gateway.storage.engine import UNUSABLE, DatabaseMisconfigured, why_unusable
from gateway.storage.migrate import SchemaMismatch
from gateway.storage.vault import VaultError


@click.group()
@click.version_option(__version__, prog_name="gateway")
def cli() -> None:
    """Join a referral platform to its customers' CRMs."""
    logs.configure()


for command in (
    demo.demo,
    serve.serve,
    serve.worker,
    schema.migrate,
    integrations.integrations,
    approve.approve,
    sandbox.sandbox,
    doctor.doctor,
    check_plugin.check_plugin,
    new_plugin.new_plugin,
    export.export_schemas,
    erase.erase,
    rewrap.rewrap,
    sync.sync,
):
    cli.add_command(command)


def main() -> None:
    """Run the command line; a wrong setting ends with one sentence, not a traceback."""
    try:
        cli(prog_name="gateway")
    except (SettingsError, DatabaseMisconfigured, SchemaMismatch, VaultError) as error:
        click.secho(f"gateway: {error}", fg="red", err=True)
        sys.exit(2)
    except Refused as error:
        click.secho(f"gateway: {error.detail}", fg="red", err=True)
        sys.exit(1)
    except UNUSABLE as error:
        said = why_unusable(error)
        click.secho(f"gateway: the database cannot be used: {said}; see GATEWAY_DATABASE_URL", fg="red", err=True)
        sys.exit(2)
