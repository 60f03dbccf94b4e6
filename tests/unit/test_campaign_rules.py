from decimal import Decimal

import pytest

from gateway.flows.campaigns.campaign import check
from gateway_schemas.campaign import CampaignInput, FormField, RewardRule


def fixed(**changes):
    return RewardRule(**{"kind": "fixed", "amount": Decimal("50.00"), "currency": "EUR", **changes})


def percentage(**changes):
    return RewardRule(**{"kind": "percentage", "percent": Decimal(10), **changes})


def problems(**changes):
    return [(one.field, one.code) for one in check(CampaignInput(name="Spring", **changes))]


@pytest.mark.parametrize(
    "rule",
    [
        fixed(),
        fixed(amount=Decimal("0.01")),
        fixed(amount=Decimal(100), currency="JPY"),
        fixed(amount=Decimal("1.125"), currency="BHD"),
        fixed(amount=Decimal("10.10")),
        percentage(),
        percentage(percent=Decimal("0.5")),
        percentage(percent=Decimal(100)),
        percentage(percent=Decimal("33.333333")),
        percentage(cap=Decimal("99.99"), currency="USD"),
        percentage(currency="USD"),
    ],
)
def test_a_rule_that_says_what_its_kind_needs_is_taken(rule):
    assert problems(rewards=[rule]) == []


@pytest.mark.parametrize(
    ("rule", "path", "code"),
    [
        (fixed(amount=None), "amount", "missing"),
        (fixed(currency=None), "currency", "missing"),
        (fixed(currency="XXX"), "currency", "invalid"),
        (fixed(amount=Decimal(0)), "amount", "invalid"),
        (fixed(amount=Decimal(-1)), "amount", "invalid"),
        (fixed(amount=Decimal("NaN")), "amount", "invalid"),
        (fixed(amount=Decimal("Infinity")), "amount", "invalid"),
        (fixed(amount=Decimal("1e30")), "amount", "invalid"),
        (fixed(amount=Decimal("1.005")), "amount", "invalid"),
        (fixed(amount=Decimal("1.5"), currency="JPY"), "amount", "invalid"),
        (fixed(percent=Decimal(5)), "percent", "invalid"),
        (fixed(cap=Decimal(5)), "cap", "invalid"),
        (percentage(percent=None), "percent", "missing"),
        (percentage(percent=Decimal(0)), "percent", "invalid"),
        (percentage(percent=Decimal("100.01")), "percent", "invalid"),
        (percentage(percent=Decimal("NaN")), "percent", "invalid"),
        (percentage(percent=Decimal("1.1234567")), "percent", "invalid"),
        (percentage(cap=Decimal(0), currency="EUR"), "cap", "invalid"),
        (percentage(cap=Decimal(5)), "currency", "missing"),
        (percentage(cap=Decimal("5.001"), currency="EUR"), "cap", "invalid"),
        (percentage(amount=Decimal(5), currency="EUR"), "amount", "invalid"),
    ],
)
def test_a_wrong_rule_is_named_by_its_place(rule, path, code):
    assert problems(rewards=[fixed(key="first"), rule]) == [(f"rewards[1].{path}", code)]


def test_each_rule_has_a_key_of_its_own():
    assert problems(rewards=[fixed(), percentage(key="bonus"), fixed()]) == [("rewards[2].key", "duplicate")]


def test_form_fields_are_unique_within_their_role():
    field = FormField(key="size", label="Size")
    other_role = FormField(key="size", label="Size", role="referrer")
    assert problems(fields=[field, other_role]) == []
    assert problems(fields=[field, other_role, field]) == [("fields[2].key", "duplicate")]


def test_the_code_is_the_only_placeholder_of_a_link():
    assert problems(link_template="https://refer.example/{code}?x=1") == []
    assert problems(link_template="https://refer.example/{campaign}/{code}") == [("link_template", "invalid")]
