"""``gateway serve`` (API and a worker) and ``gateway worker`` (a worker alone)."""

import asyncio
import ctypes
import gc
import signal

import click
import uvicorn
from litestar import Litestar

from gateway.app import create_app, create_worker, open_services
from gateway.settings import Settings, load
from gateway.storage import migrate


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", default=8000, show_default=True, type=click.IntRange(0, 65535), help="Port to listen on.")
@click.option("--no-worker", is_flag=True, help="Serve the API alone; run `gateway worker` elsewhere.")
def serve(host: str, port: int, no_worker: bool) -> None:
    """Serve the API, the console and a worker."""
    asyncio.run(_serve(host, port, with_worker=not no_worker))


async def _serve(host: str, port: int, *, with_worker: bool) -> None:
    share_one_heap()
    settings = load(Settings)
    await migrate.first_start(settings.database_url)
    if not settings.host_keys:
        click.echo("gateway: GATEWAY_HOST_KEYS is not set: nobody can call the API", err=True)
    async with open_services(settings) as services:
        app = create_app(services, worker=create_worker(services) if with_worker else None)
        keep_what_is_loaded()
        click.echo(f"gateway: serving http://{host}:{port}, API at /v1, OpenAPI at /schema; stop with Ctrl-C", err=True)
        await server(app, host=host, port=port).serve()


def keep_what_is_loaded() -> None:
    """Let Python's collector leave alone what the process was started with: it stays until the end.

    Else the collector goes through all that was imported again and again: a third of the CPU time of a contact sync.
    Its thresholds stay as they are: rarer collections save nothing more, and cost memory (``docs/performance.md``).
    """
    gc.collect()
    gc.freeze()


def server(app: Litestar, *, host: str, port: int) -> uvicorn.Server:
    """Return the server of an application, as the gateway is served; ``serve`` of it ends with SIGINT or SIGTERM.

    ``h11`` is named because it bounds the head of a request (``docs/decisions/0009-uvicorn-with-h11.md``).
    """
    config = uvicorn.Config(
        app, host=host, port=port, log_level="warning", access_log=False, lifespan="on", proxy_headers=True, http="h11"
    )
    return uvicorn.Server(config)


@click.command()
def worker() -> None:
    """Run a worker alone, beside other processes on the same database."""
    asyncio.run(_work())


async def _work() -> None:
    share_one_heap()
    async with open_services(load(Settings)) as services:
        running = create_worker(services)
        keep_what_is_loaded()
        loop = asyncio.get_running_loop()
        for sign in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(sign, lambda: asyncio.ensure_future(running.stop()))
        click.echo("gateway: worker runs; stop with Ctrl-C", err=True)
        await running.run()


M_TRIM_THRESHOLD, M_ARENA_MAX = -1, -8  # malloc.h
TRIM_BYTES = 128 * 1024


def share_one_heap() -> None:
    """Let all threads take memory from one heap, and give back what is free at its end; glibc alone knows how.

    By default each thread of SQLite's driver gets a heap of its own, in which it makes what another one frees: a
    process that had taken 100,000 signups kept some 10 MiB more. Threads that run Python wait for each other anyway.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return  # another C library
    mallopt(M_ARENA_MAX, 1)
    mallopt(M_TRIM_THRESHOLD, TRIM_BYTES)
