"""Signups become bookings: mapped, once each, and only for people who are no customers yet."""

import pytest

from plugins.servicetitan.tests.flows.conftest import EMAIL

FIRST = {"record_kind": "booking", "field": "isFirstTimeClient", "value": "No"}


async def test_both_roles_get_bookings_with_what_was_mapped(world):
    await world.ready()
    await world.setup("referrer")
    rita = await world.signup("rita@example.com", "referrer")
    code = (await world.person(rita))["code"]
    fred = await world.signup(EMAIL, referrer={"code": code})
    (first,) = world.sandbox.bookings("rita@example.com")
    (second,) = world.sandbox.bookings(EMAIL)
    assert first.body["externalId"].startswith(code)
    assert second.body["source"] == "Spring"
    assert second.body["summary"].splitlines() == [
        "Spring",
        "Referred by: Fiona Friend",
        "Referrer's e-mail: rita@example.com",
        f"Referrer's code: {code}",
    ]
    shown = await world.person(fred)
    assert [(one["ref"]["kind"], one["how"]) for one in shown["records"]] == [("booking", "created")]


async def test_every_required_field_is_asked_for_by_name(world):
    await world.account()
    await world.connect()
    await world.campaign()
    problem = await world.setup(use_suggested=False, defaults=[], expect=422)
    missing = " ".join(one["field"] + one["message"] for one in problem["problems"])
    for key in ("source", "name", "email", "summary", "externalId", "isFirstTimeClient"):
        assert f"booking.{key}" in missing


async def test_first_time_client_alone_is_not_suggested_away(world):
    await world.account()
    await world.connect()
    await world.campaign()
    problem = await world.setup(defaults=[], expect=422)
    assert len(problem["problems"]) == 1
    assert "isFirstTimeClient" in problem["problems"][0]["field"]


async def test_yes_and_no_are_words_for_first_time_client(world):
    await world.ready(defaults=[FIRST])
    await world.signup()
    assert world.sandbox.bookings()[0].body["isFirstTimeClient"] is False


async def test_choices_come_from_the_account_and_are_refreshed(world):
    connection = await world.ready()
    path = f"/v1/connections/{connection}/options"
    units = (await world.call("GET", f"{path}/business_units"))["data"]
    assert [one["label"] for one in units] == ["Heating", "Plumbing"]
    world.sandbox.add_business_unit("Drains")
    units = (await world.call("GET", f"{path}/business_units?refresh=true"))["data"]
    assert [one["label"] for one in units] == ["Drains", "Heating", "Plumbing"]
    plumbing = next(one["value"] for one in units if one["label"] == "Plumbing")
    types = (await world.call("GET", f"{path}/job_types?parent={plumbing}"))["data"]
    assert [one["label"] for one in types] == ["Service call"]
    fields = (await world.call("GET", f"/v1/connections/{connection}/fields/booking?refresh=true"))["data"]
    (campaign,) = [one for one in fields if one["key"] == "campaignId"]
    assert [one["label"] for one in campaign["options"]] == ["Radio", "Referrals"]


async def test_a_default_that_is_gone_parks_the_signup_until_the_setup_is_mended(world):
    demo = world.sandbox.demo
    chosen = {"record_kind": "booking", "field": "campaignId", "value": str(demo.campaigns["Radio"].id)}
    await world.ready(defaults=[FIRST, chosen])
    world.sandbox.deactivate("campaigns", demo.campaigns["Radio"].id)
    person = await world.signup()
    assert (await world.person(person))["crm"] != "linked"
    assert len(await world.events("setup.needs_attention")) == 1
    await world.setup(defaults=[FIRST])
    await world.drain()
    assert (await world.person(person))["crm"] == "linked"


async def test_the_preview_shows_the_vendors_own_payload_and_writes_nothing(world):
    await world.ready()
    shown = await world.call("POST", "/v1/accounts/acme/campaigns/spring/setups/referred/preview", {})
    writes = [one for one in shown["requests"] if one["method"] == "POST"]
    assert len(writes) == 1
    assert writes[0]["path"].endswith("/bookings")
    assert writes[0]["body"]["isFirstTimeClient"] is True
    assert world.sandbox.bookings() == []


