"""A whole world in one process: gateway, a plugin's sandbox and a fake host over ASGI, the worker drained by hand.

No socket is opened and nothing is waited for: ``World.later`` moves the clock. The database is a file of its own, so
that a process may die and another one go on (``World.restart``).
"""

import atexit
import base64
import shutil
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, TypeVar, cast

import httpx
from litestar import Litestar

from gateway.app import create_app, create_worker, open_services
from gateway.flows.connections.app_calls import app_token
from gateway.flows.services import Services
from gateway.plugins import Integration, Registry, discover
from gateway.sdk.clock import Clock
from gateway.settings import Settings
from gateway.storage import migrate
from gateway.testing.driver import Driver, MakesDriver, NoVendor
from gateway.testing.fake_host import FakeHost
from gateway.testing.transports import RoutedTransport
from gateway.testing.wire import Mailbox, Wire
from gateway.worker import Worker
from gateway_schemas.manifest import Credentials, OAuth2

HOST_KEY = "host-key-for-tests-0123456789abcdef"
GATEWAY_URL = "https://gateway.test"
SANDBOXES = "gateway.sandboxes"
LEASE_SECONDS = 60.0
"""Long, so that a machine that stalls costs a test no lane."""

STEPS = (10, 30, 60, 120, 300, 600, 900, 1800, 3600)
"""Seconds by which ``World.until`` moves on, the last one again and again."""

W = TypeVar("W", bound="World")


class NotInstalled(Exception):
    """An integration, or its sandbox, is not there; the message says what is."""


class UnexpectedAnswer(AssertionError):
    """The API answered something else than a test expects; the message holds the answer."""


@dataclass(frozen=True)
class Subject:
    """The plugin in question, and its vendor.

    Attributes:
        key: The integration.
        registry: Finds the integrations of a process; called for each process, as a start does.
        sandbox: Makes a driver; ``None`` for an automation that has no vendor of its own.
    """

    key: str
    registry: Callable[[], Registry]
    sandbox: MakesDriver | None

    @classmethod
    def installed(cls, key: str) -> "Subject":
        """Return the installed integration of this name with the sandbox of the same name.

        Raises:
            NotInstalled: There is none, it is quarantined, or its sandbox brings no driver.
        """
        registry = discover()
        if registry.get(key) is None:
            why = [one.reason for one in registry.quarantined if one.key == key]
            known = ", ".join(one.key for one in registry) or "none"
            raise NotInstalled(why[0] if why else f"no integration {key!r} is installed; there is: {known}")
        found = next((point for point in entry_points(group=SANDBOXES) if point.name == key), None)
        sandbox = found.load() if found is not None else None
        if sandbox is not None and not hasattr(sandbox, "driver"):
            raise NotInstalled(f"the sandbox of {key!r} has no driver(); see docs/plugins.md")
        return cls(key, discover, cast("MakesDriver | None", sandbox))

    def integration(self) -> Integration:
        """Return the integration itself."""
        found = self.registry().get(self.key)
        if found is None:
            raise NotInstalled(f"no integration {self.key!r} is among those of this test")
        return found


def settings_for(database_url: str, **changes: Any) -> Settings:
    """Return the settings of a gateway under test; ``changes`` are other settings by name."""
    known = {
        "database_url": database_url,
        "public_url": GATEWAY_URL,
        "host_keys": [HOST_KEY],
        "secret_keys": ["k1:" + base64.urlsafe_b64encode(b"0" * 32).decode()],
        "support_contact": "support@referrals.example",
    }
    return Settings(**{**known, **changes})


async def new_database(folder: Path) -> str:
    """Return the URL of a new SQLite database with the schema in it."""
    template = _template()
    if not template.exists():
        await migrate.upgrade(f"sqlite:///{template}")
    file = folder / "gateway.db"
    shutil.copyfile(template, file)
    return f"sqlite:///{file}"


