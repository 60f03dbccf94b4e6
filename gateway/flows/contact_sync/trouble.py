"""A sync that cannot go on as it is: it says what to mend, its tasks end, and the host is told once."""

from collections.abc import Sequence
from datetime import datetime

import msgspec

from gateway.flows import mishaps
from gateway.flows.contact_sync.shapes import sync_event
from gateway.flows.notify.publishing import NewEvent, publish
from gateway.sdk import errors
from gateway.storage import syncs
from gateway.storage.engine import AsyncConnection
from gateway.storage.running import Apply
from gateway.storage.syncs import SyncRow
from gateway_schemas.campaign import SetupProblem
from gateway_schemas.event_data import SetupData

RESUME = "Then let the sync go on (PATCH paused: false)."


def needs_attention(row: SyncRow, cause: str, message: str, problems: Sequence[SetupProblem], now: datetime) -> Apply:
    """Return the writes that stop a sync until somebody mends it; one that stopped meanwhile is left alone."""
    said = mishaps.scrubbed(message)

    async def write(conn: AsyncConnection) -> None:
        current = await syncs.lock(conn, row.id)
        if current is None or not (current.is_at_work or current.state == "completed"):
            return
        if (current.mapping, current.write_back, current.selection) != (row.mapping, row.write_back, row.selection):
            return  # mended meanwhile
        if current.state == "completed" and await syncs.open_one(conn, current.connection_id, current.campaign_id):
            return  # a newer sync of the campaign has taken over
        values = {"state": "needs_attention", "cause": cause, "message": said, "problems": list(problems)}
        await syncs.change(conn, row.id, values, now)
        stopped = msgspec.structs.replace(
            current, state="needs_attention", cause=cause, message=said, problems=list(problems)
        )
        data = SetupData(
            campaign=row.campaign_id,
            role="referrer",
            connection=row.connection_id,
            problems=list(problems) or [SetupProblem(field="", message=said, code=cause)],
            sync=row.id,
        )
        told = NewEvent(type="setup.needs_attention", account_id=row.account_id, person_id=None, data=data)
        await publish(conn, [told, sync_event("sync.failed", stopped)], now)

    return write


def mapping_broken(row: SyncRow, error: errors.MappingBroken, now: datetime) -> Apply:
    """Return the writes for fields, or a filter, that are gone at the vendor."""
    problems = problems_of(row, error)
    return needs_attention(row, "mapping_broken", " ".join(one.message for one in problems), problems, now)


def problems_of(row: SyncRow, error: errors.MappingBroken) -> list[SetupProblem]:
    """Say which rows of a sync name the fields that a plugin found broken."""
    places = [("selection.filter", "filter")] if row.selection.filter is not None else []
    places += [(f"mapping[{index}].field", one.field) for index, one in enumerate(row.mapping)]
    places += [(f"write_back[{index}].field", one.field) for index, one in enumerate(row.write_back)]
    found = []
    for key in error.fields:
        message = f"{key} is gone at the vendor, or has changed: {mishaps.scrubbed(str(error))}. Choose another."
        found += [
            SetupProblem(field=path, message=message, code="mapping_broken") for path, named in places if named == key
        ]
    return found or [SetupProblem(field="mapping", message=mishaps.scrubbed(str(error)), code="mapping_broken")]


def noting(row: SyncRow, error: str, now: datetime) -> Apply:
    """Return the writes that say what keeps a sync waiting while it tries again; the next success takes it back."""
    said = mishaps.scrubbed(f"The CRM could not be read; the sync tries again by itself. It said: {error}")

    async def write(conn: AsyncConnection) -> None:
        current = await syncs.lock(conn, row.id)
        if current is not None and current.is_at_work and current.message != said:
            await syncs.change(conn, row.id, {"message": said}, now)

    return write


def page_refused(row: SyncRow, error: errors.Rejected, now: datetime) -> Apply:
    """Return the writes for a page that the vendor refused for good."""
    return needs_attention(row, "page_refused", f"The CRM refused to list contacts: {error}. {RESUME}", [], now)


def page_failed(row: SyncRow, error: str, now: datetime) -> Apply:
    """Return the writes for a page that failed until its attempts were used up."""
    message = f"A page of contacts could not be read, again and again: {error}. {RESUME}"
    return needs_attention(row, "page_failed", message, [], now)
