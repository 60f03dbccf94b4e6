"""Serve ASGI applications on this machine, for as long as something is tried with them."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import uvicorn


@asynccontextmanager
async def serving(app: Any, port: int, *, host: str = "127.0.0.1", **options: Any) -> AsyncIterator[str]:
    """Serve an ASGI application in this process; yields its address once it answers.

    Args:
        app: The application.
        port: See ``free_ports``.
        host: Address of this machine to listen at.
        options: More of ``uvicorn.Config``; nothing is logged of single requests.
    """
    config = uvicorn.Config(app, host=host, port=port, access_log=False, **options)
    server = uvicorn.Server(config)
    server.install_signal_handlers = lambda: None  # type: ignore[attr-defined]  # Ctrl-C is the caller's
    running = asyncio.create_task(server.serve())
    while not server.started:  # the server has no event for it
        if running.done():
            await running
        await asyncio.sleep(0.01)
    try:
        yield f"http://{host}:{port}"
    finally:
        server.should_exit = True
        await running


def free_ports(number: int) -> list[int]:
    """Return ports that are free now; all are open at once, so that they differ."""
    sockets = [socket.socket() for _ in range(number)]
    try:
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [int(one.getsockname()[1]) for one in sockets]
    finally:
        for one in sockets:
            one.close()
