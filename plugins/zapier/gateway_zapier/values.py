"""Read what a Zap's owner filled in: texts, e-mails, amounts, times. What is wrong is said in their words. Pure."""

import re
from datetime import datetime
from decimal import Decimal

from gateway.sdk.errors import Problem, Rejected
from gateway.sdk.mapping import normalise_email
from gateway_schemas.base import Money

_NUMBER = re.compile(r"[+-]?[0-9]+(\.[0-9]+)?")
SHOWN = 40
"""Characters of a wrong value that are repeated in the message."""


def refuse(field: str, message: str, code: str = "invalid") -> Rejected:
    """Return the refusal of one input field."""
    return Rejected(message, [Problem(field=field, message=message, code=code)])


def clean(given: str | None) -> str | None:
    """Return a text without the spaces around it; an empty one counts as not given."""
    return (given or "").replace("\x00", "").strip() or None


def needed(field: str, label: str, given: str | None) -> str:
    """Return a text that is needed.

    Raises:
        Rejected: It is empty.
    """
    found = clean(given)
    if found is None:
        raise refuse(field, f"{label} is empty. Map a value to it.", "required")
    return found


def email(field: str, label: str, given: str | None) -> str:
    """Return an e-mail address as the gateway keeps it, in whatever case it came.

    Raises:
        Rejected: It is none.
    """
    found = needed(field, label, given)
    try:
        return normalise_email(found)
    except ValueError:
        raise refuse(field, f"{label} is not an e-mail address.", "invalid_email") from None


def number(field: str, given: str | float | None, *, hint: str = "") -> Decimal | None:
    """Return a plain number exactly; ``None`` when none is given.

    Args:
        field: How the problem names it.
        given: Digits with a point.
        hint: What to do, added to the message.

    Raises:
        Rejected: It is none.
    """
    text = clean(given if isinstance(given, str) or given is None else format(Decimal(repr(given)), "f"))
    if text is None:
        return None
    if not _NUMBER.fullmatch(text):
        message = f"“{text[:SHOWN]}” is not a plain number. Send digits with a point, such as 1200.00{hint}."
        raise refuse(field, message, "not_a_number")
    return Decimal(text)


def money(given: str | float | None, currency: str | None, *, fallback: str = "") -> Money | None:
    """Return a sale value with its currency; ``None`` when no value is given.

    Args:
        given: The value, a plain number.
        currency: An ISO 4217 code, in any case.
        fallback: The currency when none is given.

    Raises:
        Rejected: One of both is not what it should be.
    """
    hint = ", without thousands separators and currency; the currency has a field of its own"
    amount = number("sale_value", given, hint=hint)
    if amount is None:
        return None
    code = (clean(currency) or fallback).upper()
    if not re.fullmatch("[A-Z]{3}", code):
        raise refuse("currency", "Currency is a code of three letters, such as USD or EUR.", "invalid_currency")
    return Money(amount=amount, currency=code)


def moment(field: str, label: str, given: str | None) -> datetime | None:
    """Return a time with its offset; ``None`` when none is given.

    Raises:
        Rejected: It cannot be read, or has no offset.
    """
    text = clean(given)
    if text is None:
        return None
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        found = None
    if found is None or found.tzinfo is None:
        message = f"{label} needs a date and time with its offset, such as 2026-03-01T12:00:00+01:00."
        raise refuse(field, message, "invalid_time")
    return found
