"""Endpoints, feed and deliveries over HTTP: who sees what, and the way of a signup's events to the host."""

import httpx
import msgspec
import pytest

from gateway_schemas.event_data import DATA

from .conftest import GATEWAY


async def key_for(world, account: str, *scopes: str) -> httpx.AsyncClient:
    made = await world.call("POST", f"/v1/accounts/{account}/keys", {"name": "k", "scopes": list(scopes)}, expect=201)
    return httpx.AsyncClient(
        transport=httpx.ASGITransport(world.app), base_url=GATEWAY, headers={"authorization": f"Bearer {made['key']}"}
    )


@pytest.fixture
async def acme(world):
    await world.account("acme")
    async with await key_for(world, "acme", "read", "manage") as client:
        yield client


async def test_a_signup_is_told_to_the_host_step_by_step(world):
    await world.account()
    await world.campaign()
    await world.endpoint()
    await world.connect()
    await world.setup()
    await world.signup()
    await world.drain()
    types = [event["type"] for event in world.host.events]
    assert types.count("connection.activated") == 1
    assert types.count("signup.accepted") == types.count("signup.delivered") == 1
    assert world.host.refused == []
    for event in world.host.events:
        shape = msgspec.convert(event["data"], DATA[event["type"]])
        assert msgspec.to_builtins(shape).keys() == event["data"].keys(), event["type"]
    feed = await world.call("GET", "/v1/events?after=0&limit=200")
    assert {event["id"] for event in feed["data"]} == set(world.host.seen)
    assert feed["next"] == feed["data"][-1]["position"]
    deliveries = (await world.call("GET", "/v1/deliveries?limit=200"))["data"]
    pushes = [one for one in deliveries if one["kind"] == "signup"]
    assert [(one["state"], one["type"]) for one in pushes] == [("delivered", "push_signup")]
    assert pushes[0]["subject"] == world.host.of_type("signup.delivered")[0]["data"]["person"]
    assert pushes[0]["target"] == world.host.of_type("signup.delivered")[0]["data"]["connection"]
    assert pushes[0]["attempts"]
    shown = await world.call("GET", f"/v1/deliveries/{pushes[0]['id']}")
    assert shown == pushes[0]
    told = {one["subject"] for one in deliveries if one["kind"] == "event"}
    assert told == set(world.host.seen)


async def test_deliveries_page_through_both_sorts_without_a_gap(world):
    await world.account()
    await world.campaign()
    await world.endpoint()
    await world.connect()
    await world.setup()
    for number in range(3):
        await world.signup(email=f"friend{number}@example.com")
    await world.drain()
    everything = [one["id"] for one in (await world.call("GET", "/v1/deliveries?limit=200"))["data"]]
    paged, cursor = [], ""
    while cursor is not None:
        page = await world.call("GET", f"/v1/deliveries?limit=2{cursor and '&cursor=' + cursor}")
        paged += [one["id"] for one in page["data"]]
        cursor = page["next"]
    assert paged == everything
    assert len(paged) == len(set(paged)) > 6
    failed = await world.call("GET", "/v1/deliveries?state=failed")
    assert failed == {"data": [], "next": None}
    assert (await world.call("GET", "/v1/deliveries?state=lost", expect=422))["code"] == "invalid_input"


async def test_a_secret_is_shown_when_it_is_made_and_never_again(world):
    made = await world.call("POST", "/v1/endpoints", {"url": "https://host.test/webhooks"}, expect=201)
    assert made["secret"].startswith("whsec_")
    path = f"/v1/endpoints/{made['id']}"
    assert (await world.call("GET", path))["secret"] is None
    listed = (await world.call("GET", "/v1/endpoints"))["data"]
    assert [(one["id"], one["secret"]) for one in listed] == [(made["id"], None)]
    patched = await world.call("PATCH", path, {"description": "main", "event_types": ["reward.due"]})
    assert (patched["description"], patched["event_types"], patched["secret"]) == ("main", ["reward.due"], None)
    rotated = await world.call("POST", f"{path}/rotate")
    assert rotated["secret"] not in (None, made["secret"])
    assert rotated["previous_secret_until"] is not None
    again = await world.call("POST", f"{path}/rotate", {"grace_hours": 1}, expect=409)
    assert again["code"] == "rotation_under_way"
    await world.call("POST", f"{path}/rotate", {"force": True})
    await world.call("DELETE", path, expect=204)
    assert (await world.call("GET", path, expect=404))["code"] == "not_found"
    assert (await world.call("DELETE", path, expect=404))["code"] == "not_found"


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"url": "http://host.test/"}, "url"),
        ({"url": "https://127.0.0.1/"}, "url"),
        ({"url": "https://host.test/", "event_types": ["lead.exploded"]}, "event_types[0]"),
        ({"url": "https://host.test/", "events": []}, "events"),
        ({}, "url"),
    ],
    ids=str,
)
async def test_a_wrong_endpoint_is_refused_by_field(world, body, field):
    problem = await world.call("POST", "/v1/endpoints", body, expect=422)
    assert [one["field"] for one in problem["problems"]] == [field]


async def test_an_endpoint_of_an_unknown_account_is_refused(world):
    body = {"url": "https://host.test/webhooks", "account": "nobody"}
    assert (await world.call("POST", "/v1/endpoints", body, expect=404))["code"] == "not_found"


