"""What is written to a contact that was there already, by table."""

from decimal import Decimal

import pytest

from gateway_pipedrive.bodies import contact_changes, status_body
from gateway_pipedrive.models import ContactEntry, Person
from gateway_schemas.base import Money
from gateway_schemas.records import Field

KEY = "9dc80c50d78a15643bfc4ca79d76156a73a1ca0e"
MONEY = "3d0f0c50d78a15643bfc4ca79d76156a73a1ca0e"
FIELDS = {
    MONEY: Field(key=MONEY, label="Budget", type="money", custom=True),
    KEY: Field(key=KEY, label="Campaign", type="text", custom=True),
    "first_name": Field(key="first_name", label="First Name", type="text"),
    "last_name": Field(key="last_name", label="Last Name", type="text"),
    "emails": Field(key="emails", label="Email", type="email"),
    "phones": Field(key="phones", label="Phone", type="phone"),
    "owner_id": Field(key="owner_id", label="Owner", type="user"),
    "label_ids": Field(key="label_ids", label="Labels", type="options"),
}


def entry(value, primary=True, label="work"):
    return ContactEntry(value, primary, label)


@pytest.mark.parametrize(
    ("person", "values", "filled", "overwritten"),
    [
        # names
        ({"name": "Jane", "first_name": "Jane"}, {"first_name": "Jane"}, {}, {}),
        ({"name": "Jane", "first_name": "Jane"}, {"last_name": "Doe"}, {"name": "Jane Doe"}, {"name": "Jane Doe"}),
        (
            {"name": "Jane Roe", "first_name": "Jane", "last_name": "Roe"},
            {"last_name": "Doe"},
            {},
            {"name": "Jane Doe"},
        ),
        ({"name": "jane@x.test"}, {"first_name": "Jane"}, {}, {"name": "Jane"}),
        ({"name": "Jane", "first_name": "Jane"}, {"first_name": None, "last_name": ""}, {}, {}),
        # The vendor splits a name in its own way; the whole is what counts.
        (
            {"name": "Mary Ann Smith", "first_name": "Mary", "last_name": "Ann Smith"},
            {"first_name": "Mary Ann", "last_name": "Smith"},
            {},
            {},
        ),
        # e-mail addresses and phone numbers
        ({"emails": [entry("Jane@X.test")]}, {"emails": "jane@x.test"}, {}, {}),
        (
            {"emails": []},
            {"emails": "jane@x.test"},
            {"emails": [{"value": "jane@x.test", "primary": True, "label": "work"}]},
            {"emails": [{"value": "jane@x.test", "primary": True, "label": "work"}]},
        ),
        ({"phones": [entry("+49 (30) 1234")]}, {"phones": "0049301234"}, {}, {}),
        (
            {"phones": [entry("030 1", label="home"), entry(None)]},
            {"phones": "+49301234"},
            {},
            {
                "phones": [
                    {"value": "030 1", "primary": True, "label": "home"},
                    {"value": "+49301234", "primary": False, "label": "work"},
                ]
            },
        ),
        (
            {"phones": [entry("")]},
            {"phones": "+49301234"},
            {"phones": [{"value": "+49301234", "primary": True, "label": "work"}]},
            {"phones": [{"value": "+49301234", "primary": True, "label": "work"}]},
        ),
        # custom and built-in fields
        (
            {"custom_fields": {MONEY: {"value": None, "currency": "EUR"}}},
            {MONEY: 5},
            {"custom_fields": {MONEY: {"value": 5, "currency": "EUR"}}},
            {"custom_fields": {MONEY: {"value": 5, "currency": "EUR"}}},
        ),
        (
            {"custom_fields": {KEY: None}},
            {KEY: "Spring"},
            {"custom_fields": {KEY: "Spring"}},
            {"custom_fields": {KEY: "Spring"}},
        ),
        ({"custom_fields": {KEY: "Winter"}}, {KEY: "Spring"}, {}, {"custom_fields": {KEY: "Spring"}}),
        ({"custom_fields": {KEY: "Winter"}}, {KEY: None}, {}, {}),
        ({"owner_id": 1}, {"owner_id": "2"}, {}, {"owner_id": 2}),
        ({"label_ids": []}, {"label_ids": ["1"]}, {"label_ids": [1]}, {"label_ids": [1]}),
        ({"label_ids": [2]}, {"label_ids": ["1"]}, {}, {"label_ids": [1]}),
    ],
)
def test_only_what_the_policy_allows_is_written(person, values, filled, overwritten):
    known = Person(id=1, **person)
    assert contact_changes(known, values, FIELDS, overwrite=False, currency="EUR") == filled
    assert contact_changes(known, values, FIELDS, overwrite=True, currency="EUR") == overwritten


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("lead", {"value": {"amount": 5, "currency": "USD"}}),
        ("deal", {"value": 5, "currency": "USD"}),
    ],
)
def test_the_value_of_a_lead_or_deal_keeps_its_shape_when_it_is_written_back(kind, body):
    fields = {"value": Field(key="value", label="Value", type="money")}
    assert status_body(kind, {"value": Money(amount=Decimal(5), currency="USD")}, fields, "EUR") == body
