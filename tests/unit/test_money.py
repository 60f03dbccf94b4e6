from decimal import Decimal

import pytest

from gateway.flows.rewards.money import Unreadable, digits, read_amount, rounded
from gateway_schemas.base import Money


@pytest.mark.parametrize(
    ("currency", "expected"), [("EUR", 2), ("JPY", 0), ("KWD", 3), ("CLF", 4), ("XYZ", 2), ("XAU", 2)]
)
def test_digits(currency, expected):
    assert digits(currency) == expected


@pytest.mark.parametrize(
    ("amount", "currency", "expected"),
    [
        ("0.125", "EUR", "0.12"),
        ("0.135", "EUR", "0.14"),
        ("2.5", "JPY", "2"),
        ("3.5", "JPY", "4"),
        ("1.0005", "KWD", "1.000"),
        ("-0.125", "EUR", "-0.12"),
    ],
)
def test_rounding_is_half_to_even(amount, currency, expected):
    assert str(rounded(Decimal(amount), currency)) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, None),
        ("", None),
        ([], None),
        (Money(amount=Decimal(999), currency="USD"), ("999", "USD")),
        (999, ("999", "EUR")),
        (0.1, ("0.1", "EUR")),
        ("1234.50", ("1234.50", "EUR")),
        (" 1234.50 USD ", ("1234.50", "USD")),
        ("USD 12", ("12", "USD")),
    ],
)
def test_amounts_are_read_exactly(value, expected):
    money = read_amount(value, currency="EUR")
    assert (None if money is None else (str(money.amount), money.currency)) == expected


@pytest.mark.parametrize(
    "value",
    [
        True,
        [1],
        "1,234",
        "1.234,50",
        "about 100",
        "EUR 1 EUR",
        "1e3",
        -5,
        "-5",
        float("nan"),
        float("inf"),
        10**15,
        "١٢",
    ],
)
def test_what_can_be_read_in_two_ways_or_is_no_amount_is_refused(value):
    with pytest.raises(Unreadable):
        read_amount(value, currency="EUR")
