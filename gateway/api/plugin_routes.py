"""Mounts the routes that integrations bring under ``/v1/apps/{integration}/``.

The host authenticates, checks the scope, finds the account's active connection, decodes and encodes;
the plugin's handler sees typed values alone.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import msgspec
from litestar import Request, Response, route
from litestar.di import NamedDependency
from litestar.handlers import HTTPRouteHandler
from litestar.openapi.datastructures import ResponseSpec
from litestar.openapi.spec import OpenAPIType, Operation, Parameter, Schema
from litestar.params import JSONBody

from gateway.api.auth import Caller
from gateway.errors import Refused
from gateway.flows.connections import opening
from gateway.flows.services import Services
from gateway.plugins import Integration
from gateway.sdk.routes import Answer, Call, Route
from gateway.storage import connections

TIMEOUT_SECONDS = 25.0


def of(integrations: Iterable[Integration]) -> list[HTTPRouteHandler]:
    """Return one handler for each route of each integration."""
    return [
        _mount(integration, one)
        for integration in integrations
        if integration.has("routes")
        for one in integration.hooks.routes()
    ]


def _mount(integration: Integration, one: Route) -> HTTPRouteHandler:
    path = f"/v1/apps/{integration.key}/" + one.path.lstrip("/").replace("}", ":str}")
    words = "".join(part.title() for part in one.path.replace("{", "").replace("}", "").split("/"))

    async def without_body(
        request: Request[Any, Any, Any], services: NamedDependency[Services], caller: NamedDependency[Caller]
    ) -> Response[Any]:
        return await _serve(integration, one, request, services, caller, None)

    async def with_body(
        request: Request[Any, Any, Any], services: NamedDependency[Services], caller: NamedDependency[Caller], data: Any
    ) -> Response[Any]:
        return await _serve(integration, one, request, services, caller, data)

    body: Any = JSONBody  # what a route takes and answers is known at run time alone
    with_body.__annotations__["data"] = body[one.takes]
    serve = without_body if one.takes is None else with_body
    if one.usual_status == 204:
        serve.__annotations__["return"] = Response[None]
    return route(
        path,
        http_method=[one.method],
        name=f"{integration.key}:{one.method}:{one.path}",
        operation_id=f"{integration.key.title()}{one.method.title()}{words}",
        operation_class=_operation(one),
        opt={"query": list(one.query), "scope": one.scope},
        tags=[integration.key],
        summary=one.summary,
        status_code=one.usual_status,
        responses=None
        if one.returns is None
        else {one.usual_status: ResponseSpec(one.returns, generate_examples=False)},
    )(serve)


async def _serve(
    integration: Integration,
    one: Route,
    request: Request[Any, Any, Any],
    services: Services,
    caller: Caller,
    body: Any,
) -> Response[Any]:
    if caller.account_id is None:
        raise Refused("missing_scope", "Use a key of one account here, not a host key.")
    caller.require(caller.account_id, one.scope)
    if integration.settings_error is not None:
        raise Refused("integration_unavailable", f"{integration.key} is not set up: {integration.settings_error}")
    async with services.database.read() as conn:
        row = await connections.open_of(conn, caller.account_id, integration.key)
    if row is None or row.state != "active":
        raise Refused("not_connected", f"Connect {integration.manifest.name} first.")
    call = Call(
        path={key: str(value) for key, value in request.path_params.items()},
        query=dict(request.query_params),
        body=body,
    )
    connection = await opening.open_connection(services, row, person_waits=True)
    answer = await integration.call(one.handler(connection, call), timeout_seconds=TIMEOUT_SECONDS)
    if not isinstance(answer, Answer):
        answer = Answer(status=one.usual_status, body=answer)
    if answer.status == 204:
        return Response(None, status_code=204)
    return Response(msgspec.json.encode(answer.body), status_code=answer.status, media_type="application/json")


def _operation(one: Route) -> type[Operation]:
    """Return the operation of the OpenAPI document with the query parameters, which the signature does not tell."""

    @dataclass
    class Documented(Operation):
        def __post_init__(self) -> None:
            told = [
                Parameter(name, "query", Schema(type=OpenAPIType.STRING), description=description, required=False)
                for name, description in one.query.items()
            ]
            self.parameters = [*(self.parameters or []), *told] or None

    return Documented
