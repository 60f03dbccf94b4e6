"""Read contacts for contact sync, page by page: all of them, those of a saved filter, or those that changed.

A whole walk goes by id, so that new contacts come after it. What changed since is read by ``updated_since`` (included,
whole seconds, since fractions are refused), with an overlap: clocks differ, and a change may become visible a moment
after its time. Whether ``updated_since`` may be combined with a filter is unconfirmed, so filters are always walked
whole.

Source: ``VENDOR.md``, chapters 5 (cursors), 7.4 (persons) and 10 (the recipe).
"""

from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import msgspec
from msgspec import Struct

from gateway.sdk.connection import Connection
from gateway.sdk.errors import MappingBroken, RecordGone, Rejected, RetryLater
from gateway_pipedrive.client import Pipedrive
from gateway_pipedrive.errors import Forbidden, RefusedInput
from gateway_pipedrive.links import url_of
from gateway_pipedrive.models import Person
from gateway_pipedrive.polling import seconds
from gateway_pipedrive.records import contact_record
from gateway_schemas.sync import ContactPage, ContactSelection

OVERLAP = timedelta(seconds=120)
RESTARTS = 5
"""How often a walk begins anew because its cursor was refused; the life time of cursors is not documented."""


class Checkpoint(Struct, frozen=True, omit_defaults=True):
    """Where a walk stands.

    Attributes:
        began: When its first page was read.
        since: It reads what changed since then; null: everything.
        cursor: The vendor's marker of the next page.
        restarts: How often its cursor was refused.
    """

    began: datetime | None = None
    since: datetime | None = None
    cursor: str | None = None
    restarts: int = 0


async def read_contacts(connection: Connection, selection: ContactSelection, checkpoint: str | None) -> ContactPage:
    """Read one page of contacts.

    Raises:
        MappingBroken: The saved filter is gone, or not visible to the connected user.
        Rejected: Cursors are refused again and again.
        RetryLater: The cursor of the next page is the one of this page: the walk would not come to its end.
    """
    client, now = Pipedrive(connection), connection.now().astimezone(UTC).replace(microsecond=0)
    at = Checkpoint() if checkpoint is None else msgspec.json.decode(checkpoint, type=Checkpoint)
    if at.began is None:
        at = msgspec.structs.replace(at, began=now)
    try:
        persons, cursor = await _page(client, selection, at)
    except (RefusedInput, RecordGone, Forbidden) as refused:
        await _refuse_dead_filter(client, selection, refused)
        if at.cursor is None:
            raise
        if at.restarts >= RESTARTS:
            raise Rejected(f"Pipedrive refused the marker of the next page {RESTARTS} times: {refused}") from refused
        at = Checkpoint(began=now, since=at.since, restarts=at.restarts + 1)
        persons, cursor = await _page(client, selection, at)
    if cursor is not None and cursor == at.cursor:
        said = "Pipedrive says that there is more, but its marker of the next page is the one of this page"
        raise RetryLater(said, after_seconds=300, lane_wide=False)
    is_first = at.cursor is None and at.since is None and at.restarts == 0
    total = await _highest_id(client) if is_first and cursor is not None and selection.filter is None else None
    link = partial(url_of, connection)
    return ContactPage(
        contacts=[contact_record(person, link) for person in persons],
        checkpoint=_written(msgspec.structs.replace(at, cursor=cursor)) if cursor is not None else None,
        total=total,
        at_most=total is not None,
        resume=_resume(selection, at) if cursor is None else None,
    )


async def _page(client: Pipedrive, selection: ContactSelection, at: Checkpoint) -> tuple[list[Person], str | None]:
    params: dict[str, Any] = {"filter_id": selection.filter, "cursor": at.cursor, "sort_by": "id"}
    if at.since is not None and selection.filter is None:
        params |= {"updated_since": seconds(at.since), "sort_by": "update_time"}
    return await client.persons_page(params)


async def _highest_id(client: Pipedrive) -> int | None:
    """Return the highest id, which no number of contacts exceeds: the vendor counts nothing."""
    newest, _ = await client.persons_page({"sort_by": "id", "sort_direction": "desc", "limit": 1})
    return newest[0].id if newest else None


async def _refuse_dead_filter(client: Pipedrive, selection: ContactSelection, refused: Exception) -> None:
    """Say so when the filter is not there any more; the vendor's error for that is undocumented."""
    if selection.filter is None:
        return
    alive = {str(one.id) for one in await client.people_filters() if one.active_flag}
    if selection.filter not in alive:
        said = f"the saved filter {selection.filter} is not in Pipedrive any more"
        raise MappingBroken(said, ["filter"]) from refused


def _resume(selection: ContactSelection, at: Checkpoint) -> str | None:
    """Return where a later walk goes on, which reads only what changed since this one began."""
    if selection.filter is not None or at.began is None:
        return None
    return _written(Checkpoint(since=at.began - OVERLAP))


def _written(checkpoint: Checkpoint) -> str:
    return msgspec.json.encode(checkpoint).decode()
