"""Sales of referred people: recorded by the host or an automation, or read as the sale value of the qualifying record.

A referral has one sale from the CRM: its value follows the record until the longest hold period of the campaign has
ended, or while a reward is held. An amount of 0 in the CRM is no value: vendors show it for a field that nobody filled.
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Literal

import msgspec

from gateway.errors import Refused, invalid, not_found
from gateway.flows import rewards
from gateway.flows.dossiers import Dossier
from gateway.flows.money import LARGEST, Unreadable, plain, read_amount
from gateway.flows.publishing import NewEvent, publish
from gateway.flows.services import Services
from gateway.flows.settlement import sale_cause
from gateway.storage import people, sales, timeline
from gateway.storage.engine import AsyncConnection
from gateway.storage.people import Change, PersonRow
from gateway.storage.rewards import of_people as rewards_of
from gateway.storage.sales import SaleRow, new_sale_id
from gateway.storage.timeline import NewEntry
from gateway_schemas.base import Money
from gateway_schemas.event_data import SaleData
from gateway_schemas.person import Sale, SaleInput
from gateway_schemas.problem import FieldProblem
from gateway_schemas.records import RecordRef

# --- the sale value in the CRM ------------------------------------------------------------------------


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
    totals = await _write_totals(conn, [rows[sale.person_id] for sale in (*new, *changed)], now)
    events: dict[str, list[NewEvent]] = {}
    for verb, some in (("recorded", new), ("updated", changed)):
        for sale in some:
            events.setdefault(sale.person_id, []).append(_event(sale, rows[sale.person_id], verb))
            entries.append(_entry(sale, verb))
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


# --- recorded by the host ------------------------------------------------------------------------------


async def record_sale(
    services: Services,
    account_id: str,
    person_ref: str,
    given: SaleInput,
    *,
    origin: Literal["host", "plugin"] = "host",
) -> Sale:
    """Record a sale or a refund once: the same reference with the same amount again is a duplicate and changes nothing.

    Raises:
        Refused: ``not_found``, ``invalid_input``, or ``sale_conflict`` when the reference has another amount.
    """
    now = services.clock.now()
    check_amount(given.amount, field="amount")
    if given.amount == 0:
        raise invalid(
            FieldProblem(field="amount", message="A sale of 0 changes nothing; send the amount, or a refund below 0.")
        )
    if given.occurred_at is not None and given.occurred_at.tzinfo is None:
        raise invalid(
            FieldProblem(
                field="occurred_at", message="Give the time with its offset, for example 2026-03-01T12:00:00Z."
            )
        )

    async def write(conn: AsyncConnection) -> Sale:
        person = await referred(conn, account_id, person_ref)
        new = SaleRow(
            id=new_sale_id(),
            account_id=account_id,
            campaign_id=person.campaign_id,
            person_id=person.id,
            amount=plain(given.amount),
            currency=given.currency,
            external_reference=given.external_reference,
            origin=origin,
            occurred_at=given.occurred_at or now,
            updated_at=now,
        )
        if not await sales.add(conn, [new]):
            known = await sales.of_people(conn, [person.id])
            old = next(sale for sale in known[person.id] if sale.external_reference == given.external_reference)
            if (old.amount, old.currency) != (given.amount, given.currency):
                raise Refused(
                    "sale_conflict",
                    f"Sale {given.external_reference!r} of this person is recorded with {old.amount} {old.currency}; "
                    "send the difference under a reference of its own.",
                )
            return as_sale(old, duplicate=True)
        totals = await _write_totals(conn, [person], now)
        await timeline.add(conn, [_entry(new, "recorded")], now)
        fresh = {person.id: {sale_cause(new.id)}} if new.amount > 0 else {}
        owed = await rewards.reconcile(conn, [totals[person.id]], fresh, now)
        await publish(conn, [_event(new, person, "recorded"), *owed], now)
        return as_sale(new)

    return await services.database.writer.run(write)


async def set_value(
    conn: AsyncConnection, person: PersonRow, money: Money, reference: str, now: datetime
) -> tuple[PersonRow, list[NewEvent], dict[str, set[str]]]:
    """Record, or change, the one sale of a person under a reference of our own.

    Returns:
        The person with the new total, the events to be published, and the causes of rewards that arise.
    """
    old = next(
        (
            sale
            for sale in (await sales.of_people(conn, [person.id])).get(person.id, [])
            if sale.external_reference == reference
        ),
        None,
    )
    if old is not None and (old.amount, old.currency) == (money.amount, money.currency):
        return person, [], {}
    if old is None:
        sale = SaleRow(
            id=new_sale_id(),
            account_id=person.account_id,
            campaign_id=person.campaign_id,
            person_id=person.id,
            amount=plain(money.amount),
            currency=money.currency,
            external_reference=reference,
            origin="host",
            occurred_at=now,
            updated_at=now,
        )
        await sales.add(conn, [sale])
    else:
        sale = msgspec.structs.replace(old, amount=plain(money.amount), currency=money.currency, updated_at=now)
        await sales.revalue(conn, [sale])
    verb = "recorded" if old is None else "updated"
    totals = await _write_totals(conn, [person], now)
    await timeline.add(conn, [_entry(sale, verb)], now)
    fresh = {person.id: {sale_cause(sale.id)}} if old is None else {}
    return totals[person.id], [_event(sale, person, verb)], fresh


async def referred(conn: AsyncConnection, account_id: str, person_ref: str) -> PersonRow:
    """Return a referred person by ``per_…`` or ``ext:…``, locked until the commit.

    Raises:
        Refused: ``not_found``; ``invalid_input`` for a referrer.
    """
    found = await people.matching(conn, account_id, person_ref)
    if not found:
        raise not_found("person", person_ref)
    chosen = [person for person in found if person.role == "referred"]
    if not chosen:
        raise invalid(
            FieldProblem(
                field="person", message="This is a referrer; sales and qualification belong to a referred person."
            )
        )
    return (await people.lock(conn, [chosen[-1].id]))[chosen[-1].id]


def check_amount(amount: Decimal, *, field: str) -> None:
    """Go on if an amount can be kept exactly.

    Raises:
        Refused: ``invalid_input`` naming the field.
    """
    exponent = amount.as_tuple().exponent
    if not amount.is_finite() or abs(amount) >= LARGEST or not isinstance(exponent, int) or exponent < -6:
        raise invalid(
            FieldProblem(field=field, message="Give a number below 10^15 with at most 6 digits after the point.")
        )


async def _write_totals(conn: AsyncConnection, concerned: Sequence[PersonRow], now: datetime) -> dict[str, PersonRow]:
    """Set each person's sale value to the sum of its sales in the currency of the first one; return the new rows."""
    of_people = await sales.of_people(conn, [person.id for person in concerned])
    changed = {}
    for person in concerned:
        some = of_people.get(person.id, [])
        total = sum((sale.amount for sale in some if sale.currency == some[0].currency), Decimal(0))
        changed[person.id] = msgspec.structs.replace(person, sale_amount=total, sale_currency=some[0].currency)
    await people.change(
        conn,
        [
            Change(id=row.id, values={"sale_amount": row.sale_amount, "sale_currency": row.sale_currency})
            for row in changed.values()
        ],
        now,
    )
    return changed


