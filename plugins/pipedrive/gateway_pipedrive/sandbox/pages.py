"""Routes that are no API calls: the OAuth endpoints, the Marketplace's button, and the controls over HTTP."""

from typing import Any
from urllib.parse import parse_qsl, urlsplit

from litestar import Request, Response, get, post, route
from litestar.handlers import HTTPRouteHandler

from gateway.sdk import sandboxes
from gateway_pipedrive.sandbox.controls import COMMANDS, Controls
from gateway_pipedrive.sandbox.errors import VendorError
from gateway_pipedrive.sandbox.gate import render

AnyRequest = Request[Any, Any, Any]


def browser_routes(sandbox: Controls) -> list[HTTPRouteHandler]:
    """Make the routes of ``oauth.pipedrive.com`` and of the Marketplace (chapter 2)."""

    @route("/oauth/authorize", http_method=["GET", "POST"], status_code=200)
    async def authorize(request: AnyRequest) -> Response[bytes]:
        query = dict(parse_qsl(urlsplit(str(request.url)).query, keep_blank_values=True))
        query |= dict(parse_qsl((await request.body()).decode(), keep_blank_values=True))
        refused = sandbox.oauth.check_authorize(query)
        if refused:
            return render(f"<!DOCTYPE html><title>Error</title><p>{refused}</p>", 400)
        if "decision" not in query:
            return render(sandbox.oauth.consent_page(query), 200)
        return _redirect(sandbox.oauth.decide(query))

    @post("/oauth/token", status_code=200)
    async def token(request: AnyRequest) -> Response[bytes]:
        try:
            company, answer = sandbox.oauth.token(request.headers.get("authorization"), await request.body())
        except VendorError as refused:
            return render(refused.body, refused.status)
        return render(answer | {"api_domain": sandbox.api_domain(company, _origin(request))}, 200)

    @post("/oauth/revoke", status_code=200)
    async def revoke(request: AnyRequest) -> Response[bytes]:
        try:
            sandbox.oauth.revoke(request.headers.get("authorization"), await request.body())
        except VendorError as refused:
            return render(refused.body, refused.status)
        return render({}, 200)

    @get("/marketplace/install", status_code=200)
    async def marketplace(request: AnyRequest) -> Response[bytes]:
        user_id = request.query_params.get("user_id")
        try:
            return _redirect(sandbox.marketplace_install(int(user_id) if user_id else None))
        except VendorError as refused:
            return render(refused.body, refused.status)

    return [authorize, token, revoke, marketplace]


def control_routes(sandbox: Controls) -> list[HTTPRouteHandler]:
    """Make ``POST /_control/{command}``: every control, its parameters as a JSON object."""
    commands = COMMANDS | {"reset", "advance", "demo_company"}

    @route("/_control/{command:str}", http_method=["GET", "POST"], status_code=200)
    async def control(request: AnyRequest) -> Response[bytes]:
        command = str(request.path_params["command"])
        return render(*await sandboxes.control(sandbox, commands, command, await request.body(), VendorError))

    return [control]


def _redirect(url: str) -> Response[bytes]:
    return Response(b"", status_code=302, headers={"location": url})


def _origin(request: AnyRequest) -> str:
    return f"{request.url.scheme}://{request.url.netloc}"
