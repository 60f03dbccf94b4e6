"""Access tokens of connections: renewed once for everybody, and stored before they are used.

A refresh token may be good for one use. So one refresh runs at a time: callers of one process await the same flight,
processes take turns by a lease in the connection's row, and the winner reads the stored tokens again before it asks the
vendor. The newest refresh token is stored *before* its access token is used. What stays possible: the process dies
after the vendor answered and before the answer is stored; a vendor that rotates refresh tokens then refuses the old
one, and a person has to authorise again.
"""

import asyncio
from collections.abc import Callable, Coroutine
from datetime import datetime, timedelta
from typing import Any

import msgspec
import structlog

from gateway.flows.connections.reauth import mark_needs_reauth
from gateway.flows.connections.token_calls import Tokens, refresh, refused_domain
from gateway.flows.services import Services
from gateway.plugins import Integration
from gateway.sdk.errors import ReauthRequired, RetryLater
from gateway.storage import authorisations, connections
from gateway.storage.columns import new_id
from gateway.storage.connections import ConnectionRow
from gateway.storage.engine import AsyncConnection
from gateway.storage.writer import StorageUnavailable

SECRET = "oauth"  # noqa: S105 - the name of the vault entry
FORM = "form"
"""Vault entry with the values of the connect forms, a JSON object."""

LEASE = timedelta(seconds=45)
"""Longer than a token call can take, so that two processes never ask with one refresh token."""

WAIT_SECONDS = 20.0
LOOK_SECONDS = 0.05

log = structlog.get_logger(__name__)


class TokenMemory:
    """Access tokens that this process knows, and refreshes that are under way."""

    def __init__(self) -> None:
        self.tokens: dict[str, Tokens] = {}
        self.flights: dict[str, asyncio.Task[Tokens]] = {}
        self.unsaved: dict[str, Tokens] = {}  # answered by the vendor while the database was away

    def forget(self, connection_id: str) -> None:
        """Read the stored tokens of a connection again: it was re-authorised or disconnected."""
        self.tokens.pop(connection_id, None)
        self.unsaved.pop(connection_id, None)

    async def single(self, connection_id: str, work: Callable[[], Coroutine[Any, Any, Tokens]]) -> Tokens:
        """Join the refresh that is under way, or start it; it goes on when its callers are cancelled."""
        flight = self.flights.get(connection_id)
        if flight is None:
            flight = asyncio.create_task(work(), name=f"refresh-{connection_id}")
            self.flights[connection_id] = flight
            flight.add_done_callback(lambda done: self._landed(connection_id, done))
        return await asyncio.shield(flight)

    def _landed(self, connection_id: str, flight: asyncio.Task[Tokens]) -> None:
        if self.flights.get(connection_id) is flight:
            del self.flights[connection_id]
        if not flight.cancelled():
            flight.exception()  # seen: when every caller was cancelled nobody else looks at it


# --- tokens of a stored connection ---------------------------------------------------------------------


