"""Find people before a push, and find what an attempt of ours may have made before a step is repeated.

Before: the vendor's search by e-mail, whose items are lossy and whose exact match has returned more than was asked, so
that each person is read and compared. In doubt: never the search, whose index lags, but the lists, which do not.

Source: ``VENDOR.md``, chapters 5, 7 and 9.
"""

import re
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from html import unescape
from typing import Any

from gateway_pipedrive.client import Pipedrive
from gateway_pipedrive.models import Deal, Note, Person
from gateway_pipedrive.reads import deals_of_person
from gateway_pipedrive.values import same
from gateway_schemas.records import RecordRef

SKEW = timedelta(seconds=60)
"""How far the vendor's clock may be behind ours."""

CODE_SKEW = timedelta(hours=1)
"""The same for a record that carries the referral code: it is ours whatever the clocks say."""

_TAGS = re.compile(r"<[^>]*>")


async def people(client: Pipedrive, addresses: frozenset[str], known: Iterable[RecordRef]) -> list[Person]:
    """Return the persons with one of these addresses, the one to use first: a known one, else the oldest.

    Args:
        client: Reads them.
        addresses: Case-folded.
        known: Records that we know for this e-mail; a known person is used even when its address was changed since.
    """
    for ref in known:
        if ref.kind == "contact" and ref.id.isdecimal() and (person := await client.person(ref.id)) is not None:
            return [person]
    numbers = [found for address in sorted(addresses) for found in await client.search_persons(address)]
    read = [await client.person(str(number)) for number in sorted(set(numbers))]
    return [person for person in read if person is not None and person.has_email(addresses)]


async def new_person(client: Pipedrive, addresses: frozenset[str], began: datetime) -> Person | None:
    """Return the person that an attempt since ``began`` has made, by walking back over all that were added since.

    Not by time of change: the vendor shows new records without one in its webhooks.
    """
    since = began - SKEW
    made: list[Person] = []
    async for page in client.persons(sort_by="add_time", sort_direction="desc"):
        made += [one for one in page if not one.is_deleted and _added(one.add_time, since) and one.has_email(addresses)]
        if page and not _added(page[-1].add_time, since):
            break
    return min(made, key=lambda one: one.id, default=None)


async def new_lead(
    client: Pipedrive, person: str, reference: str, began: datetime, known: Iterable[RecordRef]
) -> str | None:
    """Return the id of the lead that carries our reference, archived or converted meanwhile."""
    for archived in (False, True):
        async for page in client.leads(person, archived=archived):
            for lead in page:
                if lead.core.origin_id == reference:
                    return lead.core.id
    taken = {ref.id for ref in known if ref.kind == "lead"}
    converted = [
        deal
        for deal in await deals_of_person(client, person)
        if deal.source_lead_id and deal.source_lead_id not in taken
    ]
    # Whether a deal takes over the lead's origin_id is unconfirmed: then only the time and the person speak for it.
    sure = [deal for deal in converted if deal.origin_id == reference]
    likely = [deal for deal in converted if deal.origin_id is None and _added(deal.add_time, began - SKEW)]
    chosen = min(sure or likely, key=lambda deal: deal.id, default=None)
    return chosen.source_lead_id if chosen is not None else None


async def new_deal(
    client: Pipedrive,
    person: str,
    began: datetime,
    *,
    codes: Mapping[str, Any],
    user: str | None,
    known: Iterable[RecordRef],
) -> Deal | None:
    """Return the deal that an attempt since ``began`` has made on a person, archived meanwhile or not.

    Args:
        client: Reads the person's deals.
        person: Whose deals.
        began: When the attempt began.
        codes: Values by custom field key that only our deal of this signup has: the referral code.
        user: The connected user; without a code, a new deal made by it that nobody has linked is ours.
        known: Records that belong to other signups of this e-mail.
    """
    taken = {ref.id for ref in known if ref.kind == "deal"}
    free = [
        deal
        for deal in await deals_of_person(client, person)
        if str(deal.id) not in taken and not deal.is_deleted and deal.status != "deleted" and not deal.source_lead_id
    ]
    coded = [deal for deal in free if _added(deal.add_time, began - CODE_SKEW) and _carries(deal, codes)]
    plain = [
        deal
        for deal in free
        if _added(deal.add_time, began - SKEW) and (user is None or str(deal.creator_user_id) == user)
    ]
    return min(coded or plain, key=lambda deal: deal.id, default=None)


async def new_note(client: Pipedrive, link: str, record_id: str, content: str) -> Note | None:
    """Return the note with this text on a record; the vendor cleans up the HTML, so the bare text is compared."""
    wanted = _bare(content)
    async for page in client.notes(**{link: record_id}):
        for note in page:
            if note.active_flag and _bare(note.content or "") == wanted:
                return note
    return None


def _added(add_time: datetime | None, since: datetime) -> bool:
    return add_time is not None and add_time >= since.replace(microsecond=0)


def _carries(deal: Deal, codes: Mapping[str, Any]) -> bool:
    held = deal.custom_fields or {}
    return any(same(held.get(key), value) for key, value in codes.items())


def _bare(html: str) -> str:
    return "".join(unescape(_TAGS.sub(" ", html)).split())
