"""Feeds of changes: bookings and jobs by their time of change; for contacts see ``index``.

Lists are walked newest first, from a time on, with no end: then a record that changes during the walk moves to its
front or stays where it is, so that a page may repeat rows but never skip one, whether or not the vendor keeps the order
that was asked for. The next walk begins at the highest time of change that was *seen*, less an overlap; never at *now*,
and an empty walk moves nothing.

Source: ``VENDOR.md``, chapters 4 (lists) and 8 (detection loop).
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import msgspec
from msgspec import Struct

from gateway.sdk.connection import Connection
from gateway.sdk.errors import NotSupported
from gateway.sdk.polling import ChangePage
from gateway_schemas.records import Record, RecordChange
from gateway_servicetitan import index, reads
from gateway_servicetitan.client import ServiceTitan, stamp
from gateway_servicetitan.models import Booking, Job, Page, aware
from gateway_servicetitan.records import job_record

OVERLAP = timedelta(minutes=5)
FIRST_WINDOW = timedelta(hours=1)
"""Nothing of ours is older at first; the clocks of the two sides differ by less."""

PAGE_ROWS = 200


class Walk(Struct, frozen=True, omit_defaults=True):
    """Where a feed of a list stands.

    Attributes:
        since: From which time of change on.
        page: The page to be read next.
        newest: The highest time of change seen in this walk.
    """

    since: datetime
    page: int = 1
    newest: datetime | None = None


async def poll(connection: Connection, feed: str, checkpoint: str | None) -> ChangePage:
    """Read one page of a feed.

    Raises:
        NotSupported: There is no such feed, or the account does not show it.
    """
    client = ServiceTitan(connection)
    match feed:
        case "bookings":
            return await _bookings(connection, client, checkpoint)
        case "jobs":
            return await _jobs(connection, client, checkpoint)
        case "contacts":
            return await index.poll(client, checkpoint, connection.now())
    raise NotSupported(f"ServiceTitan has no feed {feed!r}")


# --- lists by time of change ----------------------------------------------------------------------------


async def _bookings(connection: Connection, client: ServiceTitan, checkpoint: str | None) -> ChangePage:
    walk = _walk(checkpoint, connection.now())
    page = await client.bookings_page(_params(walk), number=walk.page, size=PAGE_ROWS)
    return _page(walk, page, await reads.bookings(client, page.rows))


async def _jobs(connection: Connection, client: ServiceTitan, checkpoint: str | None) -> ChangePage:
    """Read changed jobs of the whole tenant; the host passes over those that are nobody's of ours.

    Only jobs that came of a booking can be ours. Invoices are read when the host reads the job again, so a completed
    one is only hinted at.
    """
    walk = _walk(checkpoint, connection.now())
    page = await client.jobs_page(_params(walk), number=walk.page, size=PAGE_ROWS)
    booked = [one for one in page.rows if one.booking_id is not None]
    return _page(walk, page, [job_record(one) for one in booked], whole=False)


def _params(walk: Walk) -> dict[str, Any]:
    return {"modifiedOnOrAfter": stamp(walk.since), "sort": "-ModifiedOn"}


def _page(walk: Walk, page: Page[Booking] | Page[Job], records: Sequence[Record], *, whole: bool = True) -> ChangePage:
    seen = [moment for row in page.rows if (moment := aware(row.modified_on)) is not None]
    newest = max([*seen, *([walk.newest] if walk.newest is not None else [])], default=None)
    more = bool(page.has_more and page.rows)
    following = Walk(walk.since, walk.page + 1, newest) if more else Walk(_next_since(walk, newest))
    return ChangePage(
        changes=[_change(record, whole=whole) for record in records],
        checkpoint=msgspec.json.encode(following).decode(),
        more=more,
    )


def _next_since(walk: Walk, newest: datetime | None) -> datetime:
    return walk.since if newest is None else max(walk.since, newest - OVERLAP)


def _change(record: Record, *, whole: bool) -> RecordChange:
    return RecordChange(
        ref=record.ref,
        facts=record.facts,
        contact=record.contact,
        origin=record.origin,
        record=record if whole or not record.value_ready else None,
        occurred_at=record.updated_at,
    )


def _walk(checkpoint: str | None, now: datetime) -> Walk:
    """Return a stored checkpoint; one that cannot be read starts the feed anew, sweeps find what is missed."""
    if checkpoint:
        try:
            return msgspec.json.decode(checkpoint, type=Walk)
        except msgspec.DecodeError:
            pass
    return Walk(now - FIRST_WINDOW)
