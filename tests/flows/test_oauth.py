"""The OAuth callback: states, refusals, scopes, API domains, marketplace installs and uninstalls."""

import asyncio
import hashlib
from contextlib import AsyncExitStack
from datetime import timedelta
from urllib.parse import parse_qs, urlsplit

import httpx
import msgspec
import pytest

from gateway.flows import access
from gateway.sdk.clock import Clock
from gateway.storage import connections
from gateway.storage.tables import connections as connections_table
from gateway.storage.tables import installations, oauth_states, secrets

from .toys import Vendor, approved_toy, open_gateway, toy


@pytest.fixture
def vendor():
    return Vendor()


@pytest.fixture
async def open_process(database_url, clock: Clock, vendor):
    async with AsyncExitStack() as stack:

        async def make(**changes):
            installed = [toy(), approved_toy("slow")]
            return await open_gateway(stack, database_url, clock, vendor, installed, **changes)

        yield make


@pytest.fixture
async def gateway(open_process):
    gateway = await open_process()
    await gateway.account()
    return gateway


def state_in(started):
    return parse_qs(urlsplit(started["next_step"]["url"]).query)["state"][0]


async def rows(gateway, table):
    async with gateway.services.database.read() as conn:
        return (await conn.execute(table.select())).mappings().all()


async def test_the_authorisation_url_names_app_callback_and_state_and_nothing_else(gateway):
    url = urlsplit((await gateway.begin())["next_step"]["url"])
    assert (url.netloc, url.path) == ("login.toy.test", "/authorize")
    query = parse_qs(url.query)
    assert set(query) == {"client_id", "redirect_uri", "state"}
    assert query["redirect_uri"] == ["https://gateway.test/v1/oauth/toy/callback"]


async def test_a_state_is_stored_as_a_hash_bound_to_its_connection(gateway):
    started = await gateway.begin()
    (row,) = await rows(gateway, oauth_states)
    assert row["state_hash"] == hashlib.sha256(state_in(started).encode()).hexdigest()
    assert row["connection_id"] == started["id"]


async def test_coming_back_connects_and_shows_a_page_that_leaks_nothing(gateway):
    started = await gateway.begin()
    page = await gateway.back(started)
    assert "Acme Inc is connected" in page.text
    assert page.headers["referrer-policy"] == "no-referrer"
    assert page.headers["cache-control"] == "no-store"
    assert "default-src 'none'" in page.headers["content-security-policy"]
    shown = await gateway.connection(started["id"])
    assert (shown["state"], shown["identity"], shown["name"]) == ("active", "c1", "Acme Inc")
    assert shown["granted"] == ["base", "deals", "hooks"]
    assert gateway.vendor.token_calls == [
        {
            "grant_type": "authorization_code",
            "code": "good",
            "redirect_uri": "https://gateway.test/v1/oauth/toy/callback",
        }
    ]


async def test_a_tenant_name_cannot_write_into_the_page(gateway):
    gateway.vendor.name = "<script>alert(1)</script>"
    page = await gateway.back(await gateway.begin())
    assert "<script>" not in page.text
    assert "&lt;script&gt;" in page.text


# --- states --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", ["", "unknown", "x" * 5000])
async def test_a_state_that_is_unknown_is_refused_and_never_treated_as_missing(gateway, state):
    page = await gateway.landing({"code": "good", "state": state})
    assert page.status_code == 400
    assert "state_invalid" in page.text
    assert gateway.vendor.token_calls == []
    assert await rows(gateway, installations) == []


async def test_two_states_are_refused(gateway):
    started = await gateway.begin()
    page = await gateway.browser.get(f"/v1/oauth/toy/callback?code=good&state=x&state={state_in(started)}")
    assert page.status_code == 400
    assert gateway.vendor.token_calls == []


