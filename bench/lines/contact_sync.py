"""A contact sync, with and without write-back, against a bare loop over the same pages and against its rows alone.

The bare loop reads and decodes the pages with httpx and msgspec and stores nothing. The rows are those that the sync
made, stored again with nothing but ``executemany`` in as many commits: what SQLite itself takes. Each run is a process
of its own beside the vendor's (``bench/syncing.py``). At full scale there are 100,000 contacts; ``--scale 10`` shows
that a million take no more memory.
"""

import asyncio
import json
import os
import sys
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from sqlalchemy import delete, update

from bench.bare import executemany
from bench.lines import Setting
from bench.lines.batches import rows_since
from bench.measuring import Figure, Run, of_runs
from bench.world import World, free_port, host_of, seed, serving_vendor
from gateway.app import open_services
from gateway.flows.contact_sync.pages import BATCH_CONTACTS
from gateway.storage import migrate
from gateway.storage.engine import AsyncConnection
from gateway.storage.tables import budgets, campaigns

CONTACTS, WRITTEN = 100_000, 10_000
TABLES = ("people", "links", "sync_contacts", "timeline", "events")


async def measure(setting: Setting) -> list[Figure]:
    """Run the kinds in turns, each time with a new database and in a new process."""
    contacts, written = setting.size(CONTACTS, 600), min(WRITTEN, setting.size(WRITTEN, 20))
    port, figures = free_port(), []
    with serving_vendor(port, contacts=contacts):
        bare = [await _ran(["bare", str(port), str(contacts)], contacts) for _ in range(setting.pairs)]
        figures += _figures("bare page loop", "", contacts, [run for run, _ in bare])
        for kind in setting.databases.kinds:
            runs, alone = [], []
            for number in range(setting.pairs):
                world = await _world(setting, kind, port)
                runs.append(await _ran(["sync", str(port), str(contacts)], contacts, world))
                if kind == "sqlite" and contacts <= CONTACTS:  # they stand in our memory for it
                    alone.append(await _rows_alone(world, setting.folder / f"rows-{number}.db", contacts))
            figures += _figures(
                "sync without write-back", host_of(world.database_url), contacts, [run for run, _ in runs]
            )
            figures.append(_peak(host_of(world.database_url), contacts, [peak for _, peak in runs]))
            if alone:
                figures += _figures("its rows alone, executemany", host_of(world.database_url), contacts, alone)
    port = free_port()
    with serving_vendor(port, contacts=written):
        for kind in setting.databases.kinds:
            both = []
            for _ in range(setting.pairs):
                world = await _world(setting, kind, port)
                both.append(await _ran(["write_back", str(port), str(written)], written, world))
            figures += _figures("sync with write-back", host_of(world.database_url), written, [run for run, _ in both])
    return figures


def _figures(name: str, database: str, contacts: int, runs: Sequence[Run]) -> list[Figure]:
    aimed = name == "sync without write-back" and database == "SQLite"
    told = partial(of_runs, "contact_sync", database=database)
    return [
        told(
            f"{name}, {contacts:,} persons, persons/s",
            values=[run.per_second for run in runs],
            aim=10_000 if aimed else None,
        ),
        told(
            f"{name}, CPU seconds of 1,000",
            values=[run.cpu_ms for run in runs],
            aim=0.05 if aimed else None,
            better="less",
        ),
    ]


def _peak(database: str, contacts: int, peaks: Sequence[float]) -> Figure:
    what = f"peak memory of the worker, {contacts:,} persons, MiB"
    return of_runs("contact_sync", what, peaks, database=database, aim=150, better="less")


async def _world(setting: Setting, kind: str, port: int) -> World:
    """Return a new database with a connected account whose campaign makes links."""
    world = await seed(await setting.databases.new(kind), port, tenants=1)
    async with open_services(world.settings, environ=world.environ) as services:
        linking = update(campaigns).values(link_template="https://refer.example/{code}")
        for statement in (linking, delete(budgets)):  # what the sandbox said of its daily budget is not the bench's
            await services.database.writer.run(partial(AsyncConnection.execute, statement=statement))
    return world


async def _ran(arguments: Sequence[str], contacts: int, world: World | None = None) -> tuple[Run, float]:
    """Run ``bench/syncing.py``; return what it took and its peak memory in MiB."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bench.syncing", *arguments,
        env={**os.environ, **(world.environ if world is not None else {})}, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, _ = await process.communicate()
    if process.returncode != 0:
        raise RuntimeError(f"bench.syncing {' '.join(arguments)} ended with {process.returncode}")
    found = json.loads(out.splitlines()[-1])
    return Run(contacts, found["seconds"], found["cpu_seconds"]), found["peak_mib"]


async def _rows_alone(world: World, path: Path, contacts: int) -> Run:
    """Store the rows of a sync again, in an empty database and in as many commits."""
    await migrate.upgrade(f"sqlite:///{path}")
    rows = rows_since(world, dict.fromkeys(TABLES, 0))
    cpu = time.process_time()
    seconds = executemany(str(path), rows, -(-contacts // BATCH_CONTACTS))
    return Run(contacts, seconds, time.process_time() - cpu)
