"""Customers become referrers with links: all of them, and later what is new or changed; nothing is written back."""

import pytest


async def start(world, expect=202, **sync):
    body = {"use_suggested": True, **sync}
    return await world.call("POST", "/v1/accounts/acme/campaigns/spring/syncs", body, expect=expect)


async def begin(world, **sync):
    await world.account()
    await world.connect()
    await world.campaign()
    begun = await start(world, **sync)
    await world.drain()
    return begun


async def shown(world, sync):
    return await world.call("GET", f"/v1/accounts/acme/campaigns/spring/syncs/{sync['id']}")


async def referrers(world):
    page = await world.call("GET", "/v1/accounts/acme/people?role=referrer&limit=200")
    return {one["email"]: one for one in page["data"]}


def writes(world):
    return [one for one in world.sandbox.front.log if one.method != "GET" and "connect/token" not in one.path]


async def test_each_customer_becomes_a_referrer_with_a_link_and_nobody_is_told(world):
    sync = await begin(world)
    done = await shown(world, sync)
    assert (done["state"], done["phase"]) == ("completed", "done")
    assert (done["progress"]["imported"], done["progress"]["skipped"]) == (2, {"no_email": 1})
    people = await referrers(world)
    assert set(people) == {"ada@customer.test", "ben@customer.test"}
    ben = people["ben@customer.test"]
    assert (ben["first_name"], ben["last_name"]) == ("Ben", "van der Example")
    assert ben["link"] == f"https://refer.example/{ben['code']}"
    assert writes(world) == []


async def test_why_links_are_not_written_back_is_shown_and_a_write_back_is_refused(world):
    sync = await begin(world)
    assert "not written back" in (await shown(world, sync))["no_write_back"]
    row = {"source": "person.link", "field": "name"}
    problem = await start(world, write_back=[row], expect=422)
    assert any("write_back" in one["field"] for one in problem["problems"])


async def test_first_name_and_email_are_needed(world):
    await world.account()
    await world.connect()
    await world.campaign()
    problem = await start(world, use_suggested=False, mapping=[], expect=422)
    assert len(problem["problems"]) == 2


async def test_who_wants_no_mail_becomes_no_referrer(world):
    world.sandbox.edit_customer(world.sandbox.demo.customers[0].id, do_not_mail=True)
    sync = await begin(world)
    assert (await shown(world, sync))["progress"]["skipped"] == {"no_email": 1, "do_not_mail": 1}
    assert set(await referrers(world)) == {"ben@customer.test"}


async def test_merged_and_inactive_customers_become_none(world):
    ada, ben, cleo = world.sandbox.demo.customers
    world.sandbox.merge_customers(ada.id, ben.id)
    world.sandbox.deactivate_customer(cleo.id)
    sync = await begin(world)
    assert set(await referrers(world)) == {"ada@customer.test"}, "the survivor, by its oldest address"
    assert (await shown(world, sync))["progress"]["skipped"] == {"merged": 1, "inactive": 1}


@pytest.mark.parametrize("change", ["new customer", "new address"])
async def test_an_ongoing_sync_takes_what_comes_later(world, change):
    sync = await begin(world, ongoing=True)
    await world.later(minutes=1)
    if change == "new customer":
        world.sandbox.add_customer("Nina New", "late@customer.test")
    else:
        world.sandbox.add_contact(world.sandbox.demo.customers[2].id, "Email", "late@customer.test")
    for _ in range(4):
        await world.later(minutes=10)
    assert "late@customer.test" in await referrers(world)
    assert (await shown(world, sync))["state"] == "watching"
    assert writes(world) == []


async def test_an_ongoing_sync_survives_a_restart_and_reads_on(world):
    await begin(world, ongoing=True)
    await world.start()
    world.sandbox.add_customer("Nina New", "late@customer.test")
    for _ in range(4):
        await world.later(minutes=10)
    assert "late@customer.test" in await referrers(world)


async def test_a_customer_that_is_made_inactive_keeps_its_referrer_and_link(world):
    sync = await begin(world, ongoing=True)
    before = (await referrers(world))["ada@customer.test"]
    world.sandbox.deactivate_customer(world.sandbox.demo.customers[0].id)
    for _ in range(4):
        await world.later(minutes=10)
    looked = (await shown(world, sync))["progress"]
    await world.later(days=7)  # everything is read again
    after = (await referrers(world))["ada@customer.test"]
    assert (after["id"], after["link"]) == (before["id"], before["link"])
    assert [one["gone"] for one in after["records"]] == [False]
    shows = await shown(world, sync)
    assert (shows["state"], shows["progress"]["gone"]) == ("watching", looked["gone"]), "one answer, whoever looked"


async def test_a_customer_that_was_merged_away_is_followed_to_the_survivor(world):
    sync = await begin(world, ongoing=True)
    ada, ben, _ = world.sandbox.demo.customers
    await world.later(minutes=10)
    world.sandbox.merge_customers(ben.id, ada.id)
    for _ in range(4):
        await world.later(minutes=10)
    merged = (await referrers(world))["ben@customer.test"]
    gone = {record["ref"]["id"]: record["gone"] for record in merged["records"]}
    assert gone == {str(ben.id): True, str(ada.id): False}
    assert merged["crm"] == "linked"
    assert (await shown(world, sync))["progress"]["gone"] == 1
