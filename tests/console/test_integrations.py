"""Settings → Integrations from the manifest alone: staged connecting, switching, disconnecting, and what goes wrong."""

import msgspec
import pytest

from .browsing import HOST_KEY
from .conftest import opened

SETTINGS = "/console/a/acme/settings/integrations"


@pytest.fixture
async def operator(gateway, new_browser):
    browser = new_browser()
    await browser.go("/console/sign-in")
    await browser.press("Sign in", secret__key=HOST_KEY)
    return browser


async def begin_form(browser):
    """Connect the toy that asks for a tenant, waits for approval, then asks for credentials."""
    page = await browser.go(SETTINGS)
    form = next(one for one in page.forms if one.action.endswith("/form/connect"))
    return await browser.send(form, "Connect")


async def begin_toy(browser):
    page = await browser.go(SETTINGS)
    form = next(one for one in page.forms if one.action.endswith("/toy/connect"))
    headers = {"sec-fetch-site": "same-origin", "sec-fetch-dest": browser.dest}
    return await browser.client.post(form.action, data=dict(form.fields), headers=headers)


async def test_a_staged_connection_goes_from_connect_over_pending_to_finalise(gateway, browser, operator):
    page = await begin_form(browser)
    assert "Tenant id" in page.text
    page = await browser.press("Authorize", plain__tenant="77")
    assert "The connection waits for approval" in page.text
    page = await browser.go(SETTINGS)
    assert page.link("Pending").startswith("/console/a/acme/settings/connections/con_")
    assert "Waiting for approval since" in page.text
    assert "support@referrals.example" in page.text

    waiting = await operator.go("/console/accounts")
    assert "Waiting for your approval" in waiting.text
    await operator.press("Approve")
    assert "Approved." in operator.page.text

    page = await browser.go(SETTINGS)
    await browser.go(page.link("Finalise"))
    page = await browser.press("Authorize", plain__client_id="cid", secret__client_secret="very-secret-value")
    assert "Connected. Now set up your campaigns." in page.text
    assert "Connected as Tenant 77" in page.text


async def test_an_account_cannot_approve_itself(gateway, browser):
    await begin_form(browser)
    await browser.press("Authorize", plain__tenant="77")
    page = await browser.go(SETTINGS)
    assert not page.has_button("Approve")
    connection = (await gateway.call("GET", "/v1/accounts/acme/connections"))["data"][0]["id"]
    form = browser.page.form("Cancel")
    form.action = f"/console/a/acme/settings/connections/{connection}/approve"
    await browser.send(form, None, expect=403)


async def test_a_wrong_value_is_told_beside_its_field_and_kept(gateway, browser):
    await begin_form(browser)
    page = await browser.press("Authorize", plain__tenant="seventy", expect=422)
    assert "Tenant id does not look right. Digits only." in page.text
    assert page.form("Authorize").value("plain.tenant") == "seventy"
    assert 'aria-invalid="true" aria-describedby="step-tenant-problem"' in page.answer.text


async def test_refused_credentials_are_told_and_secrets_are_not_sent_back(gateway, browser):
    await begin_form(browser)
    await browser.press("Authorize", plain__tenant="77")
    connection = (await gateway.call("GET", "/v1/accounts/acme/connections"))["data"][0]["id"]
    await gateway.call("POST", f"/v1/connections/{connection}/approve")
    page = await browser.go(f"/console/a/acme/settings/connections/{connection}")
    page = await browser.press("Authorize", plain__client_id="cid", secret__client_secret="guessed", expect=422)
    assert "The vendor refused" in page.text or "refused" in page.text
    assert page.form("Authorize").value("plain.client_id") == "cid"
    assert "guessed" not in page.answer.text


