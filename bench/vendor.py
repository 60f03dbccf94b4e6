"""A vendor that costs next to nothing: prepared answers to the calls of one signup, in a process of its own.

The sandbox decides like the vendor and remembers all it is told, so it would be what is measured. This one answers
``python -m bench.vendor PORT [SECONDS]``; a call takes ``SECONDS`` (0).
"""

import asyncio
import itertools
import sys
from collections.abc import Iterator

NOBODY = b'{"success":true,"data":{"items":[]},"additional_data":{"next_cursor":null}}'


class Vendor(asyncio.Protocol):
    """Answers calls on one connection."""

    def __init__(self, numbers: Iterator[int], seconds: float) -> None:
        self._numbers = numbers
        self._seconds = seconds
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Remember where to answer."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Answer each request that is there in full."""
        self._buffer += data
        while (end := self._buffer.find(b"\r\n\r\n")) >= 0:
            head = self._buffer[:end]
            length = _length(head)
            if len(self._buffer) < end + 4 + length:
                return
            self._buffer = self._buffer[end + 4 + length :]
            answer = self._answer(*head.split(b" ", 2)[:2])
            asyncio.get_running_loop().call_later(self._seconds, self._transport.write, answer)

    def _answer(self, method: bytes, target: bytes) -> bytes:
        number = next(self._numbers)
        if method == b"GET":
            body = NOBODY
        elif b"/leads" in target:
            body = b'{"success":true,"data":{"id":"%08x-0000-4000-8000-000000000000"}}' % number
        else:
            body = b'{"success":true,"data":{"id":%d}}' % number
        status = b"200 OK" if method == b"GET" else b"201 Created"
        return (
            b"HTTP/1.1 %s\r\ncontent-type: application/json; charset=utf-8\r\ncontent-length: %d\r\n"
            b"x-daily-ratelimit-token-remaining: 100000000\r\n\r\n%s" % (status, len(body), body)
        )


def _length(head: bytes) -> int:
    found = head.lower().find(b"content-length:")
    return int(head[found + 15 :].split(b"\r\n", 1)[0]) if found >= 0 else 0


async def serve(port: int, seconds: float) -> None:
    """Serve until the process is ended."""
    numbers = itertools.count(1_000)
    server = await asyncio.get_running_loop().create_server(lambda: Vendor(numbers, seconds), "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1]), float(sys.argv[2]) if len(sys.argv) > 2 else 0.0))
