"""Is somebody a customer already? Asked by e-mail address, from what the account lets us ask.

The gateway keeps an index of the contacts (see ``index``), since customers have no filter by e-mail; beside it the
vendor's own search of contact methods is asked, which is newer by a few minutes and may be closed for a tenant. What
either says is read again just before a booking is made: a customer may have been merged, made inactive, or have lost
the address since.

Source: ``VENDOR.md``, chapters 5.1 and 6.
"""

from collections.abc import Iterable

from gateway.sdk.connection import Connection
from gateway.sdk.errors import NotSupported
from gateway_schemas.records import RecordRef
from gateway_servicetitan.client import ServiceTitan
from gateway_servicetitan.errors import Forbidden
from gateway_servicetitan.manifest import SEARCH_SCOPE
from gateway_servicetitan.models import Customer
from gateway_servicetitan.reads import by_customer
from gateway_servicetitan.records import customer_ref, emails_of

MOST_MERGES = 5
"""How far a chain of merged customers is followed."""


async def find_contacts(connection: Connection, email: str) -> list[RecordRef]:
    """Return the customers with this e-mail address by the vendor's search of contact methods, the oldest first.

    How the vendor compares is not documented, so what it finds is compared here, without case and blanks.

    Raises:
        NotSupported: The scope for it was not granted, or the search is closed for this tenant.
    """
    if connection.granted and SEARCH_SCOPE not in connection.granted:
        raise NotSupported(f"ServiceTitan's contacts may not be searched: the scope “{SEARCH_SCOPE}” was not granted")
    client, wanted = ServiceTitan(connection), email.casefold()
    try:
        hits = await client.contact_methods(email)
        contacts = dict.fromkeys(one.contact_id for one in hits if (one.value or "").strip().casefold() == wanted)
        named = [customer for contact in contacts for customer in await client.customers_of_contact(contact)]
    except Forbidden as refused:
        raise NotSupported(f"ServiceTitan's contacts may not be searched: {refused}") from refused
    return [customer_ref(one.id) for one in await _alive(client, named)]


async def still_there(client: ServiceTitan, told: Iterable[RecordRef], email: str) -> list[RecordRef]:
    """Return which of these customers are active now and have this address, the oldest first; merges are followed."""
    found = await _alive(client, [ref.id for ref in told if ref.kind == "customer"])
    contacts = by_customer(await client.contacts_of([str(one.id) for one in found])) if found else {}
    wanted = email.casefold()
    return [
        customer_ref(one.id)
        for one in found
        if any(value.casefold() == wanted for value in emails_of(contacts.get(one.id, [])))
    ]


async def _alive(client: ServiceTitan, wanted: list[str]) -> list[Customer]:
    """Read customers and follow merges; inactive ones are left out."""
    alive: dict[int, Customer] = {}
    for _ in range(MOST_MERGES):
        if not wanted:
            break
        read = await client.customers(wanted)
        alive |= {one.id: one for one in read if one.active is not False and one.merged_to_id is None}
        wanted = [str(one.merged_to_id) for one in read if one.merged_to_id is not None]
    return [alive[number] for number in sorted(alive)]