async def test_a_vendor_that_is_down_is_told_and_what_was_typed_is_kept(gateway, browser):
    await begin_form(browser)
    await browser.press("Authorize", plain__tenant="77")
    connection = (await gateway.call("GET", "/v1/accounts/acme/connections"))["data"][0]["id"]
    await gateway.call("POST", f"/v1/connections/{connection}/approve")
    await browser.go(f"/console/a/acme/settings/connections/{connection}")
    gateway.vendor.down = True
    page = await browser.press("Authorize", plain__client_id="cid", secret__client_secret="x", expect=422)
    assert page.form("Authorize").value("plain.client_id") == "cid"
    assert "notice bad" in page.answer.text


async def test_the_back_button_after_a_step_says_that_it_was_done(gateway, browser):
    form_page = await begin_form(browser)
    await browser.press("Authorize", plain__tenant="77")
    browser.page = form_page
    page = await browser.press("Authorize", plain__tenant="77")
    assert "That was done already." in page.text
    assert "Waiting for approval since" in page.text


async def test_a_double_click_on_connect_begins_one_connection(gateway, browser):
    await begin_toy(browser)
    await begin_toy(browser)
    assert len((await gateway.call("GET", "/v1/accounts/acme/connections"))["data"]) == 1


async def test_connecting_leads_to_the_vendor_and_back_to_the_page(gateway, browser):
    answer = await begin_toy(browser)
    assert answer.headers["location"].startswith("https://login.toy.test/authorize?")
    state = answer.headers["location"].partition("state=")[2].partition("&")[0]
    back = await browser.client.get("/v1/oauth/toy/callback", params={"code": "good", "state": state})
    page = await browser.go(back.headers["location"])
    assert "Connected. Now set up your campaigns." in page.text
    assert "Connected as Acme Inc" in page.text


async def test_a_denied_authorisation_says_that_nothing_was_connected(gateway, browser):
    answer = await begin_toy(browser)
    state = answer.headers["location"].partition("state=")[2].partition("&")[0]
    back = await browser.client.get("/v1/oauth/toy/callback", params={"error": "denied", "state": state})
    page = await browser.go(back.headers["location"])
    assert "The authorisation was denied" in page.text
    assert page.has_button("Connect")


async def test_one_crm_at_a_time_and_the_switch_is_offered_and_explained(gateway, browser):
    await gateway.connect("acme")
    page = await browser.go(SETTINGS)
    page = await browser.go(page.link("Connect"))
    assert "One CRM can be connected at a time, and Toy is (Connected)." in page.text
    page = await browser.press("Disconnect Toy and connect Form")
    assert "Tenant id" in page.text
    states = {
        one["integration"]: one["state"] for one in (await gateway.call("GET", "/v1/accounts/acme/connections"))["data"]
    }
    assert states == {"toy": "disconnected", "form": "awaiting_authorisation"}


async def test_disconnecting_says_what_it_means_and_shows_a_receipt(gateway, browser):
    await gateway.connect("acme")
    page = await browser.go(SETTINGS)
    page = await browser.go(page.link("Disconnect"))
    assert "nothing flows between Toy and your referral campaigns" in page.text
    page = await browser.press("Disconnect")
    assert "Toy is disconnected" in page.text
    assert "Two webhooks." in page.text
    again = await browser.go(browser.page.link("Integrations"))
    assert again.has_button("Connect")


async def test_a_connection_that_needs_reauthorisation_offers_to_reconnect(gateway, browser):
    connection = await gateway.connect("acme")
    gateway.vendor.dead.update(gateway.vendor.access_tokens)
    gateway.vendor.refresh_tokens.clear()
    from gateway.flows.connections.reauth import mark_needs_reauth
    from gateway.storage import connections

    async def mark(conn):
        await mark_needs_reauth(conn, await connections.get(conn, connection), "refused", gateway.clock.now())

    await gateway.services.database.writer.run(mark)
    page = await browser.go(SETTINGS)
    assert "The CRM refuses our access." in page.text
    form = page.form("Reconnect")
    headers = {"sec-fetch-site": "same-origin", "sec-fetch-dest": "document"}
    answer = await browser.client.post(form.action, data=dict(form.fields), headers=headers)
    assert answer.headers["location"].startswith("https://login.toy.test/authorize")


