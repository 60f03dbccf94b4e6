"""Connecting an account to a vendor: begin, go on after a break, show, disconnect.

What a connection has to do next is data: the manifest's ``connect_steps``, each a redirect, a form or an approval.
``steps`` and ``oauth`` complete them, ``activation`` says what follows.
"""

import hashlib
import secrets
from datetime import datetime

import msgspec
import structlog

from gateway.errors import Refused, not_found
from gateway.flows.connections import own_keys
from gateway.flows.connections.connect_steps import (
    AUTHORISATION_LIFE,
    EVENT_OF_STATE,
    already_connected,
    check_return_url,
    hash_of,
    integration_of,
    new_state,
    state_at,
    step_of,
    wrong_state,
)
from gateway.flows.connections.opening import INBOUND_SECRET, INBOUND_TOKEN
from gateway.flows.connections.reauth import mark_needs_reauth, stop_traffic, tell_host
from gateway.flows.contact_sync import parting as contact_syncs
from gateway.flows.services import Services
from gateway.plugins import Integration
from gateway.storage import accounts, authorisations, connections
from gateway.storage.columns import new_id
from gateway.storage.connections import ConnectionRow
from gateway.storage.engine import AsyncConnection
from gateway_schemas.account import Key
from gateway_schemas.connection import ConnectInput, ConnectionState
from gateway_schemas.manifest import AccountKey

__all__ = [
    "Started",
    "authorise_again",
    "close",
    "find",
    "mark_needs_reauth",
    "reauthorise",
    "start",
    "start_in",
]

OPEN_STATES: tuple[ConnectionState, ...] = (
    "awaiting_authorisation",
    "pending_approval",
    "awaiting_credentials",
    "active",
    "needs_reauth",
)

log = structlog.get_logger(__name__)


class Started(msgspec.Struct, frozen=True, kw_only=True):
    """A connection that was begun or gone on with.

    Attributes:
        created: It is new; false: it was there.
        state: The state of OAuth that the authorisation URL carries; shown once, stored as a hash.
        key: The account key that connecting made; shown once, stored as a hash.
    """

    row: ConnectionRow
    created: bool
    state: str | None = None
    key: Key | None = None


# --- begin ---------------------------------------------------------------------------------------------


async def start(services: Services, account_id: str, wanted: ConnectInput, *, state: str | None = None) -> Started:
    """Begin to connect an integration, or go on with the open connection of the same one.

    Another CRM that still waits for its authorisation is replaced; in any other state it stays.

    Args:
        services: The process's services.
        account_id: Whose connection.
        wanted: Which integration, and where to go afterwards.
        state: Of OAuth, where the console binds it to a browser; default: a new one.

    Raises:
        Refused: ``crm_already_connected`` naming it, ``unknown_integration``, ``integration_unavailable``,
            ``not_found``.
    """
    integration = integration_of(services, wanted.integration)
    if wanted.return_url is not None:
        check_return_url(services, wanted.return_url)
    carried = state or new_state()
    now = services.clock.now()

    started = await services.database.writer.run(
        lambda conn: start_in(conn, services, integration, account_id, carried, wanted.return_url, now)
    )
    if isinstance(started, Refused):
        raise started
    if started.created:
        log.info("connection.begun", connection_id=started.row.id, account_id=account_id, integration=integration.key)
    return started


async def start_in(
    conn: AsyncConnection,
    services: Services,
    integration: Integration,
    account_id: str,
    state: str,
    return_url: str | None,
    now: datetime,
) -> Started | Refused:
    """Do the writes of ``start`` in a transaction that may hold others; a refusal is returned."""
    if await accounts.get(conn, account_id) is None:
        return not_found("account", account_id)
    for lapsed in await connections.lapse(conn, now, account_id=account_id):
        await services.vault.delete(conn, lapsed.id)
        await tell_host(conn, "connection.disconnected", lapsed, now)
    for _ in range(2):  # the second time when another process was first
        mine = await connections.open_of(conn, account_id, integration.key)
        if mine is not None:
            return await _go_on(conn, integration, mine, state, return_url, now)
        if (refused := await _make_room(conn, services, integration, account_id, now)) is not None:
            return refused
        row = await _add(conn, services, integration, account_id, return_url, now)
        if row is not None:
            return await _begin(conn, integration, row, state, now)
    return Refused("overloaded", "Others are connecting this account; try again.", retry_after=1)


async def _make_room(
    conn: AsyncConnection, services: Services, integration: Integration, account_id: str, now: datetime
) -> Refused | None:
    """Replace another CRM that still waits for its authorisation, or refuse."""
    if integration.manifest.category != "crm":
        return None
    other = await connections.open_crm(conn, account_id)
    if other is None:
        return None
    if other.state != "awaiting_authorisation":
        return already_connected(other)
    await close(conn, other, "replaced", now)
    await services.vault.delete(conn, other.id)
    return None


async def _add(
    conn: AsyncConnection,
    services: Services,
    integration: Integration,
    account_id: str,
    return_url: str | None,
    now: datetime,
) -> ConnectionRow | None:
    """Store a new connection at its first step, with its inbound secret and token; ``None``: the account has one."""
    token = secrets.token_urlsafe(32)
    steps = integration.manifest.connect_steps
    row = ConnectionRow(
        id=new_id("con"),
        account_id=account_id,
        integration=integration.key,
        category=integration.manifest.category,
        state=state_at(integration, steps[0]) if steps else "awaiting_credentials",
        step=steps[0].key if steps else None,
        return_url=return_url,
        created_at=now,
        state_since=now,
        expires_at=now + AUTHORISATION_LIFE if steps and steps[0].kind == "redirect" else None,
        inbound_token_hash=hashlib.sha256(token.encode()).hexdigest(),
    )
    if not await connections.add(conn, row):
        return None
    await services.vault.put(conn, row.id, INBOUND_TOKEN, token, now)
    await services.vault.put(conn, row.id, INBOUND_SECRET, secrets.token_urlsafe(32), now)
    return row


