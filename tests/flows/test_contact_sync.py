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


# --- links that the host makes ---------------------------------------------------------------------------


async def test_the_host_is_asked_for_links_and_they_are_written_back(world):
    await world.endpoint()
    sync = await begin(world, campaign={"link_template": None})
    await world.drain()
    waits = await shown(world, sync)
    assert (waits["state"], waits["phase"], waits["progress"]["links_outstanding"]) == ("running", "awaiting_links", 2)
    assert waits["progress"]["bound_by"] == "host_links"
    assert not writes(world, "ada@customer.test")
    (asked,) = world.host.of_type("contacts.imported")
    people = [
        {"person": one["person"], "link": f"https://host.example/r/{one['record']['id']}"}
        for one in asked["data"]["people"]
    ]
    await world.call("PATCH", "/v1/accounts/acme/campaigns/spring/people", {"people": people})
    await world.drain()
    done = await shown(world, sync)
    assert (done["state"], done["progress"]["links_outstanding"], done["progress"]["written"]) == ("completed", 0, 2)
    assert held(world, "ada@customer.test") == f"https://host.example/r/{person(world, 'ada@customer.test').id}"


async def test_a_host_that_never_answers_does_not_keep_the_sync_open_and_may_still_answer_later(world):
    sync = await begin(world, campaign={"link_template": None})
    await world.drain()
    await world.later(hours=25)
    done = await shown(world, sync)
    assert (done["state"], done["progress"]["links_outstanding"]) == ("completed", 2)
    assert done["message"].startswith("Links outstanding: 2.")
    ada = (await referrers(world))["ada@customer.test"]
    late = {"people": [{"person": ada["id"], "link": "https://host.example/late"}]}
    await world.call("PATCH", "/v1/accounts/acme/campaigns/spring/people", late)
    await world.drain()
    assert held(world, "ada@customer.test") == "https://host.example/late"
    assert (await shown(world, sync))["progress"]["links_outstanding"] == 1


# --- stop and go -----------------------------------------------------------------------------------------


async def test_a_second_start_is_answered_with_the_one_that_runs(world):
    first = await begin(world)
    second = await start(world, expect=200, ongoing=True)
    assert (second["id"], second["ongoing"]) == (first["id"], False)
    await world.drain()
    third = await start(world)
    assert third["id"] != first["id"]


async def test_what_is_paused_reads_and_writes_nothing_until_it_goes_on(world):
    sync = await begin(world)
    paused = await patch(world, sync, paused=True)
    assert (paused["state"], paused["cause"]) == ("paused", "by_request")
    await world.drain()
    assert not await referrers(world)
    await patch(world, sync, paused=False)
    await world.drain()
    assert (await shown(world, sync))["state"] == "completed"
    assert len(await referrers(world)) == 2


async def test_what_is_cancelled_has_ended_and_keeps_what_it_brought(world):
    sync = await begin(world, ongoing=True)
    await world.drain()
    path = f"/v1/accounts/acme/campaigns/spring/syncs/{sync['id']}"
    for _ in range(2):
        ended = await world.call("POST", f"{path}/cancel")
        assert (ended["state"], ended["ongoing"], ended["next_walk_at"]) == ("cancelled", False, None)
    world.sandbox.add_person("Late Comer", "late@customer.test")
    await world.later(hours=25)
    assert set(await referrers(world)) == {"ada@customer.test", "ben@customer.test"}
    await patch(world, sync, expect=409, paused=False)


async def test_ongoing_is_toggled_at_any_time(world):
    sync = await begin(world)
    await world.drain()
    assert (await patch(world, sync, ongoing=True))["state"] == "watching"
    world.sandbox.add_person("New Comer", "new@customer.test")
    await world.later(seconds=30)
    assert "new@customer.test" in await referrers(world)
    assert (await patch(world, sync, ongoing=False))["state"] == "completed"
    world.sandbox.add_person("Late Comer", "late@customer.test")
    await world.later(hours=25)
    assert "late@customer.test" not in await referrers(world)


# --- ongoing ---------------------------------------------------------------------------------------------


async def test_a_new_contact_has_its_link_within_a_minute(world):
    await begin(world, ongoing=True)
    await world.drain()
    world.sandbox.add_person("New Comer", "new@customer.test")
    await world.later(seconds=50)
    assert held(world, "new@customer.test") == (await referrers(world))["new@customer.test"]["link"]


async def test_without_webhooks_what_changed_is_read_every_few_minutes(world):
    sync = await begin(world, ongoing=True)
    await world.drain()
    world.sandbox.delete_subscriptions()
    world.sandbox.add_person("New Comer", "new@customer.test")
    before = len(world.sandbox.requests(method="GET", path="/persons"))
    await world.later(minutes=20)
    assert "new@customer.test" in await referrers(world)
    asked = world.sandbox.requests(method="GET", path="/persons")[before:]
    assert all("updated_since" in one.query for one in asked if "sort_direction" not in one.query)
    assert (await shown(world, sync))["state"] == "watching"


