"""Read customers for contact sync, page by page, with never more than one page of the feed in memory.

The feed of customers gives names and addresses, and for each page of it the contacts are read, 50 customers at a time:
so no join has to remember anything beyond a page. A page of the feed is the vendor's to choose and may be large; it is
handed on in slices by ascending id. Between two slices the feed is read again from the same place, and some rows may
have left it (they changed, and come later) or entered it (they were behind it). Hence the token of the *first* reading
is where the next page begins: what has entered comes again there, and nothing is skipped.

An ongoing sync goes on from where the first walk ended: the last page's checkpoint is kept by the feed itself, see
``polling``; ``since`` in it begins a walk of what changed later.

Source: ``vendor/servicetitan.md``, chapters 4 (export feeds) and 5.1.
"""

from collections.abc import Sequence

import msgspec
from msgspec import Struct

from gateway.sdk.connection import Connection
from gateway.sdk.errors import NotSupported
from gateway_schemas.records import Record
from gateway_schemas.sync import ContactPage, ContactSelection
from gateway_servicetitan import reads
from gateway_servicetitan.client import ServiceTitan
from gateway_servicetitan.errors import RefusedInput
from gateway_servicetitan.models import Customer
from gateway_servicetitan.records import customer_record

SLICE = 200
"""Customers that one page of ours holds at most: four calls for their contacts."""


class Place(Struct, frozen=True, omit_defaults=True):
    """Where a walk stands.

    Attributes:
        start: Token with which the page of the feed is read; null at the beginning.
        following: Token of the next page, as of the first reading of this one.
        more: Another page of the feed waits behind this one, as of then.
        after: The highest id that was handed on from this page.
    """

    start: str | None = None
    following: str | None = None
    more: bool = False
    after: int = 0


async def read_contacts(connection: Connection, selection: ContactSelection, checkpoint: str | None) -> ContactPage:
    """Read one page of customers with their e-mail addresses, merged and inactive ones left out.

    Raises:
        NotSupported: A saved filter was asked for; ServiceTitan has none.
    """
    if selection.filter is not None:
        raise NotSupported("ServiceTitan has no saved filters of customers; all of them are read")
    client = ServiceTitan(connection)
    place = _read(checkpoint)
    try:
        page = await client.customer_feed(place.start)
    except RefusedInput:
        if place.start is None:
            raise
        # How long a token lives is not documented: walk again from the beginning, which repeats and loses nothing.
        place = Place()
        page = await client.customer_feed(None)
    if place.following is None:
        place = Place(place.start, page.continue_from, bool(page.has_more), place.after)
    waiting = sorted({one.id: one for one in page.rows if one.id > place.after}.values(), key=lambda one: one.id)
    chosen = waiting[:SLICE]
    if len(waiting) > SLICE:
        following: Place | None = Place(place.start, place.following, place.more, chosen[-1].id)
    else:
        following = Place(start=place.following) if place.more else None
    return ContactPage(
        contacts=await _records(client, chosen),
        checkpoint=None if following is None else msgspec.json.encode(following).decode(),
    )


async def _records(client: ServiceTitan, found: Sequence[Customer]) -> list[Record]:
    alive = [one for one in found if one.active is not False and one.merged_to_id is None]
    contacts = reads.by_customer(await client.contacts_of([str(one.id) for one in alive]))
    return [customer_record(one, contacts.get(one.id, [])) for one in alive]


def _read(checkpoint: str | None) -> Place:
    if not checkpoint:
        return Place()
    try:
        return msgspec.json.decode(checkpoint, type=Place)
    except msgspec.DecodeError:
        return Place()
