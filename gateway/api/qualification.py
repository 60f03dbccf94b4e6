"""Decide on a referral by hand, and record sales of a referred person."""

from litestar import post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody

from gateway.api.auth import Caller
from gateway.flows.referrals import qualification
from gateway.flows.rewards import sales
from gateway.flows.services import Services
from gateway_schemas.person import Explanation, QualificationInput, Sale, SaleInput

TAGS = ["qualification"]


@post(
    "/v1/accounts/{account:str}/people/{person:str}/qualification", status_code=200, tags=TAGS, opt={"scope": "signups"}
)
async def decide(
    account: FromPath[str],
    person: FromPath[str],
    data: JSONBody[QualificationInput],
    caller: NamedDependency[Caller],
    services: NamedDependency[Services],
) -> Explanation:
    """Qualify or reverse a referral by hand; the CRM changes it no more, the next decision does."""
    caller.require(account, "signups")
    return await qualification.qualify(services, account, person, data)


@post("/v1/accounts/{account:str}/people/{person:str}/sales", status_code=200, tags=TAGS, opt={"scope": "signups"})
async def record_sale(
    account: FromPath[str],
    person: FromPath[str],
    data: JSONBody[SaleInput],
    caller: NamedDependency[Caller],
    services: NamedDependency[Services],
) -> Sale:
    """Record a sale, or a refund (below 0), once: the same reference and amount again is answered as a duplicate."""
    caller.require(account, "signups")
    return await sales.record_sale(services, account, person, data)


ROUTES = [decide, record_sale]
