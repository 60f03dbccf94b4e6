"""Opens a connection for a plugin: decrypted credentials, an authorised client held to the vendor's hosts, limits, log.

A plugin sees nothing else: no database, no other account, no host that its manifest does not name.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from functools import cached_property

import httpx
import msgspec

from gateway.flows.connections import budget
from gateway.flows.connections.budget import LaneMeter, Purpose
from gateway.flows.connections.client_tokens import StoredClientTokens
from gateway.flows.connections.counters import Background
from gateway.flows.connections.credentials import FORM, SECRET, StoredTokens
from gateway.flows.connections.redaction import Redactor
from gateway.flows.connections.token_calls import Tokens, configured_urls
from gateway.flows.services import Services
from gateway.plugins import Integration
from gateway.sdk.auth import BearerAuth, TokenSource
from gateway.sdk.connection import Connection
from gateway.sdk.errors import Misconfigured, RetryLater
from gateway.sdk.http import VendorHttp
from gateway.storage import accounts, connections, personal
from gateway.storage.connections import ConnectionRow
from gateway.storage.engine import AsyncConnection
from gateway.storage.running import TaskRun
from gateway.storage.vault import Vault
from gateway.storage.writer import Overloaded, StorageUnavailable
from gateway_schemas.account import Account
from gateway_schemas.manifest import CredentialHeader, Credentials, OAuth2

INBOUND_SECRET = "inbound_secret"  # noqa: S105 - the names of vault entries
INBOUND_TOKEN = "inbound_token"  # noqa: S105
WEBHOOK_SECRETS = "webhook_secrets"

NOTE_EVERY = timedelta(seconds=30)
"""A connection's health is written at most this often."""

Origin = tuple[str, str, int]
"""Scheme, host and port of a URL."""

Wrap = Callable[[httpx.AsyncBaseTransport], httpx.AsyncBaseTransport]


class Given(msgspec.Struct, frozen=True, kw_only=True):
    """Credentials that are not stored yet: they are being checked.

    Attributes:
        source: Gives the access token of an authorisation that has just come back.
        credentials: Values of the connect forms.
        properties: What is known of the tenant so far.
    """

    source: TokenSource | None = None
    credentials: Mapping[str, str] = {}
    properties: dict[str, str] = {}


def usable_integration(services: Services, key: str) -> Integration:
    """Return an integration that is installed and has its settings.

    Raises:
        Misconfigured: It is not, and why.
    """
    integration = services.integrations.get(key)
    if integration is None:
        raise Misconfigured(f"the integration {key!r} is not installed here, or is quarantined; see `gateway doctor`")
    if integration.settings_error is not None:
        raise Misconfigured(integration.settings_error)
    return integration


async def find_active(
    services: Services, conn: AsyncConnection, connection_id: str
) -> tuple[ConnectionRow, Integration] | None:
    """Return a connection with its integration; ``None`` when it is not active or not installed any more."""
    row = await connections.get(conn, connection_id)
    integration = services.integrations.get(row.integration) if row is not None else None
    return (row, integration) if row is not None and integration is not None and row.state == "active" else None


async def open_connection(
    services: Services,
    row: ConnectionRow,
    *,
    run: TaskRun | None = None,
    person_waits: bool = False,
    background: Background | None = None,
    transport_wrap: Wrap | None = None,
    given: Given | None = None,
) -> Connection:
    """Return a connection as its plugin sees it.

    Args:
        services: The process's services.
        row: The connection, as read lately.
        run: The task that calls; its lane's memory holds the burst window, and the calls go into its attempt log.
        person_waits: A person waits for the answer: the call comes from the kept-back share. Without a task always so.
        background: A sweep or a poll, and which: it gets a set share of the day's budget alone, paced over the day.
        transport_wrap: Put around the transport, behind the check of hosts (a dry run notes and answers itself).
        given: Credentials to be used instead of the stored ones.

    Raises:
        Misconfigured: The integration is not installed, or a setting is missing.
    """
    integration = usable_integration(services, row.integration)
    account, stored = await services.database.ask(_stored, (services.vault, row))
    values = _form_values(stored) if given is None else dict(given.credentials)
    properties = {**row.properties, **(given.properties if given is not None else {})}
    source = _source(services, integration, row, properties, values) if given is None else given.source
    theirs = webhook_secrets(stored.get(WEBHOOK_SECRETS))
    redactor = Redactor([*stored.values(), *values.values(), *theirs.values(), *_token_values(stored)])
    lease_left = None if run is None else lambda: run.seconds_left
    transport: httpx.AsyncBaseTransport = GuardedTransport(
        services.vendor_transport, integration, properties, lease_left
    )
    http = VendorHttp(
        httpx.AsyncClient(
            transport=transport if transport_wrap is None else transport_wrap(transport),
            timeout=services.vendor_http.timeout,
            headers={
                "user-agent": services.vendor_http.headers.get("user-agent", "referral-gateway"),
                **_credential_headers(integration, values),
            },
            trust_env=False,
        ),
        base_url=properties.get("api_domain", ""),
        meter=_meter(services, integration, row, run, person_waits=person_waits, background=background),
        recorder=CallLog(services, row, redactor, run),
        auth=None if source is None else BearerAuth(source),
        now=services.clock.now,
    )
    return Connection(
        id=row.id,
        account_id=row.account_id,
        integration=row.integration,
        identity=row.identity or "",
        user=row.vendor_user,
        properties=properties,
        granted=frozenset(row.granted),
        settings=integration.settings,
        credentials=values,
        inbound_secret=stored.get(INBOUND_SECRET, ""),
        webhook_secrets=theirs,
        currency=row.currency or (account.currency if account is not None else ""),
        country=account.country if account is not None else None,
        http=http,
        host=services.host_for(services, row),
        now=services.clock.now,
        log=services.log.bind(account_id=row.account_id, connection_id=row.id, integration=row.integration),
    )


