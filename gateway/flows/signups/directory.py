"""The people whom a list of signups may mean, by what names them; what one item changes is seen by the next."""

from collections.abc import Iterable

from gateway.flows.signups.intake import Item
from gateway.storage.people import Identifier, Name, PersonRow
from gateway_schemas.manifest import Role

IDENTIFIERS: tuple[Identifier, ...] = ("external_id", "code", "email_hash")
"""How a referrer is looked up, in this order."""


class Directory:
    """People by id, and by external id, code and e-mail hash inside their campaign and role."""

    def __init__(self, people: Iterable[PersonRow]) -> None:
        self._people: dict[str, PersonRow] = {}
        self._index: dict[tuple[Identifier, Name], str] = {}
        for person in people:
            self.put(person)

    def row(self, person_id: str) -> PersonRow:
        """Return a person as it will stand."""
        return self._people[person_id]

    def find(self, identifier: Identifier, name: Name) -> PersonRow | None:
        """Return the person whom an identifier names."""
        found = self._index.get((identifier, name))
        return None if found is None else self._people[found]

    def look_up(self, item: Item, role: Role, identifier: Identifier, value: str | None) -> PersonRow | None:
        """Return the person of the item's campaign whom a value names."""
        if value is None:
            return None
        return self.find(identifier, Name(item.call.account_id, item.call.campaign_id, role, value))

    def put(self, person: PersonRow) -> None:
        """Remember a person, under everything that names them."""
        self._people[person.id] = person
        for identifier in IDENTIFIERS:
            value = getattr(person, identifier)
            if value is not None:
                self._index[identifier, Name(person.account_id, person.campaign_id, person.role, value)] = person.id


def names_of(items: Iterable[Item]) -> dict[Identifier, set[Name]]:
    """Return every identifier whose owner matters for these signups."""
    names: dict[Identifier, set[Name]] = {identifier: set() for identifier in IDENTIFIERS}
    for item in items:
        role, person, referrer = item.signup.role, item.signup.person, item.signup.referrer
        wanted: list[tuple[Identifier, Role, str | None]] = [
            ("email_hash", role, item.email_hash),
            ("external_id", role, person.external_id),
            ("code", role, person.code),
        ]
        if role == "referrer":
            wanted.append(
                ("email_hash", "referred", item.email_hash)
            )  # somebody whom they may have brought: themselves
        if role == "referred" and person.code is not None:
            # another item of the list may share this code: who is that among the referrers?
            wanted += [("email_hash", "referrer", item.email_hash), ("external_id", "referrer", person.external_id)]
        if referrer is not None:
            wanted += [
                ("email_hash", "referrer", item.referrer_hash),
                ("email_hash", "referred", item.referrer_hash),
                ("external_id", "referrer", referrer.external_id),
                ("code", "referrer", referrer.code),
                ("code", "referred", referrer.code),
            ]
        for identifier, whose, value in wanted:
            if value is not None:
                names[identifier].add(Name(item.call.account_id, item.call.campaign_id, whose, value))
    return names