def _entry(sale: SaleRow, verb: str) -> NewEntry:
    what = "Refund" if sale.amount < 0 else "Sale"
    where = "read in the CRM" if sale.origin == "crm" else f"with reference {sale.external_reference}"
    text = f"{what} of {abs(sale.amount)} {sale.currency} {verb}, {where}."
    return NewEntry(sale.person_id, sale.account_id, f"sale.{verb}", text, {"sale": sale.id})


def _event(sale: SaleRow, person: PersonRow, verb: str) -> NewEvent:
    data = SaleData(
        sale=sale.id,
        person=sale.person_id,
        campaign=sale.campaign_id,
        amount=sale.amount,
        currency=sale.currency,
        external_reference=sale.external_reference,
        referrer=person.referrer_id,
        origin=sale.origin,
    )
    return NewEvent("sale.recorded" if verb == "recorded" else "sale.updated", sale.account_id, sale.person_id, data)


def as_sale(sale: SaleRow, *, duplicate: bool = False) -> Sale:
    """Return a sale as the API shows it."""
    return Sale(
        id=sale.id,
        person=sale.person_id,
        amount=Money(amount=sale.amount, currency=sale.currency),
        external_reference=sale.external_reference,
        origin=sale.origin,
        occurred_at=sale.occurred_at,
        duplicate=duplicate,
    )
