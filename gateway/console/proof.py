"""Proof that a form was filled in on a page of ours: cross-site request forgery is refused.

Two lines of defence: the browser's own word on where a request comes from (``Sec-Fetch-Site``, ``Origin``), and a
token in each form that is made from the session's secret.
"""

import base64
import binascii
import hashlib
import hmac
import secrets
from typing import Any
from urllib.parse import urlsplit

from litestar import Request

from gateway.settings import Settings

FIELD = "csrf"
_LENGTH = 32


def token_for(session: str) -> str:
    """Return a token for one page: masked, so that no two pages hold the same bytes and compression tells nothing."""
    mask = secrets.token_bytes(_LENGTH)
    return base64.urlsafe_b64encode(mask + _xor(mask, _secret(session))).decode()


def fits(session: str, token: str) -> bool:
    """Say whether a token was made for this session."""
    try:
        raw = base64.b64decode(token.encode(), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        return False
    return len(raw) == 2 * _LENGTH and hmac.compare_digest(_xor(raw[:_LENGTH], raw[_LENGTH:]), _secret(session))


def is_own(request: Request[Any, Any, Any], settings: Settings) -> bool:
    """Say whether the browser says that one of our own pages sent this; no word counts as no."""
    site = request.headers.get("sec-fetch-site")
    if site is not None:
        return bool(site == "same-origin")
    origin = request.headers.get("origin")
    return origin is not None and origin == "{0.scheme}://{0.netloc}".format(urlsplit(settings.public_url))


def _secret(session: str) -> bytes:
    return hmac.new(session.encode(), b"console forms", hashlib.sha256).digest()


def _xor(one: bytes, other: bytes) -> bytes:
    return bytes(a ^ b for a, b in zip(one, other, strict=True))
