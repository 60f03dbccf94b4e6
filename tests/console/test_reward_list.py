"""Rewards in the console: people say that one was paid, or will not be, from the list, its page or a person's page."""

import pytest

from ..flows.conftest import HOST_KEY, World, make_world  # noqa: TID252 - folders of tests are no packages
from .browsing import Browser

__all__ = ["make_world"]  # the fixture of the flow tests

FIXED = {"key": "fixed", "kind": "fixed", "amount": "50", "currency": "EUR"}
TENTH = {"key": "tenth", "kind": "percentage", "percent": "10"}
REWARDS = "/console/a/acme/rewards"


@pytest.fixture
async def world(make_world) -> World:
    world = await make_world()
    await world.account()
    return world


@pytest.fixture
def gateway(world) -> World:
    """What the browsers of these tests stand before."""
    return world


async def owed(world, rule=FIXED, amount="1200"):
    """Fred, whom Rita referred, became a customer; return his id and hers."""
    await world.campaign(rewards=[rule])
    rita = {"email": "rita@example.com", "first_name": "Rita", "last_name": "Referrer"}
    await world.signup(role="referrer", person=rita)
    fred = (
        await world.signup(
            person={"email": "fred@example.com", "first_name": "Fred", "last_name": "Friend"},
            referrer={"email": "rita@example.com"},
        )
    )["person"]
    sale = {"amount": amount, "currency": "EUR"}
    body = {"qualified": True, "sale_value": sale}
    await world.call("POST", f"/v1/accounts/acme/people/{fred}/qualification", body)
    return fred, (await world.person(fred))["referrer"]


async def states(world):
    return [one["state"] for one in (await world.call("GET", "/v1/accounts/acme/rewards"))["data"]]


async def test_a_due_reward_is_marked_as_issued_from_the_list_and_the_timeline_says_so(world, browser):
    fred, rita = await owed(world)
    page = await browser.go(f"{REWARDS}?state=due")
    assert page.link("Rita Referrer") == f"/console/a/acme/people/{rita}"
    assert page.link("Fred Friend") == f"/console/a/acme/people/{fred}"
    page = await browser.press("Mark as issued")
    assert "The reward counts as issued." in page.text
    assert (page.path, "state=due" in page.query) == (REWARDS, True), "the filters stay"
    assert await states(world) == ["issued"]
    page = await browser.go(f"/console/a/acme/people/{fred}")
    assert "Reward issued by hand." in page.text


async def test_a_second_click_changes_nothing_and_says_what_holds(world, browser):
    fred, _ = await owed(world)
    page = await browser.go(REWARDS)
    form = page.form("Mark as issued")
    for _ in range(2):
        page = await browser.send(form, "Mark as issued")
        assert "The reward counts as issued." in page.text
    timeline = await world.call("GET", f"/v1/accounts/acme/people/{fred}/timeline")
    assert [one["kind"] for one in timeline["entries"]].count("reward.issued") == 1
    assert not (await browser.go(REWARDS)).has_button("Mark as issued")


async def test_cancelling_asks_first_and_keeps_the_reason(world, browser):
    fred, _ = await owed(world)
    page = await browser.go(REWARDS)
    page = await browser.go(page.link("Cancel"))
    assert await states(world) == ["due"], "looking cancels nothing"
    page = await browser.press("Cancel the reward", reason="Paid in cash")
    assert "The reward is cancelled." in page.text
    assert await states(world) == ["cancelled"]
    page = await browser.go(f"/console/a/acme/people/{fred}")
    assert "Reward cancelled: Paid in cash." in page.text


async def test_a_page_that_shows_what_holds_no_more_says_so_and_keeps_what_was_typed(world, browser):
    await owed(world)
    page = await browser.go(REWARDS)
    stale = (await browser.go(page.link("Cancel"))).form("Mark as issued")
    await browser.press("Cancel the reward")
    page = await browser.send(stale, "Mark as issued", 409, reason="By bank transfer")
    assert "The reward is cancelled" in page.text
    assert "Nothing was changed." in page.text
    assert not page.has_button("Mark as issued")
    assert await states(world) == ["cancelled"]


