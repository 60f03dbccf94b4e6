"""The server as the gateway is served: what it does with callers that nobody knows yet."""

import asyncio
from collections.abc import AsyncIterator

import httpx
import pytest
from litestar import Litestar, Request, get

from gateway.cli import serve
from gateway.cli.serve import server, share_one_heap


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


NEAR, FAR, CALLER = "127.0.0.1", "10.0.0.9", "203.0.113.7"


@pytest.mark.parametrize(
    ("trusted", "peer", "forwarded", "seen"),
    [
        (None, NEAR, CALLER, CALLER),
        (None, "::1", CALLER, CALLER),
        (None, FAR, CALLER, FAR),  # whoever reaches us directly says nothing about itself
        (None, NEAR, f"198.51.100.1, {CALLER}", CALLER),  # what the caller wrote stands before what the proxy added
        (FAR, FAR, CALLER, CALLER),
        ("10.0.0.0/8", FAR, f"198.51.100.1, {CALLER}, 10.0.0.4", CALLER),
        (FAR, NEAR, CALLER, NEAR),
        (None, NEAR, None, NEAR),
    ],
)
async def test_whose_word_on_addresses_is_taken(monkeypatch, trusted, peer, forwarded, seen):
    """``docs/operations.md``, *Behind a proxy*."""
    monkeypatch.delenv("FORWARDED_ALLOW_IPS", raising=False)
    if trusted is not None:
        monkeypatch.setenv("FORWARDED_ALLOW_IPS", trusted)

    @get("/", sync_to_thread=False)
    def who(request: Request) -> str:
        return f"{request.client.host} {request.url.scheme}"

    config = server(Litestar([who], openapi_config=None, logging_config=None), host="127.0.0.1", port=0).config
    config.load()
    transport = httpx.ASGITransport(config.loaded_app, client=(peer, 1))
    headers = {} if forwarded is None else {"x-forwarded-for": forwarded, "x-forwarded-proto": "https"}
    async with httpx.AsyncClient(transport=transport, base_url="http://gateway.test") as client:
        answer = await client.get("/", headers=headers)
    assert answer.text.split()[0] == seen


class Library:
    """A C library; ``mallopt`` notes what it is told."""

    def __init__(self):
        self.told = []

    def mallopt(self, option, value):
        self.told.append((option, value))


def test_threads_share_one_heap_where_the_c_library_can(monkeypatch):
    library = Library()
    monkeypatch.setattr(serve.ctypes, "CDLL", lambda name: library)
    share_one_heap()
    assert library.told == [(-8, 1), (-1, 131_072)]  # M_ARENA_MAX, M_TRIM_THRESHOLD of glibc's malloc.h


@pytest.mark.parametrize("error", [OSError, TypeError, AttributeError])
def test_another_c_library_is_left_alone(monkeypatch, error):
    def none(_name):
        raise error

    monkeypatch.setattr(serve.ctypes, "CDLL", none)
    share_one_heap()
