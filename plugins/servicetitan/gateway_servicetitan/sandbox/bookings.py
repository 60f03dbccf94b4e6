"""Bookings: through the booking provider, and tenant-wide for connections without a restriction.

Source: ``VENDOR.md``, chapter 7. Refused here though the vendor does not say how: ids of campaigns,
business units and job types that are not there or inactive.
"""

from datetime import timedelta
from typing import Any

from gateway_servicetitan.sandbox import shapes
from gateway_servicetitan.sandbox.calls import Call, Operations, found, listed, read_list
from gateway_servicetitan.sandbox.checks import (
    Check,
    boolean,
    check_body,
    ids,
    instant,
    integer,
    maybe_text,
    nullable,
    one_of,
    refused,
    text,
    words,
)
from gateway_servicetitan.sandbox.errors import VendorError, forbidden, not_found, problem
from gateway_servicetitan.sandbox.state import Booking, BookingContact

Json = dict[str, Any]
operations = Operations()
READ, WRITE = "tn.crm.bookings:r", "tn.crm.bookings:w"
PATH = "booking-provider/{provider}/bookings"

CONTACT: dict[str, Check] = {
    "type": one_of("Phone", "Email", "Fax", "MobilePhone"),
    "value": text,
    "memo": nullable(maybe_text),
}
ADDRESS: dict[str, Check] = dict.fromkeys(("street", "city", "state", "zip", "country"), text) | {
    "unit": nullable(maybe_text)
}
NEEDED = frozenset({"source", "name", "summary", "isFirstTimeClient", "externalId"})


def _contacts(value: Any) -> str | None:
    if not isinstance(value, list):
        return "The value must be an array."
    wrong = [check_body(one, CONTACT, frozenset({"type", "value"})) for one in value]
    return next((f"{key}: {message}" for errors in wrong for key, message in errors.items()), None)


def _address(value: Any) -> str | None:
    wrong = check_body(value, ADDRESS, frozenset(ADDRESS) - {"unit"})
    return next((f"{key}: {message}" for key, message in wrong.items()), None)


def _texts(value: Any) -> str | None:
    good = isinstance(value, list) and all(isinstance(one, str) for one in value)
    return None if good else "The value must be an array of strings."


SHAPE: dict[str, Check] = {
    "source": text,
    "name": text,
    "summary": text,
    "isFirstTimeClient": boolean,
    "externalId": text,
    "contacts": nullable(_contacts),
    "address": nullable(_address),
    "customerType": nullable(one_of("Residential", "Commercial")),
    "start": nullable(instant),
    "campaignId": nullable(integer),
    "businessUnitId": nullable(integer),
    "jobTypeId": nullable(integer),
    "priority": nullable(one_of("Low", "Normal", "High", "Urgent")),
    "uploadedImages": nullable(_texts),
    "isSendConfirmationEmail": nullable(boolean),
}


@operations.add("GET", "crm", PATH, READ)
def list_bookings(call: Call) -> Json:
    """List the bookings of our provider."""
    provider = _provider(call)
    return _list(call, [one for one in call.tenant.bookings.values() if one.provider == provider])


@operations.add("GET", "crm", "bookings", READ)
def list_all(call: Call) -> Json:
    """List bookings of every provider: not for a connection that is restricted to one."""
    if call.access.provider is not None:
        raise forbidden()
    return _list(call, list(call.tenant.bookings.values()))


def _list(call: Call, rows: list[Booking]) -> Json:
    asked = read_list(call, {"ids": ids, "externalId": words})
    now = call.sandbox.now()
    rows = [
        one
        for one in rows
        if one.visible <= now
        and ("ids" not in asked or one.id in asked["ids"])
        and ("externalId" not in asked or one.body["externalId"].casefold() == asked["externalId"].casefold())
    ]
    return listed(call, asked, rows, shapes.booking)


@operations.add("POST", "crm", PATH, WRITE)
def create_booking(call: Call) -> Json:
    """Make a booking: answered with 200, without its contacts; a repeated external id is not refused."""
    provider = _provider(call)
    body = call.body
    errors = check_body(body, SHAPE, NEEDED)
    if not errors:
        errors |= _unknown_ids(call, body)
        if not body.get("contacts") and not body.get("address"):
            errors["contacts"] = "Either an address or a phone or e-mail is required."
    if errors:
        raise refused(errors)
    now = call.sandbox.now()
    state = call.sandbox.state
    contacts = [
        BookingContact(state.next_id("booking contact", 7001), one["type"], one["value"], one.get("memo"), now)
        for one in body.get("contacts") or []
    ]
    visible = now + timedelta(seconds=call.sandbox.options.list_lag)
    booking = Booking(state.next_id("booking", 5001), provider, dict(body), contacts, now, now, visible)
    call.tenant.bookings[booking.id] = booking
    return shapes.booking(booking)


@operations.add("GET", "crm", PATH + "/{id}", READ)
def get_booking(call: Call) -> Json:
    """Show one booking of our provider."""
    return shapes.booking(_one(call))


@operations.add("PATCH", "crm", PATH + "/{id}", WRITE)
def patch_booking(call: Call) -> Json:
    """Change a booking that was neither booked nor dismissed (else 409, which is documented without a text)."""
    booking = _one(call)
    shape = {key: check for key, check in SHAPE.items() if key not in ("contacts", "isSendConfirmationEmail")}
    errors = check_body(call.body, shape, frozenset()) or _unknown_ids(call, call.body)
    if errors:
        raise refused(errors)
    if booking.status in ("Converted", "Dismissed"):
        raise VendorError(409, problem(409))
    booking.body |= call.body
    call.sandbox.touch_booking(call.tenant, booking)
    return shapes.booking(booking)


@operations.add("GET", "crm", PATH + "/{id}/contacts", READ)
def booking_contacts(call: Call) -> Json:
    """List the contacts of a booking."""
    booking = _one(call)
    rows = booking.contacts
    return {
        "page": 1,
        "pageSize": 50,
        "hasMore": False,
        "totalCount": None,
        "data": [shapes.booking_contact(one) for one in rows],
    }


@operations.add("POST", "crm", PATH + "/{id}/dismiss", WRITE)
def dismiss(call: Call) -> None:
    """Dismiss a booking."""
    body = call.body or {}
    errors = check_body(body, {"callReasonId": nullable(integer), "dismissingMemo": nullable(maybe_text)}, frozenset())
    if errors:
        raise refused(errors)
    call.sandbox.dismiss(call.tenant, _one(call), body.get("callReasonId"))


def _one(call: Call) -> Booking:
    provider = _provider(call)
    booking = found(call.tenant.bookings, call.number("id"))
    if booking.provider != provider:
        raise not_found()
    return booking


def _provider(call: Call) -> int:
    """Return the provider of the path, unless the connection is restricted to another one."""
    given = call.path["provider"]
    known = given.isdecimal() and int(given) in call.tenant.providers
    if not known or call.access.provider not in (None, int(given)):
        status = call.sandbox.options.provider_refusal
        raise VendorError(status, problem(status))
    return int(given)


def _unknown_ids(call: Call, body: Json) -> dict[str, str]:
    lists = {
        "campaignId": call.tenant.campaigns,
        "businessUnitId": call.tenant.business_units,
        "jobTypeId": call.tenant.job_types,
    }
    return {
        key: f"{key} {body[key]} does not exist or is inactive."
        for key, rows in lists.items()
        if body.get(key) is not None and not (body[key] in rows and rows[body[key]].active)
    }
