"""Leads: v1 for everything but search and conversion, with custom fields flat at the root.

Source: ``VENDOR.md``, chapter 7.6. A lead has no pipeline and no stage.
"""

import re
from typing import Any

from gateway_pipedrive.sandbox import checks, shapes, values
from gateway_pipedrive.sandbox.account import find_filter, passes
from gateway_pipedrive.sandbox.calls import Answer, Call, Operations, good, page_v1
from gateway_pipedrive.sandbox.checks import Query
from gateway_pipedrive.sandbox.errors import VendorError, dataset_invalid, not_found
from gateway_pipedrive.sandbox.listing import actor
from gateway_pipedrive.sandbox.persons import set_custom
from gateway_pipedrive.sandbox.state import Lead, LeadLabel, visible

Json = dict[str, Any]
operations = Operations()

_READ = "leads:read leads:full"
_SORTS = frozenset(
    [
        "id",
        "title",
        "owner_id",
        "creator_id",
        "was_seen",
        "expected_close_date",
        "next_activity_id",
        "add_time",
        "update_time",
    ]
)
_COLORS = ["blue", "brown", "dark-gray", "gray", "green", "orange", "pink", "purple", "red", "yellow"]
_SOURCES = (
    "Manually created",
    "Deal",
    "Web forms",
    "Prospector",
    "Leadbooster",
    "Live chat",
    "Import",
    "Website visitors",
    "Workflow automation",
    "API",
)


def _must_be(what: str, inner: checks.Check) -> checks.Check:
    return lambda value: f"must be {what}" if inner(value) else None


def _uuid(value: Any) -> str | None:
    return None if isinstance(value, str) and re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", value) else "x"


def _money(value: Any) -> str | None:
    if value is None:
        return None
    if not isinstance(value, dict) or set(value) != {"amount", "currency"}:
        return "must contain amount and currency"
    good_amount = values.is_number(value["amount"])
    return None if good_amount and isinstance(value["currency"], str) else "must contain amount and currency"


_NUMBER, _STRING, _BOOLEAN = (
    _must_be("a number", checks.integer),
    _must_be("a string", checks.text),
    _must_be("a boolean", checks.boolean),
)
_CREATE: dict[str, checks.Check] = {
    "title": _STRING,
    "owner_id": _NUMBER,
    "label_ids": _must_be("an array of UUIDs", checks.list_of(_uuid)),
    "person_id": _NUMBER,
    "organization_id": _NUMBER,
    "value": _money,
    "expected_close_date": _must_be("in ISO 8601 date format", checks.day),
    "visible_to": _must_be("one of [1, 3, 5, 7]", checks.one_of("1", "3", "5", "7")),
    "was_seen": _BOOLEAN,
    "origin_id": checks.nullable(_STRING),
    "channel": checks.nullable(_NUMBER),
    "channel_id": checks.nullable(_STRING),
}
_UPDATE: dict[str, checks.Check] = {
    **{key: check for key, check in _CREATE.items() if key != "origin_id"},
    "person_id": checks.nullable(_NUMBER),
    "organization_id": checks.nullable(_NUMBER),
    "expected_close_date": checks.nullable(_CREATE["expected_close_date"]),
    "is_archived": _BOOLEAN,
}


@operations.add("GET", 1, "/leads", cost=20, scopes=_READ)
def list_leads(call: Call) -> Answer:
    """List leads that are not archived, oldest first."""
    return _list(call, archived=False)


@operations.add("GET", 1, "/leads/archived", cost=40, scopes=_READ)
def list_archived(call: Call) -> Answer:
    """List archived leads."""
    return _list(call, archived=True)


@operations.add("GET", 1, "/leads/{id}", cost=2, scopes=_READ)
def get_lead(call: Call) -> Answer:
    """Return one lead, archived or not."""
    return good(shapes.lead_v1(call.company, find_lead(call)))


@operations.add("POST", 1, "/leads", cost=10, scopes="leads:full")
def create_lead(call: Call) -> Answer:
    """Create a lead and answer 201."""
    body, custom = _checked(call, _CREATE)
    if "title" not in body:
        raise dataset_invalid('"title" is required')
    if body.get("person_id") is None and body.get("organization_id") is None:
        raise dataset_invalid("A lead must be linked to a person or an organization")
    state, now = call.sandbox.state, call.sandbox.state.now()
    owner = body.pop("owner_id", call.user.id)
    lead = Lead(state.new_uuid("lead"), body.pop("title"), owner, call.user.id, now, now)
    apply(lead, body, custom)
    call.company.leads[lead.id] = lead
    call.sandbox.events.created(call.company, lead, actor(call))
    return Answer({"success": True, "data": shapes.lead_v1(call.company, lead)}, 201)


