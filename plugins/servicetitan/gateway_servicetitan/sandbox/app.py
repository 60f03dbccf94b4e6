"""Joins the parts of the sandbox: the Litestar app with faults around it, and the in-process transport."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import fields
from datetime import datetime, timedelta
from typing import Any

import httpx
from litestar import Litestar, Request, Response
from litestar.exceptions import HTTPException

from gateway.sdk.faults import Front, RequestEntry, SandboxTransport
from gateway_servicetitan.sandbox.controls import Controls
from gateway_servicetitan.sandbox.core import Options
from gateway_servicetitan.sandbox.demo import Demo, demo_tenant
from gateway_servicetitan.sandbox.errors import problem
from gateway_servicetitan.sandbox.gate import api_routes, render
from gateway_servicetitan.sandbox.pages import control_routes, screen_routes
from gateway_servicetitan.sandbox.state import Clock

AnyRequest = Request[Any, Any, Any]


class Sandbox(Controls):
    """The fake vendor: its app, its state and the controls over it.

    Attributes:
        app: The Litestar app, for a server or an ``httpx.ASGITransport``.
        demo: Handles on the seeded tenant, or None.
    """

    def __init__(
        self, clock: Clock | None = None, http: httpx.AsyncClient | None = None, options: Options | None = None
    ) -> None:
        super().__init__(clock, http, options)
        self.demo: Demo | None = None
        self._seed()
        self.app: Litestar = _build_app(self)

    def demo_tenant(self, name: str = "Acme Plumbing") -> Demo:
        """Add a tenant to look at."""
        return demo_tenant(self, name)

    def reset(self) -> None:
        """Forget everything and begin anew; options, clock and subscriptions of the portal stay."""
        subscriptions = self.outbox.subscriptions
        self.front.faults.clear()
        self.front.log.clear()
        self._offset = timedelta(0)
        self.begin()
        self.outbox.subscriptions = subscriptions
        self._seed()

    def transport(self) -> httpx.AsyncBaseTransport:
        """Return a transport for an httpx client in this process, for any host in its URLs."""
        return SandboxTransport(self.app)

    def _seed(self) -> None:
        if self.options.seed:
            self.demo = self.demo_tenant()


class SandboxApp(Litestar):
    """The Litestar app with the request log and the faults around it."""

    front: Front[RequestEntry]

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Let HTTP calls pass the front; the rest is Litestar's."""
        if scope["type"] == "http":
            await self.front.serve(super().__call__, scope, receive, send)
        else:
            await super().__call__(scope, receive, send)


def create_sandbox(
    *,
    clock: Callable[[], datetime] | None = None,
    http: httpx.AsyncClient | None = None,
    base_url: str | None = None,
    **options: Any,
) -> Sandbox:
    """Make a sandbox.

    Args:
        clock: Returns an aware time; everything that takes time moves with it. Real time by default.
        http: The client that sends webhooks; tests give one over the gateway's app.
        base_url: Where it is served; the vendor's answers name no address, so nothing depends on it.
        options: Attributes of ``Options``.
    """
    del base_url
    known = {one.name for one in fields(Options)}
    if unknown := set(options) - known:
        raise TypeError(f"Unknown options {sorted(unknown)}; there are {sorted(known)}")
    return Sandbox(clock, http, Options(**options))


def create_app(**options: Any) -> Litestar:
    """Make the app of a seeded sandbox that delivers its webhooks by itself; the sandbox is ``app.state.sandbox``.

    Its demo tenant has allowed the app already, so that the page shows the three values to paste.
    """
    sandbox = create_sandbox(**{"auto_deliver": True, **options})
    if sandbox.demo is not None:
        sandbox.connect_app()
    return sandbox.app


def serve(port: int = 8766, host: str = "127.0.0.1", **options: Any) -> None:
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

    def broken(_: AnyRequest, error: Exception) -> Response[bytes]:
        sandbox.front.bugs.append(error)
        return render(problem(500), 500)

    app = SandboxApp(
        [*api_routes(sandbox), *control_routes(sandbox), *screen_routes(sandbox)],
        openapi_config=None,
        logging_config=None,
        lifespan=[lifespan],
        exception_handlers={
            HTTPException: lambda _, error: render(problem(error.status_code), error.status_code),
            Exception: broken,
        },
    )
    app.front = sandbox.front
    app.state.sandbox = sandbox
    return app


async def _deliver_forever(sandbox: Sandbox) -> None:
    while True:
        await sandbox.deliver_webhooks()
        await asyncio.sleep(0.2)
