"""Decide what each signup of a list means, given the people who are there: new, the same person again, or refused.

Pure: the people are handed in, and what is decided about one item is seen by the next, so two items of a list may be the same
person, or name each other. ``signup.accept`` loads the people and stores the plan; when another process was first, it loads
again and decides anew.
"""

import secrets
from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, Literal
from urllib.parse import quote

import msgspec
from msgspec.structs import replace

from gateway.flows.intake import Item
from gateway.storage.people import Identifier, Name, PersonRow, new_person_id
from gateway.storage.pushes import Destination, Place
from gateway_schemas.manifest import Role
from gateway_schemas.problem import FieldProblem
from gateway_schemas.signup import SignupReferrer

ALPHABET = "23456789abcdefghjkmnpqrstuvwxyz"
"""Without 0 o 1 i l: codes are read aloud and typed."""

CODE_LENGTH = 13
"""31 ** 13 codes: 64 bits, so nobody guesses one."""

IDENTIFIERS: tuple[Identifier, ...] = ("external_id", "code", "email_hash")
"""How a referrer is looked up, in this order."""


def mint_code() -> str:
    """Return a new referral code that cannot be guessed."""
    return "".join(secrets.choice(ALPHABET) for _ in range(CODE_LENGTH))


def link_for(template: str | None, code: str | None) -> str | None:
    """Return the referral link of a code; ``None`` when the host sends links itself."""
    return template.replace("{code}", quote(code, safe="")) if template and code else None


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """What one signup means.

    Attributes:
        outcome: ``new`` (also a referrer who was only named before), ``known``, or ``refused`` with its problems.
    """

    outcome: Literal["new", "known", "refused"]
    person_id: str | None = None
    problems: list[FieldProblem] = []


