"""Zapier from signup to Zap and back: triggers, actions, searches, and what a Zap's owner is told."""

import json
from datetime import timedelta

import httpx
import msgspec
import pytest

from gateway.flows.connections.connect import mark_needs_reauth
from gateway.flows.notify.endpoints import MAX_SUBSCRIPTIONS
from gateway.flows.notify.notify import NewEvent, publish
from gateway.storage import campaigns, connections
from gateway.storage.columns import new_id
from gateway.storage.endpoints import EndpointRow
from gateway.storage.tables import endpoints
from gateway_schemas.campaign import CampaignInput
from gateway_zapier.routes import ROUTES

from .test_automation import granted_times
from .test_endpoints_api import key_for
from .zapier import Zapier, keys_of

REWARD = {"key": "thanks", "on": "qualification", "kind": "fixed", "amount": "50", "currency": "EUR"}


@pytest.fixture
async def zapier(world):
    await world.account()
    await world.campaign(rewards=[REWARD], fields=[{"key": "note", "label": "Note"}])
    return await Zapier.connect(world)


async def friend(world, email="fiona@example.com", **changes):
    changes.setdefault("referrer", {"email": "bob@example.com", "first_name": "Bob", "last_name": "Builder"})
    person = {"email": email, "first_name": "Fiona", "last_name": "Friend", "fields": {"note": "hello"}}
    return (await world.signup(person=person, **changes))["person"]


async def referrer(world, email="bob@example.com"):
    return (await world.signup(role="referrer", person={"email": email, "first_name": "Bob", "last_name": "Builder"}))[
        "person"
    ]


# --- connecting --------------------------------------------------------------------------------------------------


async def test_it_stands_beside_a_crm_and_its_key_says_whose_it_is(world, zapier):
    await world.connect()
    assert await zapier.call("GET", "/me") == {
        "id": "acme", "account_name": "Acme", "environment": "production", "plan": None
    }  # fmt: skip
    shown = await world.call("GET", "/v1/accounts/acme/connections")
    assert {one["integration"]: one["state"] for one in shown["data"]} == {"zapier": "active", "pipedrive": "active"}
    assert zapier.connection["key"]["scopes"] == ["zapier"]


async def test_after_disconnecting_the_key_is_dead_and_the_hooks_are_silent(world, zapier):
    await zapier.turn_on("new_lead")
    receipt = await world.call("DELETE", f"/v1/connections/{zapier.connection['id']}")
    assert receipt["removed"] == ["One subscription.", "The account key was revoked."]
    assert receipt["by_hand"] == ["Turn off the Zaps of this account in Zapier; they get no more events."]
    assert (await zapier.call("GET", "/me", expect=401))["code"] == "unauthenticated"
    await friend(world)
    await world.drain()
    assert zapier.hooks.requests == []
    again = await Zapier.connect(world)
    assert again.key != zapier.key
    assert (await again.call("GET", "/me"))["id"] == "acme"


async def test_a_key_opens_its_own_account_alone(world, zapier):
    await world.account("bravo", name="Bravo")
    await world.campaign("bravo", "theirs")
    bravo = await Zapier.connect(world, "bravo", zapier.hooks)
    assert (await bravo.call("GET", "/me"))["account_name"] == "Bravo"
    assert [one["id"] for one in await bravo.call("GET", "/lists/campaigns")] == ["theirs"]
    await zapier.turn_on("new_lead")
    mine = zapier.subscribed["id"]
    await bravo.call("DELETE", f"/hooks/{mine}", expect=204)
    assert (await world.call("GET", f"/v1/endpoints/{mine}"))["state"] == "enabled"


# --- triggers ----------------------------------------------------------------------------------------------------


