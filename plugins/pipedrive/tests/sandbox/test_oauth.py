"""The authorisation server: ``VENDOR.md``, chapter 2."""

import base64
import json
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from gateway_pipedrive.sandbox import create_sandbox

CALLBACK = "https://gateway.test/callback"
OAUTH = "https://oauth.pipedrive.test"


@pytest.fixture
async def browser(sandbox):
    async with httpx.AsyncClient(transport=sandbox.transport(), base_url=OAUTH) as made:
        yield made


def request_of(sandbox, **more):
    return {"client_id": sandbox.client_id, "redirect_uri": CALLBACK, "state": "s-1", **more}


async def allowed(sandbox, browser, **more):
    answer = await browser.get("/oauth/authorize", params=request_of(sandbox, decision="allow", **more))
    assert answer.status_code == 302
    return parse_qs(urlsplit(answer.headers["location"]).query)


async def post_token(browser, auth=("sandbox-client", "sandbox-secret"), path="/oauth/token", **form):
    return await browser.post(path, data=form, auth=auth)


async def exchange(browser, code, **more):
    form = {"grant_type": "authorization_code", "code": code, "redirect_uri": CALLBACK, **more}
    return await post_token(browser, **form)


async def refresh(browser, token, path="/oauth/token"):
    return await post_token(browser, path=path, grant_type="refresh_token", refresh_token=token)


def says(answer, words):
    return answer.status_code == 400 and answer.json()["message"] == words and answer.json()["success"] is False


async def test_the_consent_page_offers_both_decisions_and_escapes(sandbox, browser):
    page = await browser.get("/oauth/authorize", params=request_of(sandbox, state='"><script>'))
    assert page.status_code == 200
    assert page.headers["content-type"].startswith("text/html")
    assert "Allow and Install" in page.text
    assert "Deny" in page.text
    assert "<script>" not in page.text


async def test_the_form_brings_code_and_state_to_the_callback(sandbox, browser):
    answer = await browser.post("/oauth/authorize", data=request_of(sandbox, decision="allow"))
    assert answer.status_code == 302
    assert answer.headers["location"].startswith(CALLBACK + "?")
    assert set(parse_qs(urlsplit(answer.headers["location"]).query)) == {"code", "state"}


async def test_a_refusal_brings_user_denied(sandbox, browser):
    answer = await browser.get("/oauth/authorize", params=request_of(sandbox, decision="deny"))
    assert parse_qs(urlsplit(answer.headers["location"]).query) == {"error": ["user_denied"], "state": ["s-1"]}


@pytest.mark.parametrize(
    "wrong",
    [{"client_id": "other"}, {"redirect_uri": "https://evil.test/callback"}, {"redirect_uri": ""}],
)
async def test_authorize_refuses_another_app_or_another_callback(sandbox, browser, wrong):
    sandbox.oauth.callback_url = CALLBACK
    answer = await browser.get("/oauth/authorize", params=request_of(sandbox, decision="allow", **wrong))
    assert answer.status_code == 400
    assert "location" not in answer.headers


async def test_exchange_answers_a_bound_token(sandbox, browser):
    code = (await allowed(sandbox, browser))["code"][0]
    answer = await exchange(browser, code)
    token = answer.json()
    assert answer.status_code == 200
    assert token["token_type"] == "Bearer"
    assert token["expires_in"] == 3599
    assert token["api_domain"] == "https://acme.pipedrive.test"
    assert set(token["scope"].split(",")) == sandbox.oauth.scopes
    assert len(token["access_token"]) > 300
    me = await browser.get(
        token["api_domain"] + "/api/v1/users/me", headers={"authorization": "Bearer " + token["access_token"]}
    )
    assert me.json()["data"]["id"] == sandbox.demo.admin.id


async def test_client_credentials_may_be_in_the_body(sandbox, browser):
    code = (await allowed(sandbox, browser))["code"][0]
    form = {"grant_type": "authorization_code", "code": code, "redirect_uri": CALLBACK}
    form |= {"client_id": "sandbox-client", "client_secret": "sandbox-secret"}
    assert (await browser.post("/oauth/token", data=form)).status_code == 200


async def test_a_code_works_once(sandbox, browser):
    code = (await allowed(sandbox, browser))["code"][0]
    await exchange(browser, code)
    assert says(await exchange(browser, code), "Invalid grant: authorization_code is invalid")


async def test_a_code_lives_five_minutes(sandbox, browser, clock):
    code = (await allowed(sandbox, browser))["code"][0]
    clock.advance(minutes=5)
    assert says(await exchange(browser, code), "Invalid grant: authorization_code has expired")


async def test_the_exchange_wants_the_same_redirect_uri(sandbox, browser):
    code = (await allowed(sandbox, browser))["code"][0]
    answer = await exchange(browser, code, redirect_uri="https://gateway.test/other")
    assert says(answer, "Invalid request: redirect_uri is invalid")


