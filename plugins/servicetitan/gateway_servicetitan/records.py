"""ServiceTitan's objects as records in our terms. Pure.

Facts are what a job is or has provably been: ``converted`` when it came of a booking, ``status`` with the status that
it is in, and *Completed* of a job that carries the time of its completion though it was opened again.

Source: ``VENDOR.md``, chapters 5.1, 7.3, 8 and 9.
"""

import re
from collections.abc import Sequence
from decimal import Decimal

from gateway_schemas.base import FieldValue
from gateway_schemas.records import Fact, Record, RecordRef
from gateway_servicetitan.fields import ADDRESS_KEYS, custom_key
from gateway_servicetitan.models import Booking, Customer, CustomerContact, CustomValue, Invoice, Job, amount, aware
from gateway_servicetitan.triggers import status_named

CONVERTED = "converted"
DISMISSED = "dismissed"
PHONES = ("MobilePhone", "Phone", "LandlinePhone")
"""Kinds of contact that are telephone numbers, the best first; the last one stood in older documents."""


def booking_ref(number: int | str) -> RecordRef:
    """Return where a booking is."""
    return RecordRef(kind="booking", id=str(number))


def job_ref(number: int | str) -> RecordRef:
    """Return where a job is."""
    return RecordRef(kind="job", id=str(number))


def customer_ref(number: int | str) -> RecordRef:
    """Return where a customer is."""
    return RecordRef(kind="customer", id=str(number))


def booking_record(booking: Booking, reasons: dict[int, str] | None = None) -> Record:
    """Return a booking.

    Its state is ``converted`` as soon as it names a job, whatever its status says; a dismissed one may still become a
    job later, and *Accepted* alone is none.

    Args:
        booking: As read.
        reasons: Names of call reasons, to say why it was dismissed.
    """
    status = (booking.status or "").casefold()
    state = CONVERTED if booking.job_id is not None else status or "new"
    reason = (reasons or {}).get(booking.dismissing_reason_id or -1)
    fields: dict[str, FieldValue] = {
        "name": booking.name,
        "source": booking.source,
        "summary": booking.summary,
        "externalId": booking.external_id,
        "isFirstTimeClient": booking.is_first_time_client,
        "campaignId": _text(booking.campaign_id),
        "businessUnitId": _text(booking.business_unit_id),
        "jobTypeId": _text(booking.job_type_id),
        "priority": booking.priority,
        "status": booking.status,
        "job": _text(booking.job_id),
    }
    return Record(
        ref=booking_ref(booking.id),
        state=state,
        fields=_filled(fields),
        created_at=aware(booking.created_on),
        updated_at=aware(booking.modified_on),
        value_ready=False,
        note=_dismissal(reason) if state == DISMISSED else None,
    )


def job_record(job: Job, *, booking: int | None = None, invoices: Sequence[Invoice] | None = None) -> Record:
    """Return a job with its facts; the booking that became it is its origin.

    Args:
        job: As read.
        booking: The booking that names this job, for a job that does not name it back.
        invoices: Its invoices; ``None`` when they were not read.
    """
    status = status_named(job.job_status)
    origin = job.booking_id if job.booking_id is not None else booking
    fields: dict[str, FieldValue] = {
        "number": job.job_number,
        "status": status or job.job_status,
        "total": _plain(job.total),
        "no_charge": job.no_charge,
        **_totals(invoices),
        **_custom(job.custom_fields),
    }
    return Record(
        ref=job_ref(job.id),
        state=_word(status or job.job_status or "unknown"),
        fields=_filled(fields),
        facts=job_facts(job, has_origin=origin is not None),
        origin=booking_ref(origin) if origin is not None else None,
        contact=customer_ref(job.customer_id) if job.customer_id is not None else None,
        created_at=aware(job.created_on),
        updated_at=aware(job.modified_on),
        # Until then the invoice stands at 0.00. A job that was completed and opened again counts on.
        value_ready=status == "Completed",
    )


