"""Persons: list, read, create, change, delete, merge.

Source: ``VENDOR.md``, chapters 7.4 and 7.9. E-mail addresses are not unique: two creates make two persons.
"""

from typing import Any

from gateway_pipedrive.sandbox import checks, shapes, values
from gateway_pipedrive.sandbox.calls import Answer, Call, Operations, good
from gateway_pipedrive.sandbox.checks import Query, body_v2, read_cursor, write_cursor
from gateway_pipedrive.sandbox.errors import VendorError, envelope, schema_failed
from gateway_pipedrive.sandbox.listing import LIST, SINGLE, actor, answer_list, check_links, find, render
from gateway_pipedrive.sandbox.state import Person, visible

Json = dict[str, Any]
operations = Operations()

_READ = "contacts:read contacts:full"
_ENTRIES = checks.list_of(checks.contact_entry)
_BODY: dict[str, checks.Check] = {
    "name": checks.text,
    "first_name": checks.nullable(checks.text),
    "last_name": checks.nullable(checks.text),
    "owner_id": checks.integer,
    "org_id": checks.nullable(checks.integer),
    "emails": _ENTRIES,
    "phones": _ENTRIES,
    "visible_to": checks.integer,
    "label_ids": checks.list_of(checks.integer),
    "marketing_status": checks.one_of("no_consent", "unsubscribed", "subscribed", "archived"),
    "custom_fields": checks.anything,
}
WALK = frozenset({"limit", "cursor", "sort_by"})
"""Parameters of a walk over all persons, page by page."""

_CONTACT_SYNC = frozenset({"postal_address", "notes", "im", "birthday", "job_title"})


@operations.add("GET", 2, "/persons", cost=10, scopes=_READ)
def list_persons(call: Call) -> Answer:
    """List persons that are not deleted."""
    query = Query(call.query, LIST | {"deal_id"})
    if set(query.sent) <= WALK and query.sent.get("sort_by", "id") == "id":
        return _walk(call, query)
    deal_id = query.integer("deal_id")
    deal = call.company.deals.get(deal_id or 0)
    alive = (person for person in call.company.persons.values() if not person.is_deleted)
    return answer_list(
        call,
        query,
        "person",
        alive,
        lambda row: deal_id is None or (deal is not None and deal.person_id == row.id),
    )


def _walk(call: Call, query: Query) -> Answer:
    """Answer a page of the plain walk by id, at a cost that does not grow with the number of persons."""
    persons = call.company.persons
    limit = query.integer("limit", 100, least=1, most=500) or 100
    start = read_cursor(query.sent.get("cursor"))
    if start is not None and not all(isinstance(one, int) for one in start):
        raise schema_failed("cursor: belongs to another list")
    page: list[Person] = []
    number, last = (1 if start is None else int(start[1])), call.company.counters.get("person", 0)
    while number <= last and len(page) <= limit:
        row = persons.get(number)
        if row is not None and not row.is_deleted and visible(call.user, row):
            page.append(row)
        number += 1
    cursor = write_cursor([page[limit].id, page[limit].id]) if len(page) > limit else None
    return good([render(call, query, "person", row) for row in page[:limit]], next_cursor=cursor)


@operations.add("GET", 2, "/persons/{id}", cost=1, scopes=_READ)
def get_person(call: Call) -> Answer:
    """Return one person."""
    person = find(call, call.company.persons, call.number("id"), "Person")
    return good(render(call, Query(call.query, SINGLE), "person", person))


@operations.add("POST", 2, "/persons", cost=5, scopes="contacts:full")
def create_person(call: Call) -> Answer:
    """Create a person; ``name``, or first and last name, is required."""
    body = _checked(call, create=True)
    person = new_person(call, body)
    call.company.persons[person.id] = person
    call.sandbox.events.created(call.company, person, actor(call))
    return good(render(call, Query({}), "person", person))


@operations.add("PATCH", 2, "/persons/{id}", cost=5, scopes="contacts:full")
def update_person(call: Call) -> Answer:
    """Change the keys sent; ``emails`` and ``phones`` replace the whole list."""
    person = find(call, call.company.persons, call.number("id"), "Person")
    body = _checked(call, create=False)
    custom = values.accept_v2(call.company, "person", body.pop("custom_fields", {}))
    with call.sandbox.events.changing(call.company, person, actor(call)):
        apply(person, body)
        set_custom(person, custom)
    return good(render(call, Query({}), "person", person))


