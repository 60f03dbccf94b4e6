"""Zaps that are turned on and off: subscriptions of the connection; and the samples of the editor."""

from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

from gateway.sdk.connection import Connection
from gateway.sdk.errors import Rejected
from gateway.sdk.routes import Answer, Call
from gateway_zapier import matching, values
from gateway_zapier.answers import Subscribed
from gateway_zapier.inputs import Subscribe
from gateway_zapier.triggers import TRIGGERS, Trigger, subscription

MOST_SAMPLES = 10


async def subscribe(connection: Connection, call: Call) -> Subscribed | Answer:
    """Subscribe a Zap; the same Zap again gets the subscription that is there (``200``).

    Raises:
        Rejected: The event is unknown, the URL is not Zapier's, or the campaign is not there.
    """
    asked: Subscribe = call.body
    trigger = trigger_of(asked.event)
    check_target(asked.target_url, connection.settings.target_hosts)
    campaign = values.clean(asked.filter.campaign_id)
    if campaign is not None:
        await matching.campaign_of(connection, campaign)
    events, filters = subscription(trigger, campaign, include_synced=asked.filter.include_synced)
    made = await connection.host.subscribe(asked.target_url, events, filters=filters)
    body = Subscribed(id=made.id, event=asked.event, created_at=made.created_at.isoformat())
    return body if made.secret is not None else Answer(status=200, body=body)


async def unsubscribe(connection: Connection, call: Call) -> None:
    """Take a subscription off by its id; one that is not there is fine."""
    await connection.host.unsubscribe(call.path["subscription"])


async def unsubscribe_url(connection: Connection, call: Call) -> None:
    """Take the subscriptions with a URL off; one that is not there is fine.

    Raises:
        Rejected: No URL is named.
    """
    url = values.needed("target_url", "The URL", call.query.get("target_url"))
    await connection.host.unsubscribe(url=url)


async def samples(connection: Connection, call: Call) -> list[dict[str, Any]]:
    """Return real recent bodies of a trigger, newest first: exactly what a Zap would have been sent.

    Raises:
        Rejected: The event is unknown, or the campaign is not there.
    """
    trigger = trigger_of(call.path["event"])
    campaign = values.clean(call.query.get("campaign_id"))
    if campaign is not None:
        await matching.campaign_of(connection, campaign)
    include_synced = call.query.get("include_synced", "") in ("true", "1")
    events, filters = subscription(trigger, campaign, include_synced=include_synced)
    limit = number(call.query.get("limit"), 3, most=MOST_SAMPLES)
    found = await connection.host.sample_bodies(events, filters=filters, limit=limit)
    return [item for body in found for item in body.get("items", [body])][:limit]


def trigger_of(event: str) -> Trigger:
    """Return a trigger by its key.

    Raises:
        Rejected: There is none, and which there are.
    """
    if event not in TRIGGERS:
        known = ", ".join(TRIGGERS)
        raise values.refuse("event", f"There is no trigger “{event[:40]}”; there are: {known}.", "unknown_event")
    return TRIGGERS[event]


def check_target(url: str, hosts: Sequence[str]) -> None:
    """Go on if a subscription may send there; what else is wrong with a URL, the gateway says.

    Raises:
        Rejected: Its host is not on the list.
    """
    try:
        host = (urlsplit(url).hostname or "").lower()
    except ValueError:
        host = ""
    if host not in hosts:
        raise _foreign(host, hosts)


def _foreign(host: str, hosts: Sequence[str]) -> Rejected:
    named = f"“{host[:60]}” is not" if host else "This is not a URL of"
    return values.refuse("target_url", f"{named} one of Zapier's hosts ({', '.join(hosts)}).", "host_not_allowed")


def number(given: str | None, default: int, *, most: int, least: int = 1) -> int:
    """Return a number of the query, within its bounds; anything else is the default."""
    text = (given or "").strip()
    return min(max(int(text), least), most) if text.isdecimal() and len(text) < 10 else default
