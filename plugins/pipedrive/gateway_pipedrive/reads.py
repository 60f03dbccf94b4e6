"""Read records again, and find the deals that came of one: the state of a record decides, not the message about it."""

import re
from collections.abc import Callable, Sequence
from functools import partial

from gateway.sdk.connection import Connection
from gateway_pipedrive.client import ANY_STATUS, IDS_PER_CALL, Pipedrive, ids
from gateway_pipedrive.links import url_of
from gateway_pipedrive.models import Deal
from gateway_pipedrive.records import contact_record, deal_record, lead_record, note_record
from gateway_schemas.records import Record, RecordRef

_LEAD_ID, _NUMBER = re.compile(r"[0-9A-Za-z-]+"), re.compile(r"[0-9]+")
ONE_BY_ONE = 10
"""Up to so many records are read one by one for one token each; a list costs 10, of archived deals 20."""


async def read_records(connection: Connection, refs: Sequence[RecordRef]) -> list[Record]:
    """Return the records that exist; missing ones are deleted (a lead also by conversion), merged away or invisible.

    Deleted deals are returned as such for the 30 days in which the vendor keeps them; deleted persons and leads are not
    told apart from invisible ones and are left out.
    """
    client = Pipedrive(connection)
    link = partial(url_of, connection)
    wanted = _by_kind(refs)
    records = [deal_record(deal, link) for deal in await _deals(client, wanted.get("deal", []))]
    leads = [await client.lead(lead_id) for lead_id in wanted.get("lead", [])]
    records += [lead_record(lead, link) for lead in leads if lead is not None]
    records += await _contacts(client, wanted.get("contact", []), link)
    notes = [await client.note(note_id) for note_id in wanted.get("note", [])]
    return records + [note_record(note) for note in notes if note is not None]


async def find_related(connection: Connection, ref: RecordRef) -> list[Record]:
    """Return the deals of a contact, or those that came of a lead; archived and deleted ones too.

    The vendor lists deals by person only. A lead that is gone (it is deleted by conversion) names its person no more:
    its deals are then found through the contact, whose deals name the lead as their origin.
    """
    client = Pipedrive(connection)
    link = partial(url_of, connection)
    if ref.kind == "contact":
        return [deal_record(deal, link) for deal in await deals_of_person(client, ref.id)]
    if ref.kind == "lead":
        lead = await client.lead(ref.id)
        if lead is None or lead.core.person_id is None:
            return []
        found = await deals_of_person(client, str(lead.core.person_id))
        return [deal_record(deal, link) for deal in found if deal.source_lead_id == ref.id]
    return []


async def deals_of_person(client: Pipedrive, person_id: str) -> list[Deal]:
    """Return every deal of a person, archived and deleted ones too; 30 tokens."""
    found = [deal async for page in client.deals(person_id=person_id, status=ANY_STATUS) for deal in page]
    archived = [deal async for page in client.archived_deals(person_id=person_id, status=ANY_STATUS) for deal in page]
    return list({deal.id: deal for deal in found + archived}.values())


async def _deals(client: Pipedrive, wanted: Sequence[str]) -> list[Deal]:
    """Return deals in any state: few of them one by one, many by lists; what is missing is looked up as deleted."""
    found: dict[str, Deal] = {}
    if len(wanted) <= ONE_BY_ONE:
        for deal_id in wanted:
            if (deal := await client.deal(deal_id)) is not None:
                found[deal_id] = deal
    else:
        for chunk in _chunks(wanted):
            async for page in client.deals(ids=ids(chunk), status=ANY_STATUS):
                found |= {str(deal.id): deal for deal in page}
        for chunk in _chunks([deal_id for deal_id in wanted if deal_id not in found]):
            async for page in client.archived_deals(ids=ids(chunk)):
                found |= {str(deal.id): deal for deal in page}
        return list(found.values())
    # A single deleted deal may answer 404 (unconfirmed); the list with this status names it for 30 days.
    for chunk in _chunks([deal_id for deal_id in wanted if deal_id not in found]):
        async for page in client.deals(ids=ids(chunk), status="deleted"):
            found |= {str(deal.id): deal for deal in page}
    return list(found.values())


async def _contacts(client: Pipedrive, wanted: Sequence[str], link: Callable[[str, str], str | None]) -> list[Record]:
    if len(wanted) <= ONE_BY_ONE:
        singles = [await client.person(person_id) for person_id in wanted]
        return [contact_record(person, link) for person in singles if person is not None]
    records: list[Record] = []
    for chunk in _chunks(wanted):
        async for page in client.persons(ids=ids(chunk)):
            records += [contact_record(person, link) for person in page if not person.is_deleted]
    return records


def _by_kind(refs: Sequence[RecordRef]) -> dict[str, list[str]]:
    """Return the ids of each kind, each once; ids that cannot be the vendor's are left out like missing records."""
    wanted: dict[str, list[str]] = {}
    for ref in dict.fromkeys(refs):
        if (_LEAD_ID if ref.kind == "lead" else _NUMBER).fullmatch(ref.id):
            wanted.setdefault(ref.kind, []).append(ref.id)
    return wanted


def _chunks(wanted: Sequence[str]) -> list[Sequence[str]]:
    return [wanted[start : start + IDS_PER_CALL] for start in range(0, len(wanted), IDS_PER_CALL)]
