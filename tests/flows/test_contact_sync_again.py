"""What a contact sync writes, reads and keeps when it is changed, refused, interrupted or told twice."""

import pytest
from sqlalchemy import select

from gateway.flows.contact_sync import hints, tasks, writing
from gateway.flows.people import erase
from gateway.storage import connections, sync_contacts, syncs
from gateway.storage.running import Retry
from gateway.storage.sync_contacts import ContactRow
from gateway.storage.tables import events
from gateway.storage.tables import tasks as stored
from gateway_pipedrive.sandbox import controls
from gateway_schemas.records import RecordChange, RecordRef

from .test_contact_sync import begin, held, patch, person, referrers, shown, writes


def spare(world):
    """Return a field of contacts that takes a link and that the sync does not write."""
    return world.sandbox.add_field("person", "Another Link", "varchar").code


# --- the write-back --------------------------------------------------------------------------------------


@pytest.fixture
def held_back(monkeypatch):
    """Keep what waits to be written waiting, as a budget that is used up does; the fixture's call ends it."""
    written = writing.WriteBack.run

    async def wait(self, run):
        return Retry("The budget is used up.", after_seconds=600, counts=False)

    monkeypatch.setattr(writing.WriteBack, "run", wait)
    return lambda: monkeypatch.setattr(writing.WriteBack, "run", written)


async def test_a_write_back_that_is_switched_off_ends_what_waits_to_be_written(world, held_back):
    sync = await begin(world)
    await world.drain()
    waits = await shown(world, sync)
    assert (waits["phase"], waits["progress"]["to_write"]) == ("writing_back", 2)
    await patch(world, sync, write_back=[])
    await world.drain()
    done = await shown(world, sync)
    assert (done["state"], done["progress"]["to_write"]) == ("completed", 0)
    held_back()
    await world.later(hours=1)
    assert not writes(world, "ada@customer.test")


async def test_a_write_back_that_is_mapped_anew_while_paused_is_applied_when_the_sync_goes_on(world):
    sync = await begin(world, ongoing=True)
    await world.drain()
    field = world.sandbox.demo.person_fields["Referral Count"].code
    other = [{"source": "person.link", "field": spare(world)}]
    await patch(world, sync, paused=True)
    remapped = await patch(world, sync, write_back=other)
    assert (remapped["state"], remapped["cause"]) == ("paused", "by_request"), "nobody asked to go on"
    await world.drain()
    await patch(world, sync, paused=False)
    await world.drain()
    link = (await referrers(world))["ada@customer.test"]["link"]
    assert person(world, "ada@customer.test").custom_fields.get(other[0]["field"]) == link
    assert field not in {row["field"] for row in (await shown(world, sync))["write_back"]}


async def test_a_write_back_that_is_mapped_anew_and_paused_at_once_is_applied_later(world):
    sync = await begin(world, ongoing=True)
    await world.drain()
    other = [{"source": "person.link", "field": spare(world)}]
    await patch(world, sync, write_back=other, paused=True)
    await world.drain()
    await patch(world, sync, paused=False)
    await world.drain()
    link = (await referrers(world))["ada@customer.test"]["link"]
    assert person(world, "ada@customer.test").custom_fields.get(other[0]["field"]) == link


async def test_what_the_crm_refused_is_not_sent_again_until_it_changes(world):
    sync = await begin(world, ongoing=True)
    number = person(world, "ada@customer.test").id
    world.sandbox.fail_next(400, 1, match=f"/persons/{number}", method="PATCH")
    await world.drain()
    assert (await shown(world, sync))["progress"]["refused"] == 1
    before = len(writes(world, "ada@customer.test"))
    for _ in range(3):
        await world.later(hours=25)
    assert len(writes(world, "ada@customer.test")) == before
    assert (await shown(world, sync))["progress"]["refused"] == 1
    await world.setup()
    ada = (await referrers(world))["ada@customer.test"]
    await world.signup(referrer={"code": ada["code"]})
    await world.drain()
    assert held(world, "ada@customer.test") == ada["link"]


async def test_what_waits_to_be_written_by_a_completed_sync_is_written_over_the_next_connection(world, held_back):
    sync = await begin(world, campaign={"link_template": None})
    await world.drain()
    await world.later(hours=25)
    assert (await shown(world, sync))["state"] == "completed"
    ada = (await referrers(world))["ada@customer.test"]
    late = {"people": [{"person": ada["id"], "link": "https://host.example/late"}]}
    await world.call("PATCH", "/v1/accounts/acme/campaigns/spring/people", late)
    await world.drain()
    await world.call("DELETE", f"/v1/connections/{sync['connection']}")
    held_back()
    await world.later(hours=1)
    await world.connect()
    await world.drain()
    assert held(world, "ada@customer.test") == "https://host.example/late"


async def test_a_sync_that_goes_on_with_a_new_connection_watches_when_it_became_ongoing_meanwhile(world):
    sync = await begin(world, ongoing=True)
    await world.drain()
    await world.call("DELETE", f"/v1/connections/{sync['connection']}")
    await patch(world, sync, ongoing=False)
    await world.connect()
    await world.drain()
    assert (await shown(world, sync))["state"] == "completed"


