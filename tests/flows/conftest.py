"""A whole world in one process: gateway, Pipedrive sandbox and fake host over ASGI, the worker drained by hand."""

import base64
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from gateway.app import create_app, create_worker, open_services
from gateway.sdk.clock import Clock
from gateway.settings import Settings
from gateway.testing.fake_host import FakeHost
from gateway.testing.transports import RoutedTransport
from gateway_pipedrive.sandbox import create_sandbox

HOST_KEY = "host-key-for-tests-0123456789abcdef"
GATEWAY = "https://gateway.test"
CALLBACK = f"{GATEWAY}/v1/oauth/pipedrive/callback"


def settings_for(database_url: str, **changes: Any) -> Settings:
    return Settings(
        database_url=database_url,
        public_url=GATEWAY,
        host_keys=[HOST_KEY],
        secret_keys=["k1:" + base64.urlsafe_b64encode(b"0" * 32).decode()],
        support_contact="support@referrals.example",
        **changes,
    )


class World:
    """What a flow test acts on; each helper is something that a person or a platform would do."""

    def __init__(self, services, app, worker, network, sandbox, host, clock):
        self.services = services
        self.app = app
        self.worker = worker
        self.network = network
        self.sandbox = sandbox
        self.host = host
        self.clock = clock
        self.api = httpx.AsyncClient(
            transport=httpx.ASGITransport(app), base_url=GATEWAY, headers={"authorization": f"Bearer {HOST_KEY}"}
        )

    async def close(self):
        await self.api.aclose()

    async def call(self, method: str, path: str, body: Any = None, expect: int | None = None, **kwargs: Any) -> Any:
        """Call the API and return the decoded answer; an unexpected status fails with the answer's text."""
        response = await self.api.request(method, path, json=body, **kwargs)
        met = response.is_success if expect is None else response.status_code == expect
        assert met, f"{method} {path}: {response.status_code} {response.text}"
        return response.json() if response.content else None

    async def drain(self, *, rounds: int = 20) -> None:
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

    async def account(self, account: str = "acme", **changes: Any) -> str:
        await self.call(
            "PUT", f"/v1/accounts/{account}", {"name": "Acme", "currency": "EUR", "country": "DE", **changes}
        )
        return account

    async def connect(self, account: str = "acme", *, allow: bool = True) -> str:
        """Connect Pipedrive as a person would: start, allow at the vendor, come back."""
        started = await self.call(
            "POST", f"/v1/accounts/{account}/connections", {"integration": "pipedrive"}, expect=201
        )
        page = await self.authorise(started["next_step"]["url"], allow=allow)
        if allow:
            assert page.status_code < 400, page.text
        await self.drain()
        return started["id"]

    async def authorise(self, url: str, *, allow: bool = True) -> httpx.Response:
        """Click at the vendor, and follow the way back as a browser without any key would."""
        async with httpx.AsyncClient(transport=self.network) as browser:
            answered = await browser.get(f"{url}&decision={'allow' if allow else 'deny'}")
            assert answered.is_redirect, answered.text
            back = urlsplit(answered.headers["location"])
            assert parse_qs(back.query)["state"]
            return await browser.get(answered.headers["location"])

    async def campaign(self, account: str = "acme", campaign: str = "spring", **changes: Any) -> str:
        body = {"name": "Spring", "state": "live", "link_template": "https://refer.example/{code}", **changes}
        await self.call("PUT", f"/v1/accounts/{account}/campaigns/{campaign}", body)
        return campaign

    async def setup(
        self, account: str = "acme", campaign: str = "spring", role: str = "referred", **changes: Any
    ) -> dict[str, Any]:
        body = {"target": "lead", "use_suggested": True, **changes}
        return await self.call("PUT", f"/v1/accounts/{account}/campaigns/{campaign}/setups/{role}", body)

    async def signup(
        self, account: str = "acme", campaign: str = "spring", *, email: str = "friend@example.com", **changes: Any
    ) -> dict[str, Any]:
        body = {"role": "referred", "person": {"email": email, "first_name": "Fiona", "last_name": "Friend"}, **changes}
        answer = await self.call("POST", f"/v1/accounts/{account}/campaigns/{campaign}/signups", body, expect=202)
        return answer["results"][0]

    async def endpoint(self, **changes: Any) -> dict[str, Any]:
        """Register the fake host for all events."""
        made = await self.call("POST", "/v1/endpoints", {"url": "https://host.test/webhooks", **changes}, expect=201)
        self.host.secrets.append(made["secret"])
        return made

    async def person(self, person: str, account: str = "acme") -> dict[str, Any]:
        return await self.call("GET", f"/v1/accounts/{account}/people/{person}")

    async def timeline(self, person: str, account: str = "acme") -> dict[str, Any]:
        return await self.call("GET", f"/v1/accounts/{account}/people/{person}/timeline")


@pytest.fixture
async def make_world(database_url: str, database: Any):
    """Make worlds over the migrated database of this test; several are several processes."""
    async with AsyncExitStack() as stack:

        async def make(
            *,
            clock: Clock | None = None,
            sandbox: Any = None,
            host: FakeHost | None = None,
            sandbox_options: dict[str, Any] | None = None,
            **changes: Any,
        ) -> World:
            clock = clock or database.clock
            network = RoutedTransport()
            host = host or FakeHost()
            if sandbox is None:
                sandbox = create_sandbox(
                    clock=clock.now,
                    base_url="https://acme.pipedrive.com",
                    http=httpx.AsyncClient(transport=network),
                    callback_url=CALLBACK,
                    **(sandbox_options or {}),
                )
            network.routes.update(
                {
                    "acme.pipedrive.com": sandbox.transport(),
                    "oauth.pipedrive.com": sandbox.transport(),
                    "host.test": httpx.ASGITransport(host.app),
                }
            )
            environ = {
                "GATEWAY_PIPEDRIVE_CLIENT_ID": sandbox.client_id,
                "GATEWAY_PIPEDRIVE_CLIENT_SECRET": sandbox.client_secret,
            }
            services = await stack.enter_async_context(
                open_services(
                    settings_for(database_url, **changes),
                    environ=environ,
                    clock=clock,
                    vendor_transport=network,
                    webhook_transport=network,
                )
            )
            worker = create_worker(services, lease_seconds=60)
            app = create_app(services)
            network.routes.setdefault("gateway.test", httpx.ASGITransport(app))
            world = World(services, app, worker, network, sandbox, host, clock)
            stack.push_async_callback(world.close)
            return world

        yield make


@pytest.fixture
async def world(make_world) -> AsyncIterator[World]:
    """One process: gateway, sandbox and fake host."""
    return await make_world()
