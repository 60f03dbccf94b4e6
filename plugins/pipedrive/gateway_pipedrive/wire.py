"""How calls and answers of Pipedrive travel: envelopes, the two ways of paging, and where a company's API is.

Source: ``VENDOR.md``, chapters 2.2 (``api_domain``), 3 (envelope) and 5 (paging).
"""

from collections.abc import AsyncIterator, Mapping
from decimal import Decimal
from functools import cache
from typing import Any, TypeVar
from urllib.parse import urlsplit

import httpx
import msgspec

from gateway.sdk.connection import Connection
from gateway.sdk.errors import Misconfigured, OutcomeUnknown, RetryLater
from gateway_pipedrive.errors import classify
from gateway_pipedrive.models import Additional, Answer, Id, Pagination

PAGE = 500
"""The largest page of v1 and v2 lists; calls are charged per request, not per row."""

HOST_SUFFIX = ".pipedrive.com"

T = TypeVar("T")
Params = Mapping[str, Any]


class Wire:
    """The paths of one connection's API, decoded.

    Args:
        connection: Its client is authorised; its properties say where the company's API is.
    """

    def __init__(self, connection: Connection) -> None:
        self.opened = connection.http
        self._http = connection.http.with_base(base_url(connection), classify)

    async def _answer(self, method: str, path: str, shape: Any, *, cost: int, **kwargs: Any) -> Answer[Any]:
        return read(await self._http.request(method, path, cost=cost, **kwargs), shape)

    async def _one(self, method: str, path: str, shape: type[T], *, cost: int, **kwargs: Any) -> T:
        found: T = (await self._answer(method, path, shape, cost=cost, **kwargs)).data
        return found

    async def _created(self, path: str, body: Params, *, cost: int) -> str:
        return str((await self._one("POST", path, Id, cost=cost, json=body)).id)

    async def _list(self, path: str, shape: type[T], *, cost: int, params: Params | None = None) -> list[T]:
        return (await self._answer("GET", path, list[shape] | None, cost=cost, params=params)).data or []  # type: ignore[valid-type] # a run-time type

    async def _page(self, path: str, shape: type[T], *, cost: int, params: Params) -> tuple[list[T], str | None]:
        answer = await self._answer("GET", path, list[shape] | None, cost=cost, params={"limit": PAGE, **params})  # type: ignore[valid-type] # a run-time type
        more = answer.additional_data or Additional()
        return answer.data or [], more.next_cursor

    async def _cursor_pages(
        self, path: str, shape: type[T], *, cost: int, params: Params | None = None
    ) -> AsyncIterator[list[T]]:
        cursor: str | None = None
        while True:
            rows, cursor = await self._page(path, shape, cost=cost, params={**(params or {}), "cursor": cursor})
            yield rows
            if cursor is None:
                return

    async def _all(self, path: str, shape: type[T], *, cost: int, params: Params | None = None) -> list[T]:
        return [row async for page in self._cursor_pages(path, shape, cost=cost, params=params) for row in page]

    async def _offset_pages(
        self, path: str, shape: type[T], *, cost: int, params: Params | None = None
    ) -> AsyncIterator[list[T]]:
        """Walk a v1 list: ``next_start`` where it is sent, else counted on by what the vendor says that it gave.

        A missing block means the end.
        """
        start = 0
        while True:
            asked = {"limit": PAGE, "start": start, **(params or {})}
            answer = await self._answer("GET", path, list[shape] | None, cost=cost, params=asked)  # type: ignore[valid-type] # a run-time type
            rows, more = answer.data or [], answer.additional_data or Additional()
            yield rows
            block = more.pagination or Pagination(more.more_items_in_collection, limit=more.limit)
            if not rows or not block.more_items_in_collection:
                return
            start = block.next_start or start + (block.limit or PAGE)


def read(response: httpx.Response, shape: Any) -> Answer[Any]:
    """Decode a good answer; numbers with a fraction become ``Decimal`` where the shape says nothing.

    Raises:
        OutcomeUnknown: The answer to a write cannot be read: it may have been cut.
        RetryLater: The same for a read.
    """
    try:
        return _decoder(shape).decode(response.content)
    except msgspec.DecodeError as error:  # a ValidationError is one too
        what = f"{response.request.method} {response.request.url.path}"
        if response.request.method == "GET":
            raise RetryLater(
                f"{what}: the answer cannot be read ({error})", after_seconds=30, lane_wide=False
            ) from error
        raise OutcomeUnknown(f"{what} was answered {response.status_code}, but the answer cannot be read") from error


@cache
def _decoder(shape: Any) -> msgspec.json.Decoder[Answer[Any]]:
    return msgspec.json.Decoder(Answer[shape], strict=False, float_hook=Decimal)


def base_url(connection: Connection) -> str:
    """Return where the company's API is.

    Raises:
        Misconfigured: The token answer named no ``api_domain`` that we may call.
    """
    override: str | None = connection.settings.api_url
    if override:
        return override
    domain = connection.properties.get("api_domain", "").rstrip("/")
    parts = urlsplit(domain)
    if parts.scheme != "https" or not (parts.hostname or "").endswith(HOST_SUFFIX) or parts.path or parts.username:
        raise Misconfigured(f"the connection's api_domain {domain!r} is not an https address under {HOST_SUFFIX}")
    return domain
