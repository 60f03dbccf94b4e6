"""``/v1/accounts``: the host's customers, their keys, and links that open the console."""

from typing import Annotated

from litestar import Response, delete, get, post, put
from litestar.di import NamedDependency
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import FromPath, JSONBody, Parameter

from gateway.api.auth import Caller
from gateway.api.cursors import AccountCursor
from gateway.flows import access
from gateway.flows import accounts as flow
from gateway.flows.services import Services
from gateway_schemas.account import Account, AccountInput, Key, KeyInput, SessionLink
from gateway_schemas.base import Page

TAGS = ["accounts"]


@put(
    "/v1/accounts/{account:str}",
    tags=TAGS,
    responses={201: ResponseSpec(Account, description="It was made")},
    opt={"scope": "host"},
)
async def put_account(
    caller: NamedDependency[Caller],
    services: NamedDependency[Services],
    account: FromPath[str],
    data: JSONBody[AccountInput],
) -> Response[Account]:
    """Say who an account is: made when it is new (201), **replaced** when it is known (200).

    What is left out is reset to its default; send the whole of it each time.
    """
    caller.require_host()
    caller.require(account, "manage")
    stored, made = await flow.put_account(services, account, data)
    return Response(stored, status_code=201 if made else 200)


@get("/v1/accounts/{account:str}", tags=TAGS, opt={"scope": "read"})
async def get_account(
    caller: NamedDependency[Caller], services: NamedDependency[Services], account: FromPath[str]
) -> Account:
    """Return one account."""
    caller.require(account, "read")
    return await flow.get_account(services, account)


@get("/v1/accounts", tags=TAGS, opt={"scope": "host"})
async def list_accounts(
    caller: NamedDependency[Caller],
    services: NamedDependency[Services],
    limit: Annotated[int, Parameter(ge=1, le=200)] = 50,
    cursor: AccountCursor = None,
) -> Page[Account]:
    """Return all accounts, by id."""
    caller.require_host()
    return await flow.list_accounts(services, cursor=cursor, limit=limit)


@post("/v1/accounts/{account:str}/keys", tags=TAGS, opt={"scope": "host"})
async def make_key(
    caller: NamedDependency[Caller],
    services: NamedDependency[Services],
    account: FromPath[str],
    data: JSONBody[KeyInput],
) -> Key:
    """Make a key for one account; ``key`` is shown in this answer alone."""
    caller.require_host()
    caller.require(account, "manage")
    return await access.make_key(services, account, data)


@get("/v1/accounts/{account:str}/keys", tags=TAGS, opt={"scope": "manage"})
async def list_keys(
    caller: NamedDependency[Caller], services: NamedDependency[Services], account: FromPath[str]
) -> list[Key]:
    """Return an account's keys that are not revoked, without their secrets."""
    caller.require(account, "manage")
    return await access.list_keys(services, account)


@delete("/v1/accounts/{account:str}/keys/{key:str}", tags=TAGS, opt={"scope": "manage"})
async def revoke_key(
    caller: NamedDependency[Caller], services: NamedDependency[Services], account: FromPath[str], key: FromPath[str]
) -> None:
    """Revoke a key; it opens nothing from now on."""
    caller.require(account, "manage")
    await access.revoke_key(services, account, key)


@post("/v1/accounts/{account:str}/sessions", tags=TAGS, opt={"scope": "host"})
async def make_session(
    caller: NamedDependency[Caller], services: NamedDependency[Services], account: FromPath[str]
) -> SessionLink:
    """Make a link that opens the console for one account: good for one use and five minutes."""
    caller.require_host()
    caller.require(account, "manage")
    return await access.make_session_link(services, account)


ROUTES = [put_account, get_account, list_accounts, make_key, list_keys, revoke_key, make_session]
