"""Field definitions: v2 for persons and deals, v1 for leads; creating and deleting custom fields.

Source: ``VENDOR.md``, chapter 6.1.
"""

from typing import Any, Literal

from gateway_pipedrive.sandbox import checks
from gateway_pipedrive.sandbox.calls import Answer, Call, Operations, good, page_v1, page_v2
from gateway_pipedrive.sandbox.checks import Query, body_v2
from gateway_pipedrive.sandbox.errors import feature_capped, not_found, schema_failed
from gateway_pipedrive.sandbox.shapes import rfc3339, spaced
from gateway_pipedrive.sandbox.state import Company, FieldDefinition, Option, State

Json = dict[str, Any]
Entity = Literal["person", "deal"]
operations = Operations()

TYPES = (
    "varchar",
    "text",
    "double",
    "phone",
    "date",
    "daterange",
    "time",
    "timerange",
    "set",
    "enum",
    "varchar_auto",
    "address",
    "monetary",
    "org",
    "people",
    "user",
)
_BLOCKS = frozenset({"ui_visibility", "important_fields", "required_fields"})
_PERSON_READ = "contacts:read contacts:full contact-fields:full admin"
_DEAL_READ = "deals:read deals:full deal-fields:full admin"

# Built-in fields: code, name, type. Codes of e-mail and phone are not the keys of the record (chapter 6.1).
BUILT_IN: dict[Entity, tuple[tuple[str, str, str], ...]] = {
    "person": (
        ("name", "Name", "varchar"),
        ("first_name", "First name", "varchar"),
        ("last_name", "Last name", "varchar"),
        ("phone", "Phone", "phone"),
        ("email", "Email", "varchar"),
        ("label_ids", "Labels", "set"),
        ("owner_id", "Owner", "user"),
        ("org_id", "Organization", "org"),
        ("visible_to", "Visible to", "visible_to"),
        ("add_time", "Person created", "date"),
        ("update_time", "Update time", "date"),
    ),
    "deal": (
        ("title", "Title", "varchar"),
        ("value", "Value", "monetary"),
        ("status", "Status", "status"),
        ("pipeline_id", "Pipeline", "int"),
        ("stage_id", "Stage", "stage"),
        ("person_id", "Contact person", "people"),
        ("org_id", "Organization", "org"),
        ("owner_id", "Owner", "user"),
        ("label_ids", "Label", "set"),
        ("expected_close_date", "Expected close date", "date"),
        ("visible_to", "Visible to", "visible_to"),
        ("source_lead_id", "Source lead", "lead"),
    ),
}
_LEAD = (
    ("title", "Title", "varchar"),
    ("person_id", "Contact person", "people"),
    ("organization_id", "Organization", "org"),
    ("value", "Value", "monetary"),
    ("owner_id", "Owner", "user"),
    ("label_ids", "Labels", "set"),
    ("expected_close_date", "Expected close date", "date"),
)


@operations.add("GET", 2, "/personFields", cost=10, scopes=_PERSON_READ)
def person_fields(call: Call) -> Answer:
    """List fields of persons."""
    return _list(call, "person")


@operations.add("GET", 2, "/dealFields", cost=10, scopes=_DEAL_READ)
def deal_fields(call: Call) -> Answer:
    """List fields of deals, whose custom ones leads have too."""
    return _list(call, "deal")


@operations.add("GET", 2, "/personFields/{field_code}", cost=1, scopes=_PERSON_READ)
def person_field(call: Call) -> Answer:
    """Return one field of persons."""
    return _one(call, "person")


@operations.add("GET", 2, "/dealFields/{field_code}", cost=1, scopes=_DEAL_READ)
def deal_field(call: Call) -> Answer:
    """Return one field of deals."""
    return _one(call, "deal")


@operations.add("POST", 2, "/personFields", cost=5, scopes="contact-fields:full admin")
def create_person_field(call: Call) -> Answer:
    """Create a custom field of persons."""
    return _create(call, "person")


@operations.add("POST", 2, "/dealFields", cost=5, scopes="deal-fields:full admin")
def create_deal_field(call: Call) -> Answer:
    """Create a custom field of deals, and so of leads."""
    return _create(call, "deal")


@operations.add("DELETE", 2, "/personFields/{field_code}", cost=3, scopes="contact-fields:full admin")
def delete_person_field(call: Call) -> Answer:
    """Delete a custom field of persons."""
    return _delete(call, "person")


@operations.add("DELETE", 2, "/dealFields/{field_code}", cost=3, scopes="deal-fields:full admin")
def delete_deal_field(call: Call) -> Answer:
    """Delete a custom field of deals."""
    return _delete(call, "deal")


@operations.add("GET", 1, "/leadFields", cost=20, scopes="leads:read leads:full admin")
def lead_fields(call: Call) -> Answer:
    """List standard fields of leads and the custom ones that they inherit, in v1 shape, by offset."""
    now = call.sandbox.state.now()
    standard = [
        FieldDefinition(number, "deal", code, name, kind, is_custom=False, add_time=now, update_time=now)
        for number, (code, name, kind) in enumerate(_LEAD, start=1)
    ]
    page, more = page_v1(call.query, standard + list(call.company.custom_fields("deal")), nested=True)
    return good([_field_v1(call, one) for one in page], **more)


