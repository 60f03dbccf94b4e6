"""Find people for a list: filters, words, pages."""

from typing import get_args

import msgspec
from sqlalchemy import Boolean, ColumnElement, func, literal_column, or_, select

from gateway.storage.engine import AsyncConnection
from gateway.storage.people import COLUMNS, PersonRow, row_of
from gateway.storage.tables import campaigns, people
from gateway_schemas.person import ReferralState

REFERRAL_STATES = frozenset(get_args(ReferralState))


class Query(msgspec.Struct, frozen=True, kw_only=True):
    """Which people to list.

    Attributes:
        state: A referral state (``pending`` …) or a CRM state (``held`` …).
        words: Part of a name, in any case.
        exact: An id, external id or code; ``email_hash`` that of a whole e-mail: any of them, or the words, will do.
        code / external_id / referrer_id: Exactly this one, beside all else.
        after: Id of the last person of the page before.
    """

    account_id: str
    campaign_id: str | None = None
    role: str | None = None
    state: str | None = None
    words: str | None = None
    exact: str | None = None
    email_hash: str | None = None
    code: str | None = None
    external_id: str | None = None
    referrer_id: str | None = None
    after: str | None = None
    limit: int = 50


async def search(conn: AsyncConnection, query: Query) -> list[PersonRow]:
    """Return one page of people, newest first."""
    conditions: list[ColumnElement[bool]] = [people.c.account_id == query.account_id]
    for column, value in (
        (people.c.campaign_id, query.campaign_id),
        (people.c.role, query.role),
        (people.c.code, query.code),
        (people.c.external_id, query.external_id),
        (people.c.referrer_id, query.referrer_id),
    ):
        if value is not None:
            conditions.append(column == value)
    if query.campaign_id is None and (query.code is not None or query.external_id is not None):
        # the indexes of codes and external ids begin with account and campaign
        conditions.append(
            people.c.campaign_id.in_(select(campaigns.c.id).where(campaigns.c.account_id == query.account_id))
        )
    if query.state == "held":
        # few as a rule: found by their partial index (hence the literal), then put in order
        is_held = literal_column("people.crm = 'held'", Boolean())
        conditions.append(people.c.id.in_(select(people.c.id).where(people.c.account_id == query.account_id, is_held)))
    elif query.state is not None:
        column = people.c.state if query.state in REFERRAL_STATES else people.c.crm
        conditions.append(column == query.state)
    named: list[ColumnElement[bool]] = []
    if query.words:
        whole = func.coalesce(people.c.first_name, "") + " " + func.coalesce(people.c.last_name, "")
        among = [whole] if " " in query.words else [people.c.first_name, people.c.last_name]
        # LIKE of SQLite takes no account of case by itself, and folding every name costs a third of the search
        sqlite = conn.dialect.name == "sqlite"
        named += [
            one.contains(query.words, autoescape=True) if sqlite else one.icontains(query.words, autoescape=True)
            for one in among
        ]
    if query.exact:
        named += [people.c.id == query.exact, people.c.external_id == query.exact, people.c.code == query.exact]
    if query.email_hash:
        named.append(people.c.email_hash == query.email_hash)
    if named:
        conditions.append(or_(*named))
    if query.after is not None:
        conditions.append(people.c.id < query.after)
    found = await conn.execute(select(*COLUMNS).where(*conditions).order_by(people.c.id.desc()).limit(query.limit))
    return [row_of(row) for row in found]
