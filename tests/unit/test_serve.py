"""The server as the gateway is served: what it does with callers that nobody knows yet."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from litestar import Litestar

from gateway.cli.serve import server


@pytest.fixture
async def port() -> AsyncIterator[int]:
    one = server(Litestar([], openapi_config=None, logging_config=None), host="127.0.0.1", port=0)
    serving = asyncio.create_task(one.serve())
    while not one.started:
        assert not serving.done()
        await asyncio.sleep(0.01)
    yield one.servers[0].sockets[0].getsockname()[1]
    one.should_exit = True
    await serving


async def test_the_head_of_a_request_is_bounded(port):
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"GET / HTTP/1.1\r\nhost: x\r\nx-long: ")
    try:
        async with asyncio.timeout(10):
            for _ in range(32):  # 2 MiB: more than 64 KiB and what the sockets hold
                writer.write(b"x" * 65_536)
                await writer.drain()
            answer = await reader.read()
    except ConnectionError:
        return  # closed while we wrote
    finally:
        writer.close()
    assert answer.startswith(b"HTTP/1.1 400 ")
