"""Activity: the day's ledger, a chart, what is parked or held and how to mend it, and every delivery."""

from typing import Any, get_args

from litestar import Response, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath

from gateway.console.charts import SMALL, draw
from gateway.console.pages import Desk
from gateway.errors import Refused, not_found
from gateway.flows import overview
from gateway.flows.campaigns import campaign as campaigns
from gateway.flows.notify import delivery_log
from gateway.flows.people import ledger
from gateway.flows.signups import signup
from gateway.flows.signups.held import HELD_MESSAGES
from gateway.storage.delivery_log import Filter
from gateway_schemas.events import Delivery, DeliveryState
from gateway_schemas.signup import ReleaseInput

PAGE = 50
MOST_AT_ONCE = 200
WORDS = {
    "waiting": ("Waiting", "wait"),
    "delivered": ("Delivered", "good"),
    "failed": ("Failed", "bad"),
    "cancelled": ("Cancelled", ""),
    "parked": ("Parked", "wait"),
}
KINDS = {"event": "Event", "signup": "Signup", "status": "Link and counts"}


@get("/a/{account:str}/activity")
async def show_activity(desk: NamedDependency[Desk]) -> Response[str]:
    """Show the day at a glance, the last thirty days, and what needs somebody."""
    day = desk.request.query_params.get("day") or None
    try:
        found = await ledger.of_day(desk.services, desk.account_id, day)
    except Refused as error:
        if error.code != "invalid_input":
            raise
        return desk.go("activity")
    days = await overview.by_day(desk.services, desk.account_id)
    parked, held = await overview.what_waits(desk.services, desk.account_id)
    of_setups = [one.setup.campaign_id for one in parked if one.setup is not None]
    say = desk.texts.say
    names_of_bars = (say("signups"), say("qualified"), say("failed"))
    return desk.page(
        "activity.html",
        ledger=found,
        days=days,
        chart=draw(days, names_of_bars),
        small_chart=draw(days, names_of_bars, SMALL),
        parked=parked,
        held=held,
        held_messages=HELD_MESSAGES,
        names=await campaigns.names_of(desk.services, desk.account_id, of_setups) if of_setups else {},
    )


@post("/a/{account:str}/activity/check")
async def check_again(desk: NamedDependency[Desk]) -> Response[str]:
    """Compare the setups with the CRM now; parked work goes out when all is well."""
    done = await overview.compare_again(desk.services, desk.account_id)
    if not done:
        raise Refused("not_connected", "No CRM is connected. Connect one under Settings; then what waits can go out.")
    return desk.go("activity", said="checking")


@post("/a/{account:str}/activity/release")
async def release(desk: NamedDependency[Desk]) -> Response[str]:
    """Let held signups go out, however long they were held."""
    done = await signup.release(desk.services, desk.account_id, ReleaseInput())
    return desk.go("activity", said="released" if done.released else "nothing_sent")


# --- deliveries ------------------------------------------------------------------------------------------


@get("/a/{account:str}/activity/deliveries")
async def list_deliveries(desk: NamedDependency[Desk]) -> Response[str]:
    """Show deliveries to the CRM and to endpoints, newest first, by state."""
    given = desk.request.query_params
    wanted = given.get("state")
    state: DeliveryState | None = wanted if wanted in get_args(DeliveryState) else None
    page = await delivery_log.read(
        desk.services,
        Filter(
            state=state,
            account_id=desk.account_id,
            endpoints_of=None if desk.visitor.kind == "operator" else desk.account_id,
            before=given.get("cursor") or None,
            limit=PAGE,
        ),
    )
    return desk.page(
        "deliveries.html",
        deliveries=page.data,
        next=page.next,
        chosen=state,
        words=WORDS,
        kinds=KINDS,
        states=list(WORDS),
    )


@get("/a/{account:str}/activity/deliveries/{delivery:str}")
async def show_delivery(desk: NamedDependency[Desk], delivery: FromPath[str]) -> Response[str]:
    """Show what was sent and answered, attempt by attempt; secrets are left out when it is stored."""
    found = await _find(desk, delivery)
    return desk.page("delivery.html", delivery=found, words=WORDS, kinds=KINDS)


@post("/a/{account:str}/activity/deliveries/again")
async def send_again(desk: NamedDependency[Desk]) -> Response[str]:
    """Send the chosen deliveries again; what cannot go out is left as it is."""
    form = await desk.form()
    chosen = form.all("delivery")[:MOST_AT_ONCE]
    sent, why = 0, ""
    for one in chosen:
        try:
            await delivery_log.send_again(desk.services, await _find(desk, one))
        except Refused as error:
            why = error.detail
        else:
            sent += 1
    if not sent and len(chosen) == 1 and why:
        raise Refused("wrong_state", why)
    said = "sent_again" if sent else "nothing_sent"
    if len(chosen) == 1:
        return desk.go("activity", "deliveries", chosen[0], said=said)
    return desk.go("activity", "deliveries", said=said, state=form.get("state"))


async def _find(desk: Desk, delivery_id: str) -> Delivery:
    """Return a delivery that this visitor may see.

    Raises:
        Refused: ``not_found``.
    """
    found, owner = await delivery_log.find(desk.services, delivery_id)
    if found.account != desk.account_id or (desk.visitor.kind != "operator" and owner != desk.account_id):
        raise not_found("delivery", delivery_id)
    return found


ROUTES: list[Any] = [show_activity, check_again, release, list_deliveries, show_delivery, send_again]