async def test_an_account_sees_its_own_endpoints_events_and_deliveries_alone(world, acme):
    await world.account("other")
    hosts = await world.endpoint()
    others = await world.call("POST", "/v1/endpoints", {"url": "https://host.test/o", "account": "other"}, expect=201)
    own = (await acme.post("/v1/endpoints", json={"url": "https://host.test/webhooks"})).json()
    assert own["account"] == "acme"
    world.host.secrets.append(own["secret"])
    assert [one["id"] for one in (await acme.get("/v1/endpoints")).json()["data"]] == [own["id"]]
    for foreign in (hosts["id"], others["id"]):
        assert (await acme.get(f"/v1/endpoints/{foreign}")).status_code == 404
        assert (await acme.delete(f"/v1/endpoints/{foreign}")).status_code == 404
        assert (await acme.post(f"/v1/endpoints/{foreign}/rotate")).status_code == 404
        assert (await acme.post(f"/v1/endpoints/{foreign}/test")).status_code == 404
        assert (await acme.post(f"/v1/endpoints/{foreign}/enable")).status_code == 404
    foreign = {"url": "https://host.test/x", "account": "other"}
    assert (await acme.post("/v1/endpoints", json=foreign)).status_code == 404
    assert (await acme.get("/v1/endpoints?account=other")).status_code == 404
    assert (await acme.get("/v1/events?account=other")).status_code == 404
    assert (await acme.get("/v1/deliveries?account=other")).status_code == 404
    await world.call("PATCH", f"/v1/endpoints/{others['id']}", {"disabled": True})
    await world.connect("acme")
    seen = (await acme.get("/v1/events")).json()["data"]
    assert seen
    assert {event["account"] for event in seen} == {"acme"}
    assert {event["account"] for event in (await world.call("GET", "/v1/events"))["data"]} == {"acme", "other"}
    mine = (await acme.get("/v1/deliveries")).json()["data"]
    assert {one["target"] for one in mine} == {own["id"]}
    everyone = (await world.call("GET", "/v1/deliveries"))["data"]
    hidden = next(one["id"] for one in everyone if one["target"] == hosts["id"])
    assert (await acme.get(f"/v1/deliveries/{hidden}")).status_code == 404
    assert (await acme.post(f"/v1/deliveries/{hidden}/replay")).status_code == 404
    counted = await acme.post("/v1/deliveries/replay?dry_run=true", json={"state": "delivered"})
    assert counted.json() == {"matched": len(mine), "replayed": 0, "dry_run": True}


async def test_a_key_needs_the_scope(world):
    await world.account("acme")
    async with await key_for(world, "acme", "read") as reader, await key_for(world, "acme", "signups") as sender:
        assert (await reader.get("/v1/endpoints")).status_code == 200
        assert (await reader.get("/v1/events")).status_code == 200
        assert (await reader.post("/v1/endpoints", json={"url": "https://host.test/"})).status_code == 403
        assert (await reader.post("/v1/deliveries/replay", json={})).status_code == 403
        for path in ("/v1/endpoints", "/v1/events", "/v1/deliveries"):
            assert (await sender.get(path)).status_code == 403
    async with httpx.AsyncClient(transport=httpx.ASGITransport(world.app), base_url=GATEWAY) as nobody:
        assert (await nobody.get("/v1/events")).status_code == 401


async def test_test_enable_and_replay_over_http(world):
    await world.account()
    made = await world.endpoint()
    path = f"/v1/endpoints/{made['id']}"
    result = await world.call("POST", f"{path}/test")
    assert (result["delivered"], result["status"], result["error"]) == (True, 204, None)
    assert [event["type"] for event in world.host.events] == ["endpoint.test"]
    await world.call("PATCH", path, {"disabled": True})
    await world.connect()
    assert (await world.call("GET", path))["state"] == "disabled"
    assert len(world.host.events) == 1
    enabled = await world.call("POST", f"{path}/enable", {"replay_from": 0})
    assert (enabled["state"], enabled["disabled_reason"]) == ("enabled", None)
    await world.drain()
    (activated,) = world.host.of_type("connection.activated")
    (delivery,) = (await world.call("GET", f"/v1/deliveries?endpoint={made['id']}&state=delivered"))["data"]
    again = await world.call("POST", f"/v1/deliveries/{delivery['id']}/replay", expect=202)
    assert again["state"] == "waiting"
    await world.drain()
    assert world.host.seen[activated["id"]] == 2
    many = await world.call("POST", "/v1/deliveries/replay", {"state": "delivered"}, expect=202)
    assert many == {"matched": 1, "replayed": 1, "dry_run": False}
    await world.drain()
    assert world.host.seen[activated["id"]] == 3
    assert (await world.call("POST", f"{path}/enable", {"replay_from": -1}, expect=422))["code"] == "invalid_input"
    assert (await world.call("POST", "/v1/deliveries/dlv_nothing/replay", expect=404))["code"] == "not_found"
    assert (await world.call("GET", "/v1/events?after=-1", expect=422))["code"] == "invalid_input"


async def test_a_signup_that_is_in_the_crm_is_not_replayed(world):
    await world.account()
    await world.campaign()
    await world.connect()
    await world.setup()
    await world.signup()
    await world.drain()
    (push,) = [one for one in (await world.call("GET", "/v1/deliveries"))["data"] if one["kind"] == "signup"]
    refused = await world.call("POST", f"/v1/deliveries/{push['id']}/replay", expect=409)
    assert refused["code"] == "wrong_state"
