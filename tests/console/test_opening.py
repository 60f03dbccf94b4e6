"""Getting in: links that a click opens, sessions that slide and end, operators, frames, forged forms."""

import re
from datetime import timedelta

import pytest

from gateway.console import texts
from gateway.storage.writer import Overloaded

from .browsing import HOST_KEY
from .conftest import opened
from .translating import translate


async def link_for(gateway, account="acme"):
    return (await gateway.call("POST", f"/v1/accounts/{account}/sessions"))["url"]


def cookie_of(page_answer):
    return page_answer.headers["set-cookie"]


async def press_raw(browser, button, **values):
    """Press a button and return the first answer, without following it."""
    form = browser.page.form(button)
    data = dict(form.fields) | values
    headers = {"sec-fetch-site": "same-origin", "sec-fetch-dest": browser.dest}
    return await browser.client.post(form.action, data=data, headers=headers)


# --- links ---------------------------------------------------------------------------------------------


async def test_looking_at_a_link_uses_nothing_up_and_a_click_opens_it_once(gateway, new_browser):
    link = await link_for(gateway)
    preview = new_browser()
    for _ in range(3):
        await preview.go(link)
    mine, other = new_browser(), new_browser()
    await mine.go(link)
    await other.go(link)
    page = await mine.press("Open the console")
    assert page.path == "/console/a/acme/campaigns"
    refused = await other.press("Open the console", expect=401)
    assert "used already or is older than five minutes" in refused.text
    assert "open the integrations there again" in refused.text


async def test_a_link_names_the_account_that_it_opens_while_it_opens_it_and_nothing_else_of_it(gateway, new_browser):
    await gateway.call("PUT", "/v1/accounts/acme", {"name": "Acme <Roofing>", "currency": "EUR"})
    browser = new_browser()
    page = await browser.go(await link_for(gateway))
    assert "Open the console of Acme <Roofing>" in page.text
    assert "Acme &lt;Roofing&gt;" in page.answer.text
    assert {name for name, _ in page.forms[0].fields} == {"link"}
    assert "no-store" in page.answer.headers["cache-control"]
    link = f"{page.path}?{page.query}"
    await browser.press("Open the console")
    late = new_browser()
    page = await late.go(link)
    assert "Acme" not in page.answer.text, "a link that was used names nobody"
    old = await link_for(gateway)
    gateway.clock.advance(timedelta(minutes=5, seconds=1))
    for where in (old, "/console/open?link=guessed", "/console/open?link=%FF%ED%A0%80", "/console/open"):
        assert "Acme" not in (await late.go(where)).answer.text


async def test_a_link_is_explained_in_the_language_of_its_account(gateway, new_browser, tmp_path, monkeypatch):
    german = {"Open the console of %(account)s": "Die Konsole von %(account)s", "Open the console": "Los"}
    translate(tmp_path, "console", german)
    monkeypatch.setattr(texts, "HERE", tmp_path)
    await gateway.call("PUT", "/v1/accounts/acme", {"name": "Acme", "currency": "EUR", "locale": "de-AT"})
    page = await new_browser().go(await link_for(gateway))
    assert "Die Konsole von Acme" in page.text
    assert page.has_button("Los")


async def test_a_double_click_on_a_link_lands_where_the_first_click_did(gateway, new_browser):
    browser = new_browser()
    page = await browser.go(await link_for(gateway))
    await browser.press("Open the console")
    browser.page = page
    again = await browser.press("Open the console")
    assert again.path == "/console/a/acme/campaigns"


async def test_a_link_of_six_minutes_ago_opens_nothing(gateway, new_browser):
    browser = new_browser()
    await browser.go(await link_for(gateway))
    gateway.clock.advance(timedelta(minutes=5, seconds=1))
    await browser.press("Open the console", expect=401)


