"""Collect all that is known of referrals: person, setup and trigger, records, and what was seen of them.

One set of reads answers for a whole list of people; what each reads out of it is a pure ``Case`` for ``verdict.judge``.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import msgspec

from gateway.flows.referrals.verdict import GONE, Candidate, Case
from gateway.flows.referrals.wording import Seen
from gateway.flows.services import Services
from gateway.storage import accounts, campaigns, connections, facts, links
from gateway.storage.campaigns import CampaignRow, SetupRow
from gateway.storage.connections import ConnectionRow
from gateway.storage.engine import AsyncConnection
from gateway.storage.facts import RecordState, SeenFact
from gateway.storage.links import LinkRow
from gateway.storage.people import PersonRow
from gateway_schemas.campaign import QualificationRule
from gateway_schemas.manifest import Manifest, Trigger
from gateway_schemas.records import RecordRef

Claims = dict[tuple[str, str, RecordRef], str]
"""(Campaign, connection, record) to the person whose referral the record has qualified."""


@dataclass(slots=True, kw_only=True)
class Dossier:
    """What is known of one referral.

    Attributes:
        connection: Where its records are; before it has any, the account's CRM.
        currency: Of amounts that name none: the vendor tenant's, else the account's.
        states: Newest states of its records.
    """

    person: PersonRow
    campaign: CampaignRow | None
    currency: str
    connection: ConnectionRow | None = None
    manifest: Manifest | None = None
    setup: SetupRow | None = None
    links: list[LinkRow] = field(default_factory=list)
    seen: list[SeenFact] = field(default_factory=list)
    states: dict[RecordRef, RecordState] = field(default_factory=dict)

    @property
    def rule(self) -> QualificationRule | None:
        """The qualification rule of the setup."""
        return self.setup.body.qualification if self.setup is not None else None

    @property
    def trigger(self) -> Trigger | None:
        """The trigger that the rule names; null when the integration offers it no more."""
        if self.rule is None or self.manifest is None:
            return None
        return next((one for one in self.manifest.triggers if one.key == self.rule.trigger), None)

    @property
    def current(self) -> RecordRef | None:
        """The record by which the referral has qualified last."""
        record = (self.person.qualified_by or {}).get("record")
        return msgspec.convert(record, RecordRef) if record else None

    def case(self, claims: Claims) -> Case:
        """Return the case for ``verdict.judge``."""
        return Case(
            trigger=self.trigger,
            rule=self.rule,
            target=self.setup.body.target if self.setup is not None else "",
            accepts=self.setup.resolved.accepts if self.setup is not None else {},
            labels=self.setup.resolved.labels if self.setup is not None else {},
            candidates=[self._candidate(link, claims) for link in self.links],
            seen=[
                Seen(
                    ref=fact.ref,
                    name=fact.fact,
                    value=fact.value or None,
                    at=fact.at,
                    seen_at=fact.seen_at,
                    source=fact.source,
                )
                for fact in self.seen
            ],
            current=self.current,
            cannot=self.person.cannot_qualify,
            notes=self._notes(),
        )

    def state_of(self, link: LinkRow) -> str | None:
        """Return the newest state of a record; null when it was never read."""
        known = self.states.get(link.ref)
        return GONE if link.gone_at is not None else known.state if known is not None else None

    def _candidate(self, link: LinkRow, claims: Claims) -> Candidate:
        through = link.how if link.how in ("converted", "contact") else "created"
        holder = claims.get((self.person.campaign_id, link.connection_id, link.ref))
        return Candidate(
            ref=link.ref,
            through=through,  # type: ignore[arg-type]  # one of the three words
            state=self.state_of(link),
            claimed_by=holder if holder != self.person.id else None,
        )

    def _notes(self) -> list[str]:
        notes = []
        if self.person.test:
            notes.append("This is a marked test signup: it may qualify, and is never counted or rewarded.")
        if self.person.crm != "linked" and not self.links:
            why = self.person.crm_note or self.person.crm_cause
            notes.append(f"The signup is not in the CRM ({self.person.crm}{': ' + why if why else ''}).")
        if self.setup is not None and self.setup.state != "ready":
            notes.append("The campaign's setup needs attention.")
        notes += self._of_states()
        converted = any(link.how == "converted" for link in self.links)
        watched = self.trigger.record_kind if self.trigger is not None else None
        contact = self.manifest.contact_kind if self.manifest is not None else None
        standing = {link.record_kind for link in self.links if self.state_of(link) not in (GONE, "deleted")}
        for link in self.links:
            if self.state_of(link) not in (GONE, "deleted") or link.record_kind in standing:
                continue  # a record that was merged away has its survivor beside it
            if link.record_kind in (watched, contact) or watched is None:
                notes.append(f"{link.record_kind} {link.record_id} is not in the CRM any more.")
            elif not converted:
                notes.append(
                    f"{link.record_kind} {link.record_id} was deleted, and no {watched} made from it has been found."
                )
        return notes

    def _of_states(self) -> list[str]:
        """Say how the signup's own records stand, while nothing that is watched has come of them."""
        contact = self.manifest.contact_kind if self.manifest is not None else None
        watched = self.trigger.record_kind if self.trigger is not None else None
        converted = any(link.how == "converted" for link in self.links)
        notes = []
        for link in self.links:
            known = self.states.get(link.ref)
            if link.record_kind == contact or known is None or self.state_of(link) in (GONE, "deleted"):
                continue
            if link.record_kind != watched and converted:
                continue
            if link.record_kind != watched and watched is not None:
                said = f"{link.record_kind.capitalize()} {link.record_id} is {known.state}"
                notes.append(f"{said}; no {watched} made from it has been found yet.")
            if known.record is not None and known.record.note is not None:
                notes.append(known.record.note)
        return notes


