"""What a plugin is given: the vendor's hosts alone, an attempt log without secrets, and what it may ask of us."""

from contextlib import AsyncExitStack
from datetime import timedelta
from email.utils import format_datetime

import httpx
import pytest

from gateway.errors import Refused
from gateway.flows.connections import budget, opening
from gateway.flows.connections.opening import open_connection
from gateway.sdk.clock import Clock
from gateway.sdk.errors import Misconfigured, RecordGone, RetryLater
from gateway.storage import connections
from gateway.storage.connections import ConnectionRow
from gateway_schemas.person import PersonPatch

from .toys import Vendor, open_gateway, toy


class Run:
    """As much of a task's run as a connection needs."""

    class Task:
        priority = 0

        def __init__(self, unique_key):
            self.unique_key = unique_key

    seconds_left = 10.0

    def __init__(self, unique_key="push:per_fiona"):
        self.task = self.Task(unique_key)
        self.lane_memory = {}
        self.excerpts = []

    def excerpt(self, text):
        self.excerpts.append(text)


@pytest.fixture
async def gateway(sqlite_url, clock: Clock):
    async with AsyncExitStack() as stack:
        gateway = await open_gateway(stack, sqlite_url, clock, Vendor(), [toy()])
        await gateway.account()
        yield gateway


@pytest.fixture
async def row(gateway) -> ConnectionRow:
    connection = await gateway.connect()
    async with gateway.services.database.read() as conn:
        return await connections.get(conn, connection)


async def test_a_plugin_sees_its_connection_and_no_secret_in_its_repr(gateway, row):
    opened = await open_connection(gateway.services, row)
    assert (opened.identity, opened.user, opened.currency) == ("c1", "u1", "EUR")
    assert opened.properties["api_domain"] == "https://acme.toy.test"
    assert opened.http.base_url == "https://acme.toy.test"
    assert opened.inbound_secret
    for secret in (opened.inbound_secret, "access-token", "refresh-token"):
        assert secret not in repr(opened)


@pytest.mark.parametrize(
    "url",
    [
        "https://evil.example/x",
        "https://toy.test.evil.example/x",
        "https://eviltoy.test/x",
        "http://acme.toy.test/x",
        "https://acme.toy.test:8443/x",
        "https://user:password@acme.toy.test/x",
        "http://127.0.0.1/x",
        "http://169.254.169.254/latest/meta-data",
    ],
)
async def test_other_hosts_are_refused_before_anything_is_sent(gateway, row, url):
    opened = await open_connection(gateway.services, row)
    before = len(gateway.vendor.calls)
    with pytest.raises(Misconfigured, match="none of the hosts"):
        await opened.http.post(url, json={"secret": 1})
    assert len(gateway.vendor.calls) == before


@pytest.mark.parametrize("url", ["https://acme.toy.test/x", "https://other.toy.test/x", "https://api.toy.test/x"])
async def test_the_vendors_hosts_and_configured_base_urls_are_reached(gateway, row, url):
    opened = await open_connection(gateway.services, row)
    assert (await opened.http.get(url)).json() == {"ok": True}


async def test_a_redirect_is_not_followed(gateway, row):
    opened = await open_connection(gateway.services, row)
    gateway.vendor.answers = [httpx.Response(302, headers={"location": "https://evil.example"})]
    with pytest.raises(Misconfigured):
        await opened.http.get("/x")


async def test_a_date_to_wait_for_counts_from_the_time_in_this_world(gateway, row):
    gateway.clock.advance(timedelta(minutes=30))  # short of a new token
    opened = await open_connection(gateway.services, row)
    at = gateway.clock.now() + timedelta(seconds=600)
    gateway.vendor.answers = [httpx.Response(429, headers={"retry-after": format_datetime(at, usegmt=True)})]
    with pytest.raises(RetryLater) as told:
        await opened.http.get("/x")
    assert 500 < told.value.after_seconds <= 600


async def test_a_dry_run_sees_requests_and_sends_none(gateway, row):
    seen = []

    class Dry(httpx.AsyncBaseTransport):
        async def handle_async_request(self, request):
            seen.append(request.url.path)
            return httpx.Response(200, json={})

    opened = await open_connection(gateway.services, row, transport_wrap=lambda _: Dry())
    before = len(gateway.vendor.calls)
    await opened.http.post("/persons", json={})
    assert (seen, len(gateway.vendor.calls)) == (["/persons"], before)


async def test_the_attempt_log_shows_calls_without_secrets_and_addresses(gateway, row):
    run = Run()
    opened = await open_connection(gateway.services, row, run=run)
    body = {"email": "fiona.friend@example.com", "note": "access-token-1", "password": "hunter2hunter2"}
    await opened.http.post("/persons", json=body, params={"term": "fiona.friend@example.com"})
    gateway.vendor.answers = [httpx.Response(404, json={"error": "fiona.friend@example.com is not there"})]
    with pytest.raises(RecordGone):
        await opened.http.get("/persons/1")
    log = "\n".join(run.excerpts)
    assert "POST acme.toy.test/persons?term=f***@example.com" in log
    assert '"email":"f***@example.com"' in log
    assert "< 404" in log
    for secret in ("fiona.friend", "access-token-1", "hunter2", "authorization"):
        assert secret not in log


