"""``/v1/accounts/{account}/connections`` and ``/v1/connections``: connect, go on, show, disconnect."""

from typing import Annotated, Any

from litestar import Request, Response, delete, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody, Parameter

from gateway.api.auth import Caller
from gateway.api.cursors import ConnectionCursor
from gateway.errors import not_found
from gateway.flows.accounts import existing
from gateway.flows.connections import connect, disconnect, installations, steps
from gateway.flows.connections.connect_steps import shown
from gateway.flows.connections.health import health_of
from gateway.flows.services import Services
from gateway.storage import connections
from gateway.storage.connections import ConnectionRow
from gateway_schemas.base import Page
from gateway_schemas.connection import (
    ClaimInput,
    ConnectInput,
    Connection,
    DisconnectReceipt,
    ReauthoriseInput,
    StepInput,
)

TAGS = ["connections"]


@post("/v1/accounts/{account:str}/connections", tags=TAGS, opt={"scope": "manage"})
async def begin(
    caller: NamedDependency[Caller],
    services: NamedDependency[Services],
    account: FromPath[str],
    data: JSONBody[ConnectInput],
) -> Response[Connection]:
    """Connect an integration: answers with what has to happen next (201), or with the connection that is open (200).

    An automation may be connected at once: `key` of that answer is the account key to take there, shown this once.
    A console session gets no `url`: what a person begins in the console belongs to their browser.
    """
    caller.require(account, "manage")
    started = await steps.begin(services, account, data)
    answer = shown(services, started.row, state=_told(caller, started.state), key=started.key)
    return Response(answer, status_code=201 if started.created else 200)


@get("/v1/accounts/{account:str}/connections", tags=TAGS, opt={"scope": "read"})
async def list_connections(
    caller: NamedDependency[Caller],
    services: NamedDependency[Services],
    account: FromPath[str],
    limit: Annotated[int, Parameter(ge=1, le=200)] = 50,
    cursor: ConnectionCursor = None,
) -> Page[Connection]:
    """Return an account's connections, newest first, those that were disconnected too."""
    caller.require(account, "read")
    async with services.database.read() as conn:
        await existing(conn, account)
        rows = await connections.list_of_account(conn, account, before=cursor, limit=limit + 1)
    found = [shown(services, row) for row in rows[:limit]]
    return Page(data=found, next=found[-1].id if len(rows) > limit else None)


@post("/v1/accounts/{account:str}/installations/claim", status_code=200, tags=TAGS, opt={"scope": "manage"})
async def claim(
    request: Request[Any, Any, Any],
    caller: NamedDependency[Caller],
    services: NamedDependency[Services],
    account: FromPath[str],
    data: JSONBody[ClaimInput],
) -> Response[Connection]:
    """Give a marketplace install to this account, by its one-time code or the cookie of the browser."""
    caller.require(account, "manage")
    proof = installations.proof_in(services.settings, request.cookies)
    row = await installations.claim(services, account, code=data.code, cookie=proof)
    headers = {"set-cookie": installations.cleared(services.settings)} if proof is not None else None
    return Response(shown(services, row), status_code=200, headers=headers)


@get("/v1/connections/{connection:str}", tags=TAGS, opt={"scope": "read"})
async def get_connection(
    caller: NamedDependency[Caller], services: NamedDependency[Services], connection: FromPath[str]
) -> Connection:
    """Return a connection: its state, how it is doing, and what has to happen next."""
    row = await _row(caller, services, connection, "read")
    return shown(services, row, health=await health_of(services, row))


@post("/v1/connections/{connection:str}/steps/{step:str}", status_code=200, tags=TAGS, opt={"scope": "manage"})
async def submit(
    caller: NamedDependency[Caller],
    services: NamedDependency[Services],
    connection: FromPath[str],
    step: FromPath[str],
    data: JSONBody[StepInput],
) -> Connection:
    """Send the values of a form step; they are checked at the vendor before they are stored."""
    row = await _row(caller, services, connection, "manage")
    return shown(services, await steps.submit(services, row, step, data))


@post("/v1/connections/{connection:str}/approve", status_code=200, tags=TAGS, opt={"scope": "host"})
async def approve(
    caller: NamedDependency[Caller], services: NamedDependency[Services], connection: FromPath[str]
) -> Connection:
    """Approve a connection that waits for the operator."""
    caller.require_host()
    row = await _row(caller, services, connection, "manage")
    return shown(services, await steps.approve(services, row))


@post("/v1/connections/{connection:str}/reauthorise", status_code=200, tags=TAGS, opt={"scope": "manage"})
async def reauthorise(
    caller: NamedDependency[Caller],
    services: NamedDependency[Services],
    connection: FromPath[str],
    data: JSONBody[ReauthoriseInput | None] = None,
) -> Connection:
    """Authorise a connection again: answers with where to go, or the form to fill in; until then it stays as it is."""
    row = await _row(caller, services, connection, "manage")
    started = await connect.reauthorise(services, row, data.return_url if data is not None else None)
    return shown(services, started.row, state=_told(caller, started.state) or "", key=started.key)


@delete("/v1/connections/{connection:str}", status_code=200, tags=TAGS, opt={"scope": "manage"})
async def end(
    caller: NamedDependency[Caller], services: NamedDependency[Services], connection: FromPath[str]
) -> DisconnectReceipt:
    """Disconnect, or cancel what is not connected yet; the receipt says what is left to do at the vendor."""
    row = await _row(caller, services, connection, "manage")
    return await disconnect.disconnect(services, row)


def _told(caller: Caller, state: str | None) -> str | None:
    """Return the state of an authorisation, unless a session asks: its page binds it to a browser, this cannot."""
    return None if caller.kind == "session" else state


async def _row(
    caller: NamedDependency[Caller], services: NamedDependency[Services], connection_id: str, scope: str
) -> ConnectionRow:
    row = await connect.find(services, connection_id)
    if not caller.sees(row.account_id):
        raise not_found("connection", connection_id)
    caller.require(row.account_id, scope)
    return row


ROUTES = [begin, list_connections, claim, get_connection, submit, approve, reauthorise, end]
