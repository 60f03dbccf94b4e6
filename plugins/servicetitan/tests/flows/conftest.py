"""A whole world in one process: gateway, ServiceTitan sandbox and fake host over ASGI, the worker drained by hand."""

import base64
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import timedelta
from typing import Any

import httpx
import pytest

from gateway.app import create_app, create_worker, open_services
from gateway.flows.connections.app_calls import app_token
from gateway.sdk.clock import Clock
from gateway.settings import Settings
from gateway.testing.fake_host import FakeHost
from gateway.testing.transports import RoutedTransport
from gateway_servicetitan.sandbox import Sandbox, create_sandbox

HOST_KEY = "host-key-for-tests-0123456789abcdef"
GATEWAY = "https://gateway.test"
WEBHOOK_KEY = "0123456789abcdef0123456789abcdef"
EMAIL = "friend@example.com"
RULE = {"trigger": "job_status", "parameters": {"status": "Completed"}}


class World:
    """What a flow test acts on; each helper is something that a person or a platform would do."""

    def __init__(self, url: str, clock: Clock, sandbox: Sandbox, network: RoutedTransport, host: FakeHost):
        self.database_url = url
        self.clock = clock
        self.sandbox = sandbox
        self.network = network
        self.host = host
        self._process = AsyncExitStack()

    async def start(self, **changes: Any) -> None:
        """Start the gateway's process; started again it is another one over the same database."""
        await self._process.aclose()
        settings = Settings(
            database_url=self.database_url,
            public_url=GATEWAY,
            host_keys=[HOST_KEY],
            secret_keys=["k1:" + base64.urlsafe_b64encode(b"0" * 32).decode()],
            support_contact="support@referrals.example",
            **changes,
        )
        environ = {
            "GATEWAY_SERVICETITAN_APP_KEY": self.sandbox.app_key,
            "GATEWAY_SERVICETITAN_WEBHOOK_KEY": WEBHOOK_KEY,
        }
        self.services = await self._process.enter_async_context(
            open_services(
                settings,
                environ=environ,
                clock=self.clock,
                vendor_transport=self.network,
                webhook_transport=self.network,
            )
        )
        self.worker = create_worker(self.services, lease_seconds=60)
        app = create_app(self.services)
        self.network.routes["gateway.test"] = httpx.ASGITransport(app)
        self.api = await self._process.enter_async_context(
            httpx.AsyncClient(
                transport=httpx.ASGITransport(app),
                base_url=GATEWAY,
                headers={"authorization": f"Bearer {HOST_KEY}"},
            )
        )

    async def stop(self) -> None:
        await self._process.aclose()

    def watch(self) -> None:
        """Set up webhooks in the developer portal, for all tenants."""
        token = app_token(self.services, "servicetitan")
        self.sandbox.subscribe(f"{GATEWAY}/v1/inbound/servicetitan/{token}", WEBHOOK_KEY)

    async def call(self, method: str, path: str, body: Any = None, expect: int | None = None) -> Any:
        response = await self.api.request(method, path, json=body)
        met = response.is_success if expect is None else response.status_code == expect
        assert met, f"{method} {path}: {response.status_code} {response.text}"
        return response.json() if response.content else None

    async def drain(self, *, rounds: int = 30) -> None:
        """Run due tasks and deliver the vendor's due webhooks until nothing moves."""
        for _ in range(rounds):
            done = await self.worker.drain()
            sent = await self.sandbox.deliver_webhooks()
            if not done and not sent:
                return

    async def later(self, **delta: float) -> None:
        """Let time pass, then drain."""
        self.clock.advance(timedelta(**delta))
        await self.drain()

    async def account(self, account: str = "acme") -> str:
        await self.call("PUT", f"/v1/accounts/{account}", {"name": "Acme", "currency": "USD", "country": "US"})
        return account

    async def pending(self, account: str = "acme", tenant: int | None = None) -> str:
        """Begin to connect, and give the tenant id."""
        body = {"integration": "servicetitan"}
        started = await self.call("POST", f"/v1/accounts/{account}/connections", body)
        values = {"tenant": str(tenant or self.sandbox.tenant().id)}
        await self.call("POST", f"/v1/connections/{started['id']}/steps/tenant", {"values": values})
        return str(started["id"])

    def pasted(self, **changes: str) -> dict[str, str]:
        """Allow the app at the vendor and return what its page shows."""
        access = self.sandbox.connect_app()
        values = {
            "client_id": access.client_id,
            "client_secret": access.client_secret,
            "booking_provider": str(access.provider),
        }
        return {**values, **changes}

    async def finalise(self, connection: str, expect: int | None = None, **changes: str) -> Any:
        path = f"/v1/connections/{connection}/steps/finalise"
        return await self.call("POST", path, {"values": self.pasted(**changes)}, expect=expect)

    async def connect(self, account: str = "acme") -> str:
        """Connect as people do: tenant id, the operator's approval, the three values."""
        connection = await self.pending(account)
        await self.call("POST", f"/v1/connections/{connection}/approve", {})
        done = await self.finalise(connection)
        assert done["state"] == "active"
        await self.drain()
        return connection

    async def campaign(self, campaign: str = "spring", **changes: Any) -> str:
        body = {"name": "Spring", "state": "live", "link_template": "https://refer.example/{code}", **changes}
        await self.call("PUT", f"/v1/accounts/acme/campaigns/{campaign}", body)
        return campaign

    async def setup(self, role: str = "referred", campaign: str = "spring", expect: int | None = None, **changes: Any):
        first = {"record_kind": "booking", "field": "isFirstTimeClient", "value": True}
        body = {"target": "booking", "use_suggested": True, "defaults": [first], **changes}
        path = f"/v1/accounts/acme/campaigns/{campaign}/setups/{role}"
        return await self.call("PUT", path, body, expect=expect)

    async def signup(self, email: str = EMAIL, role: str = "referred", campaign: str = "spring", **changes: Any) -> str:
        """Somebody signs up; drained, so that the CRM has it."""
        person = {"email": email, "first_name": "Fiona", "last_name": "Friend"}
        body = {"role": role, "person": person, **changes}
        answer = await self.call("POST", f"/v1/accounts/acme/campaigns/{campaign}/signups", body, expect=202)
        await self.drain()
        return str(answer["results"][0]["person"])

    async def ready(self, *, webhooks: bool = False, **setup: Any) -> str:
        """Account, connection, campaign and setup; return the connection."""
        await self.account()
        if webhooks:
            self.watch()
        connection = await self.connect()
        await self.campaign()
        await self.setup(**{"qualification": RULE, **setup})
        return connection

    async def person(self, person: str) -> dict[str, Any]:
        return await self.call("GET", f"/v1/accounts/acme/people/{person}")

    async def timeline(self, person: str) -> dict[str, Any]:
        return await self.call("GET", f"/v1/accounts/acme/people/{person}/timeline")

    async def told(self, person: str) -> str:
        """Return all that the timeline says."""
        return "\n".join(entry["text"] for entry in (await self.timeline(person))["entries"])

    async def events(self, kind: str) -> list[dict[str, Any]]:
        await self.drain()
        return [one for one in (await self.call("GET", "/v1/events?after=0&limit=200"))["data"] if one["type"] == kind]


@pytest.fixture
def clock() -> Clock:
    """Time that a test may move."""
    return Clock()


@pytest.fixture
async def world(database_url: str, clock: Clock) -> AsyncIterator[World]:
    """One process: gateway, sandbox and fake host."""
    network, host = RoutedTransport(), FakeHost()
    sandbox = create_sandbox(clock=clock.now, http=httpx.AsyncClient(transport=network))
    network.routes.update(
        {
            "api.servicetitan.io": sandbox.transport(),
            "auth.servicetitan.io": sandbox.transport(),
            "host.test": httpx.ASGITransport(host.app),
        }
    )
    world = World(database_url, clock, sandbox, network, host)
    await world.start()
    yield world
    await world.stop()
