"""The search index, which lags behind, and the searches over it.

Each write puts a snapshot of what can be found into the index with the time of the write; a search sees the newest
snapshot that is at least ``lag`` old, so a record is unknown at first, later found by old values, and found for a while
after it was deleted. Source: ``VENDOR.md``, chapters 7.4 to 7.8 and 9 (step 5).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from gateway_pipedrive.sandbox import values
from gateway_pipedrive.sandbox.calls import Answer, Call, Operations, good, page_v2
from gateway_pipedrive.sandbox.checks import Query
from gateway_pipedrive.sandbox.errors import schema_failed
from gateway_pipedrive.sandbox.state import Company, Deal, Kind, Lead, Person, Record, State, visible

Json = dict[str, Any]
operations = Operations()


@dataclass(frozen=True)
class Document:
    """What the index holds of a record at one moment; ``item`` is as lossy as the vendor's answer."""

    kind: Kind
    id: int | str
    item: Json
    texts: dict[str, list[str]]
    by_code: dict[str, str]
    record: Record
    person_id: int | None = None
    org_id: int | None = None
    status: str = ""


@dataclass
class SearchIndex:
    """Snapshots of records by company, each with its time."""

    state: State
    lag: timedelta = timedelta(0)
    documents: dict[tuple[int, str, str], list[tuple[datetime, Document | None]]] = field(default_factory=dict)

    def put(self, company: Company, record: Record) -> None:
        """Take a snapshot."""
        document = _document(company, record)
        self._append((company.id, document.kind, str(record.id)), document)

    def remove(self, company: Company, record: Record) -> None:
        """Note that a record is gone; searches go on finding it until the lag is over."""
        document = _document(company, record)
        self._append((company.id, document.kind, str(record.id)), None)

    def age(self) -> None:
        """Make all that is there searchable at once, as if it had been written long ago."""
        for key, snapshots in self.documents.items():
            self.documents[key] = [(moment - self.lag, document) for moment, document in snapshots]

    def visible_documents(self, call: Call, kind: Kind) -> list[Document]:
        """List what a search of this user sees now."""
        horizon = self.state.now() - self.lag
        found: list[Document] = []
        for (company_id, known_kind, _), snapshots in self.documents.items():
            if company_id != call.company.id or known_kind != kind:
                continue
            seen = [document for moment, document in snapshots if moment <= horizon]
            if seen and seen[-1] is not None and visible(call.user, seen[-1].record):
                found.append(seen[-1])
        return found

    def _append(self, key: tuple[int, str, str], document: Document | None) -> None:
        self.documents.setdefault(key, []).append((self.state.now(), document))


PERSON_FIELDS = frozenset({"custom_fields", "email", "notes", "phone", "name"})
TITLE_FIELDS = frozenset({"custom_fields", "notes", "title"})
_PAGE = frozenset({"term", "fields", "exact_match", "organization_id", "include_fields", "limit", "cursor"})


@operations.add("GET", 2, "/persons/search", cost=20, scopes="contacts:read contacts:full search:read", is_search=True)
def search_persons(call: Call) -> Answer:
    """Find persons by text; ``limit`` at most 100 whatever the document says (chapter 5)."""
    query = Query(call.query, _PAGE)
    return _search(call, query, "person", PERSON_FIELDS, lambda one: _linked(query, one))


@operations.add("GET", 2, "/deals/search", cost=20, scopes="deals:read deals:full search:read", is_search=True)
def search_deals(call: Call) -> Answer:
    """Find deals by text."""
    query = Query(call.query, _PAGE | {"person_id", "status"})
    status = query.choice("status", "", "", "open", "won", "lost")
    return _search(call, query, "deal", TITLE_FIELDS, lambda one: _linked(query, one) and status in {"", one.status})


@operations.add("GET", 2, "/leads/search", cost=20, scopes="leads:read leads:full search:read", is_search=True)
def search_leads(call: Call) -> Answer:
    """Find leads by text; archived ones too, which the item tells."""
    query = Query(call.query, _PAGE | {"person_id"})
    return _search(call, query, "lead", TITLE_FIELDS, lambda one: _linked(query, one))


