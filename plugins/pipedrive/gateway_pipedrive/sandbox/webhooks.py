"""Webhook subscriptions: list, create, delete. No update and no reading of a single one.

Source: ``VENDOR.md``, chapter 7.10. The status of the answer when 40 are reached is documented as 422.
"""

from typing import Any
from urllib.parse import urlsplit

from gateway_pipedrive.sandbox.calls import Answer, Call, Operations
from gateway_pipedrive.sandbox.errors import VendorError, webhook_invalid
from gateway_pipedrive.sandbox.shapes import iso_millis
from gateway_pipedrive.sandbox.state import Subscription

Json = dict[str, Any]
operations = Operations()

LIMIT = 40
ACTIONS = frozenset({"create", "change", "delete", "*"})
OBJECTS = frozenset(
    [
        "activity",
        "deal",
        "lead",
        "note",
        "organization",
        "person",
        "pipeline",
        "product",
        "stage",
        "user",
        "*",
        "deal_installment",
        "deal_product",
        "board",
        "phase",
        "project",
        "task",
    ]
)


@operations.add("GET", 1, "/webhooks", cost=10, scopes="admin")
def list_webhooks(call: Call) -> Answer:
    """List the living subscriptions that this app made for this user; not paged."""
    call.sandbox.outbox.expire()
    return Answer({"status": "ok", "success": True, "data": [_shown(one) for one in _own(call)]})


@operations.add("POST", 1, "/webhooks", cost=10, scopes="admin")
def create_webhook(call: Call) -> Answer:
    """Subscribe; twice the same is two subscriptions and two deliveries."""
    body = call.body if isinstance(call.body, dict) else {}
    for key in ("subscription_url", "event_action", "event_object", "name"):
        if not isinstance(body.get(key), str) or not body[key]:
            raise webhook_invalid(key, "is required")
    if body["event_action"] not in ACTIONS:
        raise webhook_invalid("event_action", "invalid value")
    if body["event_object"] not in OBJECTS:
        raise webhook_invalid("event_object", "invalid value")
    version = body.get("version", "2.0")
    if version not in {"1.0", "2.0"}:
        raise webhook_invalid("version", "invalid value")
    if len(body["name"]) > 255:
        raise webhook_invalid("name", "too long")
    if not _reachable(call, body["subscription_url"]):
        raise webhook_invalid("subscription_url", "invalid or non-reachable URL")
    user_id = body.get("user_id", call.user.id)
    if user_id not in call.company.users:
        raise webhook_invalid("user_id", "not found")
    if len(_own(call)) >= LIMIT:
        raise VendorError(422, {"status": "error", "success": False, "errors": {"limit": ["webhooks limit reached"]}})
    state = call.sandbox.state
    made = Subscription(
        state.next_id("webhook", 4_710_826),
        call.company.id,
        user_id,
        call.user.id,
        call.client_id,
        body["event_action"],
        body["event_object"],
        body["subscription_url"],
        body["name"],
        version,
        body.get("http_auth_user"),
        body.get("http_auth_password"),
        state.now(),
    )
    state.subscriptions[made.id] = made
    return Answer({"status": "ok", "success": True, "data": _shown(made)}, 201)


@operations.add("DELETE", 1, "/webhooks/{id}", cost=6, scopes="admin")
def delete_webhook(call: Call) -> Answer:
    """Unsubscribe; another app's subscription is forbidden, one that is gone is not found."""
    found = call.sandbox.state.subscriptions.get(call.number("id"))
    if found is None or found.company_id != call.company.id or found.remove_time is not None:
        raise VendorError(404, {"status": "error", "success": False, "errors": {"id": ["not found"]}})
    if found.client_id != call.client_id:
        raise VendorError(403, {"success": False, "message": "Forbidden"})
    call.sandbox.outbox.remove(found, "deleted by its owner")
    return Answer({"status": "ok", "success": True})


def _own(call: Call) -> list[Subscription]:
    return [
        one
        for one in call.sandbox.state.subscriptions.values()
        if one.company_id == call.company.id
        and one.owner_id == call.user.id
        and one.client_id == call.client_id
        and one.remove_time is None
    ]


def _reachable(call: Call, url: str) -> bool:
    """Judge by the address alone: the real vendor calls it, and takes neither private addresses nor its own."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    if parts.scheme not in {"http", "https"} or not host or host.endswith("pipedrive.com"):
        return False
    options = call.sandbox.options
    if not options.allow_local_webhooks and (host == "localhost" or host.startswith(("127.", "10.", "192.168."))):
        return False
    return not any(url.startswith(bad) for bad in options.unreachable_urls)


def _shown(one: Subscription) -> Json:
    return {
        "id": one.id,
        "company_id": one.company_id,
        "owner_id": one.owner_id,
        "user_id": one.user_id,
        "event_action": one.event_action,
        "event_object": one.event_object,
        "subscription_url": one.subscription_url,
        "version": one.version,
        "is_active": 1,
        "add_time": iso_millis(one.add_time),
        "remove_time": None,
        "type": "application",
        "http_auth_user": one.http_auth_user,
        "http_auth_password": one.http_auth_password,
        "remove_reason": None,
        "last_delivery_time": iso_millis(one.last_delivery_time),
        "last_http_status": one.last_http_status,
        "admin_id": one.owner_id,
        "name": one.name,
    }
