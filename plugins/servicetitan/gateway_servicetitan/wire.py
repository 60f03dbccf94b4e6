"""How calls and answers of ServiceTitan travel: paths of one tenant, the app key, pages, and export feeds.

Source: ``VENDOR.md``, chapters 1 (hosts, paths, headers) and 4 (lists and feeds).
"""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from decimal import Decimal
from functools import cache
from typing import Any, TypeVar

import httpx
import msgspec

from gateway.sdk.connection import Connection
from gateway.sdk.errors import OutcomeUnknown, RetryLater
from gateway.sdk.http import Classify
from gateway_servicetitan.errors import classify
from gateway_servicetitan.models import Export, Page

PAGE = 500
"""Rows of a page; the vendor allows 5,000, whose answers are too large to read in one go."""

IDS_PER_CALL = 50
"""A list takes no more ids in one call."""

AT_ONCE = 4
"""Calls of one list of ids that run side by side: a page of a feed may name thousands."""

EXPORT_SECONDS = 110.0
"""How long an export is waited for: the vendor itself gives up after 100 seconds."""

T = TypeVar("T")
Params = Mapping[str, Any]


class Wire:
    """The paths of one connection's tenant, decoded.

    Args:
        connection: Its client is authorised; its credentials name tenant and booking provider.
        reading: Reads refused answers; another one to look at them on the way.
    """

    def __init__(self, connection: Connection, reading: Classify = classify) -> None:
        self.tenant = connection.credentials.get("tenant", connection.identity).strip()
        self.provider = connection.credentials.get("booking_provider", "").strip()
        self._http = connection.http.with_base(connection.settings.api_url, reading)
        self._headers = {"ST-App-Key": connection.settings.app_key}

    async def send(self, method: str, module: str, path: str, **kwargs: Any) -> httpx.Response:
        """Send one call to a path under the tenant, with the app key."""
        url = f"/{module}/v2/tenant/{self.tenant}/{path}"
        return await self._http.request(method, url, headers=self._headers, **kwargs)

    async def one(self, module: str, path: str, shape: type[T], params: Params | None = None) -> T:
        """Read one object."""
        return read(await self.send("GET", module, path, params=params), shape)

    async def page(
        self, module: str, path: str, shape: type[T], params: Params, *, number: int = 1, size: int = PAGE
    ) -> Page[T]:
        """Read one page of a list; pages count from 1."""
        asked = {"page": number, "pageSize": size, **params}
        return read(await self.send("GET", module, path, params=asked), Page[shape])  # type: ignore[valid-type] # a run-time type

    async def pages(self, module: str, path: str, shape: type[T], params: Params | None = None) -> AsyncIterator[T]:
        """Walk a list to its end."""
        number = 1
        while True:
            found = await self.page(module, path, shape, params or {}, number=number)
            for row in found.rows:
                yield row
            if not found.has_more or not found.rows:
                return
            number += 1

    async def all(self, module: str, path: str, shape: type[T], params: Params | None = None) -> list[T]:
        """Return every row of a list."""
        return [row async for row in self.pages(module, path, shape, params)]

    async def by_ids(
        self, module: str, path: str, shape: type[T], wanted: Sequence[str], params: Params | None = None, *,
        name: str = "ids",
    ) -> list[T]:  # fmt: skip
        """Return the rows with these ids; ids that cannot be the vendor's are left out like missing rows."""
        numbers = [one for one in dict.fromkeys(wanted) if one.isascii() and one.isdecimal()]
        gate = asyncio.Semaphore(AT_ONCE)

        async def chunk(start: int) -> list[T]:
            async with gate:
                some = ",".join(numbers[start : start + IDS_PER_CALL])
                return await self.all(module, path, shape, {name: some, **(params or {})})

        chunks = (chunk(start) for start in range(0, len(numbers), IDS_PER_CALL))
        found: list[T] = []
        for rows in await asyncio.gather(*chunks, return_exceptions=True):  # all have ended before one is raised
            if isinstance(rows, BaseException):
                raise rows
            found += rows
        return found

    async def export(self, module: str, thing: str, shape: type[T], start: str | None) -> Export[T]:
        """Read one page of an export feed, from the beginning or from where a page before ended.

        Raises:
            RetryLater: It says that there is more, but not where, or where we were already.
        """
        path, params = f"export/{thing}", {"from": start}
        answer = await self.send("GET", module, path, params=params, read_seconds=EXPORT_SECONDS)
        page: Export[T] = read(answer, Export[shape])  # type: ignore[valid-type] # a run-time type
        if page.has_more and page.continue_from in (None, "", start):
            message = f"GET {path}: there is more, but the answer names no new place where it goes on"
            raise RetryLater(message, after_seconds=300, lane_wide=False)
        return page


def read(response: httpx.Response, shape: type[T]) -> T:
    """Decode a good answer.

    Raises:
        OutcomeUnknown: The answer to a write cannot be read: it may have been cut.
        RetryLater: The same for a read.
    """
    try:
        found: T = _decoder(shape).decode(response.content)  # type: ignore[arg-type] # types are hashable
    except msgspec.DecodeError as error:  # a ValidationError is one too
        what = f"{response.request.method} {response.request.url.path}"
        if response.request.method == "GET":
            message = f"{what}: the answer cannot be read ({error})"
            raise RetryLater(message, after_seconds=30, lane_wide=False) from error
        raise OutcomeUnknown(f"{what} was answered {response.status_code}, but the answer cannot be read") from error
    return found


@cache
def _decoder(shape: Any) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(shape, strict=False, float_hook=Decimal)