@operations.add("PATCH", 1, "/leads/{id}", cost=10, scopes="leads:full")
def update_lead(call: Call) -> Answer:
    """Change the keys sent; ``origin_id`` is set at creation only."""
    lead = find_lead(call)
    body, custom = _checked(call, _UPDATE)
    person = body.get("person_id", lead.person_id)
    if person is None and body.get("organization_id", lead.organization_id) is None:
        raise dataset_invalid("A lead must be linked to a person or an organization")
    with call.sandbox.events.changing(call.company, lead, actor(call)):
        apply(lead, body, custom)
    return good(shapes.lead_v1(call.company, lead))


@operations.add("DELETE", 1, "/leads/{id}", cost=6, scopes="leads:full")
def delete_lead(call: Call) -> Answer:
    """Mark a lead as deleted."""
    lead = find_lead(call)
    call.sandbox.events.deleted(call.company, lead, actor(call))
    return good({"id": lead.id})


@operations.add("GET", 1, "/leadLabels", cost=10, scopes=_READ)
def lead_labels(call: Call) -> Answer:
    """List labels of leads: UUIDs; not paged."""
    return good([_label(one) for one in call.company.lead_labels.values()])


@operations.add("POST", 1, "/leadLabels", cost=10, scopes="leads:full")
def create_label(call: Call) -> Answer:
    """Create a label of leads."""
    body = call.body if isinstance(call.body, dict) else {}
    if not body.get("name") or body.get("color") not in _COLORS:
        raise dataset_invalid('"name" and "color" are required')
    state = call.sandbox.state
    label = LeadLabel(state.new_uuid("label"), body["name"], body["color"], state.now())
    call.company.lead_labels[label.id] = label
    return good(_label(label))


@operations.add("GET", 1, "/leadSources", cost=2, scopes=_READ)
def lead_sources(call: Call) -> Answer:
    """List sources of leads; those made through the API have the last one."""
    return good([{"name": name} for name in _SOURCES])


def find_lead(call: Call, what: str = "requested lead") -> Lead:
    """Find a lead of the path that lives and that this user sees."""
    found = call.company.leads.get(call.path["id"])
    if found is None or found.is_deleted or not visible(call.user, found):
        raise not_found(what)
    return found


def apply(lead: Lead, body: Json, custom: Json) -> None:
    """Write checked keys into a lead."""
    for key, value in body.items():
        setattr(lead, key, int(value) if key == "visible_to" else value)
    set_custom(lead, custom)


def _checked(call: Call, allowed: dict[str, checks.Check]) -> tuple[Json, Json]:
    if not isinstance(call.body, dict):
        raise dataset_invalid('"value" must be of type object')
    body = {key: value for key, value in call.body.items() if key in allowed}
    for key, value in body.items():
        if problem := allowed[key](value):
            raise dataset_invalid(f'"{key}" {problem}')
    custom = values.accept_v1(call.company, {key: value for key, value in call.body.items() if key not in allowed})
    company = call.company
    held: dict[str, Any] = {
        "owner_id": company.users,
        "person_id": company.persons,
        "organization_id": company.organizations,
    }
    for key, rows in held.items():
        if body.get(key) is not None and (body[key] not in rows or getattr(rows[body[key]], "is_deleted", False)):
            raise dataset_invalid(f'"{key}" {body[key]} does not exist')
    for label in body.get("label_ids", []):
        if label not in company.lead_labels:
            raise dataset_invalid(f'"label_ids" {label} does not exist')
    return body, custom


def _list(call: Call, *, archived: bool) -> Answer:
    query = Query(call.query)
    try:
        since = None if archived else query.time("updated_since")
        ids = {key: query.integer(key) for key in ("owner_id", "person_id", "organization_id", "filter_id")}
    except VendorError as refused:
        raise dataset_invalid(refused.body["error"]) from None
    rows = [one for one in call.company.leads.values() if one.is_archived == archived and not one.is_deleted]
    rows = [one for one in rows if visible(call.user, one) and (since is None or one.update_time >= since)]
    filter_id = ids.pop("filter_id")
    if filter_id is not None:
        saved = find_filter(call, filter_id)
        rows = [one for one in rows if passes(saved, "lead", one)]
    else:
        rows = [one for one in rows if all(wanted in {None, getattr(one, key)} for key, wanted in ids.items())]
    rows.sort(key=lambda one: (one.add_time, one.id))
    for part in reversed(query.words("sort")):
        name, _, direction = part.strip().partition(" ")
        if name not in _SORTS:
            raise dataset_invalid(f'"sort" {name} is not allowed')
        rows.sort(key=lambda one: str(getattr(one, name, "")), reverse=direction.upper() == "DESC")
    page, more = page_v1(call.query, rows, nested=False)
    return good([shapes.lead_v1(call.company, one) for one in page], **more)


def _label(label: LeadLabel) -> Json:
    moment = shapes.iso_millis(label.add_time)
    return {"id": label.id, "name": label.name, "color": label.color, "add_time": moment, "update_time": moment}