async def test_a_referral_tells_each_trigger_its_part_and_samples_have_the_same_bodies(world, zapier):
    await world.connect()
    await world.setup()
    urls = {
        event: await zapier.turn_on(event)
        for event in ("new_referrer", "new_lead", "lead_qualified", "lead_unqualified", "sale_recorded", "reward_due",
                      "reward_issued", "referrer_stats_updated")
    }  # fmt: skip
    bob = await referrer(world)
    fiona = await friend(world, referrer={"email": "bob@example.com"})
    await world.drain()
    path = f"/v1/accounts/acme/people/{fiona}"
    await world.call("POST", f"{path}/qualification", {"qualified": True})
    sale = {"amount": "1200.00", "currency": "EUR", "external_reference": "deal-77"}
    await world.call("POST", f"{path}/sales", sale)
    reward = (await world.call("GET", "/v1/accounts/acme/rewards"))["data"][0]["id"]
    await world.later(seconds=61)
    await world.call("POST", f"/v1/rewards/{reward}/issued", {})
    await world.call("POST", f"{path}/qualification", {"qualified": False, "reason": "Order returned"})
    await world.later(seconds=61)
    for event, url in urls.items():
        sent = zapier.hooks.bodies(url)
        assert sent, event
        samples = await zapier.call("GET", f"/samples/{event}", limit="10")
        assert [one["id"] for one in samples] == [one["id"] for one in sorted(sent, key=lambda b: b["id"])[::-1]]
        assert {json.dumps(keys_of(one)) for one in samples} == {json.dumps(keys_of(sent[0]))}, event
        for request in zapier.hooks.requests:
            if str(request.url) == url:
                assert request.headers["webhook-id"] == json.loads(request.content)["id"]
                assert request.headers["webhook-signature"].startswith("v1,")
    lead = zapier.hooks.bodies(urls["new_lead"])[0]
    assert lead["campaign"] == {"id": "spring", "name": "Spring"}
    assert (lead["lead"]["id"], lead["lead"]["full_name"], lead["source"]) == (fiona, "Fiona Friend", "host")
    assert lead["lead"]["form_answers"] == [{"key": "note", "label": "Note", "value": "hello"}]
    assert (lead["referrer"]["id"], lead["referrer"]["email"]) == (bob, "bob@example.com")
    assert zapier.hooks.bodies(urls["new_referrer"])[0]["referrer"]["referral_link"].startswith("https://refer.example")
    qualified = zapier.hooks.bodies(urls["lead_qualified"])[0]
    assert (qualified["decided_by"], qualified["lead"]["qualified_at"] is not None) == ("hand", True)
    assert zapier.hooks.bodies(urls["lead_unqualified"])[0]["reason"] == "Order returned"
    sold = zapier.hooks.bodies(urls["sale_recorded"])[0]["sale"]
    assert (sold["value"], sold["currency"], sold["external_reference"]) == ("1200.00", "EUR", "deal-77")
    due = zapier.hooks.bodies(urls["reward_due"])[0]
    assert (due["reward"]["id"], due["reward"]["amount"], due["reward"]["status"]) == (reward, "50.00", "due")
    stats = zapier.hooks.bodies(urls["referrer_stats_updated"])
    assert max(one["referrer"]["referral_count"] for one in stats) == 1


async def test_a_problem_of_the_crm_reaches_the_zap_whatever_its_campaign(world, zapier):
    await world.connect()
    await world.setup()
    await world.campaign(campaign="autumn")
    everything, spring, autumn = (
        await zapier.turn_on("sync_problem"),
        await zapier.turn_on("sync_problem", campaign_id="spring"),
        await zapier.turn_on("sync_problem", campaign_id="autumn"),
    )
    async with world.services.database.read() as conn:
        row = await connections.open_crm(conn, "acme")
    now = world.clock.now()
    await world.services.database.writer.run(lambda conn: mark_needs_reauth(conn, row, "Consent was withdrawn", now))
    await world.drain()
    for url in (everything, spring, autumn):
        (body,) = zapier.hooks.bodies(url)
        assert body["problem"]["code"] == "needs_reauth"
        assert "authorised again" in body["problem"]["message"]
        assert (body["connection"]["integration"], body["campaign"]["id"]) == ("pipedrive", None)
    assert keys_of(body) == keys_of((await zapier.call("GET", "/samples/sync_problem"))[0])


async def test_synced_people_come_only_where_the_zap_asks_for_them(world, zapier):
    bob, rob = await referrer(world), await referrer(world, "rob@example.com")
    with_synced = await zapier.turn_on("new_referrer", include_synced=True)
    without = await zapier.turn_on("new_referrer")
    await world.drain()
    zapier.hooks.requests.clear()
    record = {"kind": "contact", "id": "7"}
    people = [
        {"person": person, "email": f"{name}@example.com", "first_name": name, "last_name": None, "code": None,
         "link": None, "record": record, "created": person == bob}
        for person, name in ((bob, "bob"), (rob, "rob"))
    ]  # fmt: skip
    data = {"sync": "syn_1", "campaign": "spring", "connection": "con_1", "people": people}
    now = world.clock.now()
    new = [NewEvent("contacts.imported", "acme", None, data)]
    await world.services.database.writer.run(lambda conn: publish(conn, new, now))
    await world.drain()
    assert zapier.hooks.bodies(without) == []
    (body,) = zapier.hooks.bodies(with_synced)
    (item,) = body["items"]
    assert (item["referrer"]["id"], item["source"]) == (bob, "contact_sync")
    sample = (await zapier.call("GET", "/samples/new_referrer", include_synced="true", limit="1"))[0]
    assert sample == item
    assert keys_of(sample) == keys_of((await zapier.call("GET", "/samples/new_referrer", limit="1"))[0])