async def test_in_a_frame_the_vendor_opens_in_a_window_of_its_own(gateway, new_browser):
    frame = await opened(gateway, new_browser(dest="iframe"))
    page = await frame.go(SETTINGS)
    form = next(one for one in page.forms if one.action.endswith("/toy/connect"))
    page = await frame.send(form, "Connect")
    assert 'target="_blank" rel="noopener noreferrer">Continue to Toy<' in page.answer.text
    poll = page.answer.text.partition('hx-get="')[2].partition('"')[0].replace("&amp;", "&")
    assert (await frame.client.get(poll)).status_code == 204
    state = page.link("Continue to Toy").partition("state=")[2].partition("&")[0]
    back = await frame.client.get("/v1/oauth/toy/callback", params={"code": "good", "state": state})
    assert "/console/connected?" in back.headers["location"]
    learnt = await frame.client.get(poll)
    assert learnt.headers["hx-redirect"] == f"{SETTINGS}?said=connected"


async def test_another_accounts_connection_is_not_there(gateway, browser):
    theirs = await gateway.connect("bravo")
    for path in ("", "/disconnect", "/state"):
        await browser.go(f"/console/a/acme/settings/connections/{theirs}{path}", expect=404)
    await browser.go(f"/console/a/bravo/settings/connections/{theirs}", expect=404)


async def test_an_install_from_the_marketplace_is_claimed_by_a_click_or_its_code(gateway, browser, new_browser):
    page = await browser.client.get("/v1/oauth/toy/callback", params={"code": "good"})
    assert page.status_code == 200
    shown = await browser.go(SETTINGS)
    assert "waits for its account in this browser" in shown.text
    connected = await browser.press("Connect it to this account")
    assert "Connected as Acme Inc" in connected.text


async def test_a_logo_is_a_picture_that_can_do_nothing(gateway, browser):
    answer = await browser.client.get("/console/logo/toy")
    assert answer.headers["content-type"].startswith("image/svg+xml")
    assert "sandbox" in answer.headers["content-security-policy"]
    assert (await browser.client.get("/console/logo/nothing")).status_code == 404


# --- a switch that cannot be made ----------------------------------------------------------------------


async def pages_of_switch(gateway, browser, key):
    """Return the page that asks, with the form turned to another integration."""
    page = await browser.go(f"{SETTINGS}/form/switch")
    form = page.form("Disconnect Toy and connect Form")
    form.action = f"{SETTINGS}/{key}/switch"
    return form


@pytest.mark.parametrize(("trouble", "status"), [("unknown", 404), ("automation", 409), ("not set up", 409)])
async def test_a_switch_to_what_cannot_be_connected_leaves_the_crm_connected(gateway, browser, trouble, status):
    connection = await gateway.connect("acme")
    key = "nothing" if trouble == "unknown" else "form"
    form = await pages_of_switch(gateway, browser, key)
    toy = gateway.services.integrations.get("form")
    if trouble == "automation":
        toy.manifest = msgspec.structs.replace(toy.manifest, category="automation")
    elif trouble == "not set up":
        toy.settings_error = "GATEWAY_FORM_KEY is not set"
    await browser.send(form, form.buttons[0][0], status)
    assert (await gateway.connection(connection))["state"] == "active"
    await browser.go(f"{SETTINGS}/{key}/switch", expect=status)


async def test_a_switch_of_a_page_that_spoke_of_another_connection_does_nothing(gateway, browser):
    await gateway.connect("acme")
    form = await pages_of_switch(gateway, browser, "form")
    await gateway.call("DELETE", f"/v1/connections/{form.value('connection')}")
    again = await gateway.connect("acme")
    page = await browser.send(form, form.buttons[0][0])
    assert "That was done already." in page.text
    assert (await gateway.connection(again))["state"] == "active"