def add_built_in(state: State, company: Company) -> None:
    """Give a new company the fields that each one has."""
    now = state.now()
    labels = [Option(company.next_id("option"), "Customer", "green"), Option(company.next_id("option"), "Hot", "red")]
    for entity, rows in BUILT_IN.items():
        for code, name, kind in rows:
            company.fields.append(
                FieldDefinition(
                    company.next_id("field"),
                    entity,
                    code,
                    name,
                    kind,
                    is_custom=False,
                    is_optional=code == "source_lead_id",
                    options=labels if code == "label_ids" else [],
                    add_time=now,
                    update_time=now,
                )
            )


def add_field(
    state: State, company: Company, entity: Entity, name: str, kind: str, options: list[str], code: str | None = None
) -> FieldDefinition:
    """Make a custom field with a 40-character code; names need not be unique."""
    now = state.now()
    made = FieldDefinition(
        company.next_id("field"),
        entity,
        code or state.unguessable(f"field {company.id}"),
        name,
        kind,
        options=[Option(100 + company.next_id("option"), label) for label in options],
        add_time=now,
        update_time=now,
    )
    company.fields.append(made)
    return made


def _list(call: Call, entity: Entity) -> Answer:
    query = Query(call.query, frozenset({"include_fields", "limit", "cursor"}))
    blocks = query.words("include_fields", _BLOCKS)
    held = [one for one in call.company.fields if one.entity == entity and not one.is_deleted]
    page, more = page_v2(query, sorted(held, key=lambda one: one.id), lambda one: one.id)
    return good([_field_v2(one, blocks) for one in page], **more)


def _one(call: Call, entity: Entity) -> Answer:
    query = Query(call.query, frozenset({"include_fields"}))
    found = call.company.field_by_code(entity, call.path["field_code"])
    if found is None:
        raise not_found("Field")
    return good(_field_v2(found, query.words("include_fields", _BLOCKS)))


def _create(call: Call, entity: Entity) -> Answer:
    allowed: dict[str, checks.Check] = {
        "field_name": checks.text,
        "field_type": checks.one_of(*TYPES),
        "options": checks.list_of(_option),
        **dict.fromkeys(_BLOCKS, checks.anything),
    }
    if entity == "deal":
        allowed["description"] = checks.nullable(checks.text)
    body = body_v2(call.body, allowed, ("field_name", "field_type"))
    if len(body["field_name"]) > 255:
        raise schema_failed("field_name: must NOT have more than 255 characters")
    has_options = body["field_type"] in {"enum", "set"}
    if has_options != bool(body.get("options")):
        raise schema_failed("options: needed for enum and set, and only there")
    limit = call.company.custom_fields_limit
    if limit is not None and sum(one.is_custom and not one.is_deleted for one in call.company.fields) >= limit:
        raise feature_capped("Custom fields limit reached.", "feature_capping_custom_fields_limit")
    labels = [option["label"] for option in body.get("options", [])]
    made = add_field(call.sandbox.state, call.company, entity, body["field_name"], body["field_type"], labels)
    made.description = body.get("description")
    return good(_field_v2(made, sorted(_BLOCKS)))


def _delete(call: Call, entity: Entity) -> Answer:
    found = call.company.field_by_code(entity, call.path["field_code"])
    if found is None or not found.is_custom:
        raise not_found("Field")
    found.is_deleted = True
    return good(_field_v2(found, []))


def _option(value: Any) -> str | None:
    if not isinstance(value, dict) or set(value) != {"label"} or not isinstance(value["label"], str):
        return "must be an object with a label"
    return None


def _field_v2(field: FieldDefinition, blocks: list[str]) -> Json:
    shown: Json = {
        "field_name": field.name,
        "field_code": field.code,
        "description": field.description,
        "field_type": field.type,
        "options": _options_v2(field) if field.options else None,
        "subfields": _subfields(field),
        "is_custom_field": field.is_custom,
        "is_optional_response_field": field.is_optional,
    }
    if "ui_visibility" in blocks:
        shown["ui_visibility"] = {"add_visible_flag": False, "details_visible_flag": True}
    if "important_fields" in blocks:
        shown["important_fields"] = {"enabled": False, "stage_ids": []}
    if "required_fields" in blocks:
        shown["required_fields"] = {"enabled": False}
    return shown


def _options_v2(field: FieldDefinition) -> list[Json]:
    added = rfc3339(field.add_time)
    return [
        {"id": one.id, "label": one.label, "color": one.color, "add_time": added, "update_time": added}
        for one in field.options
    ]


def _subfields(field: FieldDefinition) -> list[Json] | None:
    if field.type != "monetary":
        return None
    return [
        {"field_code": "value", "field_name": f"Amount of {field.name}", "field_type": "double"},
        {"field_code": "currency", "field_name": f"Currency of {field.name}", "field_type": "varchar"},
    ]


def _field_v1(call: Call, field: FieldDefinition) -> Json:
    options = [{"id": one.id, "label": one.label} for one in field.options]
    flags = dict.fromkeys(
        ["index_visible_flag", "details_visible_flag", "bulk_edit_allowed", "filtering_allowed", "sortable_flag"], True
    )
    return {
        "id": field.id,
        "key": field.code,
        "name": field.name,
        "order_nr": field.id,
        "field_type": field.type,
        "add_time": spaced(field.add_time),
        "update_time": spaced(field.update_time),
        "last_updated_by_user_id": call.user.id,
        "created_by_user_id": call.user.id,
        "active_flag": True,
        "edit_flag": field.is_custom,
        **flags,
        "add_visible_flag": not field.is_custom,
        "important_flag": False,
        "searchable_flag": False,
        "options": options or None,
        "mandatory_flag": field.code == "title",
    }
