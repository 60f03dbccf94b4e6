"""ServiceTitan's API as this plugin uses it.

Bookings go through the path of the connection's booking provider alone: a connection made with a booking provider tag
may not use the tenant-wide calls. What the connection cannot live without (bookings, jobs) asks for a new authorisation
when it is forbidden, so that what waits goes out when the administrator has allowed the app again; the rest says
``Forbidden``, and its caller does without.

Source: ``VENDOR.md``, chapters 3 (booking provider restriction) and 5 to 10 (the calls).
"""

from collections.abc import Awaitable, Sequence
from datetime import UTC, datetime
from typing import TypeVar

from gateway.sdk.errors import ReauthRequired, RecordGone
from gateway_servicetitan.errors import Forbidden
from gateway_servicetitan.models import (
    Booking,
    BusinessUnit,
    ContactMethod,
    Customer,
    CustomerContact,
    CustomFieldType,
    Export,
    Invoice,
    Job,
    JobType,
    Named,
    Page,
    Relationship,
)
from gateway_servicetitan.wire import Params, Wire, read

T = TypeVar("T")
ANY = {"active": "Any"}
"""Lists hold active records only unless they are asked for all."""


class ServiceTitan(Wire):
    """The calls of one connection."""

    # Bookings, through the booking provider

    async def bookings_page(self, params: Params, *, number: int, size: int) -> Page[Booking]:
        """Return one page of our provider's bookings."""
        return await _needed(self.page("crm", self._bookings, Booking, params, number=number, size=size))

    async def bookings(self, wanted: Sequence[str]) -> list[Booking]:
        """Return bookings by id; those of other providers are not there for us."""
        return await _needed(self.by_ids("crm", self._bookings, Booking, wanted))

    async def bookings_called(self, external_id: str) -> list[Booking]:
        """Return the bookings with exactly this external id, the oldest first.

        The vendor is not known to refuse a second one, and how it compares is not documented: so it is compared here.
        """
        found = await _needed(self.all("crm", self._bookings, Booking, {"externalId": external_id}))
        return sorted((one for one in found if one.external_id == external_id), key=lambda one: one.id)

    async def create_booking(self, body: Params) -> Booking:
        """Make a booking; the answer is a 200 and holds no contacts."""
        return read(await _needed(self.send("POST", "crm", self._bookings, json=body)), Booking)

    @property
    def _bookings(self) -> str:
        return f"booking-provider/{self.provider}/bookings"

    # Jobs and invoices

    async def jobs(self, wanted: Sequence[str]) -> list[Job]:
        """Return jobs by id."""
        return await _needed(self.by_ids("jpm", "jobs", Job, wanted))

    async def jobs_of_booking(self, booking_id: str) -> list[Job]:
        """Return the jobs that name this booking."""
        return await _needed(self.all("jpm", "jobs", Job, {"bookingId": booking_id}))

    async def jobs_page(self, params: Params, *, number: int, size: int) -> Page[Job]:
        """Return one page of the tenant's jobs."""
        return await _needed(self.page("jpm", "jobs", Job, params, number=number, size=size))

    async def invoices_of_job(self, job_id: str) -> list[Invoice]:
        """Return a job's invoices, adjustments too."""
        return await self.all("accounting", "invoices", Invoice, {"jobId": job_id})

    # Customers and their contacts

    async def customers(self, wanted: Sequence[str]) -> list[Customer]:
        """Return customers by id, inactive and merged ones too."""
        return await self.by_ids("crm", "customers", Customer, wanted, ANY)

    async def contacts_of(self, wanted: Sequence[str]) -> list[CustomerContact]:
        """Return the contacts of these customers; deleted ones are not listed."""
        return await self.by_ids("crm", "customers/contacts", CustomerContact, wanted, name="customerIds")

    async def customer_feed(self, start: str | None) -> Export[Customer]:
        """Return one page of the feed of customers."""
        return await self.export("crm", "customers", Customer, start)

    async def contact_feed(self, start: str | None) -> Export[CustomerContact]:
        """Return one page of the feed of contacts, deleted ones too."""
        return await self.export("crm", "customers/contacts", CustomerContact, start)

    async def contact_methods(self, email: str) -> list[ContactMethod]:
        """Search contacts by e-mail; how the vendor compares is not documented."""
        params = {"type": "Email", "value": email}
        return await self.all("crm", "contacts/contact-methods", ContactMethod, params)

    async def customers_of_contact(self, contact_id: str) -> list[str]:
        """Return the ids of the customers whose contact this is."""
        path = f"contacts/{contact_id}/relationships"
        try:
            found = await self.all("crm", path, Relationship, {"typeSlug": "customer"})
        except RecordGone:
            return []
        return [str(one.related_entity_id) for one in found if (one.type_slug or "customer").casefold() == "customer"]

    # Lists to choose from

    async def business_units(self) -> list[BusinessUnit]:
        """Return the active business units."""
        return await self.all("settings", "business-units", BusinessUnit, {"active": "True"})

    async def job_types(self) -> list[JobType]:
        """Return the active job types."""
        return await self.all("jpm", "job-types", JobType, {"active": "True"})

    async def campaigns(self) -> list[Named]:
        """Return the active marketing campaigns."""
        return await self.all("marketing", "campaigns", Named, {"active": "True"})

    async def call_reasons(self) -> list[Named]:
        """Return the call reasons, which say why a booking was dismissed."""
        return await self.all("jbce", "call-reasons", Named, {"active": "Any"})

    async def customer_fields(self) -> list[CustomFieldType]:
        """Return the custom fields of customers."""
        return await self.all("crm", "customers/custom-fields", CustomFieldType)

    async def job_fields(self) -> list[CustomFieldType]:
        """Return the custom fields of jobs."""
        return await self.all("jpm", "jobs/custom-fields", CustomFieldType)


def stamp(moment: datetime) -> str:
    """Write a time as the vendor's filters take it: RFC 3339 in UTC."""
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


async def _needed(call: Awaitable[T]) -> T:
    """Await a call that the connection cannot live without.

    Raises:
        ReauthRequired: It is forbidden, or the booking provider is not there (lists answer no 404 otherwise): what
            waits is kept until the administrator has allowed the app again.
    """
    try:
        return await call
    except (Forbidden, RecordGone) as refused:
        message = f"{refused} Allow the app again in ServiceTitan, then authorise the connection again."
        raise ReauthRequired(message) from refused
