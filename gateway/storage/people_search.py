"""Find people for a list: filters, words, pages."""

from typing import Any, get_args

import msgspec
from sqlalchemy import ColumnElement, CompoundSelect, func, or_, select, text, union_all

from gateway.storage.engine import AsyncConnection
from gateway.storage.people import COLUMNS, PersonRow, row_of
from gateway.storage.tables import campaigns, people
from gateway_schemas.manifest import Role
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
        # few as a rule: found by their partial index, then put in order; as text, since SQLite takes the index for
        # exactly these words, and a column that is a Boolean gets "= 1" behind them
        is_held = text("people.crm = 'held'")
        conditions.append(people.c.id.in_(select(people.c.id).where(people.c.account_id == query.account_id, is_held)))
    elif query.state is not None:
        column = people.c.state if query.state in REFERRAL_STATES else people.c.crm
        conditions.append(column == query.state)
    named: list[ColumnElement[bool]] = []
    if query.words:
        named.append(_is_named(conn, query.words))
    if query.exact or query.email_hash:
        # apart, by their own indexes: beside the words they would have every row of the account read
        named.append(people.c.id.in_(_exactly(query)))
    if named:
        conditions.append(or_(*named))
    if query.after is not None:
        conditions.append(people.c.id < query.after)
    found = await conn.execute(select(*COLUMNS).where(*conditions).order_by(people.c.id.desc()).limit(query.limit))
    return [row_of(row) for row in found]


def _is_named(conn: AsyncConnection, words: str) -> ColumnElement[bool]:
    """Say that these words are in a person's name, in any case: read from the index of names alone."""
    whole = func.coalesce(people.c.first_name, "") + " " + func.coalesce(people.c.last_name, "")
    # LIKE of SQLite takes no account of case by itself, and folding every name costs a third of the search
    if conn.dialect.name == "sqlite":
        return whole.contains(words, autoescape=True)
    return whole.icontains(words, autoescape=True)


def _exactly(query: Query) -> CompoundSelect[Any]:
    """Return the ids of those whose id, external id, code or e-mail is exactly this one."""
    own = people.c.account_id == query.account_id
    found = []
    if query.exact:
        found.append(select(people.c.id).where(people.c.id == query.exact, own))
        # their indexes begin with account, campaign and role
        place = (
            own,
            people.c.campaign_id.in_(select(campaigns.c.id).where(campaigns.c.account_id == query.account_id)),
            people.c.role.in_(get_args(Role)),
        )
        found += [
            select(people.c.id).where(*place, column == query.exact) for column in (people.c.external_id, people.c.code)
        ]
    if query.email_hash:
        found.append(select(people.c.id).where(people.c.email_hash == query.email_hash, own))
    return union_all(*found)
