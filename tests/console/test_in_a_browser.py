"""The console in a real browser, against the sandbox of Pipedrive: the whole guide, and all the ways people use it."""

import asyncio
import re
import sqlite3
import statistics
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import expect

from .crowd import fill
from .live import live
from .scenes import FRED, Guide, connect, follow, opened, press, saved


@pytest.fixture
async def world(tmp_path: Path, sqlite_template: Path):
    (tmp_path / "gateway.db").write_bytes(sqlite_template.read_bytes())
    async with live(tmp_path) as world:
        await world.account()
        await world.campaign()
        yield world


# --- the guide ---------------------------------------------------------------------------------------------


async def test_the_whole_pipedrive_guide(world: Any, new_window: Any, record_property: Any):
    """Connect, set up, sync, sign up, change it in the CRM, reward, disconnect; each page by the words of the guide."""
    window = await new_window()
    page = await opened(world, window)
    guide = Guide(world, window, page)
    look = guide.look
    await look("campaigns")

    # 2. connect
    await follow(page, "Settings")
    await look("integrations")
    await connect(page)
    await press(page, "Allow and Install")
    await expect(page.get_by_text("Connected. Now set up your campaigns.")).to_be_visible()
    await world.until("/v1/accounts/acme/connections", lambda found: found["data"][0]["state"] == "active")
    await page.reload()
    await expect(page.get_by_text("Connected as")).to_be_visible()
    await look("connected")

    # 3.2 and 3.3: the person invited
    await follow(page, "Campaigns")
    await follow(page, "Edit Campaign")
    await follow(page, "Integration")
    await look("campaign")
    await follow(page, "Configure settings for the Person Invited")
    await page.get_by_role("radio", name="Contact and lead", exact=True).check()
    await page.get_by_label("Qualify when").select_option(
        label="A lead converts into a deal and the deal moves to a stage"
    )
    await page.locator('[id="parameter.pipeline"]').select_option(label="Sales")
    stage = page.locator('[id="parameter.stage"]')
    await expect(stage.locator("option", has_text="Demo")).to_be_attached()
    await stage.select_option(label="Demo")
    await press(page, "Save")
    await expect(page.get_by_text(re.compile("Not saved yet: 4 things"))).to_be_visible()
    await expect(page.get_by_text(re.compile("Map First Name of Contact"))).to_be_visible()
    await page.get_by_text("Map the data fields").scroll_into_view_if_needed()
    await page.get_by_label("Value for Title").scroll_into_view_if_needed()
    await look("setup-errors")
    await guide.suggested("First Name", "person.first_name")
    await page.get_by_label("Take the qualification back").check()
    await press(page, "Refresh")
    await page.get_by_label("Value for Title").scroll_into_view_if_needed()
    await look("setup")
    await press(page, "Preview")
    await expect(page.get_by_text("Preview for a sample person")).to_be_visible()
    await expect(page.get_by_text('"title": "Spring referrals"')).to_be_visible()
    await look("preview")
    await press(page, "Save")
    await expect(page.get_by_text("Saved.", exact=True)).to_be_visible()

    # 3.5 the sale value
    await guide.reward_a_share("10", "deal:value")
    await look("rewards")

    # 3.4 the person referring
    await guide.open_setup("Person Referring")
    await page.get_by_role("radio", name="Contact only", exact=True).check()
    await guide.suggested("First Name", "person.first_name")
    await press(page, "Save")
    await saved(page)

    # 3.1 sync contacts, by each of the three doors
    await guide.doors("Select whom you want to sync")
    await page.get_by_label("Saved filter", exact=True).select_option(label="Customers")
    await look("sync-whom")
    await press(page, "Next")
    await expect(page.get_by_text("Map the contact fields from Pipedrive")).to_be_visible()
    await look("sync-fields")
    await press(page, "Next")
    await expect(page.locator('[id="back.person.link"]')).not_to_have_value("")
    await look("sync-links")
    await press(page, "Next")
    await guide.start_ongoing()
    await follow(page, "Promote")
    await page.get_by_role("switch", name="Ongoing sync").click()
    await expect(page.get_by_text("The sync is not ongoing any more.")).to_be_visible()
    await look("promote")

    # somebody signs up, and becomes a customer in the CRM
    fred = await guide.friend()
    await follow(page, "Users")
    await look("users")
    hidden = await page.locator(".scroll").evaluate("one => one.scrollWidth - one.clientWidth")
    assert hidden <= 0, "on a desk each column is seen at once"
    await page.get_by_label("Search").fill("fred fri")
    await press(page, "Show")
    await expect(page.get_by_role("row")).to_have_count(2)
    await follow(page, "Fred Friend")
    await expect(page.get_by_text("Why not qualified yet")).to_be_visible()
    await look("person")
    lead = next(iter(world.sandbox.snapshot()["lead"]))
    deal = world.sandbox.convert_lead(lead.id)
    stages = world.sandbox.company().stages_of(world.sandbox.company().default_pipeline().id)
    world.sandbox.update_deal(deal.id, value=1200, currency="EUR")
    world.sandbox.move_deal(deal.id, stages[3].id)
    await guide.qualified(fred, "€1,200.00", "€120.00")
    await page.goto(f"{world.url}/console/a/acme/people/{fred}")
    await page.get_by_label("Reason").fill("Bought and sent back")
    await press(page, "Reverse")
    await expect(page.get_by_text("The qualification was taken back.")).to_be_visible()

    # activity
    await follow(page, "Activity")
    await expect(page.get_by_text("The ledger balances: nothing is lost.")).to_be_visible()
    await look("activity")
    await follow(page, "Deliveries")
    await look("deliveries")
    await page.get_by_role("link", name="Signup").first.click()
    await expect(page.get_by_text("Attempt 1")).to_be_visible()
    assert world.sandbox.client_secret not in await page.content()

    # 4. disconnect
    await guide.disconnect("Pipedrive")
    await follow(page, "Integrations")
    await expect(page.get_by_role("region", name="Pipedrive").get_by_role("button", name="Connect")).to_be_visible()
    await world.until("/v1/deliveries", lambda _: world.host.of_type("connection.disconnected"))
    await world.until("/v1/deliveries?state=waiting", lambda found: not found["data"])
    assert len(world.host.of_type("connection.disconnected")) == 1

    guide.is_light(record_property)


