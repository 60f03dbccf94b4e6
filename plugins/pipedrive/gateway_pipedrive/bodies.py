"""Bodies of writes: mapped values in the shapes that persons, leads and deals take. Pure.

Source: ``VENDOR.md``, chapters 6.2 and 7.4 to 7.7. Nulls are left out on creation: v1 refuses them.
"""

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from gateway.sdk.errors import Problem, Rejected
from gateway_pipedrive.models import ContactEntry, Person
from gateway_pipedrive.values import Unshaped, identifier, money, number, same, to_v1, to_v2
from gateway_schemas.base import FieldValue
from gateway_schemas.records import Field

Values = Mapping[str, FieldValue]
Fields = Mapping[str, Field]
Body = dict[str, Any]

_LISTS = ("emails", "phones")


def contact_body(values: Values, fields: Fields, *, email: str, currency: str, owner: str | None) -> Body:
    """Return what makes a person.

    Args:
        values: Mapped values by field key.
        fields: Their fields.
        email: Stands in for a missing e-mail value, and for a missing name: a signup is never lost for that.
        currency: Of bare numbers in money fields.
        owner: The target's owner option; a mapped owner comes first.
    """
    body = _shaped("contact", values, fields, currency)
    first, last = _text(values.get("first_name")), _text(values.get("last_name"))
    body["name"] = " ".join(part for part in (first, last) if part) or email
    for key in _LISTS:
        given = _texts(values.get(key)) or ([email] if key == "emails" else [])
        if given:
            body[key] = [{"value": one, "primary": place == 0, "label": "work"} for place, one in enumerate(given)]
    return _owned(body, owner)


def contact_changes(person: Person, values: Values, fields: Fields, *, overwrite: bool, currency: str) -> Body:
    """Return what to change of a person that was there already; empty when nothing is to be written.

    Args:
        person: As just read: lists are merged with what is there, since a write replaces the whole list.
        values: Mapped values; one without a value never clears a field.
        fields: Their fields.
        overwrite: False fills empty fields only.
        currency: Of bare numbers in money fields.
    """
    shaped = _shaped("contact", values, fields, currency)
    custom = shaped.pop("custom_fields", {})
    held = person.custom_fields or {}
    body: Body = {}
    for key, value in shaped.items():
        now = getattr(person, key)
        if not same(now, value) and (overwrite or _blank(now)):
            body[key] = value
    changed = {
        key: value
        for key, value in custom.items()
        if not same(held.get(key), value) and (overwrite or _blank(held.get(key)))
    }
    if changed:
        body["custom_fields"] = changed
    if (name := _changed_name(person, values, overwrite=overwrite)) is not None:
        body["name"] = name
    for key in _LISTS:
        entries: Sequence[ContactEntry] = getattr(person, key) or []
        merged = _merged(entries, _texts(values.get(key)), overwrite=overwrite)
        if merged is not None:
            body[key] = merged
    return body


def lead_body(
    values: Values, fields: Fields, *, person: str, title: str, reference: str, currency: str, owner: str | None
) -> Body:
    """Return what makes a lead: custom fields flat at the root, our reference as ``origin_id``."""
    body: Body = {"title": title}
    for key, value in values.items():
        if _empty(value):
            continue
        if fields[key].custom:
            body |= _checked("lead", key, lambda key=key, value=value: to_v1(fields[key], value, currency))
        else:
            body[key] = _checked("lead", key, lambda key=key, value=value: _lead_value(key, value, currency))
    return _owned({**body, "person_id": int(person), "origin_id": reference}, owner)


def deal_body(
    values: Values, fields: Fields, *, person: str, title: str, currency: str, options: Mapping[str, str]
) -> Body:
    """Return what makes a deal; a stage is sent without its pipeline, since a mismatch of the two is undefined."""
    body = {"title": title, **_shaped("deal", values, fields, currency), "person_id": int(person)}
    if stage := options.get("stage"):
        body["stage_id"] = int(stage)
    elif pipeline := options.get("pipeline"):
        body["pipeline_id"] = int(pipeline)
    return _owned(body, options.get("owner"))


def note_body(content: str, link: str, record_id: str) -> Body:
    """Return what makes a note on a record: text as HTML, with its line ends."""
    html = "<br>".join(escape(line) for line in content.splitlines())
    return {"content": html, link: record_id if link == "lead_id" else int(record_id)}