class World:
    """What a test acts on; each helper is something that a person, a platform or a vendor would do.

    Attributes:
        driver: The vendor's side.
        wire: The way to the vendor.
        mailbox: The way from the vendor.
        network: Where host names lead to.
        host: The fake host.
        clock: The time of gateway and vendor.
        services / app / worker / api: The gateway's process that runs now.
    """

    services: Services
    app: Litestar
    worker: Worker
    api: httpx.AsyncClient

    def __init__(
        self, subject: Subject, driver: Driver, host: FakeHost, clock: Clock, settings: Settings, mailbox: Mailbox
    ) -> None:
        self.subject = subject
        self.driver = driver
        self.host = host
        self.clock = clock
        self.mailbox = mailbox
        self.wire = Wire(driver.transport, _token_paths(subject))
        self.network = RoutedTransport(dict.fromkeys(driver.hosts, self.wire))
        self.network.routes["host.test"] = _over(host.app)
        self._settings = settings
        self._process = AsyncExitStack()

    @property
    def integration(self) -> Integration:
        """The integration in question, as this process has it."""
        found = self.services.integrations.get(self.subject.key)
        assert found is not None
        return found

    # --- processes ---

    async def start(self) -> None:
        """Start the gateway's process."""
        async with AsyncExitStack() as stack:
            self.services = await stack.enter_async_context(
                open_services(
                    self._settings,
                    environ=self.driver.environ(),
                    integrations=self.subject.registry(),
                    clock=self.clock,
                    vendor_transport=self.network,
                    webhook_transport=self.network,
                )
            )
            self.worker = create_worker(self.services, lease_seconds=LEASE_SECONDS)
            self.app = create_app(self.services)
            if self.integration.has("verify_app_call"):
                token = app_token(self.services, self.subject.key)
                self.driver.set_app_url(f"{GATEWAY_URL}/v1/inbound/{self.subject.key}/{token}")
            gateway = _over(self.app)
            self.network.routes[httpx.URL(GATEWAY_URL).host] = gateway
            if self.mailbox.gateway is None:
                self.mailbox.gateway = gateway
            self.api = await stack.enter_async_context(
                httpx.AsyncClient(
                    transport=gateway, base_url=GATEWAY_URL, headers={"authorization": f"Bearer {HOST_KEY}"}
                )
            )
            self._process = stack.pop_all()

    async def stop(self) -> None:
        """End the process; what it had in memory alone is gone."""
        await self._process.aclose()

    async def restart(self) -> None:
        """End the process and start another one on the same database."""
        await self.stop()
        self.mailbox.gateway = None
        await self.start()

    # --- time ---

    async def drain(self, *, rounds: int = 20) -> None:
        """Run due tasks and deliver the vendor's due webhooks until nothing moves."""
        for _ in range(rounds):
            done = await self.worker.drain()
            sent = await self.deliver()
            if not done and not sent:
                return

    async def deliver(self) -> int:
        """Let the vendor send the webhooks that are due; return how many it sent."""
        return await self.driver.deliver()

    async def later(self, **delta: float) -> None:
        """Let time pass, then drain."""
        self.clock.advance(timedelta(**delta))
        await self.drain()

    async def until(self, holds: Callable[[], Awaitable[bool]], *, within: timedelta) -> bool:
        """Let time pass until something holds, at most so long; return whether it does."""
        end = self.clock.now() + within
        steps = iter(STEPS)
        await self.drain()
        while not await holds():
            left = (end - self.clock.now()).total_seconds()
            if left <= 0:
                return False
            await self.later(seconds=min(next(steps, STEPS[-1]), left))
        return True

    # --- calls ---

    async def call(self, method: str, path: str, body: Any = None, expect: int | None = None, **kwargs: Any) -> Any:
        """Call the API and return the decoded answer; an unexpected status fails with the answer's text."""
        response = await self.api.request(method, path, json=body, **kwargs)
        met = response.is_success if expect is None else response.status_code == expect
        if not met:
            raise UnexpectedAnswer(f"{method} {path}: {response.status_code} {response.text}")
        return response.json() if response.content else None

    def browser(self) -> httpx.AsyncClient:
        """Return a browser without any key, for the vendor's pages and the gateway's."""
        return httpx.AsyncClient(transport=self.network)

    async def account(self, account: str = "acme", **changes: Any) -> str:
        """Register an account."""
        body = {"name": "Acme", "currency": "EUR", "country": "DE", **changes}
        await self.call("PUT", f"/v1/accounts/{account}", body)
        return account

    async def begin(self, account: str = "acme") -> dict[str, Any]:
        """Begin to connect the integration, or go on with what was begun."""
        body = {"integration": self.subject.key}
        return cast("dict[str, Any]", await self.call("POST", f"/v1/accounts/{account}/connections", body))

    async def connect(self, account: str = "acme", *, allow: bool = True) -> str:
        """Connect as people would, through every step of the manifest; return the connection's id.

        Args:
            account: Whose CRM it is.
            allow: False: the person refuses at the vendor, and it stays unconnected.
        """
        shown = await self.begin(account)
        while allow and shown["next_step"] is not None:
            shown = await self.take_step(shown)
        if not allow:
            await self.authorise(shown["next_step"]["url"], allow=False)
        await self.drain()
        return str(shown["id"])

    async def take_step(self, shown: Mapping[str, Any]) -> dict[str, Any]:
        """Do the next step of a connection as whoever has to do it; return the connection as it is then."""
        step, path = shown["next_step"], f"/v1/connections/{shown['id']}"
        match step["kind"]:
            case "redirect":
                page = await self.authorise(step["url"])
                if page.status_code >= 400:
                    raise UnexpectedAnswer(f"the way back from the vendor: {page.status_code} {page.text}")
            case "form":
                await self.call(
                    "POST", f"{path}/steps/{step['step']}", {"values": dict(self.driver.step_values(step["step"]))}
                )
            case "wait":
                await self.call("POST", f"{path}/approve", {})
        return cast("dict[str, Any]", await self.call("GET", path))

    async def authorise(self, url: str, *, allow: bool = True) -> httpx.Response:
        """Click at the vendor, and follow the way back."""
        async with self.browser() as browser:
            return await self.driver.authorise(url, browser, allow=allow)

    async def connection(self, connection: str) -> dict[str, Any]:
        """Return a connection."""
        return cast("dict[str, Any]", await self.call("GET", f"/v1/connections/{connection}"))

    async def campaign(self, account: str = "acme", campaign: str = "spring", **changes: Any) -> str:
        """Declare a campaign."""
        body = {"name": "Spring", "state": "live", "link_template": "https://refer.example/{code}", **changes}
        await self.call("PUT", f"/v1/accounts/{account}/campaigns/{campaign}", body)
        return campaign

    async def setup(
        self, account: str = "acme", campaign: str = "spring", role: str = "referred", **changes: Any
    ) -> dict[str, Any]:
        """Save a setup with the suggested mapping."""
        target = changes.get("target") or self.integration.manifest.targets[0].key
        body = {"target": target, "use_suggested": True, **self.driver.setup(target), **changes}
        path = f"/v1/accounts/{account}/campaigns/{campaign}/setups/{role}"
        return cast("dict[str, Any]", await self.call("PUT", path, body))

    async def signup(
        self, account: str = "acme", campaign: str = "spring", *, email: str = "friend@example.com", **changes: Any
    ) -> dict[str, Any]:
        """Sign somebody up; return the result of this one signup."""
        headers = {"idempotency-key": changes.pop("key")} if "key" in changes else {}
        body = {"role": "referred", "person": {"email": email, "first_name": "Fiona", "last_name": "Friend"}, **changes}
        path = f"/v1/accounts/{account}/campaigns/{campaign}/signups"
        answer = await self.call("POST", path, body, expect=202, headers=headers)
        return cast("dict[str, Any]", answer["results"][0])

    async def endpoint(self, **changes: Any) -> dict[str, Any]:
        """Register the fake host for all events."""
        made = await self.call("POST", "/v1/endpoints", {"url": "https://host.test/webhooks", **changes}, expect=201)
        self.host.secrets.append(made["secret"])
        return cast("dict[str, Any]", made)

    async def person(self, person: str, account: str = "acme") -> dict[str, Any]:
        """Return a person."""
        return cast("dict[str, Any]", await self.call("GET", f"/v1/accounts/{account}/people/{person}"))

    async def timeline(self, person: str, account: str = "acme") -> dict[str, Any]:
        """Return what happened to a person."""
        return cast("dict[str, Any]", await self.call("GET", f"/v1/accounts/{account}/people/{person}/timeline"))