@operations.add("GET", 2, "/itemSearch", cost=20, scopes="search:read", is_search=True)
def search_items(call: Call) -> Answer:
    """Find persons, deals and leads by text in one call."""
    query = Query(
        call.query,
        frozenset(
            {"term", "item_types", "fields", "exact_match", "search_for_related_items", "include_fields"}
            | {"limit", "cursor"}
        ),
    )
    term, exact = _term(query), query.flag("exact_match")
    fields = query.words("fields") or ["custom_fields", "email", "name", "notes", "phone", "title"]
    kinds = query.words("item_types") or ["deal", "person", "lead"]
    found: list[Document] = []
    for kind in ("person", "deal", "lead"):
        if kind in kinds:
            found += [
                one for one in call.sandbox.index.visible_documents(call, kind) if _matches(one, fields, term, exact)
            ]
    found.sort(key=lambda one: (one.kind, str(one.id)))
    page, more = page_v2(query, found, lambda one: one.kind, most=100)
    items = [{"result_score": 1.0, "item": one.item} for one in page]
    return good({"items": items, "related_items": []}, **more)


@operations.add("GET", 2, "/itemSearch/field", cost=20, scopes="search:read", is_search=True)
def search_field(call: Call) -> Answer:
    """Find the values of one field, minding case (chapter 7.8).

    The vendor's example and schema of the answer disagree; the option ``item_search_shape`` chooses. Leads by a deal's
    field are unconfirmed; the option ``item_search_leads=False`` refuses them.
    """
    query = Query(call.query, frozenset({"term", "entity_type", "match", "field", "limit", "cursor"}))
    match = query.choice("match", "exact", "exact", "beginning", "middle")
    term = query.sent.get("term", "")
    if len(term) < (1 if match == "exact" else 2):
        raise schema_failed("term: is too short")
    kind = query.choice("entity_type", "", "deal", "lead", "person", "organization", "product", "project")
    code = query.sent.get("field", "")
    if kind in {"organization", "product", "project"}:
        return good([], next_cursor=None)
    assert kind in {"deal", "lead", "person"}
    definition = call.company.field_by_code(kind, code)
    if definition is None or definition.type not in values.SEARCHABLE or definition.code == "email":
        raise schema_failed(f"field: {code} cannot be searched")
    if kind == "lead" and not call.sandbox.options.item_search_leads:
        raise schema_failed(f"field: {code} is not a lead field")
    found = [
        one
        for one in call.sandbox.index.visible_documents(call, kind)  # type: ignore[arg-type] # narrowed by the assert
        if _field_matches(one.by_code.get(code), term, match)
    ]
    found.sort(key=lambda one: one.id)
    page, more = page_v2(query, found, lambda one: 0, most=100)
    if call.sandbox.options.item_search_shape == "schema":
        return good([{"result_score": 1.0, "item": one.item} for one in page], **more)
    name = "name" if kind == "person" else "title"
    return good([{"id": one.id, "name": one.item[name]} for one in page], **more)


def _search(call: Call, query: Query, kind: Kind, known: frozenset[str], also: Callable[[Document], bool]) -> Answer:
    term, exact = _term(query), query.flag("exact_match")
    fields = query.words("fields", known) or sorted(known)
    found = [
        one
        for one in call.sandbox.index.visible_documents(call, kind)
        if also(one) and _matches(one, fields, term, exact)
    ]
    found.sort(key=lambda one: one.id)
    page, more = page_v2(query, found, lambda one: 0, most=100)
    return good({"items": [{"result_score": 0.5, "item": one.item} for one in page]}, **more)


def _term(query: Query) -> str:
    term = query.sent.get("term", "")
    if len(term) < (1 if query.flag("exact_match") else 2):
        raise schema_failed("term: must have at least 2 characters, 1 with exact_match")
    return term


def _linked(query: Query, one: Document) -> bool:
    person, org = query.integer("person_id"), query.integer("organization_id")
    return person in {None, one.person_id} and org in {None, one.org_id}


