"""What a push needs to know, read at once, and what it sends, frozen."""

from collections.abc import Sequence

import msgspec

from gateway.flows.campaigns.setup_checks import locality_of
from gateway.flows.people.shapes import mapping_campaign, mapping_person
from gateway.sdk.errors import Problem
from gateway.sdk.mapping import render
from gateway.storage import accounts, campaigns, connections, links, people, pushes
from gateway.storage.campaigns import CampaignKey, CampaignRow, SetupKey, SetupRow
from gateway.storage.connections import ConnectionRow, lane
from gateway.storage.doubts import OtherPush, other_pushes, shared_emails
from gateway.storage.engine import AsyncConnection
from gateway.storage.links import LinkRow, Owner
from gateway.storage.people import PersonRow
from gateway.storage.pushes import Frozen, PushKey, PushRow
from gateway_schemas.account import Account


class Loaded(msgspec.Struct, frozen=True, kw_only=True):
    """A person on the way into the CRM, with all that decides what is sent where.

    Attributes:
        row: The account's CRM connection, active or in need of re-authorisation.
        push: What an earlier attempt froze and left.
        known: Records that we know for this e-mail on this connection, newest first.
        others: Pushes of this e-mail to this CRM for other campaigns and roles, as far as they have begun.
    """

    person: PersonRow
    row: ConnectionRow | None = None
    setup: SetupRow | None = None
    campaign: CampaignRow | None = None
    account: Account | None = None
    referrer: PersonRow | None = None
    push: PushRow | None = None
    known: list[LinkRow] = []
    others: list[OtherPush] = []


class Ready(Loaded, frozen=True, kw_only=True):
    """A push whose connection, setup, campaign and account are there."""

    row: ConnectionRow
    setup: SetupRow
    campaign: CampaignRow
    account: Account

    @classmethod
    def of(cls, loaded: Loaded) -> "Ready":
        """Return what was loaded, complete."""
        return cls(**{name: getattr(loaded, name) for name in Loaded.__struct_fields__})


async def load(conn: AsyncConnection, person_ids: Sequence[str]) -> list[Loaded | None]:
    """Read what pushes of these people need, in the same statements for all; ``None`` where there is no such person."""
    found = await people.by_ids(conn, person_ids)
    rows = {
        account: row
        for account, row in (await connections.open_crms(conn, {one.account_id for one in found.values()})).items()
        if row.state in ("active", "needs_reauth") and row.identity is not None
    }
    going = [(person, rows[person.account_id]) for person in found.values() if person.account_id in rows]
    loaded = {person.id: Loaded(person=person) for person in found.values()}
    loaded |= {one.person.id: one for one in await _complete(conn, going)} if going else {}
    return [loaded.get(person_id) for person_id in person_ids]


async def _complete(conn: AsyncConnection, going: Sequence[tuple[PersonRow, ConnectionRow]]) -> list[Loaded]:
    """Read the rest for people whose account has a CRM."""
    setups = await campaigns.setups_at(conn, [_setup_key(person, row) for person, row in going])
    at = await campaigns.at(conn, [_campaign_key(person) for person, _ in going])
    of_accounts = await accounts.by_ids(conn, {person.account_id for person, _ in going})
    referrers = await people.by_ids(conn, {person.referrer_id for person, _ in going if person.referrer_id is not None})
    sent = await pushes.get(conn, [_push_key(person, row) for person, row in going])
    known = await links.known_of(conn, {owner for person, row in going if (owner := _owner(person, row)) is not None})
    shared = await shared_emails(conn, {person.email_hash for person, _ in going if person.email_hash is not None})
    return [
        Loaded(
            person=person,
            row=row,
            setup=setups.get(_setup_key(person, row)),
            campaign=at.get(_campaign_key(person)),
            account=of_accounts.get(person.account_id),
            referrer=referrers.get(person.referrer_id) if person.referrer_id is not None else None,
            push=sent.get(_push_key(person, row)),
            known=known[owner] if (owner := _owner(person, row)) is not None else [],
            others=await other_pushes(conn, person.id, person.email_hash, lane(row))
            if person.email_hash is not None and shared.get(person.email_hash, set()) - {person.id}
            else [],
        )
        for person, row in going
    ]


def _campaign_key(person: PersonRow) -> CampaignKey:
    return CampaignKey(person.account_id, person.campaign_id)


def _setup_key(person: PersonRow, row: ConnectionRow) -> SetupKey:
    return SetupKey(row.id, person.campaign_id, person.role)


def _push_key(person: PersonRow, row: ConnectionRow) -> PushKey:
    return PushKey(person.id, row.integration, row.identity or "")


def _owner(person: PersonRow, row: ConnectionRow) -> Owner | None:
    return None if person.email_hash is None else Owner(row.id, person.email_hash)


def freeze(ready: Ready) -> tuple[Frozen, list[Problem]]:
    """Return what is sent for a person, and why it cannot be sent like this (then it is not)."""
    person, setup = ready.person, ready.setup
    mapped = render(
        setup.body,
        setup.resolved.fields,
        person=mapping_person(person),
        referrer=mapping_person(ready.referrer) if ready.referrer is not None else None,
        campaign=mapping_campaign(ready.campaign),
        locality=locality_of(ready.account),
    )
    frozen = Frozen(
        reference=person.id,
        role=person.role,
        campaign_name=ready.campaign.name,
        email=person.email or "",
        values=mapped.values,
        target=setup.body.target,
        target_options=setup.body.target_options,
        duplicates=setup.body.duplicates or "fill_empty",
        notes=mapped.notes,
    )
    return frozen, mapped.problems