async def test_a_state_is_good_for_one_use_even_by_several_processes_at_once(gateway, open_process):
    other = await open_process()
    started = await gateway.begin()
    pages = await asyncio.gather(*(one.back(started) for one in (gateway, other) for _ in range(5)))
    assert sorted(page.status_code for page in pages) == [200] + [400] * 9
    assert len(gateway.vendor.token_calls) == 1


async def test_a_state_is_too_old_after_fifteen_minutes(gateway):
    started = await gateway.begin()
    gateway.clock.advance(timedelta(minutes=15, seconds=1))
    assert (await gateway.back(started)).status_code == 400
    assert gateway.vendor.token_calls == []


async def test_a_state_of_another_integration_is_refused(open_process, vendor, database_url, clock):
    async with AsyncExitStack() as stack:
        gateway = await open_gateway(stack, database_url, clock, vendor, [toy(), toy("toy2")])
        gateway.services.integrations.get("toy2").settings_error = None
        gateway.services.integrations.get("toy2").settings = gateway.services.integrations.get("toy").settings
        await gateway.account()
        started = await gateway.begin()
        page = await gateway.back(started, integration="toy2")
        assert page.status_code == 400
        assert gateway.vendor.token_calls == []


async def test_states_are_forgotten_after_a_day(gateway):
    await gateway.begin()
    gateway.clock.advance(timedelta(days=1, minutes=20))
    await gateway.worker.drain()
    assert await rows(gateway, oauth_states) == []


# --- refusals ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("answer", [{"error": "user_denied"}, {"error": "access_denied"}, {}])
async def test_a_person_who_denies_leaves_the_connection_disconnected_with_the_reason(gateway, answer):
    started = await gateway.begin()
    page = await gateway.landing({"state": state_in(started), **answer})
    assert page.status_code == 400
    shown = await gateway.connection(started["id"])
    assert (shown["state"], shown["reason"]) == ("disconnected", "authorisation_denied")
    assert (await gateway.begin())["id"] != started["id"]


async def test_a_refused_code_may_be_tried_again_from_the_start(gateway):
    started = await gateway.begin()
    page = await gateway.back(started, code="bad")
    assert (page.status_code, "begin again" in page.text) == (400, True)
    again = await gateway.begin(expect=200)
    assert again["id"] == started["id"]
    assert (await gateway.back(again)).status_code == 200


async def test_a_missing_required_scope_is_named_and_the_tokens_are_revoked(gateway):
    gateway.vendor.scope = "base, hooks"
    started = await gateway.begin(return_url="https://console.example/x")
    page = await gateway.back(started)
    assert "problem=missing_vendor_scope" in page.headers["location"]
    shown = await gateway.connection(started["id"])
    assert (shown["state"], shown["reason"]) == ("disconnected", "missing_vendor_scope")
    assert gateway.vendor.revoked == ["refresh-token-1"]
    page = await gateway.back(await gateway.begin())
    assert "did not grant: deals" in page.text


@pytest.mark.parametrize("scope", ["base,deals", "base deals", "deals, base"])
async def test_a_missing_optional_scope_is_a_named_limitation(gateway, scope):
    gateway.vendor.scope = scope
    started = await gateway.begin()
    page = await gateway.back(started)
    assert "Changes are seen late." in page.text
    shown = await gateway.connection(started["id"])
    assert shown["limitations"] == [{"code": "no_webhooks", "message": "Changes are seen late."}]


@pytest.mark.parametrize(
    "domain",
    [
        "http://acme.toy.test",
        "https://acme.toy.test.evil.example",
        "https://eviltoy.test",
        "https://acme.toy.test:8443",
        "https://user@acme.toy.test",
        "https://localhost:9000",
        "https://acme.toy.test/path",
        "https://[",
    ],
)
async def test_an_api_domain_outside_the_vendor_is_refused_before_a_token_goes_there(gateway, domain):
    gateway.vendor.api_domain = domain
    started = await gateway.begin()
    page = await gateway.back(started)
    assert page.status_code == 502
    assert [path for _, path in gateway.vendor.calls] == ["login.toy.test/token", "login.toy.test/revoke"]
    assert (await gateway.connection(started["id"]))["state"] == "disconnected"


