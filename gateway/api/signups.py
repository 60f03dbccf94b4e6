"""``POST …/signups``: people join a campaign; ``POST …/signups/release``: what was held goes out."""

from typing import Any

import msgspec
from litestar import Request, post
from litestar.di import NamedDependency
from litestar.exceptions import HTTPException
from litestar.params import FromPath, JSONBody

from gateway.api.auth import Caller
from gateway.api.bodies import SignupsOperation
from gateway.errors import Refused, invalid
from gateway.flows.services import Services
from gateway.flows.signups import signup as flow
from gateway_schemas.problem import FieldProblem
from gateway_schemas.signup import IdempotencyKey, ReleaseInput, ReleaseResult, SignupBatch, SignupResults

TAGS = ["signups"]
MAX_SINGLE = 1024 * 1024
MAX_BATCH = 8 * 1024 * 1024


@post(
    "/v1/accounts/{account:str}/campaigns/{campaign:str}/signups",
    status_code=202,
    tags=TAGS,
    request_max_body_size=MAX_BATCH,
    operation_class=SignupsOperation,
    opt={"scope": "signups"},
)
async def post_signups(
    caller: NamedDependency[Caller],
    services: NamedDependency[Services],
    account: FromPath[str],
    campaign: FromPath[str],
    request: Request[Any, Any, Any],
) -> SignupResults:
    """Accept one Signup, or ``{"signups": […]}`` with up to 1,000, each on its own.

    What is answered as accepted is durable. Send ``Idempotency-Key`` to repeat a call harmlessly. A single signup that
    is wrong is answered 422.
    """
    caller.require(account, "signups")
    body = await json_body(request)
    batch = isinstance(body, dict) and "signups" in body
    if not batch and len(await request.body()) > MAX_SINGLE:
        raise Refused("too_large", f"One signup has at most {MAX_SINGLE} bytes.")
    raw = msgspec.convert(body, SignupBatch).signups if batch else [body]
    results = await flow.submit(services, account, campaign, raw, key=_idempotency_key(request), body=body)
    if not batch and results[0].problems:
        raise invalid(*results[0].problems)
    return SignupResults(results=results)


@post("/v1/accounts/{account:str}/signups/release", status_code=200, tags=TAGS, opt={"scope": "signups"})
async def release_signups(
    caller: NamedDependency[Caller],
    services: NamedDependency[Services],
    account: FromPath[str],
    data: JSONBody[ReleaseInput],
) -> ReleaseResult:
    """Let held signups go out, however long they were held."""
    caller.require(account, "signups")
    if data.since is not None and data.since.tzinfo is None:
        raise invalid(FieldProblem(field="since", message="Give the time with its offset."))
    return await flow.release(services, account, data)


async def json_body(request: Request[Any, Any, Any]) -> Any:
    """Return the decoded JSON body.

    Raises:
        Refused: It is no JSON, or nested too deeply.
        HTTPException: It is too large.
    """
    content_type = request.headers.get("content-type", "application/json").partition(";")[0].strip().lower()
    if content_type != "application/json" and not content_type.endswith("+json"):
        raise Refused("unsupported_media_type", "Send the body as application/json.")
    try:
        return msgspec.json.decode(await request.body())
    except HTTPException:
        raise
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise Refused("invalid_request", "The body is no JSON document, or is nested too deeply.") from error


def _idempotency_key(request: Request[Any, Any, Any]) -> str | None:
    key: str | None = request.headers.get("idempotency-key")
    if key is None:
        return None
    try:
        return msgspec.convert(key, IdempotencyKey)
    except msgspec.ValidationError as error:
        message = "Use 1 to 255 visible ASCII characters."
        raise invalid(FieldProblem(field="Idempotency-Key", message=message)) from error


ROUTES = [post_signups, release_signups]
