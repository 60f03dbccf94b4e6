"""The shapes of custom field values, by the table of ``VENDOR.md``, chapter 6.2."""

from decimal import Decimal

import pytest

from gateway_pipedrive.values import Unshaped, from_v1, from_v2, same, to_v1, to_v2
from gateway_schemas.base import Money
from gateway_schemas.records import Field

KEY = "9dc80c50d78a15643bfc4ca79d76156a73a1ca0e"


def field(type_):
    return Field(key=KEY, label="Any", type=type_, custom=True)


WRITES = [
    ("text", "abc", "abc", {KEY: "abc"}),
    ("long_text", "a\nb", "a\nb", {KEY: "a\nb"}),
    ("phone", "123", "123", {KEY: "123"}),
    ("url", "https://r.test/a", "https://r.test/a", {KEY: "https://r.test/a"}),
    ("number", 500, 500, {KEY: 500}),
    ("number", "3", 3, {KEY: 3}),
    ("number", 1.5, 1.5, {KEY: 1.5}),
    (
        "money",
        Money(amount=Decimal("500.10"), currency="USD"),
        {"value": 500.1, "currency": "USD"},
        {KEY: 500.1, f"{KEY}_currency": "USD"},
    ),
    ("money", 7, {"value": 7, "currency": "EUR"}, {KEY: 7, f"{KEY}_currency": "EUR"}),
    ("option", "123", 123, {KEY: "123"}),
    ("options", ["123", "456"], [123, 456], {KEY: "123,456"}),
    ("options", "123", [123], {KEY: "123"}),
    ("user", "1234", 1234, {KEY: 1234}),
    ("date", "2026-01-31", "2026-01-31", {KEY: "2026-01-31"}),
    ("time", "09:00:00", {"value": "09:00:00"}, {KEY: "09:00:00"}),
    ("address", "Main St 1", {"value": "Main St 1"}, {KEY: "Main St 1"}),
    ("text", None, None, {KEY: None}),
    ("options", [], None, {KEY: None}),
]


@pytest.mark.parametrize(("type_", "value", "v2", "v1"), WRITES)
def test_a_value_takes_the_shape_of_its_type(type_, value, v2, v1):
    assert to_v2(field(type_), value, "EUR") == v2
    assert to_v1(field(type_), value, "EUR") == v1


@pytest.mark.parametrize(
    ("type_", "value"),
    [
        ("number", "many"),
        ("number", True),
        ("number", float("nan")),
        ("money", "free"),
        ("option", True),
        ("option", ["1", "2"]),
        ("other", "abc"),
    ],
)
def test_a_value_of_another_type_is_refused_without_being_repeated(type_, value):
    with pytest.raises(Unshaped) as refused:
        to_v2(field(type_), value, "EUR")
    assert str(value) not in str(refused.value) or value is True


@pytest.mark.parametrize(
    ("raw", "value"),
    [
        ("abc", "abc"),
        (500, 500),
        (Decimal("1.50"), 1.5),
        (Decimal("2.0"), 2),
        ({"value": Decimal("500.10"), "currency": "EUR"}, Money(amount=Decimal("500.10"), currency="EUR")),
        ({"value": 500, "currency": None}, 500),
        (123, 123),
        ({"id": 123, "label": "A"}, 123),
        ([123, 456], ["123", "456"]),
        ([{"id": 123, "label": "A"}], ["123"]),
        ({"value": "2026-01-01", "until": "2026-01-31"}, "2026-01-01/2026-01-31"),
        ({"value": "09:00:00", "timezone_id": 318, "timezone_name": "Europe/London"}, "09:00:00"),
        ({"value": "Main St 1", "country": "DE"}, "Main St 1"),
        (None, None),
        ("", None),
    ],
)
def test_a_v2_value_is_read(raw, value):
    assert from_v2(raw) == value


def test_flat_values_of_a_lead_are_read_together():
    other = "3d0f" + "0" * 36
    raw = {
        "id": "adf21080",
        "title": "Jane",
        KEY: Decimal("500.10"),
        f"{KEY}_currency": "EUR",
        other: "123,456",
        "1" * 40: "09:00:00",
        f"{'1' * 40}_timezone_id": 310,
    }
    assert from_v1(raw) == {
        KEY: Money(amount=Decimal("500.10"), currency="EUR"),
        other: "123,456",
        "1" * 40: "09:00:00",
    }


@pytest.mark.parametrize(
    ("held", "shaped", "equal"),
    [
        ("a", "a", True),
        (None, "a", False),
        ("", None, True),
        (Decimal("5.0"), 5, True),
        (123, 123, True),
        ([1, 2], [2, 1], True),
        ([{"id": 1, "label": "A"}], [1], True),
        ({"value": 5, "currency": "EUR"}, {"value": 5, "currency": "EUR"}, True),
        ({"value": 5, "currency": "EUR"}, {"value": 5, "currency": "USD"}, False),
        ({"value": "09:00:00", "timezone_id": 1}, {"value": "09:00:00"}, True),
    ],
)
def test_a_value_that_is_held_already_is_recognised(held, shaped, equal):
    assert same(held, shaped) is equal
