"""What follows when a connect step is done: the next step, or an active connection and all that waited for it."""

from datetime import datetime

import msgspec
import structlog

from gateway.errors import Refused
from gateway.flows.campaigns.campaign import check_task
from gateway.flows.connections.connect import OPEN_STATES
from gateway.flows.connections.connect_steps import AUTHORISATION_LIFE, EVENT_OF_STATE, hash_of, state_at, wrong_state
from gateway.flows.connections.credentials import FORM, SECRET, TokenMemory
from gateway.flows.connections.reauth import start_traffic, tell_host
from gateway.flows.connections.token_calls import Tokens
from gateway.flows.contact_sync import parting as contact_syncs
from gateway.flows.referrals import inbound
from gateway.flows.services import Services
from gateway.flows.signups import signup
from gateway.plugins import Integration
from gateway.storage import accounts, adoption, authorisations, campaigns, connections, contact_index, pushes
from gateway.storage.accounts import KeyRow
from gateway.storage.connections import ConnectionRow
from gateway.storage.engine import AsyncConnection
from gateway.storage.tasks import insert_tasks
from gateway.storage.upsert import AlreadyThere
from gateway_schemas.connection import Limitation, VendorAccount
from gateway_schemas.manifest import ConnectStep, Credentials

log = structlog.get_logger(__name__)


class Completed(msgspec.Struct, frozen=True, kw_only=True):
    """A connect step that was done.

    Attributes:
        step: Its key; null for a connection without steps.
        verified: Whom the plugin proved that we are connected as; null when it proves nothing at this step.
        tokens: Of an authorisation.
        form: Values of a form, to be added to those of earlier forms.
        limitations: What is missing because of scopes that were not granted.
        state: For the case that the next step is a redirect: the OAuth state of its URL.
        key: A key of the account that is stored with the activation.
    """

    step: str | None
    verified: VendorAccount | None = None
    tokens: Tokens | None = None
    form: dict[str, str] | None = None
    limitations: list[Limitation] = []
    state: str | None = None
    key: KeyRow | None = None


async def complete(services: Services, integration: Integration, row: ConnectionRow, done: Completed) -> ConnectionRow:
    """Store what a step gave and go on: to the next step, or to ``active`` after the last one.

    Raises:
        Refused: ``other_vendor_account``, ``vendor_account_in_use``, or ``wrong_state`` when the connection was
            disconnected or the step was done meanwhile. Nothing is stored then.
    """

    async def write(conn: AsyncConnection) -> ConnectionRow | Refused:
        return await complete_in(conn, services, integration, row, done, services.clock.now())

    try:
        answer = await services.database.writer.run(write)
    except AlreadyThere:  # two accounts at once, in two processes: the index decides
        raise in_use(row, done) from None
    if isinstance(answer, Refused):
        raise answer
    services.memory(TokenMemory).forget(row.id)
    return answer


async def complete_in(
    conn: AsyncConnection,
    services: Services,
    integration: Integration,
    row: ConnectionRow,
    done: Completed,
    now: datetime,
) -> ConnectionRow | Refused:
    """Do the writes of ``complete`` in a transaction that may hold others; a refusal is returned, nothing written."""
    await pushes.lock_accounts(conn, [row.account_id], change=True)  # first, as signups do: no deadlock
    fresh = await connections.get(conn, row.id)
    if fresh is None or fresh.state not in OPEN_STATES:
        return wrong_state(fresh or row, "It was disconnected meanwhile; connect again")
    if done.step is None and fresh.state == "active":
        return fresh  # nothing was to be done but to begin, and another call was faster
    if fresh.step != done.step:
        return wrong_state(fresh, "This step is done already, or is not to be done now")
    following = None if fresh.activated_at is not None else _after(integration, done.step)
    if following is None:
        refused = await _refuse_identity(conn, services, fresh, done)
        if refused is not None:
            return refused
    await _store_secrets(conn, services, fresh, done, now)
    if following is None:
        return await _activate(conn, services, fresh, done, now)
    return await _go_on(conn, integration, fresh, done, following, now)


async def _refuse_identity(
    conn: AsyncConnection, services: Services, row: ConnectionRow, done: Completed
) -> Refused | None:
    identity = _identity(row, done)
    if row.activated_at is not None and row.identity is not None and identity != row.identity:
        return Refused(
            "other_vendor_account",
            f"This connection belongs to {row.name or row.identity}; the authorisation came from another account "
            f"({_name(done) or identity}). Sign in there as {row.name or row.identity}, or disconnect first.",
        )
    claim = claim_of(services, row, identity)
    if await connections.identity_in_use(conn, row, claim) is not None:
        return in_use(row, done)
    return None


def in_use(row: ConnectionRow, done: Completed) -> Refused:
    """Return the refusal of a vendor account to which another account is connected; that one is not named."""
    name = _name(done) or "This vendor account"
    return Refused(
        "vendor_account_in_use",
        f"{name} is connected to another account already. Disconnect it there, or choose another one.",
    )


