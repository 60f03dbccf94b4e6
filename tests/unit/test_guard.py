"""No spelling and no name server leads a webhook into an inner network."""

# ruff: noqa: ASYNC109 - httpcore's signatures; hostile spellings

import asyncio
import ipaddress
import ssl
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass
from typing import Any

import httpcore
import httpx
import pytest

from gateway.webhooks.guard import GuardedTransport
from gateway.webhooks.targets import check_url, is_public


@dataclass
class Only:
    allow_local_targets: bool = False


HOSTILE = [
    "http://example.com/hooks",
    "ftp://example.com/",
    "file:///etc/passwd",
    "gopher://127.0.0.1:70/_x",
    "//example.com/hooks",
    "example.com/hooks",
    "https://",
    "https:///hooks",
    "https://127.0.0.1/",
    "https://127.1/",
    "https://127.0.1/",
    "https://2130706433/",
    "https://017700000001/",
    "https://0x7f000001/",
    "https://0x7f.0.0.1/",
    "https://0177.0.0.1/",
    "https://0/",
    "https://0.0.0.0/",
    "https://127.0.0.1./",
    "https://127.0.0.1.:8443/",
    "https://169.254.169.254/latest/meta-data/",
    "https://2852039166/latest/meta-data/",
    "https://0xA9FEA9FE/",
    "https://168.63.129.16/",
    "https://100.100.100.200/",
    "https://192.0.0.192/",
    "https://10.1.2.3/",
    "https://172.31.255.255/",
    "https://192.168.0.1/",
    "https://100.64.0.1/",
    "https://198.18.0.1/",
    "https://224.0.0.1/",
    "https://255.255.255.255/",
    "https://[::1]/",
    "https://[::]/",
    "https://[0:0:0:0:0:0:0:1]/",
    "https://[::ffff:127.0.0.1]/",
    "https://[::ffff:7f00:1]/",
    "https://[::ffff:8.8.8.8]/",
    "https://[::127.0.0.1]/",
    "https://[64:ff9b::7f00:1]/",
    "https://[64:ff9b::8.8.8.8]/",
    "https://[64:ff9b:1::a00:1]/",
    "https://[2002:7f00:1::]/",
    "https://[2001:0:7f00:1::1]/",
    "https://[fe80::1]/",
    "https://[fe80::1%25eth0]/",
    "https://[fc00::1]/",
    "https://[fd00:ec2::254]/",
    "https://[ff02::1]/",
    "https://[2001:db8::1]/",
    "https://localhost/",
    "https://LOCALHOST/",
    "https://localhost./",
    "https://api.localhost/",
    "https://printer.local/",
    "https://metadata.google.internal/computeMetadata/v1/",
    "https://intranet/",
    "https://gateway:8443/",
    "https://user:secret@example.com/",
    "https://user@example.com/",
    "https://@example.com/",
    "https://example.com@127.0.0.1/",
    "https://example.com\\@127.0.0.1/",
    "https://127.0.0.1\\.example.com/",
    "https://example.com /",
    " https://example.com/",
    "https://exam\tple.com/",
    "https://example.com/\r\nX-Injected: 1",
    "https://example.com\x00.evil.example/",
    "https://１２７.0.0.1/",
    "https://ⓛⓞⓒⓐⓛⓗⓞⓢⓣ/",
    "https://127。0。0。1/",
    "https://%31%32%37.0.0.1/",
    "https://exa%6dple.com/",
    "https://example.com:22/",
    "https://example.com:25/hooks",
    "https://example.com:80/hooks",
    "https://example.com:0/",
    "https://example.com:99999/",
    "https://example..com/",
    "https://example.com/#fragment",
]


@pytest.mark.parametrize("url", HOSTILE)
def test_hostile_urls_are_refused_with_a_field_and_a_sentence(url: str):
    problems = check_url(url, Only())
    assert [problem.field for problem in problems] == ["url"]
    assert problems[0].message.endswith(".")


@pytest.mark.parametrize(
    "url",
    [
        "https://example.com",
        "https://hooks.example.com/hooks/standard/1/abc/?a=b",
        "https://example.com:443/hooks",
        "https://example.com:8443/hooks",
        "https://my_hooks.example.com/",
        "https://8.8.8.8/hooks",
        "https://[2606:4700:4700::1111]/hooks",
        "https://bücher.example/hooks",
        "https://xn--bcher-kva.example/hooks",
        "https://1password.example.com/",
        "https://10.0.0.1.example.com/",
    ],
)
def test_ordinary_urls_are_fine(url: str):
    assert check_url(url, Only()) == []


@pytest.mark.parametrize("url", ["http://127.0.0.1:9000/hooks", "http://localhost/hooks", "https://10.0.0.5:81/"])
def test_the_development_setting_lets_local_targets_be(url: str):
    assert check_url(url, Only(allow_local_targets=True)) == []


@pytest.mark.parametrize("url", ["http://user:pw@localhost/", "file:///etc/passwd", "http://local\\host/"])
def test_the_development_setting_lets_nothing_else_be(url: str):
    assert check_url(url, Only(allow_local_targets=True))


@pytest.mark.parametrize("address", ["8.8.8.8", "1.1.1.1", "2606:4700:4700::1111", "2a00:1450:4001::1"])
def test_public_addresses(address: str):
    assert is_public(ipaddress.ip_address(address))