async def test_a_campaign_narrows_what_a_zap_gets_and_what_it_is_shown(world, zapier):
    await world.campaign(campaign="autumn", name="Autumn")
    all_of_them, spring = await zapier.turn_on("new_lead"), await zapier.turn_on("new_lead", campaign_id="spring")
    await friend(world)
    await world.signup(campaign="autumn", email="greta@example.com")
    await world.drain()
    assert len(zapier.hooks.bodies(all_of_them)) == 2
    assert [one["campaign"]["id"] for one in zapier.hooks.bodies(spring)] == ["spring"]
    shown = await zapier.call("GET", "/samples/new_lead", campaign_id="autumn")
    assert [one["campaign"]["name"] for one in shown] == ["Autumn"]
    assert await zapier.call("GET", "/samples/sale_recorded") == []


async def test_a_test_signup_is_marked(world, zapier):
    url = await zapier.turn_on("new_lead")
    await friend(world, test=True)
    await world.drain()
    assert zapier.hooks.bodies(url)[0]["test"] is True


# --- turning Zaps on and off -------------------------------------------------------------------------------------


async def test_subscribing_and_unsubscribing_can_be_repeated_by_id_and_by_url(world, zapier):
    url = await zapier.turn_on("new_lead")
    first = zapier.subscribed
    await zapier.turn_on("new_lead", url=url, expect=200)
    assert zapier.subscribed == first
    for _ in range(2):
        await zapier.call("DELETE", f"/hooks/{first['id']}", expect=204)
    await zapier.call("DELETE", "/hooks/end_never_was", expect=204)
    await zapier.turn_on("new_lead", url=url)
    assert zapier.subscribed["id"] != first["id"]
    for _ in range(2):
        await zapier.call("DELETE", "/hooks", target_url=url, expect=204)
    await friend(world)
    await world.drain()
    assert zapier.hooks.requests == []
    problem = await zapier.call("DELETE", "/hooks", expect=422)
    assert problem["problems"][0]["field"] == "target_url"


@pytest.mark.parametrize(
    ("url", "code"),
    [
        ("https://example.com/hooks/standard/1/a/", "host_not_allowed"),
        ("https://10.0.0.1/hooks", "host_not_allowed"),
        ("https://hooks.zapier.com.evil.example/1", "host_not_allowed"),
        ("https://hooks.zapier.com@evil.example/1", "host_not_allowed"),
        ("https://evil.example\\@hooks.zapier.com/1", "invalid_url"),
        ("http://hooks.zapier.com/hooks/standard/1/a/", "https_required"),
        ("https://user:pass@hooks.zapier.com/1", "userinfo"),
        ("hooks.zapier.com/1", "host_not_allowed"),
        ("https://[half/1", "host_not_allowed"),
        ("", "host_not_allowed"),
    ],
)
async def test_a_target_that_is_not_zapiers_is_refused(zapier, url, code):
    problem = await zapier.call("POST", "/hooks", {"event": "new_lead", "target_url": url}, expect=422)
    assert problem["problems"][0]["code"] == code


async def test_a_hook_that_redirects_is_not_followed_and_is_tried_again(world, zapier):
    url = await zapier.turn_on("new_lead")
    seen = []

    async def redirect(request):
        seen.append(str(request.url))
        return httpx.Response(302, headers={"location": "http://169.254.169.254/"})

    world.network.routes["hooks.zapier.com"] = httpx.MockTransport(redirect)
    await friend(world)
    await world.drain()
    assert seen == [url]
    (delivery,) = (await world.call("GET", "/v1/deliveries?account=acme"))["data"]
    assert (delivery["state"], "redirects are not followed" in delivery["error"]) == ("waiting", True)


