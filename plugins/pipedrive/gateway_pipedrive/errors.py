"""What a refusal of Pipedrive means, in the gateway's errors.

Source: ``VENDOR.md``, chapters 3 (statuses and bodies) and 4 (the 429 rule). Bodies of 429 are never read:
their shape is not documented.
"""

import re
from typing import Any

import httpx
import msgspec

from gateway.sdk.errors import NotSupported, PluginError, Problem, Rejected, RetryLater
from gateway.sdk.http import retry_after

DAILY_WAIT_SECONDS = 3600
"""An empty daily budget is asked again hourly at most; when it is refilled is documented without a time zone."""

CLOSED_WAIT_SECONDS = 3600
BLOCKED_WAIT_SECONDS = 900
"""After a page of Cloudflare: silence is the only cure."""

BURST_WAIT_SECONDS = 2.0
UNSURE_WAIT_SECONDS = 60
"""Too long for a window and short for a day, when an answer may mean either."""

REMAINING = "x-daily-ratelimit-token-remaining"
LIMIT = "x-daily-ratelimit-token-limit"

_KEY = re.compile(r"\b[0-9a-f]{40}\b")
_NAMED = re.compile(r"(?:^|[;:] )(?:custom_fields\.)?([a-z_][a-z0-9_]*): |\"([a-z_][a-z0-9_]*)\"", re.IGNORECASE)


class Forbidden(Rejected):
    """Pipedrive does not let this user do that, or does not show it the record; no scope is missing."""


class RefusedInput(Rejected):
    """Pipedrive read the values and refused them.

    Args:
        message: What was tried and what the vendor said.
        keys: Field keys that the vendor's sentence names, custom and built-in; may be empty.
    """

    def __init__(self, message: str, keys: list[str]) -> None:
        super().__init__(
            message, [Problem(field=f"mapping.{key}", message=message, code="vendor_refused") for key in keys]
        )
        self.keys = keys


def classify(response: httpx.Response) -> PluginError | None:
    """Return the error that an answer means; ``None`` leaves it to the common rules by status."""
    what = f"{response.request.method} {response.request.url.path}"
    match response.status_code:
        case 400 | 422:
            return _refused(response, what)
        case 402:
            # Nothing is wrong with the signup: it waits until the company pays or the trial is extended.
            message = f"{what} was answered 402: the company's Pipedrive account is not open (trial ended or unpaid)"
            return RetryLater(message, after_seconds=CLOSED_WAIT_SECONDS)
        case 403:
            return _forbidden(response, what)
        case 410 | 501:
            return NotSupported(f"{what} was answered {response.status_code}: Pipedrive has removed this endpoint")
        case 415:
            return NotSupported(f"{what} was answered 415: the feature is not enabled for this company")
        case 429:
            return _too_many(response, what)
    return None


def _too_many(response: httpx.Response, what: str) -> RetryLater:
    """Tell an empty daily budget from a burst (chapter 4).

    Searches have a window of their own, and whether the headers speak of that or of the one of all calls is not
    documented: room in the window proves an empty day for all other calls only.
    """
    left_today = _number(response.headers.get(REMAINING))
    left_in_window = _number(response.headers.get("x-ratelimit-remaining"))
    room = left_today is None and left_in_window is not None and left_in_window > 0
    if room and "search" in response.request.url.path.casefold():
        message = f"{what} was answered 429: too many searches within two seconds, or the day's budget is used up"
        return RetryLater(message, after_seconds=UNSURE_WAIT_SECONDS)
    if left_today == 0 or room:
        message = f"{what} was answered 429: the company's daily token budget is used up"
        return RetryLater(message, after_seconds=DAILY_WAIT_SECONDS)
    reset = _number(response.headers.get("x-ratelimit-reset")) or 0.0
    wait = max(retry_after(response, default=0.0, ceiling=60), min(reset, 60.0), BURST_WAIT_SECONDS)
    return RetryLater(f"{what} was answered 429: too many calls within two seconds", after_seconds=wait)


def _forbidden(response: httpx.Response, what: str) -> PluginError:
    body = _body(response)
    if body is None:
        message = f"{what} was answered by a 403 page: Pipedrive's firewall blocks our calls for a while"
        return RetryLater(message, after_seconds=BLOCKED_WAIT_SECONDS)
    said = _said(body)
    code = str(body.get("code") or "")
    if code.startswith("feature_capping"):
        message = f"{what} was refused: {said} The limit is one of the company's Pipedrive plan."
        return Rejected(message, [Problem(field="plan", message=message, code=code)])
    message = f"{what} was answered 403: a scope, a permission or the visibility of the record is missing ({said})"
    refusal = Rejected if "scope" in said.casefold() else Forbidden
    return refusal(message, [Problem(field="connection", message=message, code="missing_permission")])


def _refused(response: httpx.Response, what: str) -> RefusedInput:
    said = _said(_body(response) or {})
    keys = list(dict.fromkeys(_KEY.findall(said)))
    named = [first or second for first, second in _NAMED.findall(said)]
    keys += [name for name in dict.fromkeys(named) if name not in keys and name != "custom_fields"]
    return RefusedInput(f"{what} was answered {response.status_code}: {said}", keys)


def _said(body: dict[str, Any]) -> str:
    """Return the vendor's own words, from whichever envelope they came in, bounded."""
    if isinstance(errors := body.get("errors"), dict):
        return "; ".join(f"{key}: {value}" for key, value in errors.items())[:500]
    parts = [str(body[key]) for key in ("error", "error_info", "message") if body.get(key)]
    return ". ".join(dict.fromkeys(parts))[:500] or "no reason was given"


def _body(response: httpx.Response) -> dict[str, Any] | None:
    """Return the JSON body; ``None`` for a page or anything else."""
    try:
        found = msgspec.json.decode(response.content)
    except msgspec.DecodeError:
        return None
    return found if isinstance(found, dict) else None


def _number(value: str | None) -> float | None:
    try:
        return None if value is None else float(value)
    except ValueError:
        return None
