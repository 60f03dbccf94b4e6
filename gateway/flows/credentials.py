"""OAuth tokens of connections: exchanged, refreshed once for everybody, and revoked.

A refresh token may be good for one use. So one refresh runs at a time: callers of one process await the same flight,
processes take turns by a lease in the connection's row, and the winner reads the stored tokens again before it asks the
vendor. The newest refresh token is stored *before* its access token is used. What stays possible: the process dies
after the vendor answered and before the answer is stored; a vendor that rotates refresh tokens then refuses the old
one, and a person has to authorise again.
"""

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from datetime import datetime, timedelta
from typing import Any

import httpx
import msgspec
import structlog

from gateway.flows.reauth import mark_needs_reauth
from gateway.flows.services import Services
from gateway.plugins import Integration
from gateway.sdk.errors import Misconfigured, ReauthRequired, Rejected, RetryLater
from gateway.sdk.http import retry_after
from gateway.storage import connections
from gateway.storage.columns import new_id
from gateway.storage.connections import ConnectionRow
from gateway.storage.engine import AsyncConnection
from gateway.storage.writer import StorageUnavailable
from gateway_schemas.manifest import Credentials, OAuth2

SECRET = "oauth"  # noqa: S105 - the name of the vault entry
TIMEOUT = httpx.Timeout(10)
CALL_SECONDS = 30.0
LEASE = timedelta(seconds=45)
"""Longer than a token call can take, so that two processes never ask with one refresh token."""

WAIT_SECONDS = 20.0
LOOK_SECONDS = 0.05

log = structlog.get_logger(__name__)


class Tokens(msgspec.Struct, frozen=True, kw_only=True):
    """What a token endpoint answered.

    Attributes:
        fresh_until: Until when the access token is used; a little less than the vendor says.
        expires_at: When the vendor says that it ends.
        api_domain: Base URL of the tenant's API, where the vendor answers one; checked.
        scopes: Scopes that were granted, where the answer says so.
    """

    access_token: str
    refresh_token: str | None
    fresh_until: datetime
    expires_at: datetime
    api_domain: str | None = None
    scopes: list[str] | None = None


class TokenAnswer(msgspec.Struct, kw_only=True):
    """The JSON of a token endpoint (RFC 6749, section 5.1, and ``api_domain``)."""

    access_token: str
    refresh_token: str | None = None
    expires_in: float = 3600
    scope: str | list[str] | None = None
    api_domain: str | None = None


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


# --- calls of the token endpoint -----------------------------------------------------------------------


def setting(integration: Integration, name: str) -> str:
    """Return a setting of the plugin that the manifest names.

    Raises:
        Misconfigured: It is not set; names the variable.
    """
    value = getattr(integration.settings, name, None)
    if integration.settings_error is not None or not value:
        variable = f"GATEWAY_{integration.key.upper()}_{name.upper()}"
        raise Misconfigured(integration.settings_error or f"{variable} is not set; see docs/settings.md")
    return str(value).rstrip("/")


async def exchange_code(services: Services, integration: Integration, code: str, redirect_uri: str) -> Tokens:
    """Exchange an authorisation code for tokens.

    Raises:
        ReauthRequired: The code is wrong, used or too old.
        Misconfigured: The vendor refused our app.
        RetryLater: The vendor could not be reached.
        Rejected: The answer cannot be used.
    """
    form = {"grant_type": "authorization_code", "code": code, "redirect_uri": redirect_uri}
    return await _ask(services, integration, form)


async def refresh(services: Services, integration: Integration, refresh_token: str) -> Tokens:
    """Exchange a refresh token; errors as of ``exchange_code``."""
    return await _ask(services, integration, {"grant_type": "refresh_token", "refresh_token": refresh_token})


async def revoke(services: Services, integration: Integration, tokens: Tokens) -> None:
    """Revoke tokens at the vendor (RFC 7009).

    Raises:
        NotImplementedError: The vendor offers no revocation.
        RetryLater: It could not be reached or failed.
        Rejected: It refused.
    """
    auth = integration.manifest.auth
    if not isinstance(auth, OAuth2) or auth.revoke_path is None:
        raise NotImplementedError(f"{integration.key} offers no revocation")
    kind = "refresh_token" if tokens.refresh_token is not None else "access_token"
    form = {"token": tokens.refresh_token or tokens.access_token, "token_type_hint": kind}
    response = await _post(
        services, integration, auth.base_url_setting, auth.revoke_path, form, _app(integration, auth)
    )
    if not response.is_success:
        raise Rejected(f"{integration.key}: revoking the token was answered {response.status_code}")


