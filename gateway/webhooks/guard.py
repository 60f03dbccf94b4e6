"""Keep outgoing webhooks away from our own network: the address is checked where it is used.

The transport resolves the name once, refuses it unless *every* address is a public one, and connects to the address
that it checked; there is no second look-up that an attacker's name server could answer otherwise. The Host header, SNI
and the name in the certificate stay those of the URL. Redirects are never followed.
"""

import asyncio
import ipaddress
import socket
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any

import httpcore
import httpx

from gateway.webhooks.targets import is_public, problem_with

Resolve = Callable[[str, int], Awaitable[Sequence[str]]]
"""Looks a host name up and returns its addresses; raises ``OSError`` when there are none."""


class TargetRefused(httpcore.ConnectError):
    """The target may not be reached; httpx shows it as ``ConnectError`` with the same text."""


async def resolve(host: str, port: int) -> list[str]:
    """Look a host up with the system's resolver."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


class _PinnedBackend(httpcore.AsyncNetworkBackend):
    """Opens connections for httpcore: resolves, checks every address, and connects to one that was checked."""

    def __init__(self, resolver: Resolve, backend: httpcore.AsyncNetworkBackend, *, allow_local: bool) -> None:
        self._resolve = resolver
        self._backend = backend
        self._allow_local = allow_local

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - httpcore's signature
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Connect to the first address that answers, having checked all of them."""
        try:
            async with asyncio.timeout(timeout):
                addresses = await self._resolve(host, port)
        except TimeoutError as error:
            raise httpcore.ConnectTimeout(f"{host} could not be looked up in time") from error
        except (OSError, UnicodeError) as error:
            raise httpcore.ConnectError(f"{host} could not be looked up: {error}") from error
        if not addresses:
            raise httpcore.ConnectError(f"{host} has no address")
        if not self._allow_local:
            for address in addresses:
                if not _is_public_text(address):
                    raise TargetRefused(f"{host} resolves to {address}, not a public address; nothing was sent")
        failure: Exception | None = None
        for address in addresses:
            try:
                return await self._backend.connect_tcp(
                    address, port, timeout=timeout, local_address=local_address, socket_options=socket_options
                )
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failure = error
        assert failure is not None
        raise failure

    async def connect_unix_socket(
        self,
        path: str,
        timeout: float | None = None,  # noqa: ASYNC109 - httpcore's signature
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Refuse: a webhook goes to no socket of this machine."""
        raise TargetRefused(f"unix socket {path} is not a target")

    async def sleep(self, seconds: float) -> None:
        """Wait between attempts to connect."""
        await self._backend.sleep(seconds)


def _is_public_text(address: str) -> bool:
    try:
        return is_public(ipaddress.ip_address(address))  # a zone (fe80::1%eth0) stays part of it and is not public
    except ValueError:
        return False


class GuardedTransport(httpx.AsyncHTTPTransport):
    """The transport of ``Services.webhook_http``."""

    def __init__(
        self,
        *,
        allow_local: bool = False,
        resolver: Resolve = resolve,
        backend: httpcore.AsyncNetworkBackend | None = None,
        limits: httpx.Limits | None = None,
    ) -> None:
        """Make the transport.

        Args:
            allow_local: Development: http and every address are fine.
            resolver: Looks names up (tests hand in one that changes its answers).
            backend: Opens connections to addresses (tests hand in one that records them).
            limits: Connections at one time and kept alive; a kept one stays with the address that was checked.
        """
        super().__init__(trust_env=False)
        limits = limits or httpx.Limits(max_connections=500, max_keepalive_connections=100, keepalive_expiry=30)
        self._allow_local = allow_local
        # httpx has no parameter for the network backend; its pool is httpcore's, made the same way
        self._pool = httpcore.AsyncConnectionPool(
            ssl_context=httpx.create_ssl_context(trust_env=False),
            max_connections=limits.max_connections,
            max_keepalive_connections=limits.max_keepalive_connections,
            keepalive_expiry=limits.keepalive_expiry,
            network_backend=_PinnedBackend(resolver, backend or httpcore.AnyIOBackend(), allow_local=allow_local),
        )

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Check the URL again, since it may be older than the settings, and send."""
        problem = problem_with(str(request.url), allow_local=self._allow_local)
        if problem is not None:
            raise httpx.ConnectError(f"{problem[1]} Nothing was sent.", request=request)
        return await super().handle_async_request(request)
