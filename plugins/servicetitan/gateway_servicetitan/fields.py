"""The fields of bookings, customers and jobs: the built-in ones are written down here, custom ones are read.

A booking has no custom fields. What is told about the person who made the referral goes into its summary, a line each:
the fields whose keys begin with ``summary.``.

Source: ``VENDOR.md``, chapters 5.1, 7.1, 8, 9 and 10.
"""

import asyncio
from collections.abc import Awaitable

from gateway.sdk.connection import Connection
from gateway.sdk.errors import NotSupported
from gateway_schemas.records import Field, FieldType, Option
from gateway_servicetitan.client import ServiceTitan
from gateway_servicetitan.errors import Forbidden
from gateway_servicetitan.models import CustomFieldType
from gateway_servicetitan.options import CUSTOMER_TYPES, PRIORITIES, list_options

LINES: dict[str, str] = {
    "summary.referrer_name": "Referred by",
    "summary.referrer_email": "Referrer's e-mail",
    "summary.referrer_code": "Referrer's code",
    "summary.referrer_link": "Referrer's link",
    "summary.referrer_id": "Referrer's id",
    "summary.code": "Referral code",
    "summary.link": "Referral link",
    "summary.campaign": "Campaign",
    "summary.note": "Note",
}
"""Lines below the summary, in their order, with what stands before the value."""

ADDRESS_KEYS = ("street", "unit", "city", "state", "zip", "country")


async def list_fields(connection: Connection, record_kind: str) -> list[Field]:
    """Return every field of a record kind.

    Raises:
        NotSupported: There is no such kind.
    """
    client = ServiceTitan(connection)
    match record_kind:
        case "booking":
            return await _booking_fields(connection)
        case "customer":
            return [*CUSTOMER_FIELDS, *await _custom(client.customer_fields())]
        case "job":
            return [*JOB_FIELDS, *await _custom(client.job_fields())]
    raise NotSupported(f"ServiceTitan has no record kind {record_kind!r}")


async def _booking_fields(connection: Connection) -> list[Field]:
    campaigns, units, types = await asyncio.gather(
        *(_listed(connection, source) for source in ("campaigns", "business_units", "job_types"))
    )
    return [
        _field("source", "Source", required=True),
        _field("name", "Name", required=True),
        _field("email", "Email", "email", required=True),
        _field("summary", "Summary", "long_text", required=True),
        _field("externalId", "External ID", required=True),
        _field("isFirstTimeClient", "Is First Time Client", "boolean", required=True),
        _field("phone", "Phone", "phone"),
        *(_field(f"address.{key}", f"Address: {key.capitalize()}") for key in ADDRESS_KEYS),
        _field("customerType", "Customer type", "option", CUSTOMER_TYPES),
        _field("campaignId", "Campaign", "option", campaigns),
        _field("businessUnitId", "Business unit", "option", units),
        _field("jobTypeId", "Job type", "option", types),
        _field("priority", "Priority", "option", PRIORITIES),
        _field("start", "Wished time", "datetime"),
        _field("isSendConfirmationEmail", "ServiceTitan sends a confirmation e-mail", "boolean"),
        *(_field(key, f"Summary: {label}", "long_text") for key, label in LINES.items()),
    ]


def _field(
    key: str, label: str, kind: FieldType = "text", options: list[Option] | None = None, *, required: bool = False
) -> Field:
    return Field(key=key, label=label, type=kind, required=required, options=options or [])


def _read_only(key: str, label: str, kind: FieldType = "text") -> Field:
    return Field(key=key, label=label, type=kind, writable=False)


CUSTOMER_FIELDS = [
    _read_only("name", "Name"),
    _read_only("first_name", "First name"),
    _read_only("last_name", "Last name"),
    _read_only("email", "Email", "email"),
    _read_only("phone", "Phone", "phone"),
    *(_read_only(f"address.{key}", f"Address: {key.capitalize()}") for key in ADDRESS_KEYS),
    _read_only("type", "Customer type"),
    _read_only("do_not_mail", "Do not mail", "boolean"),
]
"""Names come as one string; the first word of it is taken for the first name."""

JOB_FIELDS = [
    _read_only("total", "Job total", "money"),
    _read_only("invoice_total", "Invoice total, with tax", "money"),
    _read_only("invoice_subtotal", "Invoice subtotal, before tax", "money"),
    _read_only("number", "Job number"),
    _read_only("status", "Job status"),
    _read_only("no_charge", "No charge", "boolean"),
]


async def _listed(connection: Connection, source: str) -> list[Option]:
    """Return the options of a list; none when the account does not show it, which a limitation says."""
    try:
        return await list_options(connection, source, None)
    except NotSupported:
        return []


async def _custom(reading: Awaitable[list[CustomFieldType]]) -> list[Field]:
    try:
        found = await reading
    except Forbidden:
        return []
    return [
        Field(
            key=custom_key(one.id),
            label=one.name or f"Field {one.id}",
            type=_TYPES.get((one.data_type or "").casefold(), "text"),
            custom=True,
            writable=False,
            options=[Option(value=word, label=word) for word in one.data_type_options or []],
        )
        for one in found
        if one.active is not False
    ]


_TYPES: dict[str, FieldType] = {"text": "text", "dropdown": "option", "numeric": "number"}


def custom_key(type_id: int) -> str:
    """Return the key of a custom field."""
    return f"custom.{type_id}"