async def _begin(
    conn: AsyncConnection, integration: Integration, row: ConnectionRow, state: str, now: datetime
) -> Started:
    event = EVENT_OF_STATE.get(row.state)
    if event is not None:
        await tell_host(conn, event, row, now)
    step = step_of(integration, row.step)
    if step is not None and step.kind == "redirect":
        await authorisations.add_state(conn, hash_of(state), row.id, now, now + AUTHORISATION_LIFE)
        return Started(row=row, created=True, state=state)
    return Started(row=row, created=True)


async def _go_on(
    conn: AsyncConnection,
    integration: Integration,
    row: ConnectionRow,
    state: str,
    return_url: str | None,
    now: datetime,
) -> Started:
    """Answer with the connection that is open already and what it waits for; a redirect gets a fresh URL."""
    if row.state == "active":
        return Started(row=row, created=False)
    if row.state == "needs_reauth":
        return await authorise_again(conn, integration, row, state, return_url, now)
    step = step_of(integration, row.step)
    values = {} if return_url is None else {"return_url": return_url}
    if step is None or step.kind != "redirect":
        changed = await connections.change(conn, row.id, values)
        return Started(row=changed or row, created=False)
    expires_at = now + AUTHORISATION_LIFE
    changed = await connections.change(conn, row.id, values, expires_at=expires_at)
    await authorisations.add_state(conn, hash_of(state), row.id, now, expires_at)
    return Started(row=changed or row, created=False, state=state)


async def reauthorise(
    services: Services,
    row: ConnectionRow,
    return_url: str | None = None,
    *,
    state: str | None = None,
    form: str | None = None,
) -> Started:
    """Begin to authorise a connection again; it stays in its state until that is done.

    Where connecting made an account key, this makes another one, for a person who lost it; the others go on until they
    are revoked.

    Args:
        services: The process's services.
        row: The connection.
        return_url: Where to go afterwards.
        state: As of ``start``.
        form: As of ``own_keys.prepare``.

    Raises:
        Refused: ``wrong_state`` unless it is active or needs re-authorisation.
    """
    integration = integration_of(services, row.integration)
    if return_url is not None:
        check_return_url(services, return_url)
    carried = state or new_state()
    now = services.clock.now()

    async def write(conn: AsyncConnection) -> Started | Refused:
        fresh = await connections.get(conn, row.id)
        if fresh is None or fresh.state not in ("active", "needs_reauth"):
            return wrong_state(fresh or row, "It can be authorised again once it was connected")
        begun = await authorise_again(conn, integration, fresh, carried, return_url, now)
        if not isinstance(integration.manifest.auth, AccountKey):
            return begun
        stored, shown = await own_keys.prepare(services, conn, fresh.account_id, integration, form, now)
        await accounts.add_key(conn, stored)
        return msgspec.structs.replace(begun, key=shown)

    started = await services.database.writer.run(write)
    if isinstance(started, Refused):
        raise started
    return started


async def authorise_again(
    conn: AsyncConnection,
    integration: Integration,
    row: ConnectionRow,
    state: str,
    return_url: str | None,
    now: datetime,
) -> Started:
    """Go back to the last step that gives credentials."""
    steps = [step for step in integration.manifest.connect_steps if step.kind != "approval"]
    if not steps:
        return Started(row=row, created=False)
    values = {} if return_url is None else {"return_url": return_url}
    changed = await connections.change(conn, row.id, values, step=steps[-1].key)
    if steps[-1].kind != "redirect":
        return Started(row=changed or row, created=False)
    await authorisations.add_state(conn, hash_of(state), row.id, now, now + AUTHORISATION_LIFE)
    return Started(row=changed or row, created=False, state=state)


# --- end -----------------------------------------------------------------------------------------------


async def close(conn: AsyncConnection, row: ConnectionRow, reason: str, now: datetime) -> ConnectionRow | None:
    """Disconnect: stop all traffic and tell the host; ``None`` when it was disconnected already.

    Its secrets are the caller's business: some are needed to clean up at the vendor.
    """
    closed = await connections.change(
        conn,
        row.id,
        states=OPEN_STATES,
        state="disconnected",
        reason=reason,
        step=None,
        state_since=now,
        disconnected_at=now,
        expires_at=None,
        refresh_owner=None,
        refresh_until=None,
    )
    if closed is None:
        return None
    if closed.activated_at is not None:
        await stop_traffic(conn, closed, "disconnected")
        await contact_syncs.pause_all(conn, closed, now)
    await tell_host(conn, "connection.disconnected", closed, now)
    log.info("connection.disconnected", connection_id=row.id, account_id=row.account_id, reason=reason)
    return closed


# --- show ----------------------------------------------------------------------------------------------


async def find(services: Services, connection_id: str) -> ConnectionRow:
    """Return a connection.

    Raises:
        Refused: ``not_found``.
    """
    async with services.database.read() as conn:
        row = await connections.get(conn, connection_id)
    if row is None:
        raise not_found("connection", connection_id)
    return row
