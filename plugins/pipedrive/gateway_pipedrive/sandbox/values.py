"""Custom field values: one kept shape (that of v2) and the three shapes that go over the wire.

Source: ``VENDOR.md``, chapter 6.2. Refusals of v2 name the field's code.
"""

import re
from collections.abc import Callable
from typing import Any

from gateway_pipedrive.sandbox.errors import VendorError, dataset_invalid, schema_failed
from gateway_pipedrive.sandbox.state import Company, FieldDefinition, Kind

Json = dict[str, Any]
_Check = Callable[[Company, FieldDefinition, Any], str | None]

STRINGS = {"varchar": 255, "varchar_auto": 255, "text": 65_535, "phone": 255}
ADDRESS_PARTS = (
    "country",
    "admin_area_level_1",
    "admin_area_level_2",
    "locality",
    "sublocality",
    "route",
    "street_number",
    "subpremise",
    "postal_code",
)
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")
_TIME = re.compile(r"\d{2}:\d{2}(:\d{2})?")
_HASH = re.compile(r"[0-9a-f]{40}")


def is_number(value: Any) -> bool:
    """Tell a JSON number from everything else; ``true`` is none."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def is_integer(value: Any) -> bool:
    """Tell a JSON integer from everything else; ``true`` is none."""
    return isinstance(value, int) and not isinstance(value, bool)


# Writing, v2


def accept_v2(company: Company, entity: Kind, sent: Any) -> Json:
    """Check the ``custom_fields`` of a v2 body and return the values to keep; None in them means cleared.

    Raises:
        VendorError: 400 naming each bad code, so that the whole write fails; 500 for a second ``custom_fields`` inside
            the first (chapter 3, reported).
    """
    if not isinstance(sent, dict):
        raise schema_failed("custom_fields: must be object")
    if "custom_fields" in sent:
        raise VendorError(500, {"success": False, "error": "Internal Server Error", "code": "ERR_UNKNOWN"})
    problems: list[str] = []
    kept: Json = {}
    for code, value in sent.items():
        definition = company.field_by_code(entity, code)
        if definition is None or not definition.is_custom:
            problems.append(f"custom_fields.{code}: Parameter '{code}' is not allowed for this request")
            continue
        problem = None if value is None else check(company, definition, value)
        if problem:
            problems.append(f"custom_fields.{code}: {problem}")
        else:
            kept[code] = complete(company, definition, value)
    if problems:
        raise schema_failed(*problems)
    return kept


def check(company: Company, definition: FieldDefinition, value: Any) -> str | None:
    """Say what is wrong with a v2 value for a field, or nothing."""
    if definition.type in STRINGS:
        if not isinstance(value, str):
            return "must be string"
        longest = STRINGS[definition.type]
        return f"must NOT have more than {longest} characters" if len(value) > longest else None
    return _CHECKS[definition.type](company, definition, value)


def complete(company: Company, definition: FieldDefinition, value: Any) -> Any:
    """Fill in what the vendor adds to a partial value: parts of an address as null, the company's currency."""
    if value is None or value == "":
        return None
    if definition.type == "address":
        return {"value": value["value"], **{part: value.get(part) for part in ADDRESS_PARTS}}
    if definition.type == "monetary":
        return {"value": value["value"], "currency": value.get("currency") or company.default_currency}
    if definition.type == "time":
        return {"value": value["value"], "timezone_id": value.get("timezone_id"), "timezone_name": None} | value
    return value


def _number(company: Company, definition: FieldDefinition, value: Any) -> str | None:
    return None if is_number(value) else "must be number"


def _monetary(company: Company, definition: FieldDefinition, value: Any) -> str | None:
    if not isinstance(value, dict):
        return "must be object"
    if set(value) - {"value", "currency"}:
        return "has unknown parts"
    if not is_number(value.get("value")):
        return "value must be number"
    currency = value.get("currency", company.default_currency)
    return None if isinstance(currency, str) and re.fullmatch("[A-Z]{3}", currency) else "currency must be a code"


def _enum(company: Company, definition: FieldDefinition, value: Any) -> str | None:
    if not is_integer(value):
        return "must be integer"
    return None if any(value == option.id for option in definition.options) else f"option {value} does not exist"


def _set(company: Company, definition: FieldDefinition, value: Any) -> str | None:
    if not isinstance(value, list):
        return "must be array"
    if not value:
        return "must NOT have fewer than 1 items"
    return next((problem for one in value if (problem := _enum(company, definition, one))), None)


def _reference(company: Company, definition: FieldDefinition, value: Any) -> str | None:
    if not is_integer(value):
        return "must be integer"
    held: dict[str, Any] = {"user": company.users, "org": company.organizations, "people": company.persons}
    return None if value in held[definition.type] else f"{definition.type} {value} does not exist"


def _date(company: Company, definition: FieldDefinition, value: Any) -> str | None:
    return None if isinstance(value, str) and _DATE.fullmatch(value) else "must be a date, YYYY-MM-DD"


def _parts(pattern: re.Pattern[str], required: tuple[str, ...], optional: tuple[str, ...] = ()) -> _Check:
    def checked(company: Company, definition: FieldDefinition, value: Any) -> str | None:
        if not isinstance(value, dict):
            return "must be object"
        if unknown := set(value) - {*required, *optional}:
            return f"has unknown parts {sorted(unknown)}"
        for part in required:
            if not (isinstance(value.get(part), str) and pattern.fullmatch(value[part])):
                return f"{part} is missing or malformed"
        return None

    return checked


