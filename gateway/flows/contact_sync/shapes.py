"""How a contact sync looks to others: in the API, on the command line, and in events."""

from gateway.flows.connections.budget import day_of_lane, reserve_of
from gateway.flows.contact_sync.checks import no_write_back
from gateway.flows.contact_sync.estimates import Budget, seconds_for
from gateway.flows.notify.publishing import NewEvent
from gateway.flows.services import Services
from gateway.plugins import Integration
from gateway.storage import connections
from gateway.storage.connections import ConnectionRow
from gateway.storage.engine import AsyncConnection
from gateway.storage.sync_contacts import ContactRow
from gateway.storage.syncs import SyncRow
from gateway_schemas.event_data import SyncData
from gateway_schemas.events import EventType
from gateway_schemas.records import RecordRef
from gateway_schemas.sync import Sync, SyncContact, SyncProgress


async def shown(services: Services, conn: AsyncConnection, row: SyncRow) -> Sync:
    """Return a sync as the API shows it, with what is left to do by the budget as it is now."""
    connection = await connections.get(conn, row.connection_id)
    integration = services.integrations.get(row.integration)
    budget = await budget_of(services, conn, row, integration)
    why_not = None
    if integration is not None:
        why_not = no_write_back(integration.manifest, takes_statuses=integration.has("push_status"))
    return Sync(
        id=row.id,
        account=row.account_id,
        campaign=row.campaign_id,
        connection=row.connection_id,
        integration=row.integration,
        state=row.state,
        phase=row.phase,
        ongoing=row.ongoing,
        selection=row.selection,
        mapping=row.mapping,
        write_back=row.write_back,
        progress=progress(row, integration, budget),
        cause=row.cause,
        message=row.message or _waits(row, connection),
        problems=row.problems,
        no_write_back=why_not,
        estimate=row.estimate,
        started_at=row.started_at,
        updated_at=row.updated_at,
        completed_at=row.completed_at,
        next_walk_at=row.next_walk_at,
    )


async def budget_of(services: Services, conn: AsyncConnection, row: SyncRow, integration: Integration | None) -> Budget:
    """Return what the vendor tenant of a sync allows, as far as this process knows."""
    limits = integration.manifest.rate_budget if integration is not None else None
    lane = connections.lane_of(row.integration, row.identity)
    daily, left = await day_of_lane(services, conn, lane, limits)
    reserve = reserve_of(limits, daily, services.settings.signup_reserve_percent)
    return Budget(limits=limits, daily=daily, left=left, reserve=reserve)


def progress(row: SyncRow, integration: Integration | None, budget: Budget) -> SyncProgress:
    """Return the counts, and how long the phase under way will take."""
    per_second = row.rate / 1000 if row.rate and row.is_at_work else None
    left: float | None = None
    bound = None
    if row.is_at_work and row.phase == "reading" and row.total is not None:
        left, bound = _left(max(0, row.total - row.read), per_second, None)
    elif row.is_at_work and row.phase == "writing_back":
        units = row.to_write * (integration.manifest.contact_sync.write_units if integration is not None else 1)
        left, bound = _left(row.to_write, per_second, seconds_for(units, budget))
    elif row.phase == "awaiting_links":
        bound = "host_links"
    return SyncProgress(
        read=row.read,
        total=row.total,
        at_most=row.at_most,
        imported=row.imported,
        skipped=row.skipped,
        gone=row.gone,
        to_write=row.to_write,
        written=row.written,
        refused=row.refused,
        links_outstanding=row.links_outstanding,
        per_second=per_second,
        seconds_left=left,
        bound_by=bound,  # type: ignore[arg-type] # one of the three words
    )


def _left(number: int, per_second: float | None, by_budget: float | None) -> tuple[float | None, str | None]:
    by_rate = None if not per_second else number / per_second
    if by_budget and by_budget > (by_rate or 0.0):
        return round(by_budget, 1), "daily_budget"
    return (None, None) if by_rate is None else (round(by_rate, 1), "rate")


def _waits(row: SyncRow, connection: ConnectionRow | None) -> str | None:
    """Say what a sync that is open waits for outside of itself."""
    if row.is_open and connection is not None and connection.state == "needs_reauth":
        return "The CRM refused our credentials; authorise the connection again, and the sync goes on by itself."
    if row.state == "completed" and row.links_outstanding:
        return f"Links outstanding: {row.links_outstanding}. They are written back when the host sends them."
    return None


def contact(kind: str, row: ContactRow) -> SyncContact:
    """Return a contact of a sync as the API shows it."""
    return SyncContact(
        record=RecordRef(kind=kind, id=row.record_id),
        state=row.state,
        reason=row.reason,
        person=row.person_id,
        to_write=row.to_write,
        written_at=row.written_at,
    )


def sync_event(type_: EventType, row: SyncRow) -> NewEvent:
    """Return the event that tells the host how a sync stands."""
    data = SyncData(
        sync=row.id,
        campaign=row.campaign_id,
        connection=row.connection_id,
        state=row.state,
        seen=row.read,
        imported=row.imported,
        refused=sum(row.skipped.values()),
        message=row.message,
    )
    return NewEvent(type=type_, account_id=row.account_id, person_id=None, data=data)
