"""The token server: client credentials in, a JWT for 900 seconds out; its throttle is its own.

Source: ``VENDOR.md``, chapter 2. What the throttle answers is not documented; ours is a 429.
"""

import base64
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qsl

import msgspec

from gateway_servicetitan.sandbox.errors import VendorError, invalid_client, unauthorized
from gateway_servicetitan.sandbox.state import State, Token

Json = dict[str, Any]


class TokenServer:
    """Gives tokens and knows them again.

    Attributes:
        given: How many tokens were given, to see that clients cache them.
    """

    def __init__(self, state: State, *, life_seconds: int, claims: bool) -> None:
        self._state = state
        self._life = timedelta(seconds=life_seconds)
        self._claims = claims
        self.given = 0

    def give(self, content_type: str, raw: bytes) -> Json:
        """Answer a token request.

        Raises:
            VendorError: In OAuth's own body.
        """
        if not content_type.startswith("application/x-www-form-urlencoded"):
            raise VendorError(400, {"error": "invalid_request"})
        form = dict(parse_qsl(raw.decode(), keep_blank_values=True))
        if form.get("grant_type") != "client_credentials":
            raise VendorError(400, {"error": "unsupported_grant_type"})
        access = next(
            (
                one
                for tenant in self._state.tenants.values()
                for one in tenant.access
                if one.enabled
                and one.client_id == form.get("client_id")
                and one.client_secret == form.get("client_secret")
            ),
            None,
        )
        if access is None:
            raise invalid_client()
        now = self._state.now()
        value = self._token(access.client_id, access.tenant, sorted(access.scopes))
        self._state.tokens[value] = Token(value, access, frozenset(access.scopes), now + self._life)
        self.given += 1
        return {
            "access_token": value,
            "expires_in": int(self._life.total_seconds()),
            "token_type": "Bearer",
            "scope": " ".join(sorted(access.scopes)),
        }

    def known(self, header: str | None) -> Token:
        """Return the token of a call; the word ``Bearer`` before it may be missing.

        Raises:
            VendorError: It is missing, unknown, or has expired.
        """
        scheme, _, rest = (header or "").partition(" ")
        token = self._state.tokens.get(rest if scheme.lower() == "bearer" else scheme)
        if token is None or token.expires <= self._state.now():
            raise unauthorized()
        return token

    def expire(self) -> None:
        """Let every token end now."""
        self._state.tokens.clear()

    def _token(self, client_id: str, tenant: int, scopes: list[str]) -> str:
        if not self._claims:
            return self._state.word(40)
        now = int(self._state.now().timestamp())
        payload = {
            "nbf": now,
            "exp": now + int(self._life.total_seconds()),
            "iat": now,
            "iss": "https://auth.servicetitan.io",
            "client_id": client_id,
            "tenant": str(tenant),
            "jti": self._state.word(16),
            "scope": scopes,
        }
        parts = [_part({"alg": "RS256", "typ": "at+jwt"}), _part(payload), self._state.word(43)]
        return ".".join(parts)


def _part(value: Json) -> str:
    return base64.urlsafe_b64encode(msgspec.json.encode(value)).decode().rstrip("=")