@operations.add("DELETE", 2, "/persons/{id}", cost=3, scopes="contacts:full")
def delete_person(call: Call) -> Answer:
    """Mark a person as deleted."""
    person = find(call, call.company.persons, call.number("id"), "Person")
    call.sandbox.events.deleted(call.company, person, actor(call))
    return good({"id": person.id})


@operations.add("PUT", 1, "/persons/{id}/merge", cost=40, scopes="contacts:full")
def merge_persons(call: Call) -> Answer:
    """Merge the person of the path into ``merge_with_id``, which survives and wins conflicts."""
    loser = find(call, call.company.persons, call.number("id"), "Person")
    target = call.body.get("merge_with_id") if isinstance(call.body, dict) else None
    if not isinstance(target, int) or target == loser.id:
        raise VendorError(400, envelope("merge_with_id must be the id of another person"))
    survivor = find(call, call.company.persons, target, "Person")
    merge(call, loser, survivor)
    return good(shapes.person_v1(call.company, survivor, loser.id))


def merge(call: Call, loser: Person, survivor: Person) -> None:
    """Move everything over; tell two events, a deletion that names the survivor and a change that names the other.

    Deals that change their person tell nothing: events of their own are unconfirmed (chapter 8.3).
    """
    company, events = call.company, call.sandbox.events
    with events.changing(company, survivor, actor(call), merged_from_id=str(loser.id)):
        for key in ("emails", "phones"):
            mine: list[Json] = getattr(survivor, key)
            known = {entry["value"].casefold() for entry in mine}
            others = [entry for entry in getattr(loser, key) if entry["value"].casefold() not in known]
            setattr(survivor, key, mine + [{**entry, "primary": entry["primary"] and not mine} for entry in others])
        survivor.org_id = survivor.org_id or loser.org_id
        survivor.custom_fields = loser.custom_fields | survivor.custom_fields
        for holder in (company.deals, company.leads, company.notes):
            for row in holder.values():
                if row.person_id == loser.id:
                    row.person_id = survivor.id
    loser.merged_into = survivor.id
    events.deleted(company, loser, actor(call), merged_to_id=str(survivor.id))


def new_person(call: Call, body: Json) -> Person:
    """Make a person out of a checked body."""
    company, now = call.company, call.sandbox.state.now()
    custom = values.accept_v2(company, "person", body.pop("custom_fields", {}))
    person = Person(company.next_id("person"), "", None, None, body.pop("owner_id", call.user.id), now, now)
    apply(person, body)
    set_custom(person, custom)
    return person


def apply(person: Person, body: Json) -> None:
    """Write checked keys into a person; the name and its two halves follow each other."""
    if "name" in body:
        person.name = body["name"]
        person.first_name, _, last = person.name.partition(" ")
        person.last_name = last or None
    for half in ("first_name", "last_name"):
        if half in body:
            setattr(person, half, body[half])
    if "name" not in body and {"first_name", "last_name"} & set(body):
        person.name = " ".join(half for half in (person.first_name, person.last_name) if half)
    for key in ("emails", "phones"):
        if key in body:
            setattr(person, key, _entries(body[key]))
    for key in ("owner_id", "org_id", "visible_to", "label_ids"):
        if key in body:
            setattr(person, key, body[key])


def set_custom(record: Any, custom: Json) -> None:
    """Write custom field values; None clears."""
    held = {**record.custom_fields, **custom}
    record.custom_fields = {code: value for code, value in held.items() if value is not None}


def _entries(sent: list[Json]) -> list[Json]:
    chosen = next((number for number, entry in enumerate(sent) if entry.get("primary")), 0)
    return [
        {"value": entry["value"], "primary": number == chosen, "label": entry.get("label", "work")}
        for number, entry in enumerate(sent)
    ]


def _checked(call: Call, *, create: bool) -> Json:
    body = call.body
    if isinstance(body, dict) and (synced := _CONTACT_SYNC & set(body)):
        raise VendorError(403, envelope(f"{', '.join(sorted(synced))}: contact sync is not enabled for the company"))
    allowed = {**_BODY, "add_time": checks.moment} if create else _BODY
    body = dict(body_v2(body, allowed))
    if create and "name" not in body and not (body.get("first_name") and body.get("last_name")):
        raise schema_failed("name: is required")
    check_links(call, body, kind="person")
    return body