async def _store_secrets(
    conn: AsyncConnection, services: Services, row: ConnectionRow, done: Completed, now: datetime
) -> None:
    if done.tokens is not None:
        await services.vault.put(conn, row.id, SECRET, msgspec.json.encode(done.tokens), now)
    if done.form is not None:
        found = await services.vault.get(conn, row.id, FORM)
        earlier = {} if found is None else msgspec.json.decode(found, type=dict[str, str])
        await services.vault.put(conn, row.id, FORM, msgspec.json.encode({**earlier, **done.form}), now)
        integration = services.integrations.get(row.integration)
        if integration is not None and isinstance(integration.manifest.auth, Credentials):
            await services.vault.delete(conn, row.id, SECRET)  # a token of the credentials before these


async def _go_on(
    conn: AsyncConnection,
    integration: Integration,
    row: ConnectionRow,
    done: Completed,
    following: ConnectStep,
    now: datetime,
) -> ConnectionRow:
    state = state_at(integration, following)
    is_redirect = following.kind == "redirect"
    changed = await connections.change(
        conn,
        row.id,
        _known(row, done, now),
        state=state,
        state_since=now,
        step=following.key,
        expires_at=now + AUTHORISATION_LIFE if is_redirect else None,
    )
    assert changed is not None
    if is_redirect and done.state is not None:
        await authorisations.add_state(conn, hash_of(done.state), row.id, now, now + AUTHORISATION_LIFE)
    if (event := EVENT_OF_STATE.get(state)) is not None and state != row.state:
        await tell_host(conn, event, changed, now)
    return changed


async def _activate(
    conn: AsyncConnection, services: Services, row: ConnectionRow, done: Completed, now: datetime
) -> ConnectionRow:
    identity = _identity(row, done)
    active = await connections.change(
        conn,
        row.id,
        {**_known(row, done, now), "identity": identity, "identity_claim": claim_of(services, row, identity)},
        state="active",
        state_since=row.state_since if row.state == "active" else now,
        step=None,
        expires_at=None,
        reason=None,
        last_error=None,
        activated_at=row.activated_at or now,
    )
    assert active is not None
    if done.key is not None:
        await accounts.add_key(conn, done.key)
    if row.activated_at is None:
        previous = await connections.previous(conn, active)
        await adoption.adopt(conn, active, previous)
        await contact_syncs.adopt(conn, active, previous, now)
    if row.state != "active":
        await contact_index.look_again(conn, active, now)
    await start_traffic(conn, active)
    if active.category == "crm":
        await insert_tasks(conn, inbound.tasks_after_activation(active, now), now)
        if await campaigns.setups_of(conn, active.id):  # the vendor may have changed while nobody looked
            await insert_tasks(conn, [check_task(active.id, active.account_id, connections.lane(active))], now)
        await signup.released_by_connection(conn, active, now)
    if row.state != "active":
        await tell_host(conn, "connection.activated", active, now)
    log.info("connection.activated", connection_id=row.id, account_id=row.account_id, integration=row.integration)
    return active


def _known(row: ConnectionRow, done: Completed, now: datetime) -> dict[str, object]:
    """Return the columns that the step told."""
    values: dict[str, object] = {}
    properties = dict(row.properties)
    if done.tokens is not None:
        values |= {"token_expires_at": done.tokens.expires_at, "token_refreshed_at": now}
        if done.tokens.api_domain is not None:
            properties["api_domain"] = done.tokens.api_domain
    if (verified := done.verified) is not None:
        properties |= verified.properties
        scopes = (done.tokens.scopes if done.tokens is not None else None) or []
        values |= {
            "identity": verified.identity or None,
            "name": verified.name,
            "vendor_user": verified.user,
            "granted": verified.granted or scopes,
            "limitations": _once(done.limitations, verified.limitations),
            "currency": verified.currency,
        }
    return {**values, "properties": properties}


def _once(missing: list[Limitation], told: list[Limitation]) -> list[Limitation]:
    return list({one.code: one for one in [*missing, *told]}.values())


def _identity(row: ConnectionRow, done: Completed) -> str:
    """Return the vendor identity; an integration that proves none (our own keys) is the account itself."""
    if done.verified is not None and done.verified.identity:
        return done.verified.identity
    return row.identity or row.account_id


def _name(done: Completed) -> str | None:
    return done.verified.name if done.verified is not None else None


def claim_of(services: Services, row: ConnectionRow, identity: str) -> str:
    """Return what no two open connections of an integration may have in common."""
    return f"{row.account_id}:{identity}" if services.settings.share_vendor_accounts else identity


def _after(integration: Integration, key: str | None) -> ConnectStep | None:
    steps = integration.manifest.connect_steps
    keys = [step.key for step in steps]
    return steps[keys.index(key) + 1] if key in keys and keys.index(key) + 1 < len(steps) else None
