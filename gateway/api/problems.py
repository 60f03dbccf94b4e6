"""The one seam where errors become RFC 9457 problem documents."""

import math
from typing import Any

import msgspec
import structlog
from litestar import Request, Response
from litestar.exceptions import HTTPException

from gateway.errors import PROBLEMS, Refused, field_problem
from gateway.sdk import errors as sdk
from gateway.storage.writer import Overloaded, StorageUnavailable
from gateway_schemas.problem import FieldProblem, ProblemDetails

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
    match error:
        case Refused():
            return error
        case Overloaded():
            return Refused("overloaded", "Send the same request again shortly.", retry_after=1)
        case StorageUnavailable():
            return Refused("storage_unavailable", "Nothing was accepted; send the same request again.", retry_after=5)
        case sdk.PluginError():
            return _said_by_a_plugin(error)
        case msgspec.ValidationError():
            return invalid_body(error)
        case msgspec.DecodeError():
            return Refused("invalid_request", f"The body is not JSON that can be read: {error}.")
        case HTTPException() if error.status_code in _BY_STATUS:
            return Refused(_BY_STATUS[error.status_code], _detail(error))
        case _:
            return Refused("internal", "The failure is logged; send the same request again, it is not done twice.")


def _said_by_a_plugin(error: sdk.PluginError) -> Refused:
    match error:
        case sdk.ReauthRequired():
            return Refused("needs_reauth", f"{error}. Authorise the connection again.")
        case sdk.RetryLater():
            return Refused("vendor_unavailable", f"{error}. Try again later.", retry_after=error.after_seconds)
        case sdk.Rejected():
            found = [FieldProblem(field=one.field, message=one.message, code=one.code) for one in error.problems]
            return Refused("invalid_input" if found else "vendor_refused", str(error), found)
        case sdk.NotSupported():
            return Refused("not_supported", str(error))
        case sdk.Misconfigured():
            return Refused("misconfigured", str(error))
        case sdk.RecordGone():
            return Refused("vendor_refused", str(error))
        case _:
            return Refused("vendor_unavailable", str(error), retry_after=5)


def invalid_body(error: msgspec.ValidationError) -> Refused:
    """Name the field that msgspec refused."""
    problem = field_problem(error)
    if problem.field == "data":
        return Refused("invalid_input", "Send a JSON body.", [FieldProblem(field="", message="The body is missing.")])
    field = problem.field.removeprefix("data.").removeprefix("data[").strip()
    return Refused(
        "invalid_input",
        f"{field or 'The body'}: {problem.message}.",
        [FieldProblem(field=field, message=problem.message)],
    )


def _detail(error: HTTPException) -> str:
    return error.detail or PROBLEMS[_BY_STATUS[error.status_code]].title


def problem_response(request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    """Answer with the problem document of an exception."""
    decoding = isinstance(error, HTTPException) and isinstance(error.__cause__, msgspec.ValidationError)
    refused = refused_for(error.__cause__ if decoding else error)  # type: ignore[arg-type]  # not null then
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
