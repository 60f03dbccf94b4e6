"""Mounts the routes that integrations bring under ``/v1/apps/{integration}/``.

The host authenticates, checks the scope, finds the account's active connection, decodes and encodes;
the plugin's handler sees typed values alone.
"""

from collections.abc import Iterable
from typing import Any

import msgspec
from litestar import Request, Response, route
from litestar.di import NamedDependency
from litestar.handlers import HTTPRouteHandler

from gateway.api.auth import Caller
from gateway.errors import Refused
from gateway.flows.connections import opening
from gateway.flows.services import Services
from gateway.plugins import Integration
from gateway.sdk.routes import Call, Route
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

    @route(
        path,
        http_method=[one.method],
        name=f"{integration.key}:{one.method}:{one.path}",
        tags=[integration.key],
        summary=one.summary,
    )
    async def serve(
        request: Request[Any, Any, Any], services: NamedDependency[Services], caller: NamedDependency[Caller]
    ) -> Response[bytes]:
        if caller.account_id is None:
            raise Refused("missing_scope", "Use a key of one account here, not a host key.")
        caller.require(caller.account_id, one.scope)
        async with services.database.read() as conn:
            row = await connections.open_of(conn, caller.account_id, integration.key)
        if row is None or row.state != "active":
            raise Refused("not_connected", f"Connect {integration.manifest.name} first.")
        body = None if one.takes is None else msgspec.json.decode(await request.body() or b"null", type=one.takes)
        call = Call(
            path={key: str(value) for key, value in request.path_params.items()},
            query=dict(request.query_params),
            body=body,
        )
        connection = await opening.open_connection(services, row, person_waits=True)
        answer = await integration.call(one.handler(connection, call), timeout_seconds=TIMEOUT_SECONDS)
        return Response(
            msgspec.json.encode(answer), status_code=201 if one.method == "POST" else 200, media_type="application/json"
        )

    return serve
