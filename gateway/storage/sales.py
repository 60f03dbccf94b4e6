"""Sales of referred people: what the host or an automation recorded, and the sale value that was read in the CRM."""

from collections.abc import Collection, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Literal

import msgspec
from sqlalchemy import bindparam, select, update

from gateway.storage.columns import new_id
from gateway.storage.engine import AsyncConnection, among, insert
from gateway.storage.tables import sales


class SaleRow(msgspec.Struct, frozen=True, kw_only=True):
    """A sale; a negative amount is a refund.

    Attributes:
        external_reference: Unique for the person.
        origin: ``host``, ``plugin`` or ``crm``.
    """

    id: str
    account_id: str
    campaign_id: str
    person_id: str
    amount: Decimal
    currency: str
    external_reference: str
    origin: Literal["host", "crm", "plugin"]
    occurred_at: datetime
    updated_at: datetime


_COLUMNS = [sales.c[name] for name in SaleRow.__struct_fields__]


def new_sale_id() -> str:
    """Return an id for a sale."""
    return new_id("sal")


async def add(conn: AsyncConnection, new: Sequence[SaleRow]) -> set[str]:
    """Store sales once each reference; return the ids of those that are new."""
    if not new:
        return set()
    added = await conn.execute(
        insert(conn, sales).on_conflict_do_nothing().returning(sales.c.id), [msgspec.structs.asdict(row) for row in new]
    )
    return set(added.scalars())


async def of_people(conn: AsyncConnection, person_ids: Collection[str]) -> dict[str, list[SaleRow]]:
    """Return all sales by person, in the order in which they were recorded."""
    found: dict[str, list[SaleRow]] = {}
    for row in await conn.execute(
        select(*_COLUMNS).where(among(conn, sales.c.person_id, person_ids)).order_by(sales.c.id)
    ):
        sale = SaleRow(**row._asdict())
        found.setdefault(sale.person_id, []).append(sale)
    return found


async def by_ids(conn: AsyncConnection, ids: Collection[str]) -> dict[str, SaleRow]:
    """Return sales by id."""
    found = await conn.execute(select(*_COLUMNS).where(among(conn, sales.c.id, ids)))
    return {row.id: SaleRow(**row._asdict()) for row in found}


async def revalue(conn: AsyncConnection, changed: Sequence[SaleRow]) -> None:
    """Write new amounts of sales that are there."""
    if changed:
        await conn.execute(
            update(sales)
            .where(sales.c.id == bindparam("sale"))
            .values(
                amount=bindparam("b_amount", type_=sales.c.amount.type),
                currency=bindparam("b_currency"),
                updated_at=bindparam("b_now", type_=sales.c.updated_at.type),
            ),
            [
                {"sale": row.id, "b_amount": row.amount, "b_currency": row.currency, "b_now": row.updated_at}
                for row in changed
            ],
        )
