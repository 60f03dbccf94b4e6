"""Liveness, readiness and metrics: for load balancers, orchestrators and Prometheus."""

from litestar import Response, get, head
from litestar.di import NamedDependency
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Gauge, generate_latest

from gateway import __version__
from gateway.errors import Refused
from gateway.flows.services import Services
from gateway.storage import migrate, overview


@get("/health/live", tags=["health"], opt={"public": True, "any_query": True}, sync_to_thread=False)
def live() -> dict[str, str]:
    """Say that the process runs."""
    return {"status": "ok", "version": __version__}


@get("/health/ready", tags=["health"], opt={"public": True, "any_query": True})
async def ready(services: NamedDependency[Services]) -> dict[str, str]:
    """Say that the database answers and has the schema of this version.

    Raises:
        Refused: ``storage_unavailable`` with what to do.
    """
    await _check(services)
    return {"status": "ok", "database": services.database.dialect}


@head("/health/live", opt={"public": True, "any_query": True}, include_in_schema=False, sync_to_thread=False)
def live_head() -> None:
    """Answer as ``GET /health/live`` does, without a body: some load balancers ask so."""


@head("/health/ready", opt={"public": True, "any_query": True}, include_in_schema=False)
async def ready_head(services: NamedDependency[Services]) -> None:
    """Answer as ``GET /health/ready`` does, without a body."""
    await _check(services)


@get("/metrics", tags=["health"], opt={"public": True, "any_query": True}, include_in_schema=False)
async def metrics(services: NamedDependency[Services]) -> Response[bytes]:
    """Answer with the state of the queue in Prometheus' text format; numbers only, no ids."""
    registry = CollectorRegistry()
    async with services.database.read() as conn:
        found = await overview.counts(conn, services.clock.now())
    for name, (text, label, values) in found.items():
        gauge = Gauge(f"gateway_{name}", text, [label] if label else [], registry=registry)
        for key, value in values.items():
            (gauge.labels(key) if label else gauge).set(value)
    return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)


async def _check(services: Services) -> None:
    try:
        await migrate.check(services.database)
    except migrate.SchemaMismatch as error:
        raise Refused("storage_unavailable", str(error), retry_after=5) from error


ROUTES = [live, ready, live_head, ready_head, metrics]
