"""The checker by table: a good history has no findings, and each thing that must not be has its word."""

import msgspec
import pytest

from .checker import check
from .history import Call, Event, History, Record, Standing

WHERE = {"account": "acme", "campaign": "spring", "role": "referred", "email": "fred@example.com"}
GOOD = History(
    calls=[
        Call(key="k1", **WHERE),
        Call(key="k1", **WHERE, status=503),
        Call(key="k1", **WHERE, status=202, person="per_1", outcome="accepted"),
        Call(key="k1", **WHERE, status=202, person="per_1", outcome="accepted"),
        Call(key="k2", **WHERE, status=202, person="per_1", outcome="already_signed_up"),
        Call(key="k3", **{**WHERE, "email": "gone@example.com"}),
    ],
    people=[Standing(person="per_1", **WHERE, crm="linked", state="qualified")],
    records=[
        Record(account="acme", kind="contact", id="1", belongs="Fred@example.com"),
        Record(account="acme", kind="lead", id="2", belongs="per_1"),
    ],
    expected={"referred": ["contact", "lead"], "referrer": ["contact"]},
    feed=[
        Event(id="e1", type="signup.accepted", person="per_1", sequence=1),
        Event(id="e2", type="signup.delivered", person="per_1", sequence=2),
        Event(id="e3", type="connection.activated"),
    ],
    received={"e1": 1, "e2": 3, "e3": 1},
    bought=["per_1"],
)


def standing(**changes):
    return [msgspec.structs.replace(GOOD.people[0], **changes)]


def test_a_good_history_has_no_findings():
    verdict = check(GOOD)
    assert verdict.findings == []
    assert (verdict.accepted, verdict.places, verdict.events, verdict.repeated_events) == (1, {"delivered": 1}, 3, 2)


@pytest.mark.parametrize(
    ("words", "changes"),
    [
        ({"lost", "not_qualified"}, {"people": [], "records": GOOD.records[:1]}),
        ({"lost"}, {"records": GOOD.records[:1]}),
        ({"lost"}, {"records": []}),
        ({"doubled"}, {"records": [*GOOD.records, Record(account="acme", kind="lead", id="3", belongs="per_1")]}),
        (
            {"doubled"},
            {"records": [*GOOD.records, Record(account="acme", kind="contact", id="9", belongs="fred@example.com")]},
        ),
        ({"doubled", "lost"}, {"calls": [*GOOD.calls, Call(key="k9", **WHERE, status=202, person="per_2")]}),
        ({"answered_otherwise"}, {"calls": [*GOOD.calls, msgspec.structs.replace(GOOD.calls[2], outcome="held")]}),
        (
            {"from_nowhere"},
            {"records": [*GOOD.records, Record(account="acme", kind="contact", id="9", belongs="eve@example.com")]},
        ),
        (
            {"from_nowhere"},
            {"records": [*GOOD.records, Record(account="bravo", kind="lead", id="9", belongs="per_1")]},
        ),
        ({"from_nowhere"}, {"records": [*GOOD.records, Record(account="acme", kind="lead", id="9", belongs="")]}),
        ({"unfinished", "not_qualified"}, {"people": standing(crm="waiting", state="pending")}),
        ({"unnamed", "untold"}, {"people": standing(crm="refused")}),
        ({"unnamed", "untold"}, {"people": standing(crm="held")}),
        ({"untold"}, {"people": standing(crm="refused", cause="rejected")}),
        ({"untold"}, {"received": {"e1": 1, "e3": 1}}),
        ({"untold"}, {"feed": [GOOD.feed[0], GOOD.feed[2]], "received": {"e1": 1, "e3": 1}}),
        ({"unknown_event"}, {"received": {**GOOD.received, "e9": 1}}),
        (
            {"told_twice"},
            {
                "feed": [*GOOD.feed, Event(id="e4", type="signup.delivered", person="per_1", sequence=3)],
                "received": {**GOOD.received, "e4": 1},
            },
        ),
        (
            {"told_twice"},
            {
                "feed": [*GOOD.feed, Event(id="e4", type="reward.due", person="per_1", sequence=2)],
                "received": {**GOOD.received, "e4": 1},
            },
        ),
        ({"unbalanced"}, {"unbalanced": "accepted 2 is not 1 + 0"}),
        ({"not_qualified"}, {"people": standing(state="pending")}),
        ({"wrongly_qualified"}, {"bought": []}),
    ],
)
def test_each_thing_that_must_not_be_has_its_word(words, changes):
    assert check(msgspec.structs.replace(GOOD, **changes)).words == words


def test_a_named_refusal_hold_or_park_is_no_loss():
    feed = [GOOD.feed[0], Event(id="e2", type="signup.refused", person="per_1", sequence=2), GOOD.feed[2]]
    refused = msgspec.structs.replace(
        GOOD, people=standing(crm="refused", cause="rejected", state="pending"), feed=feed, records=[], bought=[]
    )
    assert check(refused).findings == []
    assert check(refused).places == {"refused": 1}
    parked = msgspec.structs.replace(
        GOOD, people=standing(crm="waiting", cause="setup_needs_attention", state="pending"), records=[], bought=[]
    )
    assert check(parked).findings == []
    assert check(parked).places == {"parked": 1}


def test_what_was_never_answered_may_be_there_or_not():
    calls = [Call(key="k1", **WHERE), Call(key="k1", **WHERE, status=503)]
    there = msgspec.structs.replace(GOOD, calls=calls)
    assert check(there).findings == []
    nothing = msgspec.structs.replace(GOOD, calls=calls, people=[], records=[], feed=[], received={}, bought=[])
    assert check(nothing).findings == []
    assert check(nothing).accepted == 0
