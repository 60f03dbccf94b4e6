from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal

import pytest
from email_validator import validate_email
from hypothesis import given
from hypothesis import strategies as st

from gateway.sdk.values import (
    _FITS,
    _PLAIN,
    _SPECIAL,
    Locality,
    TooLong,
    Unfit,
    fit,
    normalise_email,
    normalise_phone,
    text_of,
)
from gateway_schemas.base import Money
from gateway_schemas.records import Field, FieldType, Option

BERLIN = Locality(currency="EUR", country="DE", timezone="Europe/Berlin")
SIZES = [Option(value="7", label="Small"), Option(value="8", label="Large, or more"), Option(value="9", label="small ")]
LATE = datetime(2026, 3, 31, 23, 30, 15, 999, tzinfo=UTC)


def field(kind: FieldType, **changes) -> Field:
    return Field(key="k", label="Field", type=kind, **changes)


@pytest.mark.parametrize(
    ("kind", "given", "fitted"),
    [
        ("text", "  Ada \n Lovelace ", "Ada Lovelace"),
        ("text", 3.0, "3"),
        ("text", 3.25, "3.25"),
        ("text", 12, "12"),
        ("text", True, "Yes"),
        ("text", False, "No"),
        ("text", ["a", 2], "a, 2"),
        ("text", Money(amount=Decimal("12.50"), currency="EUR"), "12.50 EUR"),
        ("text", LATE, "2026-03-31T23:30:15Z"),
        ("long_text", " one\ntwo ", "one\ntwo"),
        ("address", "1 Main St\nSpringfield", "1 Main St Springfield"),
        ("number", "42", 42),
        ("number", " -1.50 ", -1.5),
        ("number", 7, 7),
        ("number", 7.5, 7.5),
        ("number", Money(amount=Decimal(3), currency="USD"), 3),
        ("money", "19.99", Money(amount=Decimal("19.99"), currency="EUR")),
        ("money", 0.1, Money(amount=Decimal("0.1"), currency="EUR")),
        ("money", Money(amount=Decimal(5), currency="JPY"), Money(amount=Decimal(5), currency="JPY")),
        ("date", "2026-02-28", "2026-02-28"),
        ("date", LATE, "2026-04-01"),
        ("date", "2026-03-31T21:00:00Z", "2026-03-31"),
        ("datetime", "2026-02-28", "2026-02-28T00:00:00Z"),
        ("datetime", datetime(2026, 1, 1, 1, tzinfo=timezone(timedelta(hours=2))), "2025-12-31T23:00:00Z"),
        ("time", "09:30", "09:30:00"),
        ("time", "09:30:05", "09:30:05"),
        ("boolean", True, True),
        ("boolean", "YES", True),
        ("boolean", "off", False),
        ("boolean", 1, True),
        ("option", "7", "7"),
        ("option", "Small", "7"),
        ("option", "small", "9"),
        ("option", "LARGE, OR MORE", "8"),
        ("options", "Large, or more", ["8"]),
        ("options", "7, small, 7", ["7", "9"]),
        ("options", ["Small", 8], ["7", "8"]),
        ("user", "8", "8"),
        ("email", " Jane.Doe@EXAMPLE.com ", "jane.doe@example.com"),
        ("phone", "0151 23456789", "+4915123456789"),
        ("phone", "+1 202-555-0123", "+12025550123"),
        ("phone", "ask  for Jo", "ask for Jo"),
        ("url", " https://refer.example/a ", "https://refer.example/a"),
    ],
)
def test_a_value_fits_its_field(kind, given, fitted):
    options = SIZES if kind in ("option", "options", "user") else []
    assert fit(given, field(kind, options=options), BERLIN) == fitted


