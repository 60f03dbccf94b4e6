"""Delivers webhooks by the vendor's rules, when told to: nothing here sleeps or starts by itself.

Retries 3, 30 and 150 seconds after the attempt before; the tenth failed first attempt bans a subscription for thirty
minutes, in which its events are lost; three days without a success delete it. Source: ``VENDOR.md``,
chapter 8.1. Unconfirmed there and decided here: a success does not reset the ban counter; retries go on in a ban.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import httpx
import msgspec

from gateway_pipedrive.sandbox.events import Delivery
from gateway_pipedrive.sandbox.state import State, Subscription

Json = dict[str, Any]

RETRY_AFTER_SECONDS = (3, 30, 150)
FAILURES_BEFORE_BAN = 10
BAN = timedelta(minutes=30)
PATIENCE = timedelta(days=3)
TIMEOUT_SECONDS = 10


@dataclass(frozen=True)
class Attempt:
    """One sent webhook, as the log keeps it; ``status`` is None when no answer came."""

    time: datetime
    subscription_id: int
    url: str
    payload: Json
    status: int | None
    error: str | None = None

    @property
    def ok(self) -> bool:
        """Tell whether the vendor counts it as delivered."""
        return self.status is not None and 200 <= self.status < 300


@dataclass
class WebhookOutbox:
    """Pending deliveries and the log of those that were sent or lost.

    Attributes:
        client: Gives the HTTP client to send with.
        newest_first: Sends what is due in reverse order; no order is promised.
        copies: How often each delivery is sent; exactly-once is not promised.
        drop_next: So many events are lost without a trace at the vendor.
    """

    state: State
    client: Callable[[], httpx.AsyncClient]
    pending: list[Delivery] = field(default_factory=list)
    log: list[Attempt] = field(default_factory=list)
    lost: list[Json] = field(default_factory=list)
    newest_first: bool = False
    copies: int = 1
    drop_next: int = 0

    def put(self, delivery: Delivery) -> None:
        """Take a payload, or lose it in a ban."""
        if self.drop_next > 0:
            self.drop_next -= 1
            self.lost.append(delivery.payload)
        elif self._is_banned(delivery.subscription):
            self.lost.append(delivery.payload)
        else:
            self.pending.append(delivery)

    async def deliver(self) -> list[Attempt]:
        """Send all that is due by the sandbox's clock, also what becomes due by sending."""
        self.expire()
        sent: list[Attempt] = []
        while delivery := self._take():
            first = delivery.attempt == 1
            if first and self._is_banned(delivery.subscription):
                self.lost.append(delivery.payload)
                continue
            sent += [await self._send(delivery) for _ in range(self.copies)]
            self._settle(delivery, sent[-1])
        self.expire()
        return sent

    async def redeliver(self, attempt: Attempt) -> Attempt:
        """Send a logged payload once more, as it was."""
        delivery = Delivery(self.state.subscriptions[attempt.subscription_id], attempt.payload, self.state.now())
        delivery.attempt = attempt.payload["meta"]["attempt"]
        return await self._send(delivery)

    def expire(self) -> None:
        """Delete subscriptions that had no success for three days."""
        now = self.state.now()
        for subscription in self.state.subscriptions.values():
            since = subscription.failing_since
            if subscription.remove_time is None and since is not None and now - since >= PATIENCE:
                self.remove(subscription, "no successful delivery for 3 days")

    def remove(self, subscription: Subscription, reason: str) -> None:
        """Delete a subscription with what waits for it."""
        subscription.remove_time, subscription.remove_reason = self.state.now(), reason
        self.pending = [one for one in self.pending if one.subscription is not subscription]

    def _take(self) -> Delivery | None:
        now = self.state.now()
        due = [one for one in self.pending if one.due <= now]
        if not due:
            return None
        chosen = due[-1] if self.newest_first else min(due, key=lambda one: one.due)
        self.pending.remove(chosen)
        return chosen

    async def _send(self, delivery: Delivery) -> Attempt:
        subscription = delivery.subscription
        payload = {**delivery.payload, "meta": {**delivery.payload["meta"], "attempt": delivery.attempt}}
        auth: httpx.Auth = httpx.Auth()  # adds nothing
        if subscription.http_auth_user is not None:
            auth = httpx.BasicAuth(subscription.http_auth_user, subscription.http_auth_password or "")
        status, error = None, None
        try:
            answer = await self.client().post(
                subscription.subscription_url,
                content=msgspec.json.encode(payload),
                headers={"content-type": "application/json", "user-agent": "Pipedrive Webhooks"},
                auth=auth,
                timeout=TIMEOUT_SECONDS,
                follow_redirects=False,
            )
            status = answer.status_code
        except Exception as failure:  # noqa: BLE001 - a receiver that breaks in any way has not taken the webhook
            error = repr(failure)
        attempt = Attempt(self.state.now(), subscription.id, subscription.subscription_url, payload, status, error)
        self.log.append(attempt)
        return attempt

    def _settle(self, delivery: Delivery, attempt: Attempt) -> None:
        subscription, now = delivery.subscription, self.state.now()
        subscription.last_delivery_time, subscription.last_http_status = now, attempt.status
        if attempt.ok:
            subscription.failing_since = None
            return
        subscription.failing_since = subscription.failing_since or now
        if delivery.attempt == 1:
            subscription.failures += 1
            if subscription.failures >= FAILURES_BEFORE_BAN:
                subscription.failures, subscription.banned_until = 0, now + BAN
        if delivery.attempt <= len(RETRY_AFTER_SECONDS) and subscription.remove_time is None:
            due = now + timedelta(seconds=RETRY_AFTER_SECONDS[delivery.attempt - 1])
            self.pending.append(Delivery(subscription, delivery.payload, due, delivery.attempt + 1))

    def _is_banned(self, subscription: Subscription) -> bool:
        return subscription.banned_until is not None and self.state.now() < subscription.banned_until
