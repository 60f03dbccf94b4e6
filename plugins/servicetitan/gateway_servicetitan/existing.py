"""Is somebody a customer already? Asked by e-mail address, from what the account lets us ask.

First the gateway's contact index (``Push.existing``), which is read from the export feeds: customers have no filter by
e-mail. Then the vendor's own search of contact methods, which is newer by a few minutes and may be closed for a tenant:
its 403 falls back to the index alone. What either says is read again before it is believed: a customer may have been
merged, made inactive, or have lost the address since.

Source: ``vendor/servicetitan.md``, chapters 5.1 and 6.
"""

from gateway.sdk.connection import Connection, Push
from gateway_schemas.records import RecordRef
from gateway_servicetitan.client import ServiceTitan
from gateway_servicetitan.errors import Forbidden
from gateway_servicetitan.manifest import SEARCH_SCOPE
from gateway_servicetitan.models import Customer

MOST_MERGES = 5
"""How far a chain of merged customers is followed."""


class Existing:
    """What was found out about an e-mail address.

    Attributes:
        customers: Active customers that have it, the oldest first.
        searched: The vendor's own search was asked; false: it is closed, so the index alone has spoken.
    """

    def __init__(self, customers: list[Customer], *, searched: bool) -> None:
        self.customers = customers
        self.searched = searched


async def look(connection: Connection, client: ServiceTitan, push: Push) -> Existing:
    """Return the active customers with the push's e-mail address."""
    wanted = push.email.casefold()
    told = [ref.id for ref in (*push.existing, *push.known) if ref.kind == "customer"]
    found = await _alive(client, told)
    kept = [one for one in found if await _has_email(client, one, wanted)]
    if kept:
        return Existing(kept, searched=False)
    try:
        searched = await _searched(connection, client, wanted)
    except Forbidden:
        return Existing([], searched=False)
    return Existing(await _alive(client, searched or []), searched=searched is not None)


async def _searched(connection: Connection, client: ServiceTitan, email: str) -> list[str] | None:
    """Return ids of customers by the vendor's search; ``None`` when the scope for it was not granted."""
    if connection.granted and SEARCH_SCOPE not in connection.granted:
        return None
    hits = await client.contact_methods(email)
    contacts = dict.fromkeys(one.contact_id for one in hits if (one.value or "").strip().casefold() == email)
    return [customer for contact in contacts for customer in await client.customers_of_contact(contact)]


async def _alive(client: ServiceTitan, wanted: list[str]) -> list[Customer]:
    """Read customers and follow merges; inactive ones are left out, the oldest comes first."""
    alive: dict[int, Customer] = {}
    for _ in range(MOST_MERGES):
        if not wanted:
            break
        read = await client.customers(wanted)
        alive |= {one.id: one for one in read if one.active is not False and one.merged_to_id is None}
        wanted = [str(one.merged_to_id) for one in read if one.merged_to_id is not None]
    return [alive[number] for number in sorted(alive)]


async def _has_email(client: ServiceTitan, customer: Customer, wanted: str) -> bool:
    contacts = await client.contacts_of([str(customer.id)])
    return any((one.value or "").strip().casefold() == wanted and one.active is not False for one in contacts)


def refs(customers: list[Customer]) -> list[RecordRef]:
    """Return where these customers are."""
    return [RecordRef(kind="customer", id=str(one.id)) for one in customers]
