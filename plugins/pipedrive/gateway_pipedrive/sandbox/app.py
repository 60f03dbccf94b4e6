"""Joins the parts of the sandbox: the gate before every operation, the Litestar app, the in-process transport."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import fields
from datetime import datetime, timedelta
from typing import Any

import httpx
import msgspec
from litestar import Litestar, Request, Response, route
from litestar.exceptions import HTTPException
from litestar.handlers import HTTPRouteHandler

from gateway_pipedrive.sandbox import account, conversion, deals, leads, notes, persons, search, webhooks
from gateway_pipedrive.sandbox import fields as field_definitions
from gateway_pipedrive.sandbox.calls import Call, Operation
from gateway_pipedrive.sandbox.controls import COMMANDS, Controls
from gateway_pipedrive.sandbox.core import Options
from gateway_pipedrive.sandbox.demo import Demo, demo_company
from gateway_pipedrive.sandbox.errors import VendorError, envelope, scope_missing
from gateway_pipedrive.sandbox.faults import Front, RequestEntry, SandboxTransport
from gateway_pipedrive.sandbox.state import Clock, Company

Json = dict[str, Any]
AnyRequest = Request[Any, Any, Any]

OPERATIONS: tuple[Operation, ...] = tuple(
    entry
    for module in (account, field_definitions, persons, deals, leads, conversion, notes, search, webhooks)
    for entry in module.operations.entries
)

# v1 twins of v2 paths, out of support since August 2026 (chapter 11).
GONE = (
    "/persons",
    "/persons/{id:str}",
    "/persons/search",
    "/persons/collection",
    "/persons/{id:str}/deals",
    "/deals",
    "/deals/{id:str}",
    "/deals/search",
    "/deals/collection",
    "/deals/{id:str}/persons",
    "/organizations",
    "/organizations/{id:str}",
    "/activities",
    "/activities/{id:str}",
    "/pipelines",
    "/pipelines/{id:str}",
    "/stages",
    "/stages/{id:str}",
    "/itemSearch",
    "/itemSearch/field",
)


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

    async def answer(self, operation: Operation, request: AnyRequest) -> Response[bytes]:
        """Take one API call through the gate and answer it."""
        entry: RequestEntry = request.scope["sandbox_entry"]  # type: ignore[typeddict-item] # put there by Front
        headers: dict[str, str] = {}
        company: Company | None = None
        try:
            user, scopes, token = self.oauth.authenticate(
                request.headers.get("authorization"), request.headers.get("x-api-token")
            )
            company = self.state.companies[user.company_id]
            entry.company_id, entry.user_id = company.id, user.id
            if not company.is_open:
                raise VendorError(402, envelope("Company account is not open"))
            headers = self.limits.admit(
                company,
                token,
                operation.cost,
                self.state.now(),
                is_search=operation.is_search,
                is_api_token=scopes is None,
            )
            entry.cost = operation.cost
            if scopes is not None and not operation.scopes & scopes:
                raise scope_missing()
            self.work()
            client_id = "" if scopes is None else self.client_id
            path = {name: str(value) for name, value in request.path_params.items()}
            call = Call(self, company, user, client_id, path, entry.query, _json(await request.body()))
            answer = operation.handler(call)
        except VendorError as refused:
            if company is not None and entry.cost and not self.options.charge_failed:
                company.tokens_used -= entry.cost
                entry.cost = 0
            return render(refused.body, refused.status, headers | refused.headers)
        return render(answer.body, answer.status, headers)


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


def render(body: Any, status: int, headers: Mapping[str, str] | None = None) -> Response[bytes]:
    """Make a response: JSON, unless the body is a page."""
    if isinstance(body, str):
        media = (headers or {}).get("content-type", "text/html; charset=utf-8")
        rest = {name: value for name, value in (headers or {}).items() if name != "content-type"}
        return Response(body.encode(), status_code=status, media_type=media, headers=rest)
    return Response(msgspec.json.encode(body), status_code=status, media_type="application/json", headers=headers)


def _build_app(sandbox: Sandbox) -> Litestar:
    from gateway_pipedrive.sandbox.pages import browser_routes, control_routes

    @asynccontextmanager
    async def lifespan(_: Litestar) -> AsyncIterator[None]:
        task = asyncio.create_task(_deliver_forever(sandbox)) if sandbox.options.auto_deliver else None
        yield
        if task is not None:
            task.cancel()
        await sandbox.aclose()

    handlers = [_handler(sandbox, operation) for operation in OPERATIONS]
    handlers += [*_gone_routes(sandbox), *browser_routes(sandbox), *control_routes(sandbox)]

    def broken(_: AnyRequest, error: Exception) -> Response[bytes]:
        sandbox.front.bugs.append(error)
        return render({"success": False, "error": "Internal Server Error", "code": "ERR_UNKNOWN"}, 500)

    app = SandboxApp(
        handlers,
        openapi_config=None,
        logging_config=None,
        lifespan=[lifespan],
        exception_handlers={HTTPException: _unknown_path, Exception: broken},
    )
    app.front = sandbox.front
    app.state.sandbox = sandbox
    return app


def _handler(sandbox: Sandbox, operation: Operation) -> HTTPRouteHandler:
    async def handle(request: AnyRequest) -> Response[bytes]:
        return await sandbox.answer(operation, request)

    paths = [path.replace("}", ":str}") for path in operation.paths()]
    return route(paths, http_method=operation.method, status_code=200)(handle)


def _gone_routes(sandbox: Sandbox) -> list[HTTPRouteHandler]:
    async def gone(request: AnyRequest) -> Response[bytes]:
        status = sandbox.options.gone_status
        return render(envelope("This endpoint is no longer supported", "Please use API v2."), status)

    paths = [f"{prefix}{path}" for prefix in ("/api/v1", "/v1") for path in GONE]
    methods: Any = ["GET", "POST", "PUT", "PATCH", "DELETE"]
    return [route(paths, http_method=methods, status_code=200)(gone)]


def _unknown_path(_: AnyRequest, error: HTTPException) -> Response[bytes]:
    return render(envelope("Unknown method .", "Please check developers.pipedrive.com"), error.status_code)


async def _deliver_forever(sandbox: Sandbox) -> None:
    while True:
        await sandbox.deliver_webhooks()
        await asyncio.sleep(0.2)


def _json(raw: bytes) -> Any:
    if not raw:
        return None
    try:
        return msgspec.json.decode(raw)
    except msgspec.DecodeError:
        raise VendorError(400, envelope("Bad request", "The body is no JSON.")) from None


__all__ = ["COMMANDS", "OPERATIONS", "Sandbox", "create_app", "create_sandbox", "serve"]
