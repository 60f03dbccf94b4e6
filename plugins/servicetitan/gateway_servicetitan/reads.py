"""Read records again, and find the jobs that came of a booking: the state of a record decides, not the message."""

from collections.abc import Sequence

from gateway.sdk.connection import Connection
from gateway.sdk.errors import RecordGone
from gateway_schemas.records import Record, RecordRef
from gateway_servicetitan.client import ServiceTitan
from gateway_servicetitan.errors import Forbidden
from gateway_servicetitan.manifest import INVOICE_SCOPE
from gateway_servicetitan.models import Booking, CustomerContact, Job
from gateway_servicetitan.records import booking_record, customer_record, job_record


async def read_records(connection: Connection, refs: Sequence[RecordRef]) -> list[Record]:
    """Return the records that exist, up to 50 of each kind in a call; missing ones are left out.

    A booking of another provider is missing for us. Customers come with their addresses, merged and inactive ones too.
    """
    client = ServiceTitan(connection)
    wanted: dict[str, list[str]] = {}
    for ref in dict.fromkeys(refs):
        wanted.setdefault(ref.kind, []).append(ref.id)
    records = await bookings(client, await client.bookings(wanted.get("booking", [])))
    records += await jobs(connection, client, await client.jobs(wanted.get("job", [])))
    return records + await customers(client, wanted.get("customer", []))


async def find_related(connection: Connection, ref: RecordRef) -> list[Record]:
    """Return the job that a booking became, by what the booking names and by what names the booking.

    Nothing is looked for below a customer: its jobs are no proof of a referral, only those of our booking are.
    """
    if ref.kind != "booking" or not ref.id.isdecimal():
        return []
    client = ServiceTitan(connection)
    named = [str(one.job_id) for one in await client.bookings([ref.id]) if one.job_id is not None]
    found = {job.id: job for job in (await client.jobs(named) if named else await client.jobs_of_booking(ref.id))}
    return await jobs(connection, client, list(found.values()), booking=int(ref.id))


async def bookings(client: ServiceTitan, found: Sequence[Booking]) -> list[Record]:
    """Return bookings as records; the call reasons are read when one was dismissed."""
    reasons: dict[int, str] = {}
    if any(one.dismissing_reason_id is not None for one in found):
        try:
            reasons = {one.id: one.name for one in await client.call_reasons() if one.name}
        except (Forbidden, RecordGone):
            reasons = {}
    return [booking_record(one, reasons) for one in found]


async def jobs(
    connection: Connection, client: ServiceTitan, found: Sequence[Job], *, booking: int | None = None
) -> list[Record]:
    """Return jobs as records, completed ones with what was invoiced."""
    records: list[Record] = []
    may_read = not connection.granted or INVOICE_SCOPE in connection.granted
    for job in found:
        record = job_record(job, booking=booking)
        if record.value_ready and may_read:
            try:
                record = job_record(job, booking=booking, invoices=await client.invoices_of_job(str(job.id)))
            except Forbidden:
                may_read = False
        records.append(record)
    return records


async def customers(client: ServiceTitan, wanted: Sequence[str]) -> list[Record]:
    """Return customers as records with their e-mail addresses and telephone numbers."""
    if not wanted:
        return []
    found = await client.customers(wanted)
    contacts = by_customer(await client.contacts_of([str(one.id) for one in found]))
    return [customer_record(one, contacts.get(one.id, [])) for one in found]


def by_customer(contacts: Sequence[CustomerContact]) -> dict[int, list[CustomerContact]]:
    """Return contacts by whose they are."""
    grouped: dict[int, list[CustomerContact]] = {}
    for one in contacts:
        if one.customer_id is not None:
            grouped.setdefault(one.customer_id, []).append(one)
    return grouped
