"""Sends webhooks by the vendor's rules, when told to: nothing here sleeps or starts by itself.

Subscribed by hand, one URL an event for all tenants; signed with HMAC-SHA256 where a key is set; anything but a 200 is
tried again after 10, 30, 60 and 300 seconds, then no more. ``id`` names the delivery and differs between attempts,
``userassignedid`` names the occurrence.

Source: ``VENDOR.md``, chapter 11.
"""

import base64
import hashlib
import hmac
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal

import httpx
import msgspec

from gateway_servicetitan.sandbox.shapes import moment
from gateway_servicetitan.sandbox.state import State, Tenant

Json = dict[str, Any]
RETRY_AFTER_SECONDS = (10, 30, 60, 300)
TIMEOUT_SECONDS = 10
Encoding = Literal["hex", "base64", "sha256=hex"]


@dataclass
class Subscription:
    """What was set up in the developer portal, for one event and all tenants."""

    event: str
    url: str
    key: str | None = None
    header: str = "x-servicetitan-signature"
    encoding: Encoding = "hex"


@dataclass
class Delivery:
    """A webhook on its way."""

    subscription: Subscription
    payload: Json
    due: datetime
    attempt: int = 1


@dataclass(frozen=True)
class Attempt:
    """One sent webhook, as the log keeps it; ``status`` is None when no answer came."""

    time: datetime
    url: str
    payload: Json
    headers: dict[str, str]
    status: int | None
    error: str | None = None


@dataclass
class Outbox:
    """Subscriptions, pending deliveries, and the log.

    Attributes:
        newest_first: Sends what is due in reverse order; no order is promised.
        copies: How often each delivery is sent.
        drop_next: So many events are lost without a trace.
    """

    state: State
    client: Callable[[], httpx.AsyncClient]
    subscriptions: list[Subscription] = field(default_factory=list)
    pending: list[Delivery] = field(default_factory=list)
    log: list[Attempt] = field(default_factory=list)
    newest_first: bool = False
    copies: int = 1
    drop_next: int = 0

    def tell(self, tenant: Tenant, event: str, key: str, shown: Json) -> None:
        """Take an event for everybody who subscribed to it."""
        if self.drop_next > 0:
            self.drop_next -= 1
            return
        now = self.state.now()
        occurrence = self.state.guid()
        for one in self.subscriptions:
            if one.event == event:
                payload = {
                    "specversion": "1.0",
                    "id": self.state.guid(),
                    "type": event,
                    "time": moment(now),
                    "source": "https://webhooks.servicetitan.io",
                    "userassignedid": occurrence,
                    "datacontenttype": "application/json",
                    "data": {key: shown, "tenantId": tenant.id, "tenantName": tenant.name},
                }
                self.pending.append(Delivery(one, payload, now))

    async def deliver(self) -> list[Attempt]:
        """Send all that is due, also what becomes due by sending."""
        sent: list[Attempt] = []
        while (delivery := self._take()) is not None:
            attempts = [await self.send(delivery) for _ in range(self.copies)]
            sent += attempts
            if attempts[-1].status != 200 and delivery.attempt <= len(RETRY_AFTER_SECONDS):
                due = self.state.now() + timedelta(seconds=RETRY_AFTER_SECONDS[delivery.attempt - 1])
                self.pending.append(Delivery(delivery.subscription, delivery.payload, due, delivery.attempt + 1))
        return sent

    async def send(self, delivery: Delivery) -> Attempt:
        """Send one attempt, whether or not it is due."""
        subscription = delivery.subscription
        payload = {**delivery.payload, "id": self.state.guid()} if delivery.attempt > 1 else delivery.payload
        body = msgspec.json.encode(payload)
        headers = {"content-type": "application/cloudevents+json; charset=utf-8"}
        if subscription.key is not None:
            headers[subscription.header] = signature(subscription.key, body, subscription.encoding)
        status, error = None, None
        try:
            answer = await self.client().post(
                subscription.url, content=body, headers=headers, timeout=TIMEOUT_SECONDS, follow_redirects=False
            )
            status = answer.status_code
        except Exception as failure:  # noqa: BLE001 - a receiver that breaks in any way has not taken the webhook
            error = repr(failure)
        attempt = Attempt(self.state.now(), subscription.url, payload, headers, status, error)
        self.log.append(attempt)
        return attempt

    def _take(self) -> Delivery | None:
        now = self.state.now()
        due = [one for one in self.pending if one.due <= now]
        if not due:
            return None
        chosen = due[-1] if self.newest_first else min(due, key=lambda one: one.due)
        self.pending.remove(chosen)
        return chosen


def signature(key: str, body: bytes, encoding: Encoding) -> str:
    """Sign the bytes of a body."""
    digest = hmac.new(key.encode(), body, hashlib.sha256)
    match encoding:
        case "base64":
            return base64.b64encode(digest.digest()).decode()
        case "sha256=hex":
            return f"sha256={digest.hexdigest()}"
    return digest.hexdigest()