# --- never twice ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", ["lose", "time out", "cut", "server error"])
async def test_a_lost_answer_makes_nothing_twice(world, fault):
    await world.ready()
    where = {"method": "POST", "match": "/bookings$"}
    if fault == "server error":
        world.sandbox.fail_next(502, **where)
    elif fault == "cut":
        world.sandbox.cut_answer(**where)
    else:
        world.sandbox.lose_answer(**where, timeout=fault == "time out")
    person = await world.signup()
    await world.later(minutes=10)
    assert len(world.sandbox.bookings(EMAIL)) == 1
    assert (await world.person(person))["crm"] == "linked"


async def test_the_same_signup_again_makes_no_second_booking(world):
    await world.ready()
    first = await world.signup()
    assert await world.signup() == first
    assert len(world.sandbox.bookings(EMAIL)) == 1


async def test_a_restart_in_doubt_makes_nothing_twice(world):
    await world.ready()
    world.sandbox.lose_answer(method="POST", match="/bookings$")
    person = await world.signup()
    await world.start()
    await world.later(minutes=10)
    assert len(world.sandbox.bookings(EMAIL)) == 1
    assert (await world.person(person))["crm"] == "linked"


async def test_over_the_limit_the_signup_waits_and_goes_out(world):
    await world.ready()
    world.sandbox.fail_next(429, n=2, match="/bookings$")
    person = await world.signup()
    await world.later(minutes=5)
    assert (await world.person(person))["crm"] == "linked"
    assert len(world.sandbox.bookings(EMAIL)) == 1


# --- only new contacts ----------------------------------------------------------------------------------


async def test_a_customer_of_the_account_gets_no_booking_and_the_timeline_says_so(world):
    world.sandbox.close_contact_search()
    await world.ready()
    person = await world.signup("ada@customer.test")
    assert world.sandbox.bookings() == []
    shown = await world.person(person)
    ada = world.sandbox.demo.customers[0]
    assert [(one["ref"]["kind"], one["ref"]["id"]) for one in shown["records"]] == [("customer", str(ada.id))]
    assert "cannot qualify" in await world.told(person)
    assert not (await world.timeline(person))["why"]["qualified"]


async def test_the_vendors_search_knows_what_the_index_does_not_yet(world):
    await world.ready()
    world.sandbox.add_customer("Late Customer", "late@customer.test")
    await world.signup("late@customer.test")
    assert world.sandbox.bookings() == []


async def test_with_the_policy_create_everybody_gets_a_booking(world):
    await world.ready(duplicates="create")
    await world.signup("ada@customer.test")
    assert len(world.sandbox.bookings("ada@customer.test")) == 1


async def test_a_new_address_of_a_customer_is_known_after_the_next_look(world):
    world.sandbox.close_contact_search()
    await world.ready()
    world.sandbox.add_contact(world.sandbox.demo.customers[0].id, "Email", "ada@second.test")
    await world.later(minutes=11)
    await world.signup("ada@second.test")
    assert world.sandbox.bookings() == []


@pytest.mark.parametrize("search", ["closed", "finds nobody"])
async def test_while_the_contacts_are_being_read_signups_wait(world, search):
    if search == "closed":
        world.sandbox.close_contact_search()
    world.sandbox.fail_next(503, n=3, match="/export/customers$")
    await world.ready()
    person = await world.signup()
    assert world.sandbox.bookings() == []
    assert "contact index" in await world.told(person)
    for _ in range(6):
        await world.later(minutes=5)
    assert len(world.sandbox.bookings(EMAIL)) == 1


async def test_a_booking_that_is_there_twice_is_told_within_a_day(world):
    await world.ready()
    # The list lags for longer than is waited for: what docs/promises.md names as possible.
    world.sandbox.lose_answer(method="POST", match="/bookings$")
    person = await world.signup()
    (lost,) = world.sandbox.bookings(EMAIL)
    lost.visible = world.clock.now().replace(year=world.clock.now().year + 1)
    await world.later(minutes=10)
    assert len(world.sandbox.bookings(EMAIL)) == 2
    lost.visible = lost.created
    await world.later(days=1)
    assert "more than once" in await world.told(person)
