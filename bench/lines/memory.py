"""Resident memory of ``gateway serve`` with a worker: at rest, and after 100,000 signups while it delivers them."""

import asyncio

from bench.callers import call
from bench.lines import Setting
from bench.measuring import Figure, resident_mib
from bench.world import free_port, seed, serving, serving_vendor

SIGNUPS = 100_000
LIST = 500
REST_SECONDS = 5.0


async def measure(setting: Setting) -> list[Figure]:
    """Send the signups in lists while the worker delivers, and look at the process."""
    total = setting.size(SIGNUPS, 100)
    size = min(LIST, total)
    world = await seed(await setting.databases.new("sqlite"), free_port(), tenants=setting.size(100, 2))
    with serving_vendor(world.vendor_port):
        async with serving(world, with_worker=True) as (port, pid):
            await asyncio.sleep(min(REST_SECONDS, setting.size(5, 0)))
            at_rest = resident_mib(pid)
            numbers = iter(range(total // size + 1))
            answers = await call(
                port,
                lambda: world.batch(size, world.accounts[next(numbers) % len(world.accounts)]),
                callers=4,
                total=total // size,
            )
            answers.demand(202)
            after = resident_mib(pid)
    what = f"MiB after {total:,} signups, the worker at work"
    return [
        Figure(line="memory", what="MiB at rest", value=at_rest, aim=150, better="less"),
        Figure(line="memory", what=what, database="SQLite", value=after, aim=150, better="less"),
    ]
