"""Decide whether a referral qualifies, from what was seen of its records: a pure fold.

What was seen is a set, so the verdict is the same for any order and any repetition of it. All requirements of the
trigger must have been met by the *same* record, at any time. Where the setup allows the CRM to take a qualification
back, a record that is in one of the trigger's reversing states now (by the newest reading) does not count.
"""

from collections.abc import Iterable, Sequence
from typing import Any, Literal

import msgspec

from gateway.flows.referrals.wording import Seen, evidence_of, label_of, name_of, seen_instead
from gateway_schemas.campaign import QualificationRule
from gateway_schemas.manifest import Requirement, Trigger
from gateway_schemas.person import Condition, Explanation
from gateway_schemas.records import RecordRef

Through = Literal["created", "converted", "contact"]

GONE = "gone"
"""State of a record that the vendor does not have any more (or does not show): counts as ``deleted``."""


class Candidate(msgspec.Struct, frozen=True, kw_only=True):
    """A record that belongs to the referral.

    Attributes:
        through: How it belongs: we created it, the vendor made it from ours, or it is the contact's.
        state: The vendor's state by the newest reading; null when it was never read.
        claimed_by: Another referral of the campaign that this record has qualified already.
    """

    ref: RecordRef
    through: Through
    state: str | None = None
    claimed_by: str | None = None


