"""Fields and options of a connection as last read from the vendor, for pickers and validation."""

from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import delete, select

from gateway.storage.engine import AsyncConnection, insert
from gateway.storage.tables import vendor_lists


class VendorList(msgspec.Struct, frozen=True):
    """A list as it was read: plain JSON values, and when."""

    body: list[Any]
    read_at: datetime


async def get(conn: AsyncConnection, connection_id: str, source: str, parent: str = "") -> VendorList | None:
    """Return a list.

    Args:
        conn: Any connection.
        connection_id: Whose list it is.
        source: ``fields:{record kind}`` or ``options:{source}``.
        parent: Value of the option that the options belong to; empty: all of them.
    """
    found = await conn.execute(
        select(vendor_lists.c.body, vendor_lists.c.read_at).where(
            vendor_lists.c.connection_id == connection_id,
            vendor_lists.c.source == source,
            vendor_lists.c.parent == parent,
        )
    )
    row = found.one_or_none()
    return None if row is None else VendorList(*row)


async def put(
    conn: AsyncConnection, connection_id: str, source: str, parent: str, body: list[Any], read_at: datetime
) -> None:
    """Keep a list; one that was read later stands."""
    statement = insert(conn, vendor_lists).values(
        connection_id=connection_id, source=source, parent=parent, body=body, read_at=read_at
    )
    new = statement.excluded
    await conn.execute(
        statement.on_conflict_do_update(
            index_elements=[vendor_lists.c.connection_id, vendor_lists.c.source, vendor_lists.c.parent],
            set_={"body": new.body, "read_at": new.read_at},
            where=vendor_lists.c.read_at <= new.read_at,
        )
    )


async def forget(conn: AsyncConnection, connection_id: str, prefix: str) -> None:
    """Drop the lists whose source begins so (``fields:``), so that the next reader asks the vendor."""
    await conn.execute(
        delete(vendor_lists).where(
            vendor_lists.c.connection_id == connection_id, vendor_lists.c.source.startswith(prefix, autoescape=True)
        )
    )
