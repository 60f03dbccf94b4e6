"""A referral platform that receives our events: verifies each signature, de-duplicates, and can say no.

It is a receiver written from ``docs/receivers.md`` alone: signatures are checked by the independent
``standardwebhooks`` package.
"""

import binascii
import json
from collections import Counter
from collections.abc import Callable
from typing import Any

from litestar import Litestar, Request, Response, get, post
from standardwebhooks import Webhook, WebhookVerificationError


class FakeHost:
    """State of the fake host and its application.

    Attributes:
        secrets: Secrets of its endpoints; a message must verify with one of them.
        events: Every verified event, first time seen, in order of arrival.
        seen: How often each ``webhook-id`` came.
        refused: Messages that failed verification.
        answers: Status codes (with headers) to answer next, one a message; afterwards 204.
    """

    def __init__(self) -> None:
        self.secrets: list[str] = []
        self.events: list[dict[str, Any]] = []
        self.seen: Counter[str] = Counter()
        self.refused: list[str] = []
        self.answers: list[tuple[int, dict[str, str]]] = []
        self.on_event: Callable[[dict[str, Any]], None] | None = None
        self.app = Litestar([self._receive(), self._list()], openapi_config=None, logging_config=None)

    def of_type(self, event_type: str) -> list[dict[str, Any]]:
        """Return the events of one type."""
        return [event for event in self.events if event["type"] == event_type]

    def answer(self, *statuses: int, headers: dict[str, str] | None = None) -> None:
        """Answer the next messages with these statuses instead of 204."""
        self.answers.extend((status, headers or {}) for status in statuses)

    def _receive(self) -> Any:
        @post("/webhooks", status_code=204)
        async def receive(request: Request[Any, Any, Any]) -> Response[None]:
            body = (await request.body()).decode()
            headers = {key.lower(): value for key, value in request.headers.items()}
            if not self._verified(body, headers):
                self.refused.append(headers.get("webhook-id", ""))
                return Response(None, status_code=401)
            if self.answers:
                status, extra = self.answers.pop(0)
                if status >= 300:
                    return Response(None, status_code=status, headers=extra)
            identifier = headers["webhook-id"]
            self.seen[identifier] += 1
            if self.seen[identifier] == 1:
                event = json.loads(body)
                self.events.append(event)
                if self.on_event is not None:
                    self.on_event(event)
            return Response(None, status_code=204)

        return receive

    def _verified(self, body: str, headers: dict[str, str]) -> bool:
        for secret in self.secrets:
            try:
                Webhook(secret).verify(body, headers)
            except (WebhookVerificationError, ValueError, binascii.Error):
                continue
            return True
        return False

    def _list(self) -> Any:
        @get("/", sync_to_thread=False)
        def received() -> list[dict[str, Any]]:
            return self.events

        return received
