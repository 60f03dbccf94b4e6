"""Turn a page of contacts into referrers: decided purely, stored set-wise, in the transaction of the page.

What was decided before about a contact stays: once it is a referrer, a contact that loses its address or is marked
*do not mail* keeps referrer and link. Counters change by what becomes different, so a page that is read again counts
nothing twice.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec

from gateway.flows.contact_sync import values
from gateway.flows.contact_sync.reading import Contact, equal
from gateway.flows.contact_sync.values import Newest, Unwritable
from gateway.flows.notify.publishing import NewEvent, publish
from gateway.flows.referrals.merges import follow_merges
from gateway.flows.signups.codes import link_for, mint_codes
from gateway.storage import importing, links, people, sync_contacts, timeline
from gateway.storage.campaigns import CampaignRow
from gateway.storage.columns import new_ids
from gateway.storage.engine import AsyncConnection
from gateway.storage.importing import Known, NewPerson
from gateway.storage.links import NewLink
from gateway.storage.people import Change
from gateway.storage.sync_contacts import ContactRow
from gateway.storage.syncs import SyncRow
from gateway.storage.timeline import NewEntry
from gateway.storage.writer import Overloaded
from gateway_schemas.event_data import ContactsImportedData, ImportedPerson
from gateway_schemas.records import RecordRef

TRIES = 8
EVENT_PEOPLE = 100
"""People of one ``contacts.imported``."""

GONE = frozenset({"deleted", "merged"})
"""Reasons for which a record itself is gone, for everybody."""

WENT = {
    "deleted": "was deleted in the CRM",
    "merged": "was merged into another one in the CRM",
    "left_selection": "left the selection of the contact sync, or is not in the CRM any more",
}


class Imported(msgspec.Struct, frozen=True):
    """A contact that is a referrer from now on: new, or one that was there."""

    contact: Contact
    person: Known
    created: bool


class Plan:
    """What becomes of a page of contacts.

    Attributes:
        new: People to be inserted.
        changes: What changes of people who were there.
        rows: Contacts as they will stand, those that differ from what is stored.
        met: Contacts of which only the walk changes.
        joined: Contacts that are referrers from now on.
        gone: Contacts that were referrers' and are not there any more.
        counts: How the sync's counters change, by ``imported``, ``gone``, ``to_write``, ``without_link`` and
            ``skipped:{reason}``.
        seen: Contacts that the sync had not met before.
    """

    def __init__(self) -> None:
        self.new: list[NewPerson] = []
        self.changes: list[Change] = []
        self.rows: list[ContactRow] = []
        self.met: list[str] = []
        self.joined: list[Imported] = []
        self.gone: list[ContactRow] = []
        self.counts: Counter[str] = Counter()
        self.seen = 0


def plan_page(
    sync: SyncRow,
    campaign: CampaignRow,
    contacts: Sequence[Contact],
    known: Iterable[Known],
    before: Mapping[str, ContactRow],
    held_by: Mapping[str, str],
    now: datetime,
    read_at: datetime,
) -> Plan:
    """Decide what becomes of each contact of a page.

    Args:
        sync: The sync.
        campaign: Its campaign, for the link template.
        contacts: As they were read; of one that comes twice the last counts.
        known: The referrers whom their e-mails, or the contacts before, mean.
        before: What the sync knows of these contacts.
        held_by: Which contact of the sync stands for a person, by person id.
        now: The time.
        read_at: When the reading of the page began: what was written since is newer than the page.
    """
    return _Planner(sync, campaign, known, before, held_by, now, read_at).run({one.record_id: one for one in contacts})


class _Planner:
    def __init__(
        self,
        sync: SyncRow,
        campaign: CampaignRow,
        known: Iterable[Known],
        before: Mapping[str, ContactRow],
        held_by: Mapping[str, str],
        now: datetime,
        read_at: datetime,
    ) -> None:
        self.sync, self.campaign, self.now, self.before, self.read_at = sync, campaign, now, before, read_at
        self.by_id = {one.id: one for one in known}
        self.by_hash = {one.email_hash: one for one in self.by_id.values() if one.email_hash is not None}
        self.held_by = dict(held_by)
        self.fields = {one.key: one for one in sync.fields}
        self.plan = Plan()
        self.codes: list[str] = []
        self.ids: list[str] = []

    def run(self, contacts: Mapping[str, Contact]) -> Plan:
        if self.campaign.link_template is not None:
            self.codes = mint_codes(len(contacts))
        self.ids = new_ids("per", len(contacts))[::-1]  # handed out in order
        for contact in contacts.values():
            self._release(contact, self.before.get(contact.record_id))
        # those that are gone first: another contact may stand for their referrers from now on
        for contact in sorted(contacts.values(), key=lambda one: one.reason is None):
            self._decide(contact, self.before.get(contact.record_id))
        return self.plan

    def _release(self, contact: Contact, row: ContactRow | None) -> None:
        """Let a contact whose address is somebody else's now stand for its referrer no more: two may have swapped."""
        found = self.by_hash.get(contact.email_hash or "")
        if found is None or row is None or row.state != "imported" or row.person_id in (None, found.id):
            return
        if self.held_by.get(row.person_id or "") == row.record_id:
            del self.held_by[row.person_id or ""]

    def _decide(self, contact: Contact, row: ContactRow | None) -> None:
        self.plan.seen += row is None
        was_imported = row is not None and row.state == "imported"
        if contact.reason is not None:
            if row is not None and row.state == "gone":
                self._meet(row)  # known already: it stays gone, and is not counted as skipped
            elif not was_imported:
                self._skip(contact, row, contact.reason)
            elif contact.reason in GONE and row is not None:
                self._lose(row, contact.reason)
            else:
                self._meet(row)
            return
        person = self._person_of(contact, row)
        if person is None:
            person, created = self._create(contact), True
        elif person.email_hash is None:
            self._skip(contact, row, "erased")
            return
        else:
            holder = self.held_by.get(person.id)
            if holder is not None and holder != contact.record_id:
                self._skip(contact, row, "duplicate")
                return
            person, created = self._complete(contact, person), False
        self.held_by[person.id] = contact.record_id
        joins = not (was_imported and row is not None and row.person_id == person.id)
        if joins:
            self.plan.joined.append(Imported(contact, person, created))
        self._keep(contact, row, person)

    def _person_of(self, contact: Contact, row: ContactRow | None) -> Known | None:
        """Return the referrer of a contact: who has its e-mail, else who was it before (the address has changed)."""
        found = self.by_hash.get(contact.email_hash or "")
        if found is None and row is not None and row.person_id is not None:
            found = self.by_id.get(row.person_id)
        return found

    def _create(self, contact: Contact) -> Known:
        assert contact.email is not None
        assert contact.email_hash is not None
        code = self.codes.pop() if self.codes else None
        one = NewPerson(
            self.ids.pop(),
            contact.email,
            contact.email_hash,
            contact.values.get("first_name"),
            contact.values.get("last_name"),
            contact.values.get("phone"),
            code,
            link_for(self.campaign.link_template, code),
            contact.answers,
        )
        self.plan.new.append(one)
        person = Known(
            one.id, one.email, one.email_hash, one.first_name, one.last_name, one.phone, one.code, one.link,
            one.fields, False, "linked", 0, 0,
        )  # fmt: skip
        self._remember(person)
        return person

    def _complete(self, contact: Contact, person: Known) -> Known:
        """Fill what is empty; of somebody who was imported and never signed up the new e-mail is taken too."""
        changes: dict[str, Any] = {name: text for name, text in contact.values.items() if getattr(person, name) is None}
        answers = {key: value for key, value in contact.answers.items() if person.fields.get(key) in (None, "")}
        if answers:
            changes["fields"] = {**person.fields, **answers}
        if contact.email_hash != person.email_hash and not person.signed_up:
            changes |= {"email": contact.email, "email_hash": contact.email_hash}
        code = person.code
        if code is None and self.codes:
            code = changes["code"] = self.codes.pop()
        if person.link is None and (link := link_for(self.campaign.link_template, code)) is not None:
            changes["link"] = link
        if person.crm == "gone" or (person.crm == "held" and not person.signed_up):
            changes |= {"crm": "linked", "crm_cause": None, "crm_note": None, "crm_since": self.now}
        if not changes:
            return person
        self.plan.changes.append(Change(id=person.id, values=changes))
        kept = {name: value for name, value in changes.items() if name in Known.__struct_fields__}
        person = msgspec.structs.replace(person, **kept)
        self._remember(person)
        return person

    def _remember(self, person: Known) -> None:
        self.by_id[person.id] = person
        if person.email_hash is not None:
            self.by_hash[person.email_hash] = person

    # --- what is stored of the contact -------------------------------------------------------------

    def _keep(self, contact: Contact, row: ContactRow | None, person: Known) -> None:
        waits, written = self._write_back(contact, row, person)
        if person.link is None and not (row is not None and row.state == "imported"):
            self.plan.counts["without_link"] += 1
        self._put(row, ContactRow(contact.record_id, person.id, "imported", None, self.sync.walk, waits, written))

    def _write_back(self, contact: Contact, row: ContactRow | None, person: Known) -> tuple[bool, str | None]:
        """Return whether the contact needs newer values, and the hash of those that it has."""
        if not self.sync.write_back:
            return False, None
        newest = Newest(person.code, person.link, person.referrals, person.qualified)
        try:
            ours = values.to_write(self.sync.write_back, self.fields, newest)
        except Unwritable as error:
            mark = values.unwritable(error)  # the write says what is wrong, and for whom: once
            return row is None or row.written != mark, mark if row is not None and row.written == mark else None
        if not ours:
            return False, None
        digest = values.digest(ours)
        if all(equal(contact.holds.get(key), value) for key, value in ours.items()):
            return False, digest
        if row is not None and row.written == values.refused(digest):
            return False, row.written  # the CRM would refuse it again
        if row is not None and row.written == digest and row.written_at is not None and row.written_at >= self.read_at:
            return row.to_write, digest  # the page is older than our write
        return True, None

    def _skip(self, contact: Contact, row: ContactRow | None, reason: str) -> None:
        person = row.person_id if row is not None else None
        self._put(row, ContactRow(contact.record_id, person, "skipped", reason, self.sync.walk))

    def _lose(self, row: ContactRow, reason: str) -> None:
        if row.person_id is not None and self.held_by.get(row.person_id) == row.record_id:
            del self.held_by[row.person_id]
        gone = ContactRow(row.record_id, row.person_id, "gone", reason, self.sync.walk)
        self.plan.gone.append(gone)
        self._put(row, gone)

    def _meet(self, row: ContactRow | None) -> None:
        if row is not None and row.walk != self.sync.walk:
            self.plan.met.append(row.record_id)

    def _put(self, before: ContactRow | None, after: ContactRow) -> None:
        if before is not None and _same(before, after):
            self._meet(before)
            return
        self.plan.rows.append(after)
        for row, sign in ((before, -1), (after, 1)):
            if row is not None:
                self.plan.counts[row.state if row.state != "skipped" else f"skipped:{row.reason}"] += sign
                self.plan.counts["to_write"] += sign * row.to_write


