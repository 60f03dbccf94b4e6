"""The quality card: which tiers an integration has, and the rules behind them. Computed, never declared."""

from collections.abc import Sequence
from pathlib import Path

from gateway.testing.conformance.rules import TIERS, Rule, Tier
from gateway.testing.conformance.run import RULES, Outcome, exemption
from gateway.testing.world import Subject

BEGIN = "<!-- quality card: computed by `gateway check-plugin {key} --write README.md`; do not edit -->"
END = "<!-- end of the quality card -->"
MARKS = {"passed": "✓", "broken": "✗", "exempt": "–"}


class NoCard(ValueError):
    """A README has no place for the card; the message says what to put there."""


def tier_of(outcomes: Sequence[Outcome]) -> Tier | None:
    """Return the highest tier of which no rule is broken, nor of those before; ``None`` when bronze is not reached."""
    found = {outcome.rule: outcome for outcome in outcomes}
    reached: Tier | None = None
    for tier in TIERS:
        states = [found[one.key].state for one in RULES if one.tier == tier and one.key in found]
        if "broken" in states or len(states) < sum(one.tier == tier for one in RULES):
            return reached
        if "passed" in states:
            reached = tier
    return reached


def expected(subject: Subject) -> list[Outcome]:
    """Return what comes out when no rule is broken: the card of a README is this, or a rule's own test is red.

    Raises:
        Broken: The driver exempts as it must not.
    """
    return [_unbroken(rule, exemption(rule, subject)) for rule in RULES]


def _unbroken(rule: Rule, reason: str | None) -> Outcome:
    return Outcome(rule.key, "passed") if reason is None else Outcome(rule.key, "exempt", reason)


def render(outcomes: Sequence[Outcome]) -> str:
    """Return the card as Markdown: the tier, then each rule with its mark."""
    found = {outcome.rule: outcome for outcome in outcomes}
    tier = tier_of(outcomes)
    lines = [f"**Quality: {tier or 'no tier yet'}**" + (f": {TIERS[tier]}." if tier is not None else ".")]
    for each, promise in TIERS.items():
        lines += ["", f"*{each.title()}*: {promise}", ""]
        lines += [_line(one, found[one.key]) for one in RULES if one.tier == each and one.key in found]
    lines += ["", "✓ holds, ✗ is broken, – does not apply."]
    return "\n".join(lines)


def _line(rule: Rule, outcome: Outcome) -> str:
    line = f"- {MARKS[outcome.state]} {rule.title}"
    return f"{line}. *{outcome.text}*" if outcome.text else line


def written(text: str, key: str, card: str) -> str:
    """Return a README with the card between its markers.

    Raises:
        NoCard: There are no markers.
    """
    begin = BEGIN.format(key=key)
    head, found, rest = text.partition(begin)
    _, closed, tail = rest.partition(END)
    if not found or not closed:
        raise NoCard(f"there is no place for the card; put these two lines where it belongs:\n{begin}\n{END}")
    return f"{head}{begin}\n{card}\n{END}{tail}"


def write(readme: Path, key: str, card: str) -> bool:
    """Put the card into a README; return whether that changed it. Errors as of ``written``."""
    before = readme.read_text()
    after = written(before, key, card)
    if after == before:
        return False
    readme.write_text(after)
    return True
