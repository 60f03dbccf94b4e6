"""Pipedrive's sandbox over ``gateway.sdk.faults``: tokens and tenants in the log, and the vendor's error body."""

from dataclasses import dataclass
from typing import Any

from gateway.sdk.faults import Fault, SandboxTransport
from gateway.sdk.faults import Front as CommonFront
from gateway.sdk.faults import RequestEntry as CommonEntry

__all__ = ["Fault", "Front", "RequestEntry", "SandboxTransport", "failure"]


@dataclass
class RequestEntry(CommonEntry):
    """One call as the log keeps it. ``cost`` is what it took off the daily budget."""

    cost: int = 0
    company_id: int | None = None
    user_id: int | None = None


Front = CommonFront[RequestEntry]


def failure(status: int) -> Any:
    """Return the body of a failed call."""
    words = {429: "request over limit", 503: "Service Unavailable"}
    return {"success": False, "error": words.get(status, "Internal Server Error"), "code": "ERR_UNKNOWN"}
