"""Amounts: reading a sale value from a field of a record, exactly. The digits of a currency: ``gateway.sdk.money``."""

import re
from decimal import Decimal

from gateway_schemas.base import FieldValue, Money

LARGEST = Decimal(10) ** 15
"""Nobody's sale; a larger number is a typing error or another kind of field."""


class Unreadable(Exception):
    """A field's value is no amount; the message says why, in words for the timeline."""


def plain(amount: Decimal) -> Decimal:
    """Return the amount without an exponent and with no more digits than it says."""
    return Decimal(format(amount, "f"))


_NUMBER = r"-?\d+(?:\.\d+)?"
_TEXT = re.compile(rf"(?:(?P<before>[A-Z]{{3}})\s?)?(?P<number>{_NUMBER})(?:\s?(?P<after>[A-Z]{{3}}))?", re.ASCII)


def read_amount(value: FieldValue, *, currency: str) -> Money | None:
    """Return the amount that a field holds; ``None`` when it is empty.

    Args:
        value: A money or number field, or text: digits with a decimal point, perhaps with an ISO currency code.
        currency: Of a value that names none: the record's, else the account's.

    Raises:
        Unreadable: It is something else, negative, or text that can be read in two ways (``1,234``).
    """
    if value is None or value == "" or value == []:
        return None
    match value:
        case Money():
            return _checked(value.amount, value.currency)
        case bool() | list():
            raise Unreadable("the field holds no amount")
        case int():
            return _checked(Decimal(value), currency)
        case float():
            return _checked(Decimal(repr(value)), currency)  # repr: the digits that the vendor sent
        case _:
            found = _TEXT.fullmatch(value.strip())
            if found is None or (found["before"] and found["after"]):
                raise Unreadable("the text is no plain amount such as 1234.50 or 1234.50 EUR")
            return _checked(Decimal(found["number"]), found["before"] or found["after"] or currency)


def _checked(amount: Decimal, currency: str) -> Money:
    if not amount.is_finite() or abs(amount) >= LARGEST:
        raise Unreadable("the number is no amount")
    if amount < 0:
        raise Unreadable("the amount is negative; refunds are recorded as sales of their own")
    return Money(amount=plain(amount), currency=currency)
