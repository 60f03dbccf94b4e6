"""Disconnecting: all traffic stops at once, what we have at the vendor is removed, secrets are deleted, data stays.

The state changes first and alone; what the vendor must be told comes after it, outside any transaction, and is told in
the receipt when it could not be done. A task finishes the clean-up when this process dies in the middle.
"""

from collections.abc import Callable, Coroutine
from datetime import datetime, timedelta
from typing import Any

import msgspec
import structlog

from gateway.flows.access import GrantMemory
from gateway.flows.connections.connect import close
from gateway.flows.connections.credentials import TokenMemory, stored_tokens
from gateway.flows.connections.opening import open_connection
from gateway.flows.connections.reauth import tell_host
from gateway.flows.connections.token_calls import Tokens, revoke
from gateway.flows.notify.endpoints import remove_subscriptions
from gateway.flows.services import Services
from gateway.plugins import Integration
from gateway.sdk.errors import PluginError
from gateway.sdk.inbound import Uninstalled
from gateway.storage import accounts, authorisations, budgets, connections, inbound, installations
from gateway.storage.connections import ConnectionRow
from gateway.storage.engine import AsyncConnection
from gateway.storage.running import Done, Handler, Outcome, Periodic, TaskRun
from gateway.storage.tasks import NewTask, Task, cancel_tasks, insert_tasks
from gateway_schemas.connection import DisconnectReceipt
from gateway_schemas.manifest import AccountKey, OAuth2

HOOK_SECONDS = 20.0
FINISH_AFTER = timedelta(minutes=2)
LAPSE_EVERY_SECONDS = 60.0

log = structlog.get_logger(__name__)


class CleanedUp(msgspec.Struct, frozen=True):
    """What was removed at the vendor, and what people must do by hand."""

    removed: list[str]
    by_hand: list[str]


async def disconnect(services: Services, row: ConnectionRow, *, reason: str = "by_request") -> DisconnectReceipt:
    """Disconnect, whether or not the vendor can be reached; a connection that is disconnected already stays so.

    Args:
        services: The process's services.
        row: The connection, in any state: one that is not active yet is cancelled.
        reason: A stable word.

    Returns:
        What was removed at the vendor, what its administrator must still do, and what stays.
    """
    now = services.clock.now()

    taken: list[str] = []

    async def write(conn: AsyncConnection) -> ConnectionRow | None:
        closed = await close(conn, row, reason, now)
        if closed is not None:
            taken[:] = await _take_back(services, conn, closed, now)
            await insert_tasks(conn, [_finish_task(closed, now)], now)
        return closed

    closed = await services.database.writer.run(write)
    if closed is None:
        return _receipt(services, row, row.disconnected_at or now, CleanedUp([], []))
    services.memory(GrantMemory).forget_all()
    done = await _clean_up(services, row)
    await _forget(services, row)
    return _receipt(services, row, now, CleanedUp([*taken, *done.removed], done.by_hand))


async def _take_back(services: Services, conn: AsyncConnection, row: ConnectionRow, now: datetime) -> list[str]:
    """Revoke what the connection let its vendor do here, and return it in sentences for the receipt."""
    taken: list[str] = []
    subscriptions = await remove_subscriptions(services, conn, row.id, now)
    if subscriptions:
        taken.append(f"{subscriptions} subscriptions." if subscriptions > 1 else "One subscription.")
    integration = services.integrations.get(row.integration)
    if integration is not None and isinstance(integration.manifest.auth, AccountKey):
        keys = await accounts.revoke_keys_for(conn, row.account_id, row.integration, now)
        if keys:
            taken.append(f"{keys} account keys were revoked." if keys > 1 else "The account key was revoked.")
    return taken


async def uninstalled(services: Services, integration: Integration, notice: Uninstalled) -> int:
    """Disconnect what a customer uninstalled at the vendor; return how many connections that was.

    Tokens and subscriptions are gone at the vendor already, so nothing is asked there. Installations that nobody has
    claimed yet are dropped too.
    """
    now = services.clock.now()

    async def write(conn: AsyncConnection) -> list[str]:
        closed: list[str] = []
        for row in await connections.by_identity(conn, integration.key, notice.identity):
            another = notice.user is not None and row.vendor_user is not None and row.vendor_user != notice.user
            if row.activated_at is None or another:
                continue
            await close(conn, row, "uninstalled", now)
            await remove_subscriptions(services, conn, row.id, now)
            await services.vault.delete(conn, row.id)
            await inbound.forget_connection(conn, row.id, now)
            closed.append(row.id)
        for installation in await installations.end_of_identity(conn, integration.key, notice.identity, now):
            await services.vault.delete(conn, installation)
        return closed

    closed = await services.database.writer.run(write)
    for connection_id in closed:
        services.memory(TokenMemory).forget(connection_id)
    log.info("integration.uninstalled", integration=integration.key, connections=len(closed))
    return len(closed)


# --- at the vendor -------------------------------------------------------------------------------------


