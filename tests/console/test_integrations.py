"""Settings → Integrations from the manifest alone: staged connecting, switching, disconnecting, and what goes wrong."""

import re
from datetime import timedelta

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


async def press_raw(browser, form, **headers):
    """Send a form and return the first answer, without following it."""
    said = {"sec-fetch-site": "same-origin", "sec-fetch-dest": browser.dest, **headers}
    return await browser.client.post(form.action, data=dict(form.fields), headers=said)


def state_in(answer):
    return answer.headers["location"].partition("state=")[2].partition("&")[0]


async def come_back(browser, answer, **more):
    """Come back from the vendor to which an answer led."""
    return await browser.client.get(
        "/v1/oauth/toy/callback", params={"code": "good", "state": state_in(answer), **more}
    )


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


# --- an authorisation belongs to the browser that began it ---------------------------------------------------


def proofs(browser):
    return [name for name in browser.client.cookies if "gateway_oauth_" in name]


async def everything(gateway):
    return [await gateway.call("GET", f"/v1/accounts/{account}/connections") for account in ("acme", "bravo")]


async def test_an_authorisation_that_comes_back_in_another_browser_is_refused_and_changes_nothing(
    gateway, browser, new_browser
):
    answer = await begin_toy(browser)
    before, victim = await everything(gateway), await opened(gateway, new_browser(), "bravo")
    for query in ({}, {"error": "denied"}):
        page = await come_back(victim, answer, **query)
        assert page.status_code == 400
        assert "begun in another browser" in page.text
        assert "Nothing was changed." in page.text
    assert (await everything(gateway), gateway.vendor.calls) == (before, [])
    await come_back(browser, answer)  # whom it belongs to goes on
    assert (await everything(gateway))[0]["data"][0]["state"] == "active"


async def test_a_browser_keeps_the_proof_of_an_authorisation_until_it_is_back(gateway, browser):
    answer = await begin_toy(browser)
    assert re.fullmatch(
        r"__Host-gateway_oauth_[0-9a-f]{16}=[\w-]{43}; Max-Age=900; Path=/; HttpOnly; Secure; SameSite=Lax",
        answer.headers["set-cookie"],
    )
    proof = answer.headers["set-cookie"].partition("=")[2].partition(";")[0]
    assert proof not in answer.headers["location"]
    other = await begin_toy(browser)  # in a second window
    assert len(proofs(browser)) == 2
    back = await come_back(browser, other)
    assert "Max-Age=0" in back.headers["set-cookie"]
    assert "state=active" in back.headers["location"]
    assert len(proofs(browser)) == 1


async def test_two_windows_of_one_browser_that_authorise_do_not_end_each_others_way(gateway, browser):
    first, _ = await begin_toy(browser), await begin_toy(browser)
    back = await come_back(browser, first)
    assert "state=active" in back.headers["location"]


@pytest.mark.parametrize("proof", ["", "A" * 43, "é", "__Host-"])
async def test_a_proof_that_is_not_the_states_own_opens_nothing(gateway, browser, new_browser, proof):
    answer = await begin_toy(browser)
    (name,) = proofs(browser)
    cookie = f"{name}={proof}".encode()
    page = await new_browser().client.get(
        "/v1/oauth/toy/callback", params={"code": "good", "state": state_in(answer)}, headers={"cookie": cookie}
    )
    assert page.status_code == 400
    assert gateway.vendor.calls == []


async def test_authorising_again_is_bound_to_the_browser_too(gateway, browser, new_browser):
    connection = await gateway.connect("acme")
    page = await browser.go(f"/console/a/acme/settings/connections/{connection}")
    answer = await press_raw(browser, page.form("Authorise again"))
    assert (await come_back(new_browser(), answer)).status_code == 400
    assert (await come_back(browser, answer)).status_code == 303


async def test_what_the_host_began_by_the_api_comes_back_in_any_browser(gateway, browser):
    started = await gateway.begin()
    back = await gateway.back(started)
    assert back.status_code == 200
    assert "set-cookie" not in back.headers


async def test_only_a_page_of_ours_gives_a_window_the_proof_of_its_browser(gateway, new_browser):
    frame = await opened(gateway, new_browser(dest="iframe"))
    page = await frame.go(SETTINGS)
    form = next(one for one in page.forms if one.action.endswith("/toy/connect"))
    form = (await frame.send(form, "Connect")).form("Continue to Toy")
    for site in ("cross-site", "same-site", "none"):
        refused = await press_raw(new_browser(), form, **{"sec-fetch-site": site})
        assert refused.status_code == 403
        assert "set-cookie" not in refused.headers
    assert (await new_browser().client.get("/console/leave")).status_code == 405
    for name, wrong, status in (
        ("browser", "x; Domain=test", 422), ("integration", "form", 409), ("integration", "nothing", 404),
    ):  # fmt: skip
        fields = [(key, wrong if key == name else value) for key, value in form.fields]
        answer = await new_browser().client.post(
            form.action, data=dict(fields), headers={"sec-fetch-site": "same-origin"}
        )
        assert (answer.status_code, "set-cookie" in answer.headers) == (status, False)