_ZONE = ("timezone_id", "timezone_name")
_CHECKS: dict[str, _Check] = {
    "double": _number,
    "monetary": _monetary,
    "enum": _enum,
    "set": _set,
    "user": _reference,
    "org": _reference,
    "people": _reference,
    "date": _date,
    "daterange": _parts(_DATE, ("value", "until")),
    "time": _parts(_TIME, ("value",), _ZONE),
    "timerange": _parts(_TIME, ("value", "until"), _ZONE),
    "address": _parts(re.compile(".+", re.DOTALL), ("value",), ADDRESS_PARTS),
}


# Writing a lead in v1


def accept_v1(company: Company, sent: Json) -> Json:
    """Check the flat custom keys of a v1 lead and return the values to keep, in v2 shape.

    Args:
        company: Whose deal fields count: leads inherit them.
        sent: Keys of the body that are no standard lead key.

    Raises:
        VendorError: 400; an unknown key fails the whole write, as the vendor does for a deleted field.
    """
    grouped: dict[str, Json] = {}
    for key, value in sent.items():
        code, _, part = key.partition("_")
        if not _HASH.fullmatch(code) or company.field_by_code("deal", code) is None:
            raise dataset_invalid(f'"{key}" is not allowed')
        grouped.setdefault(code, {})[part or "value"] = value
    kept: Json = {}
    for code, parts in grouped.items():
        definition = company.field_by_code("deal", code)
        assert definition is not None
        value = _from_v1(definition, parts)
        problem = None if value is None else check(company, definition, value)
        if problem:
            raise dataset_invalid(f'"{code}" {problem}')
        kept[code] = complete(company, definition, value)
    return kept


def _from_v1(definition: FieldDefinition, parts: Json) -> Any:
    value = parts.get("value")
    if value is None or value == "":
        return None
    if definition.type == "enum":
        return _as_int(value)
    if definition.type == "set":
        return [_as_int(one) for one in (value.split(",") if isinstance(value, str) else value)]
    if definition.type in {"monetary", "daterange", "time", "timerange", "address"}:
        return parts
    if set(parts) != {"value"}:
        raise dataset_invalid(f'"{definition.code}" has no such parts: {sorted(set(parts) - {"value"})}')
    return value


def _as_int(value: Any) -> Any:
    return int(value) if isinstance(value, str) and value.strip().isdigit() else value


# Reading


def v2_fields(company: Company, entity: Kind, held: Json, *, unset_as_null: bool) -> Json:
    """Return ``custom_fields`` of a v2 record; values of deleted fields are left out."""
    shown: Json = {}
    for definition in company.custom_fields(entity):
        value = held.get(definition.code)
        if value is not None or unset_as_null:
            shown[definition.code] = value
    return shown


def with_labels(company: Company, entity: Kind, shown: Json) -> Json:
    """Turn ids of options into id and label, as ``include_option_labels=true`` asks."""
    labelled: Json = {}
    for code, value in shown.items():
        definition = company.field_by_code(entity, code)
        names = {option.id: option.label for option in definition.options} if definition else {}
        if isinstance(value, list):
            labelled[code] = [{"id": one, "label": names.get(one, "")} for one in value]
        elif definition and definition.type == "enum" and value is not None:
            labelled[code] = {"id": value, "label": names.get(value, "")}
        else:
            labelled[code] = value
    return labelled


def v1_fields(company: Company, held: Json) -> Json:
    """Return the flat keys that a v1 lead carries; nothing for empty ones."""
    flat: Json = {}
    for definition in company.custom_fields("deal"):
        value = held.get(definition.code)
        if value is None:
            continue
        if isinstance(value, dict):
            flat[definition.code] = value["value"]
            flat |= {f"{definition.code}_{part}": one for part, one in value.items() if part != "value"}
        elif isinstance(value, list):
            flat[definition.code] = ",".join(str(one) for one in value)
        else:
            flat[definition.code] = str(value) if definition.type == "enum" else value
    return flat


def webhook_fields(company: Company, entity: Kind, held: Json) -> Json:
    """Return typed ``custom_fields`` of a webhook; empty ones are left out (which the vendor may do)."""
    typed: Json = {}
    for definition in company.custom_fields(entity):
        value = held.get(definition.code)
        if value is not None:
            typed[definition.code] = {"type": definition.type, **_typed(definition.type, value)}
    return typed


def _typed(kind: str, value: Any) -> Json:
    if kind in {"enum", "user", "org", "people"}:
        return {"id": value}
    if kind == "set":
        return {"values": [{"id": one} for one in value]}
    if kind in {"daterange", "timerange"}:
        more = {part: one for part, one in value.items() if part == "timezone_id"}
        return {"from": value["value"], "until": value["until"], **more}
    if kind == "time":
        return {"value": value["value"], "timezone_id": value.get("timezone_id")}
    return value if isinstance(value, dict) else {"value": value}


def texts(company: Company, entity: Kind, held: Json) -> dict[str, str]:
    """Return what the search index holds of custom fields, by code: only types that can be searched (chapter 7.8)."""
    found: dict[str, str] = {}
    for definition in company.custom_fields(entity):
        value = held.get(definition.code)
        if value is not None and definition.type in SEARCHABLE:
            inner = value["value"] if isinstance(value, dict) else value
            found[definition.code] = f"{inner:g}" if isinstance(inner, float) else str(inner)
    return found


SEARCHABLE = frozenset({"address", "varchar", "text", "varchar_auto", "double", "monetary", "phone"})
