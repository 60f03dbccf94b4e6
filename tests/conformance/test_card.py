"""The card says what came out; exemptions need a sentence; the command's exit code says whether all holds."""

import asyncio
import types

import msgspec
import pytest
from click.testing import CliRunner

from gateway.cli import cli
from gateway.testing.conformance import card
from gateway.testing.conformance.rules import TIERS, Broken
from gateway.testing.conformance.run import RULES, Outcome, check, exemption
from gateway.testing.world import NotInstalled, Subject

from .toy import subject  # isort: skip - makes the scaffold importable
from gateway_acme.manifest import MANIFEST
from gateway_acme.sandbox import driver
from gateway_schemas.manifest import Credentials

PASSED = [Outcome(rule.key, "passed") for rule in RULES]


def with_one(key, state, text=""):
    return [Outcome(key, state, text) if one.rule == key else one for one in PASSED]


def first(tier):
    return next(rule.key for rule in RULES if rule.tier == tier)


@pytest.mark.parametrize(("tier", "reached"), [("bronze", None), ("silver", "bronze"), ("gold", "silver")])
def test_a_broken_rule_costs_its_tier_and_those_above(tier, reached):
    assert card.tier_of(with_one(first(tier), "broken", "so")) == reached


def test_all_that_holds_is_gold():
    assert card.tier_of(PASSED) == "gold"


def test_a_rule_that_does_not_apply_costs_nothing():
    assert card.tier_of(with_one(first("silver"), "exempt", "There is none.")) == "gold"


def test_a_tier_of_which_nothing_applies_is_not_reached():
    gold = {rule.key for rule in RULES if rule.tier == "gold"}
    outcomes = [Outcome(one.rule, "exempt", "No.") if one.rule in gold else one for one in PASSED]
    assert card.tier_of(outcomes) == "silver"


def test_rules_that_did_not_run_are_not_passed():
    assert card.tier_of(PASSED[1:]) is None
    assert card.tier_of(PASSED[:-1]) == "silver"


def test_the_card_has_each_rule_with_its_mark_and_sentence():
    shown = card.render(with_one(first("silver"), "exempt", "There is none."))
    assert all(rule.title in shown for rule in RULES)
    assert f"- – {next(rule.title for rule in RULES if rule.tier == 'silver')}. *There is none.*" in shown
    assert all(promise in shown for promise in TIERS.values())


def test_the_card_goes_between_the_markers_and_nowhere_else(tmp_path):
    readme = tmp_path / "README.md"
    begin = card.BEGIN.format(key="acme")
    readme.write_text(f"before\n{begin}\nold\n{card.END}\nafter\n")
    assert card.write(readme, "acme", "new")
    assert readme.read_text() == f"before\n{begin}\nnew\n{card.END}\nafter\n"
    assert not card.write(readme, "acme", "new")
    with pytest.raises(card.NoCard, match="put these two lines"):
        card.write(readme, "other", "new")


# --- exemptions ---


def exempting(**sentences):
    def make(**given):
        made = driver(**given)
        made.exempt = sentences
        return made

    return subject(sandbox_module=types.SimpleNamespace(driver=make))


SILVER = next(rule for rule in RULES if rule.key == "lists_every_option")
BRONZE = next(rule for rule in RULES if rule.key == "pushes_once")


def test_a_driver_exempts_with_a_sentence():
    of = exempting(lists_every_option="The vendor has three stages and no more.")
    assert exemption(SILVER, of) == "The vendor has three stages and no more."
    outcome = asyncio.run(check(SILVER, of))
    assert (outcome.state, outcome.text) == ("exempt", "The vendor has three stages and no more.")


def test_keys_that_do_not_end_need_no_renewal():
    manifest = msgspec.structs.replace(MANIFEST, auth=Credentials(token_path=None))
    renews = next(rule for rule in RULES if rule.key == "renews_expired_tokens")
    assert exemption(renews, subject(lambda: {"describe": lambda: manifest})) == "Its keys do not end by themselves."
    assert exemption(renews, subject()) is None


@pytest.mark.parametrize(
    ("rule", "sentences", "why"),
    [
        (SILVER, {"lists_every_option": " "}, "without a sentence"),
        (BRONZE, {"pushes_once": "It is hard."}, "nobody is exempted"),
        (SILVER, {"lists_every_thing": "There is none."}, "do not exist"),
    ],
)
def test_an_exemption_that_must_not_be_breaks_the_rule(rule, sentences, why):
    of = exempting(**sentences)
    with pytest.raises(Broken, match=why):
        exemption(rule, of)
    assert asyncio.run(check(rule, of)).state == "broken"


def test_a_driver_that_cannot_grow_a_list_must_say_why():
    def make(**given):
        made = driver(**given)

        def refuse(source, number):
            raise NotImplementedError

        made.make_options = refuse
        return made

    outcome = asyncio.run(check(SILVER, subject(sandbox_module=types.SimpleNamespace(driver=make))))
    assert outcome.state == "broken"
    assert "without a sentence" in outcome.text


def test_what_a_driver_lacks_breaks_the_rule_and_not_the_run():
    def make(**given):
        raise RuntimeError("the sandbox does not start")

    outcome = asyncio.run(check(SILVER, subject(sandbox_module=types.SimpleNamespace(driver=make))))
    assert (outcome.state, outcome.text) == ("broken", "RuntimeError: the sandbox does not start")


# --- the command ---


def test_an_integration_that_is_not_there_is_told():
    ran = CliRunner().invoke(cli, ["check-plugin", "nobody"])
    assert ran.exit_code == 1
    assert "no integration 'nobody' is installed; there is: pipedrive" in ran.output
    with pytest.raises(NotInstalled):
        Subject.installed("nobody")


def test_a_rule_that_is_not_there_is_told():
    ran = CliRunner().invoke(cli, ["check-plugin", "pipedrive", "--rule", "shines"])
    assert ran.exit_code == 2
    assert "no rule 'shines'" in ran.output


@pytest.mark.parametrize(("state", "code"), [("passed", 0), ("broken", 1)])
def test_the_exit_code_says_whether_all_holds(state, code, monkeypatch, tmp_path):
    outcomes = [Outcome(rule.key, state) for rule in RULES]

    def run(subject, rules, said):
        for rule, outcome in zip(RULES, outcomes, strict=True):
            said(rule, outcome)
        return outcomes

    monkeypatch.setattr("gateway.cli.check_plugin.run", run)
    readme = tmp_path / "README.md"
    readme.write_text(f"{card.BEGIN.format(key='pipedrive')}\n{card.END}\n")
    ran = CliRunner().invoke(cli, ["check-plugin", "pipedrive", "--write", str(readme)])
    assert ran.exit_code == code
    assert card.render(outcomes) in ran.output
    assert card.render(outcomes) in readme.read_text()
