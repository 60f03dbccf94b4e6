"""What a refusal of ServiceTitan means, in the gateway's errors.

Source: ``VENDOR.md``, chapter 4 (error body and statuses). Keys of ``errors`` are handed on as they come;
the body and headers of a 429 are not documented and never relied on.
"""

from typing import Any

import httpx
import msgspec

from gateway.sdk.errors import Misconfigured, PluginError, Problem, Rejected, RetryLater
from gateway.sdk.http import mask_emails, retry_after

BURST_WAIT_SECONDS = 1.0
"""The limit is one of calls per second."""


class Forbidden(Rejected):
    """A scope, the app itself, or a feature is closed for this tenant until its administrator acts."""


class RefusedInput(Rejected):
    """ServiceTitan read the values and refused them.

    Args:
        message: What was tried and what the vendor said.
        keys: Keys that the vendor's ``errors`` name; may be empty.
    """

    def __init__(self, message: str, keys: list[str]) -> None:
        super().__init__(message, [Problem(field=f"booking.{key}", message=message, code="refused") for key in keys])
        self.keys = keys


def classify(response: httpx.Response) -> PluginError | None:
    """Return the error that an answer means; ``None`` leaves it to the common rules by status."""
    what = f"{response.request.method} {response.request.url.path}"
    body = _body(response)
    said = f"{what} was answered {response.status_code}: {_said(body)}"
    match response.status_code:
        case 400 | 422:
            return RefusedInput(said, [str(key) for key in _errors(body)])
        case 401 if "application key" in str(body.get("title", "")).casefold():
            return Misconfigured(f"{said} Check GATEWAY_SERVICETITAN_APP_KEY.")
        case 403:
            message = f"{said} A permission of the app is missing, or the app is disabled in this account."
            return Forbidden(message, [Problem(field="connection", message=message, code="missing_permission")])
        case 409:
            return RetryLater(f"{said} The record was changed meanwhile.", after_seconds=5, lane_wide=False)
        case 429:
            wait = retry_after(response, default=BURST_WAIT_SECONDS, ceiling=300)
            return RetryLater(f"{what} was answered 429: too many calls", after_seconds=max(wait, BURST_WAIT_SECONDS))
    return None


def _said(body: dict[str, Any]) -> str:
    """Return the vendor's own words and its trace id, which its support asks for."""
    parts = [str(body["title"])] if body.get("title") else []
    for key, messages in _errors(body).items():
        words = " ".join(map(str, messages)) if isinstance(messages, list) else str(messages)
        parts.append(f"{key}: {words}")
    said = mask_emails(" ".join(parts))[:500] or "no reason was given"
    trace = body.get("traceId")
    return f"{said} (trace {trace})." if trace else f"{said}."


def _errors(body: dict[str, Any]) -> dict[str, Any]:
    found = body.get("errors")
    return found if isinstance(found, dict) else {}


def _body(response: httpx.Response) -> dict[str, Any]:
    """Return the JSON body; empty for a page or anything else."""
    try:
        found = msgspec.json.decode(response.content)
    except msgspec.DecodeError:
        return {}
    return found if isinstance(found, dict) else {}
