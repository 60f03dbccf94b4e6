"""What a look found, beside what we know inside the transaction: whose is each record?"""

from dataclasses import dataclass, field
from datetime import datetime

from gateway.flows.referrals.evidence import ENDED, Found
from gateway.flows.referrals.ground import counts_by_contact
from gateway.storage import campaigns, facts, links, people
from gateway.storage.campaigns import SetupRow
from gateway.storage.connections import ConnectionRow
from gateway.storage.engine import AsyncConnection
from gateway.storage.facts import RecordState
from gateway.storage.links import LinkRow, NewLink
from gateway.storage.people import PersonRow
from gateway_schemas.manifest import Manifest
from gateway_schemas.records import Record, RecordRef


@dataclass(slots=True)
class Scene:
    """What is known inside the transaction."""

    row: ConnectionRow
    manifest: Manifest
    found: Found
    now: datetime
    links: dict[RecordRef, list[LinkRow]] = field(default_factory=dict)
    people: dict[str, PersonRow] = field(default_factory=dict)
    setups: dict[str, SetupRow] = field(default_factory=dict)
    states: dict[RecordRef, RecordState] = field(default_factory=dict)
    mine: dict[str, list[LinkRow]] = field(default_factory=dict)

    def referred(self, ref: RecordRef | None) -> list[LinkRow]:
        """Return the links of a record to referred people."""
        found = self.links.get(ref, []) if ref is not None else []
        return [link for link in found if self.people[link.person_id].role == "referred"]


def all_refs(found: Found) -> set[RecordRef]:
    """Return every record that the look was about."""
    return {*found.records, *found.missing, *(change.ref for change in found.changes)}


async def set_scene(
    conn: AsyncConnection, row: ConnectionRow, manifest: Manifest, found: Found, now: datetime
) -> Scene:
    """Read what we know of the records that were found, and of whose they are.

    Args:
        conn: The writer's connection.
        row: The connection that was looked through.
        manifest: Its integration's manifest.
        found: What was found.
        now: The time.
    """
    scene = Scene(row, manifest, found, now)
    around = {ref for one in found.records.values() for ref in (one.origin, one.contact) if ref is not None}
    known = await links.by_records(conn, row.id, all_refs(found) | around)
    scene.people = await people.by_ids(conn, sorted({link.person_id for link in known}))
    for link in known:
        if link.person_id in scene.people:  # else erased meanwhile
            scene.links.setdefault(link.ref, []).append(link)
    scene.setups = {one.campaign_id: one for one in await campaigns.setups_of(conn, row.id) if one.role == "referred"}
    scene.states = await facts.states_of(conn, row.id, all_refs(found))
    scene.mine = await links.of_people(conn, sorted(scene.people))
    return scene


def relations(scene: Scene, record: Record) -> list[NewLink]:
    """Return new links of a record: to those from whose record it was made, else to those whose contact's it is."""
    if record.ref.kind == scene.manifest.contact_kind:
        return []
    known = {link.person_id for link in scene.links.get(record.ref, [])}
    made_from = [link for link in scene.referred(record.origin) if link.how != "contact"]
    owners = {
        scene.people[link.person_id].campaign_id
        for link in (*scene.referred(record.ref), *made_from)
        if link.how != "contact"
    }
    how = {link.person_id: "converted" for link in made_from}
    for link in scene.referred(record.contact):
        person = scene.people[link.person_id]
        if person.campaign_id not in owners and _counts_by_contact(scene, person, record):
            how.setdefault(person.id, "contact")
    return [_new_link(scene, record, person, how[person]) for person in sorted(how) if person not in known]


def _counts_by_contact(scene: Scene, person: PersonRow, record: Record) -> bool:
    """Say whether a record of the person's contact counts: the rule says so, and it was added after the signup."""
    since = person.signed_up_at.replace(microsecond=0)  # vendors tell whole seconds
    if record.created_at is None or record.created_at < since:
        return False
    return counts_by_contact(scene.manifest, scene.setups.get(person.campaign_id), record.ref.kind)


def _new_link(scene: Scene, record: Record, person_id: str, how: str) -> NewLink:
    return NewLink(
        account_id=scene.row.account_id,
        connection_id=scene.row.id,
        record_kind=record.ref.kind,
        record_id=record.ref.id,
        person_id=person_id,
        how=how,
        url=record.url,
    )


def found_again(scene: Scene) -> list[NewLink]:
    """Return links of records that were believed to be gone, and are there: restored, or visible again."""
    again = [
        link
        for one in scene.found.records.values()
        if one.state not in ENDED and one.merged_into is None
        for link in scene.links.get(one.ref, [])
        if link.gone_at is not None
    ]
    return [NewLink(**{name: getattr(link, name) for name in NewLink.__struct_fields__}) for link in again]
