"""Our webhook subscriptions: one healthy one each for deals, leads and persons, however often we ask for them.

Source: ``VENDOR.md``, chapters 7.10 and 8.1. There is no update: what is not as it should be is made anew,
and the old one is deleted after that, so that no event falls between. The vendor deletes subscriptions without a word
after three days without a success, hence the daily call.
"""

from typing import Any

from gateway.sdk.connection import Connection
from gateway.sdk.errors import NotSupported, PluginError, Rejected
from gateway.sdk.inbound import WebhookRegistration
from gateway_pipedrive.client import Pipedrive
from gateway_pipedrive.errors import Forbidden, RefusedInput
from gateway_pipedrive.models import Webhook

OBJECTS = ("deal", "lead", "person")
USER = "referral-gateway"
"""User name of the Basic auth; the password is the connection's inbound secret."""


async def register(connection: Connection, callback_url: str) -> list[WebhookRegistration]:
    """Leave exactly one healthy subscription an object.

    Raises:
        NotSupported: The scope ``admin`` or the user's right to subscribe is missing: polls take over.
        Rejected: The vendor refuses the URL, or all 40 subscriptions of this user are taken by others.
    """
    if connection.granted and "admin" not in connection.granted:
        raise NotSupported(
            "The scope “admin” was not granted, so Pipedrive may not call us; changes are looked up instead"
        )
    client = Pipedrive(connection)
    try:
        existing = await client.webhooks()
    except Rejected as refused:
        raise NotSupported(f"Pipedrive does not let this user subscribe to changes: {refused}") from refused
    ours = sorted((one for one in existing if is_ours(connection, one)), key=lambda one: one.id)
    kept: dict[str, Webhook] = {}
    for one in ours:
        if one.event_object in OBJECTS and _healthy(connection, one, callback_url):
            kept.setdefault(one.event_object, one)
    stale = [one for one in ours if kept.get(one.event_object) is not one]
    for subject in OBJECTS:
        if subject not in kept:
            kept[subject] = await _make(connection, client, callback_url, subject, stale)
    await _delete(connection, client, stale)
    return [WebhookRegistration(external_id=str(kept[subject].id), subject=subject) for subject in OBJECTS]


async def remove(connection: Connection) -> tuple[int, int]:
    """Delete our subscriptions; return how many are gone, and how many we may not delete."""
    client = Pipedrive(connection)
    ours = [one for one in await client.webhooks() if is_ours(connection, one)]
    kept = await _delete(connection, client, ours)
    return len(ours) - kept, kept


def is_ours(connection: Connection, webhook: Webhook) -> bool:
    """Say whether a subscription was made for this connection: another account may be connected to the same company.

    The vendor lists those of our app only; its name, and the URL, carry the connection's id.
    """
    return connection.id in (webhook.name or "") or connection.id in webhook.subscription_url


async def _delete(connection: Connection, client: Pipedrive, unwanted: list[Webhook]) -> int:
    """Delete subscriptions and return how many we may not: another user of the company made them."""
    kept = 0
    for one in unwanted:
        try:
            await client.delete_webhook(one.id)
        except Rejected as refused:
            kept += 1
            connection.log.warning("pipedrive.webhook_not_deleted", webhook_id=one.id, error=str(refused))
    return kept


async def _make(
    connection: Connection, client: Pipedrive, callback_url: str, subject: str, stale: list[Webhook]
) -> Webhook:
    body: dict[str, Any] = {
        "subscription_url": callback_url,
        "event_action": "*",
        "event_object": subject,
        "name": f"Referrals: {subject}s ({connection.id})",
        "version": "2.0",
        "http_auth_user": USER,
        "http_auth_password": connection.inbound_secret,
    }
    if connection.user and connection.user.isdecimal():
        # Whose visibility decides what is sent.
        body["user_id"] = int(connection.user)
    try:
        return await client.create_webhook(body)
    except Forbidden as refused:
        # Which right a user needs beside the scope is not documented.
        raise NotSupported(f"Pipedrive does not let this user subscribe to changes: {refused}") from refused
    except Rejected as refused:
        if not stale or (isinstance(refused, RefusedInput) and "subscription_url" in refused.keys):
            raise
        # Perhaps all places are taken (40 a user): make room first, since a gap is better than none at all.
        await _delete(connection, client, stale)
        stale.clear()
        return await client.create_webhook(body)


def _healthy(connection: Connection, webhook: Webhook, callback_url: str) -> bool:
    password = webhook.http_auth_password
    return (
        webhook.subscription_url == callback_url
        and webhook.event_action == "*"
        and webhook.version == "2.0"
        and bool(webhook.is_active)
        and not webhook.remove_time
        and webhook.http_auth_user == USER
        # The list shows the password by its documentation; should it be hidden one day, that is no reason to renew.
        and (not password or not password.strip("*") or password == connection.inbound_secret)
        and (connection.user is None or webhook.user_id is None or str(webhook.user_id) == connection.user)
    )


async def try_remove(connection: Connection) -> tuple[list[str], list[str]]:
    """Delete our subscriptions on disconnect; say what was removed and what the vendor does by itself."""
    if connection.granted and "admin" not in connection.granted:
        return [], []
    try:
        removed, kept = await remove(connection)
    except PluginError as error:
        connection.log.info("pipedrive.webhooks_not_removed", error=str(error))
        return [], ["Webhook subscriptions could not be removed; Pipedrive removes them when the app is uninstalled."]
    left = (
        f"{kept} webhook subscription{'s' * (kept != 1)} could not be removed: another user made them; Pipedrive "
        "removes them when that user uninstalls the app."
    )
    return ([f"{removed} webhook subscriptions in Pipedrive"] if removed else []), [left] if kept else []
