"""Durable accepted signups a second, each answered after its flush, against the same route without a database."""

from bench.callers import call
from bench.lines import Setting
from bench.measuring import Figure, Run, in_turns, of_runs, percentile, timed
from bench.world import World, free_port, host_of, seed, serving, serving_bare

CALLERS = 128
FEW = 16


async def measure(setting: Setting) -> list[Figure]:
    """Call ``gateway serve`` and the bare route in turns; then measure how long an answer takes with few callers."""
    figures: list[Figure] = []
    for kind in setting.databases.kinds:
        world = await seed(await setting.databases.new(kind), free_port(), tenants=1)
        async with serving(world) as (port, pid), serving_bare() as (bare_port, bare_pid):
            total = setting.size(4_000, 40)
            turns = await in_turns(
                lambda: _round(world, port, pid, total),  # noqa: B023 - called within the loop
                lambda: _round(world, bare_port, bare_pid, total),  # noqa: B023
                setting.pairs,
            )
            answers = await call(port, world.signup, callers=FEW, total=setting.size(3_000, 40))
            answers.demand(202)
        database = host_of(world.database_url)
        ours, bare = [one for one, _ in turns], [other for _, other in turns]
        by_time = [one.per_second / other.per_second for one, other in turns]
        by_cpu = [one.per_cpu_second / other.per_cpu_second for one, other in turns]
        few = [1000 * seconds for seconds in answers.seconds]
        figures += [
            of_runs("accept", "signups/s over the bare route's, 128 at once", by_time, database=database, aim=0.5),
            of_runs("accept", "the same per CPU second of the server", by_cpu, database=database),
            of_runs("accept", "accepted signups/s", [one.per_second for one in ours], database=database),
            of_runs("accept", "CPU of one, ms", [one.cpu_ms for one in ours], database=database, better="less"),
            of_runs("accept", "bare route, CPU, ms", [one.cpu_ms for one in bare], database=database, better="less"),
            Figure(
                line="accept", what="p50 of an answer, ms, 16 at once", value=percentile(few, 50), database=database,
                aim=10, better="less",
            ),
            Figure(
                line="accept", what="p99 of an answer, ms, 16 at once", value=percentile(few, 99), database=database,
                aim=50, better="less",
            ),
        ]  # fmt: skip
    return figures


async def _round(world: World, port: int, pid: int, total: int) -> Run:
    requests = iter([world.signup() for _ in range(total)])

    async def work() -> int:
        answers = await call(port, lambda: next(requests), callers=CALLERS, total=total)
        answers.demand(202)
        return answers.total

    return await timed(work, pid)
