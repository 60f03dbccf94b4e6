"""Events fanned out to 1, 10 and 100 subscriptions of one account, from published to deliveries that wait.

Each event gets its place in the feed, is held against the subscriptions, shaped by the integration for each of them,
and stored as a delivery with its task. Sending is not measured.
"""

import base64
import time
from datetime import datetime
from typing import Any

from bench.lines import Setting
from bench.measuring import Figure, of_runs
from bench.world import host_of
from gateway.app import open_services
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
FRIEND = {"email": "fiona@example.com", "first_name": "Fiona"}
REFERRER = {"email": "bob@example.com", "first_name": "Bob"}


class TaskOfFanOut:
    """As much of a task's run as the fan-out looks at."""

    def __init__(self, services: Services) -> None:
        self._services = services

    def now(self) -> datetime:
        return self._services.clock.now()


async def measure(setting: Setting) -> list[Figure]:
    """Publish and fan out for ever more subscriptions; the first run of each number is not counted."""
    figures: list[Figure] = []
    for kind in setting.databases.kinds:
        url = await setting.databases.new(kind)
        await migrate.upgrade(url)
        settings = Settings(database_url=url, secret_keys=["k1:" + base64.urlsafe_b64encode(b"0" * 32).decode()])
        async with open_services(settings) as services:
            person_id, host = await _connected(services)
            made = 0
            for count in SUBSCRIPTIONS:
                while made < count:
                    made += 1
                    hook = f"https://hooks.zapier.com/hooks/standard/{made}/abc/"
                    await host.subscribe(hook, ["signup.accepted"], filters={"role": "referred"})
                figures += await _runs(services, person_id, count, setting, host_of(url))
    return figures


async def _connected(services: Services) -> tuple[str, AccountHost]:
    await put_account(services, "acme", AccountInput(name="Acme"))
    await campaign.save(services, "acme", "spring", CampaignInput(name="Spring", state="live"))
    started = await steps.begin(services, "acme", ConnectInput(integration="zapier"))
    signup = {"role": "referred", "person": FRIEND, "referrer": REFERRER}
    (joined,) = await submit(services, "acme", "spring", [signup])
    assert joined.person is not None
    await fan_out(services)
    return joined.person, AccountHost(services, started.row)


async def _runs(services: Services, person_id: str, count: int, setting: Setting, database: str) -> list[Figure]:
    total = setting.size(max(20, DELIVERIES // count), 2)
    rates, cpu_ms = [], []
    for _ in range(setting.pairs + 1):
        await publish_many(services, person_id, total)
        began, used = time.perf_counter(), time.process_time()
        assert await fan_out(services) == total
        rates.append(total / (time.perf_counter() - began))
        cpu_ms.append(1000 * (time.process_time() - used) / total)
    return [
        of_runs("fan_out", f"events/s to subscriptions: {count}", rates[1:], database=database),
        of_runs(
            "fan_out", f"CPU of one event, ms, subscriptions: {count}", cpu_ms[1:], database=database, better="less"
        ),
    ]


async def publish_many(services: Services, person_id: str, total: int) -> None:
    async with services.database.read() as conn:
        person = (await people.by_ids(conn, [person_id]))[person_id]
    new: list[NewEvent] = [signup_event("signup.accepted", person)] * total
    now = services.clock.now()
    await services.database.writer.run(lambda conn: publish(conn, new, now))


async def fan_out(services: Services) -> int:
    """Take batches as the worker does until none is left; return how many events were placed."""
    handler, placed = FanOut(services), 0
    run: Any = TaskOfFanOut(services)
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
