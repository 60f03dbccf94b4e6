"""The feed of contacts, for the gateway's contact index and for merged customers.

Two export feeds in turn. The feed of customers is walked first, from the beginning to its end, 50 customers' contacts
at a time. It does not see changes of contacts, so the feed of contacts follows: from a day before the walk began, since
all that is older was read with its customer. What a page of either names is read whole, so that what is kept of a
customer is always all that there is, whichever feed spoke last.

Source: ``VENDOR.md``, chapters 4 (export feeds), 5.1 and 5.2.
"""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any, Literal

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from gateway.sdk.errors import NotSupported, Rejected
from gateway.sdk.polling import ChangePage
from gateway_schemas.records import ContactSeen, Record, RecordChange
from gateway_servicetitan import reads
from gateway_servicetitan.client import ServiceTitan, stamp
from gateway_servicetitan.errors import Forbidden, RefusedInput
from gateway_servicetitan.models import Export, aware
from gateway_servicetitan.records import customer_record

BACK = timedelta(days=1)
"""How far before its last known change a feed begins whose token there is none, or is refused."""

RESTARTS = 5
"""How often in a walk tokens may be refused; a day later it is tried again. How long one lives is not documented."""

Thing = Literal["customers", "contacts"]


class Place(Struct, frozen=True, omit_defaults=True, tag="changes"):
    """Where the two feeds stand.

    Attributes:
        turn: Which one is read next.
        began: When the walk began.
        customers / contacts: The vendor's tokens; null before the first page.
        restarts: How often tokens were refused since both feeds were at their ends.
        restarted: When one was refused last.
        customers_newest / contacts_newest: The highest time of change that each feed told of, to begin it again from
            when its token is refused; the one says nothing of how far the other was read.
    """

    began: datetime
    turn: Thing = "customers"
    customers: str | None = None
    contacts: str | None = None
    customers_newest: datetime | None = None
    contacts_newest: datetime | None = None
    restarts: int = 0
    restarted: datetime | None = None


async def poll(client: ServiceTitan, checkpoint: str | None, now: datetime) -> ChangePage:
    """Read one page of the feed whose turn it is.

    Raises:
        NotSupported: The account does not show its customers.
    """
    records, following, at_end = await read(client, read_place(checkpoint, now), now)
    return ChangePage(
        changes=[
            RecordChange(ref=one.ref, merged_into=one.merged_into, occurred_at=one.updated_at)
            for one in records
            if one.merged_into is not None
        ],
        contacts=[_seen(one) for one in records],
        checkpoint=msgspec.json.encode(following).decode(),
        more=not at_end,
    )


async def read(client: ServiceTitan, place: Place, now: datetime) -> tuple[list[Record], Place, bool]:
    """Read one page: customers as they are now, where to go on, and whether both feeds are at their end.

    Raises:
        Rejected: Tokens are refused again and again.
        NotSupported: The account does not show its customers.
    """
    try:
        page, place = await _page(client, place, now)
        records = await _whole(client, place.turn, page)
    except Forbidden as refused:
        raise NotSupported(f"ServiceTitan does not show its list of contacts: {refused}") from refused
    following, at_end = advance(place, page)
    return records, following, at_end


def read_place(checkpoint: str | None, now: datetime) -> Place:
    """Return a stored place; one that cannot be read begins anew."""
    if checkpoint:
        try:
            return msgspec.json.decode(checkpoint, type=Place)
        except msgspec.DecodeError:
            pass
    return Place(began=now)


def advance(place: Place, page: Export[Any]) -> tuple[Place, bool]:
    """Return where to go on, and whether both feeds are at their end: that of contacts is read after the other."""
    at_end, newest = not page.has_more, _newest(place)
    seen = [moment for row in page.rows if (moment := aware(row.modified_on)) is not None]
    newest = max([*seen, *([newest] if newest is not None else [])], default=None)
    before = place.customers if place.turn == "customers" else place.contacts
    token = following(page, before, place.began)
    if place.turn == "customers":
        turn: Thing = "contacts" if at_end else "customers"
        return replace(place, turn=turn, customers=token, customers_newest=newest), False
    place = replace(place, contacts=token, contacts_newest=newest)
    return (replace(place, turn="customers", restarts=0, restarted=None), True) if at_end else (place, False)


def following(page: Export[Any], before: str | None, began: datetime) -> str:
    """Return where a feed goes on after a page: at its end where it was before, or by time, if it names no place."""
    return page.continue_from or before or stamp(began - BACK)


def _newest(place: Place) -> datetime | None:
    return place.customers_newest if place.turn == "customers" else place.contacts_newest


async def _page(client: ServiceTitan, place: Place, now: datetime) -> tuple[Export[Any], Place]:
    token = place.customers if place.turn == "customers" else place.contacts
    start = token
    if start is None and place.turn == "contacts":
        start = stamp(place.began - BACK)
    try:
        return await _read(client, place.turn, start), place
    except RefusedInput as refused:
        if token is None:
            raise
        restarts = place.restarts if place.restarted is not None and now - place.restarted < BACK else 0
        refuse_again(restarts, refused)
    # How long a token lives is not documented: begin again from before the last change that was seen.
    page = await _read(client, place.turn, stamp((_newest(place) or place.began) - BACK))
    return page, replace(place, restarts=restarts + 1, restarted=now)


def refuse_again(restarts: int, refused: RefusedInput) -> None:
    """Stop a walk whose tokens are refused again and again: it would never come to its end.

    Raises:
        Rejected: It was begun again often enough.
    """
    if restarts >= RESTARTS:
        said = f"ServiceTitan refused the place where its feed goes on {RESTARTS} times: {refused}"
        raise Rejected(said) from refused


async def _read(client: ServiceTitan, thing: Thing, start: str | None) -> Export[Any]:
    return await (client.customer_feed(start) if thing == "customers" else client.contact_feed(start))


async def _whole(client: ServiceTitan, thing: Thing, page: Export[Any]) -> list[Record]:
    """Return what a page names, each customer with all of its contacts."""
    if thing == "contacts":
        return await reads.customers(client, _named(one.customer_id for one in page.rows))
    latest = {one.id: one for one in page.rows}
    contacts = reads.by_customer(await client.contacts_of(_named(latest)))
    return [customer_record(one, contacts.get(one.id, [])) for one in latest.values()]


def _named(numbers: Iterable[int | None]) -> list[str]:
    return [str(number) for number in sorted({one for one in numbers if one is not None})]


def _seen(record: Record) -> ContactSeen:
    emails = record.fields.get("emails")
    return ContactSeen(
        id=record.ref.id,
        emails=[str(one) for one in emails] if isinstance(emails, list) else [],
        active=record.state == "open",
        merged_into=record.merged_into,
    )
