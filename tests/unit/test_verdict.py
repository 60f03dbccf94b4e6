"""The verdict is a pure fold: the same for any order and repetition of what was seen."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.flows.referrals.verdict import GONE, Candidate, Case, fold, judge
from gateway.flows.referrals.wording import Seen
from gateway_schemas.campaign import QualificationRule
from gateway_schemas.manifest import Parameter, Requirement, Trigger
from gateway_schemas.records import RecordRef

START = datetime(2026, 3, 1, tzinfo=UTC)
LEAD, DEAL, OTHER = RecordRef(kind="lead", id="l1"), RecordRef(kind="deal", id="7"), RecordRef(kind="deal", id="8")

CONVERTED_AND_STAGE = Trigger(
    key="converted_and_stage",
    label="The lead converts and the deal reaches a stage",
    record_kind="deal",
    targets=["lead"],
    requires=[
        Requirement(fact="converted", label="Converted"),
        Requirement(fact="stage", parameter="stage", label="Stage"),
    ],
    through={"lead": ["converted"]},
    parameters=[Parameter(key="stage", label="Stage", ordered=True)],
    reversed_by=["lost", "deleted"],
)
WON = Trigger(
    key="won",
    label="A deal is won",
    record_kind="deal",
    targets=["deal", "lead", "contact"],
    requires=[Requirement(fact="won", label="Won")],
    through={"deal": ["created"], "lead": ["converted"], "contact": ["contact"]},
    reversed_by=["open", "lost", "deleted"],
)


def seen(ref, name, value=None, *, hours=0, source="webhook", at=True):
    when = START + timedelta(hours=hours)
    return Seen(
        ref=ref, name=name, value=value, at=when if at else None, seen_at=when + timedelta(minutes=1), source=source
    )


def candidate(ref=DEAL, through="converted", state="open", **changes):
    return Candidate(ref=ref, through=through, state=state, **changes)


def staged(**changes):
    values = {
        "trigger": CONVERTED_AND_STAGE,
        "rule": QualificationRule(trigger="converted_and_stage", parameters={"stage": "14"}),
        "target": "lead",
        "accepts": {"stage": ["14", "15"]},
        "labels": {"stage:14": "Proposal", "stage:15": "Contract"},
        "candidates": [candidate()],
        **changes,
    }
    return Case(**values)


def won(reverse="until_issued", **changes):
    values = {
        "trigger": WON,
        "rule": QualificationRule(trigger="won", reverse=reverse),
        "target": "deal",
        "candidates": [candidate(through="created")],
        **changes,
    }
    return Case(**values)


def test_all_requirements_hold_for_one_record():
    verdict = judge(staged(seen=[seen(DEAL, "converted"), seen(DEAL, "stage", "14", hours=1)]))
    assert verdict.qualified
    assert verdict.record == DEAL
    assert verdict.seen == {"converted": None, "stage": "14"}
    assert [condition.met for condition in verdict.explanation.conditions] == [True, True]
    assert "Proposal" in verdict.explanation.conditions[1].label
    assert "2026-03-01 01:00 UTC" in (verdict.explanation.conditions[1].evidence or "")
    assert "webhook" in (verdict.explanation.conditions[1].evidence or "")


def test_requirements_met_by_two_records_do_not_add_up():
    case = staged(
        candidates=[candidate(), candidate(OTHER)], seen=[seen(DEAL, "converted"), seen(OTHER, "stage", "14")]
    )
    assert not judge(case).qualified


def test_a_stage_that_was_passed_counts_and_the_evidence_says_so():
    verdict = judge(staged(seen=[seen(DEAL, "converted"), seen(DEAL, "stage", "15")]))
    assert verdict.qualified
    assert "Contract, which comes later" in (verdict.explanation.conditions[1].evidence or "")


def test_exactly_takes_no_later_stage():
    case = staged(
        rule=QualificationRule(trigger="converted_and_stage", parameters={"stage": "14"}, match="exactly"),
        accepts={"stage": ["14"]},
    )
    later = msgspec_replace(case, seen=[seen(DEAL, "converted"), seen(DEAL, "stage", "15")])
    verdict = judge(later)
    assert not verdict.qualified
    assert verdict.explanation.conditions[1].evidence == "deal 7: seen so far: Contract"


def msgspec_replace(case, **changes):
    import msgspec

    return msgspec.structs.replace(case, **changes)


def test_a_stage_that_was_left_again_counts():
    assert judge(
        staged(seen=[seen(DEAL, "converted"), seen(DEAL, "stage", "14"), seen(DEAL, "stage", "3", hours=2)])
    ).qualified


@pytest.mark.parametrize(
    ("target", "through", "expected"),
    [
        ("deal", "created", True),
        ("lead", "converted", True),
        ("contact", "contact", True),
        ("deal", "contact", False),
        ("lead", "contact", False),
        ("contact", "created", True),  # made by an earlier target of this setup
    ],
)
def test_a_record_counts_by_how_it_belongs(target, through, expected):
    case = won(target=target, candidates=[candidate(through=through, state="won")], seen=[seen(DEAL, "won")])
    assert judge(case).qualified is expected


def test_a_record_of_another_kind_never_counts():
    assert not judge(won(candidates=[candidate(LEAD, through="created")], seen=[seen(LEAD, "won")])).qualified


@pytest.mark.parametrize(
    ("reverse", "state", "qualified", "taken_back"),
    [
        ("until_issued", "won", True, None),
        ("until_issued", "open", False, "open"),
        ("until_issued", "lost", False, "lost"),
        ("until_issued", GONE, False, "deleted"),
        ("until_issued", None, True, None),
        ("never", "lost", True, None),
        ("never", GONE, True, None),
    ],
)
def test_the_state_of_now_takes_back_where_it_is_set_up(reverse, state, qualified, taken_back):
    verdict = judge(won(reverse, candidates=[candidate(through="created", state=state)], seen=[seen(DEAL, "won")]))
    assert verdict.qualified is qualified
    assert verdict.taken_back == taken_back
    if not qualified:
        assert "now" in (verdict.explanation.conditions[-1].evidence or "")


def test_a_record_that_qualified_somebody_else_does_not_count_and_it_is_said():
    verdict = judge(
        won(candidates=[candidate(through="created", state="won", claimed_by="per_other")], seen=[seen(DEAL, "won")])
    )
    assert not verdict.qualified
    assert "per_other" in (verdict.explanation.conditions[-1].evidence or "")


def test_the_record_that_qualified_stays_the_one_while_it_holds():
    both = [candidate(DEAL, "created", "won"), candidate(OTHER, "created", "won")]
    facts = [seen(DEAL, "won", hours=2), seen(OTHER, "won", hours=1)]
    assert judge(won(candidates=both, seen=facts)).record == OTHER  # the first that was won
    assert judge(won(candidates=both, seen=facts, current=DEAL)).record == DEAL
    lost = [candidate(DEAL, "created", "lost"), candidate(OTHER, "created", "won")]
    assert judge(won(candidates=lost, seen=facts, current=DEAL)).record == OTHER


def test_what_cannot_qualify_is_said():
    verdict = judge(won(seen=[seen(DEAL, "won")], cannot="An existing contact; cannot qualify."))
    assert not verdict.qualified
    assert verdict.explanation.note == "An existing contact; cannot qualify."


def test_without_a_rule_or_its_trigger_nothing_qualifies():
    assert "No qualification rule" in (judge(won(rule=None, seen=[seen(DEAL, "won")])).explanation.note or "")
    assert "'won'" in (judge(won(trigger=None, seen=[seen(DEAL, "won")])).explanation.note or "")


def test_without_a_record_every_condition_is_shown_as_unmet():
    explanation = judge(staged(candidates=[], notes=["The signup is not in the CRM (held)."])).explanation
    assert [condition.met for condition in explanation.conditions] == [False, False]
    assert explanation.note == "No deal of this referral has been seen yet. The signup is not in the CRM (held)."


FACTS = st.lists(
    st.builds(
        lambda ref, fact, hours, source, at: seen(ref, *fact, hours=hours, source=source, at=at),
        st.sampled_from([DEAL, OTHER]),
        st.sampled_from([("converted", None), ("stage", "3"), ("stage", "14"), ("stage", "15"), ("won", None)]),
        st.integers(0, 5),
        st.sampled_from(["webhook", "feed", "sweep"]),
        st.booleans(),
    ),
    max_size=8,
)


@given(FACTS, st.data())
def test_order_and_repetition_make_no_difference(facts, data):
    again = data.draw(
        st.permutations([*facts, *data.draw(st.lists(st.sampled_from(facts), max_size=6))] if facts else [])
    )
    assert fold(again) == fold(facts)
    both = [candidate(), candidate(OTHER)]
    for case in (staged(candidates=both), won(target="lead", candidates=both)):
        first = judge(msgspec_replace(case, seen=facts))
        second = judge(msgspec_replace(case, seen=again, candidates=both[::-1]))
        assert first == second


@given(FACTS, FACTS)
def test_seeing_more_never_takes_a_qualification_away(facts, more):
    case = staged(candidates=[candidate(), candidate(OTHER)])
    if judge(msgspec_replace(case, seen=facts)).qualified:
        assert judge(msgspec_replace(case, seen=[*facts, *more])).qualified