# --- other ways to use it ------------------------------------------------------------------------------------


async def test_all_of_it_can_be_done_with_the_keyboard(world: Any, new_window: Any):
    """From the link to a saved setup without a mouse: Tab, arrows, Space and Enter."""
    window = await new_window()
    page = window.page
    keys = page.keyboard

    async def tab_to(name: str, *, role: str | None = None, most: int = 80) -> None:
        for _ in range(most):
            await keys.press("Tab")
            found = await page.evaluate(
                "(() => { const one = document.activeElement; const style = getComputedStyle(one);"
                " return [one.getAttribute('aria-label') || one.labels?.[0]?.innerText || one.innerText || '',"
                " one.tagName, style.boxShadow !== 'none' || style.outlineStyle !== 'none']; })()"
            )
            if name in found[0] and (role is None or found[1] == role):
                assert found[2], f"{name}: the focus cannot be seen"
                return
        raise AssertionError(f"no {name} within {most} tabs on {page.url}")

    await page.goto(await world.link())
    await expect(page.locator("button:focus")).to_have_count(1)  # it gets the focus once the page is drawn
    await keys.press("Enter")
    await page.wait_for_url("**/campaigns")
    await tab_to("Skip to the content")
    await keys.press("Enter")
    await page.goto(page.url.partition("#")[0])
    await tab_to("Settings")
    await keys.press("Enter")
    await page.wait_for_url("**/integrations")
    await tab_to("Connect", role="BUTTON")
    await keys.press("Enter")
    await expect(page.get_by_role("button", name="Allow and Install")).to_be_visible()
    await page.get_by_role("button", name="Allow and Install").focus()
    await keys.press("Enter")
    await page.wait_for_url("**/integrations?*")
    await page.goto(f"{world.url}/console/a/acme/campaigns/spring/setups/referrer")
    await tab_to("Contact only", role="INPUT")
    await tab_to("Use the suggested mapping")
    await keys.press("Enter")
    await expect(page.get_by_label("Value for First Name")).to_have_value("person.first_name")
    await page.locator("body").focus()
    await tab_to("Save", role="BUTTON")
    await keys.press("Enter")
    await expect(page.get_by_text("Saved.", exact=True)).to_be_visible()
    await page.goto(f"{world.url}/console/a/acme/people")
    await tab_to("Add Users", role="SUMMARY")
    await keys.press("Enter")
    await tab_to("Sync Your CRM Contacts", role="A")
    await keys.press("Escape")
    await expect(page.get_by_role("link", name="Sync Your CRM Contacts")).to_be_hidden()


