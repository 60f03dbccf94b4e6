"""What an answer means, and when a message is tried again."""

import asyncio
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import httpx
import pytest

from gateway.webhooks import sending
from gateway.webhooks.schedule import ATTEMPTS, WAITS, pause_seconds, wait_seconds
from gateway.webhooks.sending import send

HEADERS = {"webhook-id": "evt_1", "webhook-timestamp": "1", "webhook-signature": "v1,x"}


async def answer(status: int, headers: dict[str, str] | None = None, text: str = "") -> sending.Answer:
    def receive(request: httpx.Request) -> httpx.Response:
        return httpx.Response(status, headers=headers, text=text)

    async with httpx.AsyncClient(transport=httpx.MockTransport(receive)) as client:
        return await send(client, "https://hooks.example.com/secret/path?key=1", HEADERS, b"{}")


@pytest.mark.parametrize("status", [200, 201, 202, 204])
async def test_every_2xx_is_a_yes(status: int):
    got = await answer(status)
    assert (got.status, got.error) == (status, None)


@pytest.mark.parametrize("status", [301, 302, 307, 400, 401, 404, 410, 429, 500, 502, 503, 504])
async def test_everything_else_is_a_no(status: int):
    got = await answer(status, {"location": "https://elsewhere.example/"})
    assert got.error is not None
    assert str(status) in got.error


async def test_a_redirect_is_not_followed():
    asked: list[str] = []

    def receive(request: httpx.Request) -> httpx.Response:
        asked.append(str(request.url))
        return httpx.Response(307, headers={"location": "https://elsewhere.example/"})

    async with httpx.AsyncClient(transport=httpx.MockTransport(receive), follow_redirects=True) as client:
        got = await send(client, "https://hooks.example.com/", HEADERS, b"{}")
    assert asked == ["https://hooks.example.com/"]
    assert "redirects are not followed" in (got.error or "")


async def test_what_is_sent_is_the_signed_bytes_with_the_three_headers():
    seen: list[httpx.Request] = []

    def receive(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(204)

    body = '{"name":"Zoë"}'.encode()
    async with httpx.AsyncClient(transport=httpx.MockTransport(receive)) as client:
        await send(client, "https://hooks.example.com/in", HEADERS, body)
    assert seen[0].content == body
    assert seen[0].method == "POST"
    assert seen[0].headers["content-type"] == "application/json"
    assert HEADERS.items() <= dict(seen[0].headers).items()


async def test_no_answer_in_time(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sending, "TIMEOUT_SECONDS", 0.01)

    async def receive(request: httpx.Request) -> httpx.Response:
        await asyncio.Event().wait()
        raise AssertionError

    async with httpx.AsyncClient(transport=httpx.MockTransport(receive)) as client:
        got = await send(client, "https://hooks.example.com/", HEADERS, b"{}")
    assert got.status is None
    assert "no full answer within" in (got.error or "")


async def test_a_connection_that_breaks_is_an_error_in_words():
    def receive(request: httpx.Request) -> httpx.Response:
        raise httpx.ReadError("connection reset")

    async with httpx.AsyncClient(transport=httpx.MockTransport(receive)) as client:
        got = await send(client, "https://hooks.example.com/", HEADERS, b"{}")
    assert (got.status, got.error) == (None, "no full answer: connection reset")


class Cut(httpx.AsyncByteStream):
    async def __aiter__(self):
        yield b"some"
        raise httpx.ReadError("cut")


@pytest.mark.parametrize(("status", "delivered"), [(200, True), (500, False)])
async def test_a_cut_answer_counts_by_its_status(status: int, delivered: bool):
    def receive(request: httpx.Request) -> httpx.Response:
        return httpx.Response(status, stream=Cut())

    async with httpx.AsyncClient(transport=httpx.MockTransport(receive)) as client:
        got = await send(client, "https://hooks.example.com/", HEADERS, b"{}")
    assert (got.error is None) is delivered


async def test_an_endless_answer_is_read_to_a_limit_only():
    class Endless(httpx.AsyncByteStream):
        given = 0

        async def __aiter__(self):
            while True:
                Endless.given += 1
                yield b"x" * 1024

    def receive(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, stream=Endless())

    async with httpx.AsyncClient(transport=httpx.MockTransport(receive)) as client:
        got = await send(client, "https://hooks.example.com/", HEADERS, b"{}")
    assert got.error is None
    assert Endless.given <= 20


async def test_the_excerpt_holds_no_personal_data_no_secret_and_no_path():
    text = "cannot store jana@example.com\x1b[31m, signature v1,K5oZfzN95Z9UVu1EsfQmfVNQhnkZ2pj9o9NDN/H/pI4= whsec_abc"
    got = await answer(500, text=text)
    assert "jana" not in got.excerpt
    assert "secret/path" not in got.excerpt
    assert "whsec" not in got.excerpt
    assert "K5oZ" not in got.excerpt
    assert "\x1b" not in got.excerpt
    assert "https://hooks.example.com/…" in got.excerpt
    assert "evt_1" in got.excerpt


@pytest.mark.parametrize(
    ("value", "low", "high"),
    [
        ("7", 7, 7),
        ("0", None, None),
        ("soon", None, None),
        ("-3", None, None),
        ("99999999", 86_400, 86_400),
        ("inf", None, None),
        ("nan", None, None),
        ("Thu, 01 Jan 1970 00:00:00 GMT", None, None),
    ],
)
async def test_retry_after_as_a_number(value: str, low: float | None, high: float | None):
    got = await answer(429, {"retry-after": value})
    if low is None or high is None:
        assert got.retry_after is None
    else:
        assert low <= (got.retry_after or 0) <= high


async def test_retry_after_as_a_date():
    at = datetime.now(UTC) + timedelta(seconds=90)
    got = await answer(503, {"retry-after": format_datetime(at, usegmt=True)})
    assert 85 <= (got.retry_after or 0) <= 90


def test_the_schedule_lasts_about_three_days():
    assert ATTEMPTS == 10
    assert timedelta(days=3) < timedelta(seconds=sum(WAITS)) < timedelta(days=3.5)


def test_waits_have_jitter_and_never_undercut_retry_after():
    assert wait_seconds(1, None, spread=lambda: 0.0) == 5
    assert wait_seconds(1, None, spread=lambda: 1.0) == 6
    assert wait_seconds(9, None, spread=lambda: 0.0) == 86_400
    assert wait_seconds(30, None, spread=lambda: 0.0) == 86_400
    assert wait_seconds(1, 7, spread=lambda: 0.0) == 7
    assert wait_seconds(2, 7, spread=lambda: 0.0) == 300
    assert wait_seconds(1, 1e9, spread=lambda: 0.0) == 86_400


def test_an_overloaded_endpoint_is_left_alone_for_a_while():
    assert pause_seconds(500, None, 1) == 0
    assert pause_seconds(None, None, 1) == 0
    assert [pause_seconds(502, None, n) for n in (1, 2, 3, 20)] == [5, 10, 20, 300]
    assert pause_seconds(429, 7, 1) == 7
    assert pause_seconds(500, 7, 1) == 7
    assert pause_seconds(429, 1e9, 1) == 3_600
