"""For the sandboxes of plugins: breaks things on request (refused calls, lost and cut answers, delays) and keeps a log.

All of it happens around the ASGI app, at the ASGI boundary, so that a lost answer is lost *after* the write was
done.

* In process (``SandboxTransport``, or a plain ``httpx.ASGITransport`` over the app) a lost answer is raised
  as ``httpx.ReadError`` or ``httpx.ReadTimeout``. A cut one arrives with its headers and half its body, then raises
  ``httpx.RemoteProtocolError`` (a plain ``ASGITransport`` raises that at once).
* Over a socket (uvicorn) the connection is closed without an answer, or in the middle of one.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Generic, Literal, TypeVar
from urllib.parse import parse_qsl

import httpx
import msgspec

Json = dict[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]
App = Callable[[Any, Any, Any], Awaitable[None]]
Effect = Literal["fail", "refuse", "lose", "cut", "delay"]

_read_timeout: ContextVar[float | None] = ContextVar("read_timeout", default=None)


class AnswerCut(httpx.RemoteProtocolError):
    """The answer broke off in the middle; carries what came before."""

    def __init__(self, status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> None:
        super().__init__("peer closed connection without sending complete message body")
        self.status, self.headers, self.body = status, headers, body


@dataclass
class Fault:
    """What is to go wrong, how often, and on which calls (``match`` is a regular expression over the path)."""

    effect: Effect
    remaining: int = 1
    method: str | None = None
    match: str | None = None
    status: int = 500
    headers: dict[str, str] = field(default_factory=dict)
    body: Any = None
    seconds: float = 0
    timeout: bool = False

    def applies(self, method: str, path: str) -> bool:
        """Tell whether this fault hits a call, not counting it."""
        if self.remaining <= 0 or (self.method is not None and self.method != method):
            return False
        return self.match is None or re.search(self.match, path) is not None


@dataclass
class RequestEntry:
    """One call as the log keeps it; a sandbox may add to it."""

    time: datetime
    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: Any
    status: int = 0
    fault: str | None = None
    answer: Any = None


Failure = Callable[[int], Any]
"""Gives the vendor's own body for a call that is to fail with this status."""

Entry = TypeVar("Entry", bound=RequestEntry)


@dataclass
class Front(Generic[Entry]):
    """Stands before the app: logs each call and lets faults strike.

    Attributes:
        now: The sandbox's time.
        entry: What the log consists of.
        failure: The vendor's body for a failed call where the fault brings none.
        faults: What is to go wrong.
        log: Every call, in order; calls of ``/`` and of paths that begin with ``/_`` are none of the vendor's.
        bugs: Exceptions of the sandbox itself: raised, not answered.
    """

    now: Callable[[], datetime]
    entry: type[Entry]
    failure: Failure
    faults: list[Fault] = field(default_factory=list)
    log: list[Entry] = field(default_factory=list)
    bugs: list[Exception] = field(default_factory=list)

    async def serve(self, app: App, scope: Any, receive: Receive, send: Send) -> None:
        """Run one HTTP call."""
        body = await _read(receive)
        path, method = scope["path"], scope["method"]
        if path == "/" or path.startswith("/_"):
            await app(scope, _replay(body, receive), send)
            return
        entry = self.entry(
            self.now(),
            method,
            path,
            dict(parse_qsl(scope.get("query_string", b"").decode(), keep_blank_values=True)),
            {name.decode().lower(): value.decode() for name, value in scope["headers"]},
            _decoded(body),
        )
        scope["sandbox_entry"] = entry
        self.log.append(entry)
        fault = self._strike(method, path)
        entry.fault = fault.effect if fault else None
        if fault and fault.effect == "refuse":
            await _break(send, httpx.ConnectError("connection refused"))
            return
        if fault and fault.effect == "fail":
            messages = _failure(fault, self.failure(fault.status) if fault.body is None else fault.body)
        else:
            messages = await self._run(app, scope, body, receive)
        entry.status = messages[0]["status"]
        content = b"".join(message.get("body", b"") for message in messages[1:])
        entry.answer = _decoded(content)
        await _finish(fault, messages, content, send)

    async def _run(self, app: App, scope: Any, body: bytes, receive: Receive) -> list[Message]:
        messages: list[Message] = []

        async def collect(message: Message) -> None:
            messages.append(message)

        await app(scope, _replay(body, receive), collect)
        if self.bugs:
            raise self.bugs.pop()
        return messages

    def _strike(self, method: str, path: str) -> Fault | None:
        for fault in self.faults:
            if fault.applies(method, path):
                fault.remaining -= 1
                return fault
        return None