class StoredTokens:
    """The access token of a stored connection (``sdk.auth.TokenSource``), by its refresh token.

    Args:
        services: The process's services.
        integration: The connection's integration; its manifest says OAuth 2.0.
        row: The connection.
        properties: Follows the ``api_domain`` of each token answer.
    """

    kept_beside = SECRET
    """Vault entry without which no token is stored: the connection was disconnected."""

    def __init__(
        self, services: Services, integration: Integration, row: ConnectionRow, properties: dict[str, str]
    ) -> None:
        self._services = services
        self._integration = integration
        self._row = row
        self._properties = properties
        self._memory = services.memory(TokenMemory)

    async def token(self, *, refused: str | None = None) -> str:
        """Return a valid access token; see ``TokenSource``."""
        for _ in range(3):
            known = self._memory.tokens.get(self._row.id)
            if known is None or not self._is_good(known, refused):
                known = await self._memory.single(self._row.id, lambda: self._renew(refused))
            if self._is_good(known, refused):
                if known.api_domain is not None:
                    self._properties["api_domain"] = known.api_domain
                return known.access_token
        raise ReauthRequired(f"{self._integration.key}: the vendor refuses tokens that it has just given")

    async def renew(self) -> None:
        """Refresh although the token is still good: an unused refresh token dies at some vendors."""
        async with self._services.database.read() as conn:
            stored = await self._stored(conn)
        await self.token(refused=None if stored is None else stored.access_token)

    def _is_good(self, tokens: Tokens, refused: str | None) -> bool:
        return tokens.access_token != refused and self._services.clock.now() < tokens.fresh_until

    async def _renew(self, refused: str | None) -> Tokens:
        database, clock = self._services.database, self._services.clock
        owner = new_id("ref")
        loop = asyncio.get_running_loop()
        give_up = loop.time() + WAIT_SECONDS
        await self._save_unsaved()
        while True:
            async with database.read() as conn:
                stored = await self._stored(conn)
            if stored is not None and self._is_good(stored, refused):
                self._memory.tokens[self._row.id] = stored
                return stored
            now = clock.now()

            async def win(conn: AsyncConnection, now: datetime = now) -> bool:
                return await authorisations.win_refresh(conn, self._row.id, owner, now, now + LEASE)

            if await database.writer.run(win, bounded=False):
                return await self._refresh_as(owner, refused)
            if loop.time() > give_up:
                raise RetryLater("another process is refreshing the token", after_seconds=2, lane_wide=False)
            await asyncio.sleep(LOOK_SECONDS)

    async def _refresh_as(self, owner: str, refused: str | None) -> Tokens:
        """Refresh as the one who may; the right is given back whatever happens."""
        services, row = self._services, self._row
        refused_grant: ReauthRequired | None = None
        try:
            async with services.database.read() as conn:
                stored = await self._stored(conn)  # another process may have refreshed before we won
            if stored is None or not self._is_good(stored, refused):
                stored = await self._ask(stored)
                self._memory.unsaved[row.id] = stored
                await self._save_unsaved()
        except ReauthRequired as error:
            refused_grant = error
            raise
        else:
            self._memory.tokens[row.id] = stored
            return stored
        finally:

            async def end(conn: AsyncConnection) -> None:
                await authorisations.end_refresh(conn, row.id, owner)
                if refused_grant is not None:
                    await mark_needs_reauth(conn, row, str(refused_grant), services.clock.now())

            await services.database.writer.run(end, bounded=False)

    async def _ask(self, stored: Tokens | None) -> Tokens:
        """Ask the vendor for new tokens, and return them as they are to be stored."""
        if stored is None:
            raise ReauthRequired(f"connection {self._row.id} has no tokens; authorise it")
        if stored.refresh_token is None:
            raise ReauthRequired(f"{self._integration.key} gave no refresh token; authorise again")
        return self._merge(stored, await refresh(self._services, self._integration, stored.refresh_token))

    def _merge(self, stored: Tokens, answer: Tokens) -> Tokens:
        """Return the newest of everything; what an answer leaves out stays as it was."""
        domain = answer.api_domain
        if problem := refused_domain(self._services, self._integration, answer):
            log.error("oauth.api_domain_refused", connection_id=self._row.id, problem=problem)
            domain = None
        return msgspec.structs.replace(
            answer,
            refresh_token=answer.refresh_token or stored.refresh_token,
            api_domain=domain or stored.api_domain,
            scopes=answer.scopes if answer.scopes is not None else stored.scopes,
        )

    async def _save_unsaved(self) -> None:
        """Store what the vendor answered; while the database is away it is kept and stored by the next caller."""
        tokens = self._memory.unsaved.get(self._row.id)
        if tokens is None:
            return
        try:
            await self._services.database.writer.run(
                lambda conn: save(self._services, conn, self._row.id, tokens, beside=self.kept_beside), bounded=False
            )
        except StorageUnavailable as error:
            log.exception("oauth.tokens_not_stored", connection_id=self._row.id)
            raise RetryLater("the new token cannot be stored now", after_seconds=5) from error
        self._memory.unsaved.pop(self._row.id, None)

    async def _stored(self, conn: AsyncConnection) -> Tokens | None:
        return await stored_tokens(self._services, conn, self._row.id)


async def stored_tokens(services: Services, conn: AsyncConnection, owner: str) -> Tokens | None:
    """Return the tokens of a connection or an unclaimed installation."""
    found = await services.vault.get(conn, owner, SECRET)
    return None if found is None else msgspec.json.decode(found, type=Tokens)


async def save(
    services: Services, conn: AsyncConnection, connection_id: str, tokens: Tokens, *, beside: str = SECRET
) -> None:
    """Store renewed tokens of a connection, unless its secrets were deleted meanwhile: it was disconnected."""
    now = services.clock.now()
    if await services.vault.get(conn, connection_id, beside) is None:
        return
    await services.vault.put(conn, connection_id, SECRET, msgspec.json.encode(tokens), now)
    row = await connections.change(conn, connection_id, token_expires_at=tokens.expires_at, token_refreshed_at=now)
    if row is not None and tokens.api_domain is not None and row.properties.get("api_domain") != tokens.api_domain:
        properties = {**row.properties, "api_domain": tokens.api_domain}
        await connections.change(conn, connection_id, properties=properties)
