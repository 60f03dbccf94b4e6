"""The suite can fail: a toy that is broken in one way turns the rule red that stands for it, and no other."""

import asyncio
import os

import pytest

from gateway.testing.conformance.run import RULES, check, exemption

from .toy import subject  # isort: skip - makes the scaffold importable
from .broken import BROKEN
from .helper import APP_CALLS, automation, calling_sandbox

BY_KEY = {rule.key: rule for rule in RULES}
MATRIX = os.environ.get("GATEWAY_CONFORMANCE_MATRIX") == "1"
"""Every broken toy under every rule: minutes; else each under its own rule and those beside it."""


def others(key: str) -> list[str]:
    keys = list(BY_KEY)
    if MATRIX:
        return [one for one in keys if one != key]
    place = keys.index(key)
    return [keys[place - 1], keys[(place + 1) % len(keys)]]


def outcome(rule: str, of):
    return asyncio.run(check(BY_KEY[rule], of))


def test_each_rule_has_a_toy_that_breaks_it():
    assert list(BROKEN) == list(BY_KEY)


@pytest.mark.parametrize("rule", [rule.key for rule in RULES])
def test_the_good_toys_keep_it(rule):
    toys = [subject(), subject(lambda: APP_CALLS, calling_sandbox()), automation()]
    kept = [one for one in toys if exemption(BY_KEY[rule], one) is None]
    assert kept, "no toy has what this rule is about"
    assert [outcome(rule, one).text for one in kept[-1:]] == [""]


@pytest.mark.parametrize("rule", BROKEN)
def test_a_broken_toy_turns_exactly_this_rule_red(rule, monkeypatch):
    make, words = BROKEN[rule]
    broken = make(monkeypatch)
    found = outcome(rule, broken)
    assert found.state == "broken"
    assert words in found.text
    beside = [outcome(one, broken) for one in others(rule)]
    assert [(one.rule, one.text) for one in beside if one.state == "broken"] == []
