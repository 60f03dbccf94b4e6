"""Webhooks: one URL for all tenants, set up by the operator in the developer portal; each is a hint to look again.

How the vendor signs is not documented beyond *an HMAC over the payload in a header*: SHA-256 over the raw body is
taken, hex and base64 are both understood, with or without ``sha256=``; the header's name is a setting. Bodies are
CloudEvents; ``userassignedid`` names the occurrence and ``id`` the delivery only.

Source: ``VENDOR.md``, chapter 11.
"""

import base64
import binascii
import contextlib
import hashlib
import hmac
from typing import Any

import msgspec
from msgspec import Struct

from gateway.sdk.errors import InvalidSignature
from gateway.sdk.inbound import AppNotice, Hint, InboundRequest
from gateway_servicetitan.settings import ServiceTitanSettings


class CloudEvent(Struct, frozen=True):
    """The envelope; what is unknown in it does no harm."""

    type: str
    data: dict[str, Any] | None = None
    userassignedid: str | None = None
    id: str | None = None


def verify(settings: ServiceTitanSettings, request: InboundRequest) -> None:
    """Check the signature of a call, in constant time, over the bytes as they came.

    Raises:
        InvalidSignature: A key is set, and the signature is missing or wrong.
    """
    if settings.webhook_key is None:
        return  # the end of the URL is unguessable, and a hint only makes us look
    given = request.headers.get(settings.webhook_header.lower(), "").strip()
    expected = hmac.new(settings.webhook_key.encode(), request.body, hashlib.sha256).digest()
    if not any(hmac.compare_digest(one, expected) for one in _digests(given.removeprefix("sha256="))):
        raise InvalidSignature(f"the signature in {settings.webhook_header} is missing or wrong")


def read(request: InboundRequest) -> list[AppNotice]:
    """Return what a call says: which booking or job of which tenant to look at; unknown types say nothing."""
    event = _event(request)
    data = (event.data if event is not None else None) or {}
    tenant = data.get("tenantId")
    refs = list(dict.fromkeys(_refs(data)))
    if tenant is None or not refs:
        return []
    return [Hint(identity=str(tenant), refs=refs)]


def message_id(request: InboundRequest) -> str | None:
    """Return the occurrence's id, the same for each attempt to deliver it."""
    event = _event(request)
    return event.userassignedid if event is not None else None


def _refs(data: dict[str, Any]) -> list[tuple[str, str]]:
    """Return the records that a payload is about; a job is known by the booking that became it, too."""
    found: list[tuple[str, Any]] = []
    if isinstance(booking := data.get("booking"), dict):
        found += [("booking", booking.get("id")), ("job", booking.get("jobId"))]
    if isinstance(job := data.get("job"), dict):
        found += [("booking", job.get("bookingId")), ("job", job.get("id"))]
    for key in ("invoice", "appointment"):
        if isinstance(one := data.get(key), dict):
            inner = one.get("job")
            found.append(("job", inner.get("id") if isinstance(inner, dict) else one.get("jobId")))
    return [(kind, str(number)) for kind, number in found if isinstance(number, int) and not isinstance(number, bool)]


def _event(request: InboundRequest) -> CloudEvent | None:
    try:
        return msgspec.json.decode(request.body, type=CloudEvent)
    except msgspec.DecodeError:
        return None


def _digests(given: str) -> list[bytes]:
    """Return what a signature may mean: hex, or base64."""
    found: list[bytes] = []
    with contextlib.suppress(ValueError):
        found.append(bytes.fromhex(given))
    with contextlib.suppress(binascii.Error, ValueError):
        found.append(base64.b64decode(given, validate=True))
    return found
