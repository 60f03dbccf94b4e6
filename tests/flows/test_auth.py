"""Who may call: host keys, account keys, sessions; 401, 403 and 404; and bad input that is named."""

from contextlib import AsyncExitStack
from datetime import timedelta

import pytest

from gateway.errors import Refused
from gateway.flows import access
from gateway.sdk.clock import Clock
from gateway.storage.tables import account_keys, console_sessions

from .toys import HOST_KEY, Vendor, approved_toy, open_gateway

SECOND_KEY = "second-host-key-for-rotation-0123456789"


@pytest.fixture
async def open_process(database_url, clock: Clock):
    async with AsyncExitStack() as stack:

        async def make():
            changes = {"host_keys": [HOST_KEY, SECOND_KEY]}
            return await open_gateway(stack, database_url, clock, Vendor(), [approved_toy("slow")], **changes)

        yield make


@pytest.fixture
async def gateway(open_process):
    gateway = await open_process()
    await gateway.account("acme")
    await gateway.account("bravo")
    return gateway


async def key_for(gateway, *scopes, account="acme"):
    body = {"name": "for tests", "scopes": list(scopes)}
    return await gateway.call("POST", f"/v1/accounts/{account}/keys", body, expect=201)


@pytest.mark.parametrize("key", ["", "wrong", HOST_KEY[:-1], HOST_KEY + "x", "gwk_unknown", "gws_unknown"])
async def test_a_missing_or_wrong_key_is_401(gateway, key):
    problem = await gateway.call("GET", "/v1/accounts/acme", key=key, expect=401)
    assert problem["code"] == "unauthenticated"


async def test_two_host_keys_are_valid_at_once(gateway):
    for key in (HOST_KEY, SECOND_KEY):
        await gateway.call("GET", "/v1/accounts", key=key, expect=200)


async def test_another_scheme_than_bearer_is_401(gateway):
    answer = await gateway.browser.get("/v1/accounts", headers={"authorization": f"Basic {HOST_KEY}"})
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == "Bearer"


async def test_a_missing_scope_is_403_and_another_account_404(gateway):
    key = (await key_for(gateway, "read"))["key"]
    await gateway.call("GET", "/v1/accounts/acme", key=key, expect=200)
    problem = await gateway.call("POST", "/v1/accounts/acme/connections", {"integration": "slow"}, key=key, expect=403)
    assert problem["code"] == "missing_scope"
    assert "'manage'" in problem["detail"]
    await gateway.call("GET", "/v1/accounts/bravo", key=key, expect=404)
    await gateway.call("POST", "/v1/accounts/bravo/connections", {"integration": "slow"}, key=key, expect=404)
    theirs = await gateway.begin("bravo", "slow")
    for method, path in (("GET", ""), ("DELETE", ""), ("POST", "/reauthorise")):
        await gateway.call(method, f"/v1/connections/{theirs['id']}{path}", key=key, expect=404)
    mine = await gateway.begin("acme", "slow")
    await gateway.call("GET", f"/v1/connections/{mine['id']}", key=key, expect=200)
    await gateway.call("DELETE", f"/v1/connections/{mine['id']}", key=key, expect=403)


async def test_what_only_the_host_may_do_is_403_for_account_keys(gateway):
    key = (await key_for(gateway, "read", "signups", "manage", "zapier"))["key"]
    started = await gateway.begin("acme", "slow")
    for method, path, body in (
        ("GET", "/v1/accounts", None),
        ("PUT", "/v1/accounts/acme", {"name": "x"}),
        ("POST", "/v1/accounts/acme/keys", {"name": "x", "scopes": ["read"]}),
        ("POST", "/v1/accounts/acme/sessions", None),
        ("POST", f"/v1/connections/{started['id']}/approve", None),
    ):
        problem = await gateway.call(method, path, body, key=key, expect=403)
        assert problem["code"] == "host_key_required"


