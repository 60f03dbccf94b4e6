"""Look at records in the CRM: read again what a hint is about, and what belongs to it. Calls only, no writes.

Webhooks, feeds and sweeps are hints: the state of the record decides. What a hint itself proves to have been seen (a
stage that was passed between two looks) counts too, once the record is known to be a referral's.
"""

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime

import msgspec

from gateway.flows.referrals.ground import Ground, ground
from gateway.flows.referrals.verdict import GONE
from gateway.flows.services import Services
from gateway.plugins import Integration
from gateway.sdk.connection import Connection
from gateway.storage import links
from gateway.storage.connections import ConnectionRow
from gateway.storage.links import LinkRow
from gateway_schemas.manifest import Manifest
from gateway_schemas.records import Record, RecordChange, RecordRef

CALL_SECONDS = 60.0
"""Longest time for one batch of reads; each call in it is bounded by the client."""

ENDED = frozenset({"deleted", "converted", GONE})
"""States after which another record may have come of this one."""

ROUNDS = 3
"""How far a chain of merged records is followed in one look."""


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """What a look found.

    Attributes:
        source: ``webhook``, ``feed``, ``sweep`` or ``push``.
        read_at: When the reading began.
        records: As they are now.
        missing: Asked for and left out by the vendor.
        changes: The hints that are about records of ours.
        merged: Kind, loser and survivor of records that were merged.
    """

    source: str
    read_at: datetime
    records: dict[RecordRef, Record] = {}
    missing: frozenset[RecordRef] = frozenset()
    changes: list[RecordChange] = []
    merged: frozenset[tuple[str, str, str]] = frozenset()


class Looker:
    """Reads records through one connection.

    Args:
        integration: Makes the calls.
        connection: Opened for this task.
        now: When the look began.
    """

    def __init__(self, integration: Integration, connection: Connection, now: datetime) -> None:
        self._integration = integration
        self._connection = connection
        self._now = now
        self.records: dict[RecordRef, Record] = {}
        self.missing: set[RecordRef] = set()

    @property
    def manifest(self) -> Manifest:
        """The integration's manifest."""
        return self._integration.manifest

    def knows(self, record: Record) -> None:
        """Take a record that a feed brought whole."""
        self.records[record.ref] = record

    async def read(self, refs: Iterable[RecordRef]) -> None:
        """Read records that were not read yet, in batches; and those that they were merged into."""
        wanted = _not_in(refs, self.records, self.missing)
        for _ in range(ROUNDS):
            if not wanted or not self._integration.has("read_records"):
                return
            size = max(1, self.manifest.read_batch)
            for start in range(0, len(wanted), size):
                batch = wanted[start : start + size]
                call = self._integration.hooks.read_records(connection=self._connection, refs=batch)
                read: list[Record] = await self._integration.call(call, timeout_seconds=CALL_SECONDS)
                self.records |= {record.ref: record for record in read}
                self.missing |= set(batch) - {record.ref for record in read}
            merged = (
                RecordRef(kind=one.ref.kind, id=one.merged_into) for one in self.records.values() if one.merged_into
            )
            wanted = _not_in(merged, self.records, self.missing)

    async def read_related(self, refs: Iterable[RecordRef]) -> list[Record]:
        """Read the records that came of these, or belong to them."""
        found: list[Record] = []
        if self._integration.has("find_related"):
            for ref in dict.fromkeys(refs):
                call = self._integration.hooks.find_related(connection=self._connection, ref=ref)
                found += await self._integration.call(call, timeout_seconds=CALL_SECONDS)
        self.records |= {record.ref: record for record in found}
        self.missing -= set(self.records)
        return found

    def has_ended(self, ref: RecordRef) -> bool:
        """Say whether the look found that a record is not there any more, or was converted."""
        record = self.records.get(ref)
        return ref in self.missing or (record is not None and record.state in ENDED)

    def may_have_successor(self, ref: RecordRef) -> bool:
        """Say whether other records are made from this kind: neither a contact nor watched by a trigger itself."""
        return ref.kind not in {
            self.manifest.contact_kind,
            *(trigger.record_kind for trigger in self.manifest.triggers),
        }

    def found(self, source: str, changes: Sequence[RecordChange] = ()) -> Found:
        """Return what the look found."""
        told: list[Record | RecordChange] = [*changes, *self.records.values()]
        merged = {(one.ref.kind, one.ref.id, one.merged_into) for one in told if one.merged_into}
        return Found(
            source=source,
            read_at=self._now,
            records=self.records,
            missing=frozenset(self.missing),
            changes=list(changes),
            merged=frozenset(merged),
        )


