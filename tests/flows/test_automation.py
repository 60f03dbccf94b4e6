"""Automations: a plugin's routes and subscriptions, the key that connecting makes, what disconnecting takes back."""

import json
from contextlib import AsyncExitStack
from datetime import timedelta

import httpx
import pytest
from sqlalchemy import select

from gateway.app import as_openapi, create_app, create_worker, open_services
from gateway.errors import Refused
from gateway.flows.connections import steps
from gateway.flows.connections.host import AccountHost
from gateway.flows.notify import fan_out
from gateway.flows.notify.pace import Pace
from gateway.plugins import Integration, Registry
from gateway.storage import connections
from gateway.storage.tables import tasks
from gateway_schemas.manifest import ConnectStep

from . import toy_automation
from .toys import HOST_KEY, Gateway, Vendor, manifest, plugin, settings_for, toy

HOOK = "https://hooks.relay.test/a"


class Room:
    """The far end of subscriptions: notes what comes, and answers as told."""

    def __init__(self) -> None:
        self.requests: list[httpx.Request] = []
        self.answers: list[tuple[int, dict[str, str]]] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        status, headers = self.answers.pop(0) if self.answers else (200, {})
        return httpx.Response(status, headers=headers)

    def bodies(self, path: str | None = None) -> list[dict]:
        return [json.loads(one.content) for one in self.requests if path in (None, one.url.path)]


@pytest.fixture
async def room():
    return Room()


@pytest.fixture
async def gateway(database_url, database, room):
    async with AsyncExitStack() as stack:
        vendor = Vendor()
        services = await stack.enter_async_context(
            open_services(
                settings_for(database_url),
                environ={"GATEWAY_TOY_CLIENT_ID": "toy-client", "GATEWAY_TOY_CLIENT_SECRET": "toy-secret"},
                integrations=Registry([toy(), Integration("relay", toy_automation)]),
                clock=database.clock,
                vendor_transport=vendor.transport,
                webhook_transport=httpx.MockTransport(room),
            )
        )
        made = Gateway(services, create_app(services), create_worker(services), vendor)
        stack.push_async_callback(made.browser.aclose)
        await made.account()
        await made.call(
            "PUT", "/v1/accounts/acme/campaigns/spring",
            {"name": "Spring", "state": "live", "link_template": "https://refer.example/{code}"},
        )  # fmt: skip
        yield made


@pytest.fixture
async def key(gateway):
    return (await gateway.begin(integration="relay"))["key"]["key"]


async def listen(gateway, key, url=HOOK, expect=201, **more):
    return await gateway.call("POST", "/v1/apps/relay/listen", {"url": url, **more}, key=key, expect=expect)


async def signup(gateway, email="fiona@example.com", account="acme", **more):
    person = {"email": email, "first_name": email.partition("@")[0].title(), "last_name": "Friend"}
    body = {"role": "referred", "person": person, **more}
    answer = await gateway.call("POST", f"/v1/accounts/{account}/campaigns/spring/signups", body, expect=202)
    return answer["results"][0]


# --- the key -----------------------------------------------------------------------------------------------------


async def test_connecting_makes_one_key_shows_it_once_and_disconnecting_revokes_it(gateway):
    started = await gateway.begin(integration="relay")
    shown = started["key"]
    assert (started["state"], shown["name"], shown["scopes"]) == ("active", "Relay", ["relay"])
    assert shown["key"].startswith("gwk_")
    assert "key" not in json.dumps(await gateway.connection(started["id"])).replace('"key": null', "")
    again = await gateway.begin(integration="relay", expect=200)
    assert (again["id"], again["key"]) == (started["id"], None)
    (listed,) = await gateway.call("GET", "/v1/accounts/acme/keys")
    assert (listed["id"], listed["key"]) == (shown["id"], None)
    await listen(gateway, shown["key"])
    receipt = await gateway.call("DELETE", f"/v1/connections/{started['id']}")
    assert receipt["removed"] == ["One subscription.", "The account key was revoked."]
    refused = await listen(gateway, shown["key"], expect=401)
    assert refused["code"] == "unauthenticated"
    assert await gateway.call("GET", "/v1/accounts/acme/keys") == []


