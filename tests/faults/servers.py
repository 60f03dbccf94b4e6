"""What survives every kill, served by the run itself: the vendor, a receiver, and the address that others know."""

from collections import Counter
from collections.abc import Callable
from typing import Any

import httpx

from gateway.testing.fake_host import FakeHost

from .chaos import Chaos

QUIET: dict[str, Any] = {
    "log_level": "critical", "timeout_graceful_shutdown": 1, "lifespan": "off", "backlog": 4096,
    "timeout_keep_alive": 120,
}  # fmt: skip
"""How servers are set up that many processes call, and that are killed with the run."""


class Receiver:
    """The host's endpoint: verifies each event, counts it, and fails now and then.

    It never says *too much*: each time the gateway would leave it alone for seconds or more, as it should.
    """

    def __init__(self, *, seed: int, failed: float, lost: float) -> None:
        self.host = FakeHost()
        self.app = Chaos(self.host.app, seed=seed, failed=failed, lost=lost, statuses=(500, 503), spared=("/_",))

    @property
    def received(self) -> Counter[str]:
        """How often each event was taken."""
        return self.host.seen


class Front:
    """The public address: passes each call on to a process that lives, as a load balancer would."""

    def __init__(self, urls: Callable[[], list[str]]) -> None:
        self._urls = urls
        self._client = httpx.AsyncClient(timeout=60, trust_env=False)  # a busy machine is no fault of the gateway
        self._turn = 0

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Pass one call on; 503 when nobody lives."""
        body = b""
        while True:
            message = await receive()
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
        urls = self._urls()
        status, headers, content = 503, [(b"content-length", b"0")], b""
        if urls:
            self._turn += 1
            query = scope["query_string"].decode()
            url = urls[self._turn % len(urls)] + scope["path"] + (f"?{query}" if query else "")
            kept = [(name, value) for name, value in scope["headers"] if name not in {b"host", b"content-length"}]
            try:
                answer = await self._client.request(scope["method"], url, content=body, headers=kept)
            except httpx.TransportError:
                status = 502
            else:
                status, content = answer.status_code, answer.content
                headers = [(name, value) for name, value in answer.headers.raw if name.lower() != b"content-encoding"]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": content})

    async def aclose(self) -> None:
        """Close the client."""
        await self._client.aclose()