async def test_a_key_is_shown_once_and_stored_as_a_hash(gateway):
    made = await key_for(gateway, "read", "read")
    assert made["scopes"] == ["read"]
    (listed,) = await gateway.call("GET", "/v1/accounts/acme/keys")
    assert listed["key"] is None
    async with gateway.services.database.read() as conn:
        row = (await conn.execute(account_keys.select())).mappings().one()
    assert made["key"] not in str(dict(row))
    assert row["key_hash"] == access.hash_of(made["key"])


async def test_a_revoked_key_opens_nothing_at_once_here_and_within_seconds_elsewhere(gateway, open_process):
    other = await open_process()
    made = await key_for(gateway, "read")
    for one in (gateway, other):
        await one.call("GET", "/v1/accounts/acme", key=made["key"], expect=200)
    await gateway.call("DELETE", f"/v1/accounts/acme/keys/{made['id']}", expect=204)
    await gateway.call("GET", "/v1/accounts/acme", key=made["key"], expect=401)
    gateway.clock.advance(timedelta(seconds=5))
    await other.call("GET", "/v1/accounts/acme", key=made["key"], expect=401)
    assert await gateway.call("GET", "/v1/accounts/acme/keys") == []
    await gateway.call("DELETE", f"/v1/accounts/acme/keys/{made['id']}", expect=204)
    await gateway.call("DELETE", f"/v1/accounts/bravo/keys/{made['id']}", expect=404)
    await gateway.call("DELETE", "/v1/accounts/acme/keys/key_unknown", expect=404)


async def test_a_look_up_that_a_revocation_overtakes_is_not_remembered(gateway, monkeypatch):
    made = await key_for(gateway, "read")
    find = access.accounts.key_by_hash

    async def overtaken(conn, key_hash):
        found = await find(conn, key_hash)
        monkeypatch.undo()
        await access.revoke_key(gateway.services, "acme", made["id"])
        return found

    monkeypatch.setattr(access.accounts, "key_by_hash", overtaken)
    await access.authenticate(gateway.services, made["key"])
    assert await access.authenticate(gateway.services, made["key"]) is None


async def test_use_of_a_key_is_noted_by_the_minute(gateway):
    key = (await key_for(gateway, "read"))["key"]

    async def noted():
        await gateway.call("GET", "/v1/accounts/acme", key=key, expect=200)
        return (await gateway.call("GET", "/v1/accounts/acme/keys"))[0]["last_used_at"]

    first = await noted()
    gateway.clock.advance(timedelta(seconds=30))
    assert await noted() == first
    gateway.clock.advance(timedelta(seconds=31))
    assert await noted() > first


# --- sessions ------------------------------------------------------------------------------------------


async def test_a_session_link_is_good_once_and_for_five_minutes(gateway):
    made = await gateway.call("POST", "/v1/accounts/acme/sessions", expect=201)
    url, _, link = made["url"].partition("?link=")
    assert url == "https://gateway.test/console/open"
    opened = await access.open_session(gateway.services, link)
    assert opened.account_id == "acme"
    with pytest.raises(Refused, match="unauthenticated"):
        await access.open_session(gateway.services, link)
    late = (await gateway.call("POST", "/v1/accounts/acme/sessions"))["url"].partition("?link=")[2]
    gateway.clock.advance(timedelta(minutes=5, seconds=1))
    with pytest.raises(Refused, match="unauthenticated"):
        await access.open_session(gateway.services, late)
    async with gateway.services.database.read() as conn:
        stored = (await conn.execute(console_sessions.select())).all()
    assert link not in str(stored)
    assert opened.token not in str(stored)


async def test_a_session_may_manage_its_own_account_and_nothing_else(gateway):
    link = (await gateway.call("POST", "/v1/accounts/acme/sessions"))["url"].partition("?link=")[2]
    token = (await access.open_session(gateway.services, link)).token
    await gateway.call("POST", "/v1/accounts/acme/connections", {"integration": "slow"}, key=token, expect=201)
    await gateway.call("GET", "/v1/accounts/bravo", key=token, expect=404)
    await gateway.call("GET", "/v1/accounts", key=token, expect=403)
    await access.end_session(gateway.services, token)
    await gateway.call("GET", "/v1/accounts/acme", key=token, expect=401)


