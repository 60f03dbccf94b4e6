"""What a vendor allows a second holds for all processes together: of tasks by the lane's owner, of people by a row."""

import asyncio
import time
from contextlib import AsyncExitStack

import msgspec
import pytest
from sqlalchemy import select

from gateway.flows.connections.opening import open_connection
from gateway.storage import connections
from gateway.storage.tables import interactive_calls
from gateway_schemas.manifest import RateBudget

from .booked import API, MANIFEST, Booked, open_office
from .toys import Vendor

CALLS = 20


class Timed(Vendor):
    """Notes when each call of the API came in; tokens are limited by another rule."""

    def __init__(self):
        super().__init__()
        self.times = []

    def api(self, request):
        self.times.append(time.monotonic())
        return super().api(request)


@pytest.fixture
def vendor():
    return Timed()


@pytest.fixture
async def open_process(database_url, database, vendor):
    crm = Booked(database.clock)
    limits = RateBudget(burst_calls=CALLS, burst_seconds=1, concurrency=16)
    crm.manifest = msgspec.structs.replace(MANIFEST, rate_budget=limits)
    async with AsyncExitStack() as stack:

        async def make():
            return await open_office(stack, database_url, database.clock, vendor, crm)

        yield make


async def test_tasks_of_two_processes_keep_the_window_of_one_tenant(open_process, vendor):
    first, second = await open_process(), await open_process()
    await first.connected()
    await first.ready(duplicates="create")
    await asyncio.gather(first.drain(), second.drain())
    for number in range(2 * CALLS):
        await first.signup(f"p{number}@example.com")
    vendor.times.clear()
    for _ in range(20):
        await asyncio.gather(first.drain(), second.drain())
        if len(first.crm.bookings) == 2 * CALLS:
            break
        await asyncio.sleep(0.2)
    assert len(first.crm.bookings) == 2 * CALLS
    busiest = max(sum(1 for other in vendor.times if at <= other < at + 1) for at in vendor.times)
    assert busiest <= CALLS


async def test_calls_for_people_have_a_share_that_all_processes_count_together(open_process, vendor):
    first, second = await open_process(), await open_process()
    connection = await first.connected()
    await first.drain()
    async with first.services.database.read() as conn:
        row = await connections.get(conn, connection)

    async def ask(office):
        opened = await open_connection(office.services, row, person_waits=True)
        await opened.http.get(f"{API}/picker")

    await asyncio.gather(*(ask(office) for office in (first, second, first)))
    async with first.services.database.read() as conn:
        calls = list((await conn.execute(select(interactive_calls.c.calls))).scalars())
    assert sum(calls) >= 3
    assert max(calls) <= CALLS // 10, "a tenth of what the vendor allows a second is kept back for people"