async def test_a_sandbox_on_this_machine_is_allowed_where_local_targets_are(open_process):
    gateway = await open_process(allow_local_targets=True)
    integration = gateway.services.integrations.get("toy")
    integration.settings = msgspec.structs.replace(integration.settings, api_url="http://127.0.0.1:9000")
    gateway.vendor.api_domain = "http://127.0.0.1:9000"
    await gateway.account()
    assert (await gateway.back(await gateway.begin())).status_code == 200


async def test_our_own_wrong_settings_are_told_apart_from_a_denial(gateway):
    integration = gateway.services.integrations.get("toy")
    integration.settings = msgspec.structs.replace(integration.settings, client_secret="wrong")
    page = await gateway.back(await gateway.begin())
    assert page.status_code == 500
    assert "client secret" in page.text


async def test_a_vendor_that_fails_leaves_the_connection_to_be_tried_again(gateway):
    started = await gateway.begin()
    gateway.vendor.answers = [httpx.Response(503)]
    assert (await gateway.back(started)).status_code == 503
    assert (await gateway.connection(started["id"]))["state"] == "awaiting_authorisation"
    assert (await gateway.back(await gateway.begin(expect=200))).status_code == 200


async def test_a_connection_that_was_cancelled_meanwhile_is_not_brought_back(gateway):
    started = await gateway.begin()
    state = state_in(started)
    await gateway.call("DELETE", f"/v1/connections/{started['id']}")
    page = await gateway.landing({"code": "good", "state": state})
    assert page.status_code == 400


async def test_neither_code_nor_tokens_are_stored_in_the_clear(gateway):
    await gateway.connect()
    for row in await rows(gateway, secrets):
        assert b"token" not in row["ciphertext"]
    row = (await rows(gateway, connections_table))[0]
    assert "access-token" not in str(dict(row))
    assert "refresh-token" not in str(dict(row))


async def test_a_session_gets_no_address_of_an_authorisation_by_the_api(gateway):
    """What a person of an account begins belongs to their browser; by the API it would go to anybody's."""
    link = (await gateway.call("POST", "/v1/accounts/acme/sessions"))["url"].partition("?link=")[2]
    token = (await access.open_session(gateway.services, link)).token
    body = {"integration": "toy"}
    for expect in (201, 200):
        begun = await gateway.call("POST", "/v1/accounts/acme/connections", body, key=token, expect=expect)
        assert (begun["next_step"]["kind"], begun["next_step"]["url"]) == ("redirect", None)
    connection = begun["id"]
    started = await gateway.begin(expect=200)
    assert (await gateway.back(started)).status_code == 200
    again = await gateway.call("POST", f"/v1/connections/{connection}/reauthorise", key=token)
    assert again["next_step"]["url"] is None
    assert (await gateway.call("POST", f"/v1/connections/{connection}/reauthorise"))["next_step"]["url"]


async def test_an_integration_without_oauth_has_no_callback(gateway):
    page = await gateway.landing({"code": "good"}, "slow")
    assert page.status_code == 409
    assert (await gateway.landing({"code": "good"}, "nothing")).status_code == 404


# --- installs from a marketplace ------------------------------------------------------------------------


def code_on(page):
    return page.text.partition("<p class=code>")[2].partition("<")[0]


async def claim(gateway, body, account="acme", expect=200):
    return await gateway.call("POST", f"/v1/accounts/{account}/installations/claim", body, expect=expect)