@pytest.mark.parametrize(
    ("kind", "given"),
    [
        ("number", "1,234"),
        ("number", "many"),
        ("number", True),
        ("number", float("nan")),
        ("number", float("inf")),
        ("number", "1e9"),
        ("number", ["1"]),
        ("money", "€5"),
        ("date", "2026-02-30"),
        ("date", "28.02.2026"),
        ("date", 20260228),
        ("datetime", "2026-02-28T10:00:00"),
        ("datetime", "soon"),
        ("time", "25:00"),
        ("time", "noon"),
        ("boolean", "maybe"),
        ("boolean", 2),
        ("boolean", [True]),
        ("option", "Medium"),
        ("option", "SMALL"),  # of two options, in this case of neither
        ("options", "7, Medium"),
        ("email", "jane at example"),
        ("url", "refer.example/a"),
        ("url", "https://refer.example/a b"),
        ("other", "x"),
    ],
)
def test_a_value_that_does_not_fit_is_named_without_repeating_it(kind, given):
    with pytest.raises(Unfit) as caught:
        fit(given, field(kind, options=SIZES if kind in ("option", "options") else []), BERLIN)
    assert not isinstance(caught.value, TooLong)
    if isinstance(given, str) and len(given) > 2:
        assert given not in str(caught.value)


@pytest.mark.parametrize("kind", sorted(_FITS))
@pytest.mark.parametrize("nothing", [None, "", "   ", []])
def test_nothing_is_left_out_of_every_field(kind, nothing):
    assert fit(nothing, field(kind), BERLIN) is None


def test_a_user_field_without_known_users_takes_the_id():
    assert fit("4711", field("user"), BERLIN) == "4711"


def test_too_long_tells_the_whole_text_and_the_limit():
    with pytest.raises(TooLong) as caught:
        fit("abcdef", field("text", max_length=5), BERLIN)
    assert (caught.value.text, caught.value.limit) == ("abcdef", 5)
    assert fit("abcde", field("text", max_length=5), BERLIN) == "abcde"


@pytest.mark.parametrize("bad", ["", "a", "a@", "@b.de", "a b@c.de", "a@localhost"])
def test_no_email_is_refused(bad):
    with pytest.raises(ValueError):
        normalise_email(bad)


def test_a_number_without_a_country_needs_a_plus():
    assert normalise_phone("030 1234567", None) is None
    assert normalise_phone("+49 30 1234567", None) == "+49301234567"
    assert normalise_phone("123", "DE") is None


VALUES = st.one_of(
    st.none(),
    st.text(max_size=40),
    st.integers(),
    st.floats(),
    st.booleans(),
    st.builds(Money, amount=st.decimals(allow_nan=False, allow_infinity=False, places=2), currency=st.just("EUR")),
    st.lists(st.one_of(st.text(max_size=10), st.integers()), max_size=4),
    st.datetimes(timezones=st.just(UTC)),
)


@given(kind=st.sampled_from(sorted(_FITS)), value=VALUES, limit=st.one_of(st.none(), st.integers(1, 20)))
def test_any_value_fits_or_is_refused_as_unfit(kind, value, limit):
    one = field(kind, options=SIZES, max_length=limit)
    try:
        fitted = fit(value, one, BERLIN)
    except Unfit:
        return
    if limit is not None and isinstance(fitted, str):
        assert len(fitted) <= limit
    assert fitted != ""


@given(value=VALUES.filter(lambda value: value is not None), kind=st.sampled_from(sorted(_FITS)))
def test_what_fits_once_fits_again_as_the_same(value, kind):
    one = field(kind, options=SIZES)
    try:
        fitted = fit(value, one, BERLIN)
    except Unfit:
        return
    assert fit(fitted, one, BERLIN) == fitted


@given(st.text(max_size=30), st.sampled_from([None, "DE", "US"]))
def test_reading_a_phone_number_never_fails(text, country):
    found = normalise_phone(text, country)
    assert found is None or (found.startswith("+") and found[1:].isdigit())


@given(VALUES)
def test_everything_has_a_text(value):
    assert isinstance(text_of(value), str)


@given(st.from_regex(_PLAIN, fullmatch=True))
def test_a_plain_address_is_normalised_as_the_rules_would(address):
    try:
        by_the_rules = validate_email(address, check_deliverability=False, test_environment=True).normalized.lower()
    except ValueError:
        with pytest.raises(ValueError, match=r"."):
            normalise_email(address)
    else:
        assert normalise_email(address) == by_the_rules


@pytest.mark.parametrize("address", ["a@b.invalid", "a@xn--bcher-kva.example", "Ünal@example.com", "a..b@example.com"])
def test_addresses_that_need_the_rules_get_them(address):
    assert _PLAIN.fullmatch(address.lower()) is None or address.rpartition(".")[2] in _SPECIAL
