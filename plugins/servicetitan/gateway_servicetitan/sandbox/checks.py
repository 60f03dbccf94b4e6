"""Strict reading of query strings and bodies: what is unknown, of another type or out of bounds is refused by name.

The real vendor may overlook unknown parameters of a query; the sandbox does not, so that a slip of ours is seen.
Source: ``VENDOR.md``, chapter 4 (lists and filters).
"""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from gateway_servicetitan.sandbox.errors import VendorError, problem

Json = dict[str, Any]
Check = Callable[[Any], str | None]
Reader = Callable[[str], Any]

MOST_IDS = 50
MOST_ROWS = 5000


class Invalid(ValueError):
    """A value of a query string cannot be read; the message says why."""


def refused(errors: Mapping[str, str]) -> VendorError:
    """Refuse input, naming every field."""
    return VendorError(400, problem(400, errors={key: [message] for key, message in errors.items()}))


# --- query strings --------------------------------------------------------------------------------------


def number(text: str) -> int:
    """Read an integer."""
    if not text.lstrip("-").isdecimal():
        raise Invalid(f"The value '{text}' is not valid.")
    return int(text)


def ids(text: str) -> list[int]:
    """Read ids with commas between them, at most 50."""
    found = [number(part.strip()) for part in text.split(",") if part.strip()]
    if len(found) > MOST_IDS:
        raise Invalid(f"Maximum {MOST_IDS} ids are allowed.")
    return found


def page(text: str) -> int:
    """Read the number of a page, from 1."""
    if (found := number(text)) < 1:
        raise Invalid("The page number must be greater than zero.")
    return found


def size(text: str) -> int:
    """Read the size of a page."""
    if not 1 <= (found := number(text)) <= MOST_ROWS:
        raise Invalid(f"The page size must be between 1 and {MOST_ROWS}.")
    return found


def flag(text: str) -> bool:
    """Read a boolean, whatever its case."""
    if text.lower() not in ("true", "false"):
        raise Invalid(f"The value '{text}' is not valid.")
    return text.lower() == "true"


def when(text: str) -> datetime:
    """Read a time in RFC 3339; one without a zone is UTC."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise Invalid(f"The value '{text}' is not valid.") from None
    return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)


def activity(text: str) -> str:
    """Read ``True``, ``False`` or ``Any``."""
    if text.lower() not in ("true", "false", "any"):
        raise Invalid(f"The value '{text}' is not valid.")
    return text.lower()


def order(text: str) -> tuple[str, bool]:
    """Read ``+Field`` or ``-Field``; a plus sign that was not encoded has become a blank."""
    sign, name = text[:1], text[1:]
    if sign not in "+- " or name.lower() not in ("id", "modifiedon", "createdon"):
        raise Invalid(f"The value '{text}' is not valid.")
    return name.lower(), sign == "-"


def words(text: str) -> str:
    """Take any text."""
    return text


PAGING: Mapping[str, Reader] = {"page": page, "pageSize": size, "includeTotal": flag}
TIMES: Mapping[str, Reader] = {
    "createdBefore": when,
    "createdOnOrAfter": when,
    "modifiedBefore": when,
    "modifiedOnOrAfter": when,
}


def read_query(sent: Mapping[str, str], readers: Mapping[str, Reader]) -> dict[str, Any]:
    """Read a query string by its known parameters; an empty one counts as not sent."""
    found: dict[str, Any] = {}
    errors: dict[str, str] = {}
    for key, text in sent.items():
        reader = readers.get(key)
        if reader is None:
            errors[key] = "The parameter is unknown."
            continue
        if text == "":
            continue
        try:
            found[key] = reader(text)
        except Invalid as wrong:
            errors[key] = str(wrong)
    if errors:
        raise refused(errors)
    return found


# --- bodies ---------------------------------------------------------------------------------------------


def text(value: Any) -> str | None:
    """Want a string with something in it."""
    return None if isinstance(value, str) and value.strip() else "The field is required."


def maybe_text(value: Any) -> str | None:
    """Want a string."""
    return None if isinstance(value, str) else "The value must be a string."


def boolean(value: Any) -> str | None:
    """Want ``true`` or ``false``."""
    return None if isinstance(value, bool) else "The value must be a boolean."


def integer(value: Any) -> str | None:
    """Want a JSON integer."""
    return None if isinstance(value, int) and not isinstance(value, bool) else "The value must be an integer."


def instant(value: Any) -> str | None:
    """Want a time."""
    try:
        when(value)
    except (Invalid, TypeError, ValueError):
        return "The value must be a date-time."
    return None


def one_of(*allowed: str) -> Check:
    """Want one of these words."""
    return lambda value: None if value in allowed else f"The value must be one of {', '.join(allowed)}."


def nullable(inner: Check) -> Check:
    """Allow null beside what ``inner`` wants."""
    return lambda value: None if value is None else inner(value)


def check_body(body: Any, shape: Mapping[str, Check], required: frozenset[str], prefix: str = "") -> dict[str, str]:
    """Return what is wrong with an object: not one, unknown keys, missing ones, wrong values."""
    if not isinstance(body, dict):
        return {prefix.rstrip(".") or "request": "The value must be an object."}
    errors = {f"{prefix}{key}": "The field is unknown." for key in body if key not in shape}
    errors |= {f"{prefix}{key}": "The field is required." for key in required if key not in body}
    for key, value in body.items():
        message = shape[key](value) if key in shape else None
        if message is not None:
            errors[f"{prefix}{key}"] = message
    return errors