async def test_an_install_without_state_waits_and_is_claimed_by_its_code(gateway):
    page = await gateway.landing({"code": "good"})
    assert page.status_code == 200
    cookie = page.headers["set-cookie"]
    for part in ("__Host-gateway_claim=", "HttpOnly", "Secure", "SameSite=Lax", "Path=/", "Max-Age=3600"):
        assert part in cookie
    gateway.browser.cookies.clear()
    code = code_on(page)
    claimed = await claim(gateway, {"code": f" {code.lower()} "})
    assert (claimed["state"], claimed["identity"]) == ("active", "c1")
    await claim(gateway, {"code": code}, expect=404)
    async with gateway.services.database.read() as conn:
        assert "oauth" in await gateway.services.vault.get_all(conn, claimed["id"])
    assert await gateway.events() == ["connection.activated"]


async def test_the_browser_that_installed_claims_by_its_cookie(gateway):
    await gateway.landing({"code": "good"})
    assert (await claim(gateway, {}))["state"] == "active"


async def test_neither_cookie_nor_code_is_not_found(gateway):
    await gateway.landing({"code": "good"})
    gateway.browser.cookies.clear()
    await claim(gateway, {}, expect=404)
    await claim(gateway, {"code": "AAAA-BBBB-CCCC"}, expect=404)


async def test_an_install_that_nobody_claims_is_revoked_after_an_hour(gateway):
    page = await gateway.landing({"code": "good"})
    gateway.clock.advance(timedelta(minutes=61))
    await claim(gateway, {"code": code_on(page)}, expect=404)
    gateway.vendor.down = True
    await gateway.worker.drain()
    gateway.vendor.down = False
    assert gateway.vendor.revoked == []
    gateway.clock.advance(timedelta(minutes=10))
    await gateway.worker.drain()
    assert gateway.vendor.revoked == ["refresh-token-1"]
    (row,) = await rows(gateway, installations)
    assert row["ended_at"] is not None
    async with gateway.services.database.read() as conn:
        assert await gateway.services.vault.get_all(conn, row["id"]) == {}


async def test_the_one_crm_rule_holds_for_claims_and_a_refused_claim_may_be_repeated(gateway):
    page = await gateway.landing({"code": "good"})
    slow = await gateway.begin(integration="slow")
    problem = await claim(gateway, {"code": code_on(page)}, expect=409)
    assert problem["code"] == "crm_already_connected"
    await gateway.call("DELETE", f"/v1/connections/{slow['id']}")
    assert (await claim(gateway, {"code": code_on(page)}))["state"] == "active"


async def test_a_claim_finishes_a_connection_that_waits_for_the_same_vendor(gateway):
    started = await gateway.begin()
    page = await gateway.landing({"code": "good"})
    assert (await claim(gateway, {"code": code_on(page)}))["id"] == started["id"]


async def test_a_vendor_account_that_another_account_has_cannot_be_claimed(gateway):
    await gateway.connect()
    await gateway.account("bravo")
    page = await gateway.landing({"code": "good"})
    problem = await claim(gateway, {"code": code_on(page)}, account="bravo", expect=409)
    assert problem["code"] == "vendor_account_in_use"
    again = await claim(gateway, {"code": code_on(page)})
    assert again["state"] == "active", "installing again re-authorises one's own connection"


async def test_an_unclaimed_install_of_a_connected_tenant_is_not_revoked_over_its_head(gateway):
    await gateway.connect()
    await gateway.landing({"code": "good"})
    gateway.clock.advance(timedelta(minutes=70))
    await gateway.worker.drain()
    assert gateway.vendor.revoked == []


async def test_an_install_of_another_tenant_is_refused_while_one_is_connected(gateway):
    await gateway.connect()
    gateway.vendor.company = "c2"
    page = await gateway.landing({"code": "good"})
    problem = await claim(gateway, {"code": code_on(page)}, expect=409)
    assert problem["code"] == "crm_already_connected"


async def test_an_install_without_the_needed_scopes_is_refused_at_once(gateway):
    gateway.vendor.scope = "base"
    page = await gateway.landing({"code": "good"})
    assert page.status_code == 409
    assert gateway.vendor.revoked == ["refresh-token-1"]
    assert await rows(gateway, installations) == []


