"""A sandbox under a clock that stands still until told, and clients over it without a socket."""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from gateway_pipedrive.sandbox import Sandbox, create_sandbox


@dataclass
class Clock:
    now: datetime = datetime(2026, 11, 21, 10, 0, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def advance(self, **by: float) -> None:
        self.now += timedelta(**by)


@dataclass
class Receiver:
    """A place for webhooks and the uninstall call; answers what it is told to."""

    status: int = 200
    requests: list[httpx.Request] = field(default_factory=list)

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        return httpx.Response(self.status)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def receiver() -> Receiver:
    return Receiver()


@pytest.fixture
def make(clock: Clock, receiver: Receiver) -> Callable[..., Sandbox]:
    def made(**options: Any) -> Sandbox:
        http = httpx.AsyncClient(transport=httpx.MockTransport(receiver))
        return create_sandbox(clock=clock, http=http, **options)

    return made


@pytest.fixture
def sandbox(make: Callable[..., Sandbox]) -> Sandbox:
    return make()


def client_of(sandbox: Sandbox, user_id: int | None = None) -> httpx.AsyncClient:
    """Install the app and return a client with its token."""
    token = sandbox.install(user_id)
    headers = {"authorization": f"Bearer {token['access_token']}"}
    return httpx.AsyncClient(transport=sandbox.transport(), base_url=token["api_domain"], headers=headers)


@pytest.fixture
async def client(sandbox: Sandbox) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(sandbox) as made:
        yield made


@pytest.fixture
def client_for() -> Callable[..., httpx.AsyncClient]:
    return client_of
