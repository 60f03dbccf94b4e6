"""Store the people of a page of contacts: known ones found, new ones inserted, whole pages at once."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any

import msgspec
from msgspec.structs import astuple
from sqlalchemy import select

from gateway.storage.columns import to_micros
from gateway.storage.engine import AsyncConnection, among
from gateway.storage.many import Rows, as_json
from gateway.storage.tables import people
from gateway_schemas.base import FieldValue
from gateway_schemas.person import CrmState

SOURCE = "contact_sync"


class Known(msgspec.Struct, frozen=True):
    """A referrer who is there already, as far as a sync asks."""

    id: str
    email: str | None
    email_hash: str | None
    first_name: str | None
    last_name: str | None
    phone: str | None
    code: str | None
    link: str | None
    fields: dict[str, FieldValue]
    signed_up: bool
    crm: CrmState
    referrals: int
    qualified: int


class NewPerson(msgspec.Struct, frozen=True):
    """A referrer who comes out of a contact."""

    id: str
    email: str
    email_hash: str
    first_name: str | None
    last_name: str | None
    phone: str | None
    code: str | None
    link: str | None
    fields: dict[str, FieldValue]


_KNOWN = [
    people.c.id, people.c.email, people.c.email_hash, people.c.first_name, people.c.last_name, people.c.phone,
    people.c.code, people.c.link, people.c.fields, people.c.signed_up, people.c.crm,
    people.c.base_referrals + people.c.referrals, people.c.base_qualified + people.c.qualified,
]  # fmt: skip


async def known(
    conn: AsyncConnection, account_id: str, campaign_id: str, hashes: Collection[str], ids: Collection[str]
) -> list[Known]:
    """Return the referrers of a campaign who have one of these e-mail hashes or ids; nobody else changes them now."""
    if not hashes and not ids:
        return []
    mine = (people.c.account_id == account_id, people.c.campaign_id == campaign_id, people.c.role == "referrer")
    found: dict[str, Known] = {}
    for column, values in ((people.c.email_hash, hashes), (people.c.id, ids)):
        if not values:
            continue
        statement = select(*_KNOWN).where(*mine, among(conn, column, values)).order_by(people.c.id)
        for row in await conn.execute(statement.with_for_update(key_share=True)):
            found.setdefault(row[0], Known(*row))
    return list(found.values())


_CONSTANTS: dict[str, Any] = {
    "role": "referrer", "source": SOURCE, "signed_up": False, "test": False, "crm": "linked", "manual": False,
}  # fmt: skip
_TIMES = ("crm_since", "signed_up_at", "created_at", "updated_at")
_ROWS = Rows(
    people,
    (*NewPerson.__struct_fields__, "account_id", "campaign_id", *_CONSTANTS, *_TIMES),
    lambda statement: statement.on_conflict_do_nothing(),
)


async def add(conn: AsyncConnection, account_id: str, campaign_id: str, new: Sequence[NewPerson], now: datetime) -> int:
    """Insert referrers whose contact is linked; return how many were: fewer when others were there meanwhile."""
    same = (account_id, campaign_id, *_CONSTANTS.values(), *([to_micros(now)] * len(_TIMES)))
    return await _ROWS.add(
        conn,
        [
            (*astuple(one)[:-1], as_json(one.fields), *same)
            for one in sorted(new, key=lambda one: one.email_hash)  # no deadlocks, and its indexes grow in order
        ],
    )
