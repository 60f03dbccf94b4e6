"""What webhooks say, in our terms. Pure.

A webhook is a hint: the record is read again. But what it proves to have been seen counts even when it has been passed
since: the stage and status that it shows, and those that it says were there before.

Source: ``VENDOR.md``, chapters 8.2 to 8.4. There is no event for a conversion: it looks like a deleted lead
and a new deal; only the deal's ``source_lead_id`` proves it, and whether webhooks carry that is unconfirmed.
"""

from datetime import UTC, datetime
from typing import Any

import msgspec
from msgspec import Struct

from gateway_schemas.records import Fact, RecordChange, RecordRef

KINDS = {"deal": "deal", "lead": "lead", "person": "contact"}
"""Entities that we subscribe to, and our kinds of record."""

DECISIVE = frozenset({"status", "stage_id", "pipeline_id", "person_id", "is_archived", "source_lead_id"})
"""Keys whose change is never put aside as the echo of our own write: another app may share the connected user."""


class Meta(Struct, frozen=True):
    """The envelope's ``meta``; all ids in it are strings."""

    action: str
    entity: str
    entity_id: str | int
    id: str | None = None
    webhook_id: str | int | None = None
    company_id: str | int | None = None
    user_id: str | int | None = None
    timestamp: str | None = None
    version: str = "2.0"
    change_source: str | None = None
    merged_to_id: str | int | None = None
    merged_from_id: str | int | None = None


class Payload(Struct, frozen=True):
    """A webhook: ``data`` is null on delete, ``previous`` holds only what changed (all of it on delete)."""

    meta: Meta
    data: dict[str, Any] | None = None
    previous: dict[str, Any] | None = None


def read_payload(body: bytes) -> Payload | None:
    """Decode a webhook; ``None`` for everything that is none of version 2.0."""
    try:
        payload = msgspec.json.decode(body, type=Payload)
    except msgspec.DecodeError:
        return None
    return payload if payload.meta.version.startswith("2") else None


def message_id(payload: Payload) -> str | None:
    """Return the same value for each attempt of one message: ``meta.attempt`` is not part of it."""
    if not payload.meta.id or payload.meta.webhook_id is None:
        return None
    return f"{payload.meta.id}:{payload.meta.webhook_id}"


def read_changes(payload: Payload, *, identity: str, user: str | None) -> list[RecordChange]:
    """Return what a webhook says has changed; empty when it is not about us or about nothing we watch.

    Args:
        payload: The decoded webhook.
        identity: The connection's company.
        user: The connection's user, to recognise echoes of our own writes.
    """
    meta = payload.meta
    kind = KINDS.get(meta.entity)
    if kind is None or (meta.company_id is not None and identity and str(meta.company_id) != identity):
        return []
    data, previous = payload.data or {}, payload.previous or {}
    deleted = meta.action == "delete"
    shown = previous if deleted else data
    survivor = str(meta.merged_to_id) if meta.merged_to_id is not None else None
    origin = shown.get("source_lead_id") if kind == "deal" else None
    person = shown.get("person_id") if kind != "contact" else None
    at, message = _time(meta.timestamp), message_id(payload)
    read = [
        RecordChange(
            ref=RecordRef(kind=kind, id=str(meta.entity_id)),
            facts=_facts(data, previous, deleted=deleted) if kind == "deal" else [],
            contact=RecordRef(kind="contact", id=str(person)) if person is not None else None,
            origin=RecordRef(kind="lead", id=str(origin)) if origin else None,
            merged_into=survivor,
            deleted=deleted and survivor is None,
            occurred_at=at,
            message_id=message,
            own=_own(payload, kind, user),
        )
    ]
    if meta.merged_from_id is not None:
        # Messages get lost: the survivor's proves the merge as well as the loser's.
        loser = RecordRef(kind=kind, id=str(meta.merged_from_id))
        read.append(RecordChange(ref=loser, merged_into=str(meta.entity_id), occurred_at=at, message_id=message))
    return read


def _facts(data: dict[str, Any], previous: dict[str, Any], *, deleted: bool) -> list[Fact]:
    """Return what the message proves about a deal: what it is, and what it was before."""
    facts: list[Fact] = []
    shown = previous if deleted else data
    if shown.get("source_lead_id"):
        facts.append(Fact(name="converted", at=_time(shown.get("add_time"))))
    if shown.get("stage_id") is not None:
        at = _time(shown.get("stage_change_time")) or _time(shown.get("add_time"))
        facts.append(Fact(name="stage", value=str(shown["stage_id"]), at=at))
    if shown.get("status") == "won" or shown.get("first_won_time"):
        facts.append(Fact(name="won", at=_time(shown.get("first_won_time")) or _time(shown.get("won_time"))))
    if deleted:
        return facts
    # Values are compared: ``previous`` may carry keys that did not change (chapter 8.3).
    before = previous.get("stage_id")
    if before is not None and before != data.get("stage_id"):
        facts.append(Fact(name="stage", value=str(before), at=_time(previous.get("stage_change_time"))))
    if previous.get("status") == "won" and data.get("status") != "won" and not any(one.name == "won" for one in facts):
        facts.append(Fact(name="won", at=_time(previous.get("won_time"))))
    return facts


def _own(payload: Payload, kind: str, user: str | None) -> bool:
    """Say whether this is the echo of our own write, which nobody needs to look at again."""
    meta = payload.meta
    if meta.change_source != "api" or user is None or str(meta.user_id) != user:
        return False
    if meta.action == "create":
        # A new deal may be a conversion that another app of this user asked for.
        return kind != "deal"
    if meta.merged_from_id is not None:
        return False
    return meta.action == "change" and not DECISIVE & set(payload.previous or {})


def _time(value: Any) -> datetime | None:
    """Read a time of a webhook; what has no zone is UTC, what is no time is nothing."""
    if not isinstance(value, str) or not value:
        return None
    try:
        read = datetime.fromisoformat(value)
    except ValueError:
        return None
    return read.replace(tzinfo=UTC) if read.tzinfo is None else read.astimezone(UTC)
