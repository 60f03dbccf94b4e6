"""How vendors are reached: httpx over aiohttp's connections, with errors that call no write undone that may be done.

httpx's own pool walks all its connections at each step of a request; aiohttp's costs a quarter of it
(``docs/decisions/0008-vendor-calls-over-aiohttp.md``). ``httpx_aiohttp`` joins the two, but calls a connection that
broke *after* the request had been sent one that could not be made. That would send a signup twice, so what an error
means is decided here, by a list of what proves that nothing was sent; anything else is a lost answer.
"""

from collections.abc import AsyncIterator

import aiohttp
import httpx
from httpx_aiohttp import AiohttpTransport

CONNECTIONS = 100
"""Open at one time, all vendors together; a call that gets none in time was not sent."""

KEEP_SECONDS = 15.0
"""How long an unused connection stays open."""

NEVER_SENT = (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError)
"""What aiohttp raises before there is a connection."""


class VendorTransport(httpx.AsyncBaseTransport):
    """Sends each request once: no repeats, no redirects, no cookies, nothing from the environment."""

    def __init__(self, *, connections: int = CONNECTIONS) -> None:
        self._connections = connections
        self._ssl = httpx.create_ssl_context(trust_env=False)
        self._inner = AiohttpTransport(verify=self._ssl, trust_env=False, client=self._open)

    def _open(self) -> aiohttp.ClientSession:
        connector = aiohttp.TCPConnector(limit=self._connections, keepalive_timeout=KEEP_SECONDS, ssl=self._ssl)
        session = aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar(), trust_env=False)
        # aiohttp has no parameter for it: it would send a DELETE or PUT again when its connection broke
        session._retry_connection = False  # noqa: SLF001
        return session

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request and return its answer, whose body is not read yet.

        Raises:
            ConnectError: Nothing was sent; so do ``ConnectTimeout`` and nothing else.
            TransportError: Any other one: it was sent, or may have been.
        """
        try:
            response = await self._inner.handle_async_request(request)
        except Exception as error:
            raise meaning_of(error) from error
        assert isinstance(response.stream, httpx.AsyncByteStream)
        response.stream = _Body(response.stream)
        return response

    async def aclose(self) -> None:
        """Close all connections."""
        await self._inner.aclose()


class _Body(httpx.AsyncByteStream):
    """The body of an answer; what breaks while it is read is a lost answer."""

    def __init__(self, inner: httpx.AsyncByteStream) -> None:
        self._inner = inner

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            async for chunk in self._inner:
                yield chunk
        except Exception as error:
            raise meaning_of(error, answered=True) from error

    async def aclose(self) -> None:
        await self._inner.aclose()


def meaning_of(error: Exception, *, answered: bool = False) -> Exception:
    """Return what an error of the transport below means; ``answered``: the answer's head was read.

    An error that is neither aiohttp's nor the network's is a bug, and stays as it is.
    """
    cause = error.__cause__ if isinstance(error, httpx.TransportError) and error.__cause__ is not None else error
    said = f"{type(cause).__name__}: {cause}"
    if isinstance(cause, NEVER_SENT) and not answered:
        timed_out = isinstance(cause, aiohttp.ConnectionTimeoutError)
        return httpx.ConnectTimeout(said) if timed_out else httpx.ConnectError(said)
    if isinstance(cause, TimeoutError):
        return httpx.ReadTimeout(said)
    if isinstance(cause, httpx.TransportError):
        return cause
    return httpx.ReadError(said) if isinstance(cause, aiohttp.ClientError | OSError) else error