async def _clean_up(services: Services, row: ConnectionRow) -> CleanedUp:
    """Remove at the vendor what we have there; never raises, tells what could not be done."""
    done = CleanedUp([], [])
    async with services.database.read() as conn:
        tokens = await stored_tokens(services, conn, row.id)
    if tokens is None and row.activated_at is None:
        return done
    integration = services.integrations.get(row.integration)
    if integration is None:
        done.by_hand.append(f"{row.integration} is not installed here any more: remove our app and webhooks there.")
        return done
    name = integration.manifest.name
    if row.activated_at is not None and integration.has("disconnect"):

        async def ask_plugin() -> None:
            connection = await open_connection(services, row, person_waits=True)
            hook = integration.hooks.disconnect(connection=connection)
            told = await integration.call(hook, timeout_seconds=HOOK_SECONDS)
            done.removed.extend(told.get("removed", []))
            done.by_hand.extend(told.get("by_hand", []))

        await _try(done, row, f"Remove our webhooks in {name} by hand", ask_plugin)
    if tokens is not None and isinstance(integration.manifest.auth, OAuth2):
        newest = services.memory(TokenMemory).tokens.get(row.id, tokens)  # the plugin's calls may have refreshed them

        async def take_back() -> None:
            if await revoke_unless_used(services, integration, row, newest):
                done.removed.append(f"The authorisation of our app in {name}.")

        await _try(done, row, f"Remove our app from {name} by hand", take_back)
    return done


async def _try(
    done: CleanedUp, row: ConnectionRow, else_do: str, work: Callable[[], Coroutine[Any, Any, None]]
) -> None:
    try:
        await work()
    except NotImplementedError:
        done.by_hand.append(f"{else_do}: its vendor offers no call for it.")
    except PluginError as error:
        log.warning("connection.not_cleaned_up", connection_id=row.id, error=str(error))
        done.by_hand.append(f"{else_do}: it could not be done from here ({type(error).__name__}).")
    except Exception:
        log.exception("connection.not_cleaned_up", connection_id=row.id)
        done.by_hand.append(f"{else_do}: it could not be done from here.")


async def revoke_unless_used(services: Services, integration: Integration, row: ConnectionRow, tokens: Tokens) -> bool:
    """Revoke tokens unless another connection lives on the same authorisation; return whether they were revoked.

    At some vendors revoking one refresh token removes the app for that user as a whole, with the tokens of every other
    connection of the same user and tenant.

    Raises:
        PluginError: The vendor refused or could not be reached.
    """
    if row.identity is not None:
        async with services.database.read() as conn:
            others = await connections.by_identity(conn, row.integration, row.identity)
        users = {one.vendor_user for one in others if one.id != row.id and one.activated_at is not None}
        if users & {row.vendor_user, None} or (users and row.vendor_user is None):
            return False
    await revoke(services, integration, tokens)
    return True


async def _forget(services: Services, row: ConnectionRow) -> None:
    """Delete the connection's secrets, and what its vendor told that nobody has read yet."""

    async def write(conn: AsyncConnection) -> None:
        await services.vault.delete(conn, row.id)
        await inbound.forget_connection(conn, row.id, services.clock.now())
        await connections.change(conn, row.id, inbound_token_hash=None, token_expires_at=None, token_refreshed_at=None)
        await cancel_tasks(conn, "done already", unique_key=f"finish_disconnect:{row.id}")

    await services.database.writer.run(write, bounded=False)
    services.memory(TokenMemory).forget(row.id)


def _receipt(services: Services, row: ConnectionRow, at: datetime, done: CleanedUp) -> DisconnectReceipt:
    integration = services.integrations.get(row.integration)
    name = integration.manifest.name if integration is not None else row.integration
    kept = [
        f"Everything that was written to {name} stays there.",
        "People, referrals and rewards stay here.",
        f"Setups and links stay here; connecting the same {name} account again takes them up.",
    ]
    return DisconnectReceipt(
        connection=row.id,
        disconnected_at=at,
        removed=done.removed,
        by_hand=done.by_hand,
        kept=kept if row.activated_at is not None else [],
    )


# --- tasks ---------------------------------------------------------------------------------------------


def _finish_task(row: ConnectionRow, now: datetime) -> NewTask:
    return NewTask(
        kind="finish_disconnect",
        args={"connection": row.id},
        lane="internal",
        account_id=row.account_id,
        unique_key=f"finish_disconnect:{row.id}",
        due_at=now + FINISH_AFTER,
    )


class FinishDisconnect:
    """Cleans up after a disconnect whose process died before it could."""

    def __init__(self, services: Services) -> None:
        self._services = services

    async def run(self, run: TaskRun) -> Outcome:
        """Do again what may not have been done; each part of it may be repeated."""
        async with self._services.database.read() as conn:
            row = await connections.get(conn, run.task.args["connection"])
            left = {} if row is None else await self._services.vault.get_all(conn, row.id)
        if row is not None and row.state == "disconnected" and left:
            await _clean_up(self._services, row)
            await _forget(self._services, row)
        return Done()

    async def failed(self, conn: AsyncConnection, task: Task, error: str, now: datetime) -> None:
        """Delete the secrets all the same."""
        await self._services.vault.delete(conn, task.args["connection"])


def handlers(services: Services) -> dict[str, Handler]:
    """Return the handler of each task kind of this flow."""
    return {"finish_disconnect": FinishDisconnect(services)}


def periodic(services: Services) -> list[Periodic]:
    """Return the sweep of authorisations that nobody finished, and of what they leave."""

    async def sweep(conn: AsyncConnection, now: datetime) -> None:
        for row in await connections.lapse(conn, now):
            await services.vault.delete(conn, row.id)
            await tell_host(conn, "connection.disconnected", row, now)
        await authorisations.prune_states(conn, now - timedelta(days=1))
        await budgets.prune(conn, now)

    return [Periodic(key="lapse_connections", every_seconds=LAPSE_EVERY_SECONDS, make_tasks=sweep)]
