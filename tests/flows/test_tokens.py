"""Tokens: refreshed once for everybody, stored before they are used, kept alive, and given up only when refused."""

import asyncio
from contextlib import AsyncExitStack
from datetime import timedelta
from email.utils import format_datetime

import httpx
import pytest

from gateway.flows.connections.client_tokens import ClientTokens
from gateway.flows.connections.credentials import StoredTokens, TokenMemory, stored_tokens
from gateway.flows.connections.opening import open_connection
from gateway.sdk.clock import Clock
from gateway.sdk.errors import Misconfigured, ReauthRequired, RetryLater
from gateway.storage import authorisations, connections, lanes
from gateway.storage.writer import StorageUnavailable

from .toys import Vendor, form_toy, open_gateway, toy


@pytest.fixture
def vendor():
    return Vendor()


@pytest.fixture
async def open_process(database_url, clock: Clock, vendor):
    async with AsyncExitStack() as stack:

        async def make(**changes):
            return await open_gateway(stack, database_url, clock, vendor, [toy(), form_toy()], **changes)

        yield make


@pytest.fixture
async def gateway(open_process):
    gateway = await open_process()
    await gateway.account()
    return gateway


async def row_of(gateway, connection_id):
    async with gateway.services.database.read() as conn:
        return await connections.get(conn, connection_id)


async def source_of(gateway, connection_id, properties=None):
    row = await row_of(gateway, connection_id)
    integration = gateway.services.integrations.get("toy")
    return StoredTokens(gateway.services, integration, row, {} if properties is None else properties)


async def stored(gateway, connection_id):
    async with gateway.services.database.read() as conn:
        return await stored_tokens(gateway.services, conn, connection_id)


async def test_two_hundred_callers_of_two_processes_refresh_once_at_expiry(gateway, open_process):
    other = await open_process()
    connection = await gateway.connect()
    gateway.clock.advance(timedelta(hours=1))
    sources = [await source_of(one, connection) for one in (gateway, other)]
    got = await asyncio.gather(*(sources[i % 2].token() for i in range(200)))
    assert set(got) == {"access-token-2"}
    assert gateway.vendor.count("refresh_token") == 1
    assert (await stored(gateway, connection)).refresh_token == "refresh-token-2"
    row = await row_of(gateway, connection)
    assert (row.state, row.refresh_owner, row.refresh_until) == ("active", None, None)


async def test_two_hundred_callers_whose_token_was_refused_refresh_once(gateway, open_process):
    other = await open_process()
    connection = await gateway.connect()
    gateway.vendor.dead.add("access-token-1")
    rows = [await row_of(one, connection) for one in (gateway, other)]
    opened = [await open_connection(one.services, row) for one, row in zip((gateway, other), rows, strict=True)]
    for one in opened:
        one.http._meter = None  # the burst window is not what is tested here
    answers = await asyncio.gather(*(opened[i % 2].http.get("/deals") for i in range(200)))
    assert all(answer.is_success for answer in answers)
    assert gateway.vendor.count("refresh_token") == 1


async def test_a_process_finds_the_token_that_another_one_refreshed(gateway, open_process):
    other = await open_process()
    connection = await gateway.connect()
    gateway.clock.advance(timedelta(hours=2))
    first = await (await source_of(gateway, connection)).token()
    assert await (await source_of(other, connection)).token() == first
    assert gateway.vendor.count("refresh_token") == 1


async def test_the_new_refresh_token_is_stored_before_the_access_token_is_used(gateway, monkeypatch):
    connection = await gateway.connect()
    gateway.clock.advance(timedelta(hours=1))
    opened = await open_connection(gateway.services, await row_of(gateway, connection))
    writer = gateway.services.database.writer
    run, fails = writer.run, [True]

    async def away(fn, **kwargs):
        if fails and gateway.vendor.count("refresh_token") == 1:
            raise StorageUnavailable("disk full")
        return await run(fn, **kwargs)

    monkeypatch.setattr(writer, "run", away)
    with pytest.raises((RetryLater, StorageUnavailable)):
        await opened.http.get("/deals")
    assert ("GET", "acme.toy.test/deals") not in gateway.vendor.calls
    fails.clear()
    gateway.clock.advance(timedelta(minutes=1))
    assert (await opened.http.get("/deals")).is_success
    assert gateway.vendor.count("refresh_token") == 1, "what the vendor answered was kept and stored later"
    assert (await stored(gateway, connection)).refresh_token == "refresh-token-2"


async def test_a_caller_that_is_cancelled_does_not_lose_the_answer(gateway):
    connection = await gateway.connect()
    gateway.clock.advance(timedelta(hours=1))
    source = await source_of(gateway, connection)
    asked, answer = asyncio.Event(), asyncio.Event()
    handle = gateway.vendor.handle

    async def slow(request):
        asked.set()
        await answer.wait()
        return await handle(request)

    gateway.vendor.transport.handler = slow
    caller = asyncio.create_task(source.token())
    await asked.wait()
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller
    answer.set()
    assert await source.token() == "access-token-2"
    assert gateway.vendor.count("refresh_token") == 1


