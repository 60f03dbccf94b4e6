"""The HTTP client that the host hands to a plugin: authorised, metered, and held to the manifest's hosts.

It turns what the wire says into the errors of ``sdk.errors`` in one place. The rule that matters
most: a *write* whose answer was not read in full is ``OutcomeUnknown``, a *read* is ``RetryLater``,
and a request that never left (no connection could be made) is ``RetryLater`` for both.
"""

import re
from collections.abc import Callable, Mapping
from datetime import datetime
from email.utils import format_datetime, parsedate_to_datetime
from typing import Any, Protocol

import httpx
import msgspec

from gateway.sdk.clock import Clock
from gateway.sdk.errors import (
    Misconfigured,
    NotSupported,
    OutcomeUnknown,
    PluginError,
    ReauthRequired,
    RecordGone,
    Rejected,
    RetryLater,
)

_EMAIL = re.compile(r"[^\s@\"'<>]+@[^\s@\"'<>]+")
_NUMBER = re.compile(r"[+-]?\d+(\.\d+)?")

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})

Classify = Callable[[httpx.Response], PluginError | None]
"""A plugin's reading of a refused answer; ``None`` leaves it to the rules below."""


class Meter(Protocol):
    """Counts calls against the vendor's limits; the host implements it per vendor tenant."""

    async def before(self, cost: int, *, window: str | None = None) -> None:
        """Wait for the burst window and the named one, or raise ``RetryLater`` when the budget is used up."""

    def after(self, response: httpx.Response, cost: int) -> None:
        """Learn from the answer's headers."""


class Recorder(Protocol):
    """Keeps a redacted excerpt of each exchange for the attempt log."""

    def record(self, request: httpx.Request, response: httpx.Response | None, error: str | None) -> None:
        """Note one exchange; never raises."""


class VendorHttp:
    """An authorised client of one connection.

    Args:
        client: The httpx client (its transport refuses hosts that are not allowed).
        base_url: Prefix for relative paths, without a trailing slash.
        classify: The plugin's reading of refused answers, tried first.
        meter: Burst and daily limits; ``None`` in tests of a client alone.
        recorder: Attempt log; ``None`` where nothing is kept.
        auth: Adds the credentials, and refreshes them once on a 401.
        now: The time in UTC, for answers that do not say theirs; default: this machine's.
    """

    def __init__(
        self,
        client: httpx.AsyncClient,
        *,
        base_url: str = "",
        classify: Classify | None = None,
        meter: Meter | None = None,
        recorder: Recorder | None = None,
        auth: httpx.Auth | None = None,
        now: Callable[[], datetime] | None = None,
    ) -> None:
        self._client = client
        self.base_url = base_url.rstrip("/")
        self._classify = classify
        self._meter = meter
        self._recorder = recorder
        self._auth = auth
        self._now = now or Clock().now

    def with_base(self, base_url: str, classify: Classify | None = None) -> "VendorHttp":
        """Return the same client with another base URL and the plugin's reading of refusals."""
        return VendorHttp(
            self._client,
            base_url=base_url,
            classify=classify or self._classify,
            meter=self._meter,
            recorder=self._recorder,
            auth=self._auth,
            now=self._now,
        )

    async def request(
        self,
        method: str,
        path: str,
        *,
        cost: int = 1,
        params: Mapping[str, Any] | None = None,
        json: Any = None,
        headers: Mapping[str, str] | None = None,
        reads: bool | None = None,
        window: str | None = None,
        read_seconds: float | None = None,
    ) -> httpx.Response:
        """Send one request and return its successful answer.

        Args:
            method: HTTP method.
            path: Path under ``base_url``, or an absolute URL of an allowed host.
            cost: Units of the vendor's daily budget that the call costs.
            params: Query parameters; ``None`` values are left out.
            json: Body, encoded by msgspec.
            headers: More headers.
            reads: True for a POST that only reads (a search); default: by the method.
            window: Name of a ``CallWindow`` of the manifest's rate budget that the call counts in too.
            read_seconds: How long to wait for each part of the answer, where this call takes the vendor longer than
                others (an export); default: the client's.

        Raises:
            PluginError: As the module's docstring says.
        """
        url = path if path.startswith(("https://", "http://")) else self.base_url + path
        safe = method in SAFE_METHODS if reads is None else reads
        if self._meter is not None:
            await self._meter.before(cost, window=window)
        request = self._client.build_request(
            method,
            url,
            # none and not an empty dict, which would cost another parse of the URL and strip the query that it has
            params={key: value for key, value in (params or {}).items() if value is not None} or None,
            content=None if json is None else msgspec.json.encode(json),
            headers={**({} if json is None else {"content-type": "application/json"}), **(headers or {})},
            extensions={"reads": safe},  # a dry run lets reads through, whatever their method
            timeout=self._client.timeout if read_seconds is None else self._patient(read_seconds),
        )
        what = f"{method} {request.url.path}"
        try:
            response = await self._client.send(request, auth=self._auth)
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout) as error:
            self._note(request, None, repr(error))
            raise RetryLater(f"{what}: no connection could be made", after_seconds=5, lane_wide=False) from error
        except httpx.TransportError as error:
            self._note(request, None, repr(error))
            if safe:
                raise RetryLater(f"{what}: no full answer ({error!r})", after_seconds=2, lane_wide=False) from error
            raise OutcomeUnknown(f"{what} was sent, but no full answer came ({error!r})") from error
        self._note(request, response, None)
        if self._meter is not None:
            self._meter.after(response, cost)
        if response.is_success:
            return response
        dated(response, self._now())
        raise (self._classify and self._classify(response)) or error_for(response, what, safe=safe)

    def _patient(self, read_seconds: float) -> httpx.Timeout:
        usual = self._client.timeout
        return httpx.Timeout(connect=usual.connect, read=read_seconds, write=usual.write, pool=usual.pool)

    def _note(self, request: httpx.Request, response: httpx.Response | None, error: str | None) -> None:
        if self._recorder is not None:
            self._recorder.record(request, response, error)

    async def get(self, path: str, **kwargs: Any) -> httpx.Response:
        """Send a GET; see ``request``."""
        return await self.request("GET", path, **kwargs)

    async def post(self, path: str, **kwargs: Any) -> httpx.Response:
        """Send a POST; see ``request``."""
        return await self.request("POST", path, **kwargs)

    async def patch(self, path: str, **kwargs: Any) -> httpx.Response:
        """Send a PATCH; see ``request``."""
        return await self.request("PATCH", path, **kwargs)

    async def put(self, path: str, **kwargs: Any) -> httpx.Response:
        """Send a PUT; see ``request``."""
        return await self.request("PUT", path, **kwargs)

    async def delete(self, path: str, **kwargs: Any) -> httpx.Response:
        """Send a DELETE; see ``request``."""
        return await self.request("DELETE", path, **kwargs)


