"""``/v1/endpoints``: the URLs that receive events. A host key sees all of them, an account's key its own account's."""

from typing import Annotated

import msgspec
from litestar import delete, get, patch, post
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery, JSONBody, Parameter

from gateway.api.auth import Caller
from gateway.api.cursors import EndpointCursor
from gateway.errors import not_found
from gateway.flows.notify import endpoint_checks, endpoints
from gateway.flows.notify.envelopes import as_endpoint
from gateway.flows.services import Services
from gateway.storage.endpoints import EndpointRow
from gateway_schemas.account import Scope
from gateway_schemas.base import Page
from gateway_schemas.events import (
    EnableInput,
    Endpoint,
    EndpointInput,
    EndpointPatch,
    EndpointTest,
    RotateInput,
)

Limit = Annotated[int, Parameter(ge=1, le=200)]


async def _reachable(
    services: NamedDependency[Services], caller: NamedDependency[Caller], endpoint_id: str, scope: Scope
) -> EndpointRow:
    """Return an endpoint that the caller may use; another account's, and the host's, are not there for an account."""
    row = await endpoints.get(services, endpoint_id)
    if caller.kind != "host":
        if row.account_id is None or not caller.sees(row.account_id):
            raise not_found("endpoint", endpoint_id)
        caller.require(row.account_id, scope)
    return row


@post("/v1/endpoints", opt={"scope": "manage"})
async def create_endpoint(
    data: JSONBody[EndpointInput], caller: NamedDependency[Caller], services: NamedDependency[Services]
) -> Endpoint:
    """Make an endpoint; its secret is in this answer alone."""
    if caller.kind != "host":
        account = data.account or caller.account_id or ""
        caller.require(account, "manage")
        data = msgspec.structs.replace(data, account=account)
    return await endpoints.create(services, data)


@get("/v1/endpoints", opt={"scope": "read"})
async def list_endpoints(
    caller: NamedDependency[Caller],
    services: NamedDependency[Services],
    account: FromQuery[str | None] = None,
    cursor: EndpointCursor = None,
    limit: Limit = 50,
) -> Page[Endpoint]:
    """List endpoints, newest first."""
    if caller.kind != "host":
        account = account or caller.account_id or ""
        caller.require(account, "read")
    return await endpoints.list_endpoints(services, account_id=account, cursor=cursor, limit=limit)


@get("/v1/endpoints/{endpoint:str}", opt={"scope": "read"})
async def get_endpoint(
    endpoint: FromPath[str], caller: NamedDependency[Caller], services: NamedDependency[Services]
) -> Endpoint:
    """Show one endpoint."""
    return as_endpoint(await _reachable(services, caller, endpoint, "read"))


@patch("/v1/endpoints/{endpoint:str}", opt={"scope": "manage"})
async def change_endpoint(
    endpoint: FromPath[str],
    data: JSONBody[EndpointPatch],
    caller: NamedDependency[Caller],
    services: NamedDependency[Services],
) -> Endpoint:
    """Change URL, event types or description; disable or enable."""
    return await endpoints.change(services, await _reachable(services, caller, endpoint, "manage"), data)


@delete("/v1/endpoints/{endpoint:str}", opt={"scope": "manage"})
async def delete_endpoint(
    endpoint: FromPath[str], caller: NamedDependency[Caller], services: NamedDependency[Services]
) -> None:
    """Remove an endpoint and what waits for it."""
    await endpoints.remove(services, await _reachable(services, caller, endpoint, "manage"))


@post("/v1/endpoints/{endpoint:str}/rotate", status_code=200, opt={"scope": "manage"})
async def rotate_secret(
    endpoint: FromPath[str],
    caller: NamedDependency[Caller],
    services: NamedDependency[Services],
    data: JSONBody[RotateInput | None] = None,
) -> Endpoint:
    """Give the endpoint a new secret; the old one signs too for the grace period."""
    row = await _reachable(services, caller, endpoint, "manage")
    return await endpoint_checks.rotate(services, row, data or RotateInput())


@post("/v1/endpoints/{endpoint:str}/test", status_code=200, opt={"scope": "manage"})
async def test_endpoint(
    endpoint: FromPath[str], caller: NamedDependency[Caller], services: NamedDependency[Services]
) -> EndpointTest:
    """Send a test event to this endpoint alone and answer with what came of it."""
    return await endpoint_checks.test(services, await _reachable(services, caller, endpoint, "manage"))


@post("/v1/endpoints/{endpoint:str}/enable", status_code=200, opt={"scope": "manage"})
async def enable_endpoint(
    endpoint: FromPath[str],
    caller: NamedDependency[Caller],
    services: NamedDependency[Services],
    data: JSONBody[EnableInput | None] = None,
) -> Endpoint:
    """Enable the endpoint; what was kept goes out, and with ``replay_from`` what it missed after that position."""
    row = await _reachable(services, caller, endpoint, "manage")
    return await endpoints.enable(services, row, None if data is None else data.replay_from)


ROUTES = [
    create_endpoint, list_endpoints, get_endpoint, change_endpoint, delete_endpoint, rotate_secret, test_endpoint,
    enable_endpoint,
]  # fmt: skip