def _not_in(refs: Iterable[RecordRef], *known: Collection[RecordRef]) -> list[RecordRef]:
    return [ref for ref in dict.fromkeys(refs) if not any(ref in some for some in known)]


# --- after a hint ----------------------------------------------------------------------------------------


async def follow_hints(
    services: Services, row: ConnectionRow, looker: Looker, changes: Sequence[RecordChange], source: str
) -> Found:
    """Read again what these hints are about, where it concerns somebody of ours.

    Args:
        services: For what we know of the records.
        row: The connection.
        looker: Makes the calls.
        changes: From webhooks, a feed, or the vendor app.
        source: ``webhook`` or ``feed``.

    Raises:
        PluginError: The vendor could not be read; nothing was changed.
    """
    known = await ground(services, row, {ref for change in changes for ref in _refs(change)})
    merged = {change.ref: _survivor(change) for change in changes if change.merged_into is not None}
    ours = {*known.links, *(survivor for loser, survivor in merged.items() if loser in known.links)}
    relevant = [change for change in changes if any(ref in ours for ref in _refs(change))]
    for change in relevant:
        if change.record is not None:
            looker.knows(change.record)
    await looker.read(ref for change in relevant for ref in _to_read(known, looker.manifest, change))
    await _look_for_successors(
        services, row, looker, [ref for change in relevant if (ref := change.ref) in known.links]
    )
    # deals of the survivor may have been told before the merge was, when they were nobody's of ours
    manifest = looker.manifest
    widened = [loser for loser in merged if any(known.counts_contact(manifest, link) for link in known.referred(loser))]
    await looker.read_related(merged[loser] for loser in widened)
    return looker.found(source, relevant)


def _survivor(change: RecordChange) -> RecordRef:
    return RecordRef(kind=change.ref.kind, id=change.merged_into or change.ref.id)


def _refs(change: RecordChange) -> list[RecordRef]:
    return [ref for ref in (change.ref, change.origin, change.contact) if ref is not None]


def _to_read(known: Ground, manifest: Manifest, change: RecordChange) -> list[RecordRef]:
    """Return what a hint makes us read again; the echo of our own write and a referrer's contact tell nothing new."""
    if change.merged_into is not None:
        return [_survivor(change)]
    if change.deleted:
        return [change.ref]
    if change.own and not change.facts:
        return []
    if change.ref.kind == manifest.contact_kind and not known.referred(change.ref):
        return []
    return [change.ref]


async def _look_for_successors(
    services: Services, row: ConnectionRow, looker: Looker, refs: Sequence[RecordRef]
) -> None:
    """Look for what the vendor made of records that have ended (a lead that became a deal), unless it is known."""
    ended = [ref for ref in refs if looker.may_have_successor(ref) and looker.has_ended(ref)]
    if not ended:
        return
    known = await ground(services, row, ended)
    concerned = {link.person_id for ref in ended for link in known.referred(ref) if link.how != "converted"}
    async with services.database.read() as conn:
        all_links = await links.of_people(conn, sorted(concerned))
    for person_id in sorted(concerned):
        await look_for_successor(looker, [link for link in all_links[person_id] if link.connection_id == row.id])


async def look_for_successor(looker: Looker, mine: Sequence[LinkRow]) -> None:
    """Look for what came of a person's records that have ended: by the record, then by its contact."""
    converted = {link.ref for link in mine if link.how == "converted"}
    contact = looker.manifest.contact_kind
    ended = [link.ref for link in mine if looker.may_have_successor(link.ref) and looker.has_ended(link.ref)]
    if not ended or converted or any(record.origin in ended for record in looker.records.values()):
        return
    if not any(record.origin in ended for record in await looker.read_related(ended)):
        await looker.read_related(link.ref for link in mine if link.record_kind == contact and link.gone_at is None)
