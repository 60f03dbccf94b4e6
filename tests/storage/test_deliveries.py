"""Deliveries and endpoints as rows: once an endpoint and event, in step with their tasks, and gone after retention."""

from datetime import timedelta

import pytest

from gateway.sdk.clock import Clock
from gateway.storage import accounts, deliveries, delivery_log, endpoints, events, redelivery, tasks
from gateway.storage.deliveries import NewDelivery
from gateway.storage.delivery_log import Filter
from gateway.storage.endpoints import EndpointRow
from gateway.storage.engine import Database
from gateway.storage.events import NewEvent
from gateway.storage.redelivery import Chosen
from gateway_schemas.account import AccountInput


class Rows:
    """A database with two accounts, endpoints and events."""

    def __init__(self, database: Database):
        self.db = database
        self.clock = database.clock

    async def write(self, function, *args, **kwargs):
        return await self.db.writer.run(lambda conn: function(conn, *args, **kwargs))

    async def read(self, function, *args, **kwargs):
        async with self.db.read() as conn:
            return await function(conn, *args, **kwargs)

    async def event(self, account: str = "acme") -> str:
        new = NewEvent("sync.started", account, None, {})
        (event_id,) = await self.write(events.add, [new], self.clock.now())
        await self.write(events.give_positions, [event_id])
        return event_id

    async def deliver(self, endpoint: str, *ids: str, account: str = "acme") -> int:
        new = [NewDelivery(endpoint, event_id, account, f"endpoint:{endpoint}") for event_id in ids]
        return await self.write(deliveries.add, new, self.clock.now(), attempts=10)

    async def page(self, **narrowed):
        return await self.read(delivery_log.page, Filter(**narrowed))


@pytest.fixture
async def rows(database: Database) -> Rows:
    made = Rows(database)
    now = database.clock.now()
    for account in ("acme", "other"):
        await made.write(accounts.put, account, AccountInput(name=account), now)
    for endpoint, account in (("end_host", None), ("end_acme", "acme"), ("end_other", "other")):
        row = EndpointRow(id=endpoint, account_id=account, url="https://host.test/", created_at=now)
        await made.write(endpoints.add, row)
    return made


async def test_an_event_is_delivered_to_an_endpoint_once_however_often_it_is_stored(rows: Rows):
    first, second = await rows.event(), await rows.event()
    assert await rows.deliver("end_acme", first) == 1
    assert await rows.deliver("end_acme", first, second) == 1
    assert await rows.deliver("end_host", first, second) == 2
    assert len(await rows.page()) == 4
    assert (await rows.read(tasks.count_tasks))["available"] == 4


async def test_the_log_narrows_by_state_account_endpoint_and_owner(rows: Rows):
    one, two = await rows.event(), await rows.event("other")
    await rows.deliver("end_host", one)
    await rows.deliver("end_host", two, account="other")
    await rows.deliver("end_acme", one)
    assert {each.subject for each in await rows.page(account_id="other")} == {two}
    assert {each.target for each in await rows.page(endpoints_of="acme")} == {"end_acme"}
    assert {each.subject for each in await rows.page(endpoint_id="end_host")} == {one, two}
    (newest,) = await rows.page(limit=1)
    await rows.write(deliveries.mark, newest.id, "delivered", rows.clock.now())
    assert [each.id for each in await rows.page(state="delivered")] == [newest.id]
    rest = await rows.page(before=delivery_log.place(newest.id))
    assert newest.id not in {each.id for each in rest}
    assert len(rest) == 2
    assert await rows.read(delivery_log.get, "dlv_none") is None
    assert await rows.read(delivery_log.get, "tsk_none") is None
    shown, owner = await rows.read(delivery_log.get, newest.id)
    assert (shown.id, owner) == (newest.id, "acme")


async def test_a_replay_leaves_endpoints_out_that_are_disabled_or_belong_to_others(rows: Rows):
    one = await rows.event()
    for endpoint in ("end_host", "end_acme", "end_other"):
        await rows.deliver(endpoint, one)
    await rows.write(endpoints.change, "end_other", to_state="disabled")
    assert await rows.read(redelivery.count, Chosen()) == 2
    assert await rows.read(redelivery.count, Chosen(endpoints_of="acme")) == 1
    assert await rows.read(redelivery.count, Chosen(since=rows.clock.now() + timedelta(hours=1))) == 0
    assert await rows.read(redelivery.count, Chosen(until=rows.clock.now() + timedelta(hours=1))) == 2
    chosen = await rows.read(redelivery.choose, Chosen(), "", 1)
    rest = await rows.read(redelivery.choose, Chosen(), chosen[0], 10)
    assert len({*chosen, *rest}) == 2


async def test_parked_deliveries_come_back_in_batches(rows: Rows):
    await rows.deliver("end_acme", *[await rows.event() for _ in range(5)])
    await rows.write(deliveries.park_waiting, "end_acme", "disabled")
    assert {each.state for each in await rows.page()} == {"parked"}
    assert await rows.read(tasks.count_tasks) == {"available": 0, "running": 0, "parked": 5}
    await rows.write(deliveries.unpark, "end_acme")
    assert [await rows.write(deliveries.release, "end_acme", 3) for _ in range(3)] == [3, 2, 0]
    assert {each.state for each in await rows.page()} == {"waiting"}
    assert (await rows.read(tasks.count_tasks))["available"] == 5


async def test_retention_deletes_deliveries_and_cancels_what_still_waits(rows: Rows, clock: Clock):
    await rows.deliver("end_acme", *[await rows.event() for _ in range(3)])
    clock.advance(timedelta(days=91))
    await rows.deliver("end_acme", await rows.event())
    before = clock.now() - timedelta(days=90)
    assert [await rows.write(deliveries.prune_deliveries, before, 2) for _ in range(3)] == [2, 1, 0]
    assert len(await rows.page()) == 1
    assert (await rows.read(tasks.count_tasks))["available"] == 1


async def test_the_place_of_an_endpoint_never_goes_back(rows: Rows):
    await rows.write(endpoints.note_positions, {"end_acme": 7, "end_host": 3})
    await rows.write(endpoints.note_positions, {"end_acme": 5})
    assert (await rows.read(endpoints.get, "end_acme")).last_position == 7
    assert (await rows.read(endpoints.get, "end_host")).last_position == 3


async def test_only_enabled_endpoints_of_these_accounts_and_the_hosts_listen(rows: Rows):
    assert {row.id for row in await rows.read(endpoints.listening, {"acme"})} == {"end_host", "end_acme"}
    await rows.write(endpoints.change, "end_acme", to_state="disabled")
    await rows.write(endpoints.change, "end_host", removed_at=rows.clock.now())
    assert await rows.read(endpoints.listening, {"acme"}) == []
    assert await rows.read(endpoints.get, "end_host") is None
    assert await rows.write(endpoints.change, "end_host", description="late") is None


async def test_failing_counts_from_the_first_failure_since_a_success(rows: Rows, clock: Clock):
    first = clock.now()
    await rows.write(endpoints.note_failure, "end_acme", first)
    await rows.write(endpoints.note_failure, "end_acme", first + timedelta(days=1))
    assert (await rows.read(endpoints.get, "end_acme")).failing_since == first
    await rows.write(endpoints.note_success, "end_acme")
    assert (await rows.read(endpoints.get, "end_acme")).failing_since is None
