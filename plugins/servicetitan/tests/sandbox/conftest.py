"""A raw client over the sandbox, with whatever headers and tokens a test wants."""

from typing import Any

import httpx
import pytest

from plugins.servicetitan.tests.openapi import Recorder

AUTH, API = "https://auth.servicetitan.io", "https://api.servicetitan.io"


class Vendor:
    """Calls of one connection, without our client between."""

    def __init__(self, sandbox: Any, access: Any) -> None:
        self.sandbox, self.access = sandbox, access
        self.recorder = Recorder(sandbox.transport())
        self.http = httpx.AsyncClient(transport=self.recorder)
        self.token: str | None = None

    async def ask_token(self, **form: str) -> httpx.Response:
        given = {
            "grant_type": "client_credentials",
            "client_id": self.access.client_id,
            "client_secret": self.access.client_secret,
        }
        return await self.http.post(f"{AUTH}/connect/token", data={**given, **form})

    async def call(
        self, method: str, module: str, path: str, *, tenant: Any = None, headers: Any = None, **kwargs: Any
    ):
        if self.token is None:
            self.token = (await self.ask_token()).json()["access_token"]
        sent = {"ST-App-Key": self.sandbox.app_key, "Authorization": f"Bearer {self.token}", **(headers or {})}
        sent = {key: value for key, value in sent.items() if value is not None}
        url = f"{API}/{module}/v2/tenant/{tenant or self.access.tenant}/{path}"
        return await self.http.request(method, url, headers=sent, **kwargs)

    async def get(self, module: str, path: str, **params: Any):
        return await self.call("GET", module, path, params=params)

    async def book(self, **changes: Any):
        body = {
            "source": "Spring",
            "name": "Fiona Friend",
            "summary": "Spring",
            "isFirstTimeClient": True,
            "externalId": "FIONA-1",
            "contacts": [{"type": "Email", "value": "fiona@friends.test"}],
            **changes,
        }
        body = {key: value for key, value in body.items() if value is not ...}
        return await self.call("POST", "crm", self.bookings, json=body)

    @property
    def bookings(self) -> str:
        return f"booking-provider/{self.access.provider}/bookings"


@pytest.fixture
def make_vendor(make_sandbox):
    def make(*, scopes=None, restricted=True, **options):
        sandbox = make_sandbox(**options)
        return Vendor(sandbox, sandbox.connect_app(scopes=scopes, restricted=restricted))

    return make


@pytest.fixture
def vendor(make_vendor):
    return make_vendor()
