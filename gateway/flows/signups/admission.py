"""Decide what each signup of a list means, given the people who are there: new, the same person again, or refused.

Pure: the people are handed in, and what is decided about one item is seen by the next, so two items of a list may be
the same person, or name each other. ``signup`` loads the people and stores the plan; when another process was
first, it loads again and decides anew.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, Literal

import msgspec
from msgspec.structs import replace

from gateway.flows.signups.codes import link_for, mint_code
from gateway.flows.signups.directory import Directory
from gateway.flows.signups.intake import Item
from gateway.flows.signups.matching import match_person, match_referrer, sharing
from gateway.storage.people import Name, PersonRow, new_person_id
from gateway.storage.pushes import Destination, Place
from gateway_schemas.problem import FieldProblem
from gateway_schemas.signup import SignupReferrer


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
        people: Everybody concerned, as they will stand.
        created: Ids of people who are not stored yet.
        changed: Ids of people who were there and are completed.
        accepted: Ids of people whose signup counts from now, in order.
        referrals: How many people each referrer brought with this list.
        self_referred: Ids of people whose referrer turned out to be themselves, and is dropped.
    """

    def __init__(self, people: Iterable[PersonRow], destinations: Mapping[Place, Destination]) -> None:
        self.people = Directory(people)
        self._destinations = destinations
        self.created: dict[str, None] = {}
        self.changed: dict[str, None] = {}
        self.accepted: dict[str, None] = {}
        self.referrals: Counter[str] = Counter()
        self.self_referred: dict[str, None] = {}

    def admit(self, item: Item, now: datetime) -> Decision:
        """Decide about one signup, and remember what it changes."""
        problems: list[FieldProblem] = []
        before = match_person(self.people, item, problems)
        referrer = match_referrer(self.people, item, before, problems)
        if problems:
            return Decision(outcome="refused", problems=problems)
        given = item.signup.referrer
        referrer_id = None if given is None else self._keep_referrer(item, given, referrer, now)
        if before is None:
            person = self._new_person(item, referrer_id, now)
            self.created[person.id] = None
        else:
            before = self.people.row(before.id)  # as it stands after what was learnt of the referrer
            person = self._completed_person(item, before, referrer_id, now)
        joined = before is None or not before.signed_up
        if joined:
            self.accepted[person.id] = None
        if person.referrer_id is not None and _counts(person) and not (before is not None and _counts(before)):
            self.referrals[person.referrer_id] += 1
        if person != before:
            self._store(person)
        if person.role == "referrer":
            self._drop_self_referral(person)
        return Decision(outcome="new" if joined else "known", person_id=person.id)

    # --- who referred ------------------------------------------------------------------------------

    def _keep_referrer(self, item: Item, given: SignupReferrer, known: PersonRow | None, now: datetime) -> str:
        """Keep the referrer with what the signup says, completing what was empty; return the id.

        A code is minted when they sign up themselves: before that nobody could tell it to them.
        """
        said: dict[str, Any] = {
            "external_id": given.external_id,
            "code": given.code,
            "email": item.referrer_email,
            "email_hash": item.referrer_hash,
            "first_name": given.first_name,
            "last_name": given.last_name,
            "link": given.link,
        }
        if known is None:
            twin = self._take_over_shared(item, said)
            return twin.id if twin is not None else self._named_referrer(item, said, now)
        filled = {name: value for name, value in said.items() if value is not None and getattr(known, name) is None}
        if known.test and not known.signed_up and not item.signup.test:
            filled["test"] = False
        if filled:
            known = replace(known, **filled, updated_at=now)
            self._store(known)
            self._drop_self_referral(known)
        return known.id

    def _take_over_shared(self, item: Item, said: dict[str, Any]) -> PersonRow | None:
        """Fill in who it is, where the code is a referred person's own; return them as a referrer, if they are one."""
        shared = sharing(self.people, item)
        if shared is None:
            return None
        for name in ("email", "email_hash", "first_name", "last_name", "link"):
            said[name] = said[name] or getattr(shared, name)
        taken = self.people.look_up(item, "referrer", "external_id", shared.external_id)
        own = item.signup.person.external_id if item.signup.role == "referrer" else None  # who signs up keeps it
        if said["external_id"] is None and taken is None and shared.external_id != own:
            said["external_id"] = shared.external_id
        return self.people.look_up(item, "referrer", "email_hash", said["email_hash"])

    def _named_referrer(self, item: Item, said: dict[str, Any], now: datetime) -> str:
        named = PersonRow(
            id=new_person_id(),
            account_id=item.call.account_id,
            campaign_id=item.call.campaign_id,
            role="referrer",
            signed_up=False,
            test=item.signup.test,
            crm="held",
            crm_cause="not_signed_up",
            crm_since=now,
            signed_up_at=now,
            created_at=now,
            updated_at=now,
            **said | {"link": said["link"] or link_for(item.call.link_template, said["code"])},
        )
        self.created[named.id] = None
        self._store(named)
        return named.id

    def _drop_self_referral(self, referrer: PersonRow) -> None:
        """Part a referral from its referrer if both turn out to be one person: the e-mail is known only now."""
        if referrer.email_hash is None:
            return
        name = Name(referrer.account_id, referrer.campaign_id, "referred", referrer.email_hash)
        own = self.people.find("email_hash", name)
        if own is None or own.referrer_id != referrer.id or own.state != "pending":
            return
        if not own.test:
            self.referrals[referrer.id] -= 1
        self._store(replace(own, referrer_id=None))
        self.self_referred[own.id] = None

    # --- who signs up ------------------------------------------------------------------------------

    def _new_person(self, item: Item, referrer_id: str | None, now: datetime) -> PersonRow:
        given, signup, template = item.signup.person, item.signup, item.call.link_template
        code = given.code or (mint_code() if template else None)
        return PersonRow(
            id=new_person_id(),
            account_id=item.call.account_id,
            campaign_id=item.call.campaign_id,
            role=signup.role,
            email=item.email,
            email_hash=item.email_hash,
            first_name=given.first_name,
            last_name=given.last_name,
            phone=given.phone,
            external_id=given.external_id,
            code=code,
            link=given.link or link_for(template, code),
            fields=given.fields,
            source=signup.source,
            test=signup.test,
            state="pending" if signup.role == "referred" else None,
            referrer_id=referrer_id,
            signed_up_at=_utc(signup.signed_up_at, now),
            accepted_at=now,
            created_at=now,
            updated_at=now,
            crm_since=now,
            **self._crm(item),
        )

    def _completed_person(self, item: Item, before: PersonRow, referrer_id: str | None, now: datetime) -> PersonRow:
        """Return the person with what was empty filled in; one who was only named is signed up from now."""
        given, signup, template = item.signup.person, item.signup, item.call.link_template
        changes: dict[str, Any] = {}
        for name in ("first_name", "last_name", "phone", "external_id", "code", "link"):
            value = getattr(given, name)
            if value is not None and getattr(before, name) is None:
                changes[name] = value
        if before.email_hash is None:
            changes |= {"email": item.email, "email_hash": item.email_hash}
        new_answers = {key: value for key, value in given.fields.items() if before.fields.get(key) in (None, "")}
        if new_answers:
            changes["fields"] = {**before.fields, **new_answers}
        code = changes.get("code", before.code)
        if code is None and template:
            code = changes["code"] = mint_code()
        if changes.get("link", before.link) is None and (link := link_for(template, code)) is not None:
            changes["link"] = link
        if referrer_id is not None and before.referrer_id is None and before.state in (None, "pending"):
            changes["referrer_id"] = referrer_id
        if before.test and not signup.test:
            changes["test"] = False  # the signup was tried out before, and is meant now
        if not before.signed_up:
            changes |= self._joins(item, before, now)
        return replace(before, **changes, updated_at=now) if changes else before

    def _joins(self, item: Item, before: PersonRow, now: datetime) -> dict[str, Any]:
        """Return what changes when somebody who was only named signs up."""
        signup = item.signup
        joins: dict[str, Any] = {
            "signed_up": True,
            "source": signup.source,
            "signed_up_at": _utc(signup.signed_up_at, now),
            "accepted_at": now,
            "test": signup.test,
        }
        if before.crm != "linked":  # an imported contact has its record already
            joins |= self._crm(item) | {"crm_since": now}
        return joins

    def _crm(self, item: Item) -> dict[str, Any]:
        destination = self._destinations.get(Place(item.call.account_id, item.call.campaign_id, item.signup.role))
        if destination is None:
            return {"crm": "held", "crm_cause": "no_connection"}
        if destination.setup_id is None:
            return {"crm": "held", "crm_cause": "no_setup"}
        return {"crm": "waiting", "crm_cause": None}

    def _store(self, person: PersonRow) -> None:
        if person.id not in self.created:
            self.changed[person.id] = None
        self.people.put(person)


def _counts(person: PersonRow) -> bool:
    """Say whether a person counts for a referrer."""
    return person.role == "referred" and person.signed_up and person.referrer_id is not None and not person.test


def _utc(given: datetime | None, now: datetime) -> datetime:
    return now if given is None else min(given.astimezone(UTC), now)
