"""Operators' pages: all accounts, what waits for approval, and endpoints."""

from typing import Any, get_args

import msgspec
from litestar import Response, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath

from gateway.console.activity import WORDS
from gateway.console.forms import Form
from gateway.console.pages import Desk, path_of, redirect
from gateway.errors import Refused, invalid
from gateway.flows import accounts
from gateway.flows.notify import delivery_log, endpoint_checks, endpoints
from gateway.flows.notify.envelopes import as_endpoint
from gateway.flows.refusals import meaning_of
from gateway.storage import connections
from gateway.storage.delivery_log import Filter
from gateway_schemas.events import Endpoint, EndpointInput, EndpointPatch, EndpointTest, EventType, RotateInput
from gateway_schemas.problem import FieldProblem

PAGE = 50
TYPES = [one for one in get_args(EventType) if one != "endpoint.test"]


@get("/accounts")
async def list_accounts(desk: NamedDependency[Desk]) -> Response[str]:
    """Show all accounts, and the connections that wait for the operator."""
    cursor = desk.request.query_params.get("cursor") or None
    page = await accounts.list_accounts(desk.services, cursor=cursor, limit=PAGE)
    async with desk.services.database.read() as conn:
        waiting = await connections.awaiting_approval(conn)
    manifests = {one.key: one.manifest for one in desk.services.integrations}
    return desk.page("accounts.html", accounts=page.data, next=page.next, waiting=waiting, manifests=manifests)


@get("/endpoints")
async def list_endpoints(desk: NamedDependency[Desk]) -> Response[str]:
    """Show all endpoints, and the form for another one."""
    return await _list(desk)


async def _list(
    desk: Desk, *, status: int = 200, typed: Form | None = None, errors: dict[str, list[str]] | None = None
) -> Response[str]:
    cursor = desk.request.query_params.get("cursor") or None
    page = await endpoints.list_endpoints(desk.services, account_id=None, cursor=cursor, limit=PAGE)
    return desk.page(
        "endpoints.html",
        status=status,
        endpoints=page.data,
        next=page.next,
        types=TYPES,
        typed=typed or Form(),
        errors=errors or {},
    )


@post("/endpoints")
async def add_endpoint(desk: NamedDependency[Desk]) -> Response[str]:
    """Make an endpoint and show its secret, once."""
    form = await desk.form()
    chosen: list[Any] = [one for one in form.all("event_type") if one in TYPES]
    typed = {
        "url": form.get("url"),
        "event_types": chosen,
        "account": form.get("account") or None,
        "description": form.get("description"),
    }
    try:
        # converted, not built: what a Struct says of its fields is checked only then
        given = msgspec.convert(typed, EndpointInput)
        made = await endpoints.create(desk.services, given, once=True)
    except (Refused, msgspec.ValidationError) as failure:
        error = meaning_of(failure)
        errors: dict[str, list[str]] = {}
        for one in error.problems:
            errors.setdefault(one.field, []).append(one.message)
        if error.code == "not_found":
            errors["account"] = [error.detail]
        if not errors:
            raise error from failure
        return await _list(desk, status=422, typed=form, errors=errors)
    return desk.page("endpoint_secret.html", endpoint=made, rotated=False)


@get("/endpoints/{endpoint:str}")
async def show_endpoint(desk: NamedDependency[Desk], endpoint: FromPath[str]) -> Response[str]:
    """Show one endpoint and its latest deliveries."""
    return await _show(desk, as_endpoint(await endpoints.get(desk.services, endpoint)))


async def _show(desk: Desk, found: Endpoint, tested: EndpointTest | None = None) -> Response[str]:
    recent = await delivery_log.read(desk.services, Filter(endpoint_id=found.id, limit=20))
    return desk.page("endpoint.html", endpoint=found, tested=tested, deliveries=recent.data, words=WORDS)


@post("/endpoints/{endpoint:str}/test")
async def test_endpoint(desk: NamedDependency[Desk], endpoint: FromPath[str]) -> Response[str]:
    """Send a test event and show what came of it."""
    row = await endpoints.get(desk.services, endpoint)
    tested = await endpoint_checks.test(desk.services, row)
    return await _show(desk, as_endpoint(row), tested)


@post("/endpoints/{endpoint:str}/rotate")
async def rotate(desk: NamedDependency[Desk], endpoint: FromPath[str]) -> Response[str]:
    """Give the endpoint a new secret and show it, once; the old one signs too for a day."""
    row = await endpoints.get(desk.services, endpoint)
    made = await endpoint_checks.rotate(desk.services, row, RotateInput())
    return desk.page("endpoint_secret.html", endpoint=made, rotated=True)


@post("/endpoints/{endpoint:str}/state")
async def change_state(desk: NamedDependency[Desk], endpoint: FromPath[str]) -> Response[str]:
    """Disable or enable; ``replay`` also sends what it missed since it was disabled."""
    form = await desk.form()
    row = await endpoints.get(desk.services, endpoint)
    if form.get("to") == "disabled":
        await endpoints.change(desk.services, row, EndpointPatch(disabled=True))
        return redirect(path_of("endpoints", endpoint, said="disabled"))
    if form.get("to") != "enabled":
        raise invalid(FieldProblem(field="to", message="Press Disable or Enable: nothing was changed."))
    replay_from = row.last_position if "replay" in form else None
    await endpoints.enable(desk.services, row, replay_from)
    return redirect(path_of("endpoints", endpoint, said="enabled"))


@post("/endpoints/{endpoint:str}/remove")
async def remove(desk: NamedDependency[Desk], endpoint: FromPath[str]) -> Response[str]:
    """Remove an endpoint and what waits for it."""
    await endpoints.remove(desk.services, await endpoints.get(desk.services, endpoint))
    return redirect(path_of("endpoints", said="removed"))


ROUTES: list[Any] = [
    list_accounts, list_endpoints, add_endpoint, show_endpoint, test_endpoint, rotate, change_state, remove,
]  # fmt: skip