async def test_of_several_who_claim_at_once_one_gets_it(gateway, open_process):
    other = await open_process()
    for account in ("bravo", "charlie"):
        await gateway.account(account)
    code = code_on(await gateway.landing({"code": "good"}))
    gateway.browser.cookies.clear()
    ask = [
        one.browser.post(
            f"/v1/accounts/{account}/installations/claim",
            json={"code": code},
            headers={"authorization": "Bearer host-key-for-tests-0123456789abcdef"},
        )
        for one, account in ((gateway, "acme"), (other, "bravo"), (gateway, "charlie"), (other, "acme"))
    ]
    answers = await asyncio.gather(*ask)
    assert sum(answer.is_success for answer in answers) == 1
    open_rows = [row for row in await rows(gateway, connections_table) if row["state"] != "disconnected"]
    assert len(open_rows) == 1


async def test_a_claim_that_loses_the_race_for_the_vendor_account_leaves_nothing(gateway, monkeypatch):
    await gateway.account("bravo")
    code = code_on(await gateway.landing({"code": "good"}))
    gateway.browser.cookies.clear()
    real = connections.identity_in_use
    looks = []

    async def taken_meanwhile(conn, row, claim):
        looks.append(row.account_id)
        return await real(conn, row, claim) if len(looks) == 1 else row

    monkeypatch.setattr(connections, "identity_in_use", taken_meanwhile)
    answer = await gateway.browser.post(
        "/v1/accounts/bravo/installations/claim",
        json={"code": code},
        headers={"authorization": "Bearer host-key-for-tests-0123456789abcdef"},
    )
    assert (answer.status_code, answer.json()["code"]) == (409, "vendor_account_in_use")
    assert len(looks) == 2
    assert await rows(gateway, connections_table) == []


# --- the customer removes our app ------------------------------------------------------------------------


async def test_an_uninstall_call_disconnects_deletes_tokens_and_asks_the_vendor_nothing(gateway):
    connection = await gateway.connect()
    before = len(gateway.vendor.calls)
    answer = await gateway.uninstall(user="u1")
    assert answer.json() == {"disconnected": 1}
    shown = await gateway.connection(connection)
    assert (shown["state"], shown["reason"]) == ("disconnected", "uninstalled")
    assert len(gateway.vendor.calls) == before
    async with gateway.services.database.read() as conn:
        assert await gateway.services.vault.get_all(conn, connection) == {}
    assert (await gateway.events())[-1] == "connection.disconnected"
    assert (await gateway.uninstall(user="u1")).json() == {"disconnected": 0}


async def test_an_uninstall_call_that_proves_nothing_is_refused(gateway):
    connection = await gateway.connect()
    for proof in ("toy-client:wrong", "", "wrong:toy-secret"):
        assert (await gateway.uninstall(proof=proof)).status_code == 401
    assert (await gateway.connection(connection))["state"] == "active"


async def test_another_users_or_tenants_uninstall_leaves_the_connection(gateway):
    connection = await gateway.connect()
    await gateway.uninstall(user="u2")
    await gateway.uninstall("c2")
    assert (await gateway.connection(connection))["state"] == "active"


async def test_an_uninstall_drops_installs_that_nobody_claimed(gateway):
    page = await gateway.landing({"code": "good"})
    await gateway.uninstall()
    await claim(gateway, {"code": code_on(page)}, expect=404)


async def test_a_bug_of_a_plugin_is_a_page_too_and_may_be_tried_again(gateway):
    gateway.vendor.access_tokens = {}
    handle = gateway.vendor.api
    gateway.vendor.api = lambda request: httpx.Response(200, json={"nothing": "expected"})
    started = await gateway.begin()
    page = await gateway.back(started)
    assert page.status_code == 500
    assert page.headers["content-type"].startswith("text/html")
    gateway.vendor.api = handle
    assert (await gateway.back(await gateway.begin(expect=200))).status_code == 200
