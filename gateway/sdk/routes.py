"""Routes that a plugin serves under ``/v1/apps/{integration}/``."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Literal

import msgspec

from gateway.sdk.connection import Connection


class Call(msgspec.Struct, frozen=True, kw_only=True):
    """One call of a route: path and query parameters, and the decoded body."""

    path: Mapping[str, str]
    query: Mapping[str, str]
    body: Any = None


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """An answer with another status than the route's usual one."""

    status: int
    body: Any = None


class Route(msgspec.Struct, frozen=True, kw_only=True):
    """A route of a plugin.

    What it answers is encoded as JSON; what it raises becomes a problem document: ``Rejected`` with its problems is
    ``422`` and names each field, ``RetryLater`` is ``503`` with ``Retry-After`` in whole seconds.

    Attributes:
        method: HTTP method.
        path: Path under the integration's prefix, with ``{name}`` parameters.
        scope: Scope that the account key needs; the key that connecting makes has the integration's own key as its
            scope.
        handler: Gets the account's active connection and the call; returns the body, or an ``Answer``.
        takes: Struct of the body; null for none.
        returns: Struct (or list of it) of the answer, for the OpenAPI document; null: no body, ``204``.
        status: The usual status; 0: 201 for POST, 204 without a body, else 200.
        query: Query parameters with a sentence each, for the OpenAPI document; any other one is refused.
    """

    method: Literal["GET", "POST", "PATCH", "PUT", "DELETE"]
    path: str
    scope: str
    handler: Callable[[Connection, Call], Awaitable[Any]]
    takes: Any = None
    returns: Any = None
    summary: str = ""
    status: int = 0
    query: Mapping[str, str] = {}

    @property
    def usual_status(self) -> int:
        """The status of an answer that names none."""
        if self.status:
            return self.status
        if self.returns is None:
            return 204
        return 201 if self.method == "POST" else 200
