"""From a published event to a verified message, through everything that a receiver and a network may do."""

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from functools import partial
from typing import Any

import httpx
import msgspec
import pytest
from standardwebhooks.webhooks import WebhookVerificationError

from gateway import hookimpl
from gateway.errors import Refused
from gateway.flows.notify import endpoint_checks, endpoints, feed, notify, replay
from gateway.flows.notify.deliver import disable
from gateway.flows.notify.notify import NewEvent
from gateway.plugins import Integration, Registry
from gateway.sdk.clock import Clock
from gateway.storage import connections, deliveries, tasks
from gateway.storage.connections import ConnectionRow
from gateway.storage.engine import Database
from gateway.storage.redelivery import Chosen
from gateway.webhooks.schedule import ATTEMPTS, WAITS
from gateway.worker import Worker
from gateway_schemas.event_data import StatsData
from gateway_schemas.events import Endpoint, EndpointPatch, Event, RotateInput
from gateway_schemas.manifest import Manifest, NoAuth
from gateway_schemas.person import Counts

from .receivers import Out, verified

IN = "https://host.test/in"


@pytest.fixture
async def out(database: Database) -> Out:
    made = await Out.start(database)
    await made.account()
    await made.person()
    return made


@pytest.fixture
async def second(database_url: str, clock: Clock, out: Out) -> AsyncIterator[Out]:
    """Another process over the same database, with the same receiver."""
    database = await Database.open(database_url, clock)
    yield await Out.start(database, out.receiver)
    await database.close()


# --- the message -------------------------------------------------------------------------------------


async def test_an_event_reaches_the_endpoint_signed_in_the_envelope(out: Out):
    endpoint = await out.endpoint()
    counts = Counts(referrals=4, qualified=2)
    data = StatsData(person="per_a", campaign="spring", code="k7", counts=counts, link="https://refer.example/Zoë")
    await out.publish_new(NewEvent("referrer.stats_updated", "acme", "per_a", data))
    await out.drain()
    (request,) = out.receiver.requests
    body = verified(request, endpoint.secret or "")
    assert list(body) == ["id", "type", "version", "occurred_at", "account", "sequence", "data"]
    assert (body["type"], body["version"], body["account"], body["sequence"]) == (
        "referrer.stats_updated", 1, "acme", 1,
    )  # fmt: skip
    assert body["data"]["counts"] == {"referrals": 4, "qualified": 2}
    assert body["data"]["link"] == "https://refer.example/Zoë"
    assert request.headers["webhook-id"] == body["id"]
    assert request.headers["content-type"] == "application/json"
    assert request.headers["user-agent"].startswith("referral-gateway/")
    assert abs(int(request.headers["webhook-timestamp"]) - datetime.now(UTC).timestamp()) < 60


async def test_publish_costs_the_flow_one_row_an_event_and_one_task(out: Out):
    for number in range(3):
        await out.endpoint(f"https://host.test/{number}")
    await out.publish("sync.started", "sync.completed")
    async with out.database.read() as conn:
        assert (await tasks.count_tasks(conn))["available"] == 1
    assert await out.deliveries() == []
    await out.drain()
    assert len(out.receiver.requests) == 6


async def test_an_endpoint_receives_the_types_and_the_account_that_it_asked_for(out: Out):
    await out.account("other")
    await out.endpoint("https://host.test/all")
    await out.endpoint("https://host.test/types", event_types=["sync.failed"])
    await out.endpoint("https://host.test/acme", account="acme")
    await out.endpoint("https://host.test/other", account="other")
    await out.publish("sync.started", "sync.failed")
    await out.publish("sync.failed", account="other")
    await out.drain()
    assert {url: len(out.receiver.to(f"https://host.test/{url}")) for url in ("all", "types", "acme", "other")} == {
        "all": 3, "types": 2, "acme": 2, "other": 1,
    }  # fmt: skip


