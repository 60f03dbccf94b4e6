"""``/v1/accounts/{account}/campaigns``: campaigns as the host declares them."""

from typing import Annotated

from litestar import get, put
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery, JSONBody, Parameter

from gateway.api.auth import Caller, check_host_id
from gateway.flows.campaigns import campaign as flow
from gateway.flows.services import Services
from gateway_schemas.base import Page
from gateway_schemas.campaign import Campaign, CampaignInput

TAGS = ["campaigns"]


@put("/v1/accounts/{account:str}/campaigns/{campaign:str}", tags=TAGS)
async def put_campaign(
    caller: NamedDependency[Caller],
    services: NamedDependency[Services],
    account: FromPath[str],
    campaign: FromPath[str],
    data: JSONBody[CampaignInput],
) -> Campaign:
    """Declare a campaign, or change it; the same again changes nothing, and no reward that is there changes."""
    caller.require(account, "manage")
    check_host_id("campaign", campaign)
    return await flow.save(services, account, campaign, data)


@get("/v1/accounts/{account:str}/campaigns/{campaign:str}", tags=TAGS)
async def get_campaign(
    caller: NamedDependency[Caller],
    services: NamedDependency[Services],
    account: FromPath[str],
    campaign: FromPath[str],
) -> Campaign:
    """Return one campaign."""
    caller.require(account, "read")
    return await flow.find(services, account, campaign)


@get("/v1/accounts/{account:str}/campaigns", tags=TAGS)
async def list_campaigns(
    caller: NamedDependency[Caller],
    services: NamedDependency[Services],
    account: FromPath[str],
    limit: Annotated[int, Parameter(ge=1, le=200)] = 50,
    cursor: FromQuery[str | None] = None,
) -> Page[Campaign]:
    """Return an account's campaigns, by id."""
    caller.require(account, "read")
    return await flow.find_page(services, account, limit, cursor)


ROUTES = [put_campaign, get_campaign, list_campaigns]
