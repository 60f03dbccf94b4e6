"""One custom field value in its shapes: ours, that of v2 bodies, and the flat one of v1 leads.

Source: ``VENDOR.md``, chapter 6.2. What webhooks carry is a third shape; it is never read, since a
webhook is a hint and the record is read again.
"""

import re
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Any

from gateway.sdk.values import text_of
from gateway_schemas.base import FieldValue, Money
from gateway_schemas.records import Field

CUSTOM_KEY = re.compile(r"[0-9a-f]{40}")
"""Key of a custom field: 40 hexadecimal characters, other in each company."""

_FLAT_KEY = re.compile(r"([0-9a-f]{40})(?:_(\w+))?")


class Unshaped(ValueError):
    """A value cannot be written into a field of this type; the message says why, without the value."""


def to_v2(field: Field, value: FieldValue, currency: str) -> Any:
    """Return a value as v2 takes it in ``custom_fields``.

    Args:
        field: Decides the shape by its type.
        value: In our terms; ``None`` clears the field (a multi-option field too: an empty list is refused).
        currency: Of a bare number in a money field (ISO 4217).

    Raises:
        Unshaped: The value is none of this type.
    """
    if value is None or value == [] or value == "":
        return None
    match field.type:
        case "number":
            return number(value)
        case "money":
            return money(value, currency)
        case "option" | "user":
            return identifier(value)
        case "options":
            return [identifier(one) for one in (value if isinstance(value, list) else [value])]
        case "time" | "address":
            return {"value": text_of(value)}
        case "other":
            raise Unshaped("fields of this type cannot be written")
        case _:
            return text_of(value)


def to_v1(field: Field, value: FieldValue, currency: str) -> dict[str, Any]:
    """Return a value as the flat keys of a v1 lead.

    Raises:
        Unshaped: The value is none of this type.
    """
    shaped = to_v2(field, value, currency)
    if shaped is None:
        return {field.key: None}
    match field.type:
        case "money":
            return {field.key: shaped["value"], f"{field.key}_currency": shaped["currency"]}
        case "option":
            return {field.key: str(shaped)}
        case "options":
            return {field.key: ",".join(str(one) for one in shaped)}
        case "time" | "address":
            return {field.key: shaped["value"]}
        case _:
            return {field.key: shaped}


def from_v2(raw: Any) -> FieldValue:
    """Return a value of ``custom_fields`` in our terms; the shape tells the type as far as it matters.

    An option comes as its id (a number), a range as ``from/until``.
    """
    match raw:
        case None | "" | []:
            return None
        case bool() | str() | int():
            return raw
        case Decimal() | float():
            return plain(raw)
        case list():
            return [one if isinstance(one, str) else str(_inner(one)) for one in raw]
        case {"currency": str(currency), "value": (int() | float() | Decimal()) as amount} if currency:
            return Money(amount=Decimal(str(amount)), currency=currency)
        case {"value": str(start), "until": str(end)}:
            return f"{start}/{end}"
        case dict():
            return from_v2(_inner(raw))
    return str(raw)


def from_v1(raw: Mapping[str, Any]) -> dict[str, FieldValue]:
    """Return the custom fields among the flat keys of a v1 lead; those that are absent are empty."""
    grouped: dict[str, dict[str, Any]] = {}
    for key, value in raw.items():
        if (match := _FLAT_KEY.fullmatch(key)) is not None:
            grouped.setdefault(match[1], {})[match[2] or "value"] = value
    return {
        key: from_v2(parts if set(parts) & {"currency", "until"} else parts.get("value"))
        for key, parts in grouped.items()
    }


def same(held: Any, shaped: Any) -> bool:
    """Say whether the vendor holds a v2 value already: parts that it adds (a time zone, an address) do not count."""
    if isinstance(held, dict) and isinstance(shaped, dict):
        return all(same(held.get(key), value) for key, value in shaped.items())
    if isinstance(held, list) and isinstance(shaped, list):
        return {str(_inner(one)) for one in held} == {str(one) for one in shaped}
    if isinstance(held, int | float | Decimal) and isinstance(shaped, int | float):
        return Decimal(str(held)) == Decimal(str(shaped))
    return bool((held or None) == shaped)


def number(value: FieldValue) -> int | float:
    """Return a JSON number: v2 refuses ``"3"``.

    Raises:
        Unshaped: It is no finite number.
    """
    try:
        exact = value.amount if isinstance(value, Money) else Decimal(str(value))
    except InvalidOperation:
        raise Unshaped("it is not a number") from None
    if isinstance(value, bool | list) or not exact.is_finite():
        raise Unshaped("it is not a number")
    return plain(exact)


def money(value: FieldValue, currency: str) -> dict[str, Any]:
    """Return amount and currency, both of which are always sent."""
    return {"value": number(value), "currency": value.currency if isinstance(value, Money) else currency}


def identifier(value: FieldValue) -> int | str:
    """Return the id of an option or a user: a number where it is one; built-in options may have words.

    Raises:
        Unshaped: It names nothing, or several.
    """
    if isinstance(value, list):
        if len(value) != 1:
            raise Unshaped("it is not exactly one option")
        value = value[0]
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise Unshaped("it is not the id of an option")
    return int(value) if str(value).isdecimal() else str(value)


def plain(value: Decimal | float) -> int | float:
    """Return an int where there is no fraction, else a float."""
    exact = Decimal(str(value))
    return int(exact) if exact == exact.to_integral_value() else float(exact)


def _inner(raw: Any) -> Any:
    """Return the id of ``{"id", "label"}`` or the value of ``{"value", …}``."""
    return raw.get("id", raw.get("value")) if isinstance(raw, dict) else raw
