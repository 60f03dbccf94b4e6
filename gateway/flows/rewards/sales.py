"""Sales of referred people, and refunds: recorded once each reference by the host or an automation."""

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import Literal

import msgspec

from gateway.errors import Refused, invalid, not_found
from gateway.flows.notify.publishing import NewEvent, publish
from gateway.flows.rewards import owing
from gateway.flows.rewards.money import LARGEST, plain
from gateway.flows.rewards.settlement import sale_cause
from gateway.flows.services import Services
from gateway.storage import people, sales, timeline
from gateway.storage.engine import AsyncConnection
from gateway.storage.people import Change, PersonRow
from gateway.storage.sales import SaleRow, new_sale_id
from gateway.storage.timeline import NewEntry
from gateway_schemas.base import Money
from gateway_schemas.event_data import SaleData
from gateway_schemas.person import Sale, SaleInput
from gateway_schemas.problem import FieldProblem


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
        totals = await write_totals(conn, [person], now)
        await timeline.add(conn, [entry_of(new, "recorded")], now)
        fresh = {person.id: {sale_cause(new.id)}} if new.amount > 0 else {}
        owed = await owing.reconcile(conn, [totals[person.id]], fresh, now)
        await publish(conn, [event_of(new, person, "recorded"), *owed], now)
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
    totals = await write_totals(conn, [person], now)
    await timeline.add(conn, [entry_of(sale, verb)], now)
    fresh = {person.id: {sale_cause(sale.id)}} if old is None else {}
    return totals[person.id], [event_of(sale, person, verb)], fresh


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


async def write_totals(conn: AsyncConnection, concerned: Sequence[PersonRow], now: datetime) -> dict[str, PersonRow]:
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


def entry_of(sale: SaleRow, verb: str) -> NewEntry:
    """Return what the timeline says of a sale."""
    amount = f"{abs(sale.amount)} {sale.currency}"
    where = "read in the CRM" if sale.origin == "crm" else f"with the reference {sale.external_reference}"
    # whole sentences, as translators need them
    if verb == "recorded":
        text = f"Refund of {amount} recorded, {where}." if sale.amount < 0 else f"Sale of {amount} recorded, {where}."
    else:
        text = f"Refund of {amount} updated, {where}." if sale.amount < 0 else f"Sale of {amount} updated, {where}."
    return NewEntry(sale.person_id, sale.account_id, f"sale.{verb}", text, {"sale": sale.id})


def event_of(sale: SaleRow, person: PersonRow, verb: str) -> NewEvent:
    """Return ``sale.recorded`` or ``sale.updated``."""
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
