"""One entry of the vendor's API: which paths, what it costs, which scopes allow it, and who answers it.

Handlers are plain functions from a ``Call`` to an ``Answer``; the gate in ``app`` has checked token, limits and scope.
Costs and scopes are those of the vendor's OpenAPI documents; ``VENDOR.md``, chapter 1, has those of our own calls.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from gateway_pipedrive.sandbox.checks import Query, read_cursor, write_cursor
from gateway_pipedrive.sandbox.errors import schema_failed
from gateway_pipedrive.sandbox.state import Company, User

if TYPE_CHECKING:
    from gateway_pipedrive.sandbox.core import Core

Json = dict[str, Any]
Method = Literal["GET", "POST", "PUT", "PATCH", "DELETE"]


@dataclass(frozen=True)
class Answer:
    """A good answer: a JSON body and a status."""

    body: Json
    status: int = 200


@dataclass
class Call:
    """An authorised call: who asks, in which company, with what."""

    sandbox: Core
    company: Company
    user: User
    client_id: str
    path: dict[str, str]
    query: dict[str, str]
    body: Any = None
    source: str = "api"

    def number(self, name: str) -> int:
        """Read an integer out of the path; v2 refuses other words there."""
        value = self.path[name]
        if not value.isdigit():
            raise schema_failed(f"{name}: must be integer")
        return int(value)


Handler = Callable[[Call], Answer]


@dataclass(frozen=True)
class Operation:
    """An operation of the vendor.

    Attributes:
        scopes: Any one of them allows the call.
        is_search: Counts towards the search window as well (chapter 4).
    """

    method: Method
    version: int
    path: str
    cost: int
    scopes: frozenset[str]
    handler: Handler
    is_search: bool = False

    def paths(self) -> list[str]:
        """List where it answers: v1 under two prefixes, v2 under one (chapter 1)."""
        if self.version == 1:
            return [f"/api/v1{self.path}", f"/v1{self.path}"]
        return [f"/api/v2{self.path}"]


@dataclass
class Operations:
    """A table that modules fill by decorating their handlers."""

    entries: list[Operation] = field(default_factory=list)

    def add(
        self, method: Method, version: int, path: str, *, cost: int, scopes: str, is_search: bool = False
    ) -> Callable[[Handler], Handler]:
        """Register a handler; ``scopes`` are words with spaces between them."""

        def register(handler: Handler) -> Handler:
            allowed = frozenset(scopes.split())
            self.entries.append(Operation(method, version, path, cost, allowed, handler, is_search))
            return handler

        return register


def good(data: Any, **additional: Any) -> Answer:
    """Answer in the common envelope; keyword arguments become ``additional_data``."""
    body: Json = {"success": True, "data": data}
    if additional:
        body["additional_data"] = additional
    return Answer(body)


def page_v2(query: Query, rows: list[Any], key: Callable[[Any], Any], *, most: int = 500) -> tuple[list[Any], Json]:
    """Cut one page out of rows that are sorted by ``key`` and then by id, ascending or descending alike.

    The cursor holds the sort value and id of the first row of the next page, so rows that vanish or come before it do
    not shift the walk.
    """
    limit = query.integer("limit", 100, least=1, most=most)
    assert limit is not None
    start = read_cursor(query.sent.get("cursor"))
    marks = [[key(row), row.id] for row in rows]
    first = 0
    if start is not None:
        first = _position(marks, start)
    following = first + limit
    cursor = write_cursor(marks[following]) if following < len(marks) else None
    return rows[first:following], {"next_cursor": cursor}


def _position(marks: list[list[Any]], start: list[Any]) -> int:
    if start in marks:
        return marks.index(start)
    descending = len(marks) > 1 and marks[0] > marks[-1]
    try:
        past = [number for number, mark in enumerate(marks) if (mark < start if descending else mark > start)]
    except TypeError:
        raise schema_failed("cursor: belongs to another list") from None
    return past[0] if past else len(marks)


def page_v1(query: dict[str, str], rows: list[Any], *, nested: bool) -> tuple[list[Any], Json]:
    """Cut one page by offset; ``nested`` gives ``pagination`` with ``next_start``, leads have neither (chapter 5).

    v1 is loose: a limit over 500 is lowered to it without a word.
    """
    start = int(query["start"]) if query.get("start", "").isdigit() else 0
    limit = min(int(query["limit"]), 500) if query.get("limit", "").isdigit() else 100
    limit = limit or 100
    more = start + limit < len(rows)
    block: Json = {"start": start, "limit": limit, "more_items_in_collection": more}
    if nested:
        if more:
            block["next_start"] = start + limit
        block = {"pagination": block}
    return rows[start : start + limit], block
