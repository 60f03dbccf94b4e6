"""The vendor's refusals, in the vendor's own bodies.

Source: ``VENDOR.md``, chapters 2 (token endpoint) and 4 (all others). Titles are illustrations where the
vendor's own are not known; a client may read ``errors`` alone.
"""

from collections.abc import Mapping
from typing import Any

_TITLES = {
    400: "One or more validation errors occurred.",
    401: "Unauthorized",
    403: "Authentication information is insufficient to access the requested resource.",
    404: "The requested entity was not found",
    409: "The request conflicts with the current state of the record.",
    429: "Rate limit is exceeded. Try again in 1 seconds.",
    500: "An unexpected error occurred.",
    503: "The service is unavailable.",
}


class VendorError(Exception):
    """An answer with an error status, raised anywhere below a handler and rendered by the gate."""

    def __init__(self, status: int, body: Any, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(f"{status}: {body}")
        self.status = status
        self.body = body
        self.headers = dict(headers or {})


def problem(status: int, title: str | None = None, errors: Mapping[str, list[str]] | None = None) -> dict[str, Any]:
    """Build the one error body of all calls but the token's (RFC 7807 shape, all six keys)."""
    return {
        "type": "https://tools.ietf.org/html/rfc7231#section-6.5.1",
        "title": title or _TITLES.get(status, "Error"),
        "status": status,
        "traceId": "00-5bd66ef5095369c7b0d1f8f4bd33716a-c532cb4098ac3dd2-01",
        "errors": dict(errors or {}),
        "data": {},
    }


def invalid(**errors: str) -> VendorError:
    """Refuse input, naming each field; a key of a query string is named like a field."""
    return VendorError(400, problem(400, errors={key: [message] for key, message in errors.items()}))


def app_key_missing() -> VendorError:
    """Refuse a call without our app's key."""
    return VendorError(401, problem(401, "Application key not present, check ST-App-Key header value."))


def app_key_wrong() -> VendorError:
    """Refuse a key that belongs to no app (the wording is a guess)."""
    return VendorError(401, problem(401, "Application key is not valid, check ST-App-Key header value."))


def unauthorized() -> VendorError:
    """Refuse an unknown or expired token."""
    return VendorError(401, problem(401))


def forbidden(title: str | None = None) -> VendorError:
    """Refuse what the connection may not do."""
    return VendorError(403, problem(403, title))


def not_found() -> VendorError:
    """Say that there is no such record, or that this booking provider may not see it."""
    return VendorError(404, problem(404))


def invalid_client() -> VendorError:
    """Refuse a client id or secret: OAuth's own body, no problem document."""
    return VendorError(400, {"error": "invalid_client"})