async def test_a_session_slides_while_it_is_used_and_ends_all_the_same(gateway):
    link = (await gateway.call("POST", "/v1/accounts/acme/sessions"))["url"].partition("?link=")[2]
    token = (await access.open_session(gateway.services, link)).token
    for _ in range(19):
        gateway.clock.advance(timedelta(minutes=25))
        await gateway.call("GET", "/v1/accounts/acme", key=token, expect=200)
    gateway.clock.advance(timedelta(minutes=6))  # eight hours and a minute after it was opened
    await gateway.call("GET", "/v1/accounts/acme", key=token, expect=401)


async def test_a_session_that_nobody_uses_ends_after_half_an_hour(gateway):
    link = (await gateway.call("POST", "/v1/accounts/acme/sessions"))["url"].partition("?link=")[2]
    token = (await access.open_session(gateway.services, link)).token
    gateway.clock.advance(timedelta(minutes=30, seconds=1))
    await gateway.call("GET", "/v1/accounts/acme", key=token, expect=401)


# --- accounts ------------------------------------------------------------------------------------------


async def test_an_account_is_made_once_and_changed_afterwards(gateway):
    body = {"name": "Charlie", "timezone": "Europe/Berlin", "currency": "EUR", "country": "DE", "locale": "de"}
    made = await gateway.call("PUT", "/v1/accounts/charlie", body, expect=201)
    changed = await gateway.call("PUT", "/v1/accounts/charlie", {**body, "name": "Charlie Ltd"}, expect=200)
    assert changed == {**made, "name": "Charlie Ltd"}
    assert await gateway.call("GET", "/v1/accounts/charlie") == changed


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"timezone": "Berlin"}, "timezone"),
        ({"currency": "XXX"}, "currency"),
        ({"currency": "eur"}, "currency"),
        ({"country": "ZZ"}, "country"),
        ({"locale": "german"}, "locale"),
        ({"name": ""}, "name"),
        ({"name": "  "}, "name"),
        ({"nmae": "x"}, "nmae"),
    ],
)
async def test_a_wrong_account_names_its_field(gateway, change, field):
    problem = await gateway.call("PUT", "/v1/accounts/x", {"name": "X", **change}, expect=422)
    assert field in {one["field"] for one in problem["problems"]}


@pytest.mark.parametrize("account", ["a%20b", "a" * 129, "%C3%A4", "a+b"])
async def test_an_id_that_no_account_can_have_is_named(gateway, account):
    problem = await gateway.call("PUT", f"/v1/accounts/{account}", {"name": "X"}, expect=422)
    assert problem["problems"][0]["field"] == "account"


async def test_a_path_with_a_nul_is_refused(gateway):
    problem = await gateway.call("PUT", "/v1/accounts/a%00b", {"name": "X"}, expect=400)
    assert "U+0000" in problem["detail"]


async def test_an_unknown_account_is_404_whatever_is_asked(gateway):
    for method, path, body in (
        ("GET", "", None),
        ("POST", "/keys", {"name": "x", "scopes": ["read"]}),
        ("GET", "/keys", None),
        ("POST", "/sessions", None),
        ("GET", "/connections", None),
        ("POST", "/connections", {"integration": "slow"}),
        ("POST", "/installations/claim", {"code": "x"}),
    ):
        problem = await gateway.call(method, f"/v1/accounts/nobody{path}", body, expect=404)
        assert problem["code"] == "not_found"


async def test_accounts_are_paged_by_id(gateway):
    await gateway.account("charlie")
    first = await gateway.call("GET", "/v1/accounts?limit=2")
    assert ([one["id"] for one in first["data"]], first["next"]) == (["acme", "bravo"], "bravo")
    rest = await gateway.call("GET", "/v1/accounts?limit=2&cursor=bravo")
    assert ([one["id"] for one in rest["data"]], rest["next"]) == (["charlie"], None)
