"""Fit a value to a CRM field: pure, one function a field type.

What comes out is a ``FieldValue`` in our terms; the plugin turns it into the vendor's shape:

=============  ====================================================================================
field type     value
=============  ====================================================================================
text           str on one line
long_text      str, line ends kept
number         int, or float where the value has decimals
money          ``Money``; a bare number takes the account's currency
date           ``YYYY-MM-DD``; a time becomes the day in the account's time zone
datetime       RFC 3339 in UTC, ``2026-11-21T10:00:00Z``
time           ``HH:MM:SS``
boolean        bool
option, user   ``Option.value``, found by value or by label whatever its case
options        list of ``Option.value``
email          normalised
phone          E.164 where it can be read as a phone number, else as given
url            as given
address        str on one line
=============  ====================================================================================

Messages never repeat the value: it may be personal data, and they are stored and logged.
"""

import math
import re
from collections.abc import Callable
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import phonenumbers
from email_validator import SPECIAL_USE_DOMAIN_NAMES, validate_email

from gateway_schemas.base import FieldValue, Money
from gateway_schemas.records import Field, FieldType, Option


class Unfit(ValueError):
    """A value does not fit its field; the message says why, in words for people, without the value."""


class TooLong(Unfit):
    """A text has more characters than the vendor takes; ``text`` is all of it, ``limit`` what the field takes."""

    def __init__(self, text: str, limit: int) -> None:
        super().__init__(f"it has {len(text)} characters; the field takes {limit}")
        self.text = text
        self.limit = limit


class Locality(msgspec.Struct, frozen=True, kw_only=True):
    """What an account says of itself that values depend on.

    Attributes:
        currency: Of a number in a money field (ISO 4217).
        country: Of a phone number without ``+`` (ISO 3166-1 alpha-2).
        timezone: Whose day a time becomes in a date field (IANA name).
    """

    currency: str = "USD"
    country: str | None = None
    timezone: str = "UTC"


_PLAIN = re.compile(r"[a-z0-9_+-]{1,60}(?:\.[a-z0-9_+-]{1,60}){0,2}@(?:[a-z0-9]+(?:-[a-z0-9]+)*\.){1,5}[a-z]{2,20}")
"""Addresses that are their own spelling whatever the rules say of others: nearly all, at a fiftieth of the cost."""

_SPECIAL = frozenset(name.rpartition(".")[2] for name in SPECIAL_USE_DOMAIN_NAMES)
MOST_ADDRESS = 64


def normalise_email(value: str) -> str:
    """Return the address in the one spelling by which we compare, lower case; no DNS is asked.

    Raises:
        ValueError: It is no e-mail address; the message says why.
    """
    plain = value.strip().lower()
    if _PLAIN.fullmatch(plain) and len(plain) <= MOST_ADDRESS and plain.rpartition(".")[2] not in _SPECIAL:
        return plain
    # test_environment: hosts try things out with addresses under .test
    return validate_email(value.strip(), check_deliverability=False, test_environment=True).normalized.lower()


def normalise_phone(value: str, country: str | None) -> str | None:
    """Return the number in E.164, or ``None`` when it cannot be read as a phone number.

    Args:
        value: As a person typed it.
        country: Where a number without ``+`` is dialled (ISO 3166-1 alpha-2); ``None``: such numbers are not read.
    """
    try:
        number = phonenumbers.parse(value, country)
    except phonenumbers.NumberParseException:
        return None
    if not phonenumbers.is_valid_number(number):
        return None
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)


def fit(value: FieldValue | datetime, field: Field, locality: Locality) -> FieldValue:
    """Return the value as this field takes it; ``None`` when there is nothing to write.

    Raises:
        TooLong: The text is longer than ``field.max_length``.
        Unfit: The value is none of this type, or no option of the field.
    """
    if value is None or (isinstance(value, str) and not value.strip()) or value == []:
        return None
    fitted = _FITS[field.type](value, field, locality)
    if fitted in ("", []):
        return None
    if isinstance(fitted, str) and field.max_length is not None and len(fitted) > field.max_length:
        raise TooLong(fitted, field.max_length)
    return fitted


def text_of(value: FieldValue | datetime) -> str:
    """Return any value as text for people."""
    match value:
        case None:
            return ""
        case bool():
            return "Yes" if value else "No"
        case float():
            return str(int(value)) if value.is_integer() else repr(value)
        case datetime():
            return _rfc3339(value)
        case Money():
            return f"{value.amount:f} {value.currency}"
        case list():
            return ", ".join(map(str, value))
        case _:
            return str(value)


def _text(value: FieldValue | datetime, _field: Field, _locality: Locality) -> str:
    return " ".join(text_of(value).split())


def _long_text(value: FieldValue | datetime, _field: Field, _locality: Locality) -> str:
    return text_of(value).strip()


def _decimal(value: FieldValue | datetime) -> Decimal:
    """Read a number; text only in plain notation, since people read ``1,234`` in two ways."""
    match value:
        case bool() | None | list() | datetime():
            raise Unfit("it is not a number")
        case float() if not math.isfinite(value):
            raise Unfit("it is not a finite number")
        case Money():
            return value.amount
        case int() | float():
            return Decimal(str(value))
    if not re.fullmatch(r"[+-]?\d+(\.\d+)?", text := str(value).strip()):
        raise Unfit("it is not a number; send digits with a point before the decimals")
    return Decimal(text)