async def inbound_url(services: Services, row: ConnectionRow) -> str:
    """Return the URL under which the vendor calls us for this connection; its last part cannot be guessed."""
    async with services.database.read() as conn:
        token = await services.vault.get(conn, row.id, INBOUND_TOKEN)
    return f"{services.settings.public_url}/v1/inbound/{row.integration}/{row.id}/{token}"


# --- hosts ---------------------------------------------------------------------------------------------


class GuardedTransport(httpx.AsyncBaseTransport):
    """Passes requests to the vendor's hosts on to the shared transport, and refuses all others.

    Args:
        inner: The process's transport for vendors; its connections are shared, and stay open when a client is closed.
        integration: Its manifest and settings name the hosts.
        properties: The connection's; ``api_domain`` is a host too, and may change while the connection is open.
        lease_left: Seconds for which the task that calls still owns its lane; ``None``: no task calls.
    """

    def __init__(
        self,
        inner: httpx.AsyncBaseTransport,
        integration: Integration,
        properties: Mapping[str, str],
        lease_left: Callable[[], float] | None = None,
    ) -> None:
        self._lease_left = lease_left
        self._inner = inner
        self._integration = integration
        self._properties = properties
        self._domain: tuple[str, Origin] | None = None

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send the request on.

        Raises:
            Misconfigured: Its host is none of the vendor's; nothing was sent.
            RetryLater: The task's lease ran out, as after a process stood still; another one may own the lane.
        """
        if not self._allows(request.url):
            raise Misconfigured(
                f"{self._integration.key}: {request.url.scheme}://{request.url.host} is none of the hosts that its "
                "manifest names; nothing was sent"
            )
        if self._lease_left is not None and self._lease_left() <= 0:
            raise RetryLater("the lease of the lane ran out; nothing was sent", after_seconds=1, lane_wide=False)
        return await self._inner.handle_async_request(request)

    def _allows(self, url: httpx.URL) -> bool:
        origin = _origin(url)
        if url.userinfo:
            return False
        if origin in self._configured:
            return True
        if origin == self._api_origin():
            return True
        if origin[0] != "https" or origin[2] != 443:
            return False
        hosts = self._integration.manifest.allowed_hosts
        return any(url.host.endswith(one) if one.startswith(".") else url.host == one for one in hosts)

    @cached_property
    def _configured(self) -> set[Origin]:
        return {_origin(url) for url in configured_urls(self._integration)}

    def _api_origin(self) -> Origin | None:
        domain = self._properties.get("api_domain")
        if domain is None:
            return None
        if self._domain is None or self._domain[0] != domain:
            self._domain = domain, _origin(httpx.URL(domain))
        return self._domain[1]


def _origin(url: httpx.URL) -> Origin:
    return url.scheme, url.host, url.port or (443 if url.scheme == "https" else 80)


# --- log and health ------------------------------------------------------------------------------------


class HealthMemory:
    """When good and bad calls of a connection were last noted, and writes that are under way."""

    def __init__(self) -> None:
        self.noted: dict[tuple[str, bool], datetime] = {}
        self.writes: set[asyncio.Task[None]] = set()


class CallLog:
    """Notes each exchange in the attempt log, and the connection's health now and then (``sdk.http.Recorder``)."""

    def __init__(self, services: Services, row: ConnectionRow, redactor: Redactor, run: TaskRun | None) -> None:
        self._services = services
        self._row = row
        self._redactor = redactor
        self._run = run

    def record(self, request: httpx.Request, response: httpx.Response | None, error: str | None) -> None:
        """Note one exchange; never raises."""
        if self._run is not None:
            bodies = personal.names_person(self._run.task.unique_key)
            self._run.excerpt(self._redactor.exchange(request, response, error, bodies=bodies))
        good = response is not None and response.is_success
        now = self._services.clock.now()
        memory = self._services.memory(HealthMemory)
        noted = memory.noted.get((self._row.id, good))
        if noted is not None and now - noted < NOTE_EVERY:
            return
        memory.noted[self._row.id, good] = now
        answered = f"answered {response.status_code}" if response is not None else "not answered"
        problem = None if good else f"{request.method} {request.url.path} was {answered}"
        write = asyncio.create_task(self._write(now if good else None, problem))
        memory.writes.add(write)
        write.add_done_callback(memory.writes.discard)

    async def _write(self, good_call_at: datetime | None, problem: str | None) -> None:
        async def note(conn: AsyncConnection) -> None:
            await connections.note_health(conn, self._row.id, good_call_at=good_call_at, error=problem)

        try:
            await self._services.database.writer.run(note)
        except (Overloaded, StorageUnavailable):
            self._services.memory(HealthMemory).noted.pop((self._row.id, problem is None), None)


