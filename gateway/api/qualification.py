"""Decide on a referral by hand, and record sales of a referred person."""

from litestar import post

from gateway.api.auth import Caller
from gateway.flows import qualification, sales
from gateway.flows.services import Services
from gateway_schemas.person import Explanation, QualificationInput, Sale, SaleInput


@post("/v1/accounts/{account:str}/people/{person:str}/qualification", status_code=200)
async def decide(
    account: str, person: str, data: QualificationInput, caller: Caller, services: Services
) -> Explanation:
    """Qualify or reverse a referral by hand; the CRM changes it no more, the next decision does."""
    caller.require(account, "signups")
    return await qualification.qualify(services, account, person, data)


@post("/v1/accounts/{account:str}/people/{person:str}/sales", status_code=200)
async def record_sale(account: str, person: str, data: SaleInput, caller: Caller, services: Services) -> Sale:
    """Record a sale, or a refund (below 0), once: the same reference and amount again is answered as a duplicate."""
    caller.require(account, "signups")
    return await sales.record_sale(services, account, person, data)


ROUTES = [decide, record_sale]
