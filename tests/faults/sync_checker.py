"""Hold what a contact sync left behind to the promises: pure, so that a table can prove it.

Each finding has a word: ``lost``, ``doubled``, ``untold``, ``told_twice``, ``unwritten``, ``written_again``,
``miscounted``.
"""

from collections import Counter
from collections.abc import Iterator

import msgspec

from .checker import Finding


class Referrer(msgspec.Struct, frozen=True, kw_only=True):
    """A referrer as the API shows one, with the ids of the contacts that are linked to it."""

    email: str
    link: str | None
    records: list[str]


class SyncHistory(msgspec.Struct, frozen=True, kw_only=True):
    """A whole run.

    Attributes:
        contacts: The e-mail of each contact that has one, by id.
        shown: The link that the CRM shows at each contact, by id.
        people: The campaign's referrers.
        told: How often the host was told of each, by e-mail.
        writes: How often each contact was written to while processes were killed, by id.
        later: The same afterwards, while nobody was killed.
        changed: E-mails of those whose count changed, by one, afterwards.
        imported: What the sync says that it has.
        may_repeat: How many writes the kills may have repeated.
    """

    contacts: dict[str, str]
    shown: dict[str, str | None]
    people: list[Referrer]
    told: dict[str, int]
    writes: dict[str, int]
    later: dict[str, int]
    changed: list[str]
    imported: int
    may_repeat: int

    @property
    def repeated(self) -> int:
        """How many writes there were beyond one a contact."""
        return sum(number - 1 for number in self.writes.values())


def check_sync(history: SyncHistory) -> list[Finding]:
    """Return everything that a history shows and the promises forbid."""
    return [*_people(history), *_links(history), *_told(history), *_writes(history)]


def _people(history: SyncHistory) -> Iterator[Finding]:
    """Every contact with an address is one referrer, and linked to that one alone."""
    by_email = Counter(one.email for one in history.people)
    by_record = Counter(record for one in history.people for record in one.records)
    for record, email in history.contacts.items():
        for what, number in ((email, by_email[email]), (f"the link to contact {record}", by_record[record])):
            if number != 1:
                yield Finding("doubled" if number else "lost", f"{what} is there {number} times")
    if history.imported < len(history.contacts):
        yield Finding("miscounted", f"{history.imported} of {len(history.contacts)} are said to be imported")


def _links(history: SyncHistory) -> Iterator[Finding]:
    """The CRM shows each referrer's link."""
    links = {one.email: one.link for one in history.people}
    for record, email in history.contacts.items():
        if (link := links.get(email)) is None or history.shown.get(record) != link:
            yield Finding("unwritten", f"contact {record} shows {history.shown.get(record)}, not {link}")


def _told(history: SyncHistory) -> Iterator[Finding]:
    """The host was told of each of them once."""
    for email in history.contacts.values():
        if (number := history.told.get(email, 0)) != 1:
            yield Finding("told_twice" if number else "untold", f"{email}: {number} times")


def _writes(history: SyncHistory) -> Iterator[Finding]:
    """Each change is written once; what a killed process wrote and did not note, at most a round, is repeated."""
    if history.repeated > history.may_repeat:
        yield Finding("written_again", f"{history.repeated} writes were repeated; {history.may_repeat} may be")
    for record, email in history.contacts.items():
        changes, number = int(email in history.changed), history.later.get(record, 0)
        if number != changes:
            word = "written_again" if number > changes else "unwritten"
            yield Finding(word, f"contact {record}: {number} writes of {changes} changes")
