"""``gateway integrations``: what was found, and what is wrong with the rest."""

import click
from rich.console import Console
from rich.table import Table

from gateway.plugins import discover


@click.command()
def integrations() -> None:
    """List installed integrations, their capabilities, and the broken ones with the reason.

    Exits with 1 when a plugin is quarantined.
    """
    registry = discover().configure()
    table = Table("integration", "name", "category", "version", "capabilities", box=None, header_style="bold")
    for one in registry:
        table.add_row(
            one.key, one.manifest.name, one.manifest.category, one.version, ", ".join(sorted(one.capabilities))
        )
    console = Console(soft_wrap=True)
    console.print(table)
    for one in registry:
        if one.settings_error is not None:
            console.print(f"cannot be connected: {one.key}: {one.settings_error}", style="yellow", markup=False)
    for broken in registry.quarantined:
        console.print(f"quarantined: {broken.key} ({broken.distribution}): {broken.reason}", style="red", markup=False)
    if not table.rows and not registry.quarantined:
        console.print("No integration is installed; try: pip install referral-gateway-pipedrive", markup=False)
    raise SystemExit(1 if registry.quarantined else 0)
