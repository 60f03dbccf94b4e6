"""``gateway check-plugin KEY``: run the conformance suite on an installed plugin and print its quality card."""

from pathlib import Path

import click
from rich.console import Console

from gateway.cli import logs
from gateway.testing.conformance import card
from gateway.testing.conformance.rules import Rule
from gateway.testing.conformance.run import RULES, Outcome, run
from gateway.testing.world import NotInstalled, Subject


@click.command()
@click.argument("key")
@click.option("--rule", "only", multiple=True, help="Run this rule alone; may be given several times.")
@click.option(
    "--write",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Put the card into this README, between its markers.",
)
def check_plugin(key: str, only: tuple[str, ...], write: Path | None) -> None:
    """Run the conformance suite on the integration KEY against its sandbox, and print its quality card.

    Exits with 1 when a rule is broken.
    """
    logs.configure("console", "critical")
    if unknown := sorted(set(only) - {rule.key for rule in RULES}):
        raise click.UsageError(f"no rule {unknown[0]!r}; there is: {', '.join(rule.key for rule in RULES)}")
    try:
        subject = Subject.installed(key)
    except NotInstalled as error:
        raise click.ClickException(str(error)) from error
    console = Console(soft_wrap=True, highlight=False)

    def said(rule: Rule, outcome: Outcome) -> None:
        style = {"passed": "green", "broken": "red", "exempt": "dim"}[outcome.state]
        text = f"{card.MARKS[outcome.state]} {rule.key}" + (f": {outcome.text}" if outcome.text else "")
        console.print(text, style=style, markup=False)
        for note in outcome.notes:
            console.print(f"    not looked at: {note}", style="dim", markup=False)

    outcomes = run(subject, [rule for rule in RULES if not only or rule.key in only], said)
    broken = any(outcome.state == "broken" for outcome in outcomes)
    if not only:
        shown = card.render(outcomes)
        console.print(f"\n{shown}", markup=False)
        _write(write, key, shown)
    elif write is not None:
        raise click.UsageError("--write needs the whole suite: leave --rule out")
    raise SystemExit(1 if broken else 0)


def _write(readme: Path | None, key: str, shown: str) -> None:
    if readme is None:
        return
    try:
        changed = card.write(readme, key, shown)
    except card.NoCard as error:
        raise click.ClickException(f"{readme}: {error}") from error
    click.echo(f"{readme}: {'written' if changed else 'current'}", err=True)
