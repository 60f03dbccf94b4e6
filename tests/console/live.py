"""Gateway, worker, sandbox of a CRM, fake host and an embedding site on loopback ports, for a real browser."""

import asyncio
import base64
import os
import shutil
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
from litestar import Litestar, Response, get

from gateway.app import create_app, create_worker, open_services
from gateway.flows.connections.app_calls import app_token
from gateway.plugins import discover
from gateway.sdk.clock import Clock
from gateway.settings import Settings
from gateway.storage import migrate
from gateway.testing.fake_host import FakeHost
from gateway.testing.serving import free_ports, serving
from gateway_pipedrive.sandbox import create_sandbox as pipedrive_sandbox
from gateway_servicetitan.sandbox import create_sandbox as servicetitan_sandbox

from .browsing import HOST_KEY
from .counting import Statements

WANTED = "GATEWAY_REQUIRE_BROWSER"
"""Set to 1, a missing browser fails the tests instead of skipping them."""

QUIET: dict[str, Any] = {"log_level": "error", "timeout_graceful_shutdown": 1}

WEBHOOK_KEY = "0123456789abcdef0123456789abcdef"

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")


def chromium() -> str | None:
    """Return the program of a Chromium: ``GATEWAY_CHROMIUM``, or the first that is installed."""
    given = os.environ.get("GATEWAY_CHROMIUM")
    return given or next((path for name in NAMES if (path := shutil.which(name))), None)


class Live:
    """What a browser test acts on."""

    def __init__(self, services: Any, sandbox: Any, host: FakeHost, url: str, crm_url: str, site_url: str) -> None:
        self.services = services
        self.sandbox = sandbox
        self.host = host
        self.url = url
        self.crm_url = crm_url
        self.site_url = site_url
        self.framed = ""
        self.statements = Statements()
        self.api = httpx.AsyncClient(
            base_url=url, headers={"authorization": f"Bearer {HOST_KEY}"}, timeout=30, trust_env=False
        )

    async def call(self, method: str, path: str, body: Any = None) -> Any:
        answer = await self.api.request(method, path, json=body)
        assert answer.is_success, f"{method} {path}: {answer.status_code} {answer.text}"
        return answer.json() if answer.content else None

    async def account(self, account: str = "acme", **changes: Any) -> str:
        body = {"name": "Acme Roofing", "currency": "EUR", "country": "DE", "timezone": "Europe/Berlin", **changes}
        await self.call("PUT", f"/v1/accounts/{account}", body)
        return account

    async def campaign(self, campaign: str = "spring", account: str = "acme", **changes: Any) -> None:
        fields = [
            {"key": "company", "label": "Company", "role": "referred"},
            {"key": "message", "label": "How can we help?", "type": "long_text", "role": "referred"},
        ]
        body = {
            "name": "Spring referrals", "state": "live", "link_template": "https://refer.example/{code}",
            "fields": fields, **changes,
        }  # fmt: skip
        await self.call("PUT", f"/v1/accounts/{account}/campaigns/{campaign}", body)

    async def link(self, account: str = "acme") -> str:
        return (await self.call("POST", f"/v1/accounts/{account}/sessions"))["url"]

    async def signup(self, campaign: str = "spring", account: str = "acme", **body: Any) -> dict[str, Any]:
        answer = await self.call("POST", f"/v1/accounts/{account}/campaigns/{campaign}/signups", body)
        return await self.call("GET", f"/v1/accounts/{account}/people/{answer['results'][0]['person']}")

    async def until(self, path: str, condition: Any, seconds: float = 60) -> Any:
        """Ask the API until the condition holds."""
        for _ in range(int(seconds / 0.05)):
            found = await self.call("GET", path)
            if condition(found):
                return found
            await asyncio.sleep(0.05)
        raise AssertionError(f"{path}: {found}")

    async def connected(self, account: str = "acme") -> str:
        """Connect Pipedrive by the API, for tests that are about something else."""
        started = await self.call("POST", f"/v1/accounts/{account}/connections", {"integration": "pipedrive"})
        async with httpx.AsyncClient(trust_env=False, follow_redirects=True) as browser:
            await browser.get(f"{started['next_step']['url']}&decision=allow")
        await self.until(f"/v1/connections/{started['id']}", lambda one: one["health"]["webhooks"] == "healthy")
        return str(started["id"])


