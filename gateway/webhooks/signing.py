"""Sign messages by Standard Webhooks: one ``v1`` signature for each live secret of the endpoint.

The library overwrites the time zone of the instant that it is given instead of converting it, so an aware UTC time is
made here, and the header is the floor of that same instant.

Source: standardwebhooks.com, specification 1.0.0, and the package ``standardwebhooks`` 1.1.
"""

import base64
import math
import secrets
from collections.abc import Sequence
from datetime import UTC, datetime

from standardwebhooks.webhooks import Webhook

PREFIX = "whsec_"
SECRET_BYTES = 32


def new_secret() -> str:
    """Return a new secret as receivers' libraries take it: ``whsec_`` and 32 random bytes in base64."""
    return PREFIX + base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode()


def sign(message_id: str, body: bytes, live_secrets: Sequence[str], at: datetime) -> dict[str, str]:
    """Return the three headers of one attempt.

    Args:
        message_id: The same for each attempt and replay; a ``.`` in it would make the signed text ambiguous.
        body: The exact bytes that are sent, UTF-8.
        live_secrets: The current secret first, then one that was rotated out and still signs.
        at: The instant of this attempt, aware.

    Raises:
        ValueError: No secret, a naive time, or a ``.`` in the id.
    """
    if "." in message_id:
        raise ValueError(f"message id {message_id!r} holds a dot")
    if not live_secrets:
        raise ValueError(f"message {message_id} has no secret to sign with")
    if at.tzinfo is None:
        raise ValueError("naive datetime given to sign(); pass an aware time")
    instant = at.astimezone(UTC)
    text = body.decode()
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(math.floor(instant.timestamp())),
        "webhook-signature": " ".join(Webhook(secret).sign(message_id, instant, text) for secret in live_secrets),
    }
