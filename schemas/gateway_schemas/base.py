"""Base Structs: input refuses unknown fields by name, output grows by addition."""

from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any, Generic, TypeVar

import msgspec

HostId = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9._~-]{1,128}$(?!\n)", description="An id of the host's own.")]
"""An id that the host chose: 1 to 128 characters of ``A-Z a-z 0-9 . _ ~ -``."""

Text200 = Annotated[str, msgspec.Meta(max_length=200)]
Name = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
Currency = Annotated[str, msgspec.Meta(pattern=r"^[A-Z]{3}$(?!\n)", description="ISO 4217 code.")]

Position = Annotated[int, msgspec.Meta(ge=0, le=2**53 - 1)]
"""A place in the feed of events, as every JSON reader can hold it; 0 is before the oldest."""

T = TypeVar("T")


class Input(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Something sent to us: an unknown field is refused by name, never ignored."""


class Output(msgspec.Struct, frozen=True, kw_only=True):
    """Something that we send: receivers ignore fields they do not know."""


class Money(Output, frozen=True, kw_only=True):
    """An exact amount with its currency; ``amount`` is a JSON string, never a float.

    Attributes:
        amount: In major units (euros, not cents), as many decimals as there are.
        currency: ISO 4217, ``EUR``.
    """

    amount: Decimal
    currency: Currency


FieldValue = str | int | float | bool | Money | list[str | int] | None
"""A value of a CRM field in our terms; the plugin turns it into the vendor's shape."""


class Page(Output, Generic[T], frozen=True, kw_only=True):
    """One page of a list.

    Attributes:
        data: The rows.
        next: Value for ``cursor`` of the next page; null at the end.
    """

    data: list[T]
    next: str | None = None


JsonObject = dict[str, Any]
Time = datetime
"""An aware time in UTC, RFC 3339 in JSON."""