async def test_an_unknown_event_and_a_foreign_campaign_are_refused_by_name(world, zapier):
    await world.account("bravo")
    await world.campaign("bravo", "theirs")

    async def refused(**body):
        target = "https://hooks.zapier.com/hooks/standard/1/a/"
        problem = await zapier.call("POST", "/hooks", {"target_url": target, **body}, expect=422)
        return problem["problems"][0]

    unknown = await refused(event="lead_exploded")
    assert (unknown["field"], unknown["code"]) == ("event", "unknown_event")
    assert "lead_qualified" in unknown["message"]
    foreign = await refused(event="new_lead", filter={"campaign_id": "theirs"})
    assert (foreign["field"], foreign["code"]) == ("campaign", "unknown_campaign")
    assert (await refused(event="new_lead", filter={"mood": "x"}))["field"] == "filter.mood"
    assert (await zapier.call("GET", "/samples/nothing", expect=422))["problems"][0]["code"] == "unknown_event"
    assert (await zapier.call("GET", "/samples/new_lead", campaign_id="theirs", expect=422))["code"] == "invalid_input"


async def test_a_url_that_answers_410_is_dropped_and_the_others_go_on(world, zapier):
    gone, stays = await zapier.turn_on("new_lead"), await zapier.turn_on("new_lead")
    zapier.hooks.answers = [410]
    await friend(world)
    await world.drain()
    dropped = str(zapier.hooks.requests[0].url)
    await friend(world, "greta@example.com")
    await world.drain()
    assert len(zapier.hooks.bodies(dropped)) == 1
    assert len(zapier.hooks.bodies(stays if dropped == gone else gone)) == 2
    assert await zapier.turn_on("new_lead", url=dropped)


async def test_at_most_thirty_events_a_second_go_to_one_url(world, zapier):
    url = await zapier.turn_on("sync_problem")
    now = world.clock.now()
    data = {"connection": "con_1", "integration": "x", "state": "needs_reauth", "identity": None, "name": "X"}
    new = [NewEvent("connection.needs_reauth", "acme", None, data) for _ in range(70)]
    await world.services.database.writer.run(lambda conn: publish(conn, new, now))
    granted = granted_times(world.services)
    for _ in range(10):
        await world.worker.drain()
        if len(zapier.hooks.bodies(url)) == 70:
            break
        world.clock.advance(timedelta(seconds=1.2))
    assert len(granted) == len(zapier.hooks.bodies(url)) == 70
    assert all(later - earlier >= timedelta(seconds=1) for earlier, later in zip(granted, granted[30:], strict=False))


async def test_replay_and_the_deliveries_of_the_account_include_zaps(world, zapier):
    url = await zapier.turn_on("new_lead")
    zapier.hooks.answers = [500]
    await friend(world)
    await world.drain()
    (delivery,) = (await world.call("GET", "/v1/deliveries?account=acme"))["data"]
    assert (delivery["target"], delivery["state"]) == (zapier.subscribed["id"], "waiting")
    await world.later(seconds=10)
    assert len(zapier.hooks.bodies(url)) == 2
    matched = {"endpoint": zapier.subscribed["id"], "state": "delivered"}
    assert (await world.call("POST", "/v1/deliveries/replay", matched))["replayed"] == 1
    await world.drain()
    first, *_, last = zapier.hooks.requests
    assert first.headers["webhook-id"] == last.headers["webhook-id"]
    ledger = await world.call("GET", f"/v1/ledger?account=acme&day={world.clock.now():%Y-%m-%d}")
    assert ledger["balanced"]
    assert sum(ledger["events"].values()) >= 1


# --- creates -----------------------------------------------------------------------------------------------------


async def test_adding_a_referrer_twice_answers_with_the_same_person(world, zapier):
    given = {"campaign": "spring", "email": " BOB@Example.COM ", "first_name": "Bob"}
    made = await zapier.act("add_referrer", expect=201, **given)
    assert (made["created"], made["email"], made["campaign"]["name"]) == (True, "bob@example.com", "Spring")
    assert made["referral_link"] == f"https://refer.example/{made['code']}"
    again = await zapier.act("add_referrer", expect=200, **given)
    assert (again["id"], again["created"]) == (made["id"], False)
    assert again.keys() == made.keys()


async def test_adding_a_lead_by_code_or_email_of_the_referrer(world, zapier):
    bob = await zapier.act("add_referrer", campaign="spring", email="bob@example.com", first_name="Bob")
    by_code = await zapier.act(
        "add_lead", campaign="spring", email="fiona@example.com", referrer=bob["code"], custom_field="note",
        custom_value="VIP",
    )  # fmt: skip
    assert (by_code["created"], by_code["first_name"], by_code["status"]) == (True, "fiona", "pending")
    assert by_code["referrer"]["id"] == bob["id"]
    assert by_code["form_answers"][0]["value"] == "VIP"
    by_email = await zapier.act("add_lead", campaign="spring", email="greta@example.com", referrer="BOB@example.com")
    assert by_email["referrer"]["id"] == bob["id"]
    again = await zapier.act("add_lead", campaign="spring", email="GRETA@example.com", referrer=bob["code"])
    assert (again["id"], again["created"]) == (by_email["id"], False)


