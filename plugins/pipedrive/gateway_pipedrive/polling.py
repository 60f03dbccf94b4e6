"""Feeds of changed deals: what webhooks missed.

A feed is read in fixed windows of ``updated_since`` (included) and ``updated_until`` (excluded), whole seconds, since
fractions are refused. A window is walked by the vendor's cursor, which is kept in the checkpoint, so that a walk that
was cut off goes on. What changes during the walk leaves the window and is found in the next. Windows overlap by a
minute: clocks differ, and a change may become visible a moment after its time.

Source: ``VENDOR.md``, chapters 3 (times), 5 (cursors) and 7.5 (deals).
"""

from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import msgspec
from msgspec import Struct

from gateway.sdk.connection import Connection
from gateway.sdk.errors import NotSupported
from gateway.sdk.polling import ChangePage
from gateway_pipedrive.client import ANY_STATUS, Pipedrive
from gateway_pipedrive.errors import RefusedInput
from gateway_pipedrive.links import url_of
from gateway_pipedrive.records import deal_record
from gateway_schemas.records import Record, RecordChange

FEEDS = ("deals", "deals_archived")
OVERLAP = timedelta(seconds=60)
FIRST_WINDOW = timedelta(minutes=5)


class Checkpoint(Struct, frozen=True, omit_defaults=True):
    """Where a feed stands.

    Attributes:
        since: Start of the window that is being walked, or of the next one.
        until: Its end; null between windows.
        cursor: The vendor's marker of the next page within the window.
    """

    since: datetime
    until: datetime | None = None
    cursor: str | None = None


async def poll(connection: Connection, feed: str, checkpoint: str | None) -> ChangePage:
    """Read one page of a feed.

    Raises:
        NotSupported: There is no such feed.
    """
    if feed not in FEEDS:
        raise NotSupported(f"Pipedrive has no feed {feed!r}")
    client, archived = Pipedrive(connection), feed == "deals_archived"
    window = _open(_read(checkpoint), connection.now())
    try:
        deals, cursor = await client.deals_page(_params(window), archived=archived)
    except RefusedInput:
        if window.cursor is None:
            raise
        # The life time of cursors is not documented: walk this window again from its beginning.
        window = Checkpoint(window.since, window.until)
        deals, cursor = await client.deals_page(_params(window), archived=archived)
    link = partial(url_of, connection)
    assert window.until is not None
    following = (
        Checkpoint(window.since, window.until, cursor)
        if cursor
        else Checkpoint(max(window.until - OVERLAP, window.since))
    )
    return ChangePage(
        changes=[_change(deal_record(deal, link)) for deal in deals],
        checkpoint=msgspec.json.encode(following).decode(),
        more=cursor is not None,
    )


def _open(checkpoint: Checkpoint | None, now: datetime) -> Checkpoint:
    """Return the window to walk: the one under way, else one from where the last ended until now."""
    if checkpoint is not None and checkpoint.until is not None:
        return checkpoint
    until = now.astimezone(UTC).replace(microsecond=0)
    since = checkpoint.since if checkpoint is not None else until - FIRST_WINDOW
    return Checkpoint(min(since, until - OVERLAP), until)


def _params(window: Checkpoint) -> dict[str, Any]:
    return {
        "updated_since": seconds(window.since),
        "updated_until": seconds(window.until) if window.until else None,
        "status": ANY_STATUS,
        "sort_by": "update_time",
        "sort_direction": "asc",
        "cursor": window.cursor,
    }


def _read(checkpoint: str | None) -> Checkpoint | None:
    """Return a stored checkpoint; one that cannot be read starts the feed anew, sweeps find what is missed."""
    if not checkpoint:
        return None
    try:
        return msgspec.json.decode(checkpoint, type=Checkpoint)
    except msgspec.DecodeError:
        return None


def _change(record: Record) -> RecordChange:
    return RecordChange(
        ref=record.ref,
        facts=record.facts,
        contact=record.contact,
        origin=record.origin,
        record=record,
        deleted=record.state == "deleted",
        occurred_at=record.updated_at,
    )


def seconds(moment: datetime) -> str:
    """Write a time as the vendor's filters take it: UTC, whole seconds."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
