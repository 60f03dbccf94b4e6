"""Keep exactly one healthy set of the vendor's webhooks to us: after activation, daily, and after gaps.

Vendors drop subscriptions without a word. Where a connection may not subscribe, feeds and sweeps take over more often.
"""

from datetime import datetime
from typing import Literal

import msgspec
import structlog

from gateway.flows import mishaps
from gateway.flows.connections.opening import WEBHOOK_SECRETS, find_active, inbound_url, open_connection
from gateway.flows.services import Services
from gateway.sdk.errors import NotSupported, Rejected
from gateway.storage import connections
from gateway.storage.connections import ConnectionRow
from gateway.storage.engine import AsyncConnection
from gateway.storage.running import Apply, Done, Handler, Outcome, Periodic, TaskRun
from gateway.storage.tasks import NewTask, Task, insert_tasks

CALL_SECONDS = 60.0
EVERY_SECONDS = 86_400.0

Health = Literal["healthy", "missing", "unavailable"]

_log = structlog.get_logger(__name__)


def register_task(row: ConnectionRow) -> NewTask:
    """Return the task that leaves one healthy set of subscriptions; at most one waits."""
    return NewTask(
        kind="register_webhooks",
        args={"connection": row.id},
        lane=connections.lane(row),
        account_id=row.account_id,
        priority=1,
        exclusive_key=f"webhooks:{row.id}",
        unique_key=f"webhooks:{row.id}",
        max_attempts=6,
    )


class RegisterWebhooks:
    """Asks the plugin for exactly one set of subscriptions."""

    def __init__(self, services: Services) -> None:
        self._services = services

    async def run(self, run: TaskRun) -> Outcome:
        """Register, and note whether the vendor calls us now."""
        async with self._services.database.read() as conn:
            active = await find_active(self._services, conn, run.task.args["connection"])
        if active is None:
            return Done()
        row, integration = active
        if not integration.has("register_webhooks"):
            return Done()
        try:
            connection = await open_connection(self._services, row, run=run)
            url = await inbound_url(self._services, row)
            call = integration.hooks.register_webhooks(connection=connection, callback_url=url)
            registered = await integration.call(call, timeout_seconds=CALL_SECONDS)
        except NotSupported as error:
            _log.info(
                "webhooks.unavailable",
                connection_id=row.id,
                account_id=row.account_id,
                reason=mishaps.scrubbed(str(error)),
            )
            return Done(_noting(row, "unavailable"))
        except Rejected as error:
            _log.warning(
                "webhooks.refused", connection_id=row.id, account_id=row.account_id, reason=mishaps.scrubbed(str(error))
            )
            return Done(_noting(row, "missing"))
        except Exception as error:  # noqa: BLE001 - what it means is decided in one place
            return await mishaps.outcome_of(run, row, error)
        healthy = bool(registered) and all(one.healthy for one in registered)
        known = connection.webhook_secrets
        secrets = {one.external_id: one.secret or known.get(one.external_id, "") for one in registered}
        told = {external_id: secret for external_id, secret in secrets.items() if secret}
        return Done(self._keeping(row, "healthy" if healthy else "missing", None if told == known else told))

    def _keeping(self, row: ConnectionRow, health: Health, secrets: dict[str, str] | None) -> Apply:
        """Note the health, and keep the vendor's secrets where they changed; a disconnect meanwhile has deleted all."""

        async def apply(conn: AsyncConnection) -> None:
            changed = await connections.change(conn, row.id, webhooks=health)
            if secrets is None or changed is None or changed.state == "disconnected":
                return
            vault = self._services.vault
            await vault.put(conn, row.id, WEBHOOK_SECRETS, msgspec.json.encode(secrets), self._services.clock.now())

        return apply

    async def failed(self, conn: AsyncConnection, task: Task, error: str, now: datetime) -> None:
        """Note that the vendor may not call us; tomorrow it is tried again."""
        await connections.change(conn, task.args["connection"], webhooks="missing")


def _noting(row: ConnectionRow, health: Health) -> Apply:
    async def apply(conn: AsyncConnection) -> None:
        await connections.change(conn, row.id, webhooks=health)

    return apply


def handlers(services: Services) -> dict[str, Handler]:
    """Return the handler of this flow's tasks."""
    return {"register_webhooks": RegisterWebhooks(services)}


def periodic(services: Services) -> list[Periodic]:
    """Return the daily check of all subscriptions."""

    async def make_tasks(conn: AsyncConnection, now: datetime) -> None:
        tasks = []
        for row in await connections.active(conn):
            integration = services.integrations.get(row.integration)
            if integration is not None and integration.has("register_webhooks") and row.identity is not None:
                tasks.append(register_task(row))
        await insert_tasks(conn, tasks, now)

    return [Periodic("register_webhooks", EVERY_SECONDS, make_tasks)]