async def test_another_site_cannot_open_a_link_for_somebody(gateway, new_browser):
    browser = new_browser()
    await browser.go(await link_for(gateway))
    form = browser.page.form("Open the console")
    for headers in ({"sec-fetch-site": "cross-site"}, {"origin": "https://evil.example"}, {}):
        answer = await browser.client.post(form.action, data=dict(form.fields), headers=headers)
        assert answer.status_code == 403
    await browser.press("Open the console")


# --- cookies -------------------------------------------------------------------------------------------


async def test_outside_a_frame_the_cookie_is_lax_and_in_a_frame_partitioned(gateway, new_browser):
    outside, inside = new_browser(), new_browser(dest="iframe")
    await outside.go(await link_for(gateway))
    lax = cookie_of(await press_raw(outside, "Open the console"))
    assert re.fullmatch(
        r"__Host-gateway_session=gws_[\w-]{43}; Max-Age=28800; Path=/; HttpOnly; Secure; SameSite=Lax", lax
    )
    await inside.go(await link_for(gateway))
    framed = cookie_of(await press_raw(inside, "Open the console"))
    assert framed.startswith("__Host-gateway_framed=")
    assert framed.endswith("; Path=/; HttpOnly; Secure; SameSite=None; Partitioned")


async def test_every_page_is_guarded_by_its_headers(gateway, browser):
    page = await browser.go("/console/a/acme/campaigns")
    policy = page.answer.headers["content-security-policy"]
    assert "default-src 'none'; script-src 'self'; style-src 'self'" in policy
    assert "frame-ancestors https://console.example" in policy
    assert "form-action 'self' https://login.toy.test" in policy
    assert "unsafe" not in policy
    assert page.answer.headers["cache-control"] == "no-store"
    assert page.answer.headers["x-content-type-options"] == "nosniff"


async def test_pages_hold_no_script_and_no_style_of_their_own_and_name_no_other_host(gateway, browser):
    page = await browser.go("/console/a/acme/campaigns")
    assert not re.findall(r"<script(?![^>]*\bsrc=)|<style|\bstyle=|\bon\w+=", page.answer.text)
    assert not re.findall(r'(?:src|href|action)="(?!/|#|data:,)', page.answer.text)


async def test_files_are_served_for_ever_and_compressed(gateway, browser):
    page = await browser.go("/console/a/acme/campaigns")
    for path in re.findall(r'(?:src|href)="(/console/static/[^"]+)"', page.answer.text):
        answer = await browser.client.get(path)
        assert answer.status_code == 200
        assert "immutable" in answer.headers["cache-control"]
        assert answer.headers["content-encoding"] == "gzip"
    assert (await browser.client.get("/console/static/000000000000/console.css")).status_code == 404
    assert (await browser.client.get("/console/static/x/..%2f__init__.py")).status_code == 404


# --- sessions ------------------------------------------------------------------------------------------


async def test_a_session_slides_for_half_an_hour_and_ends_after_eight_hours(gateway, browser):
    for _ in range(19):
        gateway.clock.advance(timedelta(minutes=25))
        await browser.go("/console/a/acme/campaigns")
    gateway.clock.advance(timedelta(minutes=6))
    page = await browser.go("/console/a/acme/campaigns", expect=401)
    assert "Your session has ended" in page.text


async def test_another_accounts_pages_are_not_there(gateway, browser):
    page = await browser.go("/console/a/bravo/campaigns", expect=404)
    assert "There is no account 'bravo' here." in page.text


async def test_two_sessions_of_two_accounts_live_side_by_side_in_window_and_frame(gateway, new_browser):
    window = await opened(gateway, new_browser())
    frame = new_browser(dest="iframe")
    frame.client.cookies = window.client.cookies
    await opened(gateway, frame, "bravo")
    await frame.go("/console/a/bravo/campaigns")
    await window.go("/console/a/acme/campaigns")


async def test_signing_out_ends_the_session_everywhere(gateway, browser, new_browser):
    copy = new_browser()
    copy.client.cookies.update(browser.client.cookies)
    page = await browser.press("Sign out")
    assert "You are signed out" in page.text
    await copy.go("/console/a/acme/campaigns", expect=401)


