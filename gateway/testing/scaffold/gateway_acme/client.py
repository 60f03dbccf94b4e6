"""Acme's API: every call of the plugin goes through here."""

from collections.abc import AsyncIterator
from typing import Any

import httpx

from gateway.sdk.connection import Connection
from gateway.sdk.errors import PluginError, RecordGone
from gateway.sdk.http import VendorHttp

Json = dict[str, Any]


class Client:
    """The API of one tenant."""

    def __init__(self, connection: Connection) -> None:
        self._http: VendorHttp = connection.http.with_base(f"{connection.settings.api_url}/v1", classify)

    async def get(self, path: str, **params: Any) -> Json:
        """Return one object."""
        return _json(await self._http.get(path, params=params))

    async def find(self, path: str) -> Json | None:
        """Return one object, or ``None`` when it is not there."""
        try:
            return await self.get(path)
        except RecordGone:
            return None

    async def page(self, path: str, **params: Any) -> tuple[list[Json], str | None]:
        """Return one page of a list, and the cursor of the next."""
        answer = await self.get(path, **params)
        return list(answer["data"]), answer["next"]

    async def rows(self, path: str, **params: Any) -> AsyncIterator[Json]:
        """Return every row of a list, page by page, to the last one."""
        cursor: str | None = None
        while True:
            rows, cursor = await self.page(path, cursor=cursor, **params)
            for row in rows:
                yield row
            if cursor is None:
                return

    async def create(self, path: str, body: Json) -> Json:
        """Create an object: exactly one write."""
        return _json(await self._http.post(path, json=body))

    async def change(self, path: str, body: Json) -> Json:
        """Change an object."""
        return _json(await self._http.patch(path, json=body))

    async def remove(self, path: str) -> None:
        """Remove an object."""
        await self._http.delete(path)


def classify(response: httpx.Response) -> PluginError | None:
    """Say what a refusal of this vendor means where its status alone does not; ``None`` leaves it to the status."""
    return None


def _json(response: httpx.Response) -> Json:
    found: Json = response.json()
    return found
