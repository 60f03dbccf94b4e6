"""A piece of a sweep: people, and which of their records are to be read."""

import zlib
from datetime import datetime, timedelta

from gateway.flows.referrals.ground import counts_by_contact
from gateway.storage.campaigns import SetupRow
from gateway.storage.connections import ConnectionRow
from gateway.storage.links import LinkRow
from gateway.storage.people import PersonRow
from gateway_schemas.manifest import Manifest
from gateway_schemas.records import RecordRef

DAY = timedelta(days=1)


def is_daily_turn(person_id: str, before: datetime | None, now: datetime) -> bool:
    """Say whether a person's moment of the day has come since they were looked at.

    Each person has a moment of their own, so that the work of a day is spread over it, and nothing has to be stored.

    Args:
        person_id: Decides the moment.
        before: When they were looked at before; ``None``: never.
        now: The time.
    """
    if before is None:
        return True
    moment = timedelta(seconds=zlib.crc32(person_id.encode()) % int(DAY.total_seconds()))
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    latest = midnight + moment if midnight + moment <= now else midnight + moment - DAY
    return before < latest


class Piece:
    """People of one look, with what is known of their records.

    Args:
        row: The connection.
        manifest: Of its integration.
        setups: For referred people, by campaign.
        who: The people.
        mine: Their records.
        follow_daily_at: The time of the look, where what belongs to a contact is followed once a day only: it costs
            calls for each person, and webhooks or feeds name new records at once. ``None``: it is followed now.
    """

    def __init__(
        self,
        row: ConnectionRow,
        manifest: Manifest,
        setups: dict[str, SetupRow],
        who: dict[str, PersonRow],
        mine: dict[str, list[LinkRow]],
        follow_daily_at: datetime | None = None,
    ) -> None:
        self.who = who
        self._row = row
        self._manifest = manifest
        self._setups = setups
        self._mine = mine
        self._follow_daily_at = follow_daily_at

    def links_of(self, person_id: str) -> list[LinkRow]:
        """Return the person's records on this connection that are not gone."""
        return [
            link
            for link in self._mine.get(person_id, [])
            if link.connection_id == self._row.id and link.gone_at is None
        ]

    def to_read(self, person_id: str) -> list[RecordRef]:
        """Return which records are read: watched ones, what they may be made from, and the contact if it matters."""
        mine = self.links_of(person_id)
        converted = any(link.how == "converted" for link in mine)
        watched_kinds = {trigger.record_kind for trigger in self._manifest.triggers}
        created = {kind for target in self._manifest.targets for kind in target.creates}
        sources = created - watched_kinds - {self._manifest.contact_kind}
        reads = {*watched_kinds, *(set() if converted else sources)}
        if self._needs_contact(person_id) or not any(link.record_kind in reads for link in mine):
            reads.add(self._manifest.contact_kind)
        return [link.ref for link in mine if link.record_kind in reads]

    def contacts_to_follow(self, person_id: str) -> list[RecordRef]:
        """Return the contacts whose other records may qualify this person, when it is time to look for those."""
        now = self._follow_daily_at
        if not self._counts_contact(person_id):
            return []
        if now is not None and not is_daily_turn(person_id, self.who[person_id].swept_at, now):
            return []
        return [link.ref for link in self.links_of(person_id) if link.record_kind == self._manifest.contact_kind]

    def _needs_contact(self, person_id: str) -> bool:
        setup = self._setups.get(self.who[person_id].campaign_id)
        valued = setup.body.sale_value if setup is not None else None
        return self._counts_contact(person_id) or (
            valued is not None and valued.record_kind == self._manifest.contact_kind
        )

    def _counts_contact(self, person_id: str) -> bool:
        person = self.who[person_id]
        return person.role == "referred" and counts_by_contact(self._manifest, self._setups.get(person.campaign_id))
