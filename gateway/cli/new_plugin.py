"""``gateway new-plugin KEY``: make a package for an integration that passes the conformance suite already."""

import re
from pathlib import Path

import click

from gateway import testing

SCAFFOLD = Path(testing.__file__).parent / "scaffold"
SKIPPED = frozenset({"__pycache__"})
TEMPLATE = ".in"
"""Ending of files that must not mean anything where they lie."""


@click.command()
@click.argument("key")
@click.option(
    "--into",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path(),
    help="Folder in which the package's folder is made; default: here.",
)
@click.option("--name", help="What people call the vendor; default: made from KEY.")
def new_plugin(key: str, into: Path, name: str | None) -> None:
    """Make a package for a new integration KEY, with a sandbox and tests that pass."""
    if not re.fullmatch(r"[a-z][a-z0-9_]{0,30}", key):
        raise click.UsageError(f"{key!r} is no key: use lower-case letters, digits and _, a letter first")
    folder = into / key
    if folder.exists():
        raise click.UsageError(f"{folder} is there already")
    written = [write(file, folder, key, name or key.replace("_", " ").title()) for file in _files()]
    click.echo(f"{folder}: {len(written)} files", err=True)
    click.echo(f"next: cd {folder} && pip install -e . && gateway check-plugin {key}", err=True)


def _files() -> list[Path]:
    found = (file for file in SCAFFOLD.rglob("*") if file.is_file() and not SKIPPED & set(file.parts))
    return sorted(found)


def write(file: Path, folder: Path, key: str, name: str) -> Path:
    """Write one file of the scaffold under the new integration's names; return where."""
    place = str(file.relative_to(SCAFFOLD)).replace("acme", key).removesuffix(TEMPLATE)
    text = file.read_text().replace("GATEWAY_ACME", f"GATEWAY_{key.upper()}")
    # in names of hosts and headers an underscore would not do
    hosts = text.replace("acme.example", f"{key.replace('_', '-')}.example").replace(
        "x-acme", f"x-{key.replace('_', '-')}"
    )
    classes = hosts.replace("AcmeDriver", f"{_camel(key)}Driver").replace("AcmeSettings", f"{_camel(key)}Settings")
    target = folder / place
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(classes.replace("acme", key).replace("Acme", name))
    return target


def _camel(key: str) -> str:
    return "".join(word.capitalize() for word in key.split("_"))
