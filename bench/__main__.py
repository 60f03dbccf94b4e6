"""``python -m bench``: measure every line, or those that are named, and print one table."""

import asyncio
import json
import os
import platform
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from bench.lines import Setting, lines
from bench.measuring import Figure
from bench.world import Databases
from gateway.cli import logs
from gateway.cli.serve import keep_what_is_loaded


@click.command()
@click.argument("only", nargs=-1)
@click.option("--database", "kinds", multiple=True, type=click.Choice(["sqlite", "postgresql"]), help="Default: both.")
@click.option("--pairs", default=5, show_default=True, type=click.IntRange(1), help="Runs of each of two that compare.")
@click.option(
    "--scale", default=1.0, show_default=True, type=click.FloatRange(0, 10), help="Of the full sizes; 0: a trial."
)
@click.option("--json", "json_path", type=click.Path(path_type=Path), help="Write the figures there too.")
def main(only: tuple[str, ...], kinds: tuple[str, ...], pairs: int, scale: float, json_path: Path | None) -> None:
    """Measure the lines named ONLY, or all of them."""
    known = lines()
    if unknown := sorted(set(only) - set(known)):
        raise click.UsageError(f"no line {', '.join(unknown)}; there is: {', '.join(known)}")
    logs.configure("console", "error")
    keep_what_is_loaded()  # as a process that serves
    console = Console(highlight=False, soft_wrap=True)
    figures: list[Figure] = []
    with tempfile.TemporaryDirectory(prefix="gateway-bench-") as name:
        databases = Databases(Path(name), list(kinds) or ["sqlite", "postgresql"])
        setting = Setting(databases, Path(name), pairs, scale)
        try:
            for line in only or known:
                began = time.monotonic()
                figures += asyncio.run(known[line](setting))
                console.print(f"{line}: measured in {time.monotonic() - began:.0f} s", style="dim")
        finally:
            databases.close()
    console.print(f"{datetime.now(UTC):%Y-%m-%d}, {machine()}, Python {platform.python_version()}")
    console.print(as_table(figures))
    if json_path is not None:
        json_path.write_text(json.dumps([one.as_dict() for one in figures], indent=2) + "\n")


def machine() -> str:
    """Say what this machine is."""
    name = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        names = [line.partition(":")[2].strip() for line in cpuinfo.read_text().splitlines() if "model name" in line]
        name = names[0] if names else name
    return f"{os.cpu_count()} cores, {name}"


def as_table(figures: list[Figure]) -> Table:
    """Return the figures as a table."""
    table = Table(box=None, pad_edge=False)
    for title in ("line", "what", "database"):
        table.add_column(title)
    for title in ("figure", "lowest", "highest", "aim", ""):
        table.add_column(title, justify="right")
    for one in figures:
        aim = "" if one.aim is None else f"{'≥' if one.better == 'more' else '≤'} {one.aim:g}"
        met = {None: "", True: "met", False: "not met"}[one.met]
        table.add_row(one.line, one.what, one.database, *map(_shown, (one.value, one.low, one.high)), aim, met)
    return table


def _shown(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


if __name__ == "__main__":
    main()
