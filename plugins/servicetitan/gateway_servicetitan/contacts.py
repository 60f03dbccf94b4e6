"""Read customers for contact sync, page by page, with never more than one page of the feed in memory.

The feed of customers gives names and addresses, and for each page of it the contacts are read, 50 customers at a time:
so no join has to remember anything beyond a page. A page of the feed is the vendor's to choose and may be large; it is
handed on in slices by ascending id. Between two slices the feed is read again from the same place, and some rows may
have left it (they changed, and come later) or entered it (they were behind it). Hence the token of the *first* reading
is where the next page begins: what has entered comes again there, and nothing is skipped.

An ongoing sync goes on from where the first walk ended: with both feeds in turn, that of customers and that of their
contacts, see ``index``; what either names is read whole, merged and inactive customers too.

Source: ``VENDOR.md``, chapters 4 (export feeds) and 5.1.
"""

from collections.abc import Sequence
from datetime import datetime

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from gateway.sdk.connection import Connection
from gateway.sdk.errors import NotSupported
from gateway_schemas.records import Record
from gateway_schemas.sync import ContactPage, ContactSelection
from gateway_servicetitan import index, reads
from gateway_servicetitan.client import ServiceTitan
from gateway_servicetitan.errors import Forbidden, RefusedInput
from gateway_servicetitan.models import Customer
from gateway_servicetitan.records import customer_record

SLICE = 200
"""Customers that one page of ours holds at most: four calls for their contacts."""


class Place(Struct, frozen=True, omit_defaults=True, tag="all"):
    """Where a walk through all customers stands.

    Attributes:
        began: When the walk began.
        start: Token with which the page of the feed is read; null at the beginning.
        following: Token of the next page, as of the first reading of this one.
        more: Another page of the feed waits behind this one, as of then.
        after: The highest id that was handed on from this page.
        restarts: How often a token was refused.
    """

    began: datetime
    start: str | None = None
    following: str | None = None
    more: bool = False
    after: int = 0
    restarts: int = 0


async def read_contacts(connection: Connection, selection: ContactSelection, checkpoint: str | None) -> ContactPage:
    """Read one page of customers with their e-mail addresses; merged and inactive ones are told of by their state.

    Raises:
        NotSupported: A saved filter was asked for, and ServiceTitan has none; or the account hides its customers.
        Rejected: Tokens are refused again and again.
    """
    if selection.filter is not None:
        raise NotSupported("ServiceTitan has no saved filters of customers; all of them are read")
    client = ServiceTitan(connection)
    place = _read(checkpoint, connection.now())
    if isinstance(place, index.Place):
        return await _changes(client, place, connection.now())
    try:
        return await _all(client, place)
    except Forbidden as refused:
        raise NotSupported(f"ServiceTitan does not show its list of contacts: {refused}") from refused


async def _all(client: ServiceTitan, place: Place) -> ContactPage:
    try:
        page = await client.customer_feed(place.start)
    except RefusedInput as refused:
        if place.start is None:
            raise
        index.refuse_again(place.restarts, refused)
        # How long a token lives is not documented: walk again from the beginning, which repeats and loses nothing.
        place = Place(place.began, restarts=place.restarts + 1)
        page = await client.customer_feed(None)
    if place.following is None:
        token = index.following(page, place.start, place.began)
        place = replace(place, following=token, more=bool(page.has_more))
    waiting = sorted({one.id: one for one in page.rows if one.id > place.after}.values(), key=lambda one: one.id)
    chosen = waiting[:SLICE]
    contacts = await _records(client, chosen)
    if len(waiting) > SLICE:
        following = replace(place, after=chosen[-1].id)
    elif place.more:
        following = Place(place.began, start=place.following, restarts=place.restarts)
    else:
        # What changed since is at the end of the feed; contacts that changed are in another one.
        later = index.Place(place.began, customers=place.following)
        return ContactPage(contacts=contacts, checkpoint=None, resume=_write(later))
    return ContactPage(contacts=contacts, checkpoint=_write(following))


async def _changes(client: ServiceTitan, place: index.Place, now: datetime) -> ContactPage:
    records, following, at_end = await index.read(client, place, now)
    if at_end:
        return ContactPage(contacts=records, checkpoint=None, resume=_write(following))
    return ContactPage(contacts=records, checkpoint=_write(following))


async def _records(client: ServiceTitan, found: Sequence[Customer]) -> list[Record]:
    """Return customers with their contacts; those of merged and inactive ones nobody needs, so they are not read."""
    alive = [str(one.id) for one in found if one.active is not False and one.merged_to_id is None]
    contacts = reads.by_customer(await client.contacts_of(alive))
    return [customer_record(one, contacts.get(one.id, [])) for one in found]


def _write(place: Place | index.Place) -> str:
    return msgspec.json.encode(place).decode()


def _read(checkpoint: str | None, now: datetime) -> Place | index.Place:
    """Return a stored place; one that cannot be read begins a whole walk."""
    if checkpoint:
        try:
            return msgspec.json.decode(checkpoint, type=Place | index.Place)
        except msgspec.DecodeError:
            pass
    return Place(now)