def job_facts(job: Job, *, has_origin: bool) -> list[Fact]:
    """Return what a job is, and has provably been."""
    facts: list[Fact] = []
    if has_origin:
        facts.append(Fact(name="converted", at=aware(job.created_on)))
    status = status_named(job.job_status)
    completed = aware(job.completed_on)
    if status is not None:
        facts.append(
            Fact(name="status", value=status, at=completed if status == "Completed" else aware(job.modified_on))
        )
    # Whether a canceled job carries this time too is not documented.
    if completed is not None and status not in ("Completed", "Canceled"):
        facts.append(Fact(name="status", value="Completed", at=completed))
    return facts


def customer_record(customer: Customer, contacts: Sequence[CustomerContact]) -> Record:
    """Return a customer with its first e-mail address and telephone number; all addresses stand in ``emails``.

    A state tells those who are not to be used: ``merged`` (``merged_into`` names the survivor) and ``inactive``.
    """
    alive = [one for one in contacts if one.active is not False and (one.value or "").strip()]
    emails = emails_of(alive)
    address = customer.address
    first, _, last = (customer.name or "").strip().partition(" ")
    fields: dict[str, FieldValue] = {
        "name": customer.name,
        "first_name": first or None,
        "last_name": last.strip() or None,
        "email": emails[0] if emails else None,
        "emails": [*emails],
        "phone": _phone(alive),
        "type": customer.type,
        "do_not_mail": customer.do_not_mail,
        **{f"address.{key}": getattr(address, key) for key in ADDRESS_KEYS if address is not None},
        **_custom(customer.custom_fields),
    }
    merged = customer.merged_to_id
    return Record(
        ref=customer_ref(customer.id),
        state="merged" if merged is not None else "inactive" if customer.active is False else "open",
        fields=_filled(fields),
        created_at=aware(customer.created_on),
        updated_at=aware(customer.modified_on),
        merged_into=str(merged) if merged is not None else None,
        value_ready=False,
    )


def emails_of(contacts: Sequence[CustomerContact]) -> list[str]:
    """Return the e-mail addresses among contacts that are not deleted, the oldest first, each once."""
    found = [
        one.value.strip()
        for one in sorted(contacts, key=lambda one: one.id)
        if one.type == "Email" and one.active is not False and one.value and one.value.strip()
    ]
    return list({value.casefold(): value for value in reversed(found)}.values())[::-1]


def _dismissal(reason: str | None) -> str:
    why = f": {reason}" if reason else ", and no reason was given"
    return f"The booking was dismissed in ServiceTitan{why}."


def _phone(contacts: Sequence[CustomerContact]) -> str | None:
    numbers = [one for one in contacts if one.type in PHONES]
    best = min(numbers, key=lambda one: (PHONES.index(one.type or ""), one.id), default=None)
    return best.value if best is not None else None


def _totals(invoices: Sequence[Invoice] | None) -> dict[str, FieldValue]:
    """Return the sums over a job's invoices: adjustments are invoices of their own."""
    if invoices is None:
        return {}
    counting = [one for one in invoices if one.active is not False]
    sums: dict[str, FieldValue] = {}
    for key, values in (
        ("invoice_total", [amount(one.total) for one in counting]),
        ("invoice_subtotal", [amount(one.sub_total) for one in counting]),
    ):
        known = [value for value in values if value is not None]
        sums[key] = _plain(sum(known, Decimal(0))) if known else None
    return sums


def _custom(values: Sequence[CustomValue] | None) -> dict[str, FieldValue]:
    return {
        custom_key(one.type_id): str(one.value)
        for one in values or []
        if one.value not in (None, "") and not isinstance(one.value, dict | list)
    }


def _plain(value: Decimal | None) -> str | None:
    """Return an exact amount as text: a float would not be exact."""
    return None if value is None else format(value, "f")


def _word(status: str) -> str:
    """Return ``in_progress`` for ``InProgress``."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])|\s+", "_", status).casefold()


def _text(number: int | None) -> str | None:
    return None if number is None else str(number)


def _filled(fields: dict[str, FieldValue]) -> dict[str, FieldValue]:
    return {key: value for key, value in fields.items() if value is not None}
