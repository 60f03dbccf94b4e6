"""Users, activity, deliveries, syncs and endpoints in the console, over the whole world in one process."""

import asyncio
import re

import pytest

from ..flows.conftest import HOST_KEY, World, make_world  # noqa: TID252 - folders of tests are no packages
from .browsing import Page

__all__ = ["make_world"]  # the fixture of the flow tests


@pytest.fixture
async def world(make_world) -> World:
    world = await make_world()
    await world.account()
    await world.connect()
    await world.campaign()
    return world


@pytest.fixture
def gateway(world) -> World:
    """What the browsers of these tests stand before."""
    return world


@pytest.fixture
async def operator(new_browser):
    browser = new_browser()
    await browser.go("/console/sign-in")
    await browser.press("Sign in", secret__key=HOST_KEY)
    return browser


async def delivered(world, **changes):
    await world.setup()
    person = (await world.signup(**changes))["person"]
    await world.drain()
    return person


# --- users -------------------------------------------------------------------------------------------------


async def test_people_are_found_by_part_of_a_name_or_a_whole_address_and_by_filters(world, browser):
    await delivered(world)
    await world.signup(role="referrer", person={"email": "o@example.com", "first_name": "Olaf"})
    page = await browser.go("/console/a/acme/people")
    assert {"Fiona Friend", "Olaf"} <= {text for text, _ in page.links}
    for query in ("q=iona", "q=friend%40example.com", "role=referred", "state=linked", "campaign=spring&role=referred"):
        page = await browser.go(f"/console/a/acme/people?{query}")
        names = {text for text, href in page.links if "/people/per_" in href}
        assert names == {"Fiona Friend"}, query
    page = await browser.go("/console/a/acme/people?q=nobody")
    assert "Nobody fits these filters." in page.text


@pytest.mark.parametrize("query", ["state=odd", "role=odd", "cursor=odd", "q=%25%27%22%3C", "campaign=../.."])
async def test_filters_that_mean_nothing_show_a_page_all_the_same(world, browser, query):
    await browser.go(f"/console/a/acme/people?{query}")


async def test_what_people_typed_is_shown_as_text(world, browser):
    name = "<script>alert(1)</script>"
    await world.signup(person={"email": "x@example.com", "first_name": name, "last_name": '"><b>'})
    page = await browser.go("/console/a/acme/people")
    assert "&lt;script&gt;" in page.answer.text
    assert "<script>alert" not in page.answer.text


async def test_the_csv_has_the_people_of_the_filters(world, browser):
    await delivered(world)
    answer = await browser.client.get("/console/a/acme/people.csv?role=referred")
    assert answer.headers["content-type"].startswith("text/csv")
    assert "friend@example.com" in answer.text
    assert "friend@example.com" not in (await browser.client.get("/console/a/acme/people.csv?role=referrer")).text
    assert (await browser.client.get("/console/a/bravo/people.csv")).status_code == 404


async def test_a_person_is_told_from_signup_to_what_is_missing_and_qualified_by_hand(world, browser):
    await world.setup(qualification={"trigger": "deal_won"})
    person = (await world.signup())["person"]
    await world.drain()
    page = await browser.go(f"/console/a/acme/people/{person}")
    assert "Why not qualified yet" in page.text
    assert "The deal was won" in page.text
    assert page.link("Contact 4").startswith("https://acme.pipedrive.com/")
    page = await browser.press("Qualify", 422, amount="much", reason="said so")
    assert "The sale value is no number" in page.text
    assert page.form("Qualify").value("reason") == "said so"
    page = await browser.press("Qualify", amount="120.50")
    assert "The referral counts as qualified." in page.text
    assert (await world.person(person))["sale_value"] == {"amount": "120.50", "currency": "EUR"}
    page = await browser.press("Reverse", reason="a mistake")
    assert (await world.person(person))["state"] == "disqualified"


async def test_a_sale_value_by_hand_is_in_a_currency_that_there_is(world, browser):
    person = await delivered(world)
    await browser.go(f"/console/a/acme/people/{person}")
    for odd in ("XXQ", "euro", "12"):
        page = await browser.press("Qualify", 422, amount="10", currency=odd)
        assert page.form("Qualify").value("currency") == odd
    assert (await world.person(person))["sale_value"] is None
    given = {"qualified": True, "sale_value": {"amount": "10", "currency": "XXQ"}}
    await world.call("POST", f"/v1/accounts/acme/people/{person}/qualification", given, expect=422)
    await browser.press("Qualify", amount="10", currency="usd")
    assert (await world.person(person))["sale_value"] == {"amount": "10", "currency": "USD"}