async def test_without_scripts_every_form_still_posts(world: Any, new_window: Any):
    window = await new_window(java_script_enabled=False)
    page = await opened(world, window)
    await follow(page, "Settings")
    await connect(page)
    await press(page, "Allow and Install")
    await page.goto(f"{world.url}/console/a/acme/campaigns/spring/setups/referred")
    await page.get_by_role("radio", name="Contact and deal", exact=True).check()
    await press(page, "Show the fields for these choices")
    await page.get_by_label("Qualify when").select_option(label="A deal is marked as won")
    await page.locator('[id="option.pipeline"]').select_option(label="Sales")
    await press(page, "Show the fields for these choices")
    await page.locator('[id="option.stage"]').select_option(label="Contacted")
    await press(page, "Use the suggested mapping")
    await press(page, "Save")
    await expect(page.get_by_text("Saved.", exact=True)).to_be_visible()
    setup = await world.call("GET", "/v1/accounts/acme/campaigns/spring/setups/referred")
    assert (setup["target"], setup["qualification"]["trigger"]) == ("deal", "deal_won")
    assert setup["target_options"].keys() == {"pipeline", "stage"}
    await follow(page, "Promote")
    await follow(page, "Generate referral links for your contacts by syncing them")
    for button in ("Next", "Next", "Next", "Start Sync"):
        await press(page, button)
    await expect(page.get_by_text("The sync has started.")).to_be_visible()


async def test_in_a_frame_of_another_site_connecting_opens_a_window_and_the_frame_learns_the_result(
    world: Any, new_window: Any
):
    window = await new_window()
    world.framed = await world.link()
    await window.page.goto(world.site_url)
    frame = window.page.frame_locator("iframe")
    await frame.get_by_role("button", name="Open the console").click()
    await frame.get_by_role("link", name="Settings", exact=True).click()
    await connect(frame)
    async with window.page.context.expect_page() as opened_page:
        await frame.get_by_role("button", name="Continue to Pipedrive").click()
    vendor = await opened_page.value
    await vendor.get_by_role("button", name="Allow and Install").click()
    await expect(vendor.get_by_text("You can close this window.")).to_be_visible()
    await vendor.close()
    await expect(frame.get_by_text("Connected as")).to_be_visible()
    cookies = await window.page.context.cookies()
    ours = next(one for one in cookies if one["name"].endswith("gateway_framed"))
    assert (ours["sameSite"], ours["secure"], ours["httpOnly"]) == ("None", True, True)
    assert ours.get("partitionKey"), "kept apart by the embedding site"
    assert not [one for one in cookies if one["name"].endswith("gateway_session")]


