"""The gate before every API call: which operation, whose token, within which limits, allowed by which scope.

Source: ``VENDOR.md``, chapters 1 (paths), 3 (statuses), 4 (limits) and 11 (what is out of support).
"""

import re
from collections.abc import Mapping
from typing import Any

import msgspec
from litestar import Request, Response, route
from litestar.handlers import HTTPRouteHandler

from gateway_pipedrive.sandbox import account, conversion, deals, fields, leads, notes, persons, search, webhooks
from gateway_pipedrive.sandbox.calls import Call, Operation
from gateway_pipedrive.sandbox.core import Core
from gateway_pipedrive.sandbox.errors import VendorError, envelope, scope_missing
from gateway_pipedrive.sandbox.faults import RequestEntry
from gateway_pipedrive.sandbox.state import Company

AnyRequest = Request[Any, Any, Any]

OPERATIONS: tuple[Operation, ...] = tuple(
    entry
    for module in (account, fields, persons, deals, leads, conversion, notes, search, webhooks)
    for entry in module.operations.entries
)
PREFIXES = (("/api/v2", 2), ("/api/v1", 1), ("/v1", 1))

# v1 twins of v2 paths, out of support since August 2026.
GONE = re.compile(
    r"/(persons|deals|organizations|activities|products)(/\d+|/collection|/search|/\d+/(deals|persons))?"
    r"|/(pipelines|stages)(/\d+)?|/itemSearch(/field)?"
)

# Literal paths before those with a parameter in the same place.
_TABLE = [
    (re.compile(re.sub(r"{(\w+)}", r"(?P<\1>[^/]+)", one.path)), one)
    for one in sorted(OPERATIONS, key=lambda one: one.path.count("{"))
]


def api_routes(core: Core) -> list[HTTPRouteHandler]:
    """Make the routes of the API: one a prefix, since a table of our own is quicker to set up than sixty handlers."""

    async def handle(request: AnyRequest) -> Response[bytes]:
        found = find(request.method, request.url.path)
        if isinstance(found, int):
            return unknown(core.options.gone_status if found == 410 else found)
        return await answer(core, *found, request)

    methods: Any = ["GET", "POST", "PUT", "PATCH", "DELETE"]
    return [route([f"{prefix}/{{rest:path}}" for prefix, _ in PREFIXES], http_method=methods, status_code=200)(handle)]


def find(method: str, path: str) -> tuple[Operation, dict[str, str]] | int:
    """Find the operation of a path with its parameters, or the status that says there is none."""
    prefix, version = next((prefix, version) for prefix, version in PREFIXES if path.startswith(prefix + "/"))
    rest = path.removeprefix(prefix).rstrip("/")
    status = 404
    for pattern, operation in _TABLE:
        if operation.version == version and (match := pattern.fullmatch(rest)):
            if operation.method == method:
                return operation, match.groupdict()
            status = 405
    return 410 if status == 404 and version == 1 and GONE.fullmatch(rest) else status


async def answer(core: Core, operation: Operation, path: dict[str, str], request: AnyRequest) -> Response[bytes]:
    """Take one API call through the gate and answer it."""
    entry: RequestEntry = request.scope["sandbox_entry"]  # type: ignore[typeddict-item] # put there by Front
    headers: dict[str, str] = {}
    company: Company | None = None
    try:
        user, scopes, token = core.oauth.authenticate(
            request.headers.get("authorization"), request.headers.get("x-api-token")
        )
        company = core.state.companies[user.company_id]
        entry.company_id, entry.user_id = company.id, user.id
        if not company.is_open:
            raise VendorError(402, envelope("Company account is not open"))
        headers = core.limits.admit(
            company,
            token,
            operation.cost,
            core.state.now(),
            is_search=operation.is_search,
            is_api_token=scopes is None,
        )
        entry.cost = operation.cost
        if scopes is not None and not operation.scopes & scopes:
            raise scope_missing()
        core.work()
        client_id = "" if scopes is None else core.client_id
        call = Call(core, company, user, client_id, path, entry.query, _json(await request.body()))
        answer = operation.handler(call)
    except VendorError as refused:
        if company is not None and entry.cost and not core.options.charge_failed:
            company.tokens_used -= entry.cost
            entry.cost = 0
        return render(refused.body, refused.status, headers | refused.headers)
    return render(answer.body, answer.status, headers)


def unknown(status: int) -> Response[bytes]:
    """Answer a path or method that the vendor does not have, or has no longer."""
    if status == 410:
        return render(envelope("This endpoint is no longer supported", "Please use API v2."), status)
    return render(envelope("Unknown method .", "Please check developers.pipedrive.com"), status)


def render(body: Any, status: int, headers: Mapping[str, str] | None = None) -> Response[bytes]:
    """Make a response: JSON, unless the body is a page."""
    if isinstance(body, str):
        media = (headers or {}).get("content-type", "text/html; charset=utf-8")
        rest = {name: value for name, value in (headers or {}).items() if name != "content-type"}
        return Response(body.encode(), status_code=status, media_type=media, headers=rest)
    return Response(msgspec.json.encode(body), status_code=status, media_type="application/json", headers=headers)


def _json(raw: bytes) -> Any:
    if not raw:
        return None
    try:
        return msgspec.json.decode(raw)
    except msgspec.DecodeError:
        raise VendorError(400, envelope("Bad request", "The body is no JSON.")) from None
