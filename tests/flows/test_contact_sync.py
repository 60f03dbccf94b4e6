"""Contacts of the CRM become referrers with links, and the CRM shows them."""

import pytest

LINKS = "https://refer.example/"


async def begin(world, *, campaign=None, **sync):
    """Connect, declare a campaign, and start a sync as the suggested mapping says."""
    await world.account()
    await world.connect()
    await world.campaign(**(campaign or {}))
    return await start(world, **sync)


async def start(world, *, expect=202, **sync):
    body = {"use_suggested": True, **sync}
    return await world.call("POST", "/v1/accounts/acme/campaigns/spring/syncs", body, expect=expect)


async def shown(world, sync):
    return await world.call("GET", f"/v1/accounts/acme/campaigns/spring/syncs/{sync['id']}")


async def patch(world, sync, expect=None, **changes):
    return await world.call("PATCH", f"/v1/accounts/acme/campaigns/spring/syncs/{sync['id']}", changes, expect=expect)


async def referrers(world):
    page = await world.call("GET", "/v1/accounts/acme/people?role=referrer&limit=200")
    return {one["email"]: one for one in page["data"]}


async def skipped(world, sync, **query):
    params = {"state": "skipped", **query}
    page = await world.call("GET", f"/v1/accounts/acme/campaigns/spring/syncs/{sync['id']}/contacts", params=params)
    return {one["record"]["id"]: one["reason"] for one in page["data"]}


def person(world, email):
    return next(
        one for one in world.sandbox.snapshot()["person"] if any(entry["value"] == email for entry in one.emails)
    )


def held(world, email, field="Referral Link"):
    """What the contact shows in a custom field, in the CRM."""
    return person(world, email).custom_fields.get(world.sandbox.demo.person_fields[field].code)


def writes(world, email):
    return world.sandbox.requests(method="PATCH", path=f"/persons/{person(world, email).id}")


async def test_each_contact_becomes_a_referrer_and_the_crm_shows_the_link(world):
    await world.endpoint()
    sync = await begin(world)
    assert (sync["state"], sync["phase"], sync["progress"]["total"]) == ("running", "reading", 3)
    assert "Contacts are not notified." in sync["estimate"]["sentences"]
    await world.drain()

    done = await shown(world, sync)
    assert (done["state"], done["phase"]) == ("completed", "done")
    progress = done["progress"]
    assert (progress["read"], progress["imported"], progress["skipped"]) == (3, 2, {"no_email": 1})
    assert (progress["written"], progress["to_write"], progress["links_outstanding"]) == (2, 0, 0)
    people = await referrers(world)
    assert set(people) == {"ada@customer.test", "ben@customer.test"}
    for email, one in people.items():
        assert one["link"] == LINKS + one["code"] == held(world, email)
        assert one["crm"] == "linked"
        assert one["records"][0]["how"] == "matched"
    assert held(world, "ada@customer.test", "Referral Count") == 0
    told = world.host.of_type("contacts.imported")
    assert {one["email"] for event in told for one in event["data"]["people"]} == set(people)
    assert [event["data"]["state"] for event in world.host.of_type("sync.completed")] == ["completed"]
    assert world.host.of_type("sync.started")
    assert not world.host.of_type("signup.accepted")


async def test_a_count_that_changes_is_written_once_and_its_echo_is_no_change(world):
    sync = await begin(world, ongoing=True)
    await world.drain()
    before = len(writes(world, "ada@customer.test"))
    ada = (await referrers(world))["ada@customer.test"]
    await world.setup()
    for friend in ("one", "two"):
        await world.signup(email=f"{friend}@friend.test", referrer={"code": ada["code"]})
    await world.drain()
    assert held(world, "ada@customer.test", "Referral Count") == 2
    assert len(writes(world, "ada@customer.test")) == before + 1
    await world.later(minutes=30)
    assert len(writes(world, "ada@customer.test")) == before + 1
    assert (await shown(world, sync))["state"] == "watching"


async def test_contacts_that_can_be_no_referrers_are_counted_and_listed(world):
    twin = world.sandbox.add_person("Ada Again", "ADA@customer.test ")
    wrong = world.sandbox.add_person("Wrong Address", "not an address")
    sync = await begin(world)
    await world.drain()
    reasons = await skipped(world, sync)
    assert reasons[str(twin.id)] == "duplicate"
    assert reasons[str(wrong.id)] == "invalid_email"
    assert (await shown(world, sync))["progress"]["skipped"] == {
        "duplicate": 1, "invalid_email": 1, "no_email": 1,
    }  # fmt: skip
    assert set(await skipped(world, sync, reason="duplicate")) == {str(twin.id)}


@pytest.mark.parametrize("name", ["Łukasz Żółć", "李 雷", "محمد علي", "Zoë 👩‍🚀 O'Neil", "x" * 900])
async def test_names_in_every_script(world, name):
    world.sandbox.add_person(name, "any@script.test")
    await begin(world)
    await world.drain()
    one = (await referrers(world))["any@script.test"]
    assert one["first_name"]
    assert len(one["first_name"]) <= 200
    assert held(world, "any@script.test") == one["link"]


async def test_a_contact_with_fifty_addresses_is_known_by_its_primary_one(world):
    many = [{"value": f"a{number}@many.test", "primary": number == 30} for number in range(50)]
    world.sandbox.add_person("Many Addresses", emails=many)
    await begin(world)
    await world.drain()
    assert "a30@many.test" in await referrers(world)
    assert sum("many.test" in email for email in await referrers(world)) == 1


async def test_a_saved_filter_narrows_the_contacts(world):
    outside = world.sandbox.add_person("Not A Customer", "other@else.test")
    examples = world.sandbox.add_filter("Examples", "people", [["name", "contains", "Example"]])
    sync = await begin(world, selection={"filter": str(examples.id)})
    await world.drain()
    assert set(await referrers(world)) == {"ada@customer.test", "ben@customer.test"}
    assert str(outside.id) not in await skipped(world, sync)