def _same(one: ContactRow, other: ContactRow) -> bool:
    return (one.person_id, one.state, one.reason, one.to_write, one.written) == (
        other.person_id, other.state, other.reason, other.to_write, other.written,
    )  # fmt: skip


# --- storing -----------------------------------------------------------------------------------------------


async def store_page(
    conn: AsyncConnection,
    sync: SyncRow,
    campaign: CampaignRow,
    kind: str,
    contacts: Sequence[Contact],
    now: datetime,
    read_at: datetime,
) -> Plan:
    """Store a page of contacts with everything that follows: people, links, timeline, events.

    The sync's own row is the caller's business (``counted``).

    Raises:
        Overloaded: Other processes store the same people all the time.
    """
    before = await sync_contacts.by_records(conn, sync.id, [one.record_id for one in contacts])
    hashes = {one.email_hash for one in contacts if one.email_hash is not None}
    ids = {row.person_id for row in before.values() if row.person_id is not None}
    for _ in range(TRIES):
        known = await importing.known(conn, sync.account_id, sync.campaign_id, hashes, ids)
        held_by = await sync_contacts.holders(conn, sync.id, [one.id for one in known])
        plan = plan_page(sync, campaign, contacts, known, before, held_by, now, read_at)
        savepoint = await conn.begin_nested() if conn.dialect.name != "sqlite" else None
        stored = await importing.add(conn, sync.account_id, sync.campaign_id, plan.new, now)
        if stored == len(plan.new):
            if savepoint is not None:
                await savepoint.commit()
            break
        if savepoint is None:
            raise RuntimeError("people were refused as duplicates although nobody else writes")
        await savepoint.rollback()  # a signup of one of them was first: look again
    else:
        raise Overloaded("other processes store the same people all the time")
    await people.change(conn, plan.changes, now)
    await links.add(conn, [_link(sync, kind, one) for one in plan.joined], now)
    await sync_contacts.put(conn, sync.id, plan.rows)
    await sync_contacts.meet(conn, sync.id, plan.met, sync.walk)
    await timeline.add(conn, [_entry(sync, kind, one) for one in plan.joined], now)
    await publish(conn, _events(sync, kind, plan.joined), now)
    merged = {one.record_id: one.merged_into for one in contacts if one.merged_into is not None}
    await follow_merges(conn, sync.account_id, sync.connection_id, kind, merged, now)  # before their links are gone
    await lose(conn, sync, kind, plan.gone, now)
    return plan