@asynccontextmanager
async def open_world(
    subject: Subject,
    *,
    database_url: str,
    world: type[W] | None = None,
    clock: Clock | None = None,
    driver: Driver | None = None,
    host: FakeHost | None = None,
    **settings: Any,
) -> AsyncIterator[W]:
    """Open a world over a database that has the schema.

    Args:
        subject: The plugin and its vendor.
        database_url: Where the gateway keeps everything; a second world over it is a second process.
        world: The class of the world, when a test has more helpers.
        clock: The time; default: a clock of its own.
        driver: The vendor's side of another world, for a second process.
        host: The fake host of another world.
        settings: The gateway's settings, by name.
    """
    clock = clock or Clock()
    mailbox = Mailbox()
    async with httpx.AsyncClient(transport=mailbox) as http:
        driver = driver or _driver(subject, clock, http)
        chosen = settings_for(database_url, **settings)
        made = (world or cast("type[W]", World))(subject, driver, host or FakeHost(), clock, chosen, mailbox)
        await made.start()
        try:
            yield made
        finally:
            await made.stop()


def sandbox_driver(subject: Subject) -> Driver:
    """Return a driver to look at: what it says of itself, outside of any world."""
    return _driver(subject, Clock(), httpx.AsyncClient(transport=Mailbox()))


def _driver(subject: Subject, clock: Clock, http: httpx.AsyncClient) -> Driver:
    if subject.sandbox is not None:
        return subject.sandbox.driver(clock=clock.now, http=http, gateway_url=GATEWAY_URL)
    if subject.integration().manifest.category == "automation":
        return cast("Driver", NoVendor())
    raise NotInstalled(f"{subject.key!r} has no sandbox (entry point group {SANDBOXES}); see docs/plugins.md")


def _over(app: Any) -> httpx.ASGITransport:
    """Return the way to an application; Litestar and httpx spell the ASGI types differently."""
    return httpx.ASGITransport(app)


def _token_paths(subject: Subject) -> list[str]:
    auth = subject.integration().manifest.auth
    paths = [auth.token_path] if isinstance(auth, OAuth2 | Credentials) else []
    paths += [auth.revoke_path] if isinstance(auth, OAuth2) else []
    return [path for path in paths if path]


@cache
def _template() -> Path:
    """Return where this process keeps a database with the schema, to be copied."""
    folder = tempfile.mkdtemp(prefix="gateway-testing-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return Path(folder) / "template.db"