@pytest.mark.parametrize("decision", [None, "", "perhaps"])
async def test_a_decision_that_is_none_decides_nothing(world, browser, decision):
    person = await delivered(world)
    page = await browser.go(f"/console/a/acme/people/{person}")
    before = (await world.person(person))["state"]
    more = {} if decision is None else {"decision": decision}
    await browser.send(page.form("Qualify"), None, 422, **more)
    assert (await world.person(person))["state"] == before


async def test_another_accounts_person_is_not_there(world, browser):
    await world.account("bravo")
    await world.campaign("bravo", "winter")
    theirs = (await world.signup("bravo", "winter"))["person"]
    await browser.go(f"/console/a/acme/people/{theirs}", expect=404)
    await browser.go(f"/console/a/bravo/people/{theirs}", expect=404)


# --- activity ------------------------------------------------------------------------------------------------


async def test_parked_work_is_told_with_its_cause_and_goes_out_when_it_is_mended(world, browser):
    await delivered(world)
    setup = await world.call("GET", "/v1/accounts/acme/campaigns/spring/setups/referred")
    used = next(one for one in setup["mapping"] if one["source"] == "person.code")
    world.sandbox.delete_field(used["field"])
    await world.signup(email="second@example.com", person={"email": "second@example.com", "first_name": "Sue"})
    await world.drain()
    page = await browser.go("/console/a/acme/activity")
    assert "1 thing is parked." in page.text
    await browser.go(page.link("Mend the setup"))
    page = await browser.press("Use the suggested mapping")
    page = await browser.press("Save")
    assert "Saved." in page.text
    await world.drain()
    page = await browser.go("/console/a/acme/activity")
    assert "parked." not in page.text
    assert "The ledger balances" in page.text


async def test_held_signups_are_told_with_what_ends_it(world, browser):
    await world.signup()
    page = await browser.go("/console/a/acme/activity")
    assert "1 signup is held." in page.text
    assert "The CRM is not set up for this campaign and role." in page.text
    page = await browser.press("Release now")
    assert "Nothing was sent" in page.text
    page = await browser.press("Check again") if page.has_button("Check again") else page


async def test_a_refused_push_is_shown_with_what_was_sent_and_goes_out_again(world, browser):
    person = await delivered(world)
    page = await browser.go("/console/a/acme/activity/deliveries?state=delivered")
    page = await browser.go(page.link("Signup"))
    assert "Attempt 1" in page.text
    assert world.sandbox.client_secret not in page.answer.text
    page = await browser.press("Send again", expect=409)
    assert "It is in the CRM already" in page.text
    assert person.startswith("per_")


async def test_a_day_that_is_none_leads_to_today(world, browser):
    page = await browser.go("/console/a/acme/activity?day=soon")
    assert page.query == ""


async def test_deliveries_of_the_hosts_own_endpoints_are_for_operators(world, browser, operator):
    await world.endpoint()
    await delivered(world)
    mine = await browser.go("/console/a/acme/activity/deliveries")
    theirs = await operator.go("/console/a/acme/activity/deliveries")
    assert "signup.accepted" not in mine.text
    assert "signup.accepted" in theirs.text
    event = next(href for text, href in theirs.links if "signup.accepted" in text)
    await browser.go(event, expect=404)


# --- syncs ---------------------------------------------------------------------------------------------------


async def test_contacts_are_synced_by_the_wizard_and_back_loses_nothing(world, browser):
    await browser.go("/console/a/acme/people")
    await browser.go(browser.page.link("Sync Your CRM Contacts"))
    saved = browser.page.form("Next").options["filter"][1]
    await browser.press("Next", whom="filter", filter=saved)
    page = await browser.press("Next", 422, **{"map.person.email": ""})
    assert "Map Email" in page.text
    page = await browser.press("Back")
    assert page.form("Next").value("filter") == saved
    await browser.press("Next")
    await browser.press("Next", **{"map.person.email": "emails", "map.person.first_name": "first_name"})
    page = await browser.press("Next", 422, **{"back.person.link": ""})
    assert "map Referral Link" in page.text
    link = next(one for one in browser.page.form("Next").options["back.person.link"] if one)
    await browser.press("Next", **{"back.person.link": link})
    page = await browser.press("Start Sync", ongoing="on")
    assert "The sync has started." in page.text
    await world.drain()
    page = await browser.go(page.path)
    assert "Ongoing, up to date" in page.text
    page = await browser.press("Pause")
    assert "Paused." in page.text
    page = await browser.press("Resume")
    await browser.go("/console/a/acme/campaigns/spring/promote")
    page = await browser.press("Turn off")
    assert "not ongoing any more" in page.text