async def test_a_connection_that_was_begun_and_not_ended_is_ended_by_asking_again(gateway, monkeypatch):
    async def die(*_):
        raise RuntimeError("the process died")

    with monkeypatch.context() as patched:
        patched.setattr(steps, "complete", die)
        await gateway.begin(integration="relay", expect=500)
    again = await gateway.begin(integration="relay", expect=200)
    assert again["state"] == "active"
    await listen(gateway, again["key"]["key"])


async def test_a_key_that_is_revoked_alone_stops_and_the_connection_stays(gateway, key):
    (listed,) = await gateway.call("GET", "/v1/accounts/acme/keys")
    await gateway.call("DELETE", f"/v1/accounts/acme/keys/{listed['id']}")
    assert (await listen(gateway, key, expect=401))["code"] == "unauthenticated"
    assert (await gateway.begin(integration="relay", expect=200))["state"] == "active"


async def test_a_key_that_was_lost_is_replaced_without_a_pause(gateway, key):
    connection = (await gateway.call("GET", "/v1/accounts/acme/connections"))["data"][0]["id"]
    again = await gateway.call("POST", f"/v1/connections/{connection}/reauthorise")
    assert (again["state"], again["key"]["scopes"]) == ("active", ["relay"])
    await listen(gateway, again["key"]["key"])
    await listen(gateway, key, expect=200)
    first = (await gateway.call("GET", "/v1/accounts/acme/keys"))[0]["id"]
    await gateway.call("DELETE", f"/v1/accounts/acme/keys/{first}")
    await listen(gateway, key, expect=401)
    receipt = await gateway.call("DELETE", f"/v1/connections/{connection}")
    assert "The account key was revoked." in receipt["removed"]


async def test_disconnecting_leaves_other_keys_alone(gateway, key):
    other = await gateway.call("POST", "/v1/accounts/acme/keys", {"name": "shop", "scopes": ["read"]}, expect=201)
    mine = (await gateway.call("GET", "/v1/accounts/acme/connections"))["data"][0]["id"]
    await gateway.call("DELETE", f"/v1/connections/{mine}")
    assert await gateway.call("GET", "/v1/accounts/acme", key=other["key"])
    assert [one["id"] for one in await gateway.call("GET", "/v1/accounts/acme/keys")] == [other["id"]]


async def test_a_key_of_another_scope_and_a_host_key_do_not_open_the_routes(gateway, key):
    reading = await gateway.call("POST", "/v1/accounts/acme/keys", {"name": "r", "scopes": ["read"]}, expect=201)
    assert (await listen(gateway, reading["key"], expect=403))["code"] == "missing_scope"
    assert (await listen(gateway, HOST_KEY, expect=403))["code"] == "missing_scope"
    assert (await gateway.call("GET", "/v1/accounts/acme", key=key, expect=403))["code"] == "missing_scope"


async def test_an_automation_stands_beside_a_crm_and_alone(gateway, key):
    await gateway.connect()
    listed = (await gateway.call("GET", "/v1/accounts/acme/connections"))["data"]
    assert {(one["integration"], one["state"]) for one in listed} == {("relay", "active"), ("toy", "active")}
    await listen(gateway, key)


def test_an_integration_that_asks_for_a_key_has_no_connect_steps():
    described = manifest(
        "odd", category="automation", auth=toy_automation.MANIFEST.auth,
        connect_steps=[ConnectStep(key="approval", kind="approval", title="Approval")],
    )  # fmt: skip
    with pytest.raises(ValueError, match="no connect steps"):
        plugin("odd", describe=lambda: described)


# --- routes ------------------------------------------------------------------------------------------------------


async def test_a_route_is_in_the_openapi_document_with_its_shapes(gateway):
    document = as_openapi(gateway.app)
    operation = document["paths"]["/v1/apps/relay/listen"]["post"]
    assert operation["summary"] == "Listen to signups."
    assert operation["parameters"][0]["name"] == "mood"
    asked = operation["requestBody"]["content"]["application/json"]["schema"]["$ref"].rpartition("/")[2]
    assert set(document["components"]["schemas"][asked]["properties"]) == {"url", "campaign"}
    told = operation["responses"]["201"]["content"]["application/json"]["schema"]["$ref"].rpartition("/")[2]
    assert set(document["components"]["schemas"][told]["properties"]) == {"id"}


