"""A contact sync beside signups: what it may use of the vendor, what it says before, and what it survives."""

import asyncio
from datetime import timedelta
from types import SimpleNamespace

import pytest
from sqlalchemy import text

from gateway.flows.connections import budget, opening
from gateway.flows.contact_sync import pages, writing
from gateway.storage import sync_contacts

from .test_contact_sync import begin, held, referrers, shown, start


@pytest.fixture
def database_url(sqlite_url: str) -> str:
    """What is claimed here does not depend on the kind of database."""
    return sqlite_url


def fill(world, number):
    """Put contacts into the CRM without telling anybody."""
    company = world.sandbox.company(None)
    subscriptions, world.sandbox.state.subscriptions = world.sandbox.state.subscriptions, {}
    for one in range(number):
        world.sandbox.add_person(f"Contact {one}", f"c{one}@many.test", company_id=company.id)
    world.sandbox.state.subscriptions = subscriptions


def used(world):
    return world.sandbox.company(None).tokens_used


async def test_what_it_takes_is_said_before_it_starts(world):
    world.sandbox.company(None).daily_budget = 30_000
    fill(world, 1_200)
    await world.account()
    await world.connect()
    await world.campaign()
    told = await world.call("POST", "/v1/accounts/acme/campaigns/spring/syncs/estimate", {"use_suggested": True})
    assert (told["contacts"], told["at_most"]) == (1_203, True)
    assert (told["read_units"], told["write_units"]) == (30, 6_015)
    assert told["units_a_day"] == 21_000
    assert told["days"] == 0
    world.sandbox.company(None).daily_budget = 1_000
    world.sandbox.add_person("One More", "one@more.test")  # any answer tells the new budget
    await world.call("GET", f"/v1/connections/{(await connection(world))['id']}/fields/contact?refresh=true")
    told = await world.call("POST", "/v1/accounts/acme/campaigns/spring/syncs/estimate", {"use_suggested": True})
    assert told["days"] > 5
    assert "signups come first" in told["sentences"][0]
    assert not await referrers(world)


async def connection(world):
    (one,) = (await world.call("GET", "/v1/accounts/acme/connections"))["data"]
    return one


async def test_a_budget_that_is_used_up_stops_the_writes_and_leaves_the_signups_their_reserve(world):
    company = world.sandbox.company(None)
    company.daily_budget = 600
    fill(world, 100)
    sync = await begin(world)
    await world.setup()
    for _ in range(2):
        await world.later(seconds=10)
    state = await shown(world, sync)
    assert (state["state"], state["phase"]) == ("running", "writing_back")
    assert state["progress"]["imported"] == 102
    assert 0 < state["progress"]["written"] < 60
    assert state["progress"]["bound_by"] == "daily_budget"
    assert state["progress"]["seconds_left"] > 3600
    assert 180 <= 600 - used(world) < 190
    assert len(await tasks_of(world, "sync_write_back")) == 1

    fred = await world.signup()
    await world.drain()
    assert (await world.person(fred["person"]))["crm"] == "linked"

    for _ in range(3):
        await world.later(hours=25)
    done = await shown(world, sync)
    assert (done["state"], done["progress"]["written"]) == ("completed", 102)
    patched = [one.path for one in world.sandbox.requests() if one.method == "PATCH" and "/persons/" in one.path]
    assert len(patched) == len(set(patched)) == 102


async def tasks_of(world, kind):
    async with world.services.database.read() as conn:
        found = await conn.execute(
            text("SELECT id FROM tasks WHERE kind = :kind AND state IN ('available', 'running')"), {"kind": kind}
        )
        return list(found)


async def test_a_round_of_writes_that_is_refused_as_a_whole_reads_the_fields_once(world):
    fill(world, 20)
    sync = await begin(world)
    before = len(world.sandbox.requests(method="GET", path="/personFields"))
    world.sandbox.fail_next(400, 22, match="/persons/", method="PATCH")
    await world.drain()
    assert (await shown(world, sync))["progress"]["refused"] == 22
    assert len(world.sandbox.requests(method="GET", path="/personFields")) - before < 6, "once a round"


async def test_what_the_crm_shows_already_is_never_sent(world):
    fill(world, 20)
    sync = await begin(world)
    await world.drain()
    before = len([one for one in world.sandbox.requests() if one.method == "PATCH"])
    again = await start(world)
    await world.drain()
    assert (await shown(world, again))["state"] == "completed"
    assert again["id"] != sync["id"]
    assert len([one for one in world.sandbox.requests() if one.method == "PATCH"]) == before


