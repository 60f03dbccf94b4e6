"""Both directions of the wire between gateway and vendor, in one process: counted, and broken on request.

``Wire`` lies on the way to the vendor: answers are lost after the work was done, cut, replaced. ``Mailbox`` lies on the
way back: webhooks are kept, dropped, sent again, in another order.
"""

from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass
from typing import Literal

import httpx

Effect = Literal["lost", "timed_out", "cut", "failed_after", "refused", "answered", "noticed"]
SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
LOSSES: dict[Effect, str] = {
    "lost": "the connection broke after the vendor had done it",
    "timed_out": "the answer did not come in time, though the vendor had done it",
    "cut": "the answer broke off in the middle",
    "failed_after": "the vendor had done it and answered 502",
    "refused": "no connection could be made",
}
"""Ways in which the answer of a write is lost, in words."""


@dataclass(frozen=True)
class VendorCall:
    """One call to the vendor, as it was made."""

    method: str
    path: str
    token: bool
    status: int | None

    @property
    def writes(self) -> bool:
        """Say whether the call may have changed something at the vendor."""
        return not self.token and self.method not in SAFE


@dataclass
class Fault:
    """What is to happen to calls.

    Attributes:
        effect: ``answered``: the vendor never sees the call, ``answer`` is its answer. ``noticed``: the call is done,
            then ``then`` is called.
        skip: So many calls that would be hit pass unharmed first.
        times: How many are hit; ``None``: all, until ``Wire.mend``.
        writes: Only calls that may change something.
    """

    effect: Effect
    skip: int = 0
    times: int | None = 1
    writes: bool = False
    answer: Callable[[], httpx.Response] | None = None
    then: Callable[[], None] | None = None
    struck: int = 0

    def hits(self, call: VendorCall) -> bool:
        """Say whether this call is hit, counting it."""
        if call.token or (self.writes and not call.writes) or self.times == 0:
            return False
        if self.skip > 0:
            self.skip -= 1
            return False
        self.times = None if self.times is None else self.times - 1
        self.struck += 1
        return True


class Wire(httpx.AsyncBaseTransport):
    """Leads to the vendor.

    Attributes:
        calls: Every call so far, oldest first.
    """

    def __init__(self, vendor: httpx.AsyncBaseTransport, token_paths: Iterable[str] = ()) -> None:
        self._vendor = vendor
        self._token_paths = tuple(token_paths)
        self._faults: list[Fault] = []
        self.calls: list[VendorCall] = []

    def strike(self, fault: Fault) -> Fault:
        """Let a fault happen from now on; calls for tokens are never hit."""
        self._faults.append(fault)
        return fault

    def mend(self) -> None:
        """End all faults."""
        self._faults.clear()

    def writes(self, since: int = 0) -> list[VendorCall]:
        """Return the calls from number ``since`` on that may have changed something."""
        return [call for call in self.calls[since:] if call.writes]

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Pass a request to the vendor, and let a fault happen to it."""
        await request.aread()
        path = request.url.path
        token = any(path.endswith(one) for one in self._token_paths)
        asked = VendorCall(request.method, path, token, None)
        fault = next((one for one in self._faults if one.hits(asked)), None)
        status: int | None = None
        try:
            response = await (self._pass(request) if fault is None else self._break(fault, request))
            status = response.status_code
            return response
        finally:
            self.calls.append(VendorCall(asked.method, path, token, status))

    async def _pass(self, request: httpx.Request) -> httpx.Response:
        answer = await self._vendor.handle_async_request(request)
        try:
            content = await answer.aread()
        finally:
            await answer.aclose()
        # aread has decoded it: it is a plain answer from here
        headers = [(key, value) for key, value in answer.headers.multi_items() if key != "content-encoding"]
        return httpx.Response(answer.status_code, headers=headers, content=content)

    async def _break(self, fault: Fault, request: httpx.Request) -> httpx.Response:
        if fault.effect == "refused":
            raise httpx.ConnectError(LOSSES["refused"], request=request)
        if fault.effect == "answered":
            assert fault.answer is not None
            return fault.answer()
        response = await self._pass(request)
        match fault.effect:
            case "lost":
                raise httpx.ReadError(LOSSES["lost"], request=request)
            case "timed_out":
                raise httpx.ReadTimeout(LOSSES["timed_out"], request=request)
            case "failed_after":
                return httpx.Response(502, text="Bad Gateway")
            case "noticed":
                assert fault.then is not None
                fault.then()
                return response
        half = response.content[: max(1, len(response.content) // 2)]
        return httpx.Response(response.status_code, headers=response.headers, stream=_Cut(half))


class _Cut(httpx.AsyncByteStream):
    def __init__(self, half: bytes) -> None:
        self._half = half

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield self._half
        raise httpx.RemoteProtocolError(LOSSES["cut"])


class Mailbox(httpx.AsyncBaseTransport):
    """Leads from the vendor to the gateway: what the vendor sends by itself.

    Attributes:
        keeps: Take what is sent, answer 200, and pass nothing on.
        taken: What was sent while ``keeps`` was on.
        passed: What was passed on, and how the gateway answered.
    """

    def __init__(self) -> None:
        self.gateway: httpx.AsyncBaseTransport | None = None
        self.keeps = False
        self.taken: list[httpx.Request] = []
        self.passed: list[tuple[httpx.Request, int]] = []

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Keep a request, or pass it on."""
        await request.aread()
        if self.keeps:
            self.taken.append(request)
            return httpx.Response(200)
        answer = await self.send(request)
        self.passed.append((request, answer.status_code))
        return answer

    async def send(
        self,
        request: httpx.Request,
        *,
        without: Iterable[str] = (),
        change: dict[str, str] | None = None,
        body: bytes | None = None,
    ) -> httpx.Response:
        """Send a request to the gateway as it was, or without some headers, with others, or with another body."""
        assert self.gateway is not None
        gone = {*without, *(change or {}), "content-length"}
        headers = {key: value for key, value in request.headers.items() if key not in gone} | (change or {})
        content = request.content if body is None else body
        copy = httpx.Request(request.method, request.url, headers=headers, content=content)
        answer = await self.gateway.handle_async_request(copy)
        try:
            return httpx.Response(answer.status_code, headers=answer.headers, content=await answer.aread())
        finally:
            await answer.aclose()
