"""Strict reading of bodies and query strings, in the vendor's manner.

v2 takes numbers as numbers and refuses what it does not know; v1 leads complain in another dialect but are as strict
about types; the rest of v1 is loose. Source: ``VENDOR.md``, chapters 3 and 5.
"""

import base64
import re
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

import msgspec

from gateway_pipedrive.sandbox.errors import not_allowed, schema_failed
from gateway_pipedrive.sandbox.values import is_integer, is_number

Json = dict[str, Any]
Check = Callable[[Any], str | None]

_WHOLE_SECONDS = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(Z|[+-]\d{2}:\d{2})")


def text(value: Any) -> str | None:
    """Want a string with something in it."""
    return None if isinstance(value, str) and value else "must be a non-empty string"


def integer(value: Any) -> str | None:
    """Want a JSON integer."""
    return None if is_integer(value) else "must be integer"


def number(value: Any) -> str | None:
    """Want a JSON number."""
    return None if is_number(value) else "must be number"


def boolean(value: Any) -> str | None:
    """Want ``true`` or ``false``; 0 and 1 are numbers."""
    return None if isinstance(value, bool) else "must be boolean"


def moment(value: Any) -> str | None:
    """Want a time in RFC 3339."""
    try:
        datetime.fromisoformat(value)
    except (TypeError, ValueError):
        return "must be a date-time"
    return None


def day(value: Any) -> str | None:
    """Want a date."""
    return None if isinstance(value, str) and re.fullmatch(r"\d{4}-\d{2}-\d{2}", value) else "must be a date"


def anything(value: Any) -> str | None:
    """Leave the check to somebody else."""
    return None


def nullable(inner: Check) -> Check:
    """Allow null beside what ``inner`` wants."""
    return lambda value: None if value is None else inner(value)


def one_of(*allowed: Any) -> Check:
    """Want one of these values."""
    return lambda value: None if value in allowed else f"must be one of {', '.join(map(str, allowed))}"


def list_of(inner: Check) -> Check:
    """Want an array whose members pass ``inner``."""

    def check(value: Any) -> str | None:
        if not isinstance(value, list):
            return "must be array"
        return next((problem for one in value if (problem := inner(one))), None)

    return check


def contact_entry(value: Any) -> str | None:
    """Want one e-mail or phone entry: ``value`` and, if at all, ``primary`` and ``label`` (chapter 7.4)."""
    if not isinstance(value, dict):
        return "must be object"
    if unknown := set(value) - {"value", "primary", "label"}:
        return f"has unknown keys {sorted(unknown)}"
    if not isinstance(value.get("value"), str):
        return "value must be string"
    if not isinstance(value.get("primary", False), bool):
        return "primary must be boolean"
    return None if isinstance(value.get("label", ""), str) else "label must be string"


def body_v2(body: Any, allowed: Mapping[str, Check], required: tuple[str, ...] = ()) -> Json:
    """Check a v2 body: unknown keys refused each by name, then types, then what is missing."""
    if not isinstance(body, dict):
        raise schema_failed("body: must be object")
    if unknown := [key for key in body if key not in allowed]:
        raise not_allowed(*unknown)
    problems = [f"{key}: {problem}" for key, value in body.items() if (problem := allowed[key](value))]
    problems += [f"{key}: is required" for key in required if key not in body]
    if problems:
        raise schema_failed(*problems)
    return body


class Query:
    """The query string of a v2 call: only documented parameters, each of its type."""

    def __init__(self, sent: Mapping[str, str], allowed: frozenset[str] | None = None) -> None:
        self.sent = dict(sent)
        if allowed is not None and (unknown := [key for key in self.sent if key not in allowed]):
            raise not_allowed(*unknown)

    def integer(self, key: str, default: int | None = None, *, least: int = 0, most: int | None = None) -> int | None:
        """Read an integer within bounds."""
        if key not in self.sent:
            return default
        try:
            value = int(self.sent[key])
        except ValueError:
            raise schema_failed(f"{key}: must be integer") from None
        if value < least or (most is not None and value > most):
            raise schema_failed(f"{key}: must be between {least} and {most}")
        return value

    def flag(self, key: str) -> bool:
        """Read ``true`` or ``false``; v2 knows no 0 and 1 here."""
        value = self.sent.get(key, "false")
        if value not in {"true", "false"}:
            raise schema_failed(f"{key}: must be boolean")
        return value == "true"

    def choice(self, key: str, default: str, *allowed: str) -> str:
        """Read one word out of a list."""
        value = self.sent.get(key, default)
        if value not in allowed:
            raise schema_failed(f"{key}: must be one of {', '.join(allowed)}")
        return value

    def words(self, key: str, allowed: frozenset[str] | None = None, *, most: int | None = None) -> list[str]:
        """Read a comma-separated list."""
        words = [word for word in self.sent.get(key, "").split(",") if word]
        if allowed is not None and (unknown := [word for word in words if word not in allowed]):
            raise schema_failed(f"{key}: unknown value {', '.join(unknown)}")
        if most is not None and len(words) > most:
            raise schema_failed(f"{key}: at most {most} are allowed")
        return words

    def integers(self, key: str, *, most: int) -> list[int]:
        """Read a comma-separated list of ids."""
        words = self.words(key, most=most)
        if not all(word.isdigit() for word in words):
            raise schema_failed(f"{key}: must be a comma-separated list of ids")
        return [int(word) for word in words]

    def time(self, key: str) -> datetime | None:
        """Read a time of whole seconds; a fraction is refused (chapter 3)."""
        value = self.sent.get(key)
        if value is None:
            return None
        if not _WHOLE_SECONDS.fullmatch(value):
            raise schema_failed(f"{key}: must be a date-time of whole seconds, such as 2025-01-01T10:20:00Z")
        try:
            return datetime.fromisoformat(value)
        except ValueError:
            raise schema_failed(f"{key}: must be a date-time") from None


def write_cursor(value: list[Any]) -> str:
    """Make an opaque marker of where the next page begins."""
    return base64.urlsafe_b64encode(msgspec.json.encode(value)).decode().rstrip("=")


def read_cursor(cursor: str | None) -> list[Any] | None:
    """Read a marker of ours back; anything else is refused."""
    if cursor is None:
        return None
    try:
        decoded = msgspec.json.decode(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    except (ValueError, msgspec.DecodeError):
        raise schema_failed("cursor: is invalid") from None
    if not isinstance(decoded, list) or len(decoded) != 2:
        raise schema_failed("cursor: is invalid")
    return decoded
