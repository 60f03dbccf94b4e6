"""Where plain personal data stands: a short list of columns, and the walk over it that erases one person.

A column that may hold a name, an address, a phone number or a form answer is in ``PLACES`` or ``PERSON``; a test erases
somebody and searches the whole database for them afterwards.
"""

import json
import re
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Any, NamedTuple
from urllib.parse import quote

from sqlalchemy import (
    ColumnElement,
    Table,
    Text,
    and_,
    bindparam,
    delete,
    exists,
    func,
    null,
    or_,
    select,
    type_coerce,
    update,
)

from gateway.storage.columns import Json
from gateway.storage.engine import AsyncConnection, among
from gateway.storage.tables import (
    attempts,
    connections,
    deliveries,
    events,
    idempotency_keys,
    inbound,
    links,
    people,
    pushes,
    record_states,
    rewards,
    syncs,
    tasks,
    timeline,
)

ERASED = "[erased]"

PERSON = (
    "email", "email_hash", "first_name", "last_name", "phone", "external_id", "code", "link", "crm_note",
    "cannot_qualify", "source",
)  # fmt: skip
"""Columns of ``people`` that say who it is; emptied, together with ``fields`` and the reason in ``qualified_by``."""

KEYS = frozenset({"email", "first_name", "last_name", "phone", "external_id", "code", "link", "fields", "source"})
"""Keys of JSON documents about a person that say who it is."""

ABOUT_ONE = ("push", "status", "stats", "look:push", "look:sweep")
"""What the ``unique_key`` of a task about one person begins with; the person's id follows."""


def names_person(unique_key: str | None) -> bool:
    """Return whether a task is about one person, whose erasure then reaches what its attempts sent and were answered.

    Of all other tasks nothing may be kept that says who somebody is: nobody could find it again.
    """
    return unique_key is not None and unique_key.startswith(tuple(f"{what}:per_" for what in ABOUT_ONE))


class Place(NamedTuple):
    """A table with columns that may hold personal data.

    Attributes:
        of_account: Which rows belong to an account.
        of_people: Which rows are about people.
        whole: Rows about the person are emptied, not searched: they hold what was sent and answered.
        listed: Rows tell of many people, each an entry of ``people`` with its id in ``person``: entries of the person
            are emptied, those of others stay. An address that the person had before is found by this alone.
    """

    table: Table
    columns: tuple[str, ...]
    of_account: Callable[[str], ColumnElement[bool]]
    of_people: Callable[[AsyncConnection, Collection[str]], ColumnElement[bool]]
    whole: bool = False
    listed: bool = False


def _listing(conn: AsyncConnection, ids: Collection[str]) -> ColumnElement[bool]:
    """Return which events tell of these people among others; they are nobody's own."""
    named = [type_coerce(events.c.data, Text).contains(person, autoescape=True) for person in ids]
    return and_(events.c.type == "contacts.imported", or_(*named))


def _tasks_of(conn: AsyncConnection, ids: Collection[str]) -> ColumnElement[bool]:
    named = [f"{what}:{person}" for person in ids for what in ABOUT_ONE]
    sent = exists().where(
        deliveries.c.task_id == tasks.c.id, deliveries.c.event_id == events.c.id, among(conn, events.c.person_id, ids)
    )
    return or_(among(conn, tasks.c.unique_key, named), sent)


PLACES = (
    Place(
        pushes, ("frozen",),
        lambda account: exists().where(people.c.id == pushes.c.person_id, people.c.account_id == account),
        lambda conn, ids: among(conn, pushes.c.person_id, ids), whole=True,
    ),
    Place(
        attempts, ("error", "excerpt"),
        lambda account: exists().where(tasks.c.id == attempts.c.task_id, tasks.c.account_id == account),
        lambda conn, ids: exists().where(tasks.c.id == attempts.c.task_id, _tasks_of(conn, ids)), whole=True,
    ),
    Place(
        events, ("data",),
        lambda account: events.c.account_id == account,
        lambda conn, ids: among(conn, events.c.person_id, ids),
    ),
    Place(events, ("data",), lambda account: events.c.account_id == account, _listing, listed=True),
    Place(
        syncs, ("message", "problems"),
        lambda account: syncs.c.account_id == account,
        lambda conn, ids: null().is_not(None),
    ),
    Place(
        timeline, ("text", "data"),
        lambda account: timeline.c.account_id == account,
        lambda conn, ids: among(conn, timeline.c.person_id, ids),
    ),
    Place(tasks, ("args", "error"), lambda account: tasks.c.account_id == account, _tasks_of),
    Place(
        deliveries, ("error",),
        lambda account: deliveries.c.account_id == account,
        lambda conn, ids: exists().where(events.c.id == deliveries.c.event_id, among(conn, events.c.person_id, ids)),
    ),
    Place(
        inbound, ("request", "summary"),
        lambda account: or_(
            inbound.c.connection_id.is_(None),
            exists().where(connections.c.id == inbound.c.connection_id, connections.c.account_id == account),
        ),
        lambda conn, ids: null().is_not(None),
    ),
    Place(
        record_states, ("record",),
        lambda account: exists().where(
            connections.c.id == record_states.c.connection_id, connections.c.account_id == account
        ),
        lambda conn, ids: exists().where(
            links.c.connection_id == record_states.c.connection_id,
            links.c.record_kind == record_states.c.record_kind,
            links.c.record_id == record_states.c.record_id,
            among(conn, links.c.person_id, ids),
        ), whole=True,
    ),
    Place(
        rewards, ("reason",),
        lambda account: rewards.c.account_id == account,
        lambda conn, ids: or_(among(conn, rewards.c.referrer_id, ids), among(conn, rewards.c.referred_id, ids)),
    ),
    Place(
        connections, ("last_error", "reason"),
        lambda account: connections.c.account_id == account,
        lambda conn, ids: null().is_not(None),
    ),
    Place(
        people, ("crm_note", "cannot_qualify", "qualified_by"),
        lambda account: people.c.account_id == account,
        lambda conn, ids: among(conn, people.c.id, ids),
    ),
    Place(
        idempotency_keys, ("answer",),
        lambda account: idempotency_keys.c.scope.startswith(f"{account}/", autoescape=True),
        lambda conn, ids: null().is_not(None),
    ),
)  # fmt: skip
"""Every column outside ``people`` that may hold personal data, and which rows of it to look at."""


