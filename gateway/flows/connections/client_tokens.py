"""Tokens that are not stored: of an authorisation that is being checked, and of a client id and secret."""

from collections.abc import Mapping

from gateway.flows.connections.credentials import TokenMemory
from gateway.flows.connections.token_calls import Tokens, post_form, read_tokens
from gateway.flows.services import Services
from gateway.plugins import Integration
from gateway.sdk.errors import ReauthRequired
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
        response = await post_form(
            self._services, self._integration, auth.base_url_setting, auth.token_path, form, None
        )
        if response.status_code in (400, 401, 403):  # here the client is the customer's, not ours
            raise ReauthRequired(f"{self._integration.key}: the vendor refused the client id or secret")
        tokens = read_tokens(self._services, self._integration, response)
        self._memory.tokens[self._key] = tokens
        return tokens
