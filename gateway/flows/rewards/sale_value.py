"""The sale value in the CRM: read from the qualifying record, recorded as one sale of the referral.

Its value follows the record until the longest hold period of the campaign has ended, or while a reward is held. An
amount of 0 in the CRM is no value: vendors show it for a field that nobody filled.
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime, timedelta

import msgspec

from gateway.flows.notify.publishing import NewEvent
from gateway.flows.referrals.dossiers import Dossier
from gateway.flows.rewards.money import Unreadable, read_amount
from gateway.flows.rewards.sales import entry_of, event_of, write_totals
from gateway.flows.rewards.settlement import sale_cause
from gateway.storage import sales, timeline
from gateway.storage.engine import AsyncConnection
from gateway.storage.people import PersonRow
from gateway.storage.rewards import of_people as rewards_of
from gateway.storage.sales import SaleRow, new_sale_id
from gateway.storage.timeline import NewEntry
from gateway_schemas.base import Money
from gateway_schemas.records import RecordRef


class Value(msgspec.Struct, frozen=True):
    """What the chosen field says: an amount, or why there is none (null: nothing is to be said)."""

    money: Money | None
    note: str | None = None


def value_of(dossier: Dossier, ref: RecordRef | None) -> Value:
    """Return the sale value of a referral that the record ``ref`` has qualified."""
    source = dossier.setup.body.sale_value if dossier.setup is not None else None
    if source is None or ref is None or ref not in dossier.states:
        return Value(None)
    deciding = dossier.states[ref].record
    if deciding is None:
        return Value(None)
    if not deciding.value_ready:
        return Value(None, "The sale value is not final yet.")
    record = deciding
    if source.record_kind != ref.kind and not _made_from(dossier, ref, source.record_kind):
        others = [
            state.record
            for other, state in dossier.states.items()
            if other.kind == source.record_kind and state.record is not None
        ]
        if not others:
            return Value(None, f"The sale value is to be read from a {source.record_kind}, and none is known.")
        record = max(others, key=lambda one: (one.updated_at or datetime.min.replace(tzinfo=UTC), one.ref.id))
    field = record.fields.get(source.field)
    try:
        money = read_amount(field, currency=record.currency or deciding.currency or dossier.currency)
    except Unreadable as error:
        return Value(
            None,
            f"The sale value in field {source.field!r} of {record.ref.kind} {record.ref.id} cannot be used: {error}.",
        )
    if money is None or money.amount == 0:
        return Value(None, f"Field {source.field!r} of {record.ref.kind} {record.ref.id} holds no sale value yet.")
    return Value(money)


def _made_from(dossier: Dossier, ref: RecordRef, kind: str) -> bool:
    """Say whether the record was made from one of the given kind: that kind's fields are then read from it."""
    state = dossier.states[ref].record
    return state is not None and state.origin is not None and state.origin.kind == kind


class Taken(msgspec.Struct, frozen=True, kw_only=True):
    """What became of the sale values of a batch.

    Attributes:
        people: People with their new sale totals.
        events: ``sale.recorded`` and ``sale.updated``, by person.
        fresh: Causes of rewards that arise by sales that are new.
    """

    people: dict[str, PersonRow]
    events: dict[str, list[NewEvent]]
    fresh: dict[str, set[str]]


async def take_values(
    conn: AsyncConnection,
    found: Mapping[str, tuple[PersonRow, Dossier, Value]],
    just_qualified: Collection[str],
    now: datetime,
) -> Taken:
    """Record the sale values of qualified referrals, or change the ones recorded; set-wise.

    Args:
        conn: The writer's connection.
        found: By person: as it is now, what is known of it, and the value that the CRM shows.
        just_qualified: People who qualified in this transaction: their value is taken anew.
        now: The time.
    """
    known = await sales.of_people(conn, list(found))
    waiting = await _waiting(conn, list(found))
    new: list[SaleRow] = []
    changed: list[SaleRow] = []
    entries: list[NewEntry] = []
    for person_id, (person, dossier, value) in found.items():
        old = next((sale for sale in known.get(person_id, []) if sale.origin == "crm"), None)
        if value.money is None:
            if value.note is not None and person_id in just_qualified:
                entries.append(NewEntry(person_id, person.account_id, "sale.none", value.note))
        elif old is None:
            new.append(_crm_sale(person, value.money, now))
        elif (old.amount, old.currency) != (value.money.amount, value.money.currency) and (
            person_id in just_qualified or person_id in waiting or now <= _settles_at(person, dossier)
        ):
            changed.append(
                msgspec.structs.replace(old, amount=value.money.amount, currency=value.money.currency, updated_at=now)
            )
    added = await sales.add(conn, new)
    new = [sale for sale in new if sale.id in added]
    await sales.revalue(conn, changed)
    rows = {person_id: person for person_id, (person, _, _) in found.items()}
    totals = await write_totals(conn, [rows[sale.person_id] for sale in (*new, *changed)], now)
    events: dict[str, list[NewEvent]] = {}
    for verb, some in (("recorded", new), ("updated", changed)):
        for sale in some:
            events.setdefault(sale.person_id, []).append(event_of(sale, rows[sale.person_id], verb))
            entries.append(entry_of(sale, verb))
    await timeline.add(conn, entries, now)
    return Taken(
        people={**rows, **totals}, events=events, fresh={sale.person_id: {sale_cause(sale.id)} for sale in new}
    )


async def _waiting(conn: AsyncConnection, person_ids: Sequence[str]) -> set[str]:
    owed = await rewards_of(conn, person_ids)
    return {person for person, some in owed.items() if any(one.state == "held" for one in some)}


def _settles_at(person: PersonRow, dossier: Dossier) -> datetime:
    """Return when the longest hold period of the campaign ends."""
    longest = (
        max((rule.hold_days for rule in dossier.campaign.rewards), default=0) if dossier.campaign is not None else 0
    )
    return (person.qualified_at or person.created_at) + timedelta(days=longest)


def _crm_sale(person: PersonRow, money: Money, now: datetime) -> SaleRow:
    record = (person.qualified_by or {}).get("record") or {}
    reference = ":".join(["crm", *(str(record[part]) for part in ("kind", "id") if part in record)])[:128]
    return SaleRow(
        id=new_sale_id(),
        account_id=person.account_id,
        campaign_id=person.campaign_id,
        person_id=person.id,
        amount=money.amount,
        currency=money.currency,
        external_reference=reference,
        origin="crm",
        occurred_at=person.qualified_at or now,
        updated_at=now,
    )
