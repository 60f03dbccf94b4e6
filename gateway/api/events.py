"""``/v1/events``: the pull feed, for those who cannot or will not receive webhooks, and to catch up after an outage."""

from typing import Annotated

from litestar import get
from litestar.di import NamedDependency
from litestar.params import FromQuery, Parameter

from gateway.api.auth import Caller
from gateway.flows.notify import feed
from gateway.flows.services import Services
from gateway_schemas.events import EventFeed


@get("/v1/events", opt={"scope": "read"})
async def read_events(
    caller: NamedDependency[Caller],
    services: NamedDependency[Services],
    after: Annotated[
        int, Parameter(ge=0, le=2**53 - 1, description="`next` of the answer before; 0 begins with the oldest.")
    ] = 0,
    limit: Annotated[int, Parameter(ge=1, le=200)] = 50,
    account: FromQuery[str | None] = None,
) -> EventFeed:
    """Read events after a position, in order."""
    if caller.kind != "host":
        account = account or caller.account_id or ""
        caller.require(account, "read")
    return await feed.read(services, after=after, limit=limit, account_id=account)


ROUTES = [read_events]
