"""People as host and console see them: find one, list them, take them along as CSV, and tell what happened to them."""

import csv
import io
from collections.abc import AsyncIterator, Collection, Sequence
from typing import Any

import msgspec

from gateway.errors import Refused, invalid, not_found
from gateway.flows.people.shapes import shown
from gateway.flows.referrals.qualification import explain
from gateway.flows.services import Services
from gateway.sdk.mapping import normalise_email
from gateway.storage import accounts, people, people_search, timeline
from gateway.storage.engine import AsyncConnection
from gateway.storage.people import PersonRow
from gateway.storage.people_search import Query
from gateway_schemas.base import Page
from gateway_schemas.person import Person, Timeline
from gateway_schemas.problem import FieldProblem

MAX_COUNT = 2_000_000_000
CSV_PAGE = 500
CSV_COLUMNS = (
    "id", "campaign", "role", "email", "first_name", "last_name", "phone", "external_id", "code", "link", "source",
    "state", "crm", "crm_cause", "referrer", "referrals", "qualified", "sale_amount", "sale_currency", "test",
    "signed_up_at", "records",
)  # fmt: skip


# --- finding ---------------------------------------------------------------------------------------


def query_for(
    services: Services,
    account_id: str,
    *,
    campaign: str | None = None,
    role: str | None = None,
    state: str | None = None,
    q: str | None = None,
    limit: int = 50,
    cursor: str | None = None,
) -> Query:
    """Return the query that these filters mean.

    Args:
        services: For the keyed hash of an e-mail.
        account_id: Whose people.
        campaign: Only of this campaign.
        role: ``referred`` or ``referrer``.
        state: A referral state, or the state of the CRM link.
        q: Part of a name; or a whole e-mail, code, external id or id.
        limit: How many.
        cursor: ``next`` of the page before.
    """
    words = (q or "").strip() or None
    email_hash = None
    if words is not None and "@" in words:
        try:
            email_hash = services.vault.email_hash(normalise_email(words))
        except ValueError:
            email_hash = None
    return Query(
        account_id=account_id,
        campaign_id=campaign,
        role=role,
        state=state,
        words=words,
        exact=None if words is None else words.removeprefix("ext:"),
        email_hash=email_hash,
        after=cursor,
        limit=limit,
    )


def hash_of_email(services: Services, email: str) -> str:
    """Return the keyed hash by which an address is looked up.

    Raises:
        Refused: ``invalid_input``: it is no address.
    """
    try:
        return services.vault.email_hash(normalise_email(email))
    except ValueError:
        message = "This is not an e-mail address."
        raise invalid(FieldProblem(field="email", message=message, code="invalid_email")) from None


async def find_page(services: Services, query: Query) -> Page[Person]:
    """Return one page of people, newest first.

    Raises:
        Refused: There is no such account.
    """
    async with services.database.read() as conn:
        await _check_account(conn, query.account_id)
        rows = await people_search.search(conn, msgspec.structs.replace(query, limit=query.limit + 1))
        page = rows[: query.limit]
        return Page(data=await shown(conn, page), next=page[-1].id if len(rows) > query.limit else None)


async def find(services: Services, account_id: str, ref: str) -> Person:
    """Return one person.

    Raises:
        Refused: There is none, or the external id names several.
    """
    async with services.database.read() as conn:
        return (await shown(conn, [await one(conn, account_id, ref)]))[0]


async def one(conn: AsyncConnection, account_id: str, ref: str) -> PersonRow:
    """Return the one person whom ``per_…`` or ``ext:…`` means.

    Raises:
        Refused: There is none, or the external id names several.
    """
    found = await people.matching(conn, account_id, ref)
    if not found:
        raise not_found("person", ref)
    if len(found) > 1:
        named = ", ".join(f"{row.id} ({row.role} of {row.campaign_id})" for row in found)
        raise Refused("ambiguous", f"{ref!r} is a person in several campaigns or roles; name one by its id: {named}.")
    return found[0]


async def names_of(services: Services, account_id: str, ids: Collection[str]) -> dict[str, str]:
    """Return what to call these people, by id; who is not there any more is left out."""
    async with services.database.read() as conn:
        found = await people.by_ids(conn, sorted(set(ids)))
    return {row.id: _name_of(row) for row in found.values() if row.account_id == account_id}


def _name_of(row: PersonRow) -> str:
    return " ".join(filter(None, (row.first_name, row.last_name))) or row.email or row.code or row.id


async def tell_timeline(services: Services, account_id: str, ref: str) -> Timeline:
    """Return everything that happened to a person, and why the referral has qualified or has not yet.

    Raises:
        Refused: There is no such person.
    """
    async with services.database.read() as conn:
        person = await one(conn, account_id, ref)
        return Timeline(
            person=(await shown(conn, [person]))[0],
            entries=await timeline.of_person(conn, person.id),
            why=await explain(services, conn, person),
        )


async def as_csv(services: Services, query: Query) -> AsyncIterator[str]:
    """Return people as CSV with a heading, a page of rows at a time; spreadsheets take no cell for a formula.

    Raises:
        Refused: There is no such account; before the first part.
    """
    async with services.database.read() as conn:
        await _check_account(conn, query.account_id)
    return _csv_parts(services, msgspec.structs.replace(query, limit=CSV_PAGE, after=None))


async def _csv_parts(services: Services, query: Query) -> AsyncIterator[str]:
    yield _csv([CSV_COLUMNS])
    while True:
        async with services.database.read() as conn:
            rows = await people_search.search(conn, query)
            found = await shown(conn, rows)
        if found:
            yield _csv([_cells(person) for person in found])
        if len(rows) < query.limit:
            return
        query = msgspec.structs.replace(query, after=rows[-1].id)


def _cells(person: Person) -> list[str]:
    counts, sale = person.counts, person.sale_value
    values = {
        "referrals": counts.referrals if counts is not None else None,
        "qualified": counts.qualified if counts is not None else None,
        "sale_amount": sale.amount if sale is not None else None,
        "sale_currency": sale.currency if sale is not None else None,
        "test": "yes" if person.test else "no",
        "signed_up_at": person.signed_up_at.isoformat(),
        "records": " ".join(f"{one.ref.kind}:{one.ref.id}" for one in person.records if not one.gone),
    }
    return [safe_cell(values[name] if name in values else getattr(person, name)) for name in CSV_COLUMNS]


def safe_cell(value: Any) -> str:
    """Return the text of a cell so that no spreadsheet takes it for a formula."""
    text = "" if value is None else str(value)
    return f"'{text}" if text.lstrip()[:1] in ("=", "+", "-", "@") or text[:1] in ("\t", "\r", "\n") else text


def _csv(rows: Sequence[Sequence[str]]) -> str:
    written = io.StringIO()
    csv.writer(written, lineterminator="\r\n").writerows(rows)
    return written.getvalue()


async def _check_account(conn: AsyncConnection, account_id: str) -> None:
    if await accounts.get(conn, account_id) is None:
        raise not_found("account", account_id)
