"""What sales are worth: absent, in a wrong currency, rounded, and drivers that do not tell."""

import asyncio
import types

import msgspec
import pytest

from gateway.testing.conformance.run import RULES, check

from .toy import subject  # isort: skip - makes the scaffold importable
from gateway_acme import reads
from gateway_acme.sandbox import driver
from gateway_acme.sandbox.driver import AcmeDriver

RULE = next(rule for rule in RULES if rule.key == "reads_sale_values")


def text_of(of):
    return asyncio.run(check(RULE, of)).text


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"currency": None}, "but the sale value is 1234.56 EUR"),
        ({"fields": {}}, "the referral is qualified without a sale value; Field 'value' of deal "),
        ({"fields": {"value": 1234}}, "but the sale value is 1234 USD"),
        ({"value_ready": False}, "without a sale value; The sale value is not final yet."),
    ],
    ids=["the account's currency", "no field", "no cents", "never final"],
)
def test_money_that_is_read_wrong_is_found(changes, words, monkeypatch):
    record = reads._record
    monkeypatch.setattr(reads, "_record", lambda kind, row: msgspec.structs.replace(record(kind, row), **changes))
    found = text_of(subject())
    assert "trigger 'deal_won', target 'deal', deal.value holds 1234.56 USD" in found
    assert words in found


def test_a_driver_that_tells_of_no_sale_is_told_so():
    def make(**given):
        made = driver(**given)
        made.worth = lambda trigger, target: None
        return made

    found = text_of(subject(sandbox_module=types.SimpleNamespace(driver=make)))
    assert found == "the driver's worth() tells of no sale for any trigger, but the manifest offers sale values"


def test_a_driver_without_the_method_is_told_so():
    left_out = {"worth", "__dict__", "__weakref__"}
    mute = type("Mute", (), {name: one for name, one in vars(AcmeDriver).items() if name not in left_out})
    sandbox = types.SimpleNamespace(driver=lambda **given: mute(driver(**given).vendor))
    assert "the driver has no worth()" in text_of(subject(sandbox_module=sandbox))
