"""What a push needs to know, read at once, and what it sends, frozen."""

import msgspec

from gateway.flows.campaigns.setup_checks import locality_of
from gateway.flows.people.shapes import mapping_campaign, mapping_person
from gateway.sdk.errors import Problem
from gateway.sdk.mapping import render
from gateway.storage import accounts, campaigns, connections, links, people, pushes
from gateway.storage.campaigns import CampaignRow, SetupRow
from gateway.storage.connections import ConnectionRow, lane
from gateway.storage.doubts import OtherPush, other_pushes
from gateway.storage.engine import AsyncConnection
from gateway.storage.links import LinkRow
from gateway.storage.people import PersonRow
from gateway.storage.pushes import Frozen, PushRow
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


async def load(conn: AsyncConnection, person_id: str) -> Loaded | None:
    """Read what a push needs; ``None`` when there is no such person."""
    person = await people.by_id(conn, person_id)
    if person is None:
        return None
    row = await connections.open_crm(conn, person.account_id)
    if row is None or row.state not in ("active", "needs_reauth") or row.identity is None:
        return Loaded(person=person)
    return Loaded(
        person=person,
        row=row,
        setup=await campaigns.setup(conn, row.id, person.campaign_id, person.role),
        campaign=await campaigns.get(conn, person.account_id, person.campaign_id),
        account=await accounts.get(conn, person.account_id),
        referrer=await people.by_id(conn, person.referrer_id) if person.referrer_id is not None else None,
        push=await pushes.get(conn, person_id, row.integration, row.identity),
        known=await links.known_for(conn, row.id, person.email_hash),
        others=await other_pushes(conn, person_id, person.email_hash, lane(row)),
    )


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
