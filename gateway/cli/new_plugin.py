"""``gateway new-plugin KEY``: make a package for an integration that passes the conformance suite already."""

import keyword
import re
from importlib.metadata import PackageNotFoundError, entry_points, requires
from importlib.util import find_spec
from pathlib import Path

import click
import msgspec

from gateway import testing
from gateway.plugins import GROUP
from gateway.settings import Settings

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
    if (taken := why_taken(key)) is not None:
        raise click.UsageError(f"{taken}; choose another key, for example {key}_crm")
    folder = into / key
    if folder.exists():
        raise click.UsageError(f"{folder} is there already")
    written = [write(file, folder, key, name or key.replace("_", " ").title()) for file in _files()]
    click.echo(f"{folder}: {len(written)} files", err=True)
    # the virtualenv of a checkout is uv's, and has no pip: one that stands on the PATH would install somewhere else
    install = "pip install -e ." if find_spec("pip") is not None else "uv pip install -e ."
    click.echo(
        f"next, in this virtualenv: cd {folder} && {install} && gateway check-plugin {key} --write README.md", err=True
    )


def why_taken(key: str) -> str | None:
    """Return why a key would clash with a name that is there already, as half a sentence; ``None``: it is free."""
    if keyword.iskeyword(key):
        return f"{key!r} is a word of Python, which names no module"
    if key == "gateway":
        return "'gateway' is the gateway's own name"
    if any(field.startswith(f"{key}_") for field in msgspec.structs.asdict(Settings())):
        return f"GATEWAY_{key.upper()}_… are settings of the gateway, where this integration's would stand"
    if key in {point.name for point in entry_points(group=GROUP)} or f"referral-gateway-{key}" in _required():
        return f"there is an integration {key!r} already"
    return f"there is a package gateway_{key} already" if find_spec(f"gateway_{key}") is not None else None


def _required() -> set[str]:
    """Return the distributions that the gateway names, its integrations among them, installed or not."""
    try:
        lines = requires("referral-gateway") or []
    except PackageNotFoundError:  # it runs from its sources
        return set()
    return {found[0] for line in lines if (found := re.match(r"[\w.-]+", line)) is not None}


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