async def test_in_a_frame_the_vendor_opens_in_a_window_of_its_own(gateway, new_browser):
    frame = await opened(gateway, new_browser(dest="iframe"))
    page = await frame.go(SETTINGS)
    form = next(one for one in page.forms if one.action.endswith("/toy/connect"))
    page = await frame.send(form, "Connect")
    assert page.form("Continue to Toy").target == "_blank"
    poll = page.answer.text.partition('hx-get="')[2].partition('"')[0].replace("&amp;", "&")
    assert (await frame.client.get(poll)).status_code == 204
    window = new_browser()  # a frame's cookies are not those of the window
    back = await come_back(window, await press_raw(window, page.form("Continue to Toy")))
    assert "/console/connected?" in back.headers["location"]
    learnt = await frame.client.get(poll)
    assert learnt.headers["hx-redirect"] == f"{SETTINGS}?said=connected"


async def test_another_accounts_connection_is_not_there(gateway, browser):
    theirs = await gateway.connect("bravo")
    for path in ("", "/disconnect", "/state"):
        await browser.go(f"/console/a/acme/settings/connections/{theirs}{path}", expect=404)
    await browser.go(f"/console/a/bravo/settings/connections/{theirs}", expect=404)


async def test_an_install_from_the_marketplace_is_claimed_by_a_click_or_its_code(gateway, browser, new_browser):
    cookie = (await install(browser)).headers["set-cookie"]
    assert re.fullmatch(r"__Host-gateway_claim=[\w-]{43}; Max-Age=3600; Path=/; HttpOnly; Secure; SameSite=Lax", cookie)
    gateway.clock.advance(timedelta(minutes=12))
    shown = await browser.go(SETTINGS)
    assert "Acme Inc was installed from the marketplace in this browser, 12 minutes ago." in shown.text
    connected = await browser.press("Connect it to this account")
    assert "Connected as Acme Inc" in connected.text
    assert "__Host-gateway_claim" not in browser.client.cookies
    other = await opened(gateway, new_browser(), "bravo")
    gateway.vendor.company, gateway.vendor.name = "c2", "Bravo Ltd"
    answer = await install(new_browser())
    code = answer.text.partition("<p class=code>")[2].partition("<")[0]
    await other.go("/console/a/bravo/settings/integrations")
    assert "was installed from the marketplace" not in other.page.text
    form = next(one for one in other.page.forms if "code" in dict(one.fields))
    assert "Connected as Bravo Ltd" in (await other.send(form, "Connect it to this account", code=code.lower())).text


async def install(browser):
    """Come from the vendor's marketplace, without a state."""
    answer = await browser.client.get("/v1/oauth/toy/callback", params={"code": "good"})
    assert answer.status_code == 200
    return answer


async def test_an_install_that_is_not_mine_is_dismissed_and_then_ends_by_itself(gateway, browser):
    await install(browser)
    await browser.go(SETTINGS)
    page = await browser.press("It is not mine")
    assert "no longer offered here" in page.text
    assert not page.has_button("It is not mine")
    assert "__Host-gateway_claim" not in browser.client.cookies
    assert (await gateway.call("GET", "/v1/accounts/acme/connections"))["data"] == []
    gateway.clock.advance(timedelta(minutes=66))
    await gateway.worker.drain()
    assert gateway.vendor.revoked


@pytest.mark.parametrize("trouble", ["foreign", "too old", "claimed"])
async def test_a_cookie_of_no_install_that_waits_shows_nothing(gateway, browser, trouble):
    await install(browser)
    cookie = browser.client.cookies["__Host-gateway_claim"]
    if trouble == "claimed":
        await browser.go(SETTINGS)
        await browser.press("Connect it to this account")
    elif trouble == "too old":
        gateway.clock.advance(timedelta(minutes=61))
        await opened(gateway, browser)
    browser.client.cookies.set("__Host-gateway_claim", "x" * 43 if trouble == "foreign" else cookie, "gateway.test")
    page = await browser.go(SETTINGS)
    assert page.status == 200
    assert "was installed from the marketplace" not in page.text


async def test_an_install_that_took_the_place_of_the_one_that_was_shown_is_not_claimed(gateway, browser):
    await install(browser)
    await browser.go(SETTINGS)
    gateway.vendor.company, gateway.vendor.name = "c2", "Somebody Else"
    await install(browser)  # in another window, perhaps by a link that somebody sent
    await browser.press("Connect it to this account", expect=404)
    assert (await gateway.call("GET", "/v1/accounts/acme/connections"))["data"] == []
    assert "Somebody Else was installed" in (await browser.go(SETTINGS)).text


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
