"""Over real sockets: which failures prove that nothing was sent, and that each request is sent once."""

import asyncio
import gzip
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import httpx
import pytest

from gateway.flows.connections.transport import VendorTransport
from gateway.sdk.errors import OutcomeUnknown, RetryLater
from gateway.sdk.http import VendorHttp

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n%s\r\nok"

Answer = Callable[[int, asyncio.StreamWriter], Awaitable[None]]


class Server:
    """Reads requests, and answers each (by its number) as the test says."""

    def __init__(self, answer: Answer) -> None:
        self.heads: list[str] = []
        self.connections = 0
        self._answer = answer

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                length = next((int(line[15:]) for line in head.lower().split("\r\n") if "content-length" in line), 0)
                await reader.readexactly(length)
                self.heads.append(head)
                await self._answer(len(self.heads), writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


@asynccontextmanager
async def serving(answer: Answer) -> AsyncIterator[tuple[Server, str]]:
    server = Server(answer)
    listening = await asyncio.start_server(server.serve, "127.0.0.1", 0)
    port = listening.sockets[0].getsockname()[1]
    async with listening:
        yield server, f"http://127.0.0.1:{port}"


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    timeout = httpx.Timeout(connect=2, read=0.3, write=2, pool=2)
    async with httpx.AsyncClient(transport=VendorTransport(connections=1), timeout=timeout, trust_env=False) as one:
        yield one


async def fine(_number: int, writer: asyncio.StreamWriter) -> None:
    writer.write(OK % b"")


async def hang_up(_number: int, writer: asyncio.StreamWriter) -> None:
    writer.close()


async def reset(_number: int, writer: asyncio.StreamWriter) -> None:
    one = writer.get_extra_info("socket")
    one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


async def cut_head(_number: int, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 201 Crea")
    writer.close()


async def cut_body(_number: int, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 201 Created\r\ncontent-length: 100\r\n\r\n{")
    await writer.drain()
    writer.close()


async def reset_body(number: int, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 201 Created\r\ncontent-length: 100\r\n\r\n{")
    await writer.drain()
    await asyncio.sleep(0.05)  # the head is read, then the connection breaks
    await reset(number, writer)


async def cut_chunk(_number: int, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 201 Created\r\ntransfer-encoding: chunked\r\n\r\n64\r\n{")
    await writer.drain()
    writer.close()


async def nonsense(_number: int, writer: asyncio.StreamWriter) -> None:
    writer.write(b"SSH-2.0-OpenSSH\r\n\r\n")
    writer.close()


async def long_head(_number: int, writer: asyncio.StreamWriter) -> None:
    writer.write(OK % (b"x-long: " + b"x" * 100_000 + b"\r\n"))


async def silence(_number: int, _writer: asyncio.StreamWriter) -> None:
    await asyncio.sleep(60)


async def slow_body(_number: int, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 201 Created\r\ncontent-length: 100\r\n\r\n{")
    await asyncio.sleep(60)


LOST = [hang_up, reset, cut_head, cut_body, reset_body, cut_chunk, nonsense, long_head, silence, slow_body]


@pytest.mark.parametrize("answer", LOST, ids=lambda one: one.__name__)
async def test_a_lost_answer_leaves_a_write_in_doubt_and_lets_a_read_be_repeated(answer, client):
    async with serving(answer) as (server, url):
        http = VendorHttp(client, base_url=url)
        with pytest.raises(OutcomeUnknown):
            await http.post("/x", json={"a": 1})
        assert len(server.heads) == 1
        with pytest.raises(RetryLater):
            await http.get("/x")


@pytest.mark.parametrize("answer", [hang_up, reset], ids=lambda one: one.__name__)
@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "GET"])
async def test_nothing_is_sent_twice_when_a_used_connection_breaks(answer, method, client):
    async def break_second(number: int, writer: asyncio.StreamWriter) -> None:
        await (fine if number == 1 else answer)(number, writer)

    async with serving(break_second) as (server, url):
        await client.request(method, f"{url}/first")
        with pytest.raises(httpx.ReadError):
            await client.request(method, f"{url}/second")
    assert (len(server.heads), server.connections) == (2, 1)


async def test_a_refused_connection_proves_that_nothing_was_sent(client):
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{one.getsockname()[1]}"
    with pytest.raises(httpx.ConnectError):
        await client.post(url)
    with pytest.raises(RetryLater):
        await VendorHttp(client, base_url=url).post("/x", json={})


async def test_a_name_that_does_not_resolve_proves_that_nothing_was_sent(client):
    with pytest.raises(httpx.ConnectError):
        await client.post("http://nobody.invalid/x")


async def test_a_server_that_speaks_no_tls_got_nothing_of_the_request(client):
    async with serving(nonsense) as (server, url):
        with pytest.raises(httpx.ConnectTimeout):  # its side of the handshake never comes
            await client.post(url.replace("http", "https"), content=b"{}")
    assert server.heads == []


async def test_a_call_that_gets_no_connection_in_time_was_not_sent():
    timeout = httpx.Timeout(connect=1, read=5, write=1, pool=0.1)
    async with (
        serving(silence) as (server, url),
        httpx.AsyncClient(transport=VendorTransport(connections=1), timeout=timeout) as client,
    ):
        first = asyncio.create_task(client.get(url))
        while not server.heads:  # noqa: ASYNC110 - the server has no event
            await asyncio.sleep(0.01)
        with pytest.raises(httpx.ConnectTimeout):
            await client.post(url)
        assert len(server.heads) == 1
        first.cancel()


async def test_redirects_and_cookies_of_vendors_are_left_alone(client):
    async def send_elsewhere(_number: int, writer: asyncio.StreamWriter) -> None:
        writer.write(
            b"HTTP/1.1 302 Found\r\nlocation: /other\r\nset-cookie: who=me; path=/\r\ncontent-length: 0\r\n\r\n"
        )

    async with serving(send_elsewhere) as (server, url):
        for _ in range(2):
            client.cookies.clear()
            assert (await client.get(url)).status_code == 302
    assert len(server.heads) == 2
    assert not any("cookie" in head.lower() for head in server.heads)


async def test_the_environment_names_no_proxy(client, monkeypatch):
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    async with serving(fine) as (_, url):
        assert (await client.get(url)).text == "ok"


async def test_a_request_arrives_as_it_was_made(client):
    async with serving(fine) as (server, url):
        await VendorHttp(client, base_url=url).post(
            "/a%2Fb", params={"term": "a+b@x.test", "q": "1&2"}, json={"a": "ü"}, headers={"authorization": "Bearer t"}
        )
    (head,) = server.heads
    assert head.startswith("POST /a%2Fb?")
    assert httpx.URL("http://x" + head.split(" ")[1]).params.multi_items() == [("term", "a+b@x.test"), ("q", "1&2")]
    lines = head.lower().split("\r\n")
    assert {"authorization: bearer t", "content-type: application/json", "content-length: 10"} <= set(lines)
    assert len([line for line in lines if line.startswith("host:")]) == 1


async def test_a_compressed_answer_is_read(client):
    body = gzip.compress(b'{"a": 1}')

    async def compressed(_number: int, writer: asyncio.StreamWriter) -> None:
        head = b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: %d\r\n\r\n" % len(body)
        writer.write(head + body)

    async with serving(compressed) as (_, url):
        assert (await client.get(url)).json() == {"a": 1}
