"""Run rules on a plugin and say what came out: broken, passed, or why it does not apply."""

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Literal

from gateway.testing.conformance import (
    automation,
    connecting,
    contacts,
    credentials,
    describing,
    existing,
    lists,
    pushing,
    sales,
    watching,
)
from gateway.testing.conformance.rules import Broken, Rule, Stage
from gateway.testing.world import Subject, UnexpectedAnswer, sandbox_driver

RULES: tuple[Rule, ...] = (
    *describing.RULES,
    *connecting.RULES,
    *pushing.RULES,
    *existing.RULES,
    *credentials.RULES,
    *watching.RULES,
    *automation.RULES,
    *connecting.MORE,
    *lists.RULES,
    *watching.MORE,
    *sales.RULES,
    *automation.MORE,
    *contacts.RULES,
)
"""Every rule, in the order of the quality card: by tier, then by subject."""


@dataclass(frozen=True)
class Outcome:
    """What came out of a rule.

    Attributes:
        state: ``exempt``: it does not apply, and ``text`` says why.
        text: What was broken, or why it does not apply; empty when it passed.
        notes: What could not be looked at, and why.
    """

    rule: str
    state: Literal["passed", "broken", "exempt"]
    text: str = ""
    notes: tuple[str, ...] = ()


def exemption(rule: Rule, subject: Subject) -> str | None:
    """Return why a rule does not apply to a plugin: by its capabilities, or by its driver's sentence.

    Raises:
        Broken: The driver exempts it without a sentence, or from a rule that nobody is exempted from.
    """
    reason = rule.applies(subject.integration())
    if reason is not None:
        return reason
    sentences = sandbox_driver(subject).exempt
    if unknown := sorted(sentences.keys() - {one.key for one in RULES}):
        raise Broken(f"the driver exempts from rules that do not exist: {', '.join(unknown)}")
    if rule.key not in sentences:
        return None
    if not rule.exemptible:
        raise Broken(f"nobody is exempted from {rule.key}: it is a promise of every connected CRM")
    if not sentences[rule.key].strip():
        raise Broken(f"the driver exempts from {rule.key} without a sentence that says why")
    return sentences[rule.key]


async def check(rule: Rule, subject: Subject, database_url: str | None = None) -> Outcome:
    """Run one rule; it never raises what a plugin or its driver raises."""
    stage = Stage(subject, database_url)
    try:
        reason = exemption(rule, subject)
        if reason is not None:
            return Outcome(rule.key, "exempt", reason)
        await rule.check(stage)
    except (Broken, UnexpectedAnswer) as error:
        return Outcome(rule.key, "broken", str(error), tuple(stage.notes))
    except Exception as error:  # noqa: BLE001 - whatever a third party's plugin or driver raises breaks the rule
        return Outcome(rule.key, "broken", f"{type(error).__name__}: {error}", tuple(stage.notes))
    return Outcome(rule.key, "passed", notes=tuple(stage.notes))


def run(
    subject: Subject, rules: Iterable[Rule] = RULES, said: Callable[[Rule, Outcome], Any] | None = None
) -> list[Outcome]:
    """Run rules one after the other, each in a world of its own; ``said`` hears of each at once."""
    outcomes: list[Outcome] = []
    for rule in rules:
        outcome = asyncio.run(check(rule, subject))
        outcomes.append(outcome)
        if said is not None:
            said(rule, outcome)
    return outcomes