def error_for(response: httpx.Response, what: str, *, safe: bool) -> PluginError:
    """Return the error that a refused answer means, by status alone.

    Args:
        response: An answer that is not 2xx.
        what: The call in words, for the message.
        safe: The call only reads, so a server error left nothing behind.
    """
    status = response.status_code
    said = f"{what} was answered {status}"
    if status == 401:
        return ReauthRequired(f"{said}: the credentials are refused")
    if status == 402:
        return NotSupported(f"{said}: the vendor account is not open")
    if status == 403:
        return Rejected(f"{said}: permission or scope is missing")
    if status in (404, 410):
        return RecordGone(f"{said}: not there, or not visible to the connected user")
    if status == 429:
        return RetryLater(f"{said}: over the rate limit", after_seconds=retry_after(response, default=2))
    if status in (408, 425) or status >= 500:
        if safe:
            return RetryLater(said, after_seconds=retry_after(response, default=5), lane_wide=False)
        return OutcomeUnknown(f"{said}: the vendor failed and may have done it")
    if 300 <= status < 400:
        return Misconfigured(f"{said}: redirects are not followed; check the base URL")
    return Rejected(f"{said}: {mask_emails(response.text[:300])}")


def mask_emails(text: str) -> str:
    """Return the text without plain e-mail addresses: errors are logged and stored beside tasks."""
    return _EMAIL.sub("…@…", text)


def dated(response: httpx.Response, now: datetime) -> None:
    """Give an answer that does not say when it was sent the time at which it came, as RFC 9110, 6.6.1 asks.

    Args:
        response: An answer, read just now.
        now: In UTC, by the clock that the waiting is measured by.
    """
    response.headers.setdefault("date", format_datetime(now, usegmt=True))


def retry_after(response: httpx.Response, *, default: float, ceiling: float = 3600) -> float:
    """Return the seconds of ``Retry-After``, a number or an HTTP date, bounded; ``default`` when it cannot be read.

    A date counts from the answer's ``Date``, so by the vendor's own clock; ``dated`` gives one to an answer without.
    ``VendorHttp`` does so for each refusal before ``classify`` sees it.
    """
    value = response.headers.get("retry-after", "").strip()
    try:
        seconds = float(value) if _NUMBER.fullmatch(value) else _between(response.headers.get("date", ""), value)
    except ValueError:
        return default
    return min(max(seconds, 0.0), ceiling)


def _between(sent: str, date: str) -> float:
    """Return the seconds from one HTTP date to another."""
    begin, end = parsedate_to_datetime(sent), parsedate_to_datetime(date)
    if begin.tzinfo is None or end.tzinfo is None:
        raise ValueError("an HTTP date names its zone")
    return (end - begin).total_seconds()
