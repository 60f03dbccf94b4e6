"""Joins the parts: the services of a process, the Litestar application, and its worker."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Any

import httpx
from litestar import Litestar, Request
from litestar.di import Provide
from litestar.openapi import OpenAPIConfig
from litestar.openapi.spec import Components, SecurityScheme

from gateway import __version__
from gateway.api import (
    accounts,
    auth,
    campaigns,
    connections,
    deliveries,
    endpoints,
    events,
    fields,
    health,
    inbound,
    integrations,
    ledger,
    oauth,
    people,
    plugin_routes,
    problem_pages,
    qualification,
    rewards,
    setups,
    signups,
    syncs,
)
from gateway.api.document import Document, finished
from gateway.api.nul import refuse_nul
from gateway.api.problems import problem_response
from gateway.api.queries import refuse_unknown
from gateway.console import router as console
from gateway.flows import handlers as flows
from gateway.flows.connections import budget, opening
from gateway.flows.connections.host import AccountHost
from gateway.flows.connections.transport import VendorTransport
from gateway.flows.services import Services
from gateway.plugins import Registry, discover
from gateway.sdk.clock import Clock
from gateway.settings import Settings
from gateway.storage import migrate
from gateway.storage.columns import new_id
from gateway.storage.engine import Database
from gateway.storage.vault import Vault
from gateway.webhooks.guard import GuardedTransport
from gateway.worker import Worker

API = (
    integrations, accounts, connections, oauth, fields, campaigns, setups, signups, syncs, people, qualification,
    rewards, endpoints, events, deliveries, ledger, inbound, health, problem_pages,
)  # fmt: skip

MAX_BODY = 1024 * 1024
"""Bytes of a request body; a batch of signups may have eight times as much (``api/signups.py``)."""

VENDOR_TIMEOUT = httpx.Timeout(connect=5, read=20, write=10, pool=5)
ENDPOINT_TIMEOUT = httpx.Timeout(connect=5, read=15, write=10, pool=5)


@asynccontextmanager
async def open_services(
    settings: Settings,
    *,
    environ: Mapping[str, str] | None = None,
    integrations: Registry | None = None,
    clock: Clock | None = None,
    vendor_transport: httpx.AsyncBaseTransport | None = None,
    webhook_transport: httpx.AsyncBaseTransport | None = None,
) -> AsyncIterator[Services]:
    """Open everything that a process needs, and close it again.

    Args:
        settings: The gateway's settings.
        environ: Where plugins' settings are read from; default: the process's environment.
        integrations: Installed integrations; default: those found by entry point.
        clock: Tests hand in one that they move.
        vendor_transport: How vendors are reached; default: the network.
        webhook_transport: How endpoints are reached; default: the network, behind the guard.

    Raises:
        SettingsError: A setting is missing or wrong.
        SchemaMismatch: The database has another schema; says what to run.
    """
    clock = clock or Clock()
    database = await Database.open(settings.database_url, clock)
    try:
        await migrate.check(database)
        vault = Vault(settings.secret_keys)
        await vault.load(database)
        vendors = vendor_transport or VendorTransport()
        guard = webhook_transport or GuardedTransport(allow_local=settings.allow_local_targets)
        headers = {"user-agent": f"referral-gateway/{__version__}"}
        async with (
            httpx.AsyncClient(
                transport=vendors, timeout=VENDOR_TIMEOUT, headers=headers, trust_env=False
            ) as vendor_http,
            httpx.AsyncClient(
                transport=guard, timeout=ENDPOINT_TIMEOUT, headers=headers, trust_env=False
            ) as webhook_http,
        ):
            services = Services(
                settings=settings,
                database=database,
                integrations=(integrations or discover()).configure(environ),
                vault=vault,
                clock=clock,
                vendor_transport=vendors,
                vendor_http=vendor_http,
                webhook_http=webhook_http,
                host_for=AccountHost,
            )
            try:
                yield services
            finally:
                await opening.settle(services)
    finally:
        await database.close()


def create_worker(services: Services, *, lease_seconds: float = 10.0) -> Worker:
    """Return the worker of this process; it runs nothing before ``run`` or ``drain``.

    Args:
        services: Open services; the caller closes them.
        lease_seconds: How long a lane stays ours without renewal: how long a stalled process keeps others waiting.
    """
    return Worker(
        services.database,
        flows.handlers(services),
        process_id=new_id("prc"),
        limits=budget.lane_limits(services),
        periodic=flows.periodic(services),
        max_running=services.settings.workers,
        lease_seconds=lease_seconds,
    )


def create_app(services: Services, *, worker: Worker | None = None) -> Litestar:
    """Return the HTTP application over open services.

    Args:
        services: Open services; the caller closes them.
        worker: Runs beside the API for as long as the application does; ``None``: the API alone.
    """

    @asynccontextmanager
    async def run_worker(_: Litestar) -> AsyncIterator[None]:
        if worker is None:
            yield
            return
        running = asyncio.create_task(worker.run())
        try:
            yield
        finally:
            await worker.stop()
            with suppress(asyncio.CancelledError):
                await running

    routes = [route for module in API for route in module.ROUTES]
    return Litestar(
        [*routes, *plugin_routes.of(services.integrations), console(services)],
        dependencies={
            "services": Provide(lambda: services, sync_to_thread=False),
            "caller": Provide(auth.provide_caller),
        },
        before_request=refuse_odd,
        exception_handlers={Exception: problem_response},
        request_max_body_size=MAX_BODY,
        openapi_config=_openapi(),
        logging_config=None,
        lifespan=[run_worker],
        signature_types=[Services],
    )


async def refuse_odd(request: Request[Any, Any, Any]) -> None:
    """Refuse what no route takes, before anything else is done with a request."""
    await refuse_nul(request)
    await refuse_unknown(request)


def _openapi() -> OpenAPIConfig:
    bearer = SecurityScheme(
        type="http", scheme="bearer", description="A host key, an account key, or a console session."
    )
    return OpenAPIConfig(
        title="Referral integration gateway",
        version=__version__,
        path="/schema",
        render_plugins=[Document()],
        components=Components(security_schemes={"bearer": bearer}),
        security=[{"bearer": []}],
        use_handler_docstrings=True,
    )


def as_openapi(app: Litestar) -> dict[str, Any]:
    """Return the OpenAPI 3.1 document as plain data."""
    return finished(app, app.openapi_schema.to_schema())
