"""Connections of the plugin to its sandbox, under a clock that stands still until told."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
import structlog

from gateway.sdk.auth import BearerAuth
from gateway.sdk.connection import Connection, Push
from gateway.sdk.errors import OutcomeUnknown, ReauthRequired, RetryLater
from gateway.sdk.http import VendorHttp
from gateway.testing.once import Once
from gateway_servicetitan.sandbox import Sandbox, create_sandbox
from gateway_servicetitan.settings import ServiceTitanSettings
from plugins.servicetitan.tests.openapi import Recorder

SETTLE = timedelta(seconds=61)
EMAIL = "fiona@friends.test"
PERSON = "per_01j0000000000000000000fiona"


@dataclass
class Clock:
    now: datetime = datetime(2026, 11, 21, 10, 0, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def advance(self, delta: timedelta) -> None:
        self.now += delta


class Tokens:
    """A token source over the sandbox's token server, as the host keeps one: cached, renewed when refused."""

    def __init__(self, client: httpx.AsyncClient, access: Any) -> None:
        self._client = client
        self._pasted = {"client_id": access.client_id, "client_secret": access.client_secret}
        self._token: str | None = None

    async def token(self, *, refused: str | None = None) -> str:
        if self._token is None or self._token == refused:
            form = {"grant_type": "client_credentials", **self._pasted}
            answer = await self._client.post("https://auth.servicetitan.io/connect/token", data=form)
            if answer.is_error:
                raise ReauthRequired("the vendor refused the client id or secret")
            self._token = answer.json()["access_token"]
        return self._token


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def make_sandbox(clock: Clock) -> Callable[..., Sandbox]:
    def make(**options: Any) -> Sandbox:
        return create_sandbox(clock=clock, **{"burst": False, **options})

    return make


@pytest.fixture
def sandbox(make_sandbox: Callable[..., Sandbox]) -> Sandbox:
    return make_sandbox()


@pytest.fixture
def recorder(sandbox: Sandbox) -> Recorder:
    """All calls that the connection of this test makes."""
    return Recorder(sandbox.transport())


@pytest.fixture
def connect(clock: Clock) -> Callable[..., Connection]:
    """Allow the app in the sandbox and return a connection."""

    def connect(
        sandbox: Sandbox,
        transport: httpx.AsyncBaseTransport | None = None,
        *,
        scopes: list[str] | None = None,
        **changes: Any,
    ) -> Connection:
        access = sandbox.connect_app(scopes=scopes)
        client = httpx.AsyncClient(transport=transport or sandbox.transport())
        credentials = {
            "tenant": str(access.tenant),
            "client_id": access.client_id,
            "client_secret": access.client_secret,
            "booking_provider": str(access.provider),
        }
        values: dict[str, Any] = {
            "id": "con_01j00000000000000000000000",
            "account_id": "acme",
            "integration": "servicetitan",
            "identity": str(access.tenant),
            "user": None,
            "properties": {},
            "granted": frozenset(access.scopes),
            "settings": ServiceTitanSettings(app_key=sandbox.app_key),
            "credentials": {**credentials, **changes.pop("credentials", {})},
            "inbound_secret": "inbound-secret",
            "currency": "USD",
            "country": "US",
            "http": VendorHttp(
                client, auth=BearerAuth(Tokens(httpx.AsyncClient(transport=sandbox.transport()), access))
            ),
            "host": None,
            "now": clock,
            "log": structlog.get_logger(),
        }
        return Connection(**{**values, **changes})

    return connect


@pytest.fixture
def connection(connect: Callable[..., Connection], sandbox: Sandbox, recorder: Recorder) -> Connection:
    return connect(sandbox, recorder)


VALUES: dict[str, Any] = {
    "source": "Spring",
    "name": "Fiona Friend",
    "email": EMAIL,
    "summary": "Spring",
    "externalId": "FIONA-1",
    "isFirstTimeClient": True,
    "phone": "+18185550111",
    "summary.referrer_name": "Rita Referrer",
    "summary.referrer_email": "rita@referrer.test",
}


@pytest.fixture
def make_push(clock: Clock) -> Callable[..., Push]:
    """A signup of Fiona, sent by Rita; ``values`` are added to hers, and None takes one away."""

    def make(values: dict[str, Any] | None = None, **changes: Any) -> Push:
        given = {key: value for key, value in {**VALUES, **(values or {})}.items() if value is not None}
        base = Push(
            reference=PERSON,
            role="referred",
            campaign_name="Spring",
            email=EMAIL,
            values={"booking": given},
            target="booking",
            target_options={},
            duplicates="skip",
            code="FIONA-1",
            once=Once(clock, timedelta(seconds=60)),
        )
        return replace(base, **changes)

    return make


@pytest.fixture
def until_done(clock: Clock) -> Callable[..., Any]:
    """Attempt a push until it is done, as the queue does: waiting lets steps in doubt settle."""

    async def until_done(attempt: Callable[[], Any], most: int = 5) -> Any:
        for _ in range(most):
            try:
                return await attempt()
            except (OutcomeUnknown, RetryLater):
                clock.advance(SETTLE)
        raise AssertionError(f"not done after {most} attempts")

    return until_done
