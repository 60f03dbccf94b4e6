"""Map a signup to the fields of a CRM: sources, what fits what, and rendering. Pure.

The rules of rendering:

- A source without a value leaves its field out; a default of the same field steps in. A field that the setup needs
  (``Field.required``) and that has no value is a *problem*: the push is refused, and says which value is missing.
- A value that does not fit its field is left out with a *note* for the timeline, so that one odd answer in a form
  does not cost the whole signup; if the field is needed it is a problem.
- A text that is too long is cut, with a note, where it only labels (names, campaign name, source, free text of the
  form). A code, link, address or number is worthless when cut: it does not fit.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Literal

import msgspec

from gateway.sdk.errors import Problem
from gateway.sdk.values import Locality, TooLong, Unfit, fit, normalise_email, normalise_phone
from gateway_schemas.base import FieldValue
from gateway_schemas.campaign import FormField, SetupInput
from gateway_schemas.manifest import Role
from gateway_schemas.records import Field, FieldType

__all__ = [
    "COMPATIBLE", "SOURCES", "Locality", "Mapped", "MappingCampaign", "MappingPerson", "Source",
    "fits", "normalise_email", "normalise_phone", "render", "sources_for",
]  # fmt: skip

SourceType = Literal["text", "number", "date", "datetime", "boolean", "email", "phone", "url", "option"]


class Source(msgspec.Struct, frozen=True):
    """Where a value comes from.

    Attributes:
        type: Decides which fields may take it, see ``COMPATIBLE``.
        label: For people.
        labels_only: The text may be cut where a field is shorter.
    """

    type: SourceType
    label: str
    labels_only: bool = False


SOURCES: dict[str, Source] = {
    "person.first_name": Source("text", "First name", labels_only=True),
    "person.last_name": Source("text", "Last name", labels_only=True),
    "person.full_name": Source("text", "Full name", labels_only=True),
    "person.email": Source("email", "E-mail"),
    "person.phone": Source("phone", "Phone"),
    "person.external_id": Source("text", "Id at the referral platform"),
    "person.code": Source("text", "Referral code"),
    "person.link": Source("url", "Referral link"),
    "person.id": Source("text", "Id at the gateway"),
    "person.referral_count": Source("number", "Referral count"),
    "person.converted_referral_count": Source("number", "Converted referral count"),
    "signup.source": Source("text", "Source of the signup", labels_only=True),
    "signup.signed_up_at": Source("datetime", "Time of the signup"),
    "signup.role": Source("text", "Role in the campaign"),
    "campaign.name": Source("text", "Campaign name", labels_only=True),
    "campaign.id": Source("text", "Campaign id"),
    "referrer.first_name": Source("text", "Referrer's first name", labels_only=True),
    "referrer.last_name": Source("text", "Referrer's last name", labels_only=True),
    "referrer.full_name": Source("text", "Referrer's full name", labels_only=True),
    "referrer.email": Source("email", "Referrer's e-mail"),
    "referrer.code": Source("text", "Referrer's code"),
    "referrer.link": Source("url", "Referrer's link"),
    "referrer.external_id": Source("text", "Referrer's id at the referral platform"),
    "referrer.id": Source("text", "Referrer's id at the gateway"),
}
"""Sources that every campaign has; ``person.fields.<key>`` come from the form (``sources_for``)."""

_TEXTS: frozenset[FieldType] = frozenset({"text", "long_text"})
_CHOICES: frozenset[FieldType] = frozenset({"option", "options"})

COMPATIBLE: dict[SourceType, frozenset[FieldType]] = {
    "text": _TEXTS | _CHOICES | {"address"},
    "number": _TEXTS | _CHOICES | {"number", "money"},
    "date": _TEXTS | {"date", "datetime"},
    "datetime": _TEXTS | {"date", "datetime"},
    "boolean": _TEXTS | _CHOICES | {"boolean"},
    "email": _TEXTS | {"email"},
    "phone": _TEXTS | {"phone"},
    "url": _TEXTS | {"url"},
    "option": _TEXTS | _CHOICES | {"boolean", "number"},
}
"""Source type → field types that may take it. Free text goes into no number or date: declare the form field so."""

_FORM_TYPES: dict[str, SourceType] = {
    "text": "text", "long_text": "text", "number": "number", "date": "date", "boolean": "boolean",
    "email": "email", "phone": "phone", "url": "url", "option": "option",
}  # fmt: skip


class MappingPerson(msgspec.Struct, frozen=True, kw_only=True):
    """A person as far as mappings see it; of a referrer only what is known."""

    id: str
    role: Role
    email: str | None = None
    first_name: str | None = None
    last_name: str | None = None
    phone: str | None = None
    external_id: str | None = None
    code: str | None = None
    link: str | None = None
    fields: dict[str, FieldValue] = {}
    source: str | None = None
    signed_up_at: datetime | None = None
    referral_count: int | None = None
    converted_referral_count: int | None = None


class MappingCampaign(msgspec.Struct, frozen=True, kw_only=True):
    """A campaign as far as mappings see it."""

    id: str
    name: str
    fields: list[FormField] = []


class Mapped(msgspec.Struct, frozen=True, kw_only=True):
    """A signup in the CRM's fields.

    Attributes:
        values: Record kind → field key → value.
        problems: Why it cannot be pushed like this.
        notes: What was cut or left out, sentences for the timeline.
    """

    values: dict[str, dict[str, FieldValue]]
    problems: list[Problem] = []
    notes: list[str] = []


def sources_for(form: Sequence[FormField], role: Role) -> dict[str, Source]:
    """Return the sources that a setup of this role may use; somebody who refers may have been referred too."""
    declared = {
        f"person.fields.{one.key}": Source(
            _FORM_TYPES[one.type], one.label, labels_only=one.type in ("text", "long_text", "option")
        )
        for one in form
        if one.role == role
    }
    return SOURCES | declared


def fits(source: Source, field: Field) -> bool:
    """Say whether a field of this type may take values of this source."""
    return field.type in COMPATIBLE[source.type]


def value_of(
    source: str, person: MappingPerson, referrer: MappingPerson | None, campaign: MappingCampaign
) -> FieldValue | datetime:
    """Return the value of a source; ``None`` when there is none."""
    whose, _, name = source.partition(".")
    if whose == "campaign":
        return campaign.name if name == "name" else campaign.id
    if whose == "signup":
        return {"source": person.source, "signed_up_at": person.signed_up_at, "role": person.role}.get(name)
    subject = referrer if whose == "referrer" else person
    if subject is None:
        return None
    if name.startswith("fields."):
        return subject.fields.get(name.removeprefix("fields."))
    if name == "full_name":
        return " ".join(part for part in (subject.first_name, subject.last_name) if part) or None
    value: FieldValue = getattr(subject, name, None)
    return value


def render(
    body: SetupInput,
    fields: Mapping[str, Sequence[Field]],
    *,
    person: MappingPerson,
    referrer: MappingPerson | None,
    campaign: MappingCampaign,
    locality: Locality,
) -> Mapped:
    """Return what a signup writes, by the rules at the head of this module.

    Args:
        body: The setup as saved.
        fields: The setup's fields by record kind (``Resolved.fields``); ``required`` marks what a push needs.
        person: Who signed up.
        referrer: Who referred; ``None`` when nobody is known.
        campaign: The campaign, with its form fields.
        locality: The account's currency, country and time zone.
    """
    rendering = _Rendering(fields, locality)
    sources = sources_for(campaign.fields, person.role)
    for name, rows in (("mapping", body.mapping), ("referrer_fields", body.referrer_fields)):
        for index, row in enumerate(rows):
            source = sources.get(row.source)
            value = value_of(row.source, person, referrer, campaign)
            labels_only = source is not None and source.labels_only
            rendering.take(f"{name}[{index}]", (row.record_kind, row.field), value, may_cut=labels_only)
    for index, default in enumerate(body.defaults):
        place = (default.record_kind, default.field)
        if place not in rendering.values:
            rendering.take(f"defaults[{index}]", place, default.value, may_cut=False)
    return rendering.finish()


Place = tuple[str, str]
"""Record kind and field key."""


class _Rendering:
    """Collects values, and what stood in their way."""

    def __init__(self, fields: Mapping[str, Sequence[Field]], locality: Locality) -> None:
        self.values: dict[Place, FieldValue] = {}
        self._fields = {(kind, field.key): field for kind, found in fields.items() for field in found}
        self._locality = locality
        self._paths: dict[Place, str] = {}
        self._failures: dict[Place, Problem] = {}
        self._notes: list[str] = []

    def take(self, path: str, place: Place, value: FieldValue | datetime, *, may_cut: bool) -> None:
        """Fit one value to its field."""
        self._paths.setdefault(place, path)
        field = self._fields.get(place)
        if field is None:
            gone = f"The field {place[1]} of {place[0]} is gone."
            self._failures[place] = Problem(field=path, message=gone, code="unknown_field")
            return
        try:
            fitted = fit(value, field, self._locality)
        except TooLong as error:
            if not (may_cut and field.type in _TEXTS):
                self._failures[place] = Problem(field=path, message=f"{field.label}: {error}.", code="too_long")
                return
            fitted = cut(error.text, error.limit)
            self._notes.append(f"{field.label} was cut to {error.limit} characters.")
        except Unfit as error:
            self._failures[place] = Problem(field=path, message=f"{field.label}: {error}.", code="unfit_value")
            return
        if fitted is not None:
            self.values[place] = fitted

    def finish(self) -> Mapped:
        """Weigh the failures: which refuse the push, and which leave a field out."""
        problems: list[Problem] = []
        notes = list(self._notes)
        for place, path in self._paths.items():
            failure = self._failures.get(place)
            field = self._fields.get(place)
            if field is None:
                assert failure is not None
                problems.append(failure)
            elif field.required and place not in self.values:
                missing = f"{field.label}: there is no value for it."
                problems.append(failure or Problem(field=path, message=missing, code="missing_value"))
            elif failure is not None:
                then = "its default was taken" if place in self.values else "it was left out"
                notes.append(f"{failure.message.removesuffix('.')}; {then}.")
        by_kind: dict[str, dict[str, FieldValue]] = {}
        for (kind, key), value in self.values.items():
            by_kind.setdefault(kind, {})[key] = value
        return Mapped(values=by_kind, problems=problems, notes=notes)


def cut(text: str, limit: int) -> str:
    """Return the text shortened to ``limit`` characters, with an ellipsis where it was cut."""
    return text if len(text) <= limit else text[: max(limit - 1, 0)].rstrip() + "…"[: min(limit, 1)]
