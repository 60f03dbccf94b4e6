"""The account keys of an automation: made by connecting, told apart by how they begin, revoked one by one.

A form that is sent twice makes one key: its secret is made from what that form alone brings, so that the answer to the
second click, which is the one that people see, shows the same key. Who has not the gateway's own secret cannot make it.
"""

from datetime import datetime, timedelta

from gateway.errors import Refused, not_found
from gateway.flows import access
from gateway.flows.services import Services
from gateway.plugins import Integration
from gateway.storage import accounts
from gateway.storage.accounts import KeyRow
from gateway.storage.connections import ConnectionRow
from gateway.storage.engine import AsyncConnection
from gateway_schemas.account import Key
from gateway_schemas.manifest import AccountKey

AGAIN = timedelta(minutes=10)
"""How long the same form is answered with the key that it made."""


async def prepare(
    services: Services,
    conn: AsyncConnection,
    account_id: str,
    integration: Integration,
    form: str | None,
    now: datetime,
) -> tuple[KeyRow, Key]:
    """Return a key of an automation: a new one, or the one that this very form made a moment ago.

    Args:
        services: The process's services.
        conn: To look.
        account_id: Whose key.
        integration: The automation, whose routes the key opens.
        form: What one form of the console brings and no other; ``None``: always a new key.
        now: The time.
    """
    name, scopes = integration.manifest.name, [integration.key]
    if form:
        secret = access.KEY_PREFIX + services.vault.derive("account key", account_id, integration.key, form)
        there = await accounts.key_by_hash(conn, access.hash_of(secret), revoked=True)
        if there is None:
            return access.new_key(account_id, name, scopes, now, secret=secret)
        if there.revoked_at is None and now - there.created_at < AGAIN:
            return there, access.shown(there, secret)
    return access.new_key(account_id, name, scopes, now)


async def shown_again(services: Services, account_id: str, integration: Integration, form: str | None) -> Key | None:
    """Return the key that this form made a moment ago, ``None`` where another one, or nobody, made a key."""
    if not form or not isinstance(integration.manifest.auth, AccountKey):
        return None
    async with services.database.read() as conn:
        stored, shown = await prepare(services, conn, account_id, integration, form, services.clock.now())
        return shown if await accounts.key_by_hash(conn, stored.key_hash) is not None else None


async def keys_of(services: Services, row: ConnectionRow) -> list[Key]:
    """Return the keys that connecting made, oldest first, without their secrets; none where it makes none."""
    async with services.database.read() as conn:
        return [access.shown(key) for key in await _keys(services, conn, row)]


async def revoke(services: Services, row: ConnectionRow, key_id: str) -> None:
    """Revoke one key of an automation; the connection and its other keys stay.

    Raises:
        Refused: ``not_found`` for what is no key of this connection, or was revoked already.
    """
    now = services.clock.now()

    async def write(conn: AsyncConnection) -> Refused | None:
        if key_id not in [key.id for key in await _keys(services, conn, row)]:
            return not_found("key", key_id)
        await accounts.revoke_key(conn, row.account_id, key_id, now)
        return None

    if refused := await services.database.writer.run(write):
        raise refused
    access.forget_grants(services)


async def _keys(services: Services, conn: AsyncConnection, row: ConnectionRow) -> list[KeyRow]:
    integration = services.integrations.get(row.integration)
    if integration is None or not isinstance(integration.manifest.auth, AccountKey):
        return []
    return [key for key in await accounts.keys_of(conn, row.account_id) if key.scopes == [row.integration]]
