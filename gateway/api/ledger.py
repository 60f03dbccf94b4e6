"""``GET /v1/ledger``: where a day's accepted signups are."""

from litestar import get
from litestar.di import NamedDependency
from litestar.params import FromQuery

from gateway.api.auth import Caller
from gateway.flows.people import ledger as flow
from gateway.flows.services import Services
from gateway_schemas.events import Ledger


@get("/v1/ledger", tags=["ledger"], opt={"scope": "read"})
async def get_ledger(
    caller: NamedDependency[Caller],
    services: NamedDependency[Services],
    account: FromQuery[str | None] = None,
    day: FromQuery[str | None] = None,
) -> Ledger:
    """Return where the signups of a day are: delivered, refused, held, parked or under way; their sum was accepted.

    The day is one of the account's time zone; without an account it is UTC, and a host key is needed.
    """
    if account is None:
        caller.require_host()
    else:
        caller.require(account, "read")
    return await flow.of_day(services, account, day)


ROUTES = [get_ledger]
