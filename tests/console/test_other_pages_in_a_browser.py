"""Pages that no guide walks through, in a real browser: everybody can use them, and what was typed on them is kept."""

from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import expect

from .browsing import HOST_KEY
from .live import live
from .scenes import FRED, connect, follow, opened, press

SETUP = "/console/a/acme/campaigns/spring/setups/referred"


@pytest.fixture
async def world(tmp_path: Path, sqlite_template: Path):
    (tmp_path / "gateway.db").write_bytes(sqlite_template.read_bytes())
    # nobody calls the other CRM: it is there to be switched to
    async with live(tmp_path, more={"GATEWAY_SERVICETITAN_APP_KEY": "app-key"}) as world:
        await world.account()
        await world.campaign()
        yield world


async def fits(window: Any) -> None:
    """Everybody can use the page that is shown, by day and by night."""
    for scheme in ("dark", "light"):  # without motion: colours that are on their way would be looked at
        await window.page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
        await window.fits_everybody()


async def test_pages_before_and_after_a_session_fit_everybody(world: Any, new_window: Any):
    window = await new_window()
    page = window.page
    await page.goto(await world.link())
    await fits(window)
    await press(page, "Open the console")
    await page.wait_for_url("**/campaigns")
    await page.goto(f"{world.url}/console/a/other/campaigns")
    await expect(page.get_by_text("There is no account 'other' here.")).to_be_visible()
    await fits(window)
    for state in ("active", "awaiting_credentials"):
        await page.goto(f"{world.url}/console/connected?state={state}")
        await fits(window)
    await page.goto(f"{world.url}/console/connected?problem=authorisation_denied")
    await fits(window)
    await page.goto(f"{world.url}/console/open?link=used")
    await press(page, "Open the console")
    await expect(page.get_by_text("This link opens nothing any more")).to_be_visible()
    await fits(window)
    await page.goto(f"{world.url}/console/a/acme/campaigns")
    await press(page, "Sign out")
    await expect(page.get_by_text("You are signed out")).to_be_visible()
    await fits(window)
    await page.goto(f"{world.url}/console/a/acme/campaigns")
    await expect(page.get_by_text("Your session has ended")).to_be_visible()
    await fits(window)


async def test_operators_pages_fit_everybody(world: Any, new_window: Any):
    window = await new_window()
    page = window.page
    await page.goto(f"{world.url}/console/sign-in")
    await fits(window)
    await page.get_by_label("Host key").fill("x" * 40)
    await press(page, "Sign in")
    await expect(page.get_by_text("This is no host key")).to_be_visible()
    await fits(window)
    await page.get_by_label("Host key").fill(HOST_KEY)
    await press(page, "Sign in")
    await page.wait_for_url("**/accounts")
    await fits(window)
    await follow(page, "Endpoints")
    await fits(window)
    await page.get_by_label("URL").fill("ftp://odd.example")
    await page.get_by_label("Account, or empty for all").fill("nobody")
    await page.get_by_text("Only some events").click()
    await press(page, "Add")
    await expect(page.locator("#url-problem")).to_be_visible()
    await fits(window)
    await page.get_by_label("URL").fill(f"{world.site_url}/webhooks")
    await page.get_by_label("Account, or empty for all").fill("acme")
    await press(page, "Add")
    await expect(page.get_by_text("Copy it now")).to_be_visible()
    await fits(window)
    await follow(page, "Go on")
    await fits(window)
    await press(page, "Send a test event")
    await expect(page.get_by_text("The test event was not delivered")).to_be_visible()
    await fits(window)
    await press(page, "Rotate the secret")
    await expect(page.get_by_text("The new secret")).to_be_visible()
    await fits(window)


async def test_pages_of_connecting_fit_everybody(world: Any, new_window: Any):
    window = await new_window()
    page = await opened(world, window)
    await page.set_extra_http_headers({"gateway-framed": "true"})  # as if in a frame: axe looks at the page alone
    await follow(page, "Settings")
    await connect(page)
    await expect(page.get_by_role("button", name="Continue to Pipedrive")).to_be_visible()
    await fits(window)
    await page.set_extra_http_headers({})
    await world.call("DELETE", f"/v1/connections/{await mine(world)}")
    await world.connected()
    await page.goto(f"{world.url}/console/a/acme/settings/connections/{await mine(world)}")
    await fits(window)
    await page.goto(f"{world.url}/console/a/acme/settings/integrations/servicetitan/switch")
    await expect(page.get_by_text("Keep Pipedrive")).to_be_visible()
    await fits(window)
    await follow(page, "Settings")
    await connect(page, "Zapier")
    await expect(page.get_by_text("It is shown this once.")).to_be_visible()
    await fits(window)
    await follow(page, "Integrations")
    await page.get_by_role("region", name="Zapier").get_by_role("link", name="Details").click()
    await expect(page.get_by_role("button", name="Revoke the key that begins with gwk_")).to_be_visible()
    await fits(window)
    await page.goto(f"{world.url}/v1/oauth/pipedrive/callback?code=x&state=never-was")
    await expect(page.get_by_text("Nothing was connected")).to_be_visible()
    await fits(window)


