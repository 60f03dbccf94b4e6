"""The contacts of a sync as people see them: which became referrers, which were skipped and why."""

from gateway.errors import Refused, invalid, not_found
from gateway.flows.contact_sync.shapes import contact
from gateway.flows.services import Services
from gateway.storage import sync_contacts, syncs
from gateway_schemas.base import Page
from gateway_schemas.problem import FieldProblem
from gateway_schemas.sync import SyncContact, SyncContactState


async def find_page(
    services: Services,
    account_id: str,
    campaign_id: str,
    sync_id: str,
    *,
    state: SyncContactState | None,
    reason: str | None,
    limit: int,
    cursor: str | None,
) -> Page[SyncContact]:
    """Return the contacts of a sync, narrowed by what became of them.

    Raises:
        Refused: There is no such sync.
    """
    if reason is not None and state is None:
        raise invalid(FieldProblem(field="reason", message="Give state=skipped or state=gone with a reason."))
    async with services.database.read() as conn:
        row = await syncs.get(conn, sync_id)
        if row is None or (row.account_id, row.campaign_id) != (account_id, campaign_id):
            raise not_found("contact sync", sync_id)
        integration = services.integrations.get(row.integration)
        if integration is None:
            raise Refused("integration_unavailable", f"The integration {row.integration!r} is not installed here.")
        found = await sync_contacts.page(conn, sync_id, state=state, reason=reason, after=cursor, limit=limit + 1)
    kind = integration.manifest.contact_kind
    more = found[limit - 1].record_id if len(found) > limit else None
    return Page(data=[contact(kind, one) for one in found[:limit]], next=more)
