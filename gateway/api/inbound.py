"""``/v1/inbound``: calls that vendors make to us. No key: an unguessable URL and the vendor's own proof."""

from typing import Any

from litestar import Request, post
from litestar.di import NamedDependency
from litestar.params import FromPath

from gateway.flows.connections import app_calls
from gateway.flows.referrals import inbound
from gateway.flows.services import Services
from gateway.sdk.inbound import InboundRequest

TAGS = ["inbound"]


async def _read(request: Request[Any, Any, Any]) -> InboundRequest:
    return InboundRequest(
        method=request.method,
        headers={name.lower(): value for name, value in request.headers.items()},
        query={name: str(value) for name, value in request.query_params.items()},
        body=await request.body(),
    )


@post(
    "/v1/inbound/{integration:str}/{connection:str}/{token:str}",
    status_code=200,
    security=[],
    opt={"any_query": True},
    tags=TAGS,
)
async def take_webhook(
    request: Request[Any, Any, Any],
    services: NamedDependency[Services],
    integration: FromPath[str],
    connection: FromPath[str],
    token: FromPath[str],
) -> dict[str, str]:
    """Take a call of a connection's subscriptions: it is stored before this is answered, and read afterwards."""
    await inbound.accept(services, integration, connection, token, await _read(request))
    return {"status": "stored"}


@post("/v1/inbound/{integration:str}/{token:str}", status_code=200, security=[], opt={"any_query": True}, tags=TAGS)
async def take_app_call(
    request: Request[Any, Any, Any],
    services: NamedDependency[Services],
    integration: FromPath[str],
    token: FromPath[str],
) -> dict[str, str]:
    """Take a call of a vendor for the app as a whole: it is stored before this is answered, and read afterwards."""
    await app_calls.accept_app_call(services, integration, token, await _read(request))
    return {"status": "stored"}


ROUTES = [take_webhook, take_app_call]