async def test_what_cannot_be_added_is_said_field_by_field(world, zapier):
    await world.campaign(campaign="later", state="draft")
    lead = {"campaign": "spring", "email": "bob@example.com", "referrer": "bob@example.com"}
    field, message = await zapier.refused("add_lead", **lead)
    assert field == "referrer"
    assert "themselves" in message or "own" in message
    assert await zapier.refused("add_referrer", campaign="spring", email="not an address") == (
        "email", "E-mail is not an e-mail address."
    )  # fmt: skip
    assert (await zapier.refused("add_referrer", campaign="gone", email="bob@example.com"))[0] == "campaign"
    field, message = await zapier.refused("add_referrer", campaign="later", email="bob@example.com")
    assert (field, "draft" in message) == ("campaign", True)
    assert (await zapier.refused("add_referrer", campaign="spring", email=""))[
        1
    ] == "E-mail is empty. Map a value to it."
    ok = {"campaign": "spring", "email": "bob@example.com"}
    assert (await zapier.refused("add_referrer", **ok, code="has spaces")) == (
        "code", "Code takes up to 100 characters without spaces."
    )  # fmt: skip
    assert (await zapier.refused("add_referrer", **ok, custom_field="shoe", custom_value="9"))[0] == "custom_field"
    assert (await zapier.refused("add_referrer", **ok, signed_up_at="yesterday"))[0] == "signed_up_at"
    assert (await zapier.refused("add_referrer", **ok, mood="good"))[0] == "mood"
    assert (await world.call("GET", "/v1/accounts/acme/people"))["data"] == []


async def test_qualifying_takes_the_sale_and_doing_it_again_changes_nothing(world, zapier):
    await friend(world)
    given = {"value": "FIONA@example.com", "sale_value": "1200.00", "currency": "usd", "external_reference": "o-1"}
    first = await zapier.act("qualify_lead", **given)
    assert (first["matched"], first["changed"], first["already_qualified"]) == (True, True, False)
    assert first["sale"] == {"id": None, "value": "1200.00", "currency": "USD", "external_reference": "o-1"}
    assert (first["lead"]["status"], first["referrer"]["email"]) == ("qualified", "bob@example.com")
    again = await zapier.act("qualify_lead", **given)
    assert (again["changed"], again["already_qualified"]) == (False, True)
    assert len((await world.call("GET", "/v1/accounts/acme/rewards"))["data"]) == 1


async def test_a_qualified_lead_without_a_value_learns_it_once(world, zapier):
    await friend(world)
    assert (await zapier.act("qualify_lead", value="fiona@example.com"))["sale"]["value"] is None
    later = await zapier.act("qualify_lead", value="fiona@example.com", sale_value=99.5)
    assert (later["changed"], later["sale"]["value"], later["sale"]["currency"]) == (True, "99.5", "EUR")
    assert (await zapier.act("qualify_lead", value="fiona@example.com", sale_value="1"))["changed"] is False


async def test_nobody_referred_is_an_answer_and_no_error(world, zapier):
    for action, more in (
        ("qualify_lead", {}),
        ("unqualify_lead", {}),
        ("record_sale", {"sale_value": "10", "currency": "EUR", "external_reference": "x"}),
        ("update_person", {"first_name": "X"}),
    ):
        answer = await zapier.act(action, expect=200, value="nobody@example.com", **more)
        assert (answer["matched"], answer["id"]) == (False, None)
    for by in ("code", "coupon", "external_id"):
        assert (await zapier.act("qualify_lead", match_by=by, value="nothing"))["matched"] is False
    await referrer(world)
    assert (await zapier.act("qualify_lead", value="bob@example.com"))["matched"] is False


async def test_a_person_is_matched_by_code_coupon_and_external_id_exactly(world, zapier):
    person = {"email": "f@example.com", "first_name": "Ann", "code": "an", "external_id": "77"}
    await world.signup(person=person)
    for number in range(3):
        await world.signup(person={"email": f"x{number}@example.com", "first_name": "Anna"})
    for by, value in (("code", "an"), ("coupon", " an "), ("external_id", "77")):
        found = await zapier.call("GET", "/search/find_lead", match_by=by, value=value)
        assert [one["email"] for one in found] == ["f@example.com"]