async def test_a_second_start_shows_the_sync_that_is_open(world, browser):
    await world.call("POST", "/v1/accounts/acme/campaigns/spring/syncs", {"use_suggested": True, "ongoing": True})
    page = await browser.go("/console/a/acme/campaigns/spring/sync")
    assert "/syncs/" in page.path


async def test_skipped_contacts_are_listed_with_reasons(world, browser):
    await world.call("POST", "/v1/accounts/acme/campaigns/spring/syncs", {"use_suggested": True})
    await world.drain()
    page = await browser.go("/console/a/acme/campaigns/spring/promote")
    page = await browser.go(page.link("Show the sync"))
    page = await browser.go(next(href for text, href in page.links if "no e-mail address" in text))
    assert "no e-mail address" in page.text


# --- automations -------------------------------------------------------------------------------------------


async def test_the_key_of_an_automation_is_shown_once_and_opens_the_account(world, browser):
    page = await browser.go("/console/a/acme/settings/integrations")
    form = next(one for one in page.forms if one.action.endswith("/zapier/connect"))
    page = await browser.send(form, "Connect")
    key = page.answer.text.partition('<pre id="key">')[2].partition("<")[0]
    assert key.startswith("gwk_")
    again = await browser.go("/console/a/acme/settings/integrations")
    assert key not in again.answer.text
    asked = await world.api.get("/v1/apps/zapier/me", headers={"authorization": f"Bearer {key}"})
    assert asked.status_code not in (401, 403)


def key_on(page):
    return page.answer.text.partition('<pre id="key">')[2].partition("<")[0]


async def opens(world, key):
    asked = await world.api.get("/v1/apps/zapier/me", headers={"authorization": f"Bearer {key}"})
    return asked.status_code not in (401, 403)


async def connect_zapier(browser):
    """Return the page from which Zapier was connected, and the one that came of it."""
    page = await browser.go("/console/a/acme/settings/integrations")
    form = next(one for one in page.forms if one.action.endswith("/zapier/connect"))
    return form, await browser.send(form, "Connect")


async def keys(world):
    return [one for one in await world.call("GET", "/v1/accounts/acme/keys") if one["scopes"] == ["zapier"]]


async def details(world, browser):
    found = (await world.call("GET", "/v1/accounts/acme/connections"))["data"]
    mine = next(one["id"] for one in found if one["integration"] == "zapier")
    return await browser.go(f"/console/a/acme/settings/connections/{mine}")


async def test_a_double_click_on_connect_shows_the_key_that_the_first_click_made(world, browser):
    form, first = await connect_zapier(browser)
    second = await browser.send(form, "Connect")
    assert key_on(second) == key_on(first) != ""
    assert len(await keys(world)) == 1
    assert await opens(world, key_on(second))
    _, other = await connect_zapier_again(world, browser)
    third = await browser.send(*other, "Make another key")
    assert len(await keys(world)) == 2
    assert key_on(third) != key_on(first)


async def connect_zapier_again(world, browser):
    """Press *Make another key* twice, as a double click does."""
    form = (await details(world, browser)).form("Make another key")
    one, two = await browser.send(form, "Make another key"), await browser.send(form, "Make another key")
    assert key_on(one) == key_on(two) != ""
    return one, (form,)


async def test_two_clicks_at_once_on_connect_make_one_key(world, browser):
    page = await browser.go("/console/a/acme/settings/integrations")
    form = next(one for one in page.forms if one.action.endswith("/zapier/connect"))
    said = {"sec-fetch-site": "same-origin", "sec-fetch-dest": "document"}
    answers = await asyncio.gather(
        *(browser.client.post(form.action, data=dict(form.fields), headers=said) for _ in range(3))
    )
    shown = {key_on(Page(answer)) for answer in answers}
    assert len(shown) == 1
    assert await opens(world, shown.pop())
    assert len(await keys(world)) == 1


