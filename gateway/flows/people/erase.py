"""Erase a person: everything that says who it is leaves the gateway; ids, counts and rewards stay.

The CRM is not touched: its records are the account's, who erases them there. Copies that were sent to endpoints are
theirs.
"""

from collections.abc import Collection
from functools import partial

from gateway.errors import not_found
from gateway.flows.services import Services
from gateway.sdk.mapping import normalise_email
from gateway.storage import accounts, contact_index, people, personal
from gateway.storage.engine import AsyncConnection
from gateway.storage.people import PersonRow
from gateway.storage.personal import PLACES, Place, Words
from gateway.storage.tasks import cancel_tasks

BATCH = 200
SHORTEST_NUMBER = 7
"""A phone number of fewer characters is no name of anybody."""


async def erase(services: Services, account_id: str, who: str) -> int:
    """Erase one person of an account in all campaigns and roles; harmless to repeat.

    Args:
        services: What every flow is given.
        account_id: The account; the same address elsewhere stays.
        who: An e-mail, or ``per_…`` or ``ext:…``.

    Returns:
        How many people (one a campaign and role) were erased.

    Raises:
        Refused: There is no such account.
    """
    email_hash: str | None = None
    async with services.database.read() as conn:
        if await accounts.get(conn, account_id) is None:
            raise not_found("account", account_id)
        if "@" in who:
            email_hash = services.vault.email_hash(_normalised(who))
            rows = await people.sharing_email(conn, account_id, email_hash)
        else:
            rows = [await _found(conn, account_id, who)]
        own = [row.id for row in rows]
        related = {*(row.referrer_id for row in rows if row.referrer_id), *await people.brought_by(conn, own)} - set(
            own
        )
    hashes = {row.email_hash for row in rows if row.email_hash is not None} | {one for one in (email_hash,) if one}
    everything = Words(_words(rows, who))
    # searched for everywhere: what can be nobody else's name
    strong = Words(
        [
            word
            for word in (who, *(row.email for row in rows), *(row.phone for row in rows))
            if word and _is_strong(word)
        ]
    )
    for last in (False, True):  # once more after the person is forgotten, for what was written meanwhile
        for place in PLACES:
            await _scrub(services, place, account_id, own, None, everything, own=True)
            if not place.listed:  # entries of others do not name the person, and the others may be thousands
                await _scrub(services, place, account_id, related, None, everything, own=False)
            if strong.words:
                await _scrub(services, place, account_id, (), strong, everything, own=False)
        if not last:
            await services.database.writer.run(partial(_forget, ids=own, account_id=account_id, hashes=hashes))
    return len(own)


async def _found(conn: AsyncConnection, account_id: str, ref: str) -> PersonRow:
    person = await people.get(conn, account_id, ref)
    if person is None:
        raise not_found("person", ref)
    return person


async def _forget(conn: AsyncConnection, *, ids: Collection[str], account_id: str, hashes: Collection[str]) -> None:
    await contact_index.forget_emails(conn, account_id, hashes)
    if not ids:
        return
    for person in ids:
        for what in ("push", "status", "stats"):
            await cancel_tasks(conn, "the person was erased", account_id=account_id, unique_key=f"{what}:{person}")
    clock = conn.info["clock"]
    await people.set_crm(conn, ids, "refused", clock.now(), cause="erased", unless=("linked", "gone", "refused"))
    await personal.forget_people(conn, ids)


async def _scrub(
    services: Services,
    place: Place,
    account_id: str,
    ids: Collection[str],
    search: Words | None,
    words: Words,
    *,
    own: bool,
) -> None:
    """Find rows outside any transaction, then change them in small ones."""
    if search is None and not ids:
        return
    async with services.database.read() as conn:
        rows = await personal.rows_with(conn, place, account_id, ids, search)
    for start in range(0, len(rows), BATCH):
        some = rows[start : start + BATCH]
        write = partial(personal.scrub_rows, place=place, rows=some, people_ids=ids, words=words, own=own)
        await services.database.writer.run(write)


def _normalised(email: str) -> str:
    try:
        return normalise_email(email)
    except ValueError:
        return email.strip().lower()


def _words(rows: Collection[PersonRow], who: str) -> list[str]:
    """Return what names these people."""
    words = [who.removeprefix("ext:")] if not who.startswith("per_") else []
    for row in rows:
        answers = [value for value in row.fields.values() if isinstance(value, str)]
        given = [
            row.email,
            row.email_hash,
            row.first_name,
            row.last_name,
            row.phone,
            row.external_id,
            row.code,
            row.link,
            *answers,
        ]
        words += [word for word in given if word]
    return words


def _is_strong(word: str) -> bool:
    return "@" in word or (len(word) >= SHORTEST_NUMBER and sum(one.isdigit() for one in word) >= SHORTEST_NUMBER)
