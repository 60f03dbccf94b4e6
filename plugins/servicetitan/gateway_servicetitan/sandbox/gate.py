"""The gate before every API call: our app's key, a token, its tenant, the limit, the scope; in this order.

Source: ``VENDOR.md``, chapters 1 (headers), 3 (restrictions) and 4 (statuses). Whether the key or the
token is looked at first is not documented; the key is, as a call without either is answered for it.
"""

import re
from collections.abc import Mapping
from typing import Any

import msgspec
from litestar import Request, Response, post, route
from litestar.handlers import HTTPRouteHandler

from gateway.sdk.faults import RequestEntry
from gateway_servicetitan.sandbox import bookings, customers, jobs
from gateway_servicetitan.sandbox.calls import Call, Operation
from gateway_servicetitan.sandbox.core import Core
from gateway_servicetitan.sandbox.errors import (
    VendorError,
    app_key_missing,
    app_key_wrong,
    forbidden,
    invalid,
    not_found,
    problem,
)

AnyRequest = Request[Any, Any, Any]
MODULES = ("crm", "jpm", "accounting", "settings", "marketing", "jbce")

OPERATIONS: tuple[Operation, ...] = tuple(
    entry for module in (bookings, customers, jobs) for entry in module.operations.entries
)
# Literal paths before those with a parameter in the same place.
_TABLE = [
    (re.compile(f"/{one.module}/v2/tenant/(?P<tenant>[^/]+)/" + re.sub(r"{(\w+)}", r"(?P<\1>[^/]+)", one.path)), one)
    for one in sorted(OPERATIONS, key=lambda one: one.path.count("{"))
]


def api_routes(core: Core) -> list[HTTPRouteHandler]:
    """Make the routes: the token server's, and one a module of the API."""

    @post("/connect/token", status_code=200)
    async def token(request: AnyRequest) -> Response[bytes]:
        try:
            return render(core.tokens.give(request.headers.get("content-type", ""), await request.body()), 200)
        except VendorError as refused:
            return render(refused.body, refused.status, refused.headers)

    async def handle(request: AnyRequest) -> Response[bytes]:
        try:
            return render(answer(core, request, await request.body()), 200)
        except VendorError as refused:
            return render(refused.body, refused.status, refused.headers)

    methods: Any = ["GET", "POST", "PUT", "PATCH", "DELETE"]
    paths = [f"/{module}/{{rest:path}}" for module in MODULES]
    return [token, route(paths, http_method=methods, status_code=200)(handle)]


def answer(core: Core, request: AnyRequest, raw: bytes) -> Any:
    """Take one API call through the gate and answer it.

    Raises:
        VendorError: It is refused.
    """
    entry: RequestEntry = request.scope["sandbox_entry"]  # type: ignore[typeddict-item] # put there by Front
    key = request.headers.get("st-app-key")
    if not key:
        raise app_key_missing()
    if key != core.app_key:
        raise app_key_wrong()
    token = core.tokens.known(request.headers.get("authorization"))
    operation, path = find(request.method, request.url.path)
    if path.pop("tenant") != str(token.access.tenant):
        raise forbidden("The token belongs to another tenant.")
    tenant = core.state.tenants[token.access.tenant]
    core.admit(tenant)
    if not token.access.enabled or operation.scope not in token.scopes & token.access.scopes:
        raise forbidden()
    return operation.handler(Call(core, tenant, token.access, path, entry.query, _json(request, raw)))


def find(method: str, path: str) -> tuple[Operation, dict[str, str]]:
    """Find the operation of a path with its parameters.

    Raises:
        VendorError: There is none.
    """
    status = 404
    for pattern, operation in _TABLE:
        if match := pattern.fullmatch(path):
            if operation.method == method:
                return operation, match.groupdict()
            status = 405
    if status == 405:
        raise VendorError(405, problem(405, "Method not allowed"))
    raise not_found()


def render(body: Any, status: int, headers: Mapping[str, str] | None = None) -> Response[bytes]:
    """Make a response: JSON, unless the body is a page; none for a call that answers nothing."""
    if isinstance(body, str):
        return Response(body.encode(), status_code=status, media_type="text/html; charset=utf-8")
    content = b"" if body is None else msgspec.json.encode(body)
    return Response(content, status_code=status, media_type="application/json", headers=dict(headers or {}))


def _json(request: AnyRequest, raw: bytes) -> Any:
    """Read the body of a write; that of a GET is passed over, as clients are known to send one."""
    if not raw or request.method == "GET":
        return None
    if not request.headers.get("content-type", "").startswith("application/json"):
        raise VendorError(415, problem(415, "Unsupported Media Type"))
    try:
        return msgspec.json.decode(raw)
    except msgspec.DecodeError:
        raise invalid(request="The body is no JSON.") from None