async def test_somebody_in_two_campaigns_is_asked_about_unless_one_is_open(world, zapier):
    await world.campaign(campaign="autumn", name="Autumn")
    await friend(world)
    await world.signup(campaign="autumn", email="fiona@example.com")
    field, message = await zapier.refused("qualify_lead", value="fiona@example.com")
    assert (field, message) == ("campaign", "This person is in 2 campaigns (Autumn, Spring). Choose the Campaign.")
    first = await zapier.act("qualify_lead", value="fiona@example.com", campaign="autumn")
    assert first["campaign"]["id"] == "autumn"
    second = await zapier.act("qualify_lead", value="fiona@example.com")
    assert (second["campaign"]["id"], second["changed"]) == ("spring", True)
    third = await zapier.act("qualify_lead", value="fiona@example.com")
    assert (third["matched"], third["changed"]) == (True, False)


async def test_a_sale_value_that_is_no_plain_number_is_refused_in_words(world, zapier):
    await friend(world)
    for text in ("1,200.00 USD", "1.200,00", "$5", "ten", "1e5", "NaN", "--5"):
        field, message = await zapier.refused("qualify_lead", value="fiona@example.com", sale_value=text)
        assert field == "sale_value"
        assert message.startswith(f"“{text}” is not a plain number. Send digits with a point, such as 1200.00")
    assert (await zapier.refused("qualify_lead", value="fiona@example.com", sale_value="-5"))[0] == "sale_value"
    given = {"value": "fiona@example.com", "sale_value": "5"}
    assert (await zapier.refused("qualify_lead", **given, currency="dollars"))[0] == "currency"
    assert (await zapier.refused("qualify_lead", **given, occurred_at="2026-01-01"))[0] == "occurred_at"
    assert (await zapier.refused("qualify_lead", **given, external_reference="with space"))[0] == "external_reference"
    assert (await zapier.refused("qualify_lead", **given, match_by="shoe size"))[0] == "match_by"
    stored = (await world.call("GET", "/v1/accounts/acme/people?role=referred"))["data"][0]
    assert (stored["state"], stored["sale_value"]) == ("pending", None)


async def test_unqualifying_reverses_and_may_be_repeated(world, zapier):
    await friend(world)
    await zapier.act("qualify_lead", value="fiona@example.com")
    first = await zapier.act("unqualify_lead", value="fiona@example.com", reason="Refunded")
    assert (first["changed"], first["lead"]["status"]) == (True, "disqualified")
    assert (await zapier.act("unqualify_lead", value="fiona@example.com"))["changed"] is False
    assert (await world.call("GET", "/v1/accounts/acme/rewards"))["data"][0]["state"] == "cancelled"
    assert (await zapier.act("qualify_lead", value="fiona@example.com"))["changed"] is True


async def test_a_sale_is_recorded_once_a_reference_and_a_refund_is_below_zero(world, zapier):
    await friend(world)
    given = {"value": "fiona@example.com", "currency": "EUR"}
    first = await zapier.act("record_sale", **given, sale_value="100", external_reference="o-1")
    again = await zapier.act("record_sale", **given, sale_value="100", external_reference="o-1")
    assert (first["duplicate"], again["duplicate"], again["id"]) == (False, True, first["id"])
    refund = await zapier.act(
        "record_sale", **given, sale_value="-40.50", external_reference="o-1-refund",
        occurred_at="2026-01-01T00:00:00+01:00",
    )  # fmt: skip
    assert (refund["lead"]["sale_value"], refund["sale"]["value"]) == ("59.50", "-40.50")
    conflict = await zapier.act("record_sale", **given, sale_value="1", external_reference="o-1", expect=409)
    assert "send the difference" in conflict["detail"]
    assert (await zapier.refused("record_sale", **given, sale_value="", external_reference="o"))[0] == "sale_value"
    assert (await zapier.refused("record_sale", **given, sale_value="0", external_reference="o"))[0] == "sale_value"


async def test_a_person_is_updated_and_nothing_else_changes(world, zapier):
    await friend(world)
    changed = await zapier.act(
        "update_person", role="referred", value="fiona@example.com", last_name="Foe", new_external_id="crm-9",
        custom_field="note", custom_value="new", phone="",
    )  # fmt: skip
    assert (changed["matched"], changed["person"]["full_name"]) == (True, "Fiona Foe")
    assert (changed["lead"]["external_id"], changed["lead"]["form_answers"][0]["value"]) == ("crm-9", "new")
    assert changed["referrer"]["email"] == "bob@example.com"
    given = {"role": "referred", "value": "fiona@example.com"}
    assert (await zapier.refused("update_person", **given))[1].startswith("Nothing is to be changed")
    assert (await zapier.refused("update_person", **given, new_code="a b"))[0] == "new_code"
    assert (await zapier.refused("update_person", **given, referral_link="refer.example"))[0] == "referral_link"
    assert (await zapier.refused("update_person", **given, custom_field="shoe", custom_value="9"))[0].endswith("shoe")
    ann = {"email": "ann@example.com", "first_name": "Ann", "external_id": "taken"}
    await world.signup(person=ann)
    assert (await zapier.refused("update_person", **given, new_external_id="taken"))[1].startswith("It belongs to")