def pipedrive(crm_url: str, url: str) -> tuple[Any, dict[str, str]]:
    """Return the sandbox, to be served under this URL, and the plugin's settings for it."""
    sandbox = pipedrive_sandbox(base_url=crm_url, callback_url=f"{url}/v1/oauth/pipedrive/callback", auto_deliver=True)
    return sandbox, {
        "GATEWAY_PIPEDRIVE_CLIENT_ID": sandbox.client_id,
        "GATEWAY_PIPEDRIVE_CLIENT_SECRET": sandbox.client_secret,
        "GATEWAY_PIPEDRIVE_OAUTH_URL": crm_url,
        "GATEWAY_PIPEDRIVE_API_URL": crm_url,
    }


def servicetitan(crm_url: str, url: str) -> tuple[Any, dict[str, str]]:
    """Return the sandbox, to whose app nobody has added the tenant yet, and the plugin's settings for it."""
    del url
    sandbox = servicetitan_sandbox(base_url=crm_url, auto_deliver=True)
    sandbox.tenant().added = False
    return sandbox, {
        "GATEWAY_SERVICETITAN_APP_KEY": sandbox.app_key,
        "GATEWAY_SERVICETITAN_AUTH_URL": crm_url,
        "GATEWAY_SERVICETITAN_API_URL": crm_url,
        "GATEWAY_SERVICETITAN_WEBHOOK_KEY": WEBHOOK_KEY,
    }


CRMS = {"pipedrive": pipedrive, "servicetitan": servicetitan}


@asynccontextmanager
async def live(
    folder: Path,
    crm: str = "pipedrive",
    *,
    clock: Clock | None = None,
    with_worker: bool = True,
    more: Mapping[str, str] | None = None,
) -> AsyncIterator[Live]:
    """Start everything; the embedding site is another origin *and* another site (``localhost``, not ``127.0.0.1``)."""
    async with AsyncExitStack() as stack:
        gateway_port, crm_port, host_port, site_port = free_ports(4)
        url, crm_url = f"http://127.0.0.1:{gateway_port}", f"http://127.0.0.1:{crm_port}"
        site_url = f"http://localhost:{site_port}"
        sandbox, environ = CRMS[crm](crm_url, url)
        settings = Settings(
            database_url=f"sqlite:///{folder / 'gateway.db'}",
            public_url=url,
            host_keys=[HOST_KEY],
            secret_keys=["k1:" + base64.urlsafe_b64encode(b"0" * 32).decode()],
            support_contact="support@referrals.example",
            console_origins=[site_url],
            allow_local_targets=True,
        )
        if not (folder / "gateway.db").exists():
            await migrate.upgrade(settings.database_url)
        services = await stack.enter_async_context(
            open_services(settings, environ={**environ, **(more or {})}, integrations=discover(), clock=clock)
        )
        if crm == "servicetitan":  # as the operator does in the vendor's portal, for all customers at once
            address = f"{url}/v1/inbound/servicetitan/{app_token(services, 'servicetitan')}"
            sandbox.subscribe(address, WEBHOOK_KEY)
        host = FakeHost()
        await stack.enter_async_context(serving(sandbox.app, crm_port, **QUIET))
        await stack.enter_async_context(serving(host.app, host_port, **QUIET))
        worker = create_worker(services) if with_worker else None
        world = Live(services, sandbox, host, url, crm_url, site_url)
        app = world.statements.around(create_app(services, worker=worker))
        await world.statements.listen(services.database)
        await stack.enter_async_context(serving(app, gateway_port, **QUIET))

        @get("/", media_type="text/html", sync_to_thread=False)
        def embedding() -> Response[str]:
            frame = f'<iframe title="Integrations" src="{world.framed}" width="1000" height="800"></iframe>'
            text = f'<!doctype html><html lang="en"><title>Platform</title><h1>Platform</h1>{frame}</html>'
            return Response(text, media_type="text/html")

        await stack.enter_async_context(serving(Litestar([embedding], openapi_config=None), site_port, **QUIET))
        stack.push_async_callback(world.api.aclose)
        made = await world.call("POST", "/v1/endpoints", {"url": f"http://127.0.0.1:{host_port}/webhooks"})
        host.secrets.append(made["secret"])
        yield world
        with suppress(Exception):
            await sandbox.deliver_webhooks()
