"""Budgets, burst windows and what follows on ignoring them.

Source: ``VENDOR.md``, chapter 4. The body of a 429 is unconfirmed there; ours is a plausible one that no
client may read. Nothing here sleeps: windows move with the sandbox's clock.
"""

from collections import deque
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from gateway_pipedrive.sandbox.errors import VendorError
from gateway_pipedrive.sandbox.state import Company

MULTIPLIERS = {"Lite": 1, "Growth": 2, "Premium": 5, "Ultimate": 7}
BURST_OAUTH = {"Lite": 80, "Growth": 160, "Premium": 400, "Ultimate": 480}
BURST_API_TOKEN = {"Lite": 20, "Growth": 40, "Premium": 100, "Ultimate": 120}
SEARCH_BURST = 10
WINDOW = timedelta(seconds=2)

BLOCKED_PAGE = """<!DOCTYPE html>
<html><head><title>Access denied</title></head>
<body><h1>Error 1015</h1><p>You are being rate limited. Cloudflare Ray ID: 0000000000000000</p></body></html>
"""


@dataclass
class Window:
    """A rolling window of two seconds."""

    times: deque[datetime] = field(default_factory=deque)

    def used(self, now: datetime) -> int:
        """Count the requests of the last two seconds."""
        while self.times and self.times[0] <= now - WINDOW:
            self.times.popleft()
        return len(self.times)

    def seconds_left(self, now: datetime) -> int:
        """Tell when the oldest request leaves the window, in whole seconds, at least one."""
        if not self.times:
            return int(WINDOW.total_seconds())
        return max(1, -int(-((self.times[0] + WINDOW - now).total_seconds()) // 1))


@dataclass
class TokenLimits:
    """What is remembered of one token."""

    requests: Window = field(default_factory=Window)
    searches: Window = field(default_factory=Window)
    refusals: int = 0
    blocked_until: datetime | None = None


@dataclass
class Limits:
    """The gate's bookkeeping.

    Attributes:
        burst: Whether the two-second windows are kept at all.
        budget_headers: Whether answers carry ``x-daily-ratelimit-token-*`` (reported, not documented).
        retry_after: Whether a burst 429 carries ``retry-after``.
        cloudflare_after: So many 429 in a row, with no good answer between them, bring the 403 page; None for never.
        cloudflare_seconds: How long that page is served.
    """

    burst: bool = True
    budget_headers: bool = True
    retry_after: bool = True
    cloudflare_after: int | None = 20
    cloudflare_seconds: int = 300
    tokens: dict[str, TokenLimits] = field(default_factory=dict)

    def admit(
        self, company: Company, token: str, cost: int, now: datetime, *, is_search: bool, is_api_token: bool
    ) -> dict[str, str]:
        """Count a call and return its headers, or refuse it.

        Raises:
            VendorError: 429 for the burst or the daily budget; 403 as HTML after too many ignored ones.
        """
        known = self.tokens.setdefault(token, TokenLimits())
        if known.blocked_until is not None and now < known.blocked_until:
            raise VendorError(403, BLOCKED_PAGE, {"content-type": "text/html; charset=UTF-8", "server": "cloudflare"})
        table = BURST_API_TOKEN if is_api_token else BURST_OAUTH
        headers = self._burst(known, table[company.plan], now, is_search=is_search)
        self._daily(known, company, cost, now, headers)
        known.refusals = 0
        return headers

    def _burst(self, known: TokenLimits, limit: int, now: datetime, *, is_search: bool) -> dict[str, str]:
        if not self.burst:
            return {}
        window, most = known.requests, limit
        if is_search and known.searches.used(now) >= SEARCH_BURST:
            window, most = known.searches, SEARCH_BURST
        used = window.used(now)
        headers = {
            "x-ratelimit-limit": str(most),
            "x-ratelimit-remaining": str(max(0, most - used - 1)),
            "x-ratelimit-reset": str(window.seconds_left(now)),
        }
        if used >= most:
            if self.retry_after:
                headers["retry-after"] = headers["x-ratelimit-reset"]
            self._refuse(known, now, headers, "request over limit")
        known.requests.times.append(now)
        if is_search:
            known.searches.times.append(now)
        return headers

    def _daily(self, known: TokenLimits, company: Company, cost: int, now: datetime, headers: dict[str, str]) -> None:
        """Charge the budget of the company, which is anew each day; the day is UTC's here (zone not named)."""
        day = now.astimezone(UTC).date().isoformat()
        if company.budget_day != day:
            company.budget_day, company.tokens_used = day, 0
        budget = daily_budget(company)
        if company.tokens_used + cost > budget:
            if self.budget_headers:
                headers |= {"x-daily-ratelimit-token-limit": str(budget), "x-daily-ratelimit-token-remaining": "0"}
            self._refuse(known, now, headers, "daily token budget exceeded")
        company.tokens_used += cost
        if self.budget_headers:
            headers["x-daily-ratelimit-token-limit"] = str(budget)
            headers["x-daily-ratelimit-token-remaining"] = str(budget - company.tokens_used)

    def _refuse(self, known: TokenLimits, now: datetime, headers: dict[str, str], why: str) -> None:
        known.refusals += 1
        if self.cloudflare_after is not None and known.refusals >= self.cloudflare_after:
            known.blocked_until = now + timedelta(seconds=self.cloudflare_seconds)
            known.refusals = 0
        raise VendorError(429, {"success": False, "error": why, "errorCode": 429}, headers)


def daily_budget(company: Company) -> int:
    """Return the tokens a day: 30,000 times the plan's multiplier times seats, unless a test set its own."""
    if company.daily_budget is not None:
        return company.daily_budget
    return 30_000 * MULTIPLIERS[company.plan] * company.seats