async def test_a_contact_that_a_write_finds_gone_is_counted_once(world, monkeypatch):
    """Somebody else finds out first, between the call and its commit."""
    sync = await begin(world, ongoing=True)
    ada = person(world, "ada@customer.test")
    noted = writing._note

    async def note(conn, row, done, now):
        if done.gone:
            gone = [ContactRow(one.record_id, one.person_id, "gone", "deleted", row.walk) for one in done.gone]
            await sync_contacts.put(conn, row.id, gone)
        return await noted(conn, row, done, now)

    monkeypatch.setattr(writing, "_note", note)
    world.sandbox.fail_next(404, 1, match=f"/persons/{ada.id}", method="PATCH")
    await world.drain()
    progress = (await shown(world, sync))["progress"]
    assert (progress["imported"], progress["gone"]) == (2, 0), "counted by who found out, not by the write"


# --- hints -----------------------------------------------------------------------------------------------


async def test_hints_that_wait_are_dropped_when_a_filter_is_chosen(world, monkeypatch):
    sync = await begin(world, ongoing=True)
    await world.drain()
    read = hints.ReadHints.run

    async def wait(self, run):
        return Retry("The budget is used up.", after_seconds=120, counts=False)

    monkeypatch.setattr(hints.ReadHints, "run", wait)
    world.sandbox.add_person("New Comer", "new@customer.test")
    await world.later(seconds=30)
    examples = world.sandbox.add_filter("Examples", "people", [["name", "contains", "Example"]])
    await patch(world, sync, selection={"filter": str(examples.id)})
    await world.drain()
    monkeypatch.setattr(hints.ReadHints, "run", read)
    await world.later(minutes=3)
    assert "new@customer.test" not in await referrers(world)


async def test_a_sync_reads_hints_one_task_at_a_time_beside_its_pages(world):
    sync = await begin(world)
    async with world.services.database.read() as conn:
        row = await syncs.get(conn, sync["id"])
    assert tasks.hints_task(row, ["1"], {}).exclusive_key == tasks.page_task(row).exclusive_key


async def test_a_change_by_another_app_of_the_connected_user_is_read_and_our_own_is_not(world, monkeypatch):
    await begin(world, ongoing=True)
    await world.drain()
    ada = person(world, "ada@customer.test")
    await world.later(minutes=2)
    assert await hinted(world) == 0, "our write-back is no hint"
    api = controls.Call
    monkeypatch.setattr(controls, "Call", lambda *args, **given: api(*args, **{**given, "source": "api"}))
    world.sandbox.update_person(ada.id, emails=[{"value": "ada@moved.test", "primary": True}])
    await world.later(seconds=30)
    assert "ada@moved.test" in await referrers(world)
    assert await hinted(world) == 1


async def hinted(world):
    """Return how many tasks read contacts because of a hint."""
    async with world.services.database.read() as conn:
        return len(list(await conn.execute(select(stored.c.id).where(stored.c.kind == tasks.HINTS))))


# --- who is whose ----------------------------------------------------------------------------------------


async def test_an_address_that_changed_is_erased_from_what_was_told_under_the_old_one(world):
    await world.endpoint()
    await begin(world, ongoing=True)
    await world.drain()
    ada = person(world, "ada@customer.test")
    world.sandbox.update_person(ada.id, emails=[{"value": "ada@moved.test", "primary": True}])
    await world.later(minutes=2)
    assert "ada@moved.test" in await referrers(world)
    await erase.erase(world.services, "acme", "ada@moved.test")
    async with world.services.database.read() as conn:
        told = "\n".join(str(row.data) for row in await conn.execute(select(events.c.data)))
    assert "ada@customer.test" not in told
    assert "ben@customer.test" in told


async def test_contacts_that_swap_their_addresses_both_stay_referrers(world):
    sync = await begin(world, ongoing=True)
    await world.drain()
    world.sandbox.delete_subscriptions()
    ada, ben = person(world, "ada@customer.test"), person(world, "ben@customer.test")
    world.sandbox.update_person(ada.id, emails=[{"value": "ben@customer.test", "primary": True}])
    world.sandbox.update_person(ben.id, emails=[{"value": "ada@customer.test", "primary": True}])
    await world.later(minutes=20)
    progress = (await shown(world, sync))["progress"]
    assert (progress["imported"], progress["skipped"]) == (2, {"no_email": 1})


async def test_a_contact_that_is_gone_and_told_again_stays_gone(world):
    sync = await begin(world, ongoing=True)
    await world.drain()
    ada = person(world, "ada@customer.test")
    world.sandbox.delete_person(ada.id)
    await world.later(minutes=2)
    async with world.services.database.read() as conn:
        row = await syncs.get(conn, sync["id"])
        connection = await connections.get(conn, row.connection_id)
    told = RecordChange(ref=RecordRef(kind="contact", id=str(ada.id)), deleted=True)
    now = world.services.clock.now()
    await world.services.database.writer.run(lambda conn: hints.follow(conn, world.services, connection, [told], now))
    await world.drain()
    await world.later(hours=49)
    progress = (await shown(world, sync))["progress"]
    assert (progress["imported"], progress["gone"]) == (1, 1)