def _matches(one: Document, fields: list[str], term: str, exact: bool) -> bool:
    wanted = term.casefold()
    held = [text.casefold() for name in fields for text in one.texts.get(name, [])]
    return any(text == wanted if exact else wanted in text for text in held)


def _field_matches(held: str | None, term: str, match: str) -> bool:
    if held is None:
        return False
    if match == "exact":
        return held == term
    return held.startswith(term) if match == "beginning" else term in held


def _document(company: Company, record: Record) -> Document:
    if isinstance(record, Person):
        return _person(company, record)
    return _deal(company, record) if isinstance(record, Deal) else _lead(company, record)


def _person(company: Company, person: Person) -> Document:
    custom = values.texts(company, "person", person.custom_fields)
    emails = [entry["value"] for entry in person.emails]
    phones = [entry["value"] for entry in person.phones]
    notes = [note.content for note in company.notes.values() if note.person_id == person.id]
    item = {
        "id": person.id,
        "type": "person",
        "name": person.name,
        "phones": phones,
        "emails": emails,
        "visible_to": person.visible_to,
        "owner": {"id": person.owner_id},
        "organization": _organization(company, person.org_id),
        "custom_fields": list(custom.values()),
        "notes": notes,
    }
    texts = {
        "name": [person.name],
        "email": emails,
        "phone": phones,
        "notes": notes,
        "custom_fields": list(custom.values()),
    }
    return Document("person", person.id, item, texts, custom | {"name": person.name}, person, org_id=person.org_id)


def _deal(company: Company, deal: Deal) -> Document:
    custom = values.texts(company, "deal", deal.custom_fields)
    notes = [note.content for note in company.notes.values() if note.deal_id == deal.id]
    stage = company.stages[deal.stage_id]
    item = {
        "id": deal.id,
        "type": "deal",
        "title": deal.title,
        "value": deal.value,
        "currency": deal.currency,
        "status": deal.status,
        "visible_to": deal.visible_to,
        "owner": {"id": deal.owner_id},
        "stage": {"id": stage.id, "name": stage.name},
        "person": _named_person(company, deal.person_id),
        "organization": _organization(company, deal.org_id),
        "custom_fields": list(custom.values()),
        "notes": notes,
        "is_archived": deal.is_archived,
    }
    texts = {"title": [deal.title], "notes": notes, "custom_fields": list(custom.values())}
    return Document(
        "deal", deal.id, item, texts, custom | {"title": deal.title}, deal, deal.person_id, deal.org_id, deal.status
    )


def _lead(company: Company, lead: Lead) -> Document:
    custom = values.texts(company, "deal", lead.custom_fields)
    notes = [note.content for note in company.notes.values() if note.lead_id == lead.id]
    person = company.persons.get(lead.person_id or 0)
    item = {
        "id": lead.id,
        "type": "lead",
        "title": lead.title,
        "owner": {"id": lead.owner_id},
        "person": _named_person(company, lead.person_id),
        "organization": _organization(company, lead.organization_id),
        "phones": [entry["value"] for entry in person.phones] if person else [],
        "emails": [entry["value"] for entry in person.emails] if person else [],
        "custom_fields": list(custom.values()),
        "notes": notes,
        "value": lead.value["amount"] if lead.value else None,
        "currency": lead.value["currency"] if lead.value else None,
        "visible_to": lead.visible_to,
        "is_archived": lead.is_archived,
    }
    texts = {"title": [lead.title], "notes": notes, "custom_fields": list(custom.values())}
    by_code = custom | {"title": lead.title}
    return Document("lead", lead.id, item, texts, by_code, lead, lead.person_id, lead.organization_id)


def _named_person(company: Company, person_id: int | None) -> Json | None:
    person = company.persons.get(person_id or 0)
    return {"id": person.id, "name": person.name} if person else None


def _organization(company: Company, org_id: int | None) -> Json | None:
    org = company.organizations.get(org_id or 0)
    return {"id": org.id, "name": org.name} if org else None
