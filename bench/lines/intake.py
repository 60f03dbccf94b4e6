"""Webhooks of a vendor taken in a second: each is proven, stored and de-duplicated before it is answered."""

from bench.callers import call
from bench.lines import Setting
from bench.measuring import Figure, Run, in_turns, of_runs, timed
from bench.world import World, free_port, host_of, seed, serving, serving_bare

CALLERS = 128


async def measure(setting: Setting) -> list[Figure]:
    """Call ``gateway serve`` and a route that reads the body and answers, in turns."""
    figures: list[Figure] = []
    for kind in setting.databases.kinds:
        world = await seed(await setting.databases.new(kind), free_port(), tenants=1)
        async with serving(world) as (port, pid), serving_bare() as (bare_port, bare_pid):
            total = setting.size(2_000, 40)
            turns = await in_turns(
                lambda: _round(world, port, pid, total),  # noqa: B023 - called within the loop
                lambda: _round(world, bare_port, bare_pid, total),  # noqa: B023
                setting.pairs,
            )
        database = host_of(world.database_url)
        ours = [one for one, _ in turns]
        ratios = [one.per_second / other.per_second for one, other in turns]
        figures += [
            of_runs("intake", "webhooks/s over a route that stores nothing, 128 at once", ratios, database=database),
            of_runs("intake", "webhooks/s", [one.per_second for one in ours], database=database),
            of_runs("intake", "CPU of one, ms", [one.cpu_ms for one in ours], database=database, better="less"),
        ]
    return figures


async def _round(world: World, port: int, pid: int, total: int) -> Run:
    requests = iter([world.webhook() for _ in range(total)])

    async def work() -> int:
        answers = await call(port, lambda: next(requests), callers=CALLERS, total=total)
        answers.demand(200)
        return answers.total

    return await timed(work, pid)