async def collect(conn: AsyncConnection, services: Services, people: Sequence[PersonRow]) -> dict[str, Dossier]:
    """Return what is known of each of these people, in a number of statements that does not grow with them.

    Args:
        conn: Any connection; the writer's shows what this transaction wrote.
        services: For the manifests.
        people: Referred persons of one account.
    """
    if not people:
        return {}
    (account_id,) = {person.account_id for person in people}
    account = await accounts.get(conn, account_id)
    ids = [person.id for person in people]
    of_links = await links.of_people(conn, ids)
    of_facts = await facts.of_people(conn, ids)
    of_campaigns = await campaigns.by_ids(conn, account_id, sorted({person.campaign_id for person in people}))
    rows = await _connections(conn, account_id, of_links)
    setups = {
        one.id: {
            setup.campaign_id: setup for setup in await campaigns.setups_of(conn, one.id) if setup.role == "referred"
        }
        for one in rows
    }
    refs = {
        one.id: {link.ref for found in of_links.values() for link in found if link.connection_id == one.id}
        for one in rows
    }
    states = {one.id: await facts.states_of(conn, one.id, refs[one.id]) for one in rows}
    dossiers = {}
    by_id = {one.id: one for one in rows}
    for person in people:
        mine = of_links.get(person.id, [])
        row = by_id.get(_where(mine)) if mine else rows[0] if rows else None
        integration = services.integrations.get(row.integration) if row is not None else None
        here = [link for link in mine if row is not None and link.connection_id == row.id]
        known = states[row.id] if row is not None else {}
        dossiers[person.id] = Dossier(
            person=person,
            campaign=of_campaigns.get(person.campaign_id),
            currency=(row.currency if row is not None else None)
            or (account.currency if account is not None else "USD"),
            connection=row,
            manifest=integration.manifest if integration is not None else None,
            setup=setups[row.id].get(person.campaign_id) if row is not None else None,
            links=here,
            seen=of_facts.get(person.id, []),
            states={link.ref: known[link.ref] for link in here if link.ref in known},
        )
    return dossiers


def _where(found: Sequence[LinkRow]) -> str:
    """Return the connection of a person's records: the newest one of those that are not gone."""
    standing = [link for link in found if link.gone_at is None] or list(found)
    return max(standing, key=lambda link: link.id).connection_id


async def _connections(conn: AsyncConnection, account_id: str, found: dict[str, list[LinkRow]]) -> list[ConnectionRow]:
    """Return the account's CRM first, then others where these people have records."""
    current = await connections.open_crm(conn, account_id)
    wanted = {_where(some) for some in found.values() if some}
    others = await connections.by_ids(conn, sorted(wanted - {current.id if current is not None else ""}))
    return [*([current] if current is not None else []), *others.values()]