def counted(sync: SyncRow, counts: Counter[str]) -> dict[str, Any]:
    """Return the counters of a sync after a change of what became of its contacts."""
    skipped = Counter(sync.skipped)
    for name, number in counts.items():
        if name.startswith("skipped:"):
            skipped[name.removeprefix("skipped:")] += number
    return {
        "imported": max(0, sync.imported + counts["imported"]),
        "gone": max(0, sync.gone + counts["gone"]),
        "to_write": max(0, sync.to_write + counts["to_write"]),
        "links_outstanding": max(0, sync.links_outstanding + counts["without_link"]),
        "skipped": {reason: number for reason, number in sorted(skipped.items()) if number > 0},
    }


async def lose(conn: AsyncConnection, sync: SyncRow, kind: str, rows: Sequence[ContactRow], now: datetime) -> None:
    """Mark the CRM link of contacts that are not there any more as gone; their referrers and links stay.

    Who else is linked to a record (somebody referred, a referrer of another campaign) loses it only when the record
    itself is gone: what leaves a sync's selection is still in the CRM.

    Args:
        conn: The writer's connection.
        sync: The sync.
        kind: The kind of its records.
        rows: The contacts as they stand now, each with its reason.
        now: The time.
    """
    if not rows:
        return
    refs = {RecordRef(kind=kind, id=row.record_id) for row in rows if row.reason in GONE}
    await links.mark_gone(conn, sync.connection_id, refs, now)
    left_it = {(row.record_id, row.person_id) for row in rows if row.reason not in GONE and row.person_id is not None}
    await links.part(conn, sync.connection_id, kind, left_it, now)
    losing = sorted({row.person_id for row in rows if row.person_id is not None})
    left = await links.of_people(conn, losing)
    without = [person for person, some in left.items() if not any(one.gone_at is None for one in some)]
    # a signup that waits for its push gets a record of its own
    await people.set_crm(conn, without, "gone", now, cause="record_gone", unless=("waiting", "held", "refused"))
    entries = [
        NewEntry(
            row.person_id,
            sync.account_id,
            "record.gone",
            f"{kind.capitalize()} {row.record_id} {WENT.get(row.reason or '', WENT['left_selection'])}; "
            "the referral link stays.",
            {"record": RecordRef(kind=kind, id=row.record_id), "sync": sync.id},
        )
        for row in rows
        if row.person_id is not None
    ]
    await timeline.add(conn, entries, now)


