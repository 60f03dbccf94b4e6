"""Fields of contacts, leads and deals for pickers, and new custom fields.

Built-in fields are shown under the keys that writes take, which are not always the codes of the field lists
(``VENDOR.md``, chapter 6.1: the list says ``email``, the record has ``emails``).
"""

from collections.abc import Iterable
from typing import NamedTuple

from gateway.sdk.connection import Connection
from gateway.sdk.errors import MappingBroken, NotSupported, Rejected
from gateway_pipedrive.client import Pipedrive
from gateway_pipedrive.models import FieldDefinition
from gateway_schemas.records import Field, FieldType, NewField, Option


class BuiltIn(NamedTuple):
    """A built-in field as we show it.

    Attributes:
        key: The key of a record, read and written.
        code: Its code in the vendor's field lists, for its name in the account's language.
    """

    key: str
    label: str
    type: FieldType
    writable: bool = True
    code: str | None = None
    required: bool = False
    max_length: int | None = None


BUILT_IN: dict[str, list[BuiltIn]] = {
    "contact": [
        BuiltIn("first_name", "First Name", "text", required=True, max_length=255),
        BuiltIn("last_name", "Last Name", "text", max_length=255),
        BuiltIn("emails", "Email", "email", code="email", required=True),
        BuiltIn("phones", "Phone", "phone", code="phone"),
        BuiltIn("owner_id", "Owner", "user"),
        BuiltIn("label_ids", "Labels", "options"),
        BuiltIn("name", "Name", "text", writable=False),
        BuiltIn("add_time", "Created at", "datetime", writable=False),
    ],
    "lead": [
        BuiltIn("title", "Title", "text", required=True, max_length=255),
        BuiltIn("value", "Value", "money"),
        BuiltIn("expected_close_date", "Expected close date", "date"),
        BuiltIn("owner_id", "Owner", "user"),
        BuiltIn("label_ids", "Labels", "options"),
    ],
    "deal": [
        BuiltIn("title", "Title", "text", required=True, max_length=255),
        BuiltIn("value", "Value", "money"),
        BuiltIn("expected_close_date", "Expected close date", "date"),
        BuiltIn("probability", "Probability", "number"),
        BuiltIn("owner_id", "Owner", "user"),
        BuiltIn("label_ids", "Labels", "options"),
        # From here: read only, for sale values and the timeline.
        BuiltIn("acv", "Annual contract value", "money", writable=False),
        BuiltIn("arr", "Annual recurring revenue", "money", writable=False),
        BuiltIn("mrr", "Monthly recurring revenue", "money", writable=False),
        BuiltIn("status", "Status", "text", writable=False),
        BuiltIn("stage_id", "Stage", "other", writable=False),
        BuiltIn("pipeline_id", "Pipeline", "other", writable=False),
    ],
    "note": [BuiltIn("content", "Content", "long_text")],
}

TYPES: dict[str, FieldType] = {
    "varchar": "text",
    "varchar_auto": "text",
    "text": "long_text",
    "double": "number",
    "monetary": "money",
    "date": "date",
    "time": "time",
    "enum": "option",
    "set": "options",
    "user": "user",
    "phone": "phone",
    "address": "address",
}
"""The vendor's types in our terms. What is missing (org, people, ranges) is shown and cannot be mapped."""

NEW_TYPES: dict[FieldType, str] = {
    "text": "varchar",
    "long_text": "text",
    "number": "double",
    "money": "monetary",
    "date": "date",
    "datetime": "varchar",
    "time": "time",
    "boolean": "varchar",
    "option": "enum",
    "options": "set",
    "email": "varchar",
    "phone": "phone",
    "url": "varchar",
    "user": "user",
    "address": "address",
}
"""Our types at the vendor, which has none for URLs (links in a varchar can be clicked), truth values or moments."""

MAX_LENGTHS = {"varchar": 255, "varchar_auto": 255, "text": 65_000}


async def list_fields(connection: Connection, record_kind: str) -> list[Field]:
    """Return the fields of a record kind: built-in ones first, then every custom one.

    Raises:
        NotSupported: There is no such kind.
    """
    client = Pipedrive(connection)
    match record_kind:
        case "contact" | "deal":
            found = await (client.person_fields() if record_kind == "contact" else client.deal_fields())
            names = {one.field_code: one.field_name for one in found}
            # Under which of the two codes the lists name the labels is not documented.
            labels = options_of(found, "label_ids") or options_of(found, "label")
        case "lead":
            # Leads inherit the custom fields of deals; only the names of the standard ones are their own.
            found = await client.deal_fields()
            names = {one.key: one.name for one in await client.lead_fields()}
            labels = [Option(value=one.id, label=one.name) for one in await client.lead_labels()]
        case "note":
            found, names, labels = [], {}, []
        case _:
            raise NotSupported(f"Pipedrive has no records of the kind {record_kind!r}")
    custom = [one for one in found if one.is_custom_field]
    users = await _users(connection, client, record_kind, custom)
    built_in = [_built_in(one, names, labels, users) for one in BUILT_IN[record_kind]]
    return built_in + [_custom(one, users) for one in custom]


