"""The body of a booking: mapped values in the vendor's shape. Pure.

Source: ``VENDOR.md``, chapter 7.1. Unknown keys are refused by the vendor; a name and a telephone number,
an e-mail address or an address are needed, so the e-mail address is always sent.
"""

from collections.abc import Mapping
from typing import Any

import msgspec

from gateway.sdk.errors import Problem, Rejected
from gateway_schemas.base import FieldValue
from gateway_servicetitan.fields import ADDRESS_KEYS, LINES

Values = Mapping[str, FieldValue]
ADDRESS_NEEDED = ("street", "city", "state", "zip", "country")
ID_TAIL = 10
"""Characters of the person's id that are added to the external id: random ones, 50 bits."""

_IDS = {"campaignId": "Campaign", "businessUnitId": "Business unit", "jobTypeId": "Job type"}
_TEXTS = ("customerType", "priority", "start")


class Draft(msgspec.Struct, frozen=True):
    """A booking to be made.

    Attributes:
        body: As it is sent.
        notes: What was left out and why, sentences for the timeline.
    """

    body: dict[str, Any]
    notes: list[str]


def external_id(values: Values, reference: str) -> str:
    """Return the id by which we find a booking again: unique for each signup, and the same at each attempt.

    One code may be used by several people, so the end of the person's id is added, unless the whole id is there.
    """
    mapped = _text(values.get("externalId"))
    if mapped is None:
        return reference
    return mapped if reference in mapped else f"{mapped}-{reference[-ID_TAIL:]}"


def booking_body(values: Values, *, email: str, reference: str, country: str | None) -> Draft:
    """Return what makes a booking.

    Args:
        values: Mapped values and defaults by field key.
        email: Stands in for a missing e-mail value, and for a missing name: a signup is never lost for that.
        reference: The person's id.
        country: The account's, for an address that names none.

    Raises:
        Rejected: A value cannot be written; names its field.
    """
    first = values.get("isFirstTimeClient")
    if not isinstance(first, bool):
        raise _unfit("isFirstTimeClient", "Is First Time Client must be Yes or No")
    body: dict[str, Any] = {
        "source": _text(values.get("source")) or "Referral",
        "name": _text(values.get("name")) or email,
        "summary": summary(values),
        "isFirstTimeClient": first,
        "externalId": external_id(values, reference),
        "contacts": _contacts(values, email),
        # True makes the vendor write to the person: only where somebody chose that.
        "isSendConfirmationEmail": values.get("isSendConfirmationEmail") is True,
    }
    body |= {key: value for key in _TEXTS if (value := _text(values.get(key))) is not None}
    for key, label in _IDS.items():
        if (given := _text(values.get(key))) is not None:
            if not given.isdecimal():
                raise _unfit(key, f"{label} must be one of the list")
            body[key] = int(given)
    address, note = _address(values, country)
    if address is not None:
        body["address"] = address
    return Draft(body, [note] if note is not None else [])


def summary(values: Values) -> str:
    """Return the summary with a line for each detail of the referral."""
    head = _text(values.get("summary"))
    lines = [head] if head else []
    lines += [f"{label}: {text}" for key, label in LINES.items() if (text := _text(values.get(key))) is not None]
    return "\n".join(lines) or "Referral"


def _contacts(values: Values, email: str) -> list[dict[str, str]]:
    contacts = [{"type": "Email", "value": _text(values.get("email")) or email}]
    if (phone := _text(values.get("phone"))) is not None:
        contacts.append({"type": "Phone", "value": phone})
    return contacts


def _address(values: Values, country: str | None) -> tuple[dict[str, str | None] | None, str | None]:
    """Return the address when all that the vendor needs of it is there; else why it is left out."""
    given = {key: _text(values.get(f"address.{key}")) for key in ADDRESS_KEYS}
    if not any(given.values()):
        return None, None
    given["country"] = given["country"] or country
    missing = [key for key in ADDRESS_NEEDED if not given[key]]
    if missing:
        words = ", ".join(missing)
        return None, f"The address was left out: ServiceTitan takes one only with all its parts; missing: {words}."
    return given, None


def _text(value: FieldValue) -> str | None:
    if value is None or value in ("", []):
        return None
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _unfit(key: str, message: str) -> Rejected:
    sentence = f"{message}."
    return Rejected(sentence, [Problem(field=f"mapping.booking.{key}", message=sentence, code="unfit_value")])
