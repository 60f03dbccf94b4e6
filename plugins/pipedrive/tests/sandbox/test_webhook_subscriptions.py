"""Webhook subscriptions: ``VENDOR.md``, chapter 7.10."""

import pytest

HOOK = {
    "subscription_url": "https://gateway.test/hooks/abc",
    "event_action": "*",
    "event_object": "deal",
    "name": "Referrals: deals",
    "version": "2.0",
    "http_auth_user": "u",
    "http_auth_password": "p",
}


async def test_create_answers_201_in_the_other_envelope(sandbox, client):
    answer = await client.post("/api/v1/webhooks", json=HOOK)
    assert answer.status_code == 201
    body = answer.json()
    assert (body["status"], body["success"]) == ("ok", True)
    data = body["data"]
    assert data.items() >= HOOK.items()
    assert data["type"] == "application"
    assert data["is_active"] == 1
    assert data["user_id"] == data["owner_id"] == sandbox.demo.admin.id
    assert (await client.get("/api/v1/webhooks")).json() == {"status": "ok", "success": True, "data": [data]}


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"subscription_url": None}, "subscription_url"),
        ({"subscription_url": "ftp://gateway.test"}, "subscription_url"),
        ({"subscription_url": "https://acme.pipedrive.com/x"}, "subscription_url"),
        ({"subscription_url": "https://down.test/x"}, "subscription_url"),
        ({"event_action": "added"}, "event_action"),
        ({"event_action": None}, "event_action"),
        ({"event_object": "ship"}, "event_object"),
        ({"name": None}, "name"),
        ({"name": "x" * 256}, "name"),
        ({"version": "3.0"}, "version"),
        ({"user_id": 1}, "user_id"),
    ],
    ids=str,
)
async def test_bad_subscriptions_are_refused(make, client_for, change, field):
    sandbox = make(unreachable_urls=("https://down.test",))
    async with client_for(sandbox) as client:
        answer = await client.post("/api/v1/webhooks", json=HOOK | change)
    assert answer.status_code == 400
    assert answer.json()["status"] == "error"
    assert list(answer.json()["errors"]) == [field]
    assert sandbox.subscriptions() == []


async def test_private_addresses_can_be_refused_as_at_the_vendor(make, client_for):
    local = HOOK | {"subscription_url": "http://127.0.0.1:8000/hooks"}
    async with client_for(make()) as client:
        assert (await client.post("/api/v1/webhooks", json=local)).status_code == 201
    async with client_for(make(allow_local_webhooks=False)) as client:
        answer = await client.post("/api/v1/webhooks", json=local)
    assert answer.json()["errors"] == {"subscription_url": ["invalid or non-reachable URL"]}


async def test_object_types_of_2026_are_taken(client):
    assert (await client.post("/api/v1/webhooks", json=HOOK | {"event_object": "project"})).status_code == 201


async def test_forty_are_the_limit_for_each_user(sandbox, client, client_for):
    for _ in range(40):
        assert (await client.post("/api/v1/webhooks", json=HOOK)).status_code == 201
    assert (await client.post("/api/v1/webhooks", json=HOOK)).status_code == 422
    async with client_for(sandbox, sandbox.demo.seller.id) as other:
        assert (await other.post("/api/v1/webhooks", json=HOOK)).status_code == 201


async def test_delete_once_then_not_found(client):
    made = (await client.post("/api/v1/webhooks", json=HOOK)).json()["data"]
    path = f"/api/v1/webhooks/{made['id']}"
    assert (await client.delete(path)).json() == {"status": "ok", "success": True}
    answer = await client.delete(path)
    assert answer.status_code == 404
    assert answer.json() == {"status": "error", "success": False, "errors": {"id": ["not found"]}}


async def test_an_app_sees_and_deletes_only_its_own(sandbox, client):
    made = (await client.post("/api/v1/webhooks", json=HOOK)).json()["data"]
    sandbox.state.subscriptions[made["id"]].client_id = "another-app"
    assert (await client.get("/api/v1/webhooks")).json()["data"] == []
    answer = await client.delete(f"/api/v1/webhooks/{made['id']}")
    assert answer.status_code == 403
    assert answer.json() == {"success": False, "message": "Forbidden"}


async def test_there_is_no_reading_or_changing_of_one(client):
    made = (await client.post("/api/v1/webhooks", json=HOOK)).json()["data"]
    path = f"/api/v1/webhooks/{made['id']}"
    assert (await client.get(path)).status_code == 405
    assert (await client.put(path, json=HOOK)).status_code == 405


async def test_admin_is_needed(make, client_for):
    async with client_for(make(granted_scopes=("base", "deals:full", "contacts:full", "leads:full"))) as client:
        assert (await client.post("/api/v1/webhooks", json=HOOK)).status_code == 403
