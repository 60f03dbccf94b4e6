"""How a person looks to others: in the API, in events, and to mappings."""

from collections.abc import Collection, Sequence
from typing import Any

import msgspec

from gateway.flows.notify.notify import NewEvent
from gateway.sdk.mapping import MappingCampaign, MappingPerson
from gateway.storage import links
from gateway.storage.campaigns import CampaignRow
from gateway.storage.engine import AsyncConnection
from gateway.storage.links import LinkRow
from gateway.storage.people import PersonRow
from gateway_schemas.base import Money
from gateway_schemas.event_data import SignupData, StatsData
from gateway_schemas.events import EventType
from gateway_schemas.person import Counts, LinkedRecord, Person


def counts_of(person: PersonRow) -> Counts:
    """Return the host's base and what we carried since."""
    return Counts(
        referrals=person.base_referrals + person.referrals, qualified=person.base_qualified + person.qualified
    )


async def shown(conn: AsyncConnection, rows: Sequence[PersonRow]) -> list[Person]:
    """Return people as the API shows them, with their CRM records."""
    linked = await links.of_people(conn, [row.id for row in rows])
    return [person_of(row, linked[row.id]) for row in rows]


def person_of(row: PersonRow, linked: Collection[LinkRow]) -> Person:
    """Return one person as the API shows it."""
    sale = None
    if row.sale_amount is not None and row.sale_currency is not None:
        sale = Money(amount=row.sale_amount, currency=row.sale_currency)
    return Person(
        id=row.id,
        account=row.account_id,
        campaign=row.campaign_id,
        role=row.role,
        email=row.email or "",
        first_name=row.first_name,
        last_name=row.last_name,
        phone=row.phone,
        external_id=row.external_id,
        code=row.code,
        link=row.link,
        fields=row.fields,
        source=row.source,
        state=row.state,
        crm=row.crm,
        crm_cause=row.crm_cause,
        referrer=row.referrer_id,
        counts=counts_of(row) if row.role == "referrer" else None,
        sale_value=sale,
        test=row.test,
        records=[link.record for link in linked],
        signed_up_at=row.signed_up_at,
        created_at=row.created_at,
        updated_at=row.updated_at,
        qualified_at=row.qualified_at,
    )


def signup_event(
    type_: EventType,
    person: PersonRow,
    *,
    connection: str | None = None,
    records: Sequence[LinkedRecord] = (),
    cause: str | None = None,
    message: str | None = None,
) -> NewEvent:
    """Return an event ``signup.…`` about a person."""
    data = SignupData(
        person=person.id,
        campaign=person.campaign_id,
        role=person.role,
        email=person.email,
        first_name=person.first_name,
        last_name=person.last_name,
        external_id=person.external_id,
        code=person.code,
        link=person.link,
        referrer=person.referrer_id,
        source=person.source,
        test=person.test,
        connection=connection,
        records=list(records),
        cause=cause,
        message=message,
    )
    return NewEvent(type=type_, account_id=person.account_id, person_id=person.id, data=_plain(data))


def stats_event(person: PersonRow) -> NewEvent:
    """Return ``referrer.stats_updated`` with the counts as they stand."""
    data = StatsData(
        person=person.id,
        campaign=person.campaign_id,
        code=person.code,
        counts=counts_of(person),
        link=person.link,
        external_id=person.external_id,
    )
    return NewEvent(type="referrer.stats_updated", account_id=person.account_id, person_id=person.id, data=_plain(data))


def _plain(data: msgspec.Struct) -> dict[str, Any]:
    plain: dict[str, Any] = msgspec.to_builtins(data)
    return plain


def mapping_person(row: PersonRow) -> MappingPerson:
    """Return a person as far as mappings see it."""
    counts = counts_of(row)
    return MappingPerson(
        id=row.id,
        role=row.role,
        email=row.email,
        first_name=row.first_name,
        last_name=row.last_name,
        phone=row.phone,
        external_id=row.external_id,
        code=row.code,
        link=row.link,
        fields=row.fields,
        source=row.source,
        signed_up_at=row.signed_up_at,
        referral_count=counts.referrals,
        converted_referral_count=counts.qualified,
    )


def mapping_campaign(row: CampaignRow) -> MappingCampaign:
    """Return a campaign as far as mappings see it."""
    return MappingCampaign(id=row.id, name=row.name, fields=row.fields)
