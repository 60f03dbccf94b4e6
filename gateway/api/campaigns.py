"""``/v1/accounts/{account}/campaigns``: campaigns as the host declares them."""

from typing import Annotated

from litestar import Response, get, put
from litestar.di import NamedDependency
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import FromPath, JSONBody, Parameter

from gateway.api.auth import Caller, check_host_id
from gateway.api.cursors import AccountCursor
from gateway.flows.campaigns import campaign as flow
from gateway.flows.services import Services
from gateway_schemas.base import Page
from gateway_schemas.campaign import Campaign, CampaignInput

TAGS = ["campaigns"]


@put(
    "/v1/accounts/{account:str}/campaigns/{campaign:str}",
    tags=TAGS,
    responses={201: ResponseSpec(Campaign, description="It was made")},
    opt={"scope": "manage"},
)
async def put_campaign(
    caller: NamedDependency[Caller],
    services: NamedDependency[Services],
    account: FromPath[str],
    campaign: FromPath[str],
    data: JSONBody[CampaignInput],
) -> Response[Campaign]:
    """Declare a campaign (201), or **replace** it (200): what is left out is reset to its default.

    The same again changes nothing, and rewards that are there stay.
    """
    caller.require(account, "manage")
    check_host_id("campaign", campaign)
    saved, made = await flow.save(services, account, campaign, data)
    return Response(saved, status_code=201 if made else 200)


@get("/v1/accounts/{account:str}/campaigns/{campaign:str}", tags=TAGS, opt={"scope": "read"})
async def get_campaign(
    caller: NamedDependency[Caller],
    services: NamedDependency[Services],
    account: FromPath[str],
    campaign: FromPath[str],
) -> Campaign:
    """Return one campaign."""
    caller.require(account, "read")
    return await flow.find(services, account, campaign)


@get("/v1/accounts/{account:str}/campaigns", tags=TAGS, opt={"scope": "read"})
async def list_campaigns(
    caller: NamedDependency[Caller],
    services: NamedDependency[Services],
    account: FromPath[str],
    limit: Annotated[int, Parameter(ge=1, le=200)] = 50,
    cursor: AccountCursor = None,
) -> Page[Campaign]:
    """Return an account's campaigns, by id."""
    caller.require(account, "read")
    return await flow.find_page(services, account, limit, cursor)


ROUTES = [put_campaign, get_campaign, list_campaigns]
