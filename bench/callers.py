"""Callers over HTTP/1.1: a given number of connections that each send, await the answer, and send again.

A general client costs more than what is measured; this one writes prepared bytes and looks for the end of the answer.
"""

import asyncio
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Answers:
    """What a round of calls was answered."""

    statuses: dict[int, int] = field(default_factory=dict)
    seconds: list[float] = field(default_factory=list)
    sample: bytes = b""

    @property
    def total(self) -> int:
        """How many answers came."""
        return len(self.seconds)

    def demand(self, status: int) -> None:
        """Fail unless every answer had this status: a bench of refusals measures nothing."""
        if set(self.statuses) != {status}:
            raise RuntimeError(f"expected {status} alone, got {self.statuses}: {self.sample[:500]!r}")


def as_request(path: str, body: Any, headers: Mapping[str, str]) -> bytes:
    """Return a POST request as it goes over the wire."""
    content = json.dumps(body).encode()
    lines = [
        f"POST {path} HTTP/1.1",
        "host: 127.0.0.1",
        "content-type: application/json",
        f"content-length: {len(content)}",
        *(f"{name}: {value}" for name, value in headers.items()),
    ]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + content


async def call(port: int, make: Callable[[], bytes], *, callers: int, total: int) -> Answers:
    """Send ``total`` requests over ``callers`` connections; each caller sends its next one when the last is answered.

    Args:
        port: Where the server listens on this machine.
        make: Returns the next request.
        callers: Connections, all at work at the same time.
        total: Requests of all of them.
    """
    answers = Answers()
    left = total

    async def caller() -> None:
        nonlocal left
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            while left > 0:
                left -= 1
                request = make()
                began = time.perf_counter()
                writer.write(request)
                status, body = await _answer(reader)
                answers.seconds.append(time.perf_counter() - began)
                if status not in answers.statuses:
                    answers.sample = body
                answers.statuses[status] = answers.statuses.get(status, 0) + 1
        finally:
            writer.close()

    await asyncio.gather(*(caller() for _ in range(min(callers, total))))
    return answers


async def _answer(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    head = await reader.readuntil(b"\r\n\r\n")
    length = 0
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            length = int(line.partition(b":")[2])
    return int(head[9:12]), await reader.readexactly(length) if length else b""
