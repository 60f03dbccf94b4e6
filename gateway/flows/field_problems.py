"""What msgspec refused, in our words: which field, and what may be sent instead."""

import re
from collections.abc import Mapping
from typing import Any

import msgspec

from gateway_schemas.problem import FieldProblem

HOST_ID = "Send an id of 1 to 128 characters of A-Z a-z 0-9 . _ ~ -"
CURSOR = "Send `next` of the page before, or leave it out for the first page."
PATTERNS = {
    r"^[A-Za-z0-9._~-]{1,128}$(?!\n)": HOST_ID,
    r"^[A-Za-z0-9._~-]{1,128}$": CURSOR,
    r"^[A-Z]{3}$(?!\n)": "Send a currency by its ISO 4217 code, for example EUR.",
    r"^[A-Z]{2}$(?!\n)": "Send a country by its two capital letters of ISO 3166, for example DE.",
    r"^[a-z]{2,3}(-[A-Z]{2})?$(?!\n)": "Send a language, for example de or en-GB.",
    r"^[a-z][a-z0-9_]{0,63}$(?!\n)": "Send a key of 1 to 64 characters of a-z 0-9 _ that begins with a letter.",
    r"^https?://[^\s]*\{code\}[^\s]*$(?!\n)": "Send an http or https address that has {code} in it.",
    r"^https?://\S+$(?!\n)": "Send an http or https address.",
    r"^\S{1,100}$(?!\n)": "Send 1 to 100 characters without spaces.",
    r"^[\x21-\x7e]{1,128}$(?!\n)": "Send 1 to 128 visible ASCII characters.",
    r"^[\x21-\x7e]{1,255}$(?!\n)": "Send 1 to 255 visible ASCII characters.",
}
"""What each pattern of the contract asks for; those of cursors end alike (``api/cursors.py``)."""

TYPES = {
    "str": "text", "int": "a whole number", "float": "a number", "decimal": "a decimal number as text",
    "bool": "true or false", "object": "an object", "array": "a list", "null": "null",
    "datetime": "a time such as 2026-01-31T12:00:00Z",
}  # fmt: skip

_BY_PATTERN = {repr(pattern): words for pattern, words in PATTERNS.items()}
_PLACE = re.compile(r"[^.\[\]]+|\[[^\]]*\]")


def field_problem(error: msgspec.ValidationError, kind: Any = None) -> FieldProblem:
    """Name the field that msgspec refused, and say what may be sent.

    Its message ends with the path (``- at `$.person.email` ``), or names the unknown or missing field.

    Args:
        error: What it said.
        kind: The type that was asked for, to say which choices there are.
    """
    message, _, path = str(error).partition(" - at `$")
    field = path.removesuffix("`").lstrip(".")
    if message.startswith("Invalid enum value") and (choices := _choices(kind, field)):
        return FieldProblem(field=field, message=f"Send one of: {', '.join(choices)}.")
    if "field `" in message:
        named = message.partition("field `")[2].partition("`")[0]
        field = f"{field}.{named}" if field else named
    if message.startswith("Object contains unknown field"):
        return FieldProblem(field=field, message="There is no such field.", code="unknown_field")
    return FieldProblem(field=field, message=_in_words(message))


def _in_words(message: str) -> str:
    """Return our words for what msgspec said; what we have none for stays as it is."""
    if message.startswith("Object missing required field"):
        return "This field is required."
    if message.startswith("Expected `str` matching regex "):
        pattern = message.removeprefix("Expected `str` matching regex ")
        return CURSOR if pattern.endswith("[0-9a-z]{26}$'") else _BY_PATTERN.get(pattern, message)
    if found := re.fullmatch(r"Expected `(str|array|object)` of length (<=|>=) (\d+)", message):
        one, many = {"str": ("character", "characters"), "array": ("entry", "entries")}.get(found[1], ("key", "keys"))
        number = int(found[3])
        return f"Send at {'most' if found[2] == '<=' else 'least'} {number:,} {one if number == 1 else many}."
    if found := re.fullmatch(r"Expected `\w+` (<=|>=) (-?[\d.]+)", message):
        return f"Send a number of at {'most' if found[1] == '<=' else 'least'} {found[2]}."
    if found := re.fullmatch(r"Expected `([\w |]+)`, got `(\w+)`", message):
        wanted = " or ".join(TYPES.get(one, one) for one in found[1].split(" | "))
        return f"Send {wanted}, not {TYPES.get(found[2], found[2])}."
    return message


def _choices(kind: Any, field: str) -> list[str]:
    """Return the words that a field of a type takes; none where the path does not lead to a list of words."""
    if kind is None:
        return []
    schema = msgspec.json.schema(kind)
    found: list[Any] = _alternatives(schema, schema)
    for step in _PLACE.findall(field):
        inside = [_inside(one, step) for one in found]
        found = [one for schema_of in inside if schema_of for one in _alternatives(schema_of, schema)]
    return [str(word) for one in found for word in one.get("enum", ())]


def _inside(schema: Mapping[str, Any], step: str) -> Any:
    if step == "[...]":
        return schema.get("additionalProperties") or schema.get("items")
    if step.startswith("["):
        return schema.get("items")
    return schema.get("properties", {}).get(step)


def _alternatives(schema: Any, whole: Mapping[str, Any]) -> list[Any]:
    """Return what a schema may be: behind its reference, and each of its alternatives."""
    if not isinstance(schema, dict):
        return []
    if "$ref" in schema:
        return _alternatives(whole["$defs"][schema["$ref"].rpartition("/")[2]], whole)
    if "anyOf" in schema:
        return [found for one in schema["anyOf"] for found in _alternatives(one, whole)]
    return [schema]