class Silent(httpcore.AsyncNetworkStream):
    """Answers every request with 200; remembers the TLS name it was asked for and what was written."""

    def __init__(self, backend: "Recording"):
        self.backend = backend
        self.left = [b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"]

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self.left.pop() if self.left else b""

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self.backend.written += buffer

    async def aclose(self) -> None:
        pass

    async def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.AsyncNetworkStream:
        assert ssl_context.check_hostname
        assert ssl_context.verify_mode is ssl.CERT_REQUIRED
        self.backend.tls_names.append(server_hostname)
        return self


class Recording(httpcore.AsyncNetworkBackend):
    def __init__(self, dead: Iterable[str] = ()):
        self.connected: list[tuple[str, int]] = []
        self.tls_names: list[str | None] = []
        self.written = b""
        self.dead = set(dead)

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Any = None,
    ) -> httpcore.AsyncNetworkStream:
        self.connected.append((host, port))
        if host in self.dead:
            raise httpcore.ConnectError("refused")
        return Silent(self)


class Names:
    """A name server that answers each look-up with the next list."""

    def __init__(self, *answers: list[str]):
        self.answers = list(answers)
        self.asked: list[str] = []

    async def __call__(self, host: str, port: int) -> list[str]:
        self.asked.append(host)
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


async def post(
    names: Names, backend: Recording, url: str = "https://hooks.example.com/in", *, allow_local: bool = False
):
    transport = GuardedTransport(resolver=names, backend=backend, allow_local=allow_local)
    async with httpx.AsyncClient(transport=transport, trust_env=False) as client:
        return await client.post(url, content=b"{}")


async def test_the_checked_address_is_used_and_the_names_stay_those_of_the_url():
    names, backend = Names(["93.184.216.34"]), Recording()
    response = await post(names, backend)
    assert response.status_code == 200
    assert backend.connected == [("93.184.216.34", 443)]
    assert backend.tls_names == ["hooks.example.com"]
    assert b"host: hooks.example.com\r\n" in backend.written.lower()
    assert names.asked == ["hooks.example.com"]


async def test_a_name_that_is_bound_anew_between_check_and_use_is_looked_up_once_only():
    names, backend = Names(["93.184.216.34"], ["127.0.0.1"]), Recording()
    await post(names, backend)
    assert backend.connected == [("93.184.216.34", 443)]
    assert len(names.asked) == 1


@pytest.mark.parametrize(
    "answer",
    [
        ["127.0.0.1"], ["10.0.0.1"], ["169.254.169.254"], ["::1"], ["fe80::1%eth0"], ["::ffff:10.0.0.1"],
        ["64:ff9b::a00:1"],
        ["2002:a00:1::1"], ["100.64.1.1"], ["0.0.0.0"], ["93.184.216.34", "10.0.0.1"], ["not an address"],
    ],
    ids=str,
)  # fmt: skip
async def test_a_name_with_one_address_of_an_inner_network_is_refused_before_anything_is_sent(answer: list[str]):
    names, backend = Names(answer), Recording()
    with pytest.raises(httpx.ConnectError, match="not a public address"):
        await post(names, backend)
    assert backend.connected == []


async def test_a_name_that_was_fine_once_is_checked_at_each_connection():
    names, backend = Names(["93.184.216.34"], ["10.0.0.1"]), Recording()
    transport = GuardedTransport(resolver=names, backend=backend, limits=httpx.Limits(max_keepalive_connections=0))
    async with httpx.AsyncClient(transport=transport, trust_env=False) as client:
        await client.post("https://hooks.example.com/in")
        with pytest.raises(httpx.ConnectError, match=r"10\.0\.0\.1"):
            await client.post("https://hooks.example.com/in")
    assert backend.connected == [("93.184.216.34", 443)]


async def test_the_next_checked_address_is_tried_when_one_is_dead():
    backend = Recording(dead=["93.184.216.34"])
    response = await post(Names(["93.184.216.34", "93.184.216.35"]), backend)
    assert response.status_code == 200
    assert [host for host, _ in backend.connected] == ["93.184.216.34", "93.184.216.35"]


async def test_a_name_that_is_not_found_is_a_connect_error():
    async def nowhere(host: str, port: int) -> list[str]:
        raise OSError("no such name")

    async with httpx.AsyncClient(transport=GuardedTransport(resolver=nowhere), trust_env=False) as client:
        with pytest.raises(httpx.ConnectError, match="could not be looked up"):
            await client.post("https://hooks.example.com/in")


async def test_a_url_that_is_older_than_the_rules_is_refused_when_it_is_used():
    backend = Recording()
    with pytest.raises(httpx.ConnectError, match="Only https"):
        await post(Names(["93.184.216.34"]), backend, "http://hooks.example.com/in")
    assert backend.connected == []


@pytest.fixture
async def local_server() -> AsyncIterator[int]:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(
            b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        )
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


async def test_over_the_real_network_a_local_server_is_reached_with_the_setting_alone(local_server: int):
    url = f"http://127.0.0.1:{local_server}/"
    async with httpx.AsyncClient(transport=GuardedTransport(allow_local=True), trust_env=False) as client:
        assert (await client.get(url)).status_code == 302  # and the redirect is not followed
    async with httpx.AsyncClient(transport=GuardedTransport(), trust_env=False) as client:
        with pytest.raises(httpx.ConnectError):
            await client.get(url)


async def test_over_the_real_network_a_name_that_resolves_to_this_machine_is_refused(local_server: int):
    async def rebound(host: str, port: int) -> list[str]:
        return ["127.0.0.1"]

    async with httpx.AsyncClient(transport=GuardedTransport(resolver=rebound), trust_env=False) as client:
        with pytest.raises(httpx.ConnectError, match=r"127\.0\.0\.1"):
            await client.get(f"https://hooks.example.com:{local_server}/")