class Case(msgspec.Struct, frozen=True, kw_only=True):
    """All that decides about one referral.

    Attributes:
        accepts: For each parameter the values that count (the chosen one and, if so set up, later ones).
        labels: Names of values for people, by ``{parameter}:{value}``.
        current: The record that has qualified the referral so far; it stays the one while it holds.
        cannot: Why this signup cannot qualify whatever happens.
        notes: More to be told to people who ask why it has not qualified yet.
    """

    trigger: Trigger | None
    rule: QualificationRule | None
    target: str = ""
    accepts: dict[str, list[str]] = {}
    labels: dict[str, str] = {}
    candidates: Sequence[Candidate] = ()
    seen: Sequence[Seen] = ()
    current: RecordRef | None = None
    cannot: str | None = None
    notes: Sequence[str] = ()


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What follows from a case.

    Attributes:
        record: The record that decides; null while nothing fits.
        seen: Fact name to the value seen of that record, for the host.
        taken_back: The state of the record that takes the qualification back, else null.
        explanation: The same, condition by condition, for people.
    """

    qualified: bool
    record: RecordRef | None = None
    seen: dict[str, Any] = {}
    taken_back: str | None = None
    explanation: Explanation


def fold(seen: Iterable[Seen]) -> dict[RecordRef, dict[tuple[str, str | None], Seen]]:
    """Return what was seen of each record, each fact once; order and repetition make no difference."""
    folded: dict[RecordRef, dict[tuple[str, str | None], Seen]] = {}
    for one in seen:
        of_record = folded.setdefault(one.ref, {})
        key = (one.name, one.value)
        of_record[key] = _earlier(of_record[key], one) if key in of_record else one
    return folded


def _earlier(one: Seen, other: Seen) -> Seen:
    at = min((time for time in (one.at, other.at) if time is not None), default=None)
    first = min(one, other, key=lambda fact: (fact.seen_at, fact.source))
    return msgspec.structs.replace(first, at=at)


def judge(case: Case) -> Verdict:
    """Return whether the referral qualifies, by which record, and why or why not."""
    if case.rule is None or case.trigger is None:
        unwatched = "No qualification rule is set, so the CRM is not watched for this campaign."
        if case.rule is not None:
            unwatched = f"The CRM offers no trigger {case.rule.trigger!r} any more; choose another qualification rule."
        return Verdict(
            qualified=False, explanation=_explanation(False, None, [], [case.cannot, unwatched, *case.notes])
        )
    trigger, rule = case.trigger, case.rule
    facts = fold(case.seen)
    tried = [
        _try(case, trigger, rule, candidate, facts.get(candidate.ref, {})) for candidate in _allowed(case, trigger)
    ]
    holding = [] if case.cannot else [trial for trial in tried if trial.holds]
    if holding:
        chosen = min(holding, key=lambda trial: (trial.candidate.ref != case.current, trial.rank))
        explanation = _explanation(True, trigger.label, chosen.conditions, case.notes)
        return Verdict(qualified=True, record=chosen.candidate.ref, seen=chosen.values, explanation=explanation)
    if not tried:
        unmet = [Condition(label=label_of(one, rule, case.labels), met=False) for one in trigger.requires]
        missing = f"No {trigger.record_kind} of this referral has been seen yet."
        return Verdict(
            qualified=False, explanation=_explanation(False, trigger.label, unmet, [case.cannot, missing, *case.notes])
        )
    nearest = min(tried, key=lambda trial: (trial.candidate.ref != case.current, -trial.met, trial.rank))
    explanation = _explanation(False, trigger.label, nearest.conditions, [case.cannot, *case.notes])
    return Verdict(
        qualified=False,
        record=nearest.candidate.ref,
        seen=nearest.values,
        taken_back=nearest.taken_back,
        explanation=explanation,
    )


class _Trial(msgspec.Struct, frozen=True, kw_only=True):
    candidate: Candidate
    conditions: list[Condition]
    values: dict[str, Any]
    met: int
    all_met: bool
    taken_back: str | None
    rank: tuple[int, float, str, str]

    @property
    def holds(self) -> bool:
        return self.all_met and self.taken_back is None and self.candidate.claimed_by is None


_ORDER: tuple[Through, ...] = ("created", "converted", "contact")


def _allowed(case: Case, trigger: Trigger) -> list[Candidate]:
    """Return the candidates that the trigger counts.

    A record that we created, or that was made from ours, counts whatever the setup's target is *now*: the signup may be
    older than the target. Records of the contact count only while the target says so.
    """
    anywhere = {through for listed in trigger.through.values() for through in listed}
    allowed = {*trigger.through.get(case.target, []), *(anywhere & {"created", "converted"})}
    return [one for one in case.candidates if one.ref.kind == trigger.record_kind and one.through in allowed]


def _try(
    case: Case,
    trigger: Trigger,
    rule: QualificationRule,
    candidate: Candidate,
    facts: dict[tuple[str, str | None], Seen],
) -> _Trial:
    conditions: list[Condition] = []
    values: dict[str, Any] = {}
    latest = 0.0
    for requirement in trigger.requires:
        found = _meeting(requirement, rule, case.accepts, facts.values())
        label = label_of(requirement, rule, case.labels)
        if found is None:
            conditions.append(
                Condition(label=label, met=False, evidence=seen_instead(requirement, facts.values(), case.labels))
            )
        else:
            values[found.name] = found.value
            latest = max(latest, found.when.timestamp())
            conditions.append(
                Condition(label=label, met=True, evidence=evidence_of(found, requirement, rule, case.labels))
            )
    met = sum(condition.met for condition in conditions)
    all_met = met == len(trigger.requires)
    taken_back = _taken_back(trigger, rule, candidate.state)
    if all_met and taken_back is not None:
        still = f"The {trigger.record_kind} still stands"
        conditions.append(Condition(label=still, met=False, evidence=f"{name_of(candidate.ref)} is {taken_back} now"))
    if candidate.claimed_by is not None:
        free = f"The {trigger.record_kind} has qualified no other referral of this campaign"
        conditions.append(
            Condition(label=free, met=False, evidence=f"{name_of(candidate.ref)} has qualified {candidate.claimed_by}")
        )
    rank = (_ORDER.index(candidate.through), latest if all_met else 0.0, candidate.ref.kind, candidate.ref.id.rjust(40))
    return _Trial(
        candidate=candidate,
        conditions=conditions,
        values=values,
        met=met,
        all_met=all_met,
        taken_back=taken_back,
        rank=rank,
    )


def _meeting(
    requirement: Requirement, rule: QualificationRule, accepts: dict[str, list[str]], facts: Iterable[Seen]
) -> Seen | None:
    """Return the earliest fact that meets the requirement."""
    named = [fact for fact in facts if fact.name == requirement.fact]
    if requirement.parameter is not None and (chosen := rule.parameters.get(requirement.parameter)) is not None:
        counting = {chosen, *accepts.get(requirement.parameter, ())}
        named = [fact for fact in named if fact.value in counting]
    return min(named, key=lambda fact: (fact.when, fact.value or ""), default=None)


def _taken_back(trigger: Trigger, rule: QualificationRule, state: str | None) -> str | None:
    if rule.reverse == "never" or state is None:
        return None
    if state == GONE:
        return "deleted" if "deleted" in trigger.reversed_by else None
    return state if state in trigger.reversed_by else None


def _explanation(
    qualified: bool, rule: str | None, conditions: list[Condition], notes: Iterable[str | None]
) -> Explanation:
    said = " ".join(dict.fromkeys(note for note in notes if note))
    return Explanation(qualified=qualified, rule=rule, conditions=conditions, note=said or None)
