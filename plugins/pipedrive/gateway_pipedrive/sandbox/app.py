"""Joins the parts of the sandbox: the gate before every operation, the Litestar app, the in-process transport."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import fields
from datetime import datetime, timedelta
from typing import Any

import httpx
from litestar import Litestar, Request, Response
from litestar.exceptions import HTTPException

from gateway_pipedrive.sandbox.controls import COMMANDS, Controls
from gateway_pipedrive.sandbox.core import Options
from gateway_pipedrive.sandbox.demo import Demo, demo_company
from gateway_pipedrive.sandbox.faults import Front, SandboxTransport
from gateway_pipedrive.sandbox.gate import OPERATIONS, api_routes, render, unknown
from gateway_pipedrive.sandbox.pages import browser_routes, control_routes
from gateway_pipedrive.sandbox.screens import screen_routes
from gateway_pipedrive.sandbox.state import Clock

Json = dict[str, Any]
AnyRequest = Request[Any, Any, Any]


class Sandbox(Controls):
    """The fake vendor: its app, its state and the controls over it.

    Attributes:
        app: The Litestar app, for a server or an ``httpx.ASGITransport``.
        demo: Handles on the seeded company, or None.
    """

    def __init__(
        self,
        clock: Clock | None = None,
        base_url: str | None = None,
        http: httpx.AsyncClient | None = None,
        options: Options | None = None,
    ) -> None:
        super().__init__(clock, base_url, http, options)
        self.demo: Demo | None = None
        self._seed()
        self.app: Litestar = _build_app(self)

    def demo_company(self, name: str = "Acme", domain: str | None = None) -> Demo:
        """Add a company to look at: "Acme" with pipelines, referral fields, persons and a filter."""
        return demo_company(self, name, domain)

    def reset(self) -> None:
        """Forget everything and begin anew; options and clock stay."""
        self.front.faults.clear()
        self.front.log.clear()
        self._offset = timedelta(0)
        self.begin()
        self._seed()

    def transport(self) -> httpx.AsyncBaseTransport:
        """Return a transport for an httpx client in this process, for any host in its URLs."""
        return SandboxTransport(self.app)

    def _seed(self) -> None:
        if self.options.seed:
            self.demo = self.demo_company()
            self.index.age()


class SandboxApp(Litestar):
    """The Litestar app with the request log and the faults around it."""

    front: Front

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Let HTTP calls pass the front; the rest is Litestar's."""
        if scope["type"] == "http":
            await self.front.serve(super().__call__, scope, receive, send)
        else:
            await super().__call__(scope, receive, send)


def create_sandbox(
    *,
    clock: Callable[[], datetime] | None = None,
    base_url: str | None = None,
    http: httpx.AsyncClient | None = None,
    **options: Any,
) -> Sandbox:
    """Make a sandbox.

    Args:
        clock: Returns an aware time; everything that takes time moves with it. Real time by default.
        base_url: The address under which the API is told to be (``api_domain``); may hold ``{company}``. By default the
            origin of the token request, or the company's subdomain for hosts under ``pipedrive.test``.
        http: The client that sends webhooks and the uninstall notice; tests give one over the gateway's app.
        options: Attributes of ``Options``.
    """
    known = {one.name for one in fields(Options)}
    if unknown := set(options) - known:
        raise TypeError(f"Unknown options {sorted(unknown)}; there are {sorted(known)}")
    return Sandbox(clock, base_url, http, Options(**options))


def create_app(**options: Any) -> Litestar:
    """Make the app of a seeded sandbox that delivers its webhooks by itself; the sandbox is ``app.state.sandbox``."""
    return create_sandbox(**{"auto_deliver": True, **options}).app


def serve(port: int = 8765, host: str = "127.0.0.1", **options: Any) -> None:
    """Serve a sandbox until interrupted."""
    import uvicorn

    uvicorn.run(create_app(**options), host=host, port=port, log_level="info")


def _build_app(sandbox: Sandbox) -> Litestar:
    @asynccontextmanager
    async def lifespan(_: Litestar) -> AsyncIterator[None]:
        task = asyncio.create_task(_deliver_forever(sandbox)) if sandbox.options.auto_deliver else None
        yield
        if task is not None:
            task.cancel()
        await sandbox.aclose()

    handlers = [
        *api_routes(sandbox),
        *browser_routes(sandbox),
        *control_routes(sandbox),
        *screen_routes(sandbox),
    ]

    def broken(_: AnyRequest, error: Exception) -> Response[bytes]:
        sandbox.front.bugs.append(error)
        return render({"success": False, "error": "Internal Server Error", "code": "ERR_UNKNOWN"}, 500)

    app = SandboxApp(
        handlers,
        openapi_config=None,
        logging_config=None,
        lifespan=[lifespan],
        exception_handlers={HTTPException: lambda _, error: unknown(error.status_code), Exception: broken},
    )
    app.front = sandbox.front
    app.state.sandbox = sandbox
    return app


async def _deliver_forever(sandbox: Sandbox) -> None:
    while True:
        await sandbox.deliver_webhooks()
        await asyncio.sleep(0.2)


__all__ = ["COMMANDS", "OPERATIONS", "Sandbox", "create_app", "create_sandbox", "serve"]
