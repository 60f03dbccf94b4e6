"""The parts of the sandbox and how they hang together; what changes a record touches it and tells those who asked."""

from collections import deque
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

import httpx

from gateway.sdk.faults import Front, RequestEntry
from gateway.sdk.sandboxes import Sender
from gateway_servicetitan.sandbox import shapes
from gateway_servicetitan.sandbox.errors import VendorError, not_found, problem
from gateway_servicetitan.sandbox.outbox import Outbox
from gateway_servicetitan.sandbox.state import Booking, Clock, Invoice, Job, State, Tenant
from gateway_servicetitan.sandbox.tokens import TokenServer

Json = dict[str, Any]
CALLS_A_SECOND = 60


@dataclass(frozen=True)
class Options:
    """How the sandbox behaves where a test may choose.

    Attributes:
        app_key: Our app's key.
        token_seconds: How long a token lives.
        token_claims: A token is a JWT whose claims can be read (the vendor does not promise them).
        provider_refusal: What a booking provider that is not ours answers (unconfirmed).
        honours_sort: Lists keep the order that was asked for; some of the vendor's do not.
        nulls: E-mail contacts have null where the vendor's document wants phone settings.
        list_lag: Seconds until a new booking is listed.
        search_lag: Seconds until the search of contacts knows a change.
        export_page: Rows of a page of an export feed; the vendor's own affair.
        burst: Whether the limit of 60 calls a second is kept. It moves with the clock.
        retry_after: Whether a 429 carries ``retry-after`` (unconfirmed).
        auto_deliver: Sends webhooks by itself while the app is served.
        seed: Whether there is a demo tenant from the start, as ``Sandbox.demo``.
    """

    app_key: str = "ak1.sandbox0123456789"
    token_seconds: int = 900
    token_claims: bool = True
    provider_refusal: Literal[400, 403, 404] = 403
    honours_sort: bool = True
    nulls: bool = True
    list_lag: float = 0
    search_lag: float = 0
    export_page: int = 100
    burst: bool = True
    retry_after: bool = False
    auto_deliver: bool = False
    seed: bool = True


class Core:
    """What handlers and controls stand on.

    Attributes:
        state: Tenants, tokens.
        front: The request log and the faults.
        tokens: The token server.
        outbox: Webhooks on their way.
    """

    def __init__(
        self, clock: Clock | None = None, http: httpx.AsyncClient | None = None, options: Options | None = None
    ) -> None:
        self.options = options or Options()
        self.app_key = self.options.app_key
        self._clock = clock or (lambda: datetime.now(UTC))
        self._sender = Sender(http)
        self._offset = timedelta(0)
        self.front: Front[RequestEntry] = Front(self.now, RequestEntry, problem)
        self.begin()

    def begin(self) -> None:
        """Start with nothing: no tenant, no token, no pending webhook."""
        self.state = State(self.now)
        self.outbox = Outbox(self.state, self._sender)
        self.tokens = TokenServer(self.state, life_seconds=self.options.token_seconds, claims=self.options.token_claims)
        self._calls: dict[int, deque[datetime]] = {}

    def now(self) -> datetime:
        """Return the sandbox's time: the injected clock's, moved ahead by ``advance``."""
        return self._clock() + self._offset

    def advance(self, seconds: float) -> datetime:
        """Move the sandbox's clock ahead of the injected one and return the new time."""
        self._offset += timedelta(seconds=seconds)
        return self.now()

    def admit(self, tenant: Tenant) -> None:
        """Count a call against the limit of the app in one tenant.

        Raises:
            VendorError: 429; its body and headers are unconfirmed.
        """
        if not self.options.burst:
            return
        now = self.now()
        recent = self._calls.setdefault(tenant.id, deque())
        while recent and recent[0] <= now - timedelta(seconds=1):
            recent.popleft()
        if len(recent) >= CALLS_A_SECOND:
            raise VendorError(429, problem(429), {"retry-after": "1"} if self.options.retry_after else {})
        recent.append(now)

    # --- changes ---

    def touch_booking(self, tenant: Tenant, booking: Booking) -> None:
        """Note that a booking was changed, and tell those who asked."""
        booking.modified = self.now()
        shown = {**shapes.booking(booking, summary=False), "active": True}
        self.outbox.tell(tenant, "tn.crm.booking-updated", "booking", shown)

    def touch_job(self, tenant: Tenant, job: Job, event: str = "tn.jpm.job-updated") -> None:
        """Note that a job was changed, and tell those who asked."""
        job.modified = self.now()
        self.outbox.tell(tenant, event, "job", shapes.job(job, webhook=True))

    def touch_invoice(self, tenant: Tenant, invoice: Invoice) -> None:
        """Note that an invoice was changed, and tell those who asked."""
        invoice.modified = self.now()
        self.outbox.tell(tenant, "tn.acc.invoice-updated", "invoice", shapes.invoice(invoice))

    def dismiss(self, tenant: Tenant, booking: Booking, reason: int | None) -> None:
        """Dismiss a booking.

        Raises:
            VendorError: It was booked already, or there is no such call reason.
        """
        if booking.job is not None:
            raise VendorError(400, problem(400, errors={"id": ["The booking was booked already."]}))
        if reason is not None and reason not in tenant.call_reasons:
            raise not_found()
        booking.status, booking.dismissing_reason = "Dismissed", reason
        self.touch_booking(tenant, booking)

    async def aclose(self) -> None:
        """Close the client that sends webhooks, unless it was given."""
        await self._sender.aclose()
