"""Keeps tokens alive that nobody uses: at some vendors an unused refresh token dies after some weeks."""

from datetime import datetime, timedelta

import structlog

from gateway.flows.connections.credentials import StoredTokens
from gateway.flows.mishaps import outcome_of
from gateway.flows.services import Services
from gateway.sdk.errors import PluginError
from gateway.storage import connections
from gateway.storage.engine import AsyncConnection
from gateway.storage.running import Done, Handler, Outcome, Periodic, TaskRun
from gateway.storage.tasks import NewTask, Task, insert_tasks
from gateway_schemas.manifest import OAuth2

LOOK_EVERY_SECONDS = 6 * 3600.0

log = structlog.get_logger(__name__)


class KeepTokenAlive:
    """Refreshes the token of one connection although it is still good."""

    def __init__(self, services: Services) -> None:
        self._services = services

    async def run(self, run: TaskRun) -> Outcome:
        """Refresh, unless the connection was used or disconnected meanwhile."""
        async with self._services.database.read() as conn:
            row = await connections.get(conn, run.task.args["connection"])
        integration = self._services.integrations.get(row.integration) if row is not None else None
        if row is None or integration is None or row.state != "active":
            return Done()
        before = datetime.fromisoformat(run.task.args["unused_since"])
        if row.token_refreshed_at is None or row.token_refreshed_at >= before:
            return Done()
        try:
            await StoredTokens(self._services, integration, row, dict(row.properties)).renew()
        except PluginError as error:
            return await outcome_of(run, row, error)
        log.info("oauth.kept_alive", connection_id=row.id)
        return Done()

    async def failed(self, conn: AsyncConnection, task: Task, error: str, now: datetime) -> None:
        """Leave it to the next look: half of the token's life is left."""


def handlers(services: Services) -> dict[str, Handler]:
    """Return the handler of each task kind of this flow."""
    return {"keep_token_alive": KeepTokenAlive(services)}


def periodic(services: Services) -> list[Periodic]:
    """Return the look for tokens that were not used for half of the time after which they die."""

    async def look(conn: AsyncConnection, now: datetime) -> None:
        for integration in services.integrations:
            auth = integration.manifest.auth
            if not isinstance(auth, OAuth2):
                continue
            before = now - timedelta(days=auth.refresh_unused_days / 2)
            tasks = [
                NewTask(
                    kind="keep_token_alive",
                    args={"connection": row.id, "unused_since": before.isoformat()},
                    lane=connections.lane(row),
                    account_id=row.account_id,
                    priority=2,
                    unique_key=f"keep_token_alive:{row.id}",
                )
                for row in await connections.idle_tokens(conn, integration.key, before)
                if row.identity is not None
            ]
            await insert_tasks(conn, tasks, now)

    return [Periodic(key="keep_tokens_alive", every_seconds=LOOK_EVERY_SECONDS, make_tasks=look)]
