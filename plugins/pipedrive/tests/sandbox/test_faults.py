"""Faults around calls: what a client sees, and what was done all the same."""

import httpx
import pytest


async def test_a_lost_answer_leaves_the_write_done(sandbox, client):
    sandbox.lose_answer(match="/persons$", method="POST")
    with pytest.raises(httpx.ReadError):
        await client.post("/api/v2/persons", json={"name": "Jane"})
    assert [one.name for one in sandbox.demo.company.persons.values()][-1] == "Jane"
    assert (await client.post("/api/v2/persons", json={"name": "Jane"})).status_code == 200
    assert len([one for one in sandbox.requests(method="POST") if one.fault == "lose"]) == 1


async def test_a_lost_answer_may_be_a_timeout(sandbox, client):
    sandbox.lose_answer(timeout=True)
    with pytest.raises(httpx.ReadTimeout):
        await client.post("/api/v2/persons", json={"name": "Jane"})
    assert len(sandbox.demo.company.persons) == 4


async def test_a_plain_asgi_transport_sees_the_same(sandbox):
    token = sandbox.install()["access_token"]
    transport = httpx.ASGITransport(app=sandbox.app)
    headers = {"authorization": f"Bearer {token}"}
    async with httpx.AsyncClient(transport=transport, base_url="https://x.test", headers=headers) as client:
        sandbox.lose_answer()
        with pytest.raises(httpx.ReadError):
            await client.get("/api/v1/users/me")
        sandbox.cut_answer()
        with pytest.raises(httpx.RemoteProtocolError):
            await client.get("/api/v1/users/me")


async def test_a_cut_answer_has_a_status_and_half_a_body(sandbox, client):
    sandbox.cut_answer(match="/persons$", method="POST")
    async with client.stream("POST", "/api/v2/persons", json={"name": "Jane"}) as answer:
        assert answer.status_code == 200
        with pytest.raises(httpx.RemoteProtocolError):
            await answer.aread()
    assert len(sandbox.demo.company.persons) == 4


async def test_a_refused_connection_does_nothing(sandbox, client):
    sandbox.refuse_connection()
    with pytest.raises(httpx.ConnectError):
        await client.post("/api/v2/persons", json={"name": "Jane"})
    assert len(sandbox.demo.company.persons) == 3


async def test_a_delay_beyond_the_clients_patience_is_a_timeout(sandbox, client):
    sandbox.delay(30, n=2)
    with pytest.raises(httpx.ReadTimeout):
        await client.post("/api/v2/persons", json={"name": "Jane"}, timeout=10)
    assert (await client.get("/api/v1/users/me", timeout=60)).status_code == 200
    assert len(sandbox.demo.company.persons) == 4


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"retry-after": "7"},
        {"retry-after": "Sat, 21 Nov 2026 10:00:30 GMT"},
        {"x-ratelimit-reset": "2", "x-ratelimit-remaining": "0"},
        {"x-daily-ratelimit-token-remaining": "0", "retry-after": "1"},
    ],
    ids=str,
)
async def test_calls_can_fail_with_any_retry_after(sandbox, client, headers):
    sandbox.fail_next(429, 2, headers=headers, match="/leads")
    assert (await client.get("/api/v2/persons")).status_code == 200
    for _ in range(2):
        answer = await client.post("/api/v1/leads", json={"title": "L", "person_id": 1})
        assert answer.status_code == 429
        assert dict(answer.headers).items() >= headers.items()
    assert sandbox.demo.company.leads == {}
    assert (await client.post("/api/v1/leads", json={"title": "L", "person_id": 1})).status_code == 201


async def test_calls_can_fail_with_pages_and_bodies(sandbox, client):
    sandbox.fail_next(502, body="<html>Bad gateway</html>")
    answer = await client.get("/api/v2/persons")
    assert answer.headers["content-type"].startswith("text/html")
    sandbox.fail_next(503)
    assert (await client.get("/api/v2/persons")).json()["success"] is False
    sandbox.fail_next(400, body={"success": False, "error": "odd"})
    assert (await client.get("/api/v2/persons")).json() == {"success": False, "error": "odd"}


async def test_the_token_endpoint_can_fail_too(sandbox):
    sandbox.fail_next(500, match="/oauth/token")
    async with httpx.AsyncClient(transport=sandbox.transport(), base_url="https://oauth.pipedrive.test") as browser:
        assert (await browser.post("/oauth/token")).status_code == 500
        assert (await browser.post("/oauth/token")).status_code == 400


async def test_faults_can_be_forgotten(sandbox, client):
    sandbox.fail_next(500, 10)
    sandbox.clear_faults()
    assert (await client.get("/api/v1/users/me")).status_code == 200


async def test_the_log_keeps_what_was_asked_and_answered(sandbox, client):
    await client.post("/api/v2/persons?x=", json={"name": "Jane"})
    await client.post("/api/v2/persons", json={"name": "Jane"})
    first, second = sandbox.requests(method="POST", path="/persons", body_contains="Jane")
    assert (first.status, first.query, first.cost) == (200, {"x": ""}, 5)
    assert second.body == {"name": "Jane"}
    assert second.status == 200
    assert second.answer["data"]["name"] == "Jane"
    assert (second.company_id, second.user_id) == (sandbox.demo.company.id, sandbox.demo.admin.id)
    sandbox.clear_log()
    assert sandbox.requests() == []


async def test_a_bug_of_the_sandbox_is_loud_in_process(sandbox, client, monkeypatch):
    monkeypatch.setattr(sandbox.oauth, "authenticate", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        await client.get("/api/v1/users/me")