async def test_what_a_route_refuses_names_the_field_and_says_what_to_do(gateway, key):
    async def refused(body, query=""):
        return await gateway.call("POST", f"/v1/apps/relay/listen{query}", body, key=key, expect=422)

    problem = await refused({"url": HOOK}, "?mood=grumpy")
    assert problem["problems"] == [{"field": "url", "message": "Ask politely.", "code": "grumpy"}]
    assert (await refused({"url": "http://hooks.relay.test"}))["problems"][0]["code"] == "https_required"
    assert (await refused({"url": "https://10.0.0.1/"}))["problems"][0]["code"] == "not_public"
    assert (await refused({"url": 7}))["problems"][0]["field"] == "url"
    assert (await refused({"url": HOOK, "more": 1}))["problems"][0]["field"] == "more"


async def test_a_route_without_its_connection_says_so(gateway):
    made = await gateway.call("POST", "/v1/accounts/acme/keys", {"name": "z", "scopes": ["zapier"]}, expect=201)
    assert (await listen(gateway, made["key"], expect=403))["code"] == "missing_scope"
    started = await gateway.begin(integration="relay")
    async with gateway.services.database.read() as conn:
        row = await connections.get(conn, started["id"])
    await gateway.services.database.writer.run(lambda conn: connections.change(conn, row.id, state="needs_reauth"))
    assert (await listen(gateway, started["key"]["key"], expect=409))["code"] == "not_connected"


# --- subscriptions -----------------------------------------------------------------------------------------------


async def test_a_signup_reaches_each_subscription_with_who_it_was(gateway, key, room):
    await listen(gateway, key)
    await listen(gateway, key, "https://hooks.relay.test/b")
    await listen(gateway, key, "https://hooks.relay.test/c", campaign="autumn")
    await signup(gateway, referrer={"email": "bob@example.com", "first_name": "Bob"})
    await gateway.worker.drain()
    (body,) = room.bodies("/a")
    assert body == {"id": body["id"], "who": "Fiona", "invited_by": "Bob", "campaign": "Spring"}
    assert room.bodies("/b") == [body]
    assert room.bodies("/c") == []
    assert {one.headers["webhook-id"] for one in room.requests} == {body["id"]}


async def test_subscribing_again_is_the_same_subscription_also_when_both_ask_at_once(gateway, key):
    import asyncio

    first = await listen(gateway, key)
    assert (await listen(gateway, key, expect=200)) == first
    other = "https://hooks.relay.test/b"
    both = await asyncio.gather(*(
        gateway.browser.post(
            "/v1/apps/relay/listen", json={"url": other}, headers={"authorization": f"Bearer {key}"}
        )
        for _ in range(4)
    ))  # fmt: skip
    assert len({one.json()["id"] for one in both}) == 1
    assert sorted(one.status_code for one in both) == [200, 200, 200, 201]


async def test_two_processes_that_subscribe_at_once_make_one_subscription(gateway, key, database_url, database):
    async with open_services(
        settings_for(database_url), integrations=Registry([Integration("relay", toy_automation)]), clock=database.clock,
        webhook_transport=httpx.MockTransport(Room()), vendor_transport=Vendor().transport,
    ) as second:  # fmt: skip
        async with second.database.read() as conn:
            row = await connections.open_of(conn, "acme", "relay")
        there = await AccountHost(second, row).subscribe(HOOK, ["signup.accepted"], filters={"a": 1})
        here = await AccountHost(gateway.services, row).subscribe(HOOK, ["signup.accepted"], filters={"a": 1})
    assert here.id == there.id


async def test_a_subscription_that_answers_410_is_dropped_at_once(gateway, key, room):
    made = await listen(gateway, key)
    room.answers.append((410, {}))
    await signup(gateway)
    await gateway.worker.drain()
    await signup(gateway, "greta@example.com")
    await gateway.worker.drain()
    assert len(room.requests) == 1
    await gateway.call("GET", f"/v1/endpoints/{made['id']}", expect=404)
    async with gateway.services.database.read() as conn:
        assert await gateway.services.vault.get_all(conn, made["id"]) == {}, "its secret goes with it"
    assert (await listen(gateway, key))["id"] != made["id"]


