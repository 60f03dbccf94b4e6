"""Amounts by the digits of their currency: exact rounding, and the whole numbers of minor units that vendors send."""

from decimal import ROUND_HALF_EVEN, Decimal

from iso4217 import Currency

from gateway_schemas.base import Money


def digits(currency: str) -> int:
    """Return how many digits follow the decimal point in amounts of ``currency``: its *minor unit* in ISO 4217.

    Two where the standard names none: for a code that is not in its list, or is no money (gold).
    """
    try:
        exponent = Currency(currency).exponent
    except ValueError:
        return 2
    return 2 if exponent is None else exponent


def rounded(amount: Decimal, currency: str) -> Decimal:
    """Return the amount rounded half to even to the currency's digits."""
    return amount.quantize(Decimal(1).scaleb(-digits(currency)), rounding=ROUND_HALF_EVEN)


def from_minor(amount: int, currency: str) -> Money:
    """Return the amount that a vendor counts in minor units: 1999 of USD is 19.99, 1999 of JPY is 1999.

    Args:
        amount: A whole number of cents, or of whatever the currency has; negative ones too.
        currency: ISO 4217; in lower case too, as some vendors send it.
    """
    code = currency.upper()
    return Money(amount=Decimal(amount).scaleb(-digits(code)), currency=code)


def to_minor(money: Money) -> int:
    """Return the amount in minor units, as ``from_minor`` reads them; more digits are rounded half to even."""
    return int(rounded(money.amount, money.currency).scaleb(digits(money.currency)))