async def test_a_deleted_contact_keeps_its_referrer_and_link(world):
    sync = await begin(world, ongoing=True)
    await world.drain()
    before = (await referrers(world))["ada@customer.test"]
    world.sandbox.delete_person(person(world, "ada@customer.test").id)
    await world.later(minutes=2)
    after = (await referrers(world))["ada@customer.test"]
    assert (after["link"], after["crm"]) == (before["link"], "gone")
    assert after["records"][0]["gone"]
    progress = (await shown(world, sync))["progress"]
    assert (progress["imported"], progress["gone"]) == (1, 1)


async def test_what_left_the_filter_is_found_by_the_next_whole_walk(world):
    examples = world.sandbox.add_filter("Examples", "people", [["name", "contains", "Example"]])
    sync = await begin(world, ongoing=True, selection={"filter": str(examples.id)})
    await world.drain()
    ada = person(world, "ada@customer.test")
    world.sandbox.update_person(ada.id, name="Ada Moved")
    world.sandbox.add_person("New Example", "new@customer.test")
    await world.later(seconds=30)
    await world.later(minutes=20)
    people = await referrers(world)
    assert people["ada@customer.test"]["crm"] == "gone"
    assert people["ada@customer.test"]["link"]
    assert people["new@customer.test"]["crm"] == "linked"
    listed = await world.call("GET", f"/v1/accounts/acme/campaigns/spring/syncs/{sync['id']}/contacts?state=gone")
    assert [(one["record"]["id"], one["reason"]) for one in listed["data"]] == [(str(ada.id), "left_selection")]
    world.sandbox.update_person(ada.id, name="Ada Example")
    await world.later(hours=2)
    assert (await referrers(world))["ada@customer.test"]["crm"] == "linked"


async def test_a_merged_contact_follows_the_survivor(world):
    sync = await begin(world, ongoing=True)
    await world.drain()
    loser, survivor = person(world, "ada@customer.test"), person(world, "ben@customer.test")
    world.sandbox.merge_persons(loser.id, into=survivor.id)
    await world.later(seconds=30)
    ada = (await referrers(world))["ada@customer.test"]
    records = {one["ref"]["id"]: one["gone"] for one in ada["records"]}
    assert records == {str(loser.id): True, str(survivor.id): False}
    assert ada["crm"] == "linked"
    assert held(world, "ben@customer.test") == (await referrers(world))["ben@customer.test"]["link"]
    assert (await shown(world, sync))["progress"]["gone"] == 1


async def test_a_value_that_was_changed_in_the_crm_is_put_right(world):
    await begin(world, ongoing=True)
    await world.drain()
    ada = person(world, "ada@customer.test")
    link = held(world, "ada@customer.test")
    code = world.sandbox.demo.person_fields["Referral Link"].code
    world.sandbox.update_person(ada.id, custom_fields={code: "https://elsewhere.example"})
    await world.later(seconds=30)
    assert held(world, "ada@customer.test") == link


# --- what goes wrong -------------------------------------------------------------------------------------


async def test_a_field_that_vanished_parks_the_rest_and_says_so(world):
    await world.endpoint()
    sync = await begin(world, ongoing=True)
    await world.drain()
    field = world.sandbox.demo.person_fields["Referral Link"]
    world.sandbox.delete_field(field.code)
    world.sandbox.add_person("New Comer", "new@customer.test")
    await world.later(seconds=30)
    broken = await shown(world, sync)
    assert (broken["state"], broken["cause"]) == ("needs_attention", "mapping_broken")
    assert [one["field"] for one in broken["problems"]] == ["write_back[0].field"]
    assert broken["progress"]["to_write"] == 1
    (told,) = world.host.of_type("setup.needs_attention")
    assert told["data"]["sync"] == sync["id"]
    assert [event["data"]["state"] for event in world.host.of_type("sync.failed")] == ["needs_attention"]

    await patch(world, sync, expect=422, write_back=broken["write_back"])
    made = await world.call("POST", "/v1/accounts/acme/campaigns/spring/syncs/write-back-fields")
    assert made["created"] == ["Referral Link"]
    mended = await patch(world, sync, write_back=made["write_back"])
    assert (mended["state"], mended["problems"]) == ("running", [])
    await world.drain()
    done = await shown(world, sync)
    assert (done["state"], done["progress"]["to_write"]) == ("watching", 0)
    link = next(one["field"] for one in made["write_back"] if one["source"] == "person.link")
    for email, one in (await referrers(world)).items():
        assert person(world, email).custom_fields[link] == one["link"]


async def test_the_nightly_check_finds_a_field_that_is_gone_before_a_write_does(world):
    sync = await begin(world, ongoing=True)
    await world.drain()
    world.sandbox.delete_field(world.sandbox.demo.person_fields["Referral Count"].code)
    await world.later(hours=24, minutes=1)
    broken = await shown(world, sync)
    assert (broken["state"], broken["cause"]) == ("needs_attention", "mapping_broken")
    assert broken["problems"][0]["field"] == "write_back[1].field"
    await patch(world, sync, write_back=[one for one in broken["write_back"] if "link" in one["source"]])
    await world.drain()
    assert (await shown(world, sync))["state"] == "watching"


