"""Calls of a vendor for the app as a whole: a customer uninstalled it, or something changed for one of all tenants."""

import hmac
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import structlog

from gateway.flows.connections.disconnect import uninstalled
from gateway.flows.referrals import inbound as calls
from gateway.flows.services import Services
from gateway.plugins import Integration
from gateway.sdk.errors import InvalidSignature
from gateway.sdk.inbound import AppNotice, Hint, InboundRequest, Uninstalled
from gateway.storage import connections, inbound
from gateway.storage.engine import AsyncConnection
from gateway.storage.inbound import Unread
from gateway.storage.running import Done, Handler, Outcome, TaskRun
from gateway.storage.tasks import NewTask, Task, insert_tasks
from gateway.storage.vault import Vault
from gateway_schemas.records import RecordRef

_log = structlog.get_logger(__name__)


# --- inside the request ----------------------------------------------------------------------------------


async def accept_app_call(services: Services, integration_key: str, token: str, request: InboundRequest) -> None:
    """Store a call for the vendor app as a whole, once, before it is answered.

    Raises:
        Refused: ``signature_invalid``; nothing is stored.
    """
    integration = services.integrations.get(integration_key)
    expected = app_token(services, integration_key)
    if (
        not hmac.compare_digest(token.encode(), expected.encode())
        or integration is None
        or not integration.has("verify_app_call")
    ):
        raise calls.unproven()
    try:
        integration.hooks.verify_app_call(settings=integration.settings, request=request)
    except InvalidSignature as error:
        raise calls.unproven() from error
    await services.database.writer.submit(
        calls.store_calls, [calls.new_call(services, integration, None, request, "internal")]
    )


def app_token(services: Services, integration_key: str) -> str:
    """Return the unguessable end of the URL for calls about the vendor app; the same for as long as the vault lives."""
    return _token(services.vault, integration_key)


def app_url(public_url: str, vault: Vault, integration_key: str) -> str:
    """Return the URL for calls about the vendor app, which the operator gives to the vendor."""
    return f"{public_url}/v1/inbound/{integration_key}/{_token(vault, integration_key)}"


def _token(vault: Vault, integration_key: str) -> str:
    return vault.email_hash(f"inbound:{integration_key}")  # a keyed hash; no address has this form


# --- in the task -----------------------------------------------------------------------------------------


class ReadAppCalls:
    """Reads an integration's app calls and hands what they say to the connections that they concern."""

    def __init__(self, services: Services) -> None:
        self._services = services

    async def run(self, run: TaskRun) -> Outcome:
        """Read one batch; another task follows while more waits."""
        key = run.task.args["integration"]
        integration = self._services.integrations.get(key)
        if integration is None:
            return Done()
        async with self._services.database.read() as conn:
            waiting = await inbound.unread(conn, integration=key, connection_id=None, limit=calls.BATCH)
        read = {one.id: _read(integration, one) for one in waiting}
        notices = [notice for some in read.values() for notice in some or ()]
        for notice in notices:
            if isinstance(notice, Uninstalled):
                await uninstalled(self._services, integration, notice)
        hints = [notice for notice in notices if isinstance(notice, Hint)]

        async def apply(conn: AsyncConnection) -> None:
            now = run.now()
            await insert_tasks(conn, await _follow(conn, key, hints), now)
            await inbound.reduce(conn, {call_id: _summary(some) for call_id, some in read.items()}, now)
            if await inbound.any_unread(conn, integration=key, connection_id=None):
                await insert_tasks(conn, [again(key)], now)

        return Done(apply)

    async def failed(self, conn: AsyncConnection, task: Task, error: str, now: datetime) -> None:
        """Keep the calls unread: the next call leads to them."""


def again(key: str) -> NewTask:
    """Return the task that reads the rest."""
    unique = f"app_calls:{key}"
    return NewTask(
        kind="read_app_calls",
        args={"integration": key},
        lane="internal",
        priority=1,
        unique_key=unique,
        exclusive_key=unique,
    )


def _read(integration: Integration, call: Unread) -> list[AppNotice] | None:
    try:
        return integration.hooks.read_app_call(settings=integration.settings, request=call.request)
    except Exception:  # noqa: BLE001 - a bug of the plugin must not hold up the other calls
        _log.exception("app_call.unreadable", integration=integration.key, inbound_id=call.id)
        return None


def _summary(notices: Sequence[AppNotice] | None) -> dict[str, Any]:
    if notices is None:
        return {"unreadable": True}
    said = [{"type": type(one).__name__, "identity": one.identity} for one in notices[: calls.SUMMARISED]]
    return {"notices": said, "number": len(notices)}


async def _follow(conn: AsyncConnection, key: str, hints: Sequence[Hint]) -> list[NewTask]:
    """Return tasks for the connections that these hints concern, each record once; unknown tenants lead to none."""
    by_tenant: dict[str, dict[RecordRef, None]] = {}
    for hint in hints:
        refs = (RecordRef(kind=kind, id=record_id) for kind, record_id in hint.refs)
        by_tenant.setdefault(hint.identity, {}).update(dict.fromkeys(refs))
    tasks: list[NewTask] = []
    for identity, of_tenant in by_tenant.items():
        named = list(of_tenant)
        active = [row for row in await connections.by_identity(conn, key, identity) if row.state == "active"]
        tasks += [
            calls.read_task(row.id, row.account_id, connections.lane(row), named[start : start + calls.BATCH])
            for row in active
            for start in range(0, len(named), calls.BATCH)
        ]
    return tasks


def handlers(services: Services) -> dict[str, Handler]:
    """Return the handler of this flow's tasks."""
    return {"read_app_calls": ReadAppCalls(services)}