async def create_field(connection: Connection, record_kind: str, field: NewField) -> Field:
    """Make a custom field, or return the one of this name and type that is there already.

    Names are not unique at the vendor; a second click must not make a second field.

    Raises:
        Rejected: A scope is missing, the plan allows no more fields, or options are missing.
        NotSupported: Fields cannot be made for this kind or type.
    """
    vendor_type = NEW_TYPES.get(field.type)
    if record_kind not in ("contact", "lead", "deal") or vendor_type is None:
        raise NotSupported(f"no field of type {field.type} can be made for the kind {record_kind!r}")
    own_scope = "contact-fields:full" if record_kind == "contact" else "deal-fields:full"
    if connection.granted and not connection.granted & {"admin", own_scope}:
        raise Rejected(
            f"The scope “admin” was not granted, so {field.label!r} cannot be created from here: create the "
            "custom field in Pipedrive (Settings, Data fields), then refresh the list."
        )
    needs_options = vendor_type in ("enum", "set")
    if needs_options and not field.options:
        raise Rejected(f"{field.label!r} needs at least one option")
    client = Pipedrive(connection)
    found = await (client.person_fields() if record_kind == "contact" else client.deal_fields())
    wanted = field.label.strip().casefold()
    made = next(
        (
            one
            for one in found
            if one.is_custom_field and one.field_name.strip().casefold() == wanted and one.field_type == vendor_type
        ),
        None,
    )
    if made is None:
        body: dict[str, object] = {"field_name": field.label.strip(), "field_type": vendor_type}
        if needs_options:
            body["options"] = [{"label": label} for label in field.options]
        made = await client.create_field(record_kind, body)
    return _custom(made, [])


async def writable_fields(
    client: Pipedrive, kind: str, keys: Iterable[str], given: Iterable[Field]
) -> dict[str, Field]:
    """Return the fields that a write names, by key; what the host did not hand in is read.

    Args:
        client: Reads the field list when it has to.
        kind: Record kind that is written.
        keys: Keys of the values.
        given: Fields as the host last saw them.

    Raises:
        MappingBroken: A key is not there any more, or cannot be written.
    """
    wanted = list(keys)
    known = {one.key: one for one in given if one.custom}
    known |= {one.key: _built_in(one, {}, [], []) for one in BUILT_IN[kind]}
    if any(key not in known for key in wanted):
        known |= {one.key: one for one in await custom_fields(client, kind)}
    writable_built_in = {one.key for one in BUILT_IN[kind] if one.writable}
    gone = [key for key in wanted if key not in known or not (known[key].custom or key in writable_built_in)]
    if gone:
        raise MappingBroken(f"Pipedrive has no field {', '.join(gone)} for a {kind} that can be written", gone)
    return {key: known[key] for key in wanted}


async def custom_fields(client: Pipedrive, kind: str) -> list[Field]:
    """Return the custom fields of a kind as they are now; leads have those of deals."""
    if kind == "note":
        return []
    found = await (client.person_fields() if kind == "contact" else client.deal_fields())
    return [_custom(one, []) for one in found if one.is_custom_field]


def options_of(found: Iterable[FieldDefinition], code: str) -> list[Option]:
    """Return the options of one field of a list."""
    return [
        Option(value=str(option.id), label=option.label)
        for one in found
        if one.field_code == code
        for option in one.options or []
    ]


async def _users(
    connection: Connection, client: Pipedrive, record_kind: str, custom: list[FieldDefinition]
) -> list[Option]:
    """Return the users to choose from, where the scope allows and a field asks for one."""
    asked = any(one.type == "user" for one in BUILT_IN[record_kind]) or any(one.field_type == "user" for one in custom)
    if not asked or "users:read" not in connection.granted:
        return []
    return [Option(value=str(one.id), label=one.name) for one in await client.users() if one.active_flag]


def _built_in(one: BuiltIn, names: dict[str, str], labels: list[Option], users: list[Option]) -> Field:
    options = {"label_ids": labels, "owner_id": users}.get(one.key, [])
    return Field(
        key=one.key,
        label=names.get(one.code or one.key) or one.label,
        type=one.type,
        required=one.required,
        # Without the list of users nobody can be chosen, and a made-up id would be refused.
        writable=one.writable and (one.type not in ("user", "options") or bool(options)),
        options=options,
        max_length=one.max_length,
    )


def _custom(one: FieldDefinition, users: list[Option]) -> Field:
    type_ = TYPES.get(one.field_type, "other")
    options = users if type_ == "user" else [Option(value=str(o.id), label=o.label) for o in one.options or []]
    return Field(
        key=one.field_code,
        label=one.field_name,
        type=type_,
        custom=True,
        writable=type_ != "other" and (type_ != "user" or bool(options)),
        options=options,
        max_length=MAX_LENGTHS.get(one.field_type),
    )
