"""``/v1/deliveries``: what was sent where, with every attempt, and to send it again."""

from typing import Annotated

from litestar import get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery, JSONBody, Parameter, QueryParameter

from gateway.api.auth import Caller
from gateway.api.cursors import PlaceCursor
from gateway.errors import not_found
from gateway.flows.notify import delivery_log, replay
from gateway.flows.services import Services
from gateway.storage.delivery_log import Filter
from gateway.storage.redelivery import Chosen
from gateway_schemas.account import Scope
from gateway_schemas.base import Page
from gateway_schemas.events import Delivery, DeliveryState, ReplayInput, ReplayResult


@get("/v1/deliveries", opt={"scope": "read"})
async def list_deliveries(
    caller: NamedDependency[Caller],
    services: NamedDependency[Services],
    in_state: Annotated[DeliveryState | None, QueryParameter(name="state")] = None,
    account: FromQuery[str | None] = None,
    endpoint: FromQuery[str | None] = None,
    cursor: PlaceCursor = None,
    limit: Annotated[int, Parameter(ge=1, le=200)] = 50,
) -> Page[Delivery]:
    """List deliveries to endpoints and to CRMs, newest first."""
    own = _own(caller, account, "read")
    await delivery_log.refuse_unknown(services, account_id=own or account, endpoint_id=endpoint, endpoints_of=own)
    wanted = Filter(
        state=in_state, account_id=own or account, endpoint_id=endpoint, endpoints_of=own, before=cursor, limit=limit
    )
    return await delivery_log.read(services, wanted)


@get("/v1/deliveries/{delivery:str}", opt={"scope": "read"})
async def get_delivery(
    delivery: FromPath[str], caller: NamedDependency[Caller], services: NamedDependency[Services]
) -> Delivery:
    """Show one delivery with its attempts."""
    return await _reachable(services, caller, delivery, "read")


@post("/v1/deliveries/{delivery:str}/replay", status_code=202, opt={"scope": "manage"})
async def replay_delivery(
    delivery: FromPath[str], caller: NamedDependency[Caller], services: NamedDependency[Services]
) -> Delivery:
    """Send a delivery again: the same `webhook-id`, a new timestamp."""
    found = await _reachable(services, caller, delivery, "manage")
    await delivery_log.send_again(services, found)
    return await _reachable(services, caller, delivery, "read")


@post("/v1/deliveries/replay", status_code=202, opt={"scope": "manage"})
async def replay_deliveries(
    data: JSONBody[ReplayInput],
    caller: NamedDependency[Caller],
    services: NamedDependency[Services],
    dry_run: FromQuery[bool] = False,
) -> ReplayResult:
    """Send many event deliveries of enabled endpoints again; `dry_run=true` only counts them.

    Pushes of signups and of status updates into a CRM are not among them: send those again one by one.
    """
    own = _own(caller, data.account, "manage")
    await delivery_log.refuse_unknown(
        services, account_id=own or data.account, endpoint_id=data.endpoint, endpoints_of=own
    )
    chosen = Chosen(
        endpoint_id=data.endpoint,
        account_id=own or data.account,
        endpoints_of=own,
        state=data.state,
        since=data.since,
        until=data.until,
    )
    return await replay.replay_many(services, chosen, dry_run=dry_run)


def _own(caller: NamedDependency[Caller], account: str | None, scope: Scope) -> str | None:
    """Return the account to which the caller is held; null for the host."""
    if caller.kind == "host":
        return None
    own = account or caller.account_id or ""
    caller.require(own, scope)
    return own


async def _reachable(
    services: NamedDependency[Services], caller: NamedDependency[Caller], delivery_id: str, scope: Scope
) -> Delivery:
    found, owner = await delivery_log.find(services, delivery_id)
    if caller.kind != "host":
        if owner is None or not caller.sees(owner):
            raise not_found("delivery", delivery_id)
        caller.require(owner, scope)
    return found


ROUTES = [list_deliveries, get_delivery, replay_delivery, replay_deliveries]
