"""The one seam where errors become RFC 9457 problem documents."""

import math
from typing import Any

import msgspec
import structlog
from litestar import Request, Response
from litestar.exceptions import HTTPException
from litestar.exceptions.http_exceptions import RequestEntityTooLarge

from gateway.api.queries import names_of
from gateway.errors import PROBLEMS, Refused
from gateway.flows.refusals import invalid_body, meaning_of
from gateway_schemas.problem import ProblemDetails

_BY_STATUS = {
    400: "invalid_request",
    401: "unauthenticated",
    403: "missing_scope",
    404: "not_found",
    405: "method_not_allowed",
    406: "not_acceptable",
    413: "too_large",
    415: "unsupported_media_type",
    429: "rate_limited",
}
_log = structlog.get_logger()


def refused_for(error: Exception) -> Refused:
    """Return the refusal that an exception means."""
    if isinstance(error, HTTPException) and error.status_code in _BY_STATUS:
        return Refused(_BY_STATUS[error.status_code], _detail(error))
    return meaning_of(error)


def _detail(error: HTTPException) -> str:
    return error.detail or PROBLEMS[_BY_STATUS[error.status_code]].title


def _kinds(request: Request[Any, Any, Any]) -> dict[str, Any]:
    """Return the types of what a caller sends to a route, by argument."""
    fields = request.route_handler.parsed_fn_signature.parameters
    wanted = {*names_of(request), *request.path_params, "data"}
    return {name: field.annotation for name, field in fields.items() if name in wanted}


def problem_response(request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    """Answer with the problem document of an exception."""
    if isinstance(error, HTTPException) and isinstance(error.__cause__, msgspec.ValidationError):
        refused = invalid_body(error.__cause__, names_of(request), _kinds(request))
    else:
        refused = refused_for(error)
    if isinstance(error, RequestEntityTooLarge):
        limit = request.route_handler.resolve_request_max_body_size()
        refused = Refused("too_large", f"A body has at most {limit:,} bytes here; send smaller ones.")
    if refused.code == "internal":
        _log.error("request.failed", path=request.url.path, exc_info=error)
    document = ProblemDetails(
        type=f"/problems/{refused.code}",
        title=refused.kind.title,
        status=refused.kind.status,
        code=refused.code,
        detail=refused.detail,
        instance=request.url.path,
        problems=refused.problems,
    )
    headers = {}
    if isinstance(error, HTTPException) and error.status_code == 405:
        headers["allow"] = (error.headers or {}).get("allow", "")
    if refused.retry_after is not None:
        headers["retry-after"] = str(max(1, math.ceil(refused.retry_after)))
    if refused.kind.status == 401:
        headers["www-authenticate"] = "Bearer"
    return Response(
        msgspec.json.encode(document),
        status_code=refused.kind.status,
        media_type="application/problem+json",
        headers=headers,
    )
