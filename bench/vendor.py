"""A vendor that costs next to nothing: prepared answers to the calls of one signup, in a process of its own.

The sandbox decides like the vendor and remembers all it is told, so it would be what is measured. This one answers
``python -m bench.vendor PORT [SECONDS [CONTACTS]]``; a call takes ``SECONDS`` (0), and it lists so many ``CONTACTS``
(0), made up as they are asked for.
"""

import asyncio
import itertools
import sys
from collections.abc import Iterator
from urllib.parse import parse_qs, urlsplit

NOBODY = b'{"success":true,"data":{"items":[]},"additional_data":{"next_cursor":null}}'

PERSONS, PAGE = b"/api/v2/persons?", 500
LINK, COUNT = "a" * 40, "b" * 40
"""The custom fields of a contact that a sync writes back to."""


class Vendor(asyncio.Protocol):
    """Answers calls on one connection."""

    def __init__(self, numbers: Iterator[int], seconds: float, contacts: int = 0) -> None:
        self._numbers = numbers
        self._contacts = contacts
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
            body = contacts_page(target.decode(), self._contacts) if target.startswith(PERSONS) else NOBODY
        elif b"/leads" in target:
            body = b'{"success":true,"data":{"id":"%08x-0000-4000-8000-000000000000"}}' % number
        else:
            body = b'{"success":true,"data":{"id":%d}}' % number
        status = b"200 OK" if method == b"GET" else b"201 Created"
        return (
            b"HTTP/1.1 %s\r\ncontent-type: application/json; charset=utf-8\r\ncontent-length: %d\r\n"
            b"x-daily-ratelimit-token-remaining: 100000000\r\n\r\n%s" % (status, len(body), body)
        )


def contacts_page(target: str, contacts: int) -> bytes:
    """Return the page of contacts that a call of ``GET /persons`` asks for; of a descending one the first contact."""
    query = parse_qs(urlsplit(target).query)
    first = contacts if query.get("sort_direction") else int(query.get("cursor", ["1"])[0])
    last = min(first + PAGE - 1, contacts)
    rows = ",".join(
        f'{{"id":{n},"name":"Contact {n}","first_name":"Contact","last_name":"{n}","owner_id":1,"org_id":null,'
        '"add_time":"2026-01-01T00:00:00Z","update_time":"2026-01-02T00:00:00Z",'
        f'"emails":[{{"value":"c{n}@many.example","primary":true,"label":"work"}}],'
        f'"phones":[{{"value":"+49301{n:07}","primary":true,"label":"work"}}],"is_deleted":false,"visible_to":3,'
        f'"label_ids":[1],"picture_id":null,"custom_fields":{{"{LINK}":null,"{COUNT}":null}}}}'
        for n in range(first, last + 1)
    )
    cursor = f'"{last + 1}"' if last < contacts else "null"
    return f'{{"success":true,"data":[{rows}],"additional_data":{{"next_cursor":{cursor}}}}}'.encode()


def _length(head: bytes) -> int:
    found = head.lower().find(b"content-length:")
    return int(head[found + 15 :].split(b"\r\n", 1)[0]) if found >= 0 else 0


async def serve(port: int, seconds: float, contacts: int) -> None:
    """Serve until the process is ended."""
    numbers = itertools.count(1_000)
    server = await asyncio.get_running_loop().create_server(
        lambda: Vendor(numbers, seconds, contacts), "127.0.0.1", port
    )
    await server.serve_forever()


if __name__ == "__main__":
    given = [*sys.argv[1:], "0", "0"]
    asyncio.run(serve(int(given[0]), float(given[1]), int(given[2])))