async def test_a_reward_is_noted_as_given_out_once(world, zapier):
    await friend(world)
    await zapier.act("qualify_lead", value="fiona@example.com")
    await world.later(seconds=61)
    (choice,) = await zapier.call("GET", "/lists/rewards")
    assert choice["name"] == "Bob Builder: 50.00 EUR (Spring)"
    issued = await zapier.act("mark_reward_issued", reward=choice["id"])
    assert (issued["status"], issued["referrer"]["full_name"]) == ("issued", "Bob Builder")
    assert (await zapier.act("mark_reward_issued", reward=choice["id"]))["status"] == "issued"
    assert await zapier.call("GET", "/lists/rewards") == []
    assert (await zapier.act("mark_reward_issued", reward="rew_nothing", expect=404))["code"] == "not_found"


# --- searches and lists ------------------------------------------------------------------------------------------


async def test_searches_answer_with_what_the_action_answers_and_never_with_an_error_for_nobody(world, zapier):
    added = await zapier.act("add_referrer", campaign="spring", email="bob@example.com", first_name="Bob")
    (found,) = await zapier.call("GET", "/search/find_referrer", match_by="email", value="BOB@example.com")
    assert (found["id"], found.keys()) == (added["id"], added.keys())
    lead = await zapier.act("add_lead", campaign="spring", email="fiona@example.com", referrer=added["code"])
    (found,) = await zapier.call("GET", "/search/find_lead", value="fiona@example.com", campaign="spring")
    assert (found["id"], found.keys(), found["referrer"]["id"]) == (lead["id"], lead.keys(), added["id"])
    for path in ("find_referrer", "find_lead"):
        assert await zapier.call("GET", f"/search/{path}", value="nobody@example.com") == []
    await zapier.act("qualify_lead", value="fiona@example.com")
    await world.later(seconds=61)
    (reward,) = await zapier.call("GET", "/search/find_reward", email="bob@example.com", status="due")
    assert (reward["lead"]["email"], reward["amount"]) == ("fiona@example.com", "50.00")
    assert await zapier.call("GET", "/search/find_reward", email="bob@example.com", status="issued") == []
    assert await zapier.call("GET", "/search/find_reward", email="nobody@example.com") == []


async def test_a_search_that_cannot_be_made_says_why(zapier):
    async def refused(path, **query):
        return (await zapier.call("GET", f"/search/{path}", expect=422, **query))["problems"][0]["field"]

    assert await refused("find_lead", value="") == "value"
    assert await refused("find_lead", value="no address") == "value"
    assert await refused("find_lead", match_by="shoe", value="9") == "match_by"
    assert await refused("find_referrer", value="bob@example.com", campaign="gone") == "campaign"
    assert await refused("find_reward", email="bob@example.com", status="lost") == "status"


async def test_lists_come_in_pages_and_odd_pages_are_empty(world, zapier):
    for number in range(5):
        await world.campaign(campaign=f"c{number}", name=f"C {number}", state="draft")
    first = await zapier.call("GET", "/lists/campaigns", page="0", limit="4")
    second = await zapier.call("GET", "/lists/campaigns", page="1", limit="4")
    assert [one["id"] for one in [*first, *second]] == ["c0", "c1", "c2", "c3", "c4", "spring"]
    assert first[0]["name"] == "C 0 (draft)"
    assert await zapier.call("GET", "/lists/campaigns", page="9") == []
    assert len(await zapier.call("GET", "/lists/campaigns", page="-1", limit="lots")) == 6
    assert await zapier.call("GET", "/lists/fields") == []
    assert await zapier.call("GET", "/lists/fields", campaign_id="spring") == [{"id": "note", "name": "Note"}]
    assert await zapier.call("GET", "/lists/fields", campaign_id="spring", role="referrer") == []


async def test_another_scope_does_not_open_the_app(world, zapier):
    async with await key_for(world, "acme", "read", "manage") as client:
        answer = await client.get("/v1/apps/zapier/me")
    assert (answer.status_code, answer.json()["code"]) == (403, "missing_scope")