async def test_a_subscription_that_says_429_waits_as_long_as_it_asks(gateway, key, room):
    await listen(gateway, key)
    room.answers.append((429, {"retry-after": "70"}))
    await signup(gateway)
    await gateway.worker.drain()
    gateway.clock.advance(timedelta(seconds=60))
    await gateway.worker.drain()
    assert len(room.requests) == 1
    gateway.clock.advance(timedelta(seconds=12))
    await gateway.worker.drain()
    assert len(room.requests) == 2


async def test_no_url_is_called_faster_than_its_integration_allows(gateway, key, room):
    await listen(gateway, key)
    for number in range(8):
        await signup(gateway, f"friend{number}@example.com")
    granted = granted_times(gateway.services)
    for _ in range(10):
        await gateway.worker.drain()
        if len(room.requests) == 8:
            break
        gateway.clock.advance(timedelta(seconds=1.1))
    assert len({one.headers["webhook-id"] for one in room.requests}) == len(granted) == 8
    assert all(later - earlier >= timedelta(seconds=1) for earlier, later in zip(granted, granted[3:], strict=False))


async def lanes_of_deliveries(gateway):
    async with gateway.services.database.read() as conn:
        return set((await conn.execute(select(tasks.c.lane).where(tasks.c.kind == "deliver"))).scalars())


async def test_one_url_of_two_accounts_has_one_lane_and_one_pace(gateway, key, room):
    """So whichever process owns it sees every call of that URL."""
    await gateway.account("bravo")
    other = (await gateway.begin("bravo", integration="relay"))["key"]["key"]
    body = {"name": "Spring", "state": "live", "link_template": "https://refer.example/{code}"}
    await gateway.call("PUT", "/v1/accounts/bravo/campaigns/spring", body)
    await listen(gateway, key)
    await listen(gateway, other)
    await listen(gateway, other, url="https://hooks.relay.test/elsewhere")
    for account in ("acme", "bravo"):
        for number in range(4):
            await signup(gateway, f"friend{number}@example.com", account=account)
    granted = granted_times(gateway.services)
    for _ in range(12):
        await gateway.worker.drain()
        if len(room.requests) == 12:
            break
        gateway.clock.advance(timedelta(seconds=1.1))
    assert len(await lanes_of_deliveries(gateway)) == 2
    assert (len(room.bodies("/a")), len(room.bodies("/elsewhere"))) == (8, 4)
    times = sorted(at for at, url in zip(granted, granted.urls, strict=True) if url == HOOK)
    assert all(later - earlier >= timedelta(seconds=1) for earlier, later in zip(times, times[3:], strict=False))


async def test_a_subscription_that_is_disabled_takes_nothing_from_another_one_of_its_url(gateway, key, room):
    made = [await listen(gateway, key), await listen(gateway, key, campaign="spring")]
    room.answers += [(500, {}), (500, {})]
    await signup(gateway)
    await gateway.worker.drain()
    assert len(room.requests) == 2
    await gateway.call("PATCH", f"/v1/endpoints/{made[0]['id']}", {"disabled": True})
    gateway.clock.advance(timedelta(minutes=1))
    await gateway.worker.drain()
    states = {one["target"]: one["state"] for one in (await gateway.call("GET", "/v1/deliveries"))["data"]}
    assert states == {made[0]["id"]: "parked", made[1]["id"]: "delivered"}
    await gateway.call("POST", f"/v1/endpoints/{made[0]['id']}/enable", {})
    await gateway.worker.drain()
    gateway.clock.advance(timedelta(seconds=2))
    await gateway.worker.drain()
    assert len(room.requests) == 4
    room.answers += [(500, {}), (500, {})]
    await signup(gateway, "greta@example.com")
    await gateway.worker.drain()
    await gateway.call("DELETE", f"/v1/endpoints/{made[0]['id']}")
    gateway.clock.advance(timedelta(minutes=1))
    await gateway.worker.drain()
    assert len(room.requests) == 7


class Granted(list):
    """Times at which URLs were called, and which."""

    def __init__(self):
        super().__init__()
        self.urls = []


def granted_times(services):
    """Note when URLs are called from now on; the machine may be slow, the window is exact."""
    pace, times = services.memory(Pace), Granted()
    ask = pace.wait_seconds

    def noting(url, per_second, now):
        wait = ask(url, per_second, now)
        if wait == 0:
            times.append(now)
            times.urls.append(url)
        return wait

    pace.wait_seconds = noting
    return times


