"""``/v1/accounts/{account}/people``: find people, change them, and what happened to them."""

from collections.abc import AsyncIterator
from typing import Annotated, Any, Literal

import msgspec
from litestar import Request, get, patch
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery, JSONBody, Parameter, QueryParameter
from litestar.response import Stream

from gateway.api.auth import Caller
from gateway.api.bodies import StatusUpdatesOperation
from gateway.api.cursors import PersonCursor
from gateway.api.signups import MAX_BATCH, json_body
from gateway.errors import invalid
from gateway.flows.campaigns import campaign as campaigns
from gateway.flows.people import people as flow
from gateway.flows.people import status_updates
from gateway.flows.services import Services
from gateway.flows.signups.intake import nul_in
from gateway_schemas.base import Page
from gateway_schemas.manifest import Role
from gateway_schemas.person import CrmState, Person, PersonPatch, ReferralState, StatusResults, StatusUpdates, Timeline
from gateway_schemas.problem import FieldProblem

TAGS = ["people"]
Limit = Annotated[int, Parameter(ge=1, le=200)]
Filter = Annotated[str | None, Parameter(max_length=400)]
InState = Annotated[Literal[ReferralState, CrmState] | None, QueryParameter(name="state")]


@get("/v1/accounts/{account:str}/people", tags=TAGS, opt={"scope": "read"})
async def list_people(
    caller: NamedDependency[Caller],
    services: NamedDependency[Services],
    account: FromPath[str],
    campaign: Filter = None,
    role: FromQuery[Role | None] = None,
    in_state: InState = None,
    q: Filter = None,
    limit: Limit = 50,
    cursor: PersonCursor = None,
) -> Page[Person]:
    """Return people, newest first; ``q`` is part of a name, or a whole e-mail, code, external id or id."""
    caller.require(account, "read")
    await campaigns.check_known(services, account, campaign)
    query = flow.query_for(
        services, account, campaign=campaign, role=role, state=in_state, q=q, limit=limit, cursor=cursor
    )
    return await flow.find_page(services, query)


@get("/v1/accounts/{account:str}/people.csv", tags=TAGS, opt={"scope": "read"})
async def people_csv(
    caller: NamedDependency[Caller],
    services: NamedDependency[Services],
    account: FromPath[str],
    campaign: Filter = None,
    role: FromQuery[Role | None] = None,
    in_state: InState = None,
) -> Stream:
    """Return people as CSV; spreadsheets take no cell for a formula."""
    caller.require(account, "read")
    await campaigns.check_known(services, account, campaign)
    parts = await flow.as_csv(services, flow.query_for(services, account, campaign=campaign, role=role, state=in_state))

    async def encoded() -> AsyncIterator[bytes]:
        async for part in parts:
            yield part.encode()

    headers = {"content-disposition": 'attachment; filename="people.csv"'}
    return Stream(encoded(), media_type="text/csv; charset=utf-8", headers=headers)


@get("/v1/accounts/{account:str}/people/{person:str}", tags=TAGS, opt={"scope": "read"})
async def get_person(
    caller: NamedDependency[Caller], services: NamedDependency[Services], account: FromPath[str], person: FromPath[str]
) -> Person:
    """Return one person, by ``per_…`` or ``ext:…``."""
    caller.require(account, "read")
    return await flow.find(services, account, person)


@patch("/v1/accounts/{account:str}/people/{person:str}", tags=TAGS, opt={"scope": "signups"})
async def patch_person(
    caller: NamedDependency[Caller],
    services: NamedDependency[Services],
    account: FromPath[str],
    person: FromPath[str],
    data: JSONBody[PersonPatch],
) -> Person:
    """Change link, code, counts or names of one person; what is left out stays."""
    caller.require(account, "signups")
    if (where := nul_in(msgspec.to_builtins(data))) is not None:
        raise invalid(FieldProblem(field=where, message="Leave out the character U+0000; it cannot be stored."))
    return await status_updates.update(services, account, person, data)


@patch(
    "/v1/accounts/{account:str}/campaigns/{campaign:str}/people",
    tags=TAGS,
    request_max_body_size=MAX_BATCH,
    operation_class=StatusUpdatesOperation,
    opt={"scope": "signups"},
)
async def patch_people(
    caller: NamedDependency[Caller],
    services: NamedDependency[Services],
    account: FromPath[str],
    campaign: FromPath[str],
    request: Request[Any, Any, Any],
) -> StatusResults:
    """Take up to 1,000 status updates, ``{"people": [{"person": …, "link"?, "code"?, "counts"?, …}]}``.

    Each is done or refused on its own.
    """
    caller.require(account, "signups")
    updates = msgspec.convert(await json_body(request), StatusUpdates)
    return StatusResults(results=await status_updates.update_many(services, account, campaign, updates.people))


@get("/v1/accounts/{account:str}/people/{person:str}/timeline", tags=TAGS, opt={"scope": "read"})
async def get_timeline(
    caller: NamedDependency[Caller], services: NamedDependency[Services], account: FromPath[str], person: FromPath[str]
) -> Timeline:
    """Return everything that happened to a person, and why the referral has qualified or has not yet."""
    caller.require(account, "read")
    return await flow.tell_timeline(services, account, person)


ROUTES = [list_people, people_csv, get_person, patch_person, patch_people, get_timeline]