def status_body(kind: str, values: Values, fields: Fields, currency: str) -> Body:
    """Return what writes a person's newest values into its record; a value that is gone clears its field."""
    if kind == "lead":
        body: Body = {}
        for key, value in values.items():
            if fields[key].custom:
                body |= _checked(kind, key, lambda key=key, value=value: to_v1(fields[key], value, currency))
            elif not _empty(value):
                body[key] = _checked(kind, key, lambda key=key, value=value: _lead_value(key, value, currency))
        return body
    body = _shaped(kind, {key: value for key, value in values.items() if not _empty(value)}, fields, currency)
    cleared = {key: None for key, value in values.items() if _empty(value) and fields[key].custom}
    if cleared:
        body["custom_fields"] = {**body.get("custom_fields", {}), **cleared}
    return body


def _shaped(kind: str, values: Values, fields: Fields, currency: str) -> Body:
    """Return v2 keys and ``custom_fields`` of all values but names and lists of a contact."""
    body: Body = {}
    custom: Body = {}
    for key, value in values.items():
        if _empty(value) or (kind == "contact" and key in ("first_name", "last_name", *_LISTS)):
            continue
        if fields[key].custom:
            custom[key] = _checked(kind, key, lambda key=key, value=value: to_v2(fields[key], value, currency))
        elif key == "value":
            shaped = _checked(kind, key, lambda value=value: money(value, currency))
            body |= {"value": shaped["value"], "currency": shaped["currency"]}
        else:
            body[key] = _checked(kind, key, lambda key=key, value=value: _built_in_value(key, value))
    if custom:
        body["custom_fields"] = custom
    return body


def _built_in_value(key: str, value: FieldValue) -> Any:
    match key:
        case "owner_id":
            return identifier(value)
        case "label_ids":
            return [identifier(one) for one in (value if isinstance(value, list) else [value])]
        case "probability":
            return number(value)
    return _text(value)


def _lead_value(key: str, value: FieldValue, currency: str) -> Any:
    if key == "value":
        shaped = money(value, currency)
        return {"amount": shaped["value"], "currency": shaped["currency"]}
    # Labels of leads are UUIDs, other than those of persons and deals.
    return _texts(value) if key == "label_ids" else _built_in_value(key, value)


def _changed_name(person: Person, values: Values, *, overwrite: bool) -> str | None:
    """Return the person's new full name, or nothing when it stays; how the vendor splits a name is its own affair."""
    if person.name and not person.first_name and not overwrite:
        return None
    parts = {"first_name": person.first_name, "last_name": person.last_name}
    for key, held in parts.items():
        given = _text(values.get(key))
        if given and (overwrite or not held):
            parts[key] = given
    if parts == {"first_name": person.first_name, "last_name": person.last_name}:
        return None
    name = " ".join(part for part in parts.values() if part)
    return name if name != person.name else None


def _merged(held: Sequence[ContactEntry], given: Sequence[str], *, overwrite: bool) -> list[Body] | None:
    """Return the whole list with what is new at its end, or nothing when it stays as it is."""
    held = [entry for entry in held if entry.value]
    if not given or (held and not overwrite):
        return None
    known = {_comparable(entry.value or "") for entry in held}
    fresh = [one for one in given if _comparable(one) not in known]
    if not fresh:
        return None
    kept = [{"value": entry.value, "primary": entry.primary, "label": entry.label or "work"} for entry in held]
    return kept + [
        {"value": one, "primary": not kept and not place, "label": "work"} for place, one in enumerate(fresh)
    ]


def _comparable(entry: str) -> str:
    """Return an address without its case, or a number without its spelling."""
    if "@" in entry:
        return entry.strip().casefold()
    digits = "".join(char for char in entry if char.isdecimal())
    return digits.removeprefix("00") or entry.strip().casefold()


def _owned(body: Body, owner: str | None) -> Body:
    return {**body, "owner_id": int(owner)} if owner and "owner_id" not in body else body


def _blank(held: Any) -> bool:
    """Say whether the vendor holds nothing; how it shows an unset field of several parts is not documented."""
    return held in (None, [], "") or (isinstance(held, dict) and held.get("value", held.get("id")) is None)


def _empty(value: FieldValue) -> bool:
    return value is None or value in ("", [])


def _text(value: FieldValue) -> str | None:
    return None if _empty(value) else str(value)


def _texts(value: FieldValue) -> list[str]:
    if _empty(value):
        return []
    return [str(one) for one in value] if isinstance(value, list) else [str(value)]


def _checked(kind: str, key: str, shape: Any) -> Any:
    """Shape one value; a value that does not fit is refused by its field's name."""
    try:
        return shape()
    except Unshaped as error:
        message = f"The value for {kind} {key} cannot be written: {error}."
        raise Rejected(
            message, [Problem(field=f"mapping.{kind}.{key}", message=message, code="unfit_value")]
        ) from error
