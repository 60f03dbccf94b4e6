"""A client that other people wrote, ``servicepytan`` from PyPI, against the sandbox on a loopback port.

It asks for a token before every call, sends it without ``Bearer``, sends a body with GET, an empty ``from`` and a
capitalised boolean: a sandbox that fits our client alone would refuse it.
"""

import asyncio
import contextlib
import socket
import warnings
from collections.abc import AsyncIterator

import pytest
import uvicorn

from gateway_servicetitan.sandbox import create_sandbox

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # of the packages that it stands on
    import servicepytan


@contextlib.asynccontextmanager
async def served(app) -> AsyncIterator[str]:
    listening = socket.socket()
    listening.bind(("127.0.0.1", 0))
    config = uvicorn.Config(app, log_level="warning", access_log=False, lifespan="on")
    server = uvicorn.Server(config)
    server.install_signal_handlers = lambda: None
    running = asyncio.create_task(server.serve(sockets=[listening]))
    while not server.started:  # noqa: ASYNC110 - the server has no event for it
        await asyncio.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        server.should_exit = True
        await running
        listening.close()


def drive(url, sandbox, access):
    """Do with the client what its users do; it is synchronous."""
    conn = servicepytan.auth.servicepytan_connect(
        app_key=sandbox.app_key,
        tenant_id=str(access.tenant),
        client_id=access.client_id,
        client_secret=access.client_secret,
    )
    conn["auth_root"] = conn["api_root"] = url
    bookings = servicepytan.requests.Endpoint("crm", f"booking-provider/{access.provider}/bookings", conn=conn)
    made = bookings.create(
        {
            "source": "Spring",
            "name": "Fiona",
            "summary": "Spring",
            "isFirstTimeClient": True,
            "externalId": "x-1",
            "contacts": [{"type": "Email", "value": "fiona@friends.test"}],
        }
    )
    one = bookings.get_one(made["id"])
    listed = bookings.get_all({"externalId": "x-1"})
    feed = servicepytan.requests.Endpoint("crm", "export", conn=conn).export_one("customers/contacts")
    return made, one, listed, feed


@pytest.mark.filterwarnings("ignore::ResourceWarning")
async def test_the_client_books_reads_and_exports():
    sandbox = create_sandbox()
    access = sandbox.connect_app()
    async with served(sandbox.app) as url:
        made, one, listed, feed = await asyncio.to_thread(drive, url, sandbox, access)
    assert made["status"] == "New"
    assert one["externalId"] == "x-1"
    assert [row["id"] for row in listed] == [made["id"]]
    exported = feed.json() if hasattr(feed, "json") else feed
    assert len(exported["data"]) == 3
    assert sandbox.tokens.given >= 4