async def test_errors_of_the_token_endpoint(sandbox, browser):
    assert says(await post_token(browser), "Missing parameter: grant_type")
    assert says(await post_token(browser, grant_type="password"), "Unsupported grant type")
    wrong = await post_token(browser, auth=("sandbox-client", "guess"), grant_type="refresh_token")
    assert says(wrong, "Invalid client: client is invalid")
    assert says(await refresh(browser, "1:2:3"), "Invalid grant: refresh_token is invalid")


@pytest.mark.parametrize("keys", [("error",), ("message",)])
async def test_keys_of_token_errors_can_be_chosen(make, keys):
    sandbox = make(token_error_keys=keys)
    async with httpx.AsyncClient(transport=sandbox.transport(), base_url=OAUTH) as browser:
        body = (await refresh(browser, "1:2:3")).json()
    assert body == {"success": False, keys[0]: "Invalid grant: refresh_token is invalid"}


async def test_an_access_token_lives_an_hour_and_a_refresh_brings_another(sandbox, browser, clock):
    token = (await exchange(browser, (await allowed(sandbox, browser))["code"][0])).json()
    old = {"authorization": "Bearer " + token["access_token"]}
    clock.advance(seconds=3598)
    assert (await browser.get("/api/v1/users/me", headers=old)).status_code == 200
    clock.advance(seconds=1)
    refused = await browser.get("/api/v1/users/me", headers=old)
    assert refused.status_code == 401
    assert refused.json()["errorCode"] == 401
    again = (await refresh(browser, token["refresh_token"])).json()
    assert again["refresh_token"] == token["refresh_token"]
    assert again["access_token"] != token["access_token"]
    assert again["api_domain"] == token["api_domain"]
    new = {"authorization": "Bearer " + again["access_token"]}
    assert (await browser.get("/api/v1/users/me", headers=new)).status_code == 200


async def test_the_refresh_path_may_end_in_a_slash(sandbox, browser):
    token = sandbox.install()
    assert (await refresh(browser, token["refresh_token"], path="/oauth/token/")).status_code == 200


async def test_rotation_refuses_the_old_refresh_token(make):
    sandbox = make(rotate_refresh_tokens=True)
    token = sandbox.install()
    async with httpx.AsyncClient(transport=sandbox.transport(), base_url=OAUTH) as browser:
        again = (await refresh(browser, token["refresh_token"])).json()
        assert again["refresh_token"] != token["refresh_token"]
        refused = await refresh(browser, token["refresh_token"])
        assert refused.status_code == 400
        assert "already exchanged" in refused.json()["message"]
        assert (await refresh(browser, again["refresh_token"])).status_code == 200


async def test_a_refresh_token_dies_after_sixty_idle_days_and_each_use_counts_anew(sandbox, browser, clock):
    token = sandbox.install()["refresh_token"]
    clock.advance(days=59)
    assert (await refresh(browser, token)).status_code == 200
    clock.advance(days=59)
    assert (await refresh(browser, token)).status_code == 200
    clock.advance(days=60, seconds=1)
    assert says(await refresh(browser, token), "Invalid grant: refresh_token has expired")


async def test_killed_and_expired_tokens(sandbox, browser):
    token = sandbox.install()
    bearer = {"authorization": "Bearer " + token["access_token"]}
    assert sandbox.expire_tokens() == 1
    assert (await browser.get("/api/v1/users/me", headers=bearer)).status_code == 401
    assert (await refresh(browser, token["refresh_token"])).status_code == 200
    assert sandbox.kill_refresh_token() == 1
    assert says(await refresh(browser, token["refresh_token"]), "Invalid grant: refresh_token is invalid")


async def test_revoking_the_refresh_token_uninstalls(sandbox, browser):
    token = sandbox.install()
    bearer = {"authorization": "Bearer " + token["access_token"]}
    form = {"token": token["refresh_token"], "token_type_hint": "refresh_token"}
    assert (await browser.post("/oauth/revoke", data=form)).status_code == 400
    assert (await browser.get("/api/v1/users/me", headers=bearer)).status_code == 200
    assert (await browser.post("/oauth/revoke", data=form, auth=(sandbox.client_id, sandbox.client_secret))).is_success
    assert (await browser.get("/api/v1/users/me", headers=bearer)).status_code == 401
    assert says(await refresh(browser, token["refresh_token"]), "Invalid grant: refresh_token is invalid")


async def test_revoking_an_access_token_leaves_the_refresh_token(sandbox, browser):
    token = sandbox.install()
    auth = (sandbox.client_id, sandbox.client_secret)
    await browser.post("/oauth/revoke", data={"token": token["access_token"]}, auth=auth)
    bearer = {"authorization": "Bearer " + token["access_token"]}
    assert (await browser.get("/api/v1/users/me", headers=bearer)).status_code == 401
    assert (await refresh(browser, token["refresh_token"])).status_code == 200


