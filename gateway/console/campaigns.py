"""Campaigns: the list, and the pages of one campaign: integration, promote, rewards."""

from dataclasses import dataclass
from typing import Any

from litestar import Response, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath

from gateway.console.pages import Desk
from gateway.errors import Refused, invalid
from gateway.flows import overview
from gateway.flows.campaigns import campaign as flow
from gateway.flows.campaigns import setup as setups
from gateway.flows.contact_sync import start as contact_syncs
from gateway.flows.overview import Numbers
from gateway.storage import campaigns, connections
from gateway.storage.campaigns import SetupRow
from gateway.storage.connections import ConnectionRow
from gateway_schemas.base import Page
from gateway_schemas.campaign import Campaign
from gateway_schemas.manifest import Manifest, Role
from gateway_schemas.problem import FieldProblem

ROLES: tuple[tuple[Role, str], ...] = (("referred", "Person Invited"), ("referrer", "Person Referring"))
PAGE = 50
SYNC_STATES = {
    "running": ("Running", "wait"),
    "watching": ("Ongoing, up to date", "good"),
    "paused": ("Paused", "wait"),
    "needs_attention": ("Needs attention", "bad"),
    "completed": ("Completed", "good"),
    "cancelled": ("Cancelled", ""),
}
"""The word that people see for each state of a contact sync, and its tone."""


@dataclass(frozen=True, slots=True)
class Ground:
    """What a campaign stands on: the connected CRM, where there is one.

    Attributes:
        row: The open CRM connection, in any state.
        manifest: Of its integration; null when that is not installed any more.
        setups: By role, those of this connection.
    """

    row: ConnectionRow | None
    manifest: Manifest | None
    setups: dict[str, SetupRow]

    @property
    def is_active(self) -> bool:
        """Say whether setups can be changed now."""
        return self.row is not None and self.row.state == "active" and self.manifest is not None


async def ground_of(desk: Desk, campaign_id: str) -> Ground:
    """Return the connection and the setups of a campaign."""
    async with desk.services.database.read() as conn:
        row = await connections.open_crm(conn, desk.account_id)
        found = await campaigns.setups_of_campaign(conn, desk.account_id, campaign_id)
    integration = None if row is None else desk.services.integrations.get(row.integration)
    mine: dict[str, SetupRow] = {
        one.role: one for one in reversed(found) if row is not None and one.connection_id == row.id
    }
    return Ground(row, None if integration is None else integration.manifest, mine)


@dataclass(frozen=True, slots=True)
class Listed:
    """A page of campaigns.

    Attributes:
        words: What is searched for; empty: nothing.
        cursor: Where the page begins; empty: at the first one.
    """

    words: str
    cursor: str
    page: Page[Campaign]

    @property
    def is_part(self) -> bool:
        """Say whether there are more campaigns than this page shows."""
        return bool(self.words or self.cursor or self.page.next)


async def find_page(desk: Desk) -> Listed:
    """Return the page of campaigns that the address names."""
    given = desk.request.query_params
    words, cursor = (given.get("q") or "").strip()[:200], given.get("cursor") or ""
    page = await flow.find_page(desk.services, desk.account_id, PAGE, cursor or None, words or None)
    return Listed(words, cursor, page)


@get("/a/{account:str}/campaigns")
async def list_campaigns(desk: NamedDependency[Desk]) -> Response[str]:
    """Show an account's campaigns: state, what is set up, how many people, what needs attention."""
    listed = await find_page(desk)
    ids = [one.id for one in listed.page.data]
    async with desk.services.database.read() as conn:
        row = await connections.open_crm(conn, desk.account_id)
        found = (
            {} if row is None else {(one.campaign_id, one.role): one for one in await campaigns.setups_of(conn, row.id)}
        )
    numbers = await overview.of_campaigns(desk.services, desk.account_id, ids)
    return desk.page(
        "campaigns.html",
        listed=listed,
        setups=found,
        numbers=numbers,
        nobody=Numbers(),
        roles=ROLES,
        row=row,
    )


@get("/a/{account:str}/campaigns/{campaign:str}")
async def show_campaign(desk: NamedDependency[Desk], campaign: FromPath[str]) -> Response[str]:
    """Go to the campaign's integration."""
    return desk.go("campaigns", campaign, "integration")


@get("/a/{account:str}/campaigns/{campaign:str}/integration")
async def show_integration(desk: NamedDependency[Desk], campaign: FromPath[str]) -> Response[str]:
    """Show what is set up for people invited and people referring."""
    found = await flow.find(desk.services, desk.account_id, campaign)
    ground = await ground_of(desk, campaign)
    return desk.page(
        "campaign.html",
        campaign=found,
        ground=ground,
        roles=ROLES,
        others=await _copy_sources(desk, ground, campaign),
        numbers=(await overview.of_campaigns(desk.services, desk.account_id, [campaign])).get(campaign, Numbers()),
    )


async def _copy_sources(desk: Desk, ground: Ground, campaign_id: str) -> list[Campaign]:
    """Return the other campaigns that have setups of this connection."""
    if not ground.is_active or ground.row is None:
        return []
    async with desk.services.database.read() as conn:
        found = await campaigns.setups_of(conn, ground.row.id)
        ids = sorted({one.campaign_id for one in found} - {campaign_id})
        named = await campaigns.by_ids(conn, desk.account_id, ids)
    return [flow.shown(named[one]) for one in ids if one in named]


@post("/a/{account:str}/campaigns/{campaign:str}/copy")
async def copy_setups(desk: NamedDependency[Desk], campaign: FromPath[str]) -> Response[str]:
    """Save the setups of another campaign here; what does not fit is shown as a form to mend."""
    source = (await desk.form()).get("from")
    ground = await ground_of(desk, source)
    if not ground.setups:
        raise invalid(FieldProblem(field="from", message="That campaign has no setup of the connected CRM."))
    for role, _ in ROLES:
        setup = ground.setups.get(role)
        if setup is None:
            continue
        try:
            await setups.save(desk.services, desk.account_id, campaign, role, setup.body)
        except Refused as error:
            if error.code != "invalid_input":
                raise
            return desk.go("campaigns", campaign, "setups", role, **{"from": source})
    return desk.go("campaigns", campaign, "integration", said="copied")


@get("/a/{account:str}/campaigns/{campaign:str}/promote")
async def show_promote(desk: NamedDependency[Desk], campaign: FromPath[str]) -> Response[str]:
    """Show how people get their links: by syncing contacts."""
    found = await flow.find(desk.services, desk.account_id, campaign)
    ground = await ground_of(desk, campaign)
    numbers = (await overview.of_campaigns(desk.services, desk.account_id, [campaign])).get(campaign, Numbers())
    syncs = await contact_syncs.find_page(desk.services, desk.account_id, campaign, limit=1, cursor=None)
    return desk.page(
        "promote.html",
        campaign=found,
        ground=ground,
        numbers=numbers,
        sync=syncs.data[0] if syncs.data else None,
        states=SYNC_STATES,
    )


ROUTES: list[Any] = [list_campaigns, show_campaign, show_integration, copy_setups, show_promote]
