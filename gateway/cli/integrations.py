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
    table = Table(
        "integration", "name", "category", "distribution", "capabilities", "settings", box=None, header_style="bold"
    )
    for one in registry:
        package = f"{one.distribution} {one.version}".strip()
        state = "ok" if one.settings_error is None else one.settings_error
        table.add_row(
            one.key, one.manifest.name, one.manifest.category, package, ", ".join(sorted(one.capabilities)), state
        )
    console = Console(soft_wrap=True)
    console.print(table)
    for broken in registry.quarantined:
        console.print(f"quarantined: {broken.key} ({broken.distribution}): {broken.reason}", style="red", markup=False)
    if not table.rows and not registry.quarantined:
        console.print("No integration is installed; try: pip install referral-gateway-pipedrive", markup=False)
    raise SystemExit(1 if registry.quarantined else 0)
