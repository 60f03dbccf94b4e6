"""Calls that a vendor makes to us: the request as bytes, what a plugin reads from it, and Basic auth."""

import base64
import binascii
import hmac
from collections.abc import Mapping

import msgspec

from gateway.sdk.errors import InvalidSignature


class InboundRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A call as it came in; header names are lower-case, the body is untouched.

    Attributes:
        body: As it was sent, for signatures.
    """

    method: str
    headers: Mapping[str, str]
    query: Mapping[str, str]
    body: bytes


class WebhookRegistration(msgspec.Struct, frozen=True, kw_only=True):
    """One subscription at the vendor that calls us.

    Attributes:
        external_id: The vendor's id of the subscription.
        subject: What it tells of, for people.
        healthy: The vendor sends to it; false: polls go on at their full pace.
        secret: What the vendor signs its calls with, where it makes that itself and tells it once, on creation. The
            host keeps it in the vault and hands it back as ``connection.webhook_secrets[external_id]``; ``None``
            afterwards leaves what is kept. A subscription of ours whose secret is not there is to be replaced: the
            answer that told it was lost.
    """

    external_id: str
    subject: str
    healthy: bool = True
    secret: str | None = None

    def __repr__(self) -> str:
        """Return it without the secret."""
        return f"WebhookRegistration({self.external_id!r}, {self.subject!r}, healthy={self.healthy})"


class Uninstalled(msgspec.Struct, frozen=True, kw_only=True):
    """The vendor says that a customer removed our app.

    Attributes:
        identity: Of the tenant.
        user: The vendor user whose authorisation ended; null: the whole tenant's.
    """

    identity: str
    user: str | None = None


class Hint(msgspec.Struct, frozen=True, kw_only=True):
    """Something changed for this vendor tenant; look at these records.

    Attributes:
        identity: Of the tenant; one that is not connected here is passed over.
        refs: Kind and id of each record. A record that was made from another one is known by that one at first: name
            both (a job and its booking).
    """

    identity: str
    refs: list[tuple[str, str]]


AppNotice = Uninstalled | Hint


def require_basic_auth(request: InboundRequest, username: str, password: str) -> None:
    """Check HTTP Basic auth in constant time.

    Raises:
        InvalidSignature: The header is missing, malformed, or names someone else.
    """
    scheme, _, encoded = request.headers.get("authorization", "").partition(" ")
    try:
        given = base64.b64decode(encoded, validate=True) if scheme.lower() == "basic" else b""
    except (binascii.Error, ValueError):
        given = b""
    if not hmac.compare_digest(given, f"{username}:{password}".encode()):
        raise InvalidSignature("Basic auth is missing or wrong")
