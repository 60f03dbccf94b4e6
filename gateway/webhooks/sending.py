"""Send one message once, and say in our words what came of it."""

import asyncio
import re
import time
from collections.abc import Mapping
from datetime import UTC, datetime

import httpx
import msgspec

from gateway.sdk.http import dated, retry_after
from gateway.webhooks.schedule import MAX_RETRY_AFTER

TIMEOUT_SECONDS = 15.0
READ_AT_MOST = 16_384
"""Bytes of an answer that are read; what a receiver says does not matter beyond its status."""
SHOWN = 500

_EMAIL = re.compile(r"[^\s@<>\"']+@[^\s@<>\"']+")
_SECRET = re.compile(r"whsec_\S+|v1,[A-Za-z0-9+/=]{20,}")


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What came of one attempt.

    Attributes:
        status: The HTTP status; null when no answer came.
        error: Why it does not count as delivered; null when it does.
        retry_after: Seconds that the receiver asked to wait, at most a day.
        excerpt: What was sent and answered, shortened, without personal data and secrets.
    """

    status: int | None
    error: str | None
    retry_after: float | None = None
    duration_ms: int
    excerpt: str


async def send(client: httpx.AsyncClient, url: str, headers: Mapping[str, str], body: bytes) -> Answer:
    """POST a signed body; never raises for what a receiver or the network does.

    Args:
        client: The guarded client.
        url: The endpoint's URL.
        headers: The three headers of the signature.
        body: JSON, the bytes that were signed.
    """
    begun = time.monotonic()
    sent = {**headers, "content-type": "application/json", "accept-encoding": "identity"}
    request = client.build_request("POST", url, content=body, headers=sent)
    response: httpx.Response | None = None
    said, error, asked = "", None, None
    try:
        async with asyncio.timeout(TIMEOUT_SECONDS):
            response = await client.send(request, stream=True, follow_redirects=False)
            try:
                said = await _beginning(response)
            finally:
                await response.aclose()
    except TimeoutError:
        error = f"no full answer within {TIMEOUT_SECONDS:.0f} s"
    except (httpx.HTTPError, httpx.StreamError) as failure:
        error = f"no full answer: {str(failure) or type(failure).__name__}"
    if response is not None and response.is_success:
        error = None  # a 2xx is a yes, even if the rest of the answer was lost
    elif response is not None:
        error = f"answered {response.status_code}"
        if response.is_redirect:
            error += "; redirects are not followed, enter the final URL"
        if "retry-after" in response.headers:
            dated(response, datetime.now(UTC))  # a receiver is another machine, whose time no test moves
            asked = retry_after(response, default=0.0, ceiling=MAX_RETRY_AFTER)
    status = None if response is None else response.status_code
    return Answer(
        status=status,
        error=None if error is None else redact(error),
        retry_after=asked or None,
        duration_ms=round((time.monotonic() - begun) * 1000),
        excerpt=f"POST {_without_path(url)} {headers.get('webhook-id', '')} ({len(body)} bytes)\n"
        f"{status or 'no answer'} {redact(said)}".rstrip(),
    )


def redact(text: str) -> str:
    """Return text that may be kept and shown: no addresses, no secrets, no control characters, a few lines at most."""
    shown = _SECRET.sub("[secret]", _EMAIL.sub("[e-mail]", text))
    return "".join(character if character.isprintable() else " " for character in shown)[:SHOWN]


async def _beginning(response: httpx.Response) -> str:
    read = b""
    async for chunk in response.aiter_raw():
        read += chunk
        if len(read) >= READ_AT_MOST:
            break
    return read[: SHOWN * 4].decode(errors="replace")


def _without_path(url: str) -> str:
    """Return scheme and host alone: the path of a hook URL is often its only secret."""
    parsed = httpx.URL(url)
    return f"{parsed.scheme}://{parsed.netloc.decode('ascii')}/…"