async def mine(world: Any) -> str:
    return str((await world.call("GET", "/v1/accounts/acme/connections"))["data"][0]["id"])


async def test_forms_with_errors_and_pages_of_a_day_fit_everybody(world: Any, new_window: Any):
    window = await new_window()
    await world.connected()
    page = await opened(world, window)
    await page.goto(f"{world.url}{SETUP}")
    await page.get_by_role("radio", name="Contact only", exact=True).check()
    await press(page, "Save")
    await expect(page.get_by_text("Not saved yet")).to_be_visible()
    await fits(window)
    await page.goto(f"{world.url}/console/a/acme/campaigns/spring/rewards")
    await page.get_by_label("Kind").first.select_option(label="A share of the sale value")
    await page.get_by_label("Percent, when a share").first.fill("much")
    await page.get_by_role("button", name="Save").first.click()
    await expect(page.get_by_text("Not saved yet")).to_be_visible()
    await fits(window)
    await page.goto(f"{world.url}/console/a/acme/campaigns/spring/sync")
    await press(page, "Next")
    await expect(page.get_by_text("Map the contact fields from Pipedrive")).to_be_visible()
    await page.get_by_label("First Name").select_option("")
    await press(page, "Next")
    await expect(page.get_by_text("Please mend what is marked.")).to_be_visible()
    await fits(window)
    await page.goto(f"{world.url}/console/a/acme/rewards")
    await fits(window)
    body = {"target": "lead", "use_suggested": True}
    await world.call("PUT", "/v1/accounts/acme/campaigns/spring/setups/referred", body)
    reward = {"kind": "fixed", "amount": "20", "currency": "EUR"}
    await world.campaign(rewards=[reward])
    rita = await world.signup(role="referrer", person={"email": "rita@referrer.test", "first_name": "Rita"})
    fred = await world.signup(
        role="referred", person={"email": FRED, "first_name": "Fred"}, referrer={"code": rita["code"]}
    )
    await world.call("POST", f"/v1/accounts/acme/people/{fred['id']}/qualification", {"qualified": True})
    await world.until("/v1/accounts/acme/rewards", lambda found: found["data"])
    await page.reload()
    await expect(page.get_by_role("table")).to_be_visible()
    await fits(window)
    await world.until(f"/v1/accounts/acme/people/{fred['id']}", lambda one: one["crm"] == "linked")
    await page.goto(f"{world.url}/console/a/acme/activity/deliveries")
    await page.get_by_role("link", name="Signup").first.click()
    await expect(page.get_by_text("Attempt 1")).to_be_visible()
    await fits(window)


async def test_a_choice_that_is_made_after_the_session_ended_is_kept(world: Any, new_window: Any):
    """By script: the page that takes the form's place keeps it, and says how to go on."""
    window = await new_window()
    await world.connected()
    page = await opened(world, window)
    await page.goto(f"{world.url}{SETUP}")
    await page.get_by_role("radio", name="Contact and lead", exact=True).check()
    await press(page, "Use the suggested mapping")
    await expect(page.get_by_label("Value for First Name")).to_have_value("person.first_name")
    await page.get_by_label("Value for Last Name").select_option("")
    other = await new_window(page.context)
    await other.page.goto(f"{world.url}/console/a/acme/people")
    await press(other.page, "Sign out")
    await expect(other.page.get_by_text("You are signed out")).to_be_visible()
    await page.get_by_role("radio", name="Contact only", exact=True).click()
    await expect(page.get_by_role("heading", name="Your session has ended")).to_be_visible()
    await expect(page.get_by_text("What you typed is kept on this page.")).to_be_visible()
    await fits(window)
    await opened(world, other)
    await press(page, "Send again")
    await expect(page.get_by_text("This page belongs to another session")).to_be_visible()
    await press(page, "Send again")
    await expect(page.get_by_role("radio", name="Contact only", exact=True)).to_be_checked()
    await expect(page.get_by_label("Value for First Name")).to_have_value("person.first_name")
    await expect(page.get_by_label("Value for Last Name")).to_have_value("")
