"""Signups in lists of 1,000 through the flow, against ``executemany`` of the very rows that they become.

Both store the same rows in the same tables with the same indexes, in the same number of flushed commits. What the
gateway does more: it reads each signup, decides whom it means, and makes the rows.
"""

import sqlite3
import time
from pathlib import Path
from typing import Any

from bench.bare import executemany
from bench.lines import Setting
from bench.measuring import Figure, of_runs
from bench.world import CAMPAIGN, World, a_signup, free_port, seed
from gateway.app import open_services
from gateway.flows.signups import signup
from gateway.storage import migrate
from gateway.storage.tables import metadata

SIZE = 1_000


async def measure(setting: Setting) -> list[Figure]:
    """Store lists one after the other, then their rows again in an empty copy of the database."""
    lists = setting.size(10, 2)
    size = min(SIZE, setting.size(10 * SIZE, 20))
    world = await seed(await setting.databases.new("sqlite"), free_port(), tenants=1)
    ratios, rates, bare_rates = [], [], []
    for number in range(setting.pairs):
        rows_before = _last_rows(world)
        async with open_services(world.settings, environ=world.environ) as services:
            bodies = [[a_signup() for _ in range(size)] for _ in range(lists)]
            began = time.perf_counter()
            for body in bodies:
                await signup.submit(services, world.accounts[0], CAMPAIGN, body)
            ours = time.perf_counter() - began
        rows = rows_since(world, rows_before)
        empty = setting.folder / f"empty-{number}.db"
        await migrate.upgrade(f"sqlite:///{empty}")
        bare = executemany(str(empty), rows, lists)
        ratios.append(bare / ours)
        rates.append(lists * size / ours)
        bare_rates.append(lists * size / bare)
    return [
        of_runs("batches", "signups/s in lists of 1,000 over bare group commits", ratios, database="SQLite", aim=0.4),
        of_runs("batches", "signups/s in lists of 1,000", rates, database="SQLite"),
        of_runs("batches", "bare group commits of the same rows, signups/s", bare_rates, database="SQLite"),
    ]


def _open(world: World) -> sqlite3.Connection:
    return sqlite3.connect(Path("/" + world.database_url.removeprefix("sqlite:////")))


def _last_rows(world: World) -> dict[str, int]:
    with _open(world) as connection:
        tables = [table.name for table in metadata.sorted_tables]
        return {
            name: connection.execute(f"SELECT coalesce(max(rowid), 0) FROM {name}").fetchone()[0] for name in tables
        }


def rows_since(world: World, last: dict[str, int]) -> dict[str, list[tuple[Any, ...]]]:
    """Return the rows of these tables behind these places (``rowid``), by table."""
    with _open(world) as connection:
        found = {
            name: connection.execute(f"SELECT * FROM {name} WHERE rowid > ? ORDER BY rowid", [rowid]).fetchall()
            for name, rowid in last.items()
        }
    return {name: rows for name, rows in found.items() if rows}