async def test_an_amount_that_changed_meanwhile_is_not_issued_unseen(world, browser):
    await owed(world, TENTH)
    fred = (await world.call("GET", "/v1/accounts/acme/rewards"))["data"][0]["referred"]
    page = await browser.go(REWARDS)
    assert "120.00" in page.text
    await world.call(
        "POST",
        f"/v1/accounts/acme/people/{fred}/qualification",
        {"qualified": True, "sale_value": {"amount": "2000", "currency": "EUR"}},
    )
    page = await browser.press("Mark as issued", 409)
    assert "200.00" in page.text
    assert "The amount changed after you opened the page" in page.text
    assert await states(world) == ["due"]
    page = await browser.press("Mark as issued")
    assert await states(world) == ["issued"]


async def test_a_held_reward_can_be_cancelled_but_not_issued(world, browser):
    await owed(world, {**FIXED, "hold_days": 7})
    page = await browser.go(REWARDS)
    assert not page.has_button("Mark as issued")
    form = (await browser.go(page.link("Cancel"))).form("Cancel the reward")
    await browser.send(form, None, 409, decision="issued")
    await browser.send(form, None, 422, decision="perhaps")
    assert await states(world) == ["held"]
    await browser.send(form, "Cancel the reward")
    assert await states(world) == ["cancelled"]


async def test_a_persons_page_shows_their_rewards_and_marks_them_too(world, browser):
    fred, rita = await owed(world)
    page = await browser.go(f"/console/a/acme/people/{rita}")
    assert "50.00" in page.text
    assert page.link("Fred Friend") == f"/console/a/acme/people/{fred}"
    page = await browser.go(f"/console/a/acme/people/{fred}")
    page = await browser.press("Mark as issued")
    assert page.path == f"/console/a/acme/people/{fred}"
    assert "The reward counts as issued." in page.text
    assert await states(world) == ["issued"]


async def test_a_referrer_of_many_is_shown_the_newest_and_where_the_others_are(world, browser):
    await world.campaign(rewards=[FIXED])
    await world.signup(role="referrer", person={"email": "rita@example.com", "first_name": "Rita"})
    for index in range(11):
        person = {"email": f"friend{index}@example.com", "first_name": f"Friend{index}"}
        fred = (await world.signup(person=person, referrer={"email": "rita@example.com"}))["person"]
        await world.call("POST", f"/v1/accounts/acme/people/{fred}/qualification", {"qualified": True})
    rita = (await world.person(fred))["referrer"]
    page = await browser.go(f"/console/a/acme/people/{rita}")
    assert ("Friend10" in page.text, "Friend0" in page.text) == (True, False)
    page = await browser.go(page.link("All rewards of this person"))
    assert "Friend0" in page.text


async def test_a_reward_of_another_account_is_not_there(world, browser):
    await owed(world)
    page = await browser.go(REWARDS)
    form = page.form("Mark as issued")
    await world.account("bravo")
    other = Browser(world.app)
    await other.go((await world.call("POST", "/v1/accounts/bravo/sessions"))["url"])
    await other.press("Open the console")
    reward = form.action.split("/")[-1]
    await other.go(f"/console/a/bravo/rewards/{reward}", expect=404)
    own = (await other.go("/console/a/bravo/people")).form("Sign out").value("csrf")
    for account in ("acme", "bravo"):
        form.fields = [(name, own if name == "csrf" else value) for name, value in form.fields]
        form.action = f"/console/a/{account}/rewards/{reward}"
        await other.send(form, "Mark as issued", 404)
    assert await states(world) == ["due"]
    await other.close()


async def test_an_operator_marks_rewards_of_an_account(world):
    await owed(world)
    operator = Browser(world.app)
    await operator.go("/console/sign-in")
    await operator.press("Sign in", secret__key=HOST_KEY)
    await operator.go(REWARDS)
    page = await operator.press("Mark as issued")
    assert "The reward counts as issued." in page.text
    await operator.close()


@pytest.mark.parametrize("query", ["state=odd", "cursor=odd", "referrer=..", "state=due&cursor="])
async def test_filters_of_rewards_that_mean_nothing_show_a_page_all_the_same(world, browser, query):
    await owed(world)
    await browser.go(f"{REWARDS}?{query}")