class Plan:
    """What is to be stored for a list of signups.

    Attributes:
        created: Ids of people who are not stored yet.
        changed: Ids of people who were there and are completed.
        accepted: Ids of people whose signup counts from now, in order.
        referrals: How many people each referrer brought with this list.
        self_referred: Ids of people whose referrer turned out to be themselves, and is dropped.
    """

    def __init__(self, people: Iterable[PersonRow], destinations: Mapping[Place, Destination]) -> None:
        self._people: dict[str, PersonRow] = {}
        self._index: dict[tuple[Identifier, Name], str] = {}
        self._destinations = destinations
        self.created: dict[str, None] = {}
        self.changed: dict[str, None] = {}
        self.accepted: dict[str, None] = {}
        self.referrals: Counter[str] = Counter()
        self.self_referred: dict[str, None] = {}
        for person in people:
            self._put(person)

    def row(self, person_id: str) -> PersonRow:
        """Return a person as it will stand."""
        return self._people[person_id]

    def find(self, identifier: Identifier, name: Name) -> PersonRow | None:
        """Return the person whom an identifier names."""
        found = self._index.get((identifier, name))
        return None if found is None else self._people[found]

    def admit(self, item: Item, now: datetime) -> Decision:
        """Decide about one signup, and remember what it changes."""
        problems: list[FieldProblem] = []
        person = self._match_person(item, problems)
        referrer = self._match_referrer(item, person, problems)
        if problems:
            return Decision(outcome="refused", problems=problems)
        referrer_id = (
            None if item.signup.referrer is None else self._keep_referrer(item, item.signup.referrer, referrer, now)
        )
        if person is None:
            stored = self._new_person(item, referrer_id, now)
            self.created[stored.id] = None
        else:
            person = self._people[person.id]  # it may have been completed as a referrer a moment ago
            stored = self._completed_person(item, person, referrer_id, now)
        joined = person is None or not person.signed_up
        if joined:
            self.accepted[stored.id] = None
        counts = stored.role == "referred" and stored.referrer_id is not None and not stored.test
        counted = person is not None and person.signed_up and person.referrer_id is not None and not person.test
        if counts and not counted and stored.referrer_id is not None:
            self.referrals[stored.referrer_id] += 1
        if person is None or stored != person:
            self._store(stored)
        if stored.role == "referrer":
            self._drop_self_referral(stored)
        return Decision(outcome="new" if joined else "known", person_id=stored.id)

    # --- whom the signup means -------------------------------------------------------------------

    def _match_person(self, item: Item, problems: list[FieldProblem]) -> PersonRow | None:
        given = item.signup.person
        role = item.signup.role
        person = self._look_up(item, role, "email_hash", item.email_hash)
        for name, value in (("external_id", given.external_id), ("code", given.code)):
            other = self._look_up(item, role, "external_id" if name == "external_id" else "code", value)
            if other is None or (person is not None and other.id == person.id):
                continue
            if person is None and other.email_hash is None:
                person = other  # known by this alone so far
            else:
                problems.append(
                    _problem(f"person.{name}", "It belongs to another person of this campaign and role.", "taken")
                )
        return person

    def _match_referrer(self, item: Item, person: PersonRow | None, problems: list[FieldProblem]) -> PersonRow | None:
        given = item.signup.referrer
        if given is None:
            return None
        values: dict[Identifier, str | None] = {
            "external_id": given.external_id,
            "code": given.code,
            "email_hash": item.referrer_hash,
        }
        found = {name: self._look_up(item, "referrer", name, values[name]) for name in IDENTIFIERS}
        chosen = next(((name, one) for name, one in found.items() if one is not None), None)
        self_named = self._names_self(item, person, values, chosen)
        if self_named is not None:
            problems.append(
                _problem(f"referrer.{_field(self_named)}", "A person cannot be their own referrer.", "self_referral")
            )
            return None
        if chosen is None:
            return None
        by, referrer = chosen
        for name in IDENTIFIERS:
            value, other, theirs = values[name], found[name], getattr(referrer, name)
            differs = other.id != referrer.id if other is not None else theirs is not None and theirs != value
            if value is not None and differs:
                message = f"It names another person than referrer.{_field(by)}; send those that belong together."
                problems.append(_problem(f"referrer.{_field(name)}", message, "referrer_mismatch"))
        return referrer

    def _names_self(
        self,
        item: Item,
        person: PersonRow | None,
        values: Mapping[Identifier, str | None],
        chosen: tuple[Identifier, PersonRow] | None,
    ) -> Identifier | None:
        """Return which identifier of the referrer names the person who signs up."""
        own = {
            "external_id": item.signup.person.external_id,
            "code": item.signup.person.code,
            "email_hash": item.email_hash,
        }
        for name in IDENTIFIERS[::-1]:
            if values[name] is not None and values[name] == own[name]:
                return name
        if chosen is not None:
            by, referrer = chosen
            if referrer.email_hash == item.email_hash or (person is not None and referrer.id == person.id):
                return by
        shared = self._sharing(item)
        return "code" if shared is not None and shared.email_hash == item.email_hash else None

    def _sharing(self, item: Item) -> PersonRow | None:
        """Return the referred person whose own code the referrer's is: someone who was invited, and now invites."""
        given = item.signup.referrer
        found = None if given is None else self._look_up(item, "referred", "code", given.code)
        return found if found is not None and item.referrer_hash in (None, found.email_hash) else None

    def _look_up(self, item: Item, role: Role, identifier: Identifier, value: str | None) -> PersonRow | None:
        return (
            None
            if value is None
            else self.find(identifier, Name(item.call.account_id, item.call.campaign_id, role, value))
        )

    # --- what it makes of them -------------------------------------------------------------------

    def _keep_referrer(self, item: Item, given: SignupReferrer, known: PersonRow | None, now: datetime) -> str:
        """Keep the referrer with what the signup says, completing what was empty; return the id.

        A code is minted when they sign up themselves: before that nobody could tell it to them.
        """
        said: dict[str, Any] = {
            "external_id": given.external_id, "code": given.code, "email": item.referrer_email, "email_hash": item.referrer_hash,
            "first_name": given.first_name, "last_name": given.last_name, "link": given.link,
        }  # fmt: skip
        if known is None:
            shared = self._sharing(item)
            if shared is not None:  # the same person, now as a referrer
                for name in ("email", "email_hash", "first_name", "last_name", "link"):
                    said[name] = said[name] or getattr(shared, name)
                if (
                    said["external_id"] is None
                    and self._look_up(item, "referrer", "external_id", shared.external_id) is None
                ):
                    said["external_id"] = shared.external_id
                twin = self._look_up(item, "referrer", "email_hash", said["email_hash"])
                if twin is not None:
                    return twin.id
            known = PersonRow(
                id=new_person_id(), account_id=item.call.account_id, campaign_id=item.call.campaign_id, role="referrer",
                signed_up=False, test=item.signup.test, crm="held", crm_cause="not_signed_up", crm_since=now,
                signed_up_at=now, created_at=now, updated_at=now,
                **said | {"link": said["link"] or link_for(item.call.link_template, given.code)},
            )  # fmt: skip
            self.created[known.id] = None
            self._store(known)
            return known.id
        filled = {name: value for name, value in said.items() if value is not None and getattr(known, name) is None}
        if filled:
            known = replace(known, **filled, updated_at=now)
            self._store(known)
            self._drop_self_referral(known)
        return known.id

    def _drop_self_referral(self, referrer: PersonRow) -> None:
        """Part a referral from its referrer if both turn out to be one person: the referrer's e-mail is known only now."""
        if referrer.email_hash is None:
            return
        own = self.find("email_hash", Name(referrer.account_id, referrer.campaign_id, "referred", referrer.email_hash))
        if own is None or own.referrer_id != referrer.id or own.state != "pending":
            return
        if not own.test:
            self.referrals[referrer.id] -= 1
        self._store(replace(own, referrer_id=None))
        self.self_referred[own.id] = None

    def _new_person(self, item: Item, referrer_id: str | None, now: datetime) -> PersonRow:
        given, signup = item.signup.person, item.signup
        code = given.code or (mint_code() if item.call.link_template else None)
        return PersonRow(
            id=new_person_id(), account_id=item.call.account_id, campaign_id=item.call.campaign_id, role=signup.role,
            email=item.email, email_hash=item.email_hash, first_name=given.first_name, last_name=given.last_name, phone=given.phone,
            external_id=given.external_id, code=code, link=given.link or link_for(item.call.link_template, code), fields=given.fields,
            source=signup.source, signed_up=True, test=signup.test, state="pending" if signup.role == "referred" else None,
            referrer_id=referrer_id, signed_up_at=_utc(signup.signed_up_at, now), accepted_at=now, created_at=now, updated_at=now,
            crm_since=now, **self._crm(item),
        )  # fmt: skip

    def _completed_person(self, item: Item, person: PersonRow, referrer_id: str | None, now: datetime) -> PersonRow:
        """Return the person with what was empty filled in; one who was only named is signed up from now."""
        given, signup = item.signup.person, item.signup
        changes: dict[str, Any] = {}
        for name in ("first_name", "last_name", "phone", "external_id", "code", "link"):
            value = getattr(given, name)
            if value is not None and getattr(person, name) is None:
                changes[name] = value
        if person.email_hash is None:
            changes |= {"email": item.email, "email_hash": item.email_hash}
        new_answers = {key: value for key, value in given.fields.items() if person.fields.get(key) in (None, "")}
        if new_answers:
            changes["fields"] = {**person.fields, **new_answers}
        code = changes.get("code", person.code)
        if code is None and item.call.link_template:
            code = changes["code"] = mint_code()
        if changes.get("link", person.link) is None and (link := link_for(item.call.link_template, code)) is not None:
            changes["link"] = link
        if referrer_id is not None and person.referrer_id is None and person.state in (None, "pending"):
            changes["referrer_id"] = referrer_id
        if person.test and not signup.test:
            changes["test"] = False  # the signup was tried out before, and is meant now
        if not person.signed_up:
            changes |= {
                "signed_up": True,
                "source": signup.source,
                "signed_up_at": _utc(signup.signed_up_at, now),
                "accepted_at": now,
                "test": signup.test,
            }
            if person.crm != "linked":  # an imported contact has its record already
                changes |= self._crm(item) | {"crm_since": now}
        return replace(person, **changes, updated_at=now) if changes else person

    def _crm(self, item: Item) -> dict[str, Any]:
        destination = self._destinations.get(Place(item.call.account_id, item.call.campaign_id, item.signup.role))
        if destination is None:
            return {"crm": "held", "crm_cause": "no_connection"}
        if destination.setup_id is None:
            return {"crm": "held", "crm_cause": "no_setup"}
        return {"crm": "waiting", "crm_cause": None}

    # --- the people, by what names them ----------------------------------------------------------

    def _store(self, person: PersonRow) -> None:
        if person.id not in self.created:
            self.changed[person.id] = None
        self._put(person)

    def _put(self, person: PersonRow) -> None:
        self._people[person.id] = person
        for identifier in IDENTIFIERS:
            value = getattr(person, identifier)
            if value is not None:
                self._index[identifier, Name(person.account_id, person.campaign_id, person.role, value)] = person.id


