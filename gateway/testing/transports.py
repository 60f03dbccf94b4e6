"""In-process networks: host names answered by ASGI applications, so that tests need no sockets."""

import httpx


class RoutedTransport(httpx.AsyncBaseTransport):
    """Sends each request to the transport registered for its host name; unknown hosts cannot be reached.

    Routes may be added later: an application that calls another one need not exist before it.
    """

    def __init__(self, routes: dict[str, httpx.AsyncBaseTransport] | None = None) -> None:
        self.routes = dict(routes or {})

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Pass the request on, or fail as a host name that does not resolve would."""
        transport = self.routes.get(request.url.host)
        if transport is None:
            raise httpx.ConnectError(f"no route to {request.url.host}", request=request)
        return await transport.handle_async_request(request)
