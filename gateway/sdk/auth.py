"""Bearer tokens for a connection: a 401 refreshes once and repeats the request once."""

from collections.abc import AsyncGenerator
from typing import Protocol

import httpx


class TokenSource(Protocol):
    """Where a connection's access token comes from; the host implements it, single flight across processes."""

    async def token(self, *, refused: str | None = None) -> str:
        """Return a valid access token.

        Args:
            refused: The token that the vendor just refused; a newer one is returned, refreshing if no one has yet.

        Raises:
            ReauthRequired: The vendor refused the refresh token.
            RetryLater: The token endpoint could not be reached.
        """


class BearerAuth(httpx.Auth):
    """``Authorization: Bearer …`` with one refresh on a 401.

    The repeat is safe for writes too: a 401 read in full proves that nothing was done.
    """

    def __init__(self, source: TokenSource) -> None:
        self._source = source

    async def async_auth_flow(self, request: httpx.Request) -> AsyncGenerator[httpx.Request, httpx.Response]:
        """Add the token; on a 401 ask for a newer one and repeat once."""
        token = await self._source.token()
        request.headers["authorization"] = f"Bearer {token}"
        response = yield request
        if response.status_code == 401:
            newer = await self._source.token(refused=token)
            request.headers["authorization"] = f"Bearer {newer}"
            yield request
