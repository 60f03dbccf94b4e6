"""The parts of the sandbox and how they hang together: options, clock, state, and the jobs that time brings."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

import httpx

from gateway.sdk.sandboxes import Sender
from gateway_pipedrive.sandbox import conversion
from gateway_pipedrive.sandbox.events import Events
from gateway_pipedrive.sandbox.faults import Front, RequestEntry, failure
from gateway_pipedrive.sandbox.limits import Limits
from gateway_pipedrive.sandbox.oauth import ALL_SCOPES, OAuthServer
from gateway_pipedrive.sandbox.outbox import WebhookOutbox
from gateway_pipedrive.sandbox.search import SearchIndex
from gateway_pipedrive.sandbox.state import Clock, Company, State

Json = dict[str, Any]


@dataclass(frozen=True)
class Options:
    """How the sandbox behaves where a test may choose.

    Attributes:
        client_id: The app's id.
        client_secret: The app's secret.
        callback_url: The app's one callback; None learns it from the first authorisation.
        granted_scopes: What the app asks for.
        rotate_refresh_tokens: Each refresh brings another refresh token; the old one is "already exchanged".
        token_error_keys: Which of ``error`` and ``message`` an error of the token endpoint has (unconfirmed).
        search_lag: Seconds until a write can be found by searching.
        item_search_shape: Whether ``itemSearch/field`` answers as the vendor's example or as its schema.
        item_search_leads: Whether ``itemSearch/field`` takes leads by a deal's field.
        unset_as_null: Whether v2 records carry unset custom fields as null (unconfirmed) or leave them out.
        conversion_seconds: How long the job of a conversion takes.
        conversion_deal_first: Whether ``deal.create`` comes before ``lead.delete`` (unconfirmed).
        conversion_carries_fields: Whether custom fields go over to the deal (expected, unconfirmed).
        source_lead_in_webhooks: Whether a deal's webhook holds ``source_lead_id`` (unconfirmed).
        burst: Whether the windows of two seconds are kept. They move with the clock: under a clock that stands still
            the eleventh search is refused.
        budget_headers: Whether answers carry the daily budget (reported, not documented).
        retry_after: Whether a burst 429 carries ``retry-after``.
        cloudflare_after: So many 429 in a row bring the 403 page; None for never.
        charge_failed: Whether a refused call costs tokens (unconfirmed).
        gone_status: What the v1 twins of v2 paths answer: 410 or 404.
        unreachable_urls: Beginnings of webhook URLs that the vendor cannot reach.
        allow_local_webhooks: Whether loopback and private addresses pass as webhook URLs, other than at the vendor.
        auto_deliver: Sends webhooks by itself while the app is served.
        seed: Whether there is a demo company from the start, as ``Sandbox.demo``.
    """

    client_id: str = "sandbox-client"
    client_secret: str = "sandbox-secret"  # noqa: S105 - the sandbox's own, known to everybody
    callback_url: str | None = None
    granted_scopes: tuple[str, ...] = ALL_SCOPES
    rotate_refresh_tokens: bool = False
    token_error_keys: tuple[str, ...] = ("error", "message")
    search_lag: float = 0
    item_search_shape: Literal["example", "schema"] = "example"
    item_search_leads: bool = True
    unset_as_null: bool = True
    conversion_seconds: float = 0
    conversion_deal_first: bool = False
    conversion_carries_fields: bool = True
    source_lead_in_webhooks: bool = False
    burst: bool = True
    budget_headers: bool = True
    retry_after: bool = True
    cloudflare_after: int | None = 20
    charge_failed: bool = True
    gone_status: Literal[404, 410] = 410
    unreachable_urls: tuple[str, ...] = ()
    allow_local_webhooks: bool = True
    auto_deliver: bool = False
    seed: bool = True


class Core:
    """What handlers and controls stand on.

    Attributes:
        state: Companies, users, records, tokens.
        front: The request log and the faults.
        oauth: The authorisation server.
        outbox: Webhooks on their way.
        index: The search index.
        limits: Budgets and windows.
    """

    def __init__(
        self,
        clock: Clock | None = None,
        base_url: str | None = None,
        http: httpx.AsyncClient | None = None,
        options: Options | None = None,
    ) -> None:
        self.options = options or Options()
        self.base_url = base_url.rstrip("/") if base_url else None
        self.client_id, self.client_secret = self.options.client_id, self.options.client_secret
        self._clock = clock or (lambda: datetime.now(UTC))
        self._sender = Sender(http)
        self._offset = timedelta(0)
        self._last_origin = "https://oauth.pipedrive.test"
        self.front = Front(self.now, RequestEntry, failure)
        self.begin()

    def begin(self) -> None:
        """Start with nothing: no company, no token, no pending webhook."""
        options = self.options
        self.state = State(self.now)
        self.outbox = WebhookOutbox(self.state, self._sender)
        self.index = SearchIndex(self.state, timedelta(seconds=options.search_lag))
        self.events = Events(self.state, self.outbox, self.index, options.source_lead_in_webhooks)
        self.limits = Limits(options.burst, options.budget_headers, options.retry_after, options.cloudflare_after)
        self.oauth = OAuthServer(
            self.state,
            self.outbox,
            self.client_id,
            self.client_secret,
            options.callback_url,
            set(options.granted_scopes),
            options.rotate_refresh_tokens,
            options.token_error_keys,
        )

    def now(self) -> datetime:
        """Return the sandbox's time: the injected clock's, moved ahead by ``advance``."""
        return self._clock() + self._offset

    def advance(self, seconds: float) -> datetime:
        """Move the sandbox's clock ahead of the injected one and return the new time."""
        self._offset += timedelta(seconds=seconds)
        return self.now()

    def api_domain(self, company: Company, origin: str | None = None) -> str:
        """Return the base of a company's calls: its subdomain in process, this sandbox's own address over a socket."""
        if company.api_domain is not None:
            return company.api_domain
        if self.base_url is not None:
            return self.base_url.replace("{company}", company.domain)
        self._last_origin = origin or self._last_origin
        scheme, _, host = self._last_origin.partition("://")
        for suffix in (".pipedrive.test", ".pipedrive.com"):
            if host.endswith(suffix):
                return f"{scheme}://{company.domain}{suffix}"
        return self._last_origin

    def work(self) -> None:
        """Do the jobs that are due: conversions of leads."""
        now = self.state.now()
        for company in self.state.companies.values():
            for job in company.conversions.values():
                if job.status in {"not_started", "running"}:
                    job.status = "running" if now > job.created else job.status
                    if job.due <= now:
                        conversion.run(
                            self.state,
                            self.events,
                            company,
                            job,
                            deal_first=self.options.conversion_deal_first,
                            carry=self.options.conversion_carries_fields,
                        )

    async def send_uninstall(self, url: str, body: Json) -> int | None:
        """Send the uninstall notice; nobody reads the answer and nobody tries again (chapter 2.5)."""
        try:
            answer = await self._sender().request(
                "DELETE", url, json=body, auth=httpx.BasicAuth(self.client_id, self.client_secret)
            )
        except httpx.HTTPError:
            return None
        return answer.status_code

    async def aclose(self) -> None:
        """Close the client that sends webhooks, unless it was given."""
        await self._sender.aclose()
