"""The vendor's refusals, in the vendor's own envelopes.

Source: ``VENDOR.md``, chapters 2.2, 3 and 7.10. Where a body is not confirmed the docstring says so.
"""

from collections.abc import Mapping
from typing import Any


class VendorError(Exception):
    """An answer with an error status, raised anywhere below a handler and rendered by the gate."""

    def __init__(self, status: int, body: Any, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(f"{status}: {body}")
        self.status = status
        self.body = body
        self.headers = dict(headers or {})


def envelope(error: str, error_info: str | None = None, **more: Any) -> dict[str, Any]:
    """Build the common error envelope (chapter 3)."""
    body: dict[str, Any] = {"success": False, "error": error, "data": None, "additional_data": None, **more}
    if error_info is not None:
        body["error_info"] = error_info
    return body


def schema_failed(*messages: str) -> VendorError:
    """Refuse input as v2 does: a sentence a parameter, a code, no ``data`` key (chapter 3; the 400 is unconfirmed)."""
    return VendorError(
        400,
        {
            "success": False,
            "error": "Validation failed: " + "; ".join(messages),
            "code": "ERR_SCHEMA_VALIDATION_FAILED",
        },
    )


def not_allowed(*keys: str) -> VendorError:
    """Refuse unknown keys of a v2 request, each by its name (chapter 3)."""
    return schema_failed(*(f"{key}: Parameter '{key}' is not allowed for this request" for key in keys))


def dataset_invalid(info: str) -> VendorError:
    """Refuse the body of a v1 lead (chapter 3; the wording inside ``error_info`` follows one reported example)."""
    return VendorError(400, envelope("provided dataset is not valid", info))


def unauthorized() -> VendorError:
    """Refuse an unknown, expired or revoked token."""
    return VendorError(
        401,
        {
            "success": False,
            "error": "unauthorized access",
            "errorCode": 401,
            "error_info": "Please check developers.pipedrive.com",
        },
    )


def scope_missing() -> VendorError:
    """Refuse a call that the token's scopes do not cover (403 as JSON, chapter 3; the wording is a guess)."""
    return VendorError(403, envelope("Scope and URL mismatch", "Please check developers.pipedrive.com"))


def not_found(what: str) -> VendorError:
    """Say that a record is not there, or that this user may not see it: the vendor does not tell which."""
    return VendorError(404, envelope(f"{what} not found", "Object was not found."))


def feature_capped(what: str, code: str) -> VendorError:
    """Refuse a write because of the plan's limit (chapter 3, ``feature_capping_deals_limit``)."""
    return VendorError(403, envelope(what, "Please upgrade the plan.", code=code))


def webhook_invalid(field: str, message: str) -> VendorError:
    """Refuse a subscription in the other envelope, with ``status`` and ``errors`` (chapter 7.10)."""
    return VendorError(400, {"status": "error", "success": False, "errors": {field: [message]}})