async def test_a_site_that_is_not_allowed_cannot_frame_it(world: Any, new_window: Any):
    window = await new_window()
    world.framed = await world.link()
    stranger = world.site_url.replace("localhost", "127.0.0.1")
    page = window.page
    await page.goto(f"{stranger}/")
    frame = page.frames[1]
    # without a refusal the frame has the page's own address, or none yet: the browser's own page of errors is its mark
    assert frame.url.startswith("chrome-error://"), frame.url
    assert any("frame-ancestors" in fault for fault in window.faults), window.faults
    window.faults.clear()  # the refusal itself is in the console
    window.foreign.clear()  # and the stranger was asked


async def test_what_is_chosen_in_the_moment_a_list_appears_counts(world: Any, new_window: Any):
    """A hand on the keyboard is not slower than a page: a list that can be seen must answer to a choice."""
    page = await opened(world, await new_window())
    await page.goto(f"{world.url}/console/a/acme/settings/integrations")
    await connect(page)
    await press(page, "Allow and Install")
    await expect(page.get_by_text("Connected as")).to_be_visible()
    await page.goto(f"{world.url}/console/a/acme/campaigns/spring/setups/referred")
    await page.get_by_role("radio", name="Contact and deal", exact=True).check()
    await expect(
        page.get_by_label("Qualify when").locator("option", has_text="A deal moves to a stage")
    ).to_be_attached()
    await page.evaluate(
        """() => new MutationObserver((_, observer) => {
            const pipeline = document.getElementById("parameter.pipeline");
            if (!pipeline) return;
            observer.disconnect();
            pipeline.selectedIndex = 1;
            pipeline.dispatchEvent(new Event("change", {bubbles: true}));
        }).observe(document.body, {childList: true, subtree: true})"""
    )
    await page.get_by_label("Qualify when").select_option(label="A deal moves to a stage")
    await expect(page.locator('[id="parameter.stage"]').locator("option", has_text="Demo")).to_be_attached(
        timeout=10000
    )


async def test_two_windows_and_a_stale_session(world: Any, new_window: Any):
    """What is done in one window shows in the other; what was typed when a session ended is kept."""
    first = await new_window()
    page = await opened(world, first)
    second = await new_window(page.context)
    other = second.page
    for one in (page, other):
        await one.goto(f"{world.url}/console/a/acme/settings/integrations")
    await connect(page)
    await press(page, "Allow and Install")
    await expect(page.get_by_text("Connected as")).to_be_visible()
    await connect(other)  # it is connected already: nothing is begun twice
    await expect(other.get_by_text("Connected as")).to_be_visible()
    assert len((await world.call("GET", "/v1/accounts/acme/connections"))["data"]) == 1

    await page.goto(f"{world.url}/console/a/acme/campaigns/spring/setups/referrer")
    await page.get_by_role("radio", name="Contact only", exact=True).check()
    await press(page, "Use the suggested mapping")
    await expect(page.get_by_label("Value for First Name")).to_have_value("person.first_name")
    await other.goto(f"{world.url}/console/a/acme/people")
    await press(other, "Sign out")
    await expect(other.get_by_text("You are signed out")).to_be_visible()
    await press(page, "Save")
    await expect(page.get_by_text("Your session has ended")).to_be_visible()
    await opened(world, second)
    await press(page, "Send again")
    await expect(page.get_by_text("This page belongs to another session")).to_be_visible()
    await press(page, "Send again")
    await expect(page.get_by_text("Saved.", exact=True)).to_be_visible()


