"""Column types that SQLite and PostgreSQL share: aware UTC times, JSON, exact decimals, ids."""

import os
from array import array
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import msgspec
from sqlalchemy import Dialect, String, Text
from sqlalchemy.types import BigInteger, TypeDecorator
from ulid import ULID


def new_id(prefix: str) -> str:
    """Return ``prefix_`` and 26 characters of lower-case, time-ordered base 32.

    Example: ``per_01jd8q6m3k9z4w2x5v7y8a1b2c``.
    """
    return f"{prefix}_{str(ULID()).lower()}"


def new_ids(prefix: str, number: int) -> list[str]:
    """Return so many ids of the same form as ``new_id``, in order, at a small part of the cost of as many calls.

    A ULID is 48 bits of time and 80 random bits in base 32: ten digits of the one, and eight pairs for the other.
    """
    begin = new_id(prefix)[:-16]
    places = array("H", os.urandom(16 * number))
    tails = sorted(
        "".join([_PAIRS[place & 1023] for place in places[first : first + 8]]) for first in range(0, 8 * number, 8)
    )
    return [begin + tail for tail in tails]


_DIGITS = "0123456789abcdefghjkmnpqrstvwxyz"
_PAIRS = [first + second for first in _DIGITS for second in _DIGITS]


class UtcTime(TypeDecorator[datetime]):
    """An aware UTC time stored as microseconds since the epoch.

    An integer compares, indexes and adds the same way on both databases, and costs no parsing.
    """

    impl = BigInteger
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> int | None:
        """Refuse naive times: they are a bug of the caller."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("naive datetime given to the database; pass an aware UTC time")
        return to_micros(value)

    def process_result_value(self, value: int | None, dialect: Dialect) -> datetime | None:
        """Return an aware UTC time."""
        return None if value is None else from_micros(value)


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def to_micros(value: datetime) -> int:
    """Return whole microseconds since the epoch."""
    delta = value - _EPOCH
    return (delta.days * 86_400 + delta.seconds) * 1_000_000 + delta.microseconds


def from_micros(value: int) -> datetime:
    """Return the aware UTC time of ``value`` microseconds since the epoch."""
    return datetime.fromtimestamp(value // 1_000_000, UTC).replace(microsecond=value % 1_000_000)


class Json(TypeDecorator[Any]):
    """A JSON document encoded by msgspec (Structs, decimals and times included), stored as text.

    Text and not ``JSONB``: we never query inside, and both databases then behave the same.
    """

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Dialect) -> str | None:
        """Encode."""
        return None if value is None else msgspec.json.encode(value).decode()

    def process_result_value(self, value: str | None, dialect: Dialect) -> Any:
        """Decode to plain Python values; the aggregate's module converts to its Struct."""
        return None if value is None else msgspec.json.decode(value)


class Money(TypeDecorator[Decimal]):
    """An exact decimal stored as text: SQLite has no decimal type and floats lose cents."""

    impl = String(40)
    cache_ok = True

    def process_bind_param(self, value: Decimal | None, dialect: Dialect) -> str | None:
        """Encode without exponent."""
        return None if value is None else format(value, "f")

    def process_result_value(self, value: str | None, dialect: Dialect) -> Decimal | None:
        """Decode."""
        return None if value is None else Decimal(value)