# --- thousands ---------------------------------------------------------------------------------------------------


async def test_ten_thousand_subscriptions_are_served_and_one_more_is_refused(world, zapier):
    url = await zapier.turn_on("new_lead")
    rows = [
        msgspec.structs.asdict(
            EndpointRow(
                id=new_id("end"), account_id="acme", connection_id=zapier.connection["id"],
                url=f"https://hooks.zapier.com/{n}", event_types=["reward.due"], created_at=world.clock.now(),
            )
        )
        for n in range(MAX_SUBSCRIPTIONS - 1)
    ]  # fmt: skip
    await world.services.database.writer.run(lambda conn: conn.execute(endpoints.insert(), rows))
    await zapier.turn_on("new_lead", url=url, expect=200)
    body = {"event": "new_lead", "target_url": "https://hooks.zapier.com/one-more"}
    problem = (await zapier.call("POST", "/hooks", body, expect=422))["problems"][0]
    assert (problem["code"], "10,000 subscriptions" in problem["message"]) == ("too_many_subscriptions", True)
    await friend(world)
    await world.drain()
    assert len(zapier.hooks.bodies(url)) == len(zapier.hooks.requests) == 1
    receipt = await world.call("DELETE", f"/v1/connections/{zapier.connection['id']}")
    assert receipt["removed"][0] == "10000 subscriptions."


# --- the description ---------------------------------------------------------------------------------------------


async def test_every_route_is_in_the_openapi_document_with_what_it_takes_and_answers(world, zapier):
    document = await world.call("GET", "/schema/openapi.json")
    paths = {path: each for path, each in document["paths"].items() if path.startswith("/v1/apps/zapier/")}
    told = {
        f"{method.upper()} {path.removeprefix('/v1/apps/zapier')}" for path, each in paths.items() for method in each
    }
    assert told == {f"{one.method} {one.path}" for one in ROUTES}
    schemas = document["components"]["schemas"]
    for one in ROUTES:
        operation = paths[f"/v1/apps/zapier{one.path}"][one.method.lower()]
        assert {each["name"] for each in operation.get("parameters", []) if each["in"] == "query"} == set(one.query)
        assert ("requestBody" in operation) == (one.takes is not None)
        if one.takes is not None:
            name = operation["requestBody"]["content"]["application/json"]["schema"]["$ref"].rpartition("/")[2]
            assert set(schemas[name]["properties"]) == set(one.takes.__struct_fields__)
        if one.returns is not None:
            assert operation["responses"][str(one.usual_status)]["content"]["application/json"]["schema"]


@pytest.fixture
async def read(world, zapier, monkeypatch):
    """An account of 450 campaigns; what is read of them from here on is noted by id."""

    async def write(conn):
        for index in range(450):
            given = CampaignInput(name=f"Campaign {index:03}", state="live")
            await campaigns.upsert(conn, "acme", f"c{index:03}", given, world.services.clock.now())

    await world.services.database.writer.run(write)
    rows: list[str] = []
    convert = campaigns._campaign

    def noted(row):
        rows.append(row.id)
        return convert(row)

    monkeypatch.setattr(campaigns, "_campaign", noted)
    return rows


async def test_one_lookup_reads_the_campaigns_that_it_is_about_and_no_others(world, zapier, read):
    await friend(world)
    read.clear()
    for path, query in (
        ("/search/find_lead", {"value": "fiona@example.com"}),
        ("/search/find_lead", {"value": "fiona@example.com", "campaign": "spring"}),
        ("/search/find_referrer", {"value": "bob@example.com"}),
        ("/lists/fields", {"campaign_id": "spring"}),
    ):
        assert await zapier.call("GET", path, **query), path
    await zapier.act("qualify_lead", match_by="email", value="fiona@example.com")
    assert await zapier.call("GET", "/lists/rewards")
    assert await zapier.call("GET", "/search/find_reward", email="bob@example.com")
    assert set(read) == {"spring"}
    read.clear()
    assert await zapier.call("GET", "/search/find_lead", value="nobody@example.com") == []
    assert read == []


async def test_a_page_of_a_dropdown_reads_that_page_alone(world, zapier, read):
    page = await zapier.call("GET", "/lists/campaigns", page="3", limit="100")
    assert [one["id"] for one in page] == read == [f"c{index:03}" for index in range(300, 400)]
    last = await zapier.call("GET", "/lists/campaigns", page="4", limit="100")
    assert [one["id"] for one in last] == [*(f"c{index}" for index in range(400, 450)), "spring"]