async def test_a_filter_that_was_deleted_stops_the_sync_until_another_is_chosen(world):
    examples = world.sandbox.add_filter("Examples", "people", [["name", "contains", "Example"]])
    sync = await begin(world, selection={"filter": str(examples.id)})
    world.sandbox.delete_filter(examples.id)
    await world.drain()
    broken = await shown(world, sync)
    assert (broken["state"], broken["problems"][0]["field"]) == ("needs_attention", "selection.filter")
    wrong = await patch(world, sync, expect=422, selection={"filter": str(examples.id)})
    assert wrong["problems"][0]["code"] == "unknown_filter"
    await patch(world, sync, selection={"filter": None})
    await world.drain()
    assert (await shown(world, sync))["state"] == "completed"
    assert len(await referrers(world)) == 2


async def test_a_crm_that_is_disconnected_pauses_the_sync_and_the_same_one_lets_it_go_on(world):
    sync = await begin(world, ongoing=True)
    await world.call("DELETE", f"/v1/connections/{sync['connection']}")
    paused = await shown(world, sync)
    assert (paused["state"], paused["cause"]) == ("paused", "disconnected")
    await world.drain()
    await world.connect()
    await world.drain()
    done = await shown(world, sync)
    assert (done["state"], done["progress"]["imported"]) == ("watching", 2)
    assert done["connection"] != sync["connection"]
    assert held(world, "ada@customer.test")


async def test_a_page_that_fails_for_ever_ends_in_a_state_that_people_see_and_resume(world):
    sync = await begin(world)
    world.sandbox.fail_next(500, 1000, match="/persons")
    for _ in range(14):
        await world.later(hours=8)  # longer than the longest wait between two attempts, however it is spread
    failed = await shown(world, sync)
    assert (failed["state"], failed["cause"]) == ("needs_attention", "page_failed")
    assert "500" in failed["message"]
    world.sandbox.clear_faults()
    await patch(world, sync, paused=False)
    await world.drain()
    assert (await shown(world, sync))["state"] == "completed"


@pytest.mark.parametrize(
    ("changes", "field", "code"),
    [
        ({"mapping": [{"field": "emails", "to": "person.email"}]}, "mapping", "required"),
        ({"mapping": [{"field": "nothing", "to": "person.email"}]}, "mapping[0].field", "unknown_field"),
        ({"mapping": [{"field": "owner_id", "to": "person.first_name"}]}, "mapping[0].field", "wrong_type"),
        ({"mapping": [{"field": "emails", "to": "person.code"}]}, "mapping[0].to", "unknown_target"),
        ({"selection": {"filter": "999"}}, "selection.filter", "unknown_filter"),
        ({"write_back": [{"source": "person.link", "field": "first_name"}]}, "write_back[0].field", "not_writable"),
        ({"write_back": [{"source": "person.link", "field": "nothing"}]}, "write_back[0].field", "unknown_field"),
        ({"write_back": [{"source": "person.email", "field": "x"}]}, "write_back[0].source", "unknown_source"),
    ],
)
async def test_wrong_input_is_refused_and_named(world, changes, field, code):
    await world.account()
    await world.connect()
    await world.campaign()
    base = {"mapping": [{"field": "first_name", "to": "person.first_name"}, {"field": "emails", "to": "person.email"}]}
    refused = await world.call("POST", "/v1/accounts/acme/campaigns/spring/syncs", base | changes, expect=422)
    assert (field, code) in [(one["field"], one["code"]) for one in refused["problems"]]


async def test_a_write_back_needs_the_link_and_a_field_that_can_hold_it(world):
    await world.account()
    await world.connect()
    await world.campaign()
    fields = world.sandbox.demo.person_fields
    counts_only = [{"source": "person.referral_count", "field": fields["Referral Count"].code}]
    wrong = [{"source": "person.link", "field": fields["Referral Count"].code}]
    for rows, code in ((counts_only, "required"), (wrong, "wrong_type")):
        body = {"use_suggested": False, "mapping": MAPPING, "write_back": rows}
        refused = await world.call("POST", "/v1/accounts/acme/campaigns/spring/syncs", body, expect=422)
        assert code in [one["code"] for one in refused["problems"]]


MAPPING = [{"field": "first_name", "to": "person.first_name"}, {"field": "emails", "to": "person.email"}]


async def test_without_a_write_back_the_links_are_in_the_list_alone(world):
    await world.account()
    await world.connect()
    await world.campaign()
    sync = await world.call("POST", "/v1/accounts/acme/campaigns/spring/syncs", {"mapping": MAPPING}, expect=202)
    await world.drain()
    assert (await shown(world, sync))["state"] == "completed"
    assert (await referrers(world))["ada@customer.test"]["link"]
    assert held(world, "ada@customer.test") is None
