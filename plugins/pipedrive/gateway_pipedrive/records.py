"""Pipedrive's objects as records in our terms. Pure.

Facts are what a record is or has provably been (``VENDOR.md``, chapters 7.5 and 8.4): ``stage`` with the id
of the stage that it is in, ``won`` (``first_won_time`` proves it of a deal that was re-opened since), and ``converted``
of a deal that names the lead it came from.
"""

from collections.abc import Callable, Sequence
from decimal import Decimal

from gateway_pipedrive.models import ContactEntry, Deal, Lead, Note, Person
from gateway_pipedrive.values import from_v1, from_v2
from gateway_schemas.base import FieldValue, Money
from gateway_schemas.records import Fact, Record, RecordRef

UrlOf = Callable[[str, str], str | None]


def contact_record(person: Person, url_of: UrlOf) -> Record:
    """Return a contact; ``emails`` and ``phones`` hold the primary entry, else the first."""
    fields: dict[str, FieldValue] = {
        "name": person.name,
        "first_name": person.first_name,
        "last_name": person.last_name,
        "emails": primary(person.emails),
        "phones": primary(person.phones),
        "owner_id": _text(person.owner_id),
        "label_ids": [str(one) for one in person.label_ids or []] or None,
        **{key: from_v2(value) for key, value in (person.custom_fields or {}).items()},
    }
    return Record(
        ref=RecordRef(kind="contact", id=str(person.id)),
        state="deleted" if person.is_deleted else "open",
        fields=_filled(fields),
        created_at=person.add_time,
        updated_at=person.update_time,
        url=url_of("contact", str(person.id)),
    )


def deal_record(deal: Deal, url_of: UrlOf) -> Record:
    """Return a deal with its facts; the lead that it came from is its origin."""
    fields: dict[str, FieldValue] = {
        "title": deal.title,
        "value": _money(deal.value, deal.currency),
        "acv": _money(deal.acv, deal.currency),
        "arr": _money(deal.arr, deal.currency),
        "mrr": _money(deal.mrr, deal.currency),
        "status": deal.status,
        "stage_id": _text(deal.stage_id),
        "pipeline_id": _text(deal.pipeline_id),
        "expected_close_date": deal.expected_close_date,
        "probability": deal.probability,
        "owner_id": _text(deal.owner_id),
        "label_ids": [str(one) for one in deal.label_ids or []] or None,
        **{key: from_v2(value) for key, value in (deal.custom_fields or {}).items()},
    }
    return Record(
        ref=RecordRef(kind="deal", id=str(deal.id)),
        state=deal_state(deal),
        fields=_filled(fields),
        facts=deal_facts(deal),
        origin=RecordRef(kind="lead", id=deal.source_lead_id) if deal.source_lead_id else None,
        contact=_contact(deal.person_id),
        created_at=deal.add_time,
        updated_at=deal.update_time,
        currency=deal.currency,
        url=url_of("deal", str(deal.id)),
    )


def deal_state(deal: Deal) -> str:
    """Return ``deleted``, ``won``, ``lost``, ``archived`` or ``open``: archiving a won deal leaves it won."""
    if deal.is_deleted or deal.status == "deleted":
        return "deleted"
    if deal.status in ("won", "lost"):
        return deal.status
    return "archived" if deal.is_archived else "open"


def deal_facts(deal: Deal) -> list[Fact]:
    """Return what a deal is, and has provably been."""
    facts: list[Fact] = []
    if deal.source_lead_id:
        facts.append(Fact(name="converted", at=deal.add_time))
    if deal.stage_id is not None:
        facts.append(Fact(name="stage", value=str(deal.stage_id), at=deal.stage_change_time or deal.add_time))
    if deal.status == "won" or deal.first_won_time is not None:
        facts.append(Fact(name="won", at=deal.first_won_time or deal.won_time))
    return facts


def lead_record(lead: Lead, url_of: UrlOf) -> Record:
    """Return a lead; it has no pipeline, no stage and no facts of its own."""
    core = lead.core
    fields: dict[str, FieldValue] = {
        "title": core.title,
        "value": Money(amount=core.value.amount, currency=core.value.currency) if core.value else None,
        "expected_close_date": core.expected_close_date,
        "owner_id": _text(core.owner_id),
        "label_ids": list(core.label_ids or []) or None,
        **from_v1(lead.raw),
    }
    return Record(
        ref=RecordRef(kind="lead", id=core.id),
        state="archived" if core.is_archived else "open",
        fields=_filled(fields),
        contact=_contact(core.person_id),
        created_at=core.add_time,
        updated_at=core.update_time,
        currency=core.value.currency if core.value else None,
        url=url_of("lead", core.id),
    )


def note_record(note: Note) -> Record:
    """Return a note."""
    return Record(
        ref=RecordRef(kind="note", id=str(note.id)),
        state="open",
        fields=_filled({"content": note.content}),
        contact=_contact(note.person_id),
    )


def primary(entries: Sequence[ContactEntry] | None) -> str | None:
    """Return the primary e-mail address or number, else the first, else nothing."""
    if not entries:
        return None
    if len(entries) == 1:  # nearly always, and asked for each contact of a sync
        return entries[0].value or None
    filled = [entry for entry in entries if entry.value]
    chosen = next((entry for entry in filled if entry.primary), filled[0] if filled else None)
    return chosen.value if chosen else None


def _contact(person_id: int | None) -> RecordRef | None:
    return RecordRef(kind="contact", id=str(person_id)) if person_id is not None else None


def _money(amount: Decimal | None, currency: str | None) -> FieldValue:
    return Money(amount=amount, currency=currency) if amount is not None and currency else None


def _text(number: int | None) -> str | None:
    return None if number is None else str(number)


def _filled(fields: dict[str, FieldValue]) -> dict[str, FieldValue]:
    return {key: value for key, value in fields.items() if value is not None}
