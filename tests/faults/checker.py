"""Hold a history to the promises: pure, so that a table can prove it, and mutations of the product too.

Each finding has a word: ``lost``, ``doubled``, ``unnamed`` (refused or held without a cause), ``unfinished``,
``from_nowhere``, ``answered_otherwise``, ``untold``, ``told_twice`` (one fact as two events), ``unknown_event``,
``unbalanced``, ``not_qualified``, ``wrongly_qualified``.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator

import msgspec

from .history import Call, History, Record, Standing

ENDED = {"linked": "delivered", "gone": "delivered", "refused": "refused", "held": "held"}
TOLD = {"linked": "signup.delivered", "refused": "signup.refused", "held": "signup.held"}
ONCE = frozenset({"signup.accepted", "signup.delivered", "referral.qualified"})
PARKED = "setup_needs_attention"


class Finding(msgspec.Struct, frozen=True):
    """Something that must not be."""

    word: str
    what: str


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What became of everything that was accepted."""

    findings: list[Finding]
    accepted: int
    places: dict[str, int]
    events: int
    repeated_events: int

    def count(self, word: str) -> int:
        """Return how many findings have this word."""
        return sum(one.word == word for one in self.findings)

    @property
    def words(self) -> set[str]:
        """The words of all findings."""
        return {one.word for one in self.findings}


def check(history: History) -> Verdict:
    """Return everything that a history shows and the promises forbid."""
    people = {one.person: one for one in history.people}
    accepted = {one.person for one in history.calls if one.status == 202 and one.person is not None}
    places: Counter[str] = Counter()
    for person in accepted:
        places[_place(people.get(person))] += 1
    findings = [
        *_answers(history.calls),
        *_whereabouts(history, people, accepted),
        *_records(history, people),
        *_events(history, people, accepted),
        *_qualified(history, people),
    ]
    if history.unbalanced:
        findings.append(Finding("unbalanced", history.unbalanced))
    return Verdict(
        findings=findings,
        accepted=len(accepted),
        places=dict(places),
        events=len(history.feed),
        repeated_events=sum(times - 1 for times in history.received.values()),
    )


def _place(standing: Standing | None) -> str:
    if standing is None:
        return "lost"
    if standing.crm == "waiting":
        return "parked" if standing.cause == PARKED else "under_way"
    return ENDED.get(standing.crm, standing.crm)


def _answers(calls: list[Call]) -> Iterator[Finding]:
    """One key has one answer, and one e-mail of a campaign and role is one person."""
    by_key: dict[tuple[str, str, str], set[tuple[str | None, str | None]]] = defaultdict(set)
    by_person: dict[tuple[str, str, str, str], set[str]] = defaultdict(set)
    for call in calls:
        if call.status == 202 and call.person is not None:
            by_key[call.account, call.campaign, call.key].add((call.person, call.outcome))
            by_person[call.account, call.campaign, call.role, call.email.casefold()].add(call.person)
    for (_, _, key), answers in by_key.items():
        if len(answers) > 1:
            yield Finding("answered_otherwise", f"key {key}: {sorted(map(str, answers))}")
    for where, ids in by_person.items():
        if len(ids) > 1:
            yield Finding("doubled", f"{where} was accepted as {sorted(ids)}")


def _whereabouts(history: History, people: dict[str, Standing], accepted: set[str]) -> Iterator[Finding]:
    """Everybody who was accepted is in the CRM once, or has a name for why not."""
    held: Counter[tuple[str, str, str]] = Counter(
        (one.account, one.kind, one.belongs.casefold()) for one in history.records
    )
    for person in sorted(accepted):
        standing = people.get(person)
        if standing is None:
            yield Finding("lost", f"{person} was accepted and is not known")
            continue
        place = _place(standing)
        if place == "under_way":
            yield Finding("unfinished", f"{person} is still on its way")
        elif place in {"refused", "held"} and not standing.cause:
            yield Finding("unnamed", f"{person} is {place} without a cause")
        if place != "delivered":
            continue
        for kind in history.expected[standing.role]:
            belongs = standing.email if kind == "contact" else person
            if held[standing.account, kind, belongs.casefold()] == 0:
                yield Finding("lost", f"{person} is said to be delivered, and the CRM has no {kind}")


def _records(history: History, people: dict[str, Standing]) -> Iterator[Finding]:
    """No record is there twice, and none without a signup that was sent."""
    found: dict[tuple[str, str, str], list[Record]] = defaultdict(list)
    for record in history.records:
        found[record.account, record.kind, record.belongs.casefold()].append(record)
    sent = {(one.account, one.email.casefold()) for one in history.calls}
    for (account, kind, belongs), records in found.items():
        if len(records) > 1:
            yield Finding("doubled", f"{kind} of {belongs} in {account}: {sorted(one.id for one in records)}")
        if kind == "contact":
            known = (account, belongs) in sent
        else:
            person = people.get(belongs)
            known = person is not None and (account, person.email.casefold()) in sent
        if not known:
            yield Finding("from_nowhere", f"{kind} {records[0].id} in {account} belongs to no signup ({belongs})")


def _events(history: History, people: dict[str, Standing], accepted: set[str]) -> Iterator[Finding]:
    """Each fact is one event, and each event reached the receiver."""
    published: Counter[tuple[str | None, str]] = Counter()
    sequences: dict[str, list[int]] = defaultdict(list)
    for event in history.feed:
        published[event.person, event.type] += 1
        if event.person is not None:
            sequences[event.person].append(event.sequence)
        if history.received.get(event.id, 0) == 0:
            yield Finding("untold", f"{event.type} {event.id} of {event.person} was never received")
    known = {event.id for event in history.feed}
    for identifier in history.received.keys() - known:
        yield Finding("unknown_event", f"{identifier} was received and is not in the feed")
    for (person, kind), times in published.items():
        if times > 1 and kind in ONCE:
            yield Finding("told_twice", f"{kind} of {person}: {times} events")
    for person, numbers in sequences.items():
        if len(set(numbers)) < len(numbers):
            yield Finding("told_twice", f"{person} has two events of one sequence number: {sorted(numbers)}")
    for person in sorted(accepted & people.keys()):
        wanted = {"signup.accepted", TOLD.get(people[person].crm, "signup.accepted")}
        for kind in sorted(wanted):
            if published[person, kind] == 0:
                yield Finding("untold", f"{kind} of {person} was never published")


def _qualified(history: History, people: dict[str, Standing]) -> Iterator[Finding]:
    """Who bought has qualified; nobody else has."""
    if history.bought is None:
        return
    for person in history.bought:
        if person not in people or people[person].state != "qualified":
            yield Finding("not_qualified", f"{person} bought, and the referral is not qualified")
    for person, standing in people.items():
        if standing.state == "qualified" and person not in history.bought:
            yield Finding("wrongly_qualified", f"{person} is qualified and bought nothing")
