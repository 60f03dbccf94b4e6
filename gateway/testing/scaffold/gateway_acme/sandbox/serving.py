"""Brings calls to the fake vendor: in this process for tests, under an ASGI server for people."""

import json
from datetime import UTC, datetime
from typing import Any

import httpx

from gateway_acme.sandbox.vendor import Refusal, Vendor


class VendorTransport(httpx.AsyncBaseTransport):
    """Answers requests in this process."""

    def __init__(self, vendor: Vendor) -> None:
        self._vendor = vendor

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Answer one request."""
        body = await request.aread()
        query = request.url.query.decode()
        status, answer, headers = answered(self._vendor, request.method, request.url.path, query, request.headers, body)
        return httpx.Response(status, json=answer, headers=headers)


def answered(
    vendor: Vendor, method: str, path: str, query: str, headers: Any, body: bytes
) -> tuple[int, dict[str, Any], dict[str, str]]:
    """Return status, body and headers of an answer, refusals too."""
    try:
        return *vendor.answer(method, path, query, headers, body), {}
    except Refusal as refusal:
        return refusal.status, {"error": refusal.error}, refusal.headers


def create_app(base_url: str = "") -> Any:
    """Return an ASGI application for ``gateway sandbox acme``: set the plugin's URLs to its address."""
    vendor = Vendor(lambda: datetime.now(UTC), httpx.AsyncClient())

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        body = b""
        more = True
        while more:
            message = await receive()
            body += message.get("body", b"")
            more = message.get("more_body", False)
        headers = {name.decode(): value.decode() for name, value in scope["headers"]}
        query = scope["query_string"].decode()
        status, answer, extra = answered(vendor, scope["method"], scope["path"], query, headers, body)
        sent = [
            (name.encode(), value.encode()) for name, value in {"content-type": "application/json", **extra}.items()
        ]
        await send({"type": "http.response.start", "status": status, "headers": sent})
        await send({"type": "http.response.body", "body": json.dumps(answer).encode()})
        await vendor.deliver()

    return app