def _number(value: FieldValue | datetime, _field: Field, _locality: Locality) -> int | float:
    number = _decimal(value)
    return int(number) if number == number.to_integral_value() else float(number)


def _money(value: FieldValue | datetime, _field: Field, locality: Locality) -> Money:
    if isinstance(value, Money):
        return value
    return Money(amount=_decimal(value), currency=locality.currency)


def _date(value: FieldValue | datetime, _field: Field, locality: Locality) -> str:
    if isinstance(value, str) and re.fullmatch(r"\d{4}-\d\d-\d\d", value.strip()):
        try:
            return date.fromisoformat(value.strip()).isoformat()
        except ValueError as error:
            raise Unfit("it is no day of the calendar") from error
    zone = UTC if locality.timezone == "UTC" else ZoneInfo(locality.timezone)
    return _moment(value, "it is not a date; send YYYY-MM-DD").astimezone(zone).date().isoformat()


def _datetime(value: FieldValue | datetime, field: Field, locality: Locality) -> str:
    if isinstance(value, str) and re.fullmatch(r"\d{4}-\d\d-\d\d", value.strip()):
        return f"{_date(value, field, locality)}T00:00:00Z"
    return _rfc3339(_moment(value, "it is not a time; send RFC 3339, for example 2026-11-21T10:00:00Z"))


def _moment(value: FieldValue | datetime, message: str) -> datetime:
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value.strip())
        except ValueError as error:
            raise Unfit(message) from error
    if not isinstance(value, datetime):
        raise Unfit(message)
    if value.tzinfo is None:
        raise Unfit("the time names no zone; add Z or an offset")
    return value


def _rfc3339(value: datetime) -> str:
    return value.astimezone(UTC).replace(microsecond=0, tzinfo=None).isoformat() + "Z"


def _time(value: FieldValue | datetime, _field: Field, _locality: Locality) -> str:
    try:
        if isinstance(value, str) and re.fullmatch(r"\d\d:\d\d(:\d\d)?", value.strip()):
            return time.fromisoformat(value.strip()).isoformat()
    except ValueError:
        pass
    raise Unfit("it is not a time of day; send HH:MM or HH:MM:SS")


_WORDS = {"true": True, "yes": True, "1": True, "on": True, "false": False, "no": False, "0": False, "off": False}


def _boolean(value: FieldValue | datetime, _field: Field, _locality: Locality) -> bool:
    if isinstance(value, bool):
        return value
    known = _WORDS.get(text_of(value).strip().lower()) if isinstance(value, str | int) else None
    if known is None:
        raise Unfit("it is neither yes nor no; send true or false")
    return known


def _option(value: FieldValue | datetime, field: Field, _locality: Locality) -> str:
    wanted = text_of(value).strip()
    found = _find_option(field.options, wanted)
    if found is None and field.type == "user" and not field.options:
        return wanted  # the vendor lists no users for this field: the id is taken as it is
    if found is None:
        labels = [option.label for option in field.options[:20]] + ["…"] * (len(field.options) > 20)
        raise Unfit(f"it is no option of this field; its options are: {', '.join(labels) or 'none'}")
    return found


def _options(value: FieldValue | datetime, field: Field, locality: Locality) -> list[str | int]:
    if isinstance(value, list):
        parts = [str(part) for part in value]
    else:
        whole = text_of(value)
        # a label may hold a comma itself, so the whole text comes first
        parts = [whole] if _find_option(field.options, whole.strip()) is not None else whole.split(",")
    chosen = [_option(part, field, locality) for part in parts if part.strip()]
    return list(dict.fromkeys(chosen))


def _find_option(options: list[Option], wanted: str) -> str | None:
    """Find by value, then by label, then by label in any case; a label of two options says nothing."""
    if any(option.value == wanted for option in options):
        return wanted
    for key in (str.strip, lambda text: text.strip().casefold()):
        found = [option.value for option in options if key(option.label) == key(wanted)]
        if len(found) == 1:
            return found[0]
    return None


def _email(value: FieldValue | datetime, _field: Field, _locality: Locality) -> str:
    try:
        return normalise_email(text_of(value))
    except ValueError as error:
        raise Unfit("it is no e-mail address") from error


def _phone(value: FieldValue | datetime, _field: Field, locality: Locality) -> str:
    given = " ".join(text_of(value).split())
    return normalise_phone(given, locality.country) or given


def _url(value: FieldValue | datetime, _field: Field, _locality: Locality) -> str:
    url = text_of(value).strip()
    if not re.fullmatch(r"https?://\S+", url):
        raise Unfit("it is no web address; it begins with https:// and has no spaces")
    return url


def _other(_value: FieldValue | datetime, _field: Field, _locality: Locality) -> str:
    raise Unfit("fields of this kind cannot be written")


_FITS: dict[FieldType, Callable[[Any, Field, Locality], FieldValue]] = {
    "text": _text,
    "long_text": _long_text,
    "number": _number,
    "money": _money,
    "date": _date,
    "datetime": _datetime,
    "time": _time,
    "boolean": _boolean,
    "option": _option,
    "options": _options,
    "email": _email,
    "phone": _phone,
    "url": _url,
    "user": _option,
    "address": _text,
    "other": _other,
}