async def test_a_signup_waits_for_no_call_of_a_sync(world, monkeypatch):
    """The vendor's window of calls stands still with the sync's share of it used up, and no call of the sync ends."""
    go_on, waits = asyncio.Event(), []

    class Meter(budget.LaneMeter):
        def __init__(self, *args, **kwargs):
            super().__init__(*args, **kwargs, sleep=self.wait)

        async def wait(self, seconds):
            if self._purpose == "person":
                return await asyncio.sleep(seconds)  # calls of the API are counted by the clock's own spans
            waits.append(self._purpose)
            return await go_on.wait()

    monkeypatch.setattr(opening, "LaneMeter", Meter)
    monkeypatch.setattr(budget, "time", SimpleNamespace(monotonic=lambda: 1_000.0))
    world.sandbox.company(None).plan = "Lite"
    fill(world, 150)
    sync = await begin(world)
    await world.setup()
    running = asyncio.create_task(world.worker.run())
    try:
        await until(world, lambda: len(waits) == writing.AT_ONCE)
        assert set(waits) == {"bulk"}
        before = len(written(world))
        for number in range(2):
            one = await world.signup(email=f"friend{number}@friend.test")
            while (await world.person(one["person"]))["crm"] != "linked":
                await asyncio.sleep(0.02)
                assert "task" not in waits, "a call of a signup waits for room in the vendor's window"
        assert len(written(world)) == before, "a call of the sync went out before a signup's"
        assert (await shown(world, sync))["phase"] == "writing_back"
        go_on.set()
        await until(world, lambda: len(written(world)) > before)
    finally:
        go_on.set()
        await world.worker.stop()
        await running


async def until(world, holds):
    async with asyncio.timeout(120):  # for a machine at its limit
        while not holds():  # noqa: ASYNC110 - what it looks at tells nobody
            await asyncio.sleep(0.02)


def written(world):
    return [one for one in world.sandbox.requests() if one.method == "PATCH" and "/persons/" in one.path]


async def test_a_crash_between_a_write_and_its_commit_writes_at_most_a_round_again(world, monkeypatch):
    fill(world, 30)
    sync = await begin(world)
    commit = writing._committing
    died = []

    def dies(*args):
        if not died:
            died.append(True)
            raise RuntimeError("the process ended here")
        return commit(*args)

    monkeypatch.setattr(writing, "_committing", dies)
    await world.drain()
    assert died
    await world.later(minutes=1)
    done = await shown(world, sync)
    assert (done["state"], done["progress"]["written"], done["progress"]["to_write"]) == ("completed", 32, 0)
    assert len(written(world)) <= 64
    for email, one in (await referrers(world)).items():
        assert held(world, email) == one["link"]


async def test_a_crash_after_pages_were_read_repeats_the_batch_and_loses_nobody(make_world):
    first = await make_world()
    fill(first, 1_100)
    sync = await begin(first)
    store, seen = pages.store_page, []

    async def dies(*args, **kwargs):
        seen.append(len(args[4]))
        if len(seen) == 2:
            raise RuntimeError("the process ended here")
        return await store(*args, **kwargs)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(pages, "store_page", dies)
        patched.setattr(pages, "BATCH_CONTACTS", 1_000)
        patched.setattr(pages, "BATCH_SECONDS", 3_600.0)
        await first.worker.drain()
    second = await make_world(sandbox=first.sandbox, host=first.host)
    second.clock.advance(timedelta(seconds=60))
    await second.drain()
    done = await shown(second, sync)
    assert done["progress"]["imported"] == 1_102
    assert done["progress"]["read"] == 1_103


async def test_referrers_without_a_link_are_counted_while_others_write(world, monkeypatch):
    sync = await begin(world, campaign={"link_template": None})
    counts = []

    async def count(conn, sync_id, counted=sync_contacts.count_without_link):
        await world.services.database.writer.run(lambda other: other.execute(text("SELECT 1")))  # waits for no count
        counts.append(sync_id)
        return await counted(conn, sync_id)

    monkeypatch.setattr(sync_contacts, "count_without_link", count)
    await asyncio.wait_for(world.drain(), 60)
    assert counts, "they were counted, and the writer answered meanwhile"
    assert (await shown(world, sync))["progress"]["links_outstanding"] == 2