async def test_what_was_typed_survives_a_session_that_ended(gateway, browser, new_browser):
    await browser.go("/console/a/acme/settings/integrations")
    gateway.clock.advance(timedelta(minutes=31))
    page = await browser.press("Connect", expect=401)
    assert "What you typed is kept on this page" in page.text
    second = await opened(gateway, new_browser())  # in another window of the same browser
    browser.client.cookies.update(second.client.cookies)
    changed = await browser.press("Send again", expect=409)
    assert "belongs to another session" in changed.text
    await browser.press("Send again")
    assert len((await gateway.call("GET", "/v1/accounts/acme/connections"))["data"]) == 1


@pytest.mark.parametrize("token", ["", "x", "A" * 88])
async def test_a_form_without_the_proof_of_its_session_does_nothing(gateway, browser, token):
    await browser.go("/console/a/acme/settings/integrations")
    await browser.press("Connect", expect=409, csrf=token)
    assert (await gateway.call("GET", "/v1/accounts/acme/connections"))["data"] == []


async def test_another_sites_form_does_nothing_even_with_the_proof(gateway, browser):
    await browser.go("/console/a/acme/settings/integrations")
    form = browser.page.form("Connect")
    answer = await browser.client.post(form.action, data=dict(form.fields), headers={"sec-fetch-site": "same-site"})
    assert answer.status_code == 403
    assert "Another site sent this form" in answer.text
    assert "Send again" not in answer.text


# --- operators -----------------------------------------------------------------------------------------


async def test_operators_sign_in_with_the_host_key_and_see_every_account(gateway, new_browser):
    browser = new_browser()
    await browser.go("/console/sign-in")
    page = await browser.press("Sign in", secret__key=HOST_KEY)
    assert page.path == "/console/accounts"
    assert {"acme", "bravo"} <= {href.rpartition("/")[2] for _, href in page.links}
    await browser.go("/console/a/bravo/campaigns")
    assert HOST_KEY not in str(browser.client.cookies)
    await browser.press("Sign out")
    await browser.go("/console/accounts", expect=401)


async def test_wrong_host_keys_are_refused_and_then_slowed_down(gateway, new_browser):
    browser = new_browser()
    await browser.go("/console/sign-in")
    for _ in range(5):
        page = await browser.press("Sign in", secret__key="x" * 40, expect=401)
        assert "no host key" in page.text
    page = await browser.press("Sign in", secret__key="x" * 40, expect=429)
    assert "Wait" in page.text
    other = new_browser()
    await other.go("/console/sign-in")
    await other.press("Sign in", secret__key=HOST_KEY)  # nobody locks operators out by sending wrong keys
    gateway.clock.advance(timedelta(minutes=1, seconds=1))
    await browser.press("Sign in", secret__key="x" * 40, expect=401)


async def test_an_accounts_session_sees_no_operators_page(gateway, browser):
    await browser.go("/console/accounts", expect=403)
    await browser.go("/console/endpoints", expect=403)


async def test_a_path_that_is_none_says_so(gateway, browser):
    page = await browser.go("/console/nowhere/at/all", expect=404)
    assert "There is no such page" in page.text


# --- several sessions in one browser -------------------------------------------------------------------


async def signed_in(browser):
    await browser.go("/console/sign-in")
    await browser.press("Sign in", secret__key=HOST_KEY)
    return browser


@pytest.fixture
async def both(gateway, new_browser):
    """A browser with a session of ``acme`` and, beside it, an operator's."""
    return await signed_in(await opened(gateway, new_browser()))


async def test_an_operator_signs_out_of_the_operators_session_and_of_no_other(gateway, both):
    await both.go("/console/accounts")
    page = await both.press("Sign out")
    assert page.has_button("Sign out") is False
    await both.go("/console/accounts", expect=403)  # the account's session goes on
    await both.go("/console/a/acme/campaigns")