def _link(sync: SyncRow, kind: str, one: Imported) -> NewLink:
    return NewLink(
        account_id=sync.account_id,
        connection_id=sync.connection_id,
        record_kind=kind,
        record_id=one.contact.record_id,
        person_id=one.person.id,
        how="matched",
        email_hash=one.contact.email_hash,
        url=one.contact.url,
    )


def _entry(sync: SyncRow, kind: str, one: Imported) -> NewEntry:
    text = f"Became a referrer by contact sync, from {kind} {one.contact.record_id} of the CRM."
    if not one.created:
        text = f"Contact sync found {kind} {one.contact.record_id} of the CRM."
    return NewEntry(
        one.person.id,
        sync.account_id,
        "contact.imported",
        text,
        {"sync": sync.id, "record": {"kind": kind, "id": one.contact.record_id}},
    )


def _events(sync: SyncRow, kind: str, joined: Sequence[Imported]) -> list[NewEvent]:
    events = []
    for start in range(0, len(joined), EVENT_PEOPLE):
        some = [
            ImportedPerson(
                person=one.person.id,
                email=one.person.email,
                first_name=one.person.first_name,
                last_name=one.person.last_name,
                code=one.person.code,
                link=one.person.link,
                record=RecordRef(kind=kind, id=one.contact.record_id),
                created=one.created,
            )
            for one in joined[start : start + EVENT_PEOPLE]
        ]
        data = ContactsImportedData(sync=sync.id, campaign=sync.campaign_id, connection=sync.connection_id, people=some)
        events.append(NewEvent(type="contacts.imported", account_id=sync.account_id, person_id=None, data=data))
    return events
