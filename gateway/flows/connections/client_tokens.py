"""Tokens for a client id and secret, and tokens of what is being checked and is not stored."""

from collections.abc import Mapping

import msgspec

from gateway.flows.connections.credentials import FORM, StoredTokens, TokenMemory
from gateway.flows.connections.token_calls import Tokens, post_form, read_tokens
from gateway.flows.services import Services
from gateway.plugins import Integration
from gateway.sdk.errors import ReauthRequired
from gateway.storage.connections import ConnectionRow
from gateway_schemas.manifest import Credentials


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
    """Access tokens for a client id and secret that are being checked; they live in memory alone.

    Args:
        services: The process's services.
        integration: Its manifest says ``Credentials`` with a token path.
        key: Under which the token is remembered.
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
        tokens = await ask(self._services, self._integration, self._values)
        self._memory.tokens[self._key] = tokens
        return tokens


class StoredClientTokens(StoredTokens):
    """Access tokens of a stored connection, for the client id and secret that a person pasted.

    They can be had again at any time, but vendors limit how often: so one process asks for all, as with refresh tokens,
    and the others find the token stored.

    Args:
        services: The process's services.
        integration: Its manifest says ``Credentials`` with a token path.
        row: The connection.
        properties: See ``StoredTokens``.
        values: Of the connect forms, as they were when the connection was opened; what was pasted since comes first.
    """

    kept_beside = FORM

    def __init__(
        self,
        services: Services,
        integration: Integration,
        row: ConnectionRow,
        properties: dict[str, str],
        values: Mapping[str, str],
    ) -> None:
        super().__init__(services, integration, row, properties)
        self._values = values

    async def _ask(self, stored: Tokens | None) -> Tokens:
        # asking with credentials that were replaced would call the new ones refused
        async with self._services.database.read() as conn:
            pasted = await self._services.vault.get(conn, self._row.id, FORM)
        values = self._values if pasted is None else msgspec.json.decode(pasted, type=dict[str, str])
        return await ask(self._services, self._integration, values)


async def ask(services: Services, integration: Integration, values: Mapping[str, str]) -> Tokens:
    """Ask for a token by client id and secret (grant ``client_credentials``).

    Raises:
        ReauthRequired: The vendor refused them.
        RetryLater: The token endpoint could not be reached, or asks to wait.
    """
    auth = integration.manifest.auth
    assert isinstance(auth, Credentials)
    assert auth.token_path is not None
    assert auth.base_url_setting is not None
    form = {
        "grant_type": "client_credentials",
        "client_id": values.get("client_id", ""),
        "client_secret": values.get("client_secret", ""),
    }
    response = await post_form(services, integration, auth.base_url_setting, auth.token_path, form, None)
    if response.status_code in (400, 401, 403):  # here the client is the customer's, not ours
        raise ReauthRequired(f"{integration.key}: the vendor refused the client id or secret")
    return read_tokens(services, integration, response)
