"""What we know of the records of a connection before we look at them."""

from collections.abc import Iterable, Mapping, Sequence

import msgspec

from gateway.flows.services import Services
from gateway.storage import campaigns, links, people
from gateway.storage.campaigns import SetupRow
from gateway.storage.connections import ConnectionRow
from gateway.storage.links import LinkRow
from gateway.storage.people import PersonRow
from gateway_schemas.manifest import Manifest
from gateway_schemas.records import RecordRef


class Ground(msgspec.Struct, frozen=True):
    """What we know of the records of a connection before we look.

    Attributes:
        links: By record.
        people: Everybody whom one of the records belongs to.
        setups: Of the referred role, by campaign.
    """

    links: Mapping[RecordRef, Sequence[LinkRow]]
    people: Mapping[str, PersonRow]
    setups: Mapping[str, SetupRow]

    def referred(self, ref: RecordRef) -> list[LinkRow]:
        """Return the links of a record to referred people."""
        return [link for link in self.links.get(ref, ()) if self.people[link.person_id].role == "referred"]

    def counts_contact(self, manifest: Manifest, link: LinkRow) -> bool:
        """Say whether other records of this contact may qualify the person."""
        setup = self.setups.get(self.people[link.person_id].campaign_id)
        return link.record_kind == manifest.contact_kind and counts_by_contact(manifest, setup)


def counts_by_contact(manifest: Manifest, setup: SetupRow | None, record_kind: str | None = None) -> bool:
    """Say whether a setup's rule counts records (of one kind) because they belong to the contact."""
    rule = setup.body.qualification if setup is not None else None
    if setup is None or rule is None:
        return False
    offered = [one for one in manifest.triggers if one.key == rule.trigger and record_kind in (None, one.record_kind)]
    return any("contact" in trigger.through.get(setup.body.target, []) for trigger in offered)


async def ground(services: Services, row: ConnectionRow, refs: Iterable[RecordRef]) -> Ground:
    """Return what we know of these records."""
    async with services.database.read() as conn:
        found = await links.by_records(conn, row.id, set(refs))
        who = await people.by_ids(conn, sorted({link.person_id for link in found}))
        setups = await campaigns.setups_of(conn, row.id)
    by_ref: dict[RecordRef, list[LinkRow]] = {}
    for link in found:
        if link.person_id in who:
            by_ref.setdefault(link.ref, []).append(link)
    return Ground(by_ref, who, {setup.campaign_id: setup for setup in setups if setup.role == "referred"})