async def _ask(services: Services, integration: Integration, form: Mapping[str, str]) -> Tokens:
    auth = integration.manifest.auth
    assert isinstance(auth, OAuth2)
    response = await _post(services, integration, auth.base_url_setting, auth.token_path, form, _app(integration, auth))
    return _read(services, integration, response)


def _app(integration: Integration, auth: OAuth2) -> tuple[str, str]:
    return setting(integration, auth.client_id_setting), setting(integration, auth.client_secret_setting)


async def _post(
    services: Services,
    integration: Integration,
    base_url_setting: str,
    path: str,
    form: Mapping[str, str],
    app: tuple[str, str] | None,
) -> httpx.Response:
    url = setting(integration, base_url_setting) + path
    what = f"{integration.key}: POST {path}"
    basic = httpx.BasicAuth(*app) if app else httpx.Auth()
    try:
        async with asyncio.timeout(CALL_SECONDS):
            response = await services.vendor_http.post(url, data=dict(form), auth=basic, timeout=TIMEOUT)
    except (httpx.TransportError, TimeoutError) as error:
        raise RetryLater(
            f"{what}: the vendor could not be reached ({type(error).__name__})", after_seconds=5
        ) from error
    if response.status_code == 429 or response.status_code >= 500:
        seconds = retry_after(response, default=10)
        raise RetryLater(f"{what} was answered {response.status_code}", after_seconds=seconds)
    return response


def _read(services: Services, integration: Integration, response: httpx.Response) -> Tokens:
    if not response.is_success:
        raise refusal(integration.key, response)
    try:
        answer = msgspec.json.decode(response.content, type=TokenAnswer)
    except msgspec.DecodeError as error:  # also ValidationError; the text may hold tokens, so it is not quoted
        raise RetryLater(f"{integration.key}: the token answer cannot be read", after_seconds=10) from error
    now = services.clock.now()
    life = max(answer.expires_in, 1.0)
    return Tokens(
        access_token=answer.access_token,
        refresh_token=answer.refresh_token,
        fresh_until=now + timedelta(seconds=life - min(60.0, life / 10)),
        expires_at=now + timedelta(seconds=life),
        api_domain=answer.api_domain.rstrip("/") if answer.api_domain else None,
        scopes=split_scopes(answer.scope),
    )


def split_scopes(scope: str | list[str] | None) -> list[str] | None:
    """Return the scopes of a token answer; they may be separated by commas, spaces or both."""
    if scope is None:
        return None
    return scope if isinstance(scope, list) else scope.replace(",", " ").split()


def refusal(key: str, response: httpx.Response) -> ReauthRequired | Misconfigured:
    """Return what a refused token call means: the grant is bad, or our app is.

    The keys of error bodies differ (``error``, ``message``, a sentence), so the text as a whole is read.
    """
    text = response.text[:2000].lower().replace("_", " ")
    if "invalid grant" in text:
        return ReauthRequired(f"{key}: the vendor refused the grant; authorise again")
    if any(word in text for word in ("client", "redirect uri", "unsupported", "missing parameter")):
        return Misconfigured(f"{key}: the vendor refused our app; check its client id, client secret and callback URL")
    if response.status_code in (400, 401) and ("grant" in text or "token" in text or "code" in text):
        return ReauthRequired(f"{key}: the vendor refused the grant; authorise again")
    return Misconfigured(f"{key}: the token call was answered {response.status_code}; check the app's settings")


def refused_domain(services: Services, integration: Integration, tokens: Tokens) -> str | None:
    """Return why the ``api_domain`` of a token answer may not be used; ``None`` when it may.

    Tokens are sent there, so it must be https under one of the manifest's suffixes, or, where local targets are
    allowed for development, the host of a base URL that the operator set.
    """
    if tokens.api_domain is None:
        return None
    auth = integration.manifest.auth
    suffixes = auth.host_suffixes if isinstance(auth, OAuth2) else []
    try:
        url = httpx.URL(tokens.api_domain)
    except httpx.InvalidURL:
        return f"the vendor named an API base URL that cannot be read: {tokens.api_domain!r}"
    if (
        url.scheme == "https"
        and url.port is None
        and not url.userinfo
        and url.path == "/"
        and _is_under(url.host, suffixes)
    ):
        return None
    if services.settings.allow_local_targets and url.host in {base.host for base in configured_urls(integration)}:
        return None
    return f"the vendor named an API base URL outside its own hosts: {tokens.api_domain!r}"


def configured_urls(integration: Integration) -> list[httpx.URL]:
    """Return the base URLs among the plugin's settings."""
    if integration.settings is None:
        return []
    values = (getattr(integration.settings, field.name) for field in msgspec.structs.fields(integration.settings))
    return [
        httpx.URL(value) for value in values if isinstance(value, str) and value.startswith(("https://", "http://"))
    ]


