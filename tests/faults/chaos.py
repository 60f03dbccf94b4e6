"""A vendor that fails as vendors do: put around any ASGI application, seeded, so that a run can be repeated.

It strikes outside of the sandbox, so every sandbox gets the same: calls refused with every form of Retry-After, errors
before and after the work was done, and answers lost after the write, by closing the socket.
"""

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable, MutableMapping
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Any, Receive, Send], Awaitable[None]]

READS = frozenset({"GET", "HEAD", "OPTIONS"})


def _date(seconds: float) -> str:
    return format_datetime(datetime.now(UTC) + timedelta(seconds=seconds), usegmt=True)


RETRY_AFTER: tuple[Callable[[], str | None], ...] = (
    lambda: "1",
    lambda: "0",
    lambda: "0.5",
    lambda: None,
    lambda: _date(1),
    lambda: _date(-86_400),
    lambda: "soon",
    lambda: "-5",
    lambda: "NaN",
    lambda: "Wed, 31 Feb 2026 25:61:61 GMT",
    lambda: "",
)
"""Every form that was met or is allowed: seconds, none, a fraction, absent, a date ahead or past, and nonsense."""

ABSURD: tuple[Callable[[], str | None], ...] = (lambda: "999999999", lambda: _date(315_360_000))
"""Years. The gateway takes a bounded part of it, which costs a run a minute each: so they are rare."""


class Chaos:
    """An ASGI application around a vendor's.

    Args:
        app: The vendor.
        seed: The same seed strikes the same calls, as far as their order is the same.
        refused: Share of calls answered 429 without being done.
        lost: Share of writes that are done and whose answer is lost.
        failed: Share of calls answered 5xx; half of the writes among them were done all the same.
        absurd: Share of the 429 whose Retry-After is years.
        statuses: Of the failed calls.
        spared: Beginnings of paths that nothing strikes (a browser, the sandbox's own pages).
    """

    def __init__(
        self,
        app: App,
        *,
        seed: int = 0,
        refused: float = 0.0,
        lost: float = 0.0,
        failed: float = 0.0,
        absurd: float = 0.01,
        statuses: tuple[int, ...] = (500, 502, 503, 504),
        spared: tuple[str, ...] = ("/_", "/oauth"),
    ) -> None:
        self._app = app
        self._random = random.Random(seed)
        self._rates = (refused, failed, lost)
        self._absurd = absurd
        self._statuses = statuses
        self._spared = spared
        self.active = True
        self.struck: Counter[str] = Counter()
        self.calls = 0

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:
        """Let a call pass, or strike."""
        path = scope.get("path", "/")
        if scope["type"] != "http" or not self.active or path == "/" or path.startswith(self._spared):
            await self._app(scope, receive, send)
            return
        self.calls += 1
        refused, failed, lost = self._rates
        dice, writes = self._random.random(), scope["method"] not in READS
        if dice < refused:
            self.struck["429"] += 1
            forms = ABSURD if self._random.random() < self._absurd else RETRY_AFTER
            value = self._random.choice(forms)()
            await _answer(send, 429, {} if value is None else {"retry-after": value})
        elif dice < refused + failed:
            status = self._random.choice(self._statuses)
            self.struck["5xx"] += 1
            if writes and self._random.random() < 0.5:
                self.struck["5xx after the write"] += 1
                await self._app(scope, receive, _swallow)
            await _answer(send, status, {})
        elif writes and dice < refused + failed + lost:
            self.struck["answer lost"] += 1
            await self._app(scope, receive, _swallow)
            await hang_up(send)
        else:
            await self._app(scope, receive, send)


async def _swallow(_message: Message) -> None:
    pass


async def _answer(send: Send, status: int, headers: dict[str, str]) -> None:
    pairs = [(b"content-type", b"text/plain"), (b"content-length", b"0")]
    pairs += [(name.encode(), value.encode()) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": status, "headers": pairs})
    await send({"type": "http.response.body", "body": b""})


async def hang_up(send: Send) -> None:
    """Close the socket under an answer that was not begun; uvicorn's ``send`` is a method of what holds it."""
    transport = getattr(getattr(send, "__self__", None), "transport", None)
    if transport is None:
        raise RuntimeError("answers are lost over a real socket only")
    transport.abort()
    for _ in range(3):
        await asyncio.sleep(0)
