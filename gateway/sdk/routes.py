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


class Route(msgspec.Struct, frozen=True, kw_only=True):
    """A route of a plugin.

    Attributes:
        method: HTTP method.
        path: Path under the integration's prefix, with ``{name}`` parameters.
        scope: Scope that the account key needs.
        takes: Struct of the body; null for none.
        returns: Struct (or list of it) of the answer.
    """

    method: Literal["GET", "POST", "PATCH", "PUT", "DELETE"]
    path: str
    scope: str
    handler: Callable[[Connection, Call], Awaitable[Any]]
    takes: Any = None
    returns: Any = None
    summary: str = ""
