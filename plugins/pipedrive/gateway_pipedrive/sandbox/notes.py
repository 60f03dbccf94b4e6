"""Notes, v1. Source: ``VENDOR.md``, chapter 7.7; which tags the vendor's clean-up keeps is unconfirmed."""

import re
from datetime import UTC, datetime
from typing import Any

from gateway_pipedrive.sandbox import shapes
from gateway_pipedrive.sandbox.calls import Answer, Call, Operations, good, page_v1
from gateway_pipedrive.sandbox.errors import VendorError, envelope, not_found
from gateway_pipedrive.sandbox.state import Company, Note

Json = dict[str, Any]
operations = Operations()

_READ = "deals:read deals:full contacts:read contacts:full"
_TARGETS = ("lead_id", "deal_id", "person_id", "org_id")
_LONGEST = 100_000
_SCRIPT = re.compile(r"<(script|style|iframe)\b.*?(</\1>|$)", re.IGNORECASE | re.DOTALL)


@operations.add("POST", 1, "/notes", cost=10, scopes="deals:full contacts:full")
def create_note(call: Call) -> Answer:
    """Add a note to a lead, deal, person or organization."""
    body = call.body if isinstance(call.body, dict) else {}
    content = body.get("content")
    if not isinstance(content, str) or not content:
        raise _bad("content must be given.")
    if len(content) > _LONGEST:
        raise _bad("content is too long.")
    links = {key: body[key] for key in _TARGETS if body.get(key) is not None}
    if not links:
        raise _bad("One of lead_id, deal_id, person_id, org_id must be given.")
    for key, value in links.items():
        _check(call.company, key, value)
    state = call.sandbox.state
    added = state.now()
    if body.get("add_time"):
        added = datetime.strptime(body["add_time"], "%Y-%m-%d %H:%M:%S").replace(tzinfo=UTC)
    pinned = {what: bool(body.get(f"pinned_to_{what}_flag")) for what in ("lead", "deal", "organization", "person")}
    note = Note(
        call.company.next_id("note"), _SCRIPT.sub("", content), call.user.id, added, state.now(), **links, pinned=pinned
    )
    if note.lead_id is not None and note.person_id is None:
        note.person_id = call.company.leads[note.lead_id].person_id
    call.company.notes[note.id] = note
    return good(shapes.note_v1(call.company, note, call.user))


@operations.add("GET", 1, "/notes", cost=20, scopes=_READ)
def list_notes(call: Call) -> Answer:
    """List notes, by what they hang on; paged by offset with ``next_start``."""
    rows = [
        note
        for note in call.company.notes.values()
        if all(str(getattr(note, key)) == call.query[key] for key in (*_TARGETS, "user_id") if key in call.query)
    ]
    page, more = page_v1(call.query, rows, nested=True)
    return good([shapes.note_v1(call.company, note, call.user) for note in page], **more)


@operations.add("GET", 1, "/notes/{id}", cost=2, scopes=_READ)
def get_note(call: Call) -> Answer:
    """Return one note."""
    note = call.company.notes.get(call.number("id"))
    if note is None:
        raise not_found("Note")
    return good(shapes.note_v1(call.company, note, call.user))


def _check(company: Company, key: str, value: Any) -> None:
    rows: dict[str, Any] = {
        "lead_id": company.leads,
        "deal_id": company.deals,
        "person_id": company.persons,
        "org_id": company.organizations,
    }
    if value not in rows[key] or getattr(rows[key][value], "is_deleted", False):
        raise _bad(f"{key} {value} does not exist.")


def _bad(message: str) -> VendorError:
    return VendorError(400, envelope(message))
