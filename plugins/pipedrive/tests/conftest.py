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
from gateway.sdk.errors import OutcomeUnknown, RetryLater
from gateway.sdk.http import VendorHttp
from gateway.testing.once import Once
from gateway_pipedrive.sandbox import Sandbox, create_sandbox
from gateway_pipedrive.settings import PipedriveSettings
from gateway_schemas.records import Field
from plugins.pipedrive.tests.openapi import Recorder

SETTLE = timedelta(seconds=31)


@dataclass
class Clock:
    now: datetime = datetime(2026, 11, 21, 10, 0, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def advance(self, delta: timedelta) -> None:
        self.now += delta


class FixedToken:
    """A token source that knows one token, as for an installation that just happened."""

    def __init__(self, token: str) -> None:
        self._token = token

    async def token(self, *, refused: str | None = None) -> str:
        return self._token


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def make_sandbox(clock: Clock) -> Callable[..., Sandbox]:
    def make(**options: Any) -> Sandbox:
        return create_sandbox(
            clock=clock, base_url="https://acme.pipedrive.com", **{"burst": False, "search_lag": 60, **options}
        )

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
    """Install the app and return a connection."""

    def connect(sandbox: Sandbox, transport: httpx.AsyncBaseTransport | None = None, **changes: Any) -> Connection:
        user = sandbox.user(changes.pop("user_id", None))
        token = sandbox.install(user.id)
        client = httpx.AsyncClient(transport=transport or sandbox.transport())
        values: dict[str, Any] = {
            "id": "con_01j00000000000000000000000",
            "account_id": "acme",
            "integration": "pipedrive",
            "identity": str(user.company_id),
            "user": str(user.id),
            "properties": {"api_domain": token["api_domain"]},
            "granted": frozenset(token["scope"].split(",")),
            "settings": PipedriveSettings(client_id=sandbox.client_id, client_secret=sandbox.client_secret),
            "credentials": {},
            "inbound_secret": "inbound-secret",
            "currency": "EUR",
            "country": None,
            "http": VendorHttp(client, auth=BearerAuth(FixedToken(token["access_token"]))),
            "host": None,
            "now": clock,
            "log": structlog.get_logger(),
        }
        return Connection(**{**values, **changes})

    return connect


@pytest.fixture
def connection(connect: Callable[..., Connection], sandbox: Sandbox, recorder: Recorder) -> Connection:
    return connect(sandbox, recorder)


@pytest.fixture
def make_push(sandbox: Sandbox, clock: Clock) -> Callable[..., Push]:
    """A signup of Fiona, with her referral code in the custom field of the record that the target makes."""

    def make(target: str = "lead", **changes: Any) -> Push:
        demo = sandbox.demo
        assert demo is not None
        codes = demo.person_fields if target == "contact" else demo.deal_fields
        key = codes["Referral Code"].code
        values: dict[str, dict[str, Any]] = {
            "contact": {
                "first_name": "Fiona",
                "last_name": "Friend",
                "emails": "fiona@friends.test",
                "phones": "+4915112345678",
            }
        }
        if target != "contact":
            values[target] = {"title": "Spring"}
        values[target][key] = "FIONA-1"
        base = Push(
            reference="per_01j0000000000000000000fiona",
            role="referred",
            campaign_name="Spring",
            email="fiona@friends.test",
            values=values,
            target=target,
            target_options={},
            duplicates="fill_empty",
            fields={target: [Field(key=key, label="Referral Code", type="text", custom=True)]},
            code="FIONA-1",
            once=Once(clock, timedelta(seconds=30)),
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


def alive(rows: Any) -> list[Any]:
    return [one for one in rows.values() if not one.is_deleted]
