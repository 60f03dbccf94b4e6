"""Pages that come quickly are stored together; what the vendor says instead of one more page costs none of them."""

import pytest
from sqlalchemy import text

from gateway.flows.contact_sync import pages
from gateway.sdk import errors
from gateway_pipedrive import wire

from .test_contact_sync import begin, patch, referrers, shown
from .test_contact_sync_budget import fill


@pytest.fixture(autouse=True)
def small(world, monkeypatch):
    """Pages of 10 contacts, of which two make a batch, however slow the machine is.

    The world is there before: the manifest, which others see after us, is made with the page as it ships.
    """
    monkeypatch.setattr(wire, "PAGE", 10)
    monkeypatch.setattr(pages, "BATCH_CONTACTS", 20)
    monkeypatch.setattr(pages, "BATCH_SECONDS", 3_600.0)


@pytest.fixture
def database_url(sqlite_url: str) -> str:
    """What is claimed here does not depend on the kind of database."""
    return sqlite_url


class Cut:
    """Lets the CRM answer one page, and then with an error until it is ``mended``; counts what it is ``asked``."""

    def __init__(self, world, error, monkeypatch):
        self.asked, self.mended, self._error = 0, False, error
        integration = world.services.integrations.get("pipedrive")
        self._really = integration.call
        monkeypatch.setattr(integration, "call", self.call)

    async def call(self, awaitable, *, timeout_seconds):
        if awaitable.__qualname__ == "read_contacts":
            self.asked += 1
            if self.asked > 1 and not self.mended:
                awaitable.close()
                raise self._error
        return await self._really(awaitable, timeout_seconds=timeout_seconds)


async def tasks(world):
    async with world.services.database.read() as conn:
        return list(await conn.execute(text("SELECT state, attempt FROM tasks WHERE kind = 'sync_page' ORDER BY id")))


async def imported(world, sync):
    return (await shown(world, sync))["progress"]["imported"]


async def test_pages_that_come_quickly_are_stored_together(world):
    fill(world, 55)
    sync = await begin(world)
    await world.drain()
    assert await tasks(world) == [("done", 1)] * 3  # 20, 20 and 18 contacts
    assert (await shown(world, sync))["progress"]["read"] == 58
    assert len(await referrers(world)) == 57


async def test_a_page_that_took_long_is_stored_at_once(world, monkeypatch):
    monkeypatch.setattr(pages, "BATCH_SECONDS", 0.0)
    fill(world, 25)
    await begin(world)
    await world.drain()
    assert await tasks(world) == [("done", 1)] * 3


async def test_a_contact_that_comes_on_two_pages_of_a_batch_is_one(world, monkeypatch):
    fill(world, 15)
    sync = await begin(world)
    integration = world.services.integrations.get("pipedrive")
    seen = []

    async def call(awaitable, *, timeout_seconds, really=integration.call):
        page = await really(awaitable, timeout_seconds=timeout_seconds)
        if getattr(page, "contacts", None):
            seen.extend(page.contacts)
            page.contacts.append(seen[0])
        return page

    monkeypatch.setattr(integration, "call", call)
    await world.drain()
    assert await tasks(world) == [("done", 1)]
    assert await imported(world, sync) == 17
    assert len(await referrers(world)) == 17


async def test_what_was_read_before_a_page_failed_is_kept(world, monkeypatch):
    fill(world, 25)
    sync = await begin(world)
    cut = Cut(world, errors.RetryLater("not now", after_seconds=90, lane_wide=True), monkeypatch)
    await world.drain()
    assert await imported(world, sync) == 9  # one of the first ten has no address
    assert cut.asked == 2
    await world.later(seconds=60)
    assert cut.asked == 2, "the vendor said how long to wait"
    cut.mended = True
    await world.later(seconds=60)
    assert await imported(world, sync) == 27
    assert (await shown(world, sync))["state"] == "completed"


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        (errors.Rejected("no such page"), "page_refused"),
        (errors.MappingBroken("the filter is gone", ["filter"]), "mapping_broken"),
        (errors.NotSupported("no contacts any more"), "not_supported"),
    ],
)
async def test_a_page_that_is_refused_behind_others_stops_the_sync_behind_them(world, monkeypatch, error, cause):
    fill(world, 25)
    sync = await begin(world)
    cut = Cut(world, error, monkeypatch)
    await world.drain()
    stopped = await shown(world, sync)
    assert (stopped["state"], stopped["cause"], stopped["progress"]["imported"]) == ("needs_attention", cause, 9)
    assert cut.asked == 3, "the page that was refused is read once more, as the first of its batch"
    cut.mended = True
    await patch(world, sync, paused=False)
    await world.drain()
    assert await imported(world, sync) == 27


async def test_a_page_that_fails_behind_others_is_tried_as_often_as_one_that_fails_first(world, monkeypatch):
    fill(world, 25)
    sync = await begin(world)
    Cut(world, RuntimeError("a bug of the plugin"), monkeypatch)
    for _ in range(14):
        await world.later(hours=8)
    failed = await shown(world, sync)
    assert (failed["state"], failed["cause"], failed["progress"]["imported"]) == ("needs_attention", "page_failed", 9)
    assert [(state, attempt) for state, attempt in await tasks(world)] == [("done", 1), ("failed", 12)]


async def test_a_sync_that_is_cancelled_while_its_batch_is_read_drops_the_batch(world, monkeypatch):
    fill(world, 25)
    sync = await begin(world)
    integration = world.services.integrations.get("pipedrive")
    reads = []

    async def call(awaitable, *, timeout_seconds, really=integration.call):
        reads.append(awaitable.__qualname__)
        if reads.count("read_contacts") == 2:
            await world.call("POST", f"/v1/accounts/acme/campaigns/spring/syncs/{sync['id']}/cancel")
        return await really(awaitable, timeout_seconds=timeout_seconds)

    monkeypatch.setattr(integration, "call", call)
    await world.drain()
    assert await imported(world, sync) == 0
    assert not await referrers(world)