class Words:
    """What names a person, in every spelling in which it may be stored."""

    def __init__(self, words: Iterable[str]) -> None:
        self.words = sorted(
            {spelling for word in words if word.strip() for spelling in _spellings(word.strip())}, key=len, reverse=True
        )
        each = "|".join(re.escape(word) for word in self.words)
        # whole words: the name Al must not take the deal with it
        self._pattern = re.compile(rf"(?<![^\W_])(?:{each})(?![^\W_])", re.IGNORECASE) if each else None

    def text(self, value: str) -> str:
        """Return a text without these words."""
        return value if self._pattern is None else self._pattern.sub(ERASED, value)

    def value(self, value: Any, keys: Collection[str] = ()) -> Any:
        """Return a JSON value without these words; what stands under ``keys`` is emptied whatever it is."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, list):
            return [self.value(one, keys) for one in value]
        if isinstance(value, dict):
            return {key: _empty(one) if key in keys else self.value(one, keys) for key, one in value.items()}
        return value


def _spellings(word: str) -> set[str]:
    return {word, json.dumps(word)[1:-1], json.dumps(word, ensure_ascii=False)[1:-1], quote(word), quote(word, safe="")}


def _empty(value: Any) -> Any:
    return {} if isinstance(value, dict) else None


Row = tuple[Any, ...]


async def rows_with(
    conn: AsyncConnection, place: Place, account_id: str, people_ids: Collection[str], words: Words | None
) -> list[Row]:
    """Return the primary keys of rows about these people, or else of the account's rows that hold one of the words."""
    if words is None:
        condition = place.of_people(conn, people_ids)
    else:
        condition = and_(place.of_account(account_id), _holds(place, words.words))
    keys = list(place.table.primary_key.columns)
    return [tuple(row) for row in await conn.execute(select(*keys).where(condition))]


def _holds(place: Place, words: Sequence[str]) -> ColumnElement[bool]:
    columns = [type_coerce(place.table.c[name], Text) for name in place.columns]
    return or_(*(func.coalesce(column, "").icontains(word, autoescape=True) for column in columns for word in words))


async def scrub_rows(
    conn: AsyncConnection, place: Place, rows: Sequence[Row], people_ids: Collection[str], words: Words, *, own: bool
) -> None:
    """Take these words out of rows; of the person's ``own`` rows also whatever stands where a name would.

    Args:
        conn: The writer's connection.
        place: Where the rows are.
        rows: Their primary keys.
        people_ids: Whose rows they are; empty for rows that were found by the words.
        words: What is taken out.
        own: The rows are the erased person's own.
    """
    keys = list(place.table.primary_key.columns)
    where = and_(*(column == bindparam(f"k_{column.name}", type_=column.type) for column in keys))
    columns = [place.table.c[name] for name in place.columns]
    changes = []
    for row in rows:
        named = {f"k_{column.name}": value for column, value in zip(keys, row, strict=True)}
        found = (await conn.execute(select(*columns).where(where), named)).one_or_none()
        if found is not None:
            changes.append(
                named
                | {
                    f"v_{name}": _scrubbed(place, name, value, people_ids, words, own=own)
                    for name, value in zip(place.columns, found, strict=True)
                }
            )
    if changes:
        values = {name: bindparam(f"v_{name}", type_=place.table.c[name].type) for name in place.columns}
        await conn.execute(update(place.table).where(where).values(values), changes)


def _scrubbed(place: Place, column: str, value: Any, people_ids: Collection[str], words: Words, *, own: bool) -> Any:
    if value is None or (own and place.whole):
        return None
    if place.listed and people_ids:
        entries = [
            words.value(one, KEYS if own else ()) if one.get("person") in people_ids else one
            for one in value.get("people", [])
        ]
        return {**value, "people": entries}
    if isinstance(place.table.c[column].type, Json):
        return words.value(value, KEYS if own else ())
    return words.text(value)


async def forget_people(conn: AsyncConnection, ids: Collection[str]) -> None:
    """Empty what says who these people are; ids, states, counts and rewards stay."""
    await conn.execute(
        update(people).where(among(conn, people.c.id, ids)).values(dict.fromkeys(PERSON) | {"fields": {}})
    )
    await conn.execute(update(links).where(among(conn, links.c.person_id, ids)).values(email_hash=None))
    await conn.execute(update(tasks).where(_tasks_of(conn, ids)).values(exclusive_key=None))
    await conn.execute(delete(pushes).where(among(conn, pushes.c.person_id, ids)))
    named = or_(*(type_coerce(idempotency_keys.c.answer, Text).contains(person, autoescape=True) for person in ids))
    await conn.execute(delete(idempotency_keys).where(named))