async def settle(services: Services) -> None:
    """Finish what was left to be written about calls; at the end of a process."""
    writes = services.memory(HealthMemory).writes
    if writes:
        await asyncio.gather(*writes, return_exceptions=True)
    await budget.tell(services)


# --- helpers -------------------------------------------------------------------------------------------


def _source(
    services: Services, integration: Integration, row: ConnectionRow, properties: dict[str, str], values: dict[str, str]
) -> TokenSource | None:
    auth = integration.manifest.auth
    if isinstance(auth, OAuth2):
        return StoredTokens(services, integration, row, properties)
    if isinstance(auth, Credentials) and auth.token_path is not None:
        return StoredClientTokens(services, integration, row, properties, values)
    return None


def _credential_headers(integration: Integration, values: Mapping[str, str]) -> dict[str, str]:
    """Return the headers that carry pasted values; a step before the one that asks for a value has none of it yet."""
    named = named_headers(integration)
    return {one.name: f"{one.prefix}{values[one.field]}" for one in named if values.get(one.field)}


def named_headers(integration: Integration) -> list[CredentialHeader]:
    """Return the headers that the manifest names for pasted values."""
    auth = integration.manifest.auth
    return auth.headers if isinstance(auth, Credentials) else []


def _meter(
    services: Services,
    integration: Integration,
    row: ConnectionRow,
    run: TaskRun | None,
    *,
    person_waits: bool,
    background: Background | None,
) -> LaneMeter | None:
    limits = integration.manifest.rate_budget
    if limits is None or row.identity is None:
        return None
    lane = connections.lane(row)
    if run is None or person_waits:
        return LaneMeter(services, lane, limits, purpose="person")
    purpose: Purpose = background or ("bulk" if run.task.priority >= 3 else "task")
    return LaneMeter(
        services, lane, limits, purpose=purpose, memory=run.lane_memory, seconds_left=lambda: run.seconds_left
    )


async def _stored(
    conn: AsyncConnection, asked: Sequence[tuple[Vault, ConnectionRow]]
) -> list[tuple[Account | None, dict[str, str]]]:
    """Return account and secrets of connections, in two statements; all are asked of one process's vault."""
    of_accounts = await accounts.by_ids(conn, {row.account_id for _, row in asked})
    secrets = await asked[0][0].get_all_of(conn, {row.id for _, row in asked})
    return [(of_accounts.get(row.account_id), secrets[row.id]) for _, row in asked]


def webhook_secrets(stored: str | None) -> dict[str, str]:
    """Return the secrets that the vendor made, by its id of the subscription, as the vault keeps them."""
    return {} if stored is None else msgspec.json.decode(stored, type=dict[str, str])


def _form_values(stored: Mapping[str, str]) -> dict[str, str]:
    return msgspec.json.decode(stored[FORM], type=dict[str, str]) if FORM in stored else {}


def _token_values(stored: Mapping[str, str]) -> list[str]:
    if SECRET not in stored:
        return []
    tokens = msgspec.json.decode(stored[SECRET], type=Tokens)
    return [tokens.access_token, *([tokens.refresh_token] if tokens.refresh_token else [])]
