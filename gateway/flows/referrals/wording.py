"""Say in words what was seen of a record, and which condition of a rule it meets. Pure."""

from collections.abc import Iterable
from datetime import datetime

import msgspec

from gateway_schemas.campaign import QualificationRule
from gateway_schemas.manifest import Requirement
from gateway_schemas.records import RecordRef


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """A fact that was seen of a record.

    Attributes:
        at: When it became true by the vendor's clock, where known.
        seen_at: When we saw it first.
        source: ``webhook``, ``feed``, ``sweep`` or ``push``.
    """

    ref: RecordRef
    name: str
    value: str | None = None
    at: datetime | None = None
    seen_at: datetime
    source: str

    @property
    def when(self) -> datetime:
        """When it became true, as well as we know."""
        return self.at or self.seen_at


def label_of(requirement: Requirement, rule: QualificationRule, labels: dict[str, str]) -> str:
    """Return the requirement in words, with the value that the rule asks for."""
    label = requirement.label or requirement.fact.replace("_", " ").capitalize()
    if requirement.parameter is None or (chosen := rule.parameters.get(requirement.parameter)) is None:
        return label
    later = " or a later one" if rule.match == "or_later" else ""
    return f"{label}: {word_for(labels, requirement, chosen)}{later}"


def word_for(labels: dict[str, str], requirement: Requirement, value: str | None) -> str:
    """Return the name of a value of the requirement's parameter, else the value itself."""
    return labels.get(f"{requirement.parameter}:{value}", value or "")


def evidence_of(found: Seen, requirement: Requirement, rule: QualificationRule, labels: dict[str, str]) -> str:
    """Say which record met a requirement, with which value, when, and who told us."""
    what = f"{found.name.replace('_', ' ')} {word_for(labels, requirement, found.value)}".rstrip()
    chosen = rule.parameters.get(requirement.parameter or "")
    passed = ", which comes later" if chosen is not None and found.value != chosen else ""
    return f"{name_of(found.ref)}: {what}{passed}, {when_of(found)} (seen by {found.source})"


def seen_instead(requirement: Requirement, facts: Iterable[Seen], labels: dict[str, str]) -> str | None:
    """Say what was seen of a requirement with a value, when it is none that counts."""
    named = sorted(
        (fact for fact in facts if fact.name == requirement.fact), key=lambda fact: (fact.when, fact.value or "")
    )
    if not named:
        return None
    values = ", ".join(word_for(labels, requirement, fact.value) for fact in named)
    return f"{name_of(named[0].ref)}: seen so far: {values}"


def name_of(ref: RecordRef) -> str:
    """Return the record's kind and id."""
    return f"{ref.kind} {ref.id}"


def when_of(found: Seen) -> str:
    """Return when a fact became true, to the minute."""
    return f"{found.when:%Y-%m-%d %H:%M} UTC"