async def test_on_a_phone_in_the_dark_nothing_overflows_and_all_can_be_read(world: Any, new_window: Any):
    window = await new_window(color_scheme="dark", is_mobile=True)
    await window.page.set_viewport_size({"width": 380, "height": 780})
    await world.connected()
    body = {"target": "lead", "use_suggested": True}
    await world.call("PUT", "/v1/accounts/acme/campaigns/spring/setups/referred", body)
    fred = await world.signup(role="referred", person={"email": FRED, "first_name": "Fred"})
    page = await opened(world, window)
    for path in (
        "campaigns", "campaigns/spring/integration", "campaigns/spring/setups/referred", "campaigns/spring/promote",
        "campaigns/spring/rewards", "campaigns/spring/sync", "people", f"people/{fred['id']}", "rewards", "activity",
        "activity/deliveries", "settings/integrations",
    ):  # fmt: skip
        await page.goto(f"{world.url}/console/a/acme/{path}")
        await window.fits_everybody()
        too_wide = await page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        assert too_wide <= 0, path
        beyond = await page.locator(".side ul").first.evaluate("one => one.scrollWidth - one.clientWidth")
        assert beyond <= 0, "all of the navigation is seen"
        if path == "activity":
            texts = page.locator(".chart:visible text")
            assert await texts.count() > 3
            heights = await texts.evaluate_all("all => all.map(one => one.getBoundingClientRect().height)")
            assert min(heights) > 9, "texts of the chart can be read"
            ends = (
                "all => all.map(one => one.ownerSVGElement.getBoundingClientRect().right"
                " - one.getBoundingClientRect().right)"
            )
            assert min(await texts.evaluate_all(ends)) > -1, "and to their ends"
            await page.locator(".chart:visible").scroll_into_view_if_needed()
            await page.get_by_text("As a table").scroll_into_view_if_needed()
        await window.shot(f"phone-{path.rpartition('/')[2] if 'per_' not in path else 'person'}")


MOST_STATEMENTS = {
    "campaigns": 7,
    "campaigns/spring/integration": 8,
    "campaigns/spring/setups/referred": 12,
    "campaigns/spring/promote": 9,
    "campaigns/spring/rewards": 13,
    "people": 7,
    "people?q=person+99": 8,
    "people?q=nobody+of+this+name": 6,
    "people?state=held": 6,
    "people?campaign=spring&role=referrer&state=linked": 8,
    "people/{person}": 17,
    "rewards": 5,
    "activity": 12,
    "activity/deliveries": 8,
    "settings/integrations": 7,
}
"""Statements with which each page of a full account reads at most: those of a first load, and two to spare."""


def filled(database: Path) -> str:
    with closing(sqlite3.connect(database, timeout=60)) as conn:
        return fill(conn, "acme", "spring", 100_000)


async def test_pages_with_a_hundred_thousand_people(world: Any, new_window: Any, tmp_path: Path, record_property: Any):
    """How long each page takes from request to first byte, in the log; a slow machine fails nothing.

    What makes a page slow for everybody fails: more statements than it needs, one for each row above all.
    """
    await world.connected()
    body = {"target": "lead", "use_suggested": True}
    await world.call("PUT", "/v1/accounts/acme/campaigns/spring/setups/referred", body)
    # in a thread: the gateway may be in a transaction of its own, and needs this loop to end it
    person = await asyncio.to_thread(filled, tmp_path / "gateway.db")
    window = await new_window()
    page = await opened(world, window)
    base = f"{world.url}/console/a/acme"
    all_times: list[float] = []
    numbers: dict[str, int] = {}
    for path in MOST_STATEMENTS:
        path = path.format(person=person)
        times = []
        for _ in range(8):
            await page.goto(f"{base}/{path}", wait_until="commit")
            await page.wait_for_load_state("load")
            times.append(await window.time_of_page())
        all_times += times[1:]
        shown = path.replace(person, "{person}")
        asked = world.statements.most[f"/console/a/acme/{path}"]
        record_property(f"page /{shown}", f"{statistics.median(times):.0f} ms, {len(asked)} statements")
        numbers[shown] = len(asked)
    assert all(numbers.values()), "every page reads something"
    too_many = {path: number for path, number in numbers.items() if number > MOST_STATEMENTS[path]}
    assert too_many == {}, "pages that read more often than before"
    p95 = statistics.quantiles(all_times, n=20)[-1]
    record_property("pages with 100,000 people, p95", f"{p95:.0f} ms")