class FaultControls:
    """The controls of a sandbox that break things; a sandbox's own controls stand beside them.

    Attributes:
        front: Where the faults strike.
    """

    front: Front[Any]

    def fail_next(
        self,
        status: int = 500,
        n: int = 1,
        *,
        headers: dict[str, str] | None = None,
        body: Any = None,
        match: str | None = None,
        method: str | None = None,
    ) -> None:
        """Answer the next ``n`` matching calls with an error instead of doing them.

        Args:
            status: 429, 5xx or any other.
            n: How many.
            headers: Such as ``{"retry-after": "120"}`` or an HTTP date.
            body: An object for JSON, a string for HTML; a plausible one when left out.
            match: A regular expression over the path.
            method: The HTTP method.
        """
        self.front.faults.append(Fault("fail", n, method, match, status, headers or {}, body))

    def lose_answer(
        self, n: int = 1, *, match: str | None = None, method: str | None = None, timeout: bool = False
    ) -> None:
        """Do the next ``n`` matching calls and lose their answers.

        The client sees ``httpx.ReadError``, or ``httpx.ReadTimeout`` with ``timeout=True`` (in process only; over a
        socket the connection closes).
        """
        self.front.faults.append(Fault("lose", n, method, match, timeout=timeout))

    def cut_answer(self, n: int = 1, *, match: str | None = None, method: str | None = None) -> None:
        """Do the next ``n`` matching calls and break their answers off in the middle (``RemoteProtocolError``)."""
        self.front.faults.append(Fault("cut", n, method, match))

    def refuse_connection(self, n: int = 1, *, match: str | None = None, method: str | None = None) -> None:
        """Break the next ``n`` matching calls before anything is done (``ConnectError`` in process)."""
        self.front.faults.append(Fault("refuse", n, method, match))

    def delay(self, seconds: float, n: int = 1, *, match: str | None = None, method: str | None = None) -> None:
        """Do the next ``n`` matching calls and answer late: a client with less patience sees ``ReadTimeout``."""
        self.front.faults.append(Fault("delay", n, method, match, seconds=seconds))

    def clear_faults(self) -> None:
        """Forget all faults that have not struck yet."""
        self.front.faults.clear()


class SandboxTransport(httpx.AsyncBaseTransport):
    """Brings requests to the sandbox without a socket, whatever the host in their URLs."""

    def __init__(self, app: Any) -> None:
        self._inner = httpx.ASGITransport(app)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Run a request in the app; faults surface as httpx's own exceptions."""
        token = _read_timeout.set(request.extensions.get("timeout", {}).get("read"))
        try:
            return await self._inner.handle_async_request(request)
        except AnswerCut as cut:
            return httpx.Response(cut.status, headers=cut.headers, stream=_CutStream(cut))
        finally:
            _read_timeout.reset(token)


class _CutStream(httpx.AsyncByteStream):
    def __init__(self, cut: AnswerCut) -> None:
        self._cut = cut

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield self._cut.body
        raise httpx.RemoteProtocolError(str(self._cut))


async def _finish(fault: Fault | None, messages: list[Message], content: bytes, send: Send) -> None:
    effect = fault.effect if fault else None
    if fault and effect == "lose":
        late = httpx.ReadTimeout("the answer did not come in time")
        await _break(send, late if fault.timeout else httpx.ReadError("the connection broke before the answer"))
        return
    if effect == "cut":
        half = content[: max(1, len(content) // 2)]
        if _socket(send) is None:
            raise AnswerCut(messages[0]["status"], messages[0]["headers"], half)
        await send(messages[0])
        await send({"type": "http.response.body", "body": half, "more_body": True})
        await _break(send, httpx.RemoteProtocolError("cut"))
        return
    if fault and effect == "delay":
        await _wait(fault.seconds, send)
    for message in messages:
        await send(message)


async def _wait(seconds: float, send: Send) -> None:
    """Be late: over a socket really, in process by raising the time-out that the client would have seen."""
    if _socket(send) is not None:
        await asyncio.sleep(seconds)
        return
    patience = _read_timeout.get()
    if patience is not None and seconds >= patience:
        raise httpx.ReadTimeout(f"no answer within {patience} seconds")


async def _break(send: Send, error: httpx.TransportError) -> None:
    """End the connection without (the rest of) an answer."""
    socket = _socket(send)
    if socket is None:
        raise error
    socket.close()
    # Give the server a turn to notice, or it complains about an answer that was never begun.
    for _ in range(3):
        await asyncio.sleep(0)


def _socket(send: Send) -> asyncio.Transport | None:
    """Find the server's socket behind an ASGI ``send``: uvicorn's is a method of an object that holds it."""
    held = getattr(getattr(send, "__self__", None), "transport", None)
    return held if isinstance(held, asyncio.BaseTransport) else None  # type: ignore[return-value] # a stream's


def _failure(fault: Fault, body: Any) -> list[Message]:
    content = body.encode() if isinstance(body, str) else msgspec.json.encode(body)
    kind = "text/html; charset=UTF-8" if isinstance(body, str) else "application/json"
    headers = {"content-type": kind, "content-length": str(len(content))} | fault.headers
    return [
        {
            "type": "http.response.start",
            "status": fault.status,
            "headers": [(name.lower().encode(), value.encode()) for name, value in headers.items()],
        },
        {"type": "http.response.body", "body": content, "more_body": False},
    ]


async def _read(receive: Receive) -> bytes:
    body: bytes = b""
    while True:
        message = await receive()
        body += bytes(message.get("body", b""))
        if not message.get("more_body", False):
            return body


def _replay(body: bytes, receive: Receive) -> Receive:
    waiting = [{"type": "http.request", "body": body, "more_body": False}]

    async def replayed() -> Any:
        return waiting.pop() if waiting else await receive()

    return replayed


def _decoded(raw: bytes) -> Any:
    if not raw:
        return None
    try:
        return msgspec.json.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return raw.decode("utf-8", "replace")
