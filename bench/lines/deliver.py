"""Signups delivered per CPU second, against a bare httpx loop that makes the same calls over the same transport.

Both call the vendor of ``bench/vendor.py``, which runs in a process of its own and is not counted. The loop awaits what
the gateway's worker awaits, with as many at once; it keeps nothing, checks nothing and is told nothing.
"""

import asyncio
import itertools
from collections.abc import Sequence

import httpx
import msgspec

from bench.lines import Setting
from bench.measuring import Figure, Run, in_turns, of_runs, timed
from bench.world import CAMPAIGN, World, a_signup, free_port, host_of, seed, serving_vendor
from gateway.app import create_worker, open_services
from gateway.flows.connections.transport import VendorTransport
from gateway.flows.services import Services
from gateway.flows.signups import signup

EACH = 8
"""Signups of one tenant: the vendor takes nine in two seconds."""


PATIENCE_SECONDS = 60


async def measure(setting: Setting) -> list[Figure]:
    """Deliver signups of many tenants and make the same calls bare, in turns."""
    figures: list[Figure] = []
    for kind in setting.databases.kinds:
        world = await seed(await setting.databases.new(kind), free_port(), tenants=setting.size(120, 3))
        with serving_vendor(world.vendor_port):
            noting = Noting(VendorTransport())
            async with open_services(world.settings, environ=world.environ, vendor_transport=noting) as services:
                accept = await timed(lambda: _accept(services, world))  # noqa: B023 - called within the loop
                client = services.vendor_http
                noting.calls = []
                await _deliver(services, 1)
                made, noting.calls = calls_of_one(noting.calls), None
                atonce = services.settings.workers

                async def ours(services: Services = services) -> Run:
                    total = await _accept(services, world)  # noqa: B023
                    await asyncio.sleep(2.1)  # the tenants' search windows of the run before are over
                    return await timed(lambda: _deliver(services, total))

                async def bare(
                    client: httpx.AsyncClient = client, made: Sequence[httpx.Request] = made, atonce: int = atonce
                ) -> Run:
                    return await timed(lambda: _loop(client, made, EACH * len(world.accounts), atonce))  # noqa: B023

                turns = await in_turns(ours, bare, setting.pairs)
        database = host_of(world.database_url)
        ratios = [one.per_cpu_second / other.per_cpu_second for one, other in turns]
        all_in = [one.cpu_ms + accept.cpu_ms for one, _ in turns]
        figures += [
            of_runs("deliver", "delivered per CPU second over a bare httpx loop", ratios, database=database, aim=0.5),
            of_runs(
                "deliver",
                "CPU of one delivered, ms",
                [one.cpu_ms for one, _ in turns],
                database=database,
                better="less",
            ),
            of_runs(
                "deliver",
                f"bare httpx loop, {len(made)} calls, CPU of one, ms",
                [other.cpu_ms for _, other in turns],
                database=database,
                better="less",
            ),
            of_runs("deliver", "delivered/s", [one.per_second for one, _ in turns], database=database),
            of_runs(
                "deliver", "accepted in lists and delivered, CPU of one, ms", all_in, database=database, better="less"
            ),
        ]
    return figures


class Noting(httpx.AsyncBaseTransport):
    """Passes requests on, and notes them in ``calls`` where it is a list."""

    def __init__(self, inner: httpx.AsyncBaseTransport) -> None:
        self.calls: list[httpx.Request] | None = None
        self._inner = inner

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Note a request, and send it."""
        if self.calls is not None:
            self.calls.append(request)
        return await self._inner.handle_async_request(request)

    async def aclose(self) -> None:
        """Close the connections."""
        await self._inner.aclose()


def calls_of_one(calls: Sequence[httpx.Request]) -> list[httpx.Request]:
    """Return the calls of one signup out of those of many: the first of each method and path."""
    return list({(one.method, one.url.path): one for one in reversed(calls)}.values())[::-1]


async def _accept(services: Services, world: World) -> int:
    for account in world.accounts:
        await signup.submit(services, account, CAMPAIGN, [a_signup() for _ in range(EACH)])
    return EACH * len(world.accounts)


async def _deliver(services: Services, total: int) -> int:
    """Run the worker until all signups are in the CRM and nothing is due."""
    worker = create_worker(services)
    for _ in range(PATIENCE_SECONDS):
        await worker.drain()
        async with services.database.read() as conn:
            waiting = (await conn.exec_driver_sql("SELECT count(*) FROM people WHERE crm <> 'linked'")).scalar_one()
        if not waiting:
            return total
        await asyncio.sleep(1)  # on a machine at its limit a call may be told to wait
    raise RuntimeError(f"{waiting} signups were not delivered")


async def _loop(client: httpx.AsyncClient, calls: Sequence[httpx.Request], total: int, at_once: int) -> int:
    """Make the calls of ``total`` signups and decode the answers, ``at_once`` signups at a time."""
    numbers = itertools.count()
    headers = {name: value for name, value in calls[-1].headers.items() if name in ("authorization", "content-type")}

    async def caller() -> None:
        while next(numbers) < total:
            for one in calls:
                answer = await client.request(one.method, one.url, content=one.content, headers=headers)
                msgspec.json.decode(answer.content)

    await asyncio.gather(*(caller() for _ in range(at_once)))
    return total