async def test_a_refused_grant_holds_the_lane_and_tells_the_host_once(gateway):
    connection = await gateway.connect()
    gateway.vendor.refresh_tokens.clear()
    gateway.clock.advance(timedelta(hours=1))
    source = await source_of(gateway, connection)
    for _ in range(3):
        with pytest.raises(ReauthRequired):
            await source.token()
    row = await row_of(gateway, connection)
    assert row.state == "needs_reauth"
    async with gateway.services.database.read() as conn:
        assert (await lanes.get_lane(conn, "vendor:toy:c1")).held == "needs_reauth"
    assert (await gateway.events()).count("connection.needs_reauth") == 1


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (httpx.Response(503), RetryLater),
        (httpx.Response(429, headers={"retry-after": "17"}), RetryLater),
        (httpx.ReadTimeout("slow"), RetryLater),
        (httpx.Response(200, json={"no": "token"}), RetryLater),
        (httpx.Response(400, json={"error": "Invalid client: unknown"}), Misconfigured),
        (httpx.Response(401, json={"error": "invalid_client"}), Misconfigured),
        (httpx.Response(302, headers={"location": "https://evil.example"}), Misconfigured),
    ],
)
async def test_what_is_not_a_refused_grant_leaves_the_connection_active(gateway, answer, error):
    connection = await gateway.connect()
    gateway.clock.advance(timedelta(hours=1))
    gateway.vendor.answers = [answer]
    source = await source_of(gateway, connection)
    with pytest.raises(error):
        await source.token()
    assert (await row_of(gateway, connection)).state == "active"
    assert await source.token() == "access-token-2"


async def test_a_date_to_ask_for_tokens_again_counts_from_the_time_in_this_world(gateway):
    connection = await gateway.connect()
    gateway.clock.advance(timedelta(hours=1))
    at = gateway.clock.now() + timedelta(seconds=600)
    gateway.vendor.answers = [httpx.Response(429, headers={"retry-after": format_datetime(at, usegmt=True)})]
    with pytest.raises(RetryLater) as told:
        await (await source_of(gateway, connection)).token()
    assert 500 < told.value.after_seconds <= 600


async def test_an_answer_without_a_refresh_token_keeps_the_old_one(gateway):
    connection = await gateway.connect()
    gateway.clock.advance(timedelta(hours=1))
    gateway.vendor.access_tokens["plain"] = "c1"
    gateway.vendor.answers = [httpx.Response(200, json={"access_token": "plain", "expires_in": 60})]
    assert await (await source_of(gateway, connection)).token() == "plain"
    kept = await stored(gateway, connection)
    assert (kept.refresh_token, kept.api_domain) == ("refresh-token-1", "https://acme.toy.test")


async def test_the_api_domain_follows_each_answer_and_a_foreign_one_is_not_believed(gateway):
    connection = await gateway.connect()
    gateway.vendor.api_domain = "https://moved.toy.test"
    gateway.clock.advance(timedelta(hours=1))
    properties = {}
    await (await source_of(gateway, connection, properties)).token()
    assert properties["api_domain"] == "https://moved.toy.test"
    assert (await row_of(gateway, connection)).properties["api_domain"] == "https://moved.toy.test"
    gateway.vendor.api_domain = "https://evil.example"
    gateway.clock.advance(timedelta(hours=1))
    await (await source_of(gateway, connection, properties)).token()
    assert properties["api_domain"] == "https://moved.toy.test"


async def test_a_dead_refresher_delays_others_only_until_its_lease_ends(gateway, monkeypatch):
    connection = await gateway.connect()
    gateway.clock.advance(timedelta(hours=1))
    now = gateway.clock.now()
    await gateway.services.database.writer.run(
        lambda conn: authorisations.win_refresh(conn, connection, "dead", now, now + timedelta(seconds=45))
    )
    monkeypatch.setattr("gateway.flows.connections.credentials.WAIT_SECONDS", 0.0)
    source = await source_of(gateway, connection)
    with pytest.raises(RetryLater):
        await source.token()
    gateway.clock.advance(timedelta(seconds=46))
    assert await source.token() == "access-token-2"


async def test_tokens_of_a_disconnected_connection_are_not_stored_again(gateway):
    connection = await gateway.connect()
    source = await source_of(gateway, connection)
    await gateway.call("DELETE", f"/v1/connections/{connection}")
    with pytest.raises(ReauthRequired):
        await source.token()
    assert await stored(gateway, connection) is None


async def test_an_unused_token_is_refreshed_at_half_of_its_life(gateway):
    connection = await gateway.connect()
    gateway.clock.advance(timedelta(days=29))
    await gateway.worker.drain()
    assert gateway.vendor.count("refresh_token") == 0
    gateway.clock.advance(timedelta(days=1, minutes=1))
    await gateway.worker.drain()
    assert gateway.vendor.count("refresh_token") == 1
    gateway.clock.advance(timedelta(days=1))
    await gateway.worker.drain()
    assert gateway.vendor.count("refresh_token") == 1
    assert (await row_of(gateway, connection)).state == "active"


async def test_client_credentials_that_are_being_checked_are_asked_for_once_and_kept_in_memory_alone(gateway):
    integration = gateway.services.integrations.get("form")
    values = {"client_id": "cid", "client_secret": gateway.vendor.secret}
    source = ClientTokens(gateway.services, integration, "con_1", values)
    got = set(await asyncio.gather(*(source.token() for _ in range(50))))
    assert len(got) == 1
    assert gateway.vendor.count("client_credentials") == 1
    assert await source.token(refused=got.pop()) == "access-token-2"
    gateway.clock.advance(timedelta(minutes=15))
    assert await source.token() == "access-token-3"
    gateway.services.memory(TokenMemory).forget("con_1")
    with pytest.raises(ReauthRequired):
        await ClientTokens(gateway.services, integration, "con_1", {**values, "client_secret": "no"}).token()