async def test_deliveries_of_a_subscription_are_in_the_log_and_can_be_sent_again(gateway, key, room):
    made = await listen(gateway, key)
    await signup(gateway)
    await gateway.worker.drain()
    (delivery,) = (await gateway.call("GET", "/v1/deliveries?account=acme"))["data"]
    assert (delivery["target"], delivery["state"]) == (made["id"], "delivered")
    gateway.clock.advance(timedelta(seconds=2))
    await gateway.call("POST", f"/v1/deliveries/{delivery['id']}/replay")
    await gateway.worker.drain()
    first, second = room.requests
    assert first.headers["webhook-id"] == second.headers["webhook-id"]
    assert first.content == second.content


async def test_what_a_subscription_asked_for_is_not_changed_behind_its_owners_back(gateway, key):
    made = await listen(gateway, key)
    problem = await gateway.call(
        "PATCH", f"/v1/endpoints/{made['id']}", {"url": "https://elsewhere.example"}, expect=409
    )
    assert problem["code"] == "wrong_state"
    assert (await gateway.call("PATCH", f"/v1/endpoints/{made['id']}", {"disabled": True}))["state"] == "disabled"


async def test_samples_are_what_a_subscription_would_have_been_sent(gateway, key, room):
    await listen(gateway, key)
    await signup(gateway)
    await signup(gateway, "greta@example.com")
    await signup(gateway, "tess@example.com", test=True)
    await gateway.worker.drain()
    async with gateway.services.database.read() as conn:
        row = await connections.open_of(conn, "acme", "relay")
    host = AccountHost(gateway.services, row)
    samples = await host.sample_bodies(["signup.accepted"], filters={"role": "referred"}, limit=3)
    assert [one["who"] for one in samples] == ["Greta", "Fiona"]
    assert sorted(samples, key=str) == sorted(room.bodies(), key=str)
    assert await host.sample_bodies(["signup.accepted"], filters={"campaign": "autumn"}) == []
    assert len(await host.sample_bodies(["signup.accepted"], limit=1)) == 1


async def test_what_waits_for_a_subscription_is_cancelled_with_it(gateway, key, room):
    await listen(gateway, key)
    room.answers.append((500, {}))
    await signup(gateway)
    await gateway.worker.drain()
    connection = (await gateway.call("GET", "/v1/accounts/acme/connections"))["data"][0]["id"]
    await gateway.call("DELETE", f"/v1/connections/{connection}")
    gateway.clock.advance(timedelta(days=1))
    await gateway.worker.drain()
    assert len(room.requests) == 1
    (delivery,) = (await gateway.call("GET", "/v1/deliveries?account=acme"))["data"]
    assert (delivery["state"], delivery["error"]) == ("cancelled", "the connection was disconnected")


async def test_nothing_can_be_subscribed_once_the_connection_has_ended(gateway, key):
    async with gateway.services.database.read() as conn:
        row = await connections.open_of(conn, "acme", "relay")
    await gateway.call("DELETE", f"/v1/connections/{row.id}")
    with pytest.raises(Refused, match="not_connected"):
        await AccountHost(gateway.services, row).subscribe(HOOK, ["signup.accepted"])
    assert (await gateway.call("GET", "/v1/endpoints?account=acme"))["data"] == []


async def test_many_deliveries_are_made_in_several_transactions_and_none_is_missing(gateway, key, room, monkeypatch):
    monkeypatch.setattr(fan_out, "PAIRS", 4)
    for name in "abc":
        await listen(gateway, key, f"https://hooks.relay.test/{name}")
    for number in range(5):
        await signup(gateway, f"friend{number}@example.com")
    for _ in range(10):
        await gateway.worker.drain()
        gateway.clock.advance(timedelta(seconds=1.1))
    assert len(room.requests) == 15
    assert len({(one.url.path, one.headers["webhook-id"]) for one in room.requests}) == 15
    feed = await gateway.call("GET", "/v1/events?after=0&limit=200")
    positions = [event["position"] for event in feed["data"]]
    assert positions == list(range(1, len(positions) + 1))