async def test_a_page_of_an_account_signs_out_of_its_own_session(gateway, both):
    await both.go("/console/a/acme/campaigns")
    await both.press("Sign out")
    await both.go("/console/accounts")


@pytest.mark.parametrize("token", ["", "A" * 88])
async def test_signing_out_takes_the_proof_of_the_session(gateway, browser, token):
    await browser.go("/console/a/acme/campaigns")
    await browser.press("Sign out", expect=409, csrf=token)
    await browser.press("Send again")
    await browser.go("/console/a/acme/campaigns", expect=401)


async def test_an_operator_with_an_accounts_session_beside_it_can_approve(gateway, both):
    started = await gateway.begin(integration="form")
    await gateway.call("POST", f"/v1/connections/{started['id']}/steps/tenant", {"values": {"tenant": "77"}})
    await both.go("/console/accounts")
    page = await both.press("Approve")
    assert "Approved." in page.text


async def test_a_frame_beside_a_window_of_the_same_account_sends_its_forms_by_htmx(gateway, new_browser):
    window = await opened(gateway, new_browser())
    frame = new_browser(dest="iframe")
    frame.client.cookies = window.client.cookies
    await opened(gateway, frame)
    page = await frame.go("/console/a/acme/settings/integrations")
    assert 'hx-headers=\'{"Gateway-Framed":"true"}\'' in page.answer.text
    frame.dest = "empty"  # as a script's request
    form = next(one for one in page.forms if one.action.endswith("/toy/connect"))
    page = await frame.send(form, "Connect")
    assert page.has_button("Continue to Toy")
    by_script = {"gateway-framed": "true", "hx-request": "true"}
    part = await frame.go("/console/a/acme/settings/integrations", **by_script)
    page = await frame.send(next(one for one in part.forms if one.action.endswith("/toy/connect")), "Continue")
    assert page.has_button("Continue to Toy")


async def test_a_link_that_is_used_up_opens_no_other_account(gateway, new_browser, browser):
    link = await link_for(gateway, "bravo")
    other = new_browser()
    await other.go(link)
    await other.press("Open the console")
    await browser.go(link)
    page = await browser.press("Open the console", expect=401)
    assert "used already" in page.text
    await browser.go("/console/open?link=never-was")
    await browser.press("Open the console", expect=401)


async def test_a_page_that_asks_by_itself_keeps_no_session_alive(gateway, browser, new_browser):
    operator = await signed_in(new_browser())
    by_script = {"hx-request": "true"}
    for _ in range(6):
        await browser.go("/console/a/acme/settings/integrations", **by_script)
        await operator.go("/console/a/acme/settings/integrations", **by_script)
        gateway.clock.advance(timedelta(minutes=5, seconds=1))
    await browser.go("/console/a/acme/settings/integrations", expect=401, **by_script)
    await operator.go("/console/a/acme/settings/integrations", expect=401, **by_script)


@pytest.mark.parametrize(
    ("query", "said"),
    [("state=active", "Connected"), ("state=disconnected", "Not connected yet"), ("", "Not connected")],
)
async def test_the_window_says_connected_only_when_it_is(gateway, browser, query, said):
    page = await browser.go(f"/console/connected?{query}")
    assert f"<h1>{said}" in page.answer.text


async def test_a_failure_takes_the_place_of_the_whole_page_whatever_part_was_asked_for(gateway, browser):
    page = await browser.go("/console/a/bravo/campaigns", expect=404, **{"hx-request": "true"})
    told = page.answer.headers
    assert (told["hx-retarget"], told["hx-reselect"], told["hx-reswap"]) == ("body", "main", "innerHTML")
    assert "<main" in page.answer.text


async def test_an_operators_session_that_cannot_be_prolonged_now_is_still_one(gateway, new_browser, monkeypatch):
    operator = await signed_in(new_browser())
    gateway.clock.advance(timedelta(minutes=20))

    async def refuse(write):
        raise Overloaded("busy")

    monkeypatch.setattr(gateway.services.database.writer, "run", refuse)
    await operator.go("/console/accounts")
