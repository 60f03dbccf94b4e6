"""How webhooks are delivered: ``VENDOR.md``, chapter 8.1."""

import base64

import httpx
import pytest

HOOK = {
    "subscription_url": "https://gateway.test/hooks/abc",
    "event_action": "*",
    "event_object": "deal",
    "name": "n",
    "http_auth_user": "u",
    "http_auth_password": "p",
}


@pytest.fixture
async def subscription(sandbox, client):
    made = (await client.post("/api/v1/webhooks", json=HOOK)).json()["data"]
    return sandbox.state.subscriptions[made["id"]]


async def test_nothing_is_sent_until_told(sandbox, subscription, receiver):
    sandbox.add_deal("D")
    assert receiver.requests == []
    (attempt,) = await sandbox.deliver_webhooks()
    (request,) = receiver.requests
    assert request.method == "POST"
    assert str(request.url) == HOOK["subscription_url"]
    assert request.headers["authorization"] == "Basic " + base64.b64encode(b"u:p").decode()
    assert attempt.ok
    assert subscription.last_http_status == 200
    assert await sandbox.deliver_webhooks() == []
    assert sandbox.webhooks() == [attempt]


async def test_without_a_user_there_is_no_authorization(sandbox, client, receiver):
    plain = {key: value for key, value in HOOK.items() if not key.startswith("http_auth")}
    await client.post("/api/v1/webhooks", json=plain)
    sandbox.add_deal("D")
    await sandbox.deliver_webhooks()
    assert "authorization" not in receiver.requests[0].headers


async def test_four_attempts_after_3_30_and_150_seconds(sandbox, subscription, receiver, clock):
    receiver.status = 500
    sandbox.add_deal("D")
    seen = []
    for wait in (0, 2, 1, 29, 1, 149, 1, 1000):
        clock.advance(seconds=wait)
        seen.append([attempt.payload["meta"]["attempt"] for attempt in await sandbox.deliver_webhooks()])
    assert seen == [[1], [], [2], [], [3], [], [4], []]
    assert len({attempt.payload["meta"]["id"] for attempt in sandbox.webhooks()}) == 1


async def test_a_retry_that_succeeds_is_the_last(sandbox, subscription, receiver, clock):
    receiver.status = 503
    sandbox.add_deal("D")
    await sandbox.deliver_webhooks()
    receiver.status = 204
    clock.advance(seconds=3)
    assert [attempt.ok for attempt in await sandbox.deliver_webhooks()] == [True]
    clock.advance(hours=1)
    assert await sandbox.deliver_webhooks() == []


@pytest.mark.parametrize("status", [302, 404, 500])
async def test_anything_but_2xx_fails(sandbox, subscription, receiver, status):
    receiver.status = status
    sandbox.add_deal("D")
    (attempt,) = await sandbox.deliver_webhooks()
    assert (attempt.ok, attempt.status) == (False, status)
    assert len(sandbox.outbox.pending) == 1


async def test_no_answer_fails_too(sandbox, subscription, monkeypatch):
    def broken(request):
        raise httpx.ReadTimeout("too slow")

    sandbox.outbox.client = lambda: httpx.AsyncClient(transport=httpx.MockTransport(broken))
    sandbox.add_deal("D")
    (attempt,) = await sandbox.deliver_webhooks()
    assert attempt.status is None
    assert "too slow" in attempt.error


async def test_ten_failed_first_attempts_ban_for_half_an_hour_and_lose_events(sandbox, subscription, receiver, clock):
    receiver.status = 500
    for number in range(10):
        sandbox.add_deal(f"D{number}")
    await sandbox.deliver_webhooks()
    assert subscription.failures == 0
    receiver.status = 200
    sandbox.add_deal("in the ban")
    assert [payload["data"]["title"] for payload in sandbox.outbox.lost] == ["in the ban"]
    clock.advance(minutes=30)
    sandbox.add_deal("after the ban")
    titles = [attempt.payload["data"]["title"] for attempt in await sandbox.deliver_webhooks()]
    assert "after the ban" in titles
    assert "in the ban" not in titles


async def test_nine_failures_do_not_ban(sandbox, subscription, receiver, clock):
    receiver.status = 500
    for number in range(9):
        sandbox.add_deal(f"D{number}")
    await sandbox.deliver_webhooks()
    sandbox.add_deal("one more")
    assert sandbox.outbox.lost == []
    assert subscription.failures == 9


async def test_three_days_without_success_delete_the_subscription(sandbox, subscription, receiver, clock, client_for):
    receiver.status = 500
    sandbox.add_deal("D")
    await sandbox.deliver_webhooks()
    clock.advance(days=2)
    await sandbox.deliver_webhooks()
    assert len(sandbox.subscriptions()) == 1
    clock.advance(days=1)
    await sandbox.deliver_webhooks()
    assert sandbox.subscriptions() == []
    assert subscription.remove_reason == "no successful delivery for 3 days"
    sandbox.expire_tokens()
    async with client_for(sandbox) as client:
        assert (await client.get("/api/v1/webhooks")).json()["data"] == []


async def test_a_success_in_time_keeps_the_subscription(sandbox, subscription, receiver, clock):
    receiver.status = 500
    sandbox.add_deal("D")
    await sandbox.deliver_webhooks()
    receiver.status = 200
    clock.advance(days=2)
    await sandbox.deliver_webhooks()
    clock.advance(days=2)
    await sandbox.deliver_webhooks()
    assert len(sandbox.subscriptions()) == 1


async def test_a_deleted_subscription_gets_nothing_more(sandbox, subscription, client):
    sandbox.add_deal("D")
    await client.delete(f"/api/v1/webhooks/{subscription.id}")
    assert await sandbox.deliver_webhooks() == []
    sandbox.add_deal("E")
    assert sandbox.outbox.pending == []


async def test_neither_once_nor_order_is_promised(sandbox, subscription):
    sandbox.webhook_chaos(copies=2, newest_first=True)
    sandbox.add_deal("first")
    sandbox.add_deal("second")
    attempts = await sandbox.deliver_webhooks()
    assert [one.payload["data"]["title"] for one in attempts] == ["second", "second", "first", "first"]
    assert attempts[0].payload == attempts[1].payload
    again = await sandbox.redeliver(0)
    assert again.payload == attempts[0].payload


async def test_events_can_be_dropped_and_subscriptions_taken_away(sandbox, subscription):
    sandbox.drop_webhooks(1)
    sandbox.add_deal("never told")
    sandbox.add_deal("told")
    titles = [one.payload["data"]["title"] for one in await sandbox.deliver_webhooks()]
    assert titles == ["told"]
    assert sandbox.delete_subscriptions() == 1
    assert sandbox.subscriptions() == []


async def test_version_one_payloads_are_not_sent(sandbox, client):
    await client.post("/api/v1/webhooks", json=HOOK | {"version": "1.0"})
    sandbox.add_deal("D")
    assert await sandbox.deliver_webhooks() == []
