from decimal import Decimal

import pytest

from gateway.flows.rewards.money import Unreadable, read_amount
from gateway.sdk.money import digits, from_minor, rounded, to_minor
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
    ("minor", "currency", "amount"),
    [
        (1999, "USD", "19.99"),
        (1990, "USD", "19.90"),
        (7, "EUR", "0.07"),
        (1999, "JPY", "1999"),
        (1999, "KWD", "1.999"),
        (-250, "EUR", "-2.50"),
        (0, "EUR", "0.00"),
        (10**15, "EUR", "10000000000000.00"),
    ],
)
def test_minor_units_are_read_and_written_by_the_currencys_digits(minor, currency, amount):
    money = from_minor(minor, currency)
    assert (format(money.amount, "f"), money.currency) == (amount, currency)
    assert to_minor(money) == minor


def test_a_currency_in_lower_case_has_the_same_digits():
    assert from_minor(1999, "jpy") == Money(amount=Decimal(1999), currency="JPY")


@pytest.mark.parametrize(("amount", "minor"), [("12", 1200), ("0.125", 12), ("0.135", 14)])
def test_an_amount_with_other_digits_becomes_whole_minor_units(amount, minor):
    assert to_minor(Money(amount=Decimal(amount), currency="EUR")) == minor


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