def _is_under(host: str, suffixes: list[str]) -> bool:
    bare = [suffix.lstrip(".") for suffix in suffixes]
    return any(host == suffix or host.endswith(f".{suffix}") for suffix in bare)


# --- tokens of a stored connection ---------------------------------------------------------------------


class StoredTokens:
    """The access token of a stored connection (``sdk.auth.TokenSource``).

    Args:
        services: The process's services.
        integration: The connection's integration; its manifest says OAuth 2.0.
        row: The connection.
        properties: Follows the ``api_domain`` of each token answer.
    """

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
            if stored is None:
                raise ReauthRequired(f"connection {self._row.id} has no tokens; authorise it")
            if self._is_good(stored, refused):
                self._memory.tokens[self._row.id] = stored
                return stored
            now = clock.now()

            async def win(conn: AsyncConnection, now: datetime = now) -> bool:
                return await connections.win_refresh(conn, self._row.id, owner, now, now + LEASE)

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
            if stored is None:
                raise ReauthRequired(f"connection {row.id} has no tokens; authorise it")
            if not self._is_good(stored, refused):
                if stored.refresh_token is None:
                    raise ReauthRequired(f"{self._integration.key} gave no refresh token; authorise again")
                answer = await refresh(services, self._integration, stored.refresh_token)
                stored = self._merge(stored, answer)
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
                await connections.end_refresh(conn, row.id, owner)
                if refused_grant is not None:
                    await mark_needs_reauth(conn, row, str(refused_grant), services.clock.now())

            await services.database.writer.run(end, bounded=False)

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
                lambda conn: save(self._services, conn, self._row.id, tokens), bounded=False
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


async def save(services: Services, conn: AsyncConnection, connection_id: str, tokens: Tokens) -> None:
    """Store refreshed tokens of a connection, unless its tokens were deleted meanwhile: it was disconnected."""
    now = services.clock.now()
    if await services.vault.get(conn, connection_id, SECRET) is None:
        return
    await services.vault.put(conn, connection_id, SECRET, msgspec.json.encode(tokens), now)
    row = await connections.change(conn, connection_id, token_expires_at=tokens.expires_at, token_refreshed_at=now)
    if row is not None and tokens.api_domain is not None and row.properties.get("api_domain") != tokens.api_domain:
        properties = {**row.properties, "api_domain": tokens.api_domain}
        await connections.change(conn, connection_id, properties=properties)


# --- tokens that are not stored ------------------------------------------------------------------------


class FixedToken:
    """The token of an authorisation that is being checked and is stored only afterwards."""

    def __init__(self, access_token: str) -> None:
        self._access_token = access_token

    async def token(self, *, refused: str | None = None) -> str:
        """Return it; a refused one cannot be replaced."""
        if refused is not None:
            raise ReauthRequired("the vendor refused the token that it has just given")
        return self._access_token


class ClientTokens:
    """Access tokens for the client id and secret that a person pasted (grant ``client_credentials``).

    They can be had again at any time, so they live in memory alone.

    Args:
        services: The process's services.
        integration: Its manifest says ``Credentials`` with a token path.
        key: Under which the token is remembered; the connection's id, or another one while values are being checked.
        values: Holds ``client_id`` and ``client_secret``.
    """

    def __init__(self, services: Services, integration: Integration, key: str, values: Mapping[str, str]) -> None:
        self._services = services
        self._integration = integration
        self._key = key
        self._values = values
        self._memory = services.memory(TokenMemory)

    async def token(self, *, refused: str | None = None) -> str:
        """Return a valid access token; see ``TokenSource``."""
        for _ in range(2):
            known = self._memory.tokens.get(self._key)
            if known is None or known.access_token == refused or self._services.clock.now() >= known.fresh_until:
                known = await self._memory.single(self._key, self._ask)
            if known.access_token != refused:
                return known.access_token
        raise ReauthRequired(f"{self._integration.key}: the vendor refuses tokens that it has just given")

    async def _ask(self) -> Tokens:
        auth = self._integration.manifest.auth
        assert isinstance(auth, Credentials)
        assert auth.token_path is not None
        assert auth.base_url_setting is not None
        form = {
            "grant_type": "client_credentials",
            "client_id": self._values.get("client_id", ""),
            "client_secret": self._values.get("client_secret", ""),
        }
        response = await _post(self._services, self._integration, auth.base_url_setting, auth.token_path, form, None)
        if response.status_code in (400, 401, 403):  # here the client is the customer's, not ours
            raise ReauthRequired(f"{self._integration.key}: the vendor refused the client id or secret")
        tokens = _read(self._services, self._integration, response)
        self._memory.tokens[self._key] = tokens
        return tokens
