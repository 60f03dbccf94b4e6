"""``/v1/accounts/{account}/campaigns/{campaign}/setups/{role}``: how a CRM is used for a campaign, and dry runs."""

import msgspec
from litestar import Response, delete, get, post, put
from litestar.di import NamedDependency
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import FromPath, FromQuery, JSONBody

from gateway.api.auth import Caller
from gateway.errors import Refused
from gateway.flows.campaigns import preview as previews
from gateway.flows.campaigns import setup as flow
from gateway.flows.services import Services
from gateway_schemas.campaign import Preview, PreviewInput, Setup, SetupInput
from gateway_schemas.manifest import Role

TAGS = ["setups"]
PATH = "/v1/accounts/{account:str}/campaigns/{campaign:str}/setups/{role:str}"


@put(PATH, tags=TAGS, responses={201: ResponseSpec(Setup, description="It was made")}, opt={"scope": "manage"})
async def put_setup(
    caller: NamedDependency[Caller],
    services: NamedDependency[Services],
    account: FromPath[str],
    campaign: FromPath[str],
    role: FromPath[str],
    data: JSONBody[SetupInput],
) -> Response[Setup]:
    """Save a new setup (201) or change it (200), checked against the vendor; what waited for it goes out."""
    caller.require(account, "manage")
    saved, made = await flow.save(services, account, campaign, _role(role), data)
    return Response(saved, status_code=201 if made else 200)


@get(PATH, tags=TAGS, opt={"scope": "read"})
async def get_setup(
    caller: NamedDependency[Caller],
    services: NamedDependency[Services],
    account: FromPath[str],
    campaign: FromPath[str],
    role: FromPath[str],
    connection: FromQuery[str | None] = None,
) -> Setup:
    """Return the setup of the connected CRM (or of ``connection``), with every problem when it needs attention."""
    caller.require(account, "read")
    return await flow.find(services, account, campaign, _role(role), connection)


@delete(PATH, tags=TAGS, opt={"scope": "manage"})
async def delete_setup(
    caller: NamedDependency[Caller],
    services: NamedDependency[Services],
    account: FromPath[str],
    campaign: FromPath[str],
    role: FromPath[str],
    connection: FromQuery[str | None] = None,
) -> None:
    """Delete a setup; signups are held until there is one again."""
    caller.require(account, "manage")
    await flow.remove(services, account, campaign, _role(role), connection)


@post(f"{PATH}/preview", tags=TAGS, status_code=200, opt={"scope": "manage"})
async def preview_setup(
    caller: NamedDependency[Caller],
    services: NamedDependency[Services],
    account: FromPath[str],
    campaign: FromPath[str],
    role: FromPath[str],
    data: JSONBody[PreviewInput],
) -> Preview:
    """Show what a signup would write, by a dry run of the integration; nothing is written anywhere."""
    caller.require(account, "manage")
    return await previews.preview(services, account, campaign, _role(role), data)


def _role(role: str) -> Role:
    try:
        known: Role = msgspec.convert(role, Role)
    except msgspec.ValidationError:
        raise Refused("not_found", f"There is no role {role!r}; there are: referred, referrer.") from None
    return known


ROUTES = [put_setup, get_setup, delete_setup, preview_setup]
