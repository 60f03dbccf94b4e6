"""A contact sync over a CRM that takes nothing back, and how a sync is watched."""

import asyncio
import sqlite3
from contextlib import closing

import msgspec
import pytest

from gateway.flows.contact_sync import progress
from gateway.flows.people import erase
from gateway_schemas.connection import Limitation

from .test_contact_sync import begin, held, patch, referrers, shown


@pytest.fixture
def database_url(sqlite_url: str) -> str:
    """What is claimed here does not depend on the kind of database."""
    return sqlite_url


@pytest.fixture
async def one_way(world):
    """A world whose CRM takes no links back, and says why in its manifest."""
    integration = world.services.integrations.get("pipedrive")
    said = Limitation(code="no_write_back", message="This CRM takes no links back.")
    asked = msgspec.structs.replace(integration.manifest.contact_sync, write_back=[])
    integration.manifest = msgspec.structs.replace(integration.manifest, cannot=[said], contact_sync=asked)
    return world


async def test_a_crm_without_write_back_gives_links_in_the_list_and_says_why(one_way):
    sync = await begin(one_way)
    await one_way.drain()
    done = await shown(one_way, sync)
    assert (done["state"], done["write_back"], done["no_write_back"]) == (
        "completed", [], "This CRM takes no links back.",
    )  # fmt: skip
    assert (await referrers(one_way))["ada@customer.test"]["link"]
    assert held(one_way, "ada@customer.test") is None
    csv = await one_way.api.get("/v1/accounts/acme/people.csv?role=referrer")
    assert "https://refer.example/" in csv.text


async def test_a_write_back_that_the_crm_cannot_take_is_refused_with_its_sentence(one_way):
    await begin(one_way)
    rows = [{"source": "person.link", "field": one_way.sandbox.demo.person_fields["Referral Link"].code}]
    body = {"use_suggested": True, "write_back": rows}
    refused = await one_way.call("POST", "/v1/accounts/acme/campaigns/spring/syncs/estimate", body, expect=422)
    assert refused["problems"][0]["message"] == "This CRM takes no links back."
    path = "/v1/accounts/acme/campaigns/spring/syncs/write-back-fields"
    assert (await one_way.call("POST", path, expect=409))["detail"] == "This CRM takes no links back."


async def test_a_page_may_take_as_long_as_the_manifest_says(world, monkeypatch):
    integration = world.services.integrations.get("pipedrive")
    asked = msgspec.structs.replace(integration.manifest.contact_sync, page_seconds=300)
    integration.manifest = msgspec.structs.replace(integration.manifest, contact_sync=asked)
    given = {}

    async def call(awaitable, *, timeout_seconds, really=integration.call):
        given.setdefault(awaitable.__qualname__, []).append(timeout_seconds)
        return await really(awaitable, timeout_seconds=timeout_seconds)

    monkeypatch.setattr(integration, "call", call)
    await begin(world)
    assert given["read_contacts"] == [300]  # the first page, for the estimate
    await world.drain()
    assert set(given["read_contacts"]) == {300}


async def test_a_sync_is_watched_as_server_sent_events_until_it_has_ended(world, monkeypatch):
    monkeypatch.setattr(progress, "LOOK_SECONDS", 0.01)
    sync = await begin(world)
    path = f"/v1/accounts/acme/campaigns/spring/syncs/{sync['id']}/progress"
    answered = asyncio.create_task(world.api.get(path))
    await asyncio.sleep(0.05)
    await world.drain()
    answer = await asyncio.wait_for(answered, 20)
    assert answer.headers["content-type"].startswith("text/event-stream")
    states = [
        msgspec.json.decode(line.removeprefix("data: "))
        for line in answer.text.splitlines()
        if line.startswith("data: ")
    ]
    assert "event: progress" in answer.text
    assert states[0]["state"] == "running"
    assert states[-1]["state"] == "completed"
    assert states[-1]["progress"]["imported"] == 2
    await world.call("GET", path.replace(sync["id"], "syn_nothing"), expect=404)


async def test_who_was_erased_does_not_come_back_with_the_next_walk(world, database_url):
    sync = await begin(world, ongoing=True)
    await world.drain()
    await erase.erase(world.services, "acme", "ada@customer.test")
    await world.later(hours=49)
    assert "ada@customer.test" not in await referrers(world)
    with closing(sqlite3.connect(database_url.removeprefix("sqlite:///"))) as conn:
        assert "ada@customer.test" not in "\n".join(conn.iterdump()).lower()
    assert (await shown(world, sync))["progress"]["skipped"] == {"no_email": 1, "erased": 1}


async def test_a_signup_of_a_contact_keeps_its_referrer_and_link(world):
    await begin(world, ongoing=True)
    await world.drain()
    before = (await referrers(world))["ada@customer.test"]
    joined = await world.signup(role="referrer", email="ada@customer.test")
    assert joined["person"] == before["id"]
    await world.later(hours=25)
    assert (await referrers(world))["ada@customer.test"]["link"] == before["link"]


async def test_a_contact_whose_address_changed_stays_the_same_referrer(world):
    sync = await begin(world, ongoing=True)
    await world.drain()
    before = (await referrers(world))["ada@customer.test"]
    number = int(before["records"][0]["ref"]["id"])
    world.sandbox.update_person(number, emails=[{"value": "ada@moved.test", "primary": True}])
    await world.later(seconds=30)
    after = await referrers(world)
    assert "ada@customer.test" not in after
    assert (after["ada@moved.test"]["id"], after["ada@moved.test"]["link"]) == (before["id"], before["link"])
    assert (await shown(world, sync))["progress"]["imported"] == 2


async def test_what_completed_cannot_be_paused(world):
    sync = await begin(world)
    await world.drain()
    assert (await patch(world, sync, expect=409, paused=True))["code"] == "wrong_state"