async def test_the_keys_of_an_automation_are_listed_and_revoked_one_by_one(world, browser):
    _, page = await connect_zapier(browser)
    used = key_on(page)
    assert await opens(world, used)
    unseen = key_on((await connect_zapier_again(world, browser))[0])
    await world.call("POST", "/v1/accounts/acme/keys", {"name": "the shop's", "scopes": ["read"]})
    page = await details(world, browser)
    assert f"{used[:8]}…" in page.text
    assert f"{unseen[:8]}…" in page.text
    assert page.text.count("never") == 1
    assert "the shop's" not in page.text
    assert used not in page.answer.text
    second = (await keys(world))[1]["id"]
    row = next(one for one in page.forms if f"/keys/{second}/revoke" in one.action)
    page = await browser.send(row, "Revoke")
    assert "Revoked." in page.text
    assert not await opens(world, unseen)
    assert await opens(world, used)
    assert unseen[:8] not in page.text
    page = await browser.send(row, "Revoke", expect=404)


async def test_a_key_of_another_kind_is_not_revoked_by_the_page_of_an_automation(world, browser):
    await connect_zapier(browser)
    shop = await world.call("POST", "/v1/accounts/acme/keys", {"name": "shop", "scopes": ["read"]})
    form = (await details(world, browser)).form("Revoke")
    form.action = re.sub("/keys/[^/]+/", f"/keys/{shop['id']}/", form.action)
    await browser.send(form, "Revoke", expect=404)
    assert shop["id"] in [one["id"] for one in await world.call("GET", "/v1/accounts/acme/keys")]


async def test_a_form_that_is_sent_again_when_its_key_was_revoked_makes_another_one(world, browser):
    form, page = await connect_zapier(browser)
    first = key_on(page)
    (key,) = await keys(world)
    connection = (await world.call("GET", "/v1/accounts/acme/connections"))["data"][0]["id"]
    await world.call("DELETE", f"/v1/connections/{connection}")
    page = await browser.send(form, "Connect")  # the back button
    assert key_on(page) not in ("", first)
    assert await opens(world, key_on(page))
    assert not await opens(world, first)
    assert key["prefix"] == first[:8]


# --- endpoints ---------------------------------------------------------------------------------------------


async def test_an_operator_adds_tests_rotates_disables_and_removes_an_endpoint(world, operator):
    await operator.go("/console/endpoints")
    page = await operator.press("Add", 422, url="ftp://odd", description="mine")
    assert page.form("Add").value("description") == "mine"
    assert 'id="url-problem"' in page.answer.text
    page = await operator.press("Add", url="https://host.test/webhooks")
    secret = page.answer.text.partition("<pre>")[2].partition("<")[0]
    world.host.secrets.append(secret)
    await operator.go(page.link("Go on"))
    page = await operator.press("Send a test event")
    assert "The test event was delivered" in page.text
    page = await operator.press("Rotate the secret")
    assert secret not in page.answer.text
    await operator.go(page.link("Go on"))
    assert secret not in operator.page.answer.text
    await operator.press("Disable")
    assert "Disabled. Its events are kept." in operator.page.text
    await operator.press("Enable")
    await operator.press("Remove")
    assert "host.test" not in operator.page.text


async def test_an_endpoint_that_is_added_twice_is_one(world, operator):
    page = await operator.go("/console/endpoints")
    await operator.press("Add", url="https://host.test/webhooks")
    operator.page = page
    again = await operator.press("Add", 422, url="https://host.test/webhooks")
    assert "has this URL already" in again.text
    assert len((await world.call("GET", "/v1/endpoints"))["data"]) == 1


async def test_what_an_endpoint_may_be_is_checked_as_in_the_api(world, operator):
    await operator.go("/console/endpoints")
    page = await operator.press("Add", 422, url="https://host.test/x", description="d" * 5000)
    assert page.form("Add").value("url") == "https://host.test/x"


async def test_an_endpoint_is_enabled_only_by_the_word(world, operator):
    await operator.go("/console/endpoints")
    page = await operator.press("Add", url="https://host.test/webhooks")
    page = await operator.go(page.link("Go on"))
    form = page.form("Disable")
    await operator.press("Disable")
    await operator.send(form, None, 422)
    assert (await world.call("GET", "/v1/endpoints"))["data"][0]["state"] == "disabled"