async def test_a_marketplace_install_has_a_code_and_no_state(sandbox, browser):
    assert (await browser.get("/marketplace/install")).status_code == 400
    sandbox.oauth.callback_url = CALLBACK
    answer = await browser.get("/marketplace/install")
    query = parse_qs(urlsplit(answer.headers["location"]).query)
    assert set(query) == {"code"}
    assert (await exchange(browser, query["code"][0])).status_code == 200


async def test_uninstalling_tells_the_callback_and_ends_everything(sandbox, client, browser, receiver):
    hook = {"subscription_url": "https://gateway.test/h", "event_action": "*", "event_object": "deal", "name": "n"}
    await client.post("/api/v1/webhooks", json=hook)
    assert len(sandbox.subscriptions()) == 1
    assert await sandbox.uninstall() == 200
    (notice,) = receiver.requests
    assert notice.method == "DELETE"
    assert str(notice.url) == CALLBACK
    expected = base64.b64encode(b"sandbox-client:sandbox-secret").decode()
    assert notice.headers["authorization"] == f"Basic {expected}"
    assert json.loads(notice.content) == {
        "client_id": "sandbox-client",
        "company_id": sandbox.demo.company.id,
        "user_id": sandbox.demo.admin.id,
        "timestamp": "2026-11-21T10:00:00Z",
    }
    assert (await client.get("/api/v1/users/me")).status_code == 401
    assert sandbox.subscriptions() == []


async def test_uninstalling_by_one_user_leaves_the_other(sandbox, client_for):
    async with client_for(sandbox) as first, client_for(sandbox, sandbox.demo.seller.id) as second:
        await sandbox.uninstall(sandbox.demo.seller.id)
        assert (await first.get("/api/v1/users/me")).status_code == 200
        assert (await second.get("/api/v1/users/me")).status_code == 401


async def test_calls_without_a_known_token_are_refused(sandbox, client):
    for headers in ({}, {"authorization": "Bearer nonsense"}, {"x-api-token": "nonsense"}):
        async with httpx.AsyncClient(transport=sandbox.transport(), base_url=OAUTH, headers=headers) as other:
            answer = await other.get("/api/v2/persons")
            assert answer.status_code == 401
            assert answer.json()["error"] == "unauthorized access"


async def test_a_personal_token_works_without_scopes(sandbox):
    headers = {"x-api-token": sandbox.demo.admin.api_token}
    async with httpx.AsyncClient(transport=sandbox.transport(), base_url=OAUTH, headers=headers) as other:
        assert (await other.get("/api/v2/persons")).status_code == 200


async def test_scopes_are_those_of_the_installation(make, client_for):
    sandbox = make(granted_scopes=("base", "contacts:read"))
    async with client_for(sandbox) as client:
        assert (await client.get("/api/v2/persons")).status_code == 200
        for refused in (
            await client.post("/api/v2/persons", json={"name": "x"}),
            await client.get("/api/v2/deals"),
            await client.get("/api/v1/webhooks"),
            await client.get("/api/v1/users"),
        ):
            assert refused.status_code == 403
            assert refused.json()["success"] is False
        sandbox.grant_scope("deals:full")
        assert (await client.get("/api/v2/deals")).status_code == 403
    async with client_for(sandbox) as reinstalled:
        assert (await reinstalled.get("/api/v2/deals")).status_code == 200


async def test_a_scope_can_be_revoked(sandbox, client):
    assert (await client.get("/api/v1/webhooks")).status_code == 200
    sandbox.revoke_scope("admin")
    assert (await client.get("/api/v1/webhooks")).status_code == 403


async def test_api_domain_is_the_given_base_or_the_callers_origin(clock):
    given = create_sandbox(clock=clock, base_url="http://127.0.0.1:8080/")
    assert given.install()["api_domain"] == "http://127.0.0.1:8080"
    pattern = create_sandbox(clock=clock, base_url="https://{company}.fake.test")
    assert pattern.install()["api_domain"] == "https://acme.fake.test"
    local = create_sandbox(clock=clock)
    token = local.install()
    async with httpx.AsyncClient(transport=local.transport(), base_url="http://127.0.0.1:9") as browser:
        assert (await refresh(browser, token["refresh_token"])).json()["api_domain"] == "http://127.0.0.1:9"


async def test_an_inactive_user_and_a_closed_company(sandbox, client):
    sandbox.close_company()
    assert (await client.get("/api/v1/users/me")).status_code == 402
    sandbox.close_company(is_open=True)
    sandbox.demo.admin.is_active = False
    assert (await client.get("/api/v1/users/me")).status_code == 401