@pytest.mark.parametrize("unique_key", [None, "inbound:con_1", "feed:con_1:deals", "sweep:con_1", "status:con_1"])
async def test_the_log_of_a_task_about_several_people_shows_no_values(gateway, row, unique_key):
    run = Run(unique_key)
    opened = await open_connection(gateway.services, row, run=run)
    gateway.vendor.answers = [httpx.Response(200, json={"name": "Rita", "code": "RITA-7"})]
    await opened.http.post("/persons/search", json={"name": "Rita"}, params={"term": "Rita"})
    assert run.excerpts == ["POST acme.toy.test/persons/search\n< 200 <31 bytes>"]


async def test_health_is_written_once_in_thirty_seconds(gateway, row, monkeypatch):
    opened = await open_connection(gateway.services, row)
    await opening.settle(gateway.services)
    writes = []
    note = connections.note_health

    async def counted(conn, *args, **kwargs):
        writes.append(kwargs)
        await note(conn, *args, **kwargs)

    monkeypatch.setattr(connections, "note_health", counted)
    gateway.clock.advance(timedelta(seconds=31))
    for _ in range(20):
        await opened.http.get("/x")
    await opening.settle(gateway.services)
    assert len(writes) == 1
    gateway.vendor.answers = [httpx.Response(404)]
    with pytest.raises(RecordGone):
        await opened.http.get("/gone")
    await opening.settle(gateway.services)
    shown = await gateway.connection(row.id)
    assert shown["health"]["last_error"] == "GET /gone was answered 404"
    assert shown["health"]["last_good_call_at"] is not None


async def test_calls_of_tasks_use_the_lanes_window_and_calls_for_people_do_not(gateway, row):
    run = Run()
    opened = await open_connection(gateway.services, row, run=run)
    await opened.http.get("/x")
    assert "window" in run.lane_memory
    for_people = await open_connection(gateway.services, row, run=run, person_waits=True)
    before = len(run.lane_memory["window"]._times)
    await for_people.http.get("/x")
    assert len(run.lane_memory["window"]._times) == before


async def test_nothing_is_sent_once_the_tasks_lease_ran_out(gateway, row):
    run = Run()
    opened = await open_connection(gateway.services, row, run=run)
    await opened.http.get("/x")
    before = list(gateway.vendor.calls)
    run.seconds_left = 0.0  # the process stood still: another one may own the lane
    with pytest.raises(RetryLater, match="nothing was sent"):
        await opened.http.post("/x", json={})
    assert gateway.vendor.calls == before
    run.seconds_left = 3.0
    await opened.http.get("/x")
    assert len(gateway.vendor.calls) == len(before) + 1


async def test_a_call_may_be_given_longer_than_others(gateway, row, monkeypatch):
    opened = await open_connection(gateway.services, row)
    allowed = []
    transport = gateway.services.vendor_transport
    send = transport.handle_async_request

    async def noting(request):
        allowed.append(request.extensions["timeout"]["read"])
        return await send(request)

    monkeypatch.setattr(transport, "handle_async_request", noting)
    await opened.http.get("/x")
    await opened.http.get("/export", read_seconds=110)
    assert allowed == [20, 110]


async def test_what_was_used_of_the_day_is_told_at_the_end(gateway, row):
    opened = await open_connection(gateway.services, row, run=Run())
    await opened.http.get("/x")
    await opened.http.get("/x", cost=40)
    await budget.tell(gateway.services)
    assert (await gateway.connection(row.id))["health"]["budget_left"] == 10_000 - 41


async def test_an_integration_that_is_gone_is_our_own_fault_and_not_the_vendors(gateway, row):
    gateway.services.integrations._by_key.clear()
    with pytest.raises(Misconfigured, match="not installed"):
        await open_connection(gateway.services, row)
    assert (await gateway.connection(row.id))["state"] == "active"


async def test_a_plugin_asks_the_host_for_its_own_account_alone(gateway, row):
    await gateway.account("bravo")
    await gateway.call("PUT", "/v1/accounts/bravo/campaigns/theirs", {"name": "Theirs"})
    await gateway.call("PUT", "/v1/accounts/acme/campaigns/ours", {"name": "Ours"})
    await gateway.worker.drain()
    host = (await open_connection(gateway.services, row)).host
    assert [one.id for one in await host.campaigns()] == ["ours"]
    assert [one.id for one in await host.campaigns(["ours", "theirs", "none"])] == ["ours"]
    assert [one.id for one in await host.campaigns([])] == []
    assert [one.id for one in await host.campaigns(skip=1)] == []
    assert [one.id for one in await host.campaigns(limit=5)] == ["ours"]
    assert list(await host.find_people()) == []
    assert list(await host.find_rewards()) == []
    with pytest.raises(Refused, match="not_found"):
        await host.update_person("per_nobody", PersonPatch())
    made = await host.subscribe("https://hooks.example/1", ["referral.qualified"])
    await host.unsubscribe(made.id)
    (event,) = await host.recent_events("connection.activated")
    assert event.data["connection"] == row.id


async def test_the_inbound_url_cannot_be_guessed_and_is_stored_as_a_hash(gateway, row):
    url = await opening.inbound_url(gateway.services, row)
    token = url.rpartition("/")[2]
    assert url.startswith(f"https://gateway.test/v1/inbound/toy/{row.id}/")
    assert len(token) >= 43
    assert token not in str(row)
