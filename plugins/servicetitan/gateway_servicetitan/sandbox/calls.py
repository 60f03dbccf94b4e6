"""One entry of the vendor's API: which path, which scopes allow it, who answers; lists and feeds are cut here.

Handlers are plain functions from a ``Call`` to a JSON value; the gate has checked key, token, tenant and scope.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import msgspec

from gateway_servicetitan.sandbox.checks import PAGING, TIMES, Reader, flag, order, read_query, when, words
from gateway_servicetitan.sandbox.errors import invalid, not_found
from gateway_servicetitan.sandbox.state import Access, Tenant

if TYPE_CHECKING:
    from gateway_servicetitan.sandbox.core import Core

Json = dict[str, Any]


class Row(Protocol):
    """Anything that is listed."""

    @property
    def id(self) -> int: ...  # noqa: D102 - see the class
    @property
    def created(self) -> datetime: ...  # noqa: D102
    @property
    def modified(self) -> datetime: ...  # noqa: D102


R = TypeVar("R", bound=Row)


@dataclass
class Call:
    """An authorised call: who asks, in which tenant, with what."""

    sandbox: Core
    tenant: Tenant
    access: Access
    path: dict[str, str]
    query: dict[str, str]
    body: Any = None

    def number(self, name: str) -> int:
        """Read an id out of the path."""
        if not self.path[name].isdecimal():
            raise invalid(**{name: f"The value '{self.path[name]}' is not valid."})
        return int(self.path[name])


Handler = Callable[[Call], Any]


@dataclass(frozen=True)
class Operation:
    """An operation of the vendor.

    Attributes:
        module: First part of the path: ``crm``, ``jpm`` …
        path: Below the tenant, with ``{name}`` parameters.
        scope: What the connection must have been granted.
    """

    method: str
    module: str
    path: str
    scope: str
    handler: Handler


@dataclass
class Operations:
    """A table that modules fill by decorating their handlers."""

    entries: list[Operation] = field(default_factory=list)

    def add(self, method: str, module: str, path: str, scope: str) -> Callable[[Handler], Handler]:
        """Register a handler."""

        def register(handler: Handler) -> Handler:
            self.entries.append(Operation(method, module, path, scope, handler))
            return handler

        return register


def read_list(call: Call, more: Mapping[str, Reader]) -> dict[str, Any]:
    """Read the query of a list: paging, times, sort, and what this list knows beside."""
    return read_query(call.query, {**PAGING, **TIMES, "sort": order, **more})


def listed(call: Call, asked: Mapping[str, Any], rows: Sequence[R], show: Callable[[R], Json]) -> Json:
    """Filter by times, sort, and cut one page; ``totalCount`` only when it was asked for."""
    found = [row for row in rows if _within(row, asked)]
    by, descending = asked.get("sort", ("id", False))
    if call.sandbox.options.honours_sort:
        keys: dict[str, Callable[[R], Any]] = {
            "id": lambda row: row.id,
            "modifiedon": lambda row: (row.modified, row.id),
            "createdon": lambda row: (row.created, row.id),
        }
        found.sort(key=keys[by], reverse=descending)
    else:
        found.sort(key=lambda row: row.id)
    number, size = asked.get("page", 1), asked.get("pageSize", 50)
    start = (number - 1) * size
    return {
        "page": number,
        "pageSize": size,
        "hasMore": start + size < len(found),
        "totalCount": len(found) if asked.get("includeTotal") else None,
        "data": [show(row) for row in found[start : start + size]],
    }


def _within(row: Row, asked: Mapping[str, Any]) -> bool:
    return (
        ("createdBefore" not in asked or row.created < asked["createdBefore"])
        and ("createdOnOrAfter" not in asked or row.created >= asked["createdOnOrAfter"])
        and ("modifiedBefore" not in asked or row.modified < asked["modifiedBefore"])
        and ("modifiedOnOrAfter" not in asked or row.modified >= asked["modifiedOnOrAfter"])
    )


def exported(call: Call, rows: Sequence[R], show: Callable[[R], Json]) -> Json:
    """Cut one page of an export feed, by time of change; a token is returned on the last page too.

    ``from`` is a token of ours, or a date: then changes at that time are included.
    """
    asked = read_query(call.query, {"from": words, "includeRecentChanges": flag})
    ordered = sorted(rows, key=lambda row: (row.modified, row.id))
    after = _position(asked.get("from"))
    waiting = [row for row in ordered if (row.modified.isoformat(), row.id) > after]
    chosen = waiting[: call.sandbox.options.export_page]
    last = (chosen[-1].modified.isoformat(), chosen[-1].id) if chosen else after
    token = base64.urlsafe_b64encode(msgspec.json.encode(last)).decode()
    return {"hasMore": len(waiting) > len(chosen), "continueFrom": token, "data": [show(row) for row in chosen]}


def _position(start: str | None) -> tuple[str, int]:
    if start is None:
        return ("", 0)
    if start[:4].isdecimal() and start[4:5] == "-":
        try:
            return (when(start).isoformat(), 0)
        except ValueError:
            raise invalid(**{"from": "The value is not valid."}) from None
    try:
        return msgspec.json.decode(base64.urlsafe_b64decode(start), type=tuple[str, int])
    except (binascii.Error, ValueError, msgspec.DecodeError):
        raise invalid(**{"from": "The continuation token is not valid."}) from None


def found(rows: Mapping[int, R], key: int) -> R:
    """Return a row, or refuse: there is none."""
    if key not in rows:
        raise not_found()
    return rows[key]
