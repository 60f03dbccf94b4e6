"""Controls over HTTP, the served app, and the seed."""

import asyncio
import socket

import httpx
import pytest
import uvicorn

from gateway_pipedrive.sandbox import create_app, create_sandbox


@pytest.fixture
async def control(sandbox):
    async with httpx.AsyncClient(transport=sandbox.transport(), base_url="http://sandbox.test") as client:

        async def post(command, **parameters):
            return await client.post(f"/_control/{command}", json=parameters)

        yield post


async def test_controls_answer_over_http(sandbox, control):
    made = (await control("add_deal", title="D", person_id=1)).json()["result"]
    assert made["title"] == "D"
    moved = (await control("move_deal", deal_id=made["id"], stage_id=3)).json()["result"]
    assert moved["stage_id"] == 3
    assert (await control("win_deal", deal_id=made["id"])).json()["result"]["status"] == "won"
    assert (await control("deliver_webhooks")).json() == {"result": []}
    assert (await control("snapshot")).json()["result"]["deal"][0]["status"] == "won"
    assert (await control("install")).json()["result"]["token_type"] == "Bearer"
    assert "advance" in (await control("nonsense")).json()["controls"]
    assert (await control("nonsense")).status_code == 404
    assert (await control("win_deal")).status_code == 400
    assert (await control("win_deal", deal_id=99)).status_code == 400
    assert (await control("_do")).status_code == 404
    assert sandbox.requests() == []


async def test_time_can_be_moved_ahead(sandbox, control, client):
    assert (await client.get("/api/v1/users/me")).status_code == 200
    await control("advance", seconds=3600)
    assert (await client.get("/api/v1/users/me")).status_code == 401


async def test_reset_begins_anew(sandbox, control, client):
    await client.post("/api/v2/persons", json={"name": "Jane"})
    await control("advance", seconds=10)
    sandbox.fail_next()
    await control("reset")
    assert [one.name for one in sandbox.demo.company.persons.values()] == ["Ada Example", "Ben Example", "Cleo Nomail"]
    assert sandbox.requests() == []
    assert (await client.get("/api/v1/users/me")).status_code == 401


async def test_the_seed_has_what_a_demonstration_needs(sandbox):
    demo = sandbox.demo
    assert demo.company.name == "Acme"
    assert [stage.name for stage in demo.company.stages_of(demo.pipeline.id)][:4] == list(demo.stages)[:4]
    assert demo.company.default_pipeline().name == "Sales"
    assert {"Referral Code", "Referral Link", "Referral Count", "Converted Referral Count"} <= set(demo.person_fields)
    assert set(demo.person_fields) == set(demo.deal_fields)
    codes = {one.code for one in demo.company.custom_fields("person")} & {
        one.code for one in demo.company.custom_fields("deal")
    }
    assert codes == set()
    assert create_sandbox(seed=False).demo is None


async def test_unknown_options_are_refused_by_name():
    with pytest.raises(TypeError, match="serch_lag"):
        create_sandbox(serch_lag=5)


async def until(true):
    """Wait for something that another task does; a real socket has no clock of ours."""
    async with asyncio.timeout(5):
        while not true():  # noqa: ASYNC110 - the other side knows no event
            await asyncio.sleep(0.01)


@pytest.fixture
async def served():
    """A sandbox on a loopback port, that delivers by itself."""
    app = create_app(seed=True)
    server = uvicorn.Server(uvicorn.Config(app, log_level="error", lifespan="on", ws="none"))
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        task = asyncio.create_task(server.serve([listener]))
        await until(lambda: server.started)
        port = listener.getsockname()[1]
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:
            yield app.state.sandbox, client
        server.should_exit = True
        await task


async def test_over_a_socket_answers_are_lost_and_cut_for_real(served):
    sandbox, client = served
    token = sandbox.install()["access_token"]
    headers = {"authorization": f"Bearer {token}"}
    sandbox.lose_answer()
    with pytest.raises((httpx.ReadError, httpx.RemoteProtocolError)):
        await client.post("/api/v2/persons", json={"name": "Lost"}, headers=headers)
    sandbox.cut_answer()
    with pytest.raises(httpx.RemoteProtocolError):
        await client.post("/api/v2/persons", json={"name": "Cut"}, headers=headers)
    sandbox.refuse_connection()
    with pytest.raises((httpx.ReadError, httpx.RemoteProtocolError)):
        await client.post("/api/v2/persons", json={"name": "Refused"}, headers=headers)
    names = [one.name for one in sandbox.demo.company.persons.values()]
    assert names[3:] == ["Lost", "Cut"]
    assert (await client.get("/api/v1/users/me", headers=headers)).status_code == 200


async def test_over_a_socket_api_domain_is_the_own_origin(served):
    _, client = served
    form = {"client_id": "sandbox-client", "redirect_uri": "http://127.0.0.1:1/cb", "decision": "allow"}
    location = (await client.get("/oauth/authorize", params=form)).headers["location"]
    code = httpx.URL(location).params["code"]
    answer = await client.post(
        "/oauth/token",
        data={"grant_type": "authorization_code", "code": code, "redirect_uri": "http://127.0.0.1:1/cb"},
        auth=("sandbox-client", "sandbox-secret"),
    )
    assert answer.json()["api_domain"] == str(client.base_url).rstrip("/")


async def test_a_served_sandbox_delivers_by_itself(served):
    sandbox, client = served
    headers = {"authorization": "Bearer " + sandbox.install()["access_token"]}
    hook = {"subscription_url": f"{client.base_url}_control/webhooks", "event_action": "*", "event_object": "deal"}
    await client.post("/api/v1/webhooks", json=hook | {"name": "n"}, headers=headers)
    sandbox.add_deal("D")
    await until(sandbox.webhooks)
    assert sandbox.webhooks()[0].payload["data"]["title"] == "D"
