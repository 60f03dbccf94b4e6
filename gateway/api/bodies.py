"""How the API document shows bodies that a handler reads itself, because each item is decoded on its own."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

import msgspec
from litestar.openapi.spec import OpenAPIMediaType, Operation, Parameter, RequestBody, Schema

from gateway_schemas.person import StatusUpdate
from gateway_schemas.signup import Signup


def schema_of(struct: type[msgspec.Struct]) -> dict[str, Any]:
    """Return the JSON Schema of a Struct with everything that it refers to in place."""
    schema = msgspec.json.schema(struct)
    definitions = schema.pop("$defs", {})
    inlined: dict[str, Any] = _inlined(schema, definitions)
    return inlined


def _inlined(value: Any, definitions: Mapping[str, Any]) -> Any:
    if isinstance(value, list):
        return [_inlined(one, definitions) for one in value]
    if not isinstance(value, dict):
        return value
    if "$ref" in value:
        return _inlined(definitions[value["$ref"].rpartition("/")[2]], definitions)
    return {key: _inlined(one, definitions) for key, one in value.items()}


def _list_of(name: str, item: Mapping[str, Any]) -> dict[str, Any]:
    many = {"type": "array", "minItems": 1, "maxItems": 1000, "items": item}
    return {"type": "object", "properties": {name: many}, "required": [name], "additionalProperties": False}


def _body(schema: Mapping[str, Any]) -> RequestBody:
    # Litestar passes plain data on as it is; its type names the class alone
    return RequestBody(content={"application/json": OpenAPIMediaType(schema=cast("Schema", schema))}, required=True)


@dataclass
class SignupsOperation(Operation):
    """``POST …/signups``: one signup or a batch, and the Idempotency-Key."""

    def __post_init__(self) -> None:
        """Show the body and the header."""
        signup = schema_of(Signup)
        self.request_body = _body({"oneOf": [signup, _list_of("signups", signup)]})
        key = Parameter(
            name="Idempotency-Key",
            param_in="header",
            required=False,
            description="The caller's name for this call: the same key and body again are answered as before.",
            schema=cast("Schema", {"type": "string", "pattern": r"^[\x21-\x7e]{1,255}$"}),
        )
        self.parameters = [*(self.parameters or []), key]


@dataclass
class StatusUpdatesOperation(Operation):
    """``PATCH …/people``: up to 1,000 status updates."""

    def __post_init__(self) -> None:
        """Show the body."""
        self.request_body = _body(_list_of("people", schema_of(StatusUpdate)))