def names_of(items: Iterable[Item]) -> dict[Identifier, set[Name]]:
    """Return every identifier whose owner matters for these signups."""
    names: dict[Identifier, set[Name]] = {"email_hash": set(), "external_id": set(), "code": set()}
    for item in items:
        account, campaign, role = item.call.account_id, item.call.campaign_id, item.signup.role
        person, referrer = item.signup.person, item.signup.referrer
        own: list[tuple[Identifier, str, str | None]] = [
            ("email_hash", role, item.email_hash), ("external_id", role, person.external_id), ("code", role, person.code),
        ]  # fmt: skip
        if role == "referrer":
            own.append(("email_hash", "referred", item.email_hash))
        if referrer is not None:
            own += [
                ("email_hash", "referrer", item.referrer_hash), ("email_hash", "referred", item.referrer_hash), ("external_id", "referrer", referrer.external_id),
                ("code", "referrer", referrer.code), ("code", "referred", referrer.code),
            ]  # fmt: skip
        for identifier, whose, value in own:
            if value is not None:
                names[identifier].add(Name(account, campaign, whose, value))
    return names


def _utc(given: datetime | None, now: datetime) -> datetime:
    return now if given is None else min(given.astimezone(UTC), now)


def _field(identifier: str) -> str:
    return "email" if identifier == "email_hash" else identifier


def _problem(field: str, message: str, code: str) -> FieldProblem:
    return FieldProblem(field=field, message=message, code=code)