async def test_more_than_a_batch_is_told_completely(out: Out, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("gateway.flows.notify.fan_out.BATCH", 10)
    endpoint = await out.endpoint()
    await out.publish(*["sync.started"] * 25)
    await out.drain()
    assert sorted(body["data"]["number"] for body in out.receiver.bodies()) == list(range(25))
    assert (await out.shown(endpoint.id)).last_position == 25


# --- what a receiver answers -----------------------------------------------------------------------


async def test_a_retry_has_the_same_id_and_body_and_is_signed_anew(out: Out, monkeypatch: pytest.MonkeyPatch):
    endpoint = await out.endpoint()
    wall = datetime.now(UTC)
    monkeypatch.setattr(Clock, "wall", lambda self: wall + self.offset / 100)
    out.receiver.answer(500)
    await out.publish("sync.started")
    await out.drain()
    await out.later(minutes=5)
    first, again = out.receiver.requests
    assert first.headers["webhook-id"] == again.headers["webhook-id"]
    assert first.content == again.content
    assert first.headers["webhook-timestamp"] != again.headers["webhook-timestamp"]
    assert first.headers["webhook-signature"] != again.headers["webhook-signature"]
    for request in (first, again):
        assert verified(request, endpoint.secret or "")
    (shown,) = await out.deliveries()
    assert shown.state == "delivered"
    assert [attempt.status for attempt in shown.attempts] == ["retry", "done"]
    assert "500" in (shown.attempts[0].error or "")


async def test_attempts_follow_the_schedule_and_end_as_failed(out: Out):
    endpoint = await out.endpoint()
    out.receiver.always = (500, {})
    await out.publish("sync.started")
    await out.drain()
    for number, wait in enumerate(WAITS, start=1):
        await out.later(seconds=wait - 1)
        assert len(out.receiver.requests) == number, f"too early after attempt {number}"
        await out.later(seconds=wait * 0.2 + 2)
        assert len(out.receiver.requests) == number + 1, f"too late after attempt {number}"
    await out.later(days=10)
    assert len(out.receiver.requests) == ATTEMPTS
    assert len(set(out.receiver.ids())) == 1
    (shown,) = await out.deliveries(endpoint_id=endpoint.id)
    assert (shown.state, len(shown.attempts), shown.next_attempt_at) == ("failed", ATTEMPTS, None)
    assert len((await out.feed()).data) == 1  # the event itself is kept


@pytest.mark.parametrize(
    "failure", [httpx.ConnectError("refused"), httpx.ReadTimeout("slow"), httpx.RemoteProtocolError("cut")]
)
async def test_a_receiver_that_cannot_be_reached_is_tried_again(out: Out, failure: Exception):
    await out.endpoint()
    out.receiver.answers.append(failure)
    await out.publish("sync.started")
    await out.drain()
    await out.later(seconds=10)
    assert [one.state for one in await out.deliveries()] == ["delivered"]


async def test_a_redirect_is_a_failure_and_is_not_followed(out: Out):
    await out.endpoint()
    out.receiver.answer(302, {"location": "https://elsewhere.test/"})
    await out.publish("sync.started")
    await out.drain()
    assert [str(request.url) for request in out.receiver.requests] == [IN]
    (shown,) = await out.deliveries()
    assert shown.state == "waiting"
    assert "redirects are not followed" in (shown.error or "")
    assert shown.next_attempt_at is not None


async def test_retry_after_as_a_number_is_honoured(out: Out):
    await out.endpoint()
    out.receiver.answer(429, {"retry-after": "7"})
    await out.publish("sync.started")
    await out.drain()
    await out.later(seconds=6.5)
    assert len(out.receiver.requests) == 1
    await out.later(seconds=1)
    assert len(out.receiver.requests) == 2


async def test_retry_after_as_a_date_is_honoured(out: Out):
    await out.endpoint()
    now = datetime.now(UTC)
    at = format_datetime(now + timedelta(seconds=90), usegmt=True)
    out.receiver.answer(503, {"retry-after": at, "date": format_datetime(now, usegmt=True)})
    await out.publish("sync.started")
    await out.drain()
    await out.later(seconds=85)
    assert len(out.receiver.requests) == 1
    await out.later(seconds=10)
    assert len(out.receiver.requests) == 2


@pytest.mark.parametrize("status", [429, 502, 504])
async def test_an_overloaded_endpoint_is_left_alone_and_the_others_are_not(out: Out, status: int):
    await out.endpoint("https://slow.test/in", event_types=["sync.started", "sync.failed"])
    await out.endpoint("https://fast.test/in")
    await out.publish("sync.started")

    async def busy(request: httpx.Request) -> None:
        if request.url.host == "slow.test":
            out.receiver.answers.append((status, {"retry-after": "60"} if status == 429 else {}))

    out.receiver.before = busy
    await out.drain()
    await out.publish("sync.failed")
    await out.drain()
    assert len(out.receiver.to("https://slow.test/in")) == 1
    assert len(out.receiver.to("https://fast.test/in")) == 2
    out.receiver.before = None
    await out.later(minutes=2)
    assert len(out.receiver.to("https://slow.test/in")) == 3


async def test_410_disables_the_endpoint_at_once_and_cancels_what_waits(out: Out):
    endpoint = await out.endpoint()
    watcher = await out.endpoint("https://watch.test/in", event_types=["endpoint.disabled"])
    out.receiver.answer(500, times=3)
    await out.publish("sync.started", "sync.completed", "sync.failed")
    await out.drain()
    out.receiver.answer(410)
    out.receiver.always = (410, {})
    await out.later(seconds=7)
    out.receiver.always = (204, {})
    await out.later(days=4)
    row = await out.shown(endpoint.id)
    assert (row.state, row.disabled_reason) == ("disabled", "gone")
    assert set(await out.states(endpoint.id)) <= {"failed", "cancelled"}
    assert out.receiver.to("https://watch.test/in")
    told = json.loads(out.receiver.to("https://watch.test/in")[0].content)
    assert verified(out.receiver.to("https://watch.test/in")[0], watcher.secret or "")
    assert told["data"] == {"endpoint": endpoint.id, "url": IN, "reason": "gone"}
    sent = len(out.receiver.to(IN))
    await out.publish("sync.started")
    await out.later(days=1)
    assert len(out.receiver.to(IN)) == sent
    assert len(out.receiver.to("https://watch.test/in")) == 1


async def test_after_410_an_earlier_position_than_the_last_one_sends_what_was_cancelled(out: Out):
    endpoint = await out.endpoint()
    out.receiver.answer(500, times=3)
    await out.publish("sync.started", "sync.completed", "sync.failed")
    await out.drain()
    out.receiver.always = (410, {})
    await out.later(seconds=7)
    out.receiver.always = (204, {})
    row = await out.shown(endpoint.id)
    assert (row.state, row.disabled_reason) == ("disabled", "gone")
    await endpoints.enable(out.services, row, row.last_position)
    await out.drain()
    assert "endpoint.disabled" in out.receiver.types()
    assert set(await out.states(endpoint.id)) & {"failed", "cancelled"}  # they lie before the last position
    out.receiver.requests.clear()
    await endpoints.enable(out.services, await out.shown(endpoint.id), 0)
    await out.drain()
    assert {"sync.started", "sync.completed", "sync.failed"} <= set(out.receiver.types())
    assert set(await out.states(endpoint.id)) == {"delivered"}


# --- days of failures ------------------------------------------------------------------------------


async def fail_for_days(out: Out, days: int) -> None:
    for _ in range(days * 2):
        await out.publish("sync.started")
        await out.drain()
        await out.later(hours=12)


async def test_after_five_days_of_only_failures_an_endpoint_is_disabled_with_its_events_kept(out: Out):
    endpoint = await out.endpoint(account="acme")
    out.receiver.always = (500, {})
    await fail_for_days(out, 4)
    row = await out.shown(endpoint.id)
    assert (row.state, row.failing_since is not None) == ("enabled", True)
    await fail_for_days(out, 2)
    row = await out.shown(endpoint.id)
    assert (row.state, row.disabled_reason) == ("disabled", "failing")
    sent = len(out.receiver.requests)
    await out.later(days=2)
    assert len(out.receiver.requests) == sent
    states = await out.states(endpoint.id)
    assert set(states) <= {"parked", "failed"}
    assert states.count("parked") >= 5
    disabled = [event for event in await out.all_events() if event.type == "endpoint.disabled"]
    assert [(event.account_id, event.data["reason"]) for event in disabled] == [("acme", "failing")]


async def test_enabling_lets_out_what_was_parked_and_replay_from_what_was_missed(out: Out):
    endpoint = await out.endpoint(account="acme")
    out.receiver.always = (500, {})
    await fail_for_days(out, 6)
    stopped_at = (await out.shown(endpoint.id)).last_position
    await out.publish("sync.failed", "sync.completed")  # while it is disabled
    await out.later(hours=1)
    out.receiver.always = (204, {})
    out.receiver.requests.clear()
    parked = (await out.states(endpoint.id)).count("parked")
    await endpoints.enable(out.services, await out.shown(endpoint.id), None)
    await out.drain()
    assert len(out.receiver.requests) == len(set(out.receiver.ids())) == parked
    assert "sync.failed" not in out.receiver.types()
    await endpoints.enable(out.services, await out.shown(endpoint.id), stopped_at)
    await out.drain()
    assert {"sync.failed", "sync.completed", "endpoint.disabled"} <= set(out.receiver.types())
    await endpoints.enable(out.services, await out.shown(endpoint.id), 0)  # what failed for good goes out as well
    await out.drain()
    everything = {event.id for event in await out.all_events()}
    assert set(out.receiver.ids()) == everything
    assert len(out.receiver.ids()) == len(everything)  # nothing that was delivered is sent again
    assert set(await out.states(endpoint.id)) == {"delivered"}
    assert (await out.shown(endpoint.id)).failing_since is None


async def test_one_success_ends_the_count_of_days(out: Out):
    endpoint = await out.endpoint()
    out.receiver.always = (500, {})
    await fail_for_days(out, 4)
    out.receiver.always = (204, {})
    await fail_for_days(out, 1)
    assert (await out.shown(endpoint.id)).failing_since is None
    out.receiver.always = (500, {})
    await fail_for_days(out, 4)
    assert (await out.shown(endpoint.id)).state == "enabled"


async def test_an_endpoint_that_is_disabled_by_hand_keeps_what_waits(out: Out):
    endpoint = await out.endpoint()
    out.receiver.answer(500, times=2)
    await out.publish("sync.started", "sync.completed")
    await out.drain()
    await endpoints.change(out.services, await out.shown(endpoint.id), EndpointPatch(disabled=True))
    await out.later(days=1)
    assert len(out.receiver.requests) == 2
    assert await out.states(endpoint.id) == ["parked", "parked"]
    await endpoints.change(out.services, await out.shown(endpoint.id), EndpointPatch(disabled=False))
    await out.drain()
    assert await out.states(endpoint.id) == ["delivered", "delivered"]


async def test_an_endpoint_that_is_enabled_while_an_attempt_parks_loses_nothing(
    out: Out, monkeypatch: pytest.MonkeyPatch
):
    await out.endpoint()
    read = deliveries.work
    looks = 0

    async def as_it_was_a_moment_ago(conn: Any, delivery_id: str) -> deliveries.Work | None:
        nonlocal looks
        looks += 1
        work = await read(conn, delivery_id)
        if work is None or looks > 1:
            return work
        disabled = msgspec.structs.replace(work.endpoint, state="disabled", disabled_reason="manual")
        return msgspec.structs.replace(work, endpoint=disabled)

    monkeypatch.setattr(deliveries, "work", as_it_was_a_moment_ago)
    await out.publish("sync.started")
    await out.drain()
    assert [one.state for one in await out.deliveries()] == ["delivered"]
    assert looks == 2


async def test_a_removed_endpoint_receives_nothing_more_and_its_secrets_are_gone(out: Out):
    endpoint = await out.endpoint()
    out.receiver.answer(500)
    await out.publish("sync.started")
    await out.drain()
    await endpoints.remove(out.services, await out.shown(endpoint.id))
    await out.publish("sync.started")
    await out.later(days=1)
    assert len(out.receiver.requests) == 1
    assert [one.state for one in await out.deliveries()] == ["cancelled"]
    with pytest.raises(Refused, match="not_found"):
        await out.shown(endpoint.id)
    async with out.database.read() as conn:
        assert await out.services.vault.get_all(conn, endpoint.id) == {}


# --- secrets ---------------------------------------------------------------------------------------


async def test_after_a_rotation_both_secrets_sign_until_the_grace_period_ends(out: Out):
    endpoint = await out.endpoint()
    rotated = await endpoint_checks.rotate(out.services, await out.shown(endpoint.id), RotateInput(grace_hours=24))
    assert rotated.secret != endpoint.secret
    await out.publish("sync.started")
    await out.drain()
    for secret in (endpoint.secret, rotated.secret):
        assert verified(out.receiver.requests[-1], secret or "")
    with pytest.raises(Refused, match="rotation_under_way"):
        await endpoint_checks.rotate(out.services, await out.shown(endpoint.id), RotateInput())
    out.clock.advance(timedelta(hours=25))
    await out.publish("sync.started")
    await out.drain()
    assert verified(out.receiver.requests[-1], rotated.secret or "")
    with pytest.raises(WebhookVerificationError):
        verified(out.receiver.requests[-1], endpoint.secret or "")
    assert await endpoint_checks.rotate(out.services, await out.shown(endpoint.id), RotateInput())


async def test_a_forced_rotation_ends_the_one_under_way_and_no_grace_ends_the_old_secret_at_once(out: Out):
    endpoint = await out.endpoint()
    row = await out.shown(endpoint.id)
    first = await endpoint_checks.rotate(out.services, row, RotateInput())
    forced = await endpoint_checks.rotate(out.services, row, RotateInput(force=True))
    await out.publish("sync.started")
    await out.drain()
    request = out.receiver.requests[-1]
    assert verified(request, forced.secret or "")
    assert verified(request, first.secret or "")
    with pytest.raises(WebhookVerificationError):
        verified(request, endpoint.secret or "")
    last = await endpoint_checks.rotate(out.services, row, RotateInput(grace_hours=0, force=True))
    await out.publish("sync.started")
    await out.drain()
    assert len(out.receiver.requests[-1].headers["webhook-signature"].split()) == 1
    assert verified(out.receiver.requests[-1], last.secret or "")


async def test_a_test_message_goes_to_one_endpoint_alone_and_is_in_no_feed(out: Out):
    endpoint = await out.endpoint()
    await out.endpoint("https://other.test/in")
    good = await endpoint_checks.test(out.services, await out.shown(endpoint.id))
    assert (good.delivered, good.status, good.error) == (True, 204, None)
    (request,) = out.receiver.requests
    assert verified(request, endpoint.secret or "")["type"] == "endpoint.test"
    out.receiver.answer(500)
    bad = await endpoint_checks.test(out.services, await out.shown(endpoint.id))
    assert (bad.delivered, bad.status) == (False, 500)
    await out.drain()
    assert len(out.receiver.requests) == 2
    assert (await out.feed()).data == []
    assert (await out.shown(endpoint.id)).failing_since is None


async def test_a_url_that_leads_inside_is_refused_when_the_endpoint_is_made_and_when_it_is_changed(out: Out):
    with pytest.raises(Refused) as refused:
        await out.endpoint("https://169.254.169.254/latest")
    assert [problem.field for problem in refused.value.problems] == ["url"]
    endpoint = await out.endpoint()
    with pytest.raises(Refused, match="invalid_input"):
        await endpoints.change(out.services, await out.shown(endpoint.id), EndpointPatch(url="http://127.0.0.1/"))


# --- crashes and several processes -------------------------------------------------------------------


async def test_a_crash_between_send_and_record_sends_again_with_the_same_id(out: Out, second: Out):
    await out.endpoint()
    await out.publish("sync.started")
    was_sent, goes_on = asyncio.Event(), asyncio.Event()

    async def freeze(request: httpx.Request) -> None:
        if len(out.receiver.requests) == 1:
            was_sent.set()
            await goes_on.wait()

    out.receiver.before = freeze
    frozen = asyncio.create_task(out.worker.run())
    async with asyncio.timeout(10):
        await was_sent.wait()
    await second.later(minutes=1)
    assert len(out.receiver.requests) == 2
    assert len(set(out.receiver.ids())) == 1
    goes_on.set()
    await out.worker.stop()
    await frozen
    (shown,) = await second.deliveries()
    assert shown.state == "delivered"
    assert [attempt.status for attempt in shown.attempts] == ["lost", "done"]


async def test_two_processes_fan_out_each_event_once(out: Out, second: Out):
    for number in range(3):
        await out.endpoint(f"https://host.test/{number}")
    all_came = asyncio.Event()

    async def count(request: httpx.Request) -> None:
        if len(out.receiver.requests) == 60:
            all_came.set()

    out.receiver.before = count
    workers = [asyncio.create_task(process.worker.run()) for process in (out, second)]
    for _ in range(10):
        await asyncio.gather(out.publish("sync.started"), second.publish("sync.failed"))
    async with asyncio.timeout(60):
        await all_came.wait()
    for process in (out, second):
        await process.worker.stop()
    await asyncio.gather(*workers)
    await out.drain()
    sent = [(str(request.url), request.headers["webhook-id"]) for request in out.receiver.requests]
    assert len(sent) == len(set(sent)) == 60
    positions = [event.position for event in await out.all_events()]
    assert positions == sorted(set(positions))


async def test_events_that_a_race_left_without_a_task_are_found(out: Out):
    await out.endpoint()
    await out.publish("sync.started")
    await out.database.writer.run(lambda conn: tasks.cancel_tasks(conn, "a race", kind="fan_out"))
    worker = Worker(
        out.database, notify.handlers(out.services), process_id="prc", periodic=notify.periodic(out.services)
    )
    await worker.drain()
    assert out.receiver.types() == ["sync.started"]


# --- replay and the feed -----------------------------------------------------------------------------


async def test_a_delivery_is_replayed_with_the_same_id_and_its_history(out: Out):
    await out.endpoint()
    await out.publish("sync.started")
    await out.drain()
    (shown,) = await out.deliveries()
    out.receiver.answer(500)
    await replay.replay_one(out.services, shown.id)
    await out.drain()
    (waiting,) = await out.deliveries()
    assert waiting.state == "waiting"
    await out.later(seconds=10)
    assert len(out.receiver.requests) == 3
    assert len(set(out.receiver.ids())) == 1
    (again,) = await out.deliveries()
    assert (again.id, again.state, len(again.attempts)) == (shown.id, "delivered", 3)


async def test_a_delivery_whose_task_was_pruned_can_be_replayed(out: Out):
    await out.endpoint()
    await out.publish("sync.started")
    await out.drain()
    await out.database.writer.run(lambda conn: tasks.prune_finished(conn, out.clock.now() + timedelta(days=1)))
    (shown,) = await out.deliveries()
    await replay.replay_one(out.services, shown.id)
    await out.drain()
    assert len(out.receiver.requests) == 2
    assert len(set(out.receiver.ids())) == 1


async def test_a_replay_to_a_disabled_endpoint_is_refused_and_says_what_to_do(out: Out):
    endpoint = await out.endpoint()
    await out.publish("sync.started")
    await out.drain()
    (shown,) = await out.deliveries()
    await endpoints.change(out.services, await out.shown(endpoint.id), EndpointPatch(disabled=True))
    with pytest.raises(Refused, match="Enable the endpoint"):
        await replay.replay_one(out.services, shown.id)


async def test_many_are_replayed_or_only_counted(out: Out, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(replay, "BATCH", 2)
    endpoint = await out.endpoint()
    await out.publish(*["sync.started"] * 5)
    await out.drain()
    chosen = Chosen(endpoint_id=endpoint.id, state="delivered")
    counted = await replay.replay_many(out.services, chosen, dry_run=True)
    assert (counted.matched, counted.replayed, counted.dry_run) == (5, 0, True)
    await out.drain()
    assert len(out.receiver.requests) == 5
    sent = await replay.replay_many(out.services, chosen, dry_run=False)
    assert (sent.matched, sent.replayed) == (5, 5)
    await out.drain()
    assert len(out.receiver.requests) == 10
    assert len(set(out.receiver.ids())) == 5
    none = await replay.replay_many(out.services, Chosen(account_id="other"), dry_run=False)
    assert (none.matched, none.replayed) == (0, 0)


async def test_the_feed_goes_on_from_next_and_says_when_something_would_be_missed(out: Out):
    await out.account("other")
    await out.publish("sync.started", "sync.completed")
    await out.publish("sync.started", account="other")
    await out.drain()
    page = await feed.read(out.services, after=0, limit=2)
    assert [event.position for event in page.data] == [1, 2]
    page = await feed.read(out.services, after=page.next, limit=2)
    assert [event.account for event in page.data] == ["other"]
    page = await feed.read(out.services, after=page.next, limit=2)
    assert (page.data, page.next) == ([], 3)
    narrowed = await feed.read(out.services, after=0, limit=50, account_id="acme")
    assert (len(narrowed.data), narrowed.next) == (2, 3)
    await out.later(days=91)
    await out.publish("sync.failed")
    worker = Worker(
        out.database, notify.handlers(out.services), process_id="prc", periodic=notify.periodic(out.services)
    )
    await worker.drain()
    with pytest.raises(Refused, match="feed_expired"):
        await feed.read(out.services, after=1, limit=50)
    assert [event.type for event in (await feed.read(out.services, after=0, limit=50)).data] == ["sync.failed"]
    assert await out.deliveries() == []


# --- subscriptions of an automation ------------------------------------------------------------------


class Relay:
    """An automation that sends flat bodies, leaves test signups out, and fails over one type."""

    fails = False

    @hookimpl
    def describe(self) -> Manifest:
        return Manifest(
            key="relay", name="Relay", category="automation", spec_version=1, logo_svg="", summary="Passes events on.",
            auth=NoAuth(), connect_steps=[],
        )  # fmt: skip

    @hookimpl
    def shape_event(self, event: Event, endpoint: Endpoint) -> dict[str, Any] | None:
        if self.fails:
            raise RuntimeError("a bug of the plugin")
        if event.data.get("test"):
            return None
        return {"id": event.id, "event": event.type, "campaign": event.data.get("campaign"), "to": endpoint.url}


@pytest.fixture
async def relay(database: Database) -> Relay:
    return Relay()


@pytest.fixture
async def subscribed(database: Database, relay: Relay) -> tuple[Out, ConnectionRow]:
    made = await Out.start(database, integrations=Registry([Integration("relay", relay)]))
    await made.account()
    now = database.clock.now()
    row = ConnectionRow(
        id="con_relay", account_id="acme", integration="relay", category="automation", state="active", identity="acme",
        created_at=now, state_since=now, activated_at=now,
    )  # fmt: skip
    assert await database.writer.run(lambda conn: connections.add(conn, row))
    return made, row


async def test_a_subscription_receives_what_its_integration_makes_of_an_event(subscribed: tuple[Out, ConnectionRow]):
    out, row = subscribed
    made = await endpoints.subscribe(out.services, row, IN, ["sync.started", "sync.failed"], {"campaign": "spring"})
    await out.publish("sync.started", data={"campaign": "spring"})
    await out.publish("sync.started", data={"campaign": "autumn"})
    await out.publish("sync.started", data={"campaign": "spring", "test": True})
    await out.publish("sync.completed", data={"campaign": "spring"})
    await out.drain()
    (request,) = out.receiver.requests
    body = verified(request, made.secret or "")
    assert body == {"id": request.headers["webhook-id"], "event": "sync.started", "campaign": "spring", "to": IN}
    assert len(await out.deliveries()) == 1


async def test_the_same_subscription_again_is_the_same_endpoint_and_removal_is_harmless_twice(
    subscribed: tuple[Out, ConnectionRow],
):
    out, row = subscribed
    first = await endpoints.subscribe(out.services, row, IN, ["sync.started"], {"campaign": "spring"})
    assert (await endpoints.subscribe(out.services, row, IN, ["sync.started"], {"campaign": "spring"})).id == first.id
    assert (await endpoints.subscribe(out.services, row, IN, ["sync.started"])).id != first.id
    with pytest.raises(Refused, match="invalid_input"):
        await endpoints.subscribe(out.services, row, IN, ["lead.exploded"])
    foreign = msgspec.structs.replace(row, id="con_other")
    await endpoints.unsubscribe(out.services, foreign, first.id)
    assert await out.shown(first.id)
    await endpoints.unsubscribe(out.services, row, first.id)
    await endpoints.unsubscribe(out.services, row, first.id)
    await endpoints.unsubscribe(out.services, row, "end_unknown")
    with pytest.raises(Refused, match="not_found"):
        await out.shown(first.id)


async def test_subscribing_again_enables_what_failed_and_not_what_an_operator_disabled(
    subscribed: tuple[Out, ConnectionRow],
):
    out, row = subscribed
    made = await endpoints.subscribe(out.services, row, IN, ["sync.started"])
    for reason in ("failing", "manual"):
        there = await endpoints.get(out.services, made.id)
        now = out.services.clock.now()
        await out.services.database.writer.run(partial(disable, endpoint=there, reason=reason, now=now))
        if reason == "failing":
            again = await endpoints.subscribe(out.services, row, IN, ["sync.started"])
            assert (again.id, again.state) == (made.id, "enabled")
        else:
            with pytest.raises(Refused, match="disabled by an operator"):
                await endpoints.subscribe(out.services, row, IN, ["sync.started"])


async def test_a_subscription_that_is_gone_is_removed_without_a_word(subscribed: tuple[Out, ConnectionRow]):
    out, row = subscribed
    made = await endpoints.subscribe(out.services, row, IN, ["sync.started"])
    out.receiver.answer(410)
    await out.publish("sync.started")
    await out.drain()
    with pytest.raises(Refused, match="not_found"):
        await out.shown(made.id)
    assert [event.type for event in await out.all_events()] == ["sync.started"]


async def test_an_integration_that_fails_over_an_event_loses_nothing(
    subscribed: tuple[Out, ConnectionRow], relay: Relay
):
    out, row = subscribed
    await endpoints.subscribe(out.services, row, IN, ["sync.started"])
    relay.fails = True
    await out.publish("sync.started")
    await out.drain()
    assert out.receiver.requests == []
    relay.fails = False
    await out.later(minutes=1)
    assert len(out.receiver.requests) == 1


async def test_disconnecting_removes_the_subscriptions_and_samples_are_the_newest_events(
    subscribed: tuple[Out, ConnectionRow],
):
    out, row = subscribed
    made = await endpoints.subscribe(out.services, row, IN, ["sync.started"])
    await out.publish("sync.started", "sync.failed", "sync.started")
    await out.drain()
    newest = await endpoints.recent_events(out.services, "acme", "sync.started", 5)
    assert [event.data["number"] for event in newest] == [2, 0]
    now = out.clock.now()
    removed = await out.database.writer.run(
        lambda conn: endpoints.remove_subscriptions(out.services, conn, row.id, now)
    )
    assert removed == 1
    with pytest.raises(Refused, match="not_found"):
        await out.shown(made.id)


# --- excerpts ----------------------------------------------------------------------------------------


async def test_attempts_keep_a_redacted_excerpt(out: Out):
    endpoint = await out.endpoint("https://host.test/hooks/a-secret-path")
    out.receiver.answer(500)
    await out.publish("signup.accepted", data={"email": "jana@example.com"})
    await out.drain()
    (shown,) = await out.deliveries()
    excerpt = shown.attempts[0].excerpt or ""
    assert "https://host.test/…" in excerpt
    assert "500" in excerpt
    for secret in ("jana", "a-secret-path", "v1,", (endpoint.secret or "")[6:]):
        assert secret not in excerpt
