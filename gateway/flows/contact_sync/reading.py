"""Read a contact as the mapping says: who the referrer is, or why there is none. Pure."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from gateway.sdk.mapping import cut, normalise_email
from gateway.sdk.values import text_of
from gateway_schemas.base import FieldValue, Money
from gateway_schemas.campaign import FormField
from gateway_schemas.manifest import ContactSync
from gateway_schemas.records import Record
from gateway_schemas.sync import SyncMapping

LONGEST = {"first_name": 200, "last_name": 200, "phone": 60}
"""Characters that the columns of a person take; names are cut, a phone number that is longer is none."""

MAX_ANSWER = 10_000
STATES = {"deleted": "deleted", "merged": "merged", "inactive": "inactive", "archived": "inactive"}
"""States of a contact that make it no referrer."""


class Contact(msgspec.Struct, frozen=True):
    """A contact as a sync sees it.

    Attributes:
        reason: Why it becomes no referrer; null when it does.
        email: Normalised, with its keyed hash.
        values: Columns of the person that the contact fills.
        answers: Values of form fields.
        holds: What the fields of the write-back hold now.
    """

    record_id: str
    reason: str | None
    email: str | None = None
    email_hash: str | None = None
    values: dict[str, str] = {}
    answers: dict[str, FieldValue] = {}
    holds: dict[str, FieldValue] = {}
    url: str | None = None
    merged_into: str | None = None


class ContactReader:
    """Reads contacts by one mapping.

    Args:
        mapping: Fields of the contact to values of the referrer.
        form: The campaign's form fields, for the types of their answers.
        asked: What the integration says of contact syncs.
        written: Keys of the fields that are written back.
        email_hash: The keyed hash by which people are looked up.
    """

    def __init__(
        self,
        mapping: Sequence[SyncMapping],
        form: Sequence[FormField],
        asked: ContactSync,
        written: Sequence[str],
        email_hash: Callable[[str], str],
    ) -> None:
        by_target = {row.to: row.field for row in mapping}
        self._email = by_target.get("person.email", "")
        self._names = [(name, by_target[f"person.{name}"]) for name in LONGEST if f"person.{name}" in by_target]
        types = {f"person.fields.{one.key}": one.type for one in form if one.role == "referrer"}
        self._answers = [
            (to.removeprefix("person.fields."), field, types[to]) for to, field in by_target.items() if to in types
        ]
        self._do_not_mail = asked.do_not_mail_field
        self._written = list(written)
        self._email_hash = email_hash

    def read(self, record: Record) -> Contact:
        """Return the referrer that a contact means, or why it means none."""
        fields, record_id = record.fields, record.ref.id
        reason = "merged" if record.merged_into is not None else STATES.get(record.state)
        if reason is not None:
            return Contact(record_id, reason, merged_into=record.merged_into)
        if self._do_not_mail is not None and fields.get(self._do_not_mail) is True:
            return Contact(record_id, "do_not_mail")
        given = fields.get(self._email)
        if isinstance(given, list):
            given = next((one for one in given if one), None)
        if given is None or not str(given).strip():
            return Contact(record_id, "no_email")
        try:
            email = normalise_email(str(given))
        except ValueError:
            return Contact(record_id, "invalid_email")
        if len(email) > 320:
            return Contact(record_id, "invalid_email")
        return Contact(
            record_id,
            None,
            email,
            self._email_hash(email),
            {name: text for name, field in self._names if (text := _text(name, fields.get(field)))},
            self._form_answers(fields) if self._answers else {},
            {key: fields.get(key) for key in self._written} if self._written else {},
            record.url,
        )

    def _form_answers(self, fields: Mapping[str, FieldValue]) -> dict[str, FieldValue]:
        found: dict[str, FieldValue] = {}
        for key, field, type_ in self._answers:
            value = fields.get(field)
            if value is None or value == "":
                continue
            answer = _answer(value, type_)
            if answer is not None:
                found[key] = answer
        return found


def _text(name: str, value: FieldValue) -> str | None:
    """Return a value as a column of a person takes it: without the character that PostgreSQL cannot store."""
    if value is None:
        return None
    text = value if isinstance(value, str) else text_of(value)
    text = text.replace("\0", "").strip()
    if not text:
        return None
    limit = LONGEST[name]
    if len(text) <= limit:
        return text
    return None if name == "phone" else cut(text, limit)


def _answer(value: FieldValue, type_: str) -> FieldValue:
    """Return a value as an answer of the form; what does not fit its type is left out."""
    if type_ == "boolean":
        return value if isinstance(value, bool) else None
    if type_ == "number":
        if isinstance(value, Money):
            return float(value.amount)
        return value if isinstance(value, int | float) and not isinstance(value, bool) else None
    return cut(text_of(value).replace("\0", ""), MAX_ANSWER) or None


def equal(held: FieldValue, ours: Any) -> bool:
    """Say whether a field holds our value already: numbers by their value, all else by its text."""
    if held is None or ours is None:
        return held is ours
    numbers = (int, float)
    if isinstance(held, numbers) and isinstance(ours, numbers):
        return float(held) == float(ours)
    return str(held).strip() == str(ours).strip()
