"""Events fanned out per second to 1, 10 and 100 subscriptions of one account: ``uv run python bench/fan_out.py``.

From published events to deliveries that wait: each event gets its place in the feed, is held against the subscriptions,
shaped by the integration for each of them, and stored as a delivery with its task. Sending is not measured. Databases:
SQLite in a temporary folder, and PostgreSQL where ``GATEWAY_BENCH_POSTGRES_URL`` names an empty database.
"""

import asyncio
import base64
import os
import statistics
import tempfile
import time
from datetime import datetime
from pathlib import Path
from typing import Any

from gateway.app import open_services
from gateway.cli import logs
from gateway.flows.accounts import put_account
from gateway.flows.campaigns import campaign
from gateway.flows.connections import steps
from gateway.flows.connections.host import AccountHost
from gateway.flows.notify.fan_out import FanOut
from gateway.flows.notify.publishing import NewEvent, publish
from gateway.flows.people.shapes import signup_event
from gateway.flows.services import Services
from gateway.flows.signups.signup import submit
from gateway.settings import Settings
from gateway.storage import events, migrate, people
from gateway_schemas.account import AccountInput
from gateway_schemas.campaign import CampaignInput
from gateway_schemas.connection import ConnectInput

SUBSCRIPTIONS = (1, 10, 100)
DELIVERIES = 4_000
"""Of one run, at least as many as there are events."""
RUNS = 5
FRIEND = {"email": "fiona@example.com", "first_name": "Fiona"}
REFERRER = {"email": "bob@example.com", "first_name": "Bob"}


class Run:
    """As much of a task's run as the fan-out looks at."""

    def __init__(self, services: Services) -> None:
        self._services = services

    def now(self) -> datetime:
        return self._services.clock.now()


async def main() -> None:
    logs.configure("console", "error")
    with tempfile.TemporaryDirectory(prefix="gateway-bench-") as folder:
        urls = {"sqlite": f"sqlite:///{Path(folder) / 'gateway.db'}"}
        if named := os.environ.get("GATEWAY_BENCH_POSTGRES_URL"):
            urls["postgresql"] = named
        for kind, url in urls.items():
            async for count, rates, cpu in measure(url):
                events = statistics.median(rates)
                print(
                    f"{kind}: {count} subscriptions: {events:,.0f} events/s ({min(rates):,.0f} to {max(rates):,.0f}), "
                    f"{events * count:,.0f} deliveries/s, {1000 * cpu:.2f} ms CPU an event"
                )


async def measure(url: str) -> Any:
    """Yield for each number of subscriptions: the number, events a second of each run, CPU seconds of one event."""
    await migrate.upgrade(url)
    settings = Settings(database_url=url, secret_keys=["k1:" + base64.urlsafe_b64encode(b"0" * 32).decode()])
    async with open_services(settings) as services:
        await put_account(services, "acme", AccountInput(name="Acme"))
        await campaign.save(services, "acme", "spring", CampaignInput(name="Spring", state="live"))
        started = await steps.begin(services, "acme", ConnectInput(integration="zapier"))
        host = AccountHost(services, started.row)
        (joined,) = await submit(
            services, "acme", "spring", [{"role": "referred", "person": FRIEND, "referrer": REFERRER}]
        )
        assert joined.person is not None
        await fan_out(services)
        made = 0
        for count in SUBSCRIPTIONS:
            while made < count:
                made += 1
                hook = f"https://hooks.zapier.com/hooks/standard/{made}/abc/"
                await host.subscribe(hook, ["signup.accepted"], filters={"role": "referred"})
            total = max(20, DELIVERIES // count)
            rates, cpu = [], []
            for _ in range(RUNS + 1):  # the first one is not counted
                await publish_many(services, joined.person, total)
                began, used = time.perf_counter(), time.process_time()
                assert await fan_out(services) == total
                rates.append(total / (time.perf_counter() - began))
                cpu.append((time.process_time() - used) / total)
            yield count, rates[1:], statistics.median(cpu[1:])


async def publish_many(services: Services, person_id: str, total: int) -> None:
    async with services.database.read() as conn:
        person = (await people.by_ids(conn, [person_id]))[person_id]
    new: list[NewEvent] = [signup_event("signup.accepted", person)] * total
    now = services.clock.now()
    await services.database.writer.run(lambda conn: publish(conn, new, now))


async def fan_out(services: Services) -> int:
    """Take batches as the worker does until none is left; return how many events were placed."""
    handler, placed = FanOut(services), 0
    run: Any = Run(services)
    while True:
        before = await newest(services)
        outcome: Any = await handler.run(run)
        if outcome.apply is None:
            return placed
        await services.database.writer.run(outcome.apply)
        placed += await newest(services) - before


async def newest(services: Services) -> int:
    async with services.database.read() as conn:
        return await events.newest_position(conn)


if __name__ == "__main__":
    asyncio.run(main())
