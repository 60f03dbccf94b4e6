"""The OAuth server: the consent page, the token endpoint, revoking, installing from the Marketplace.

Source: ``VENDOR.md``, chapter 2. The JSON keys of token errors are unconfirmed there: ours carry both
``error`` and ``message``, and the option ``token_error_keys`` leaves one of them out.
"""

import base64
import binascii
from dataclasses import dataclass, field
from datetime import timedelta
from html import escape
from urllib.parse import parse_qsl, urlencode

from gateway_pipedrive.sandbox.errors import VendorError, unauthorized
from gateway_pipedrive.sandbox.outbox import WebhookOutbox
from gateway_pipedrive.sandbox.state import (
    AccessToken,
    AuthorizationCode,
    Company,
    Installation,
    RefreshToken,
    State,
    User,
)

Json = dict[str, object]

CODE_LIFE = timedelta(minutes=5)
ACCESS_SECONDS = 3599
REFRESH_IDLE = timedelta(days=60)
ALL_SCOPES = ("base", "contacts:full", "deals:full", "leads:full", "search:read", "users:read", "admin")


@dataclass
class OAuthServer:
    """The vendor's authorisation server for one app.

    Attributes:
        callback_url: The app's one callback; None learns it from the first authorisation request.
        scopes: What the app asks for. They are set on the app; an installation keeps those of its time.
        rotate: A refresh answers a new refresh token and the old one is "already exchanged".
    """

    state: State
    outbox: WebhookOutbox
    client_id: str = "sandbox-client"
    client_secret: str = "sandbox-secret"  # noqa: S105 - the sandbox's own, known to everybody
    callback_url: str | None = None
    scopes: set[str] = field(default_factory=lambda: set(ALL_SCOPES))
    rotate: bool = False
    error_keys: tuple[str, ...] = ("error", "message")

    # The browser's part

    def check_authorize(self, query: dict[str, str]) -> str | None:
        """Say why an authorisation request is refused, or nothing."""
        if query.get("client_id") != self.client_id:
            return "Invalid client: client_id is unknown"
        redirect_uri = query.get("redirect_uri")
        if not redirect_uri:
            return "Invalid request: redirect_uri is missing"
        if self.callback_url is None:
            self.callback_url = redirect_uri
        if redirect_uri != self.callback_url:
            return "Invalid request: redirect_uri is not the callback URL of the app"
        return None

    def consent_page(self, query: dict[str, str]) -> str:
        """Render the page that asks a user to allow the app."""
        hidden = "".join(
            f'<input type="hidden" name="{escape(key)}" value="{escape(value)}">'
            for key, value in query.items()
            if key in {"client_id", "redirect_uri", "state"}
        )
        users = "".join(
            f'<option value="{user.id}">{escape(user.name)}, {escape(self.state.companies[user.company_id].name)}'
            "</option>"
            for user in self.state.users.values()
        )
        scopes = "".join(f"<li>{escape(scope)}</li>" for scope in sorted(self.scopes))
        return (
            '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>Pipedrive sandbox</title></head>'
            "<body><h1>Pipedrive sandbox</h1><p>This app asks for access to your company:</p>"
            f'<ul>{scopes}</ul><form method="post" action="/oauth/authorize">{hidden}'
            f'<p><label>Signed in as <select name="user_id">{users}</select></label></p>'
            '<button name="decision" value="allow">Allow and Install</button> '
            '<button name="decision" value="deny">Deny</button></form></body></html>'
        )

    def decide(self, form: dict[str, str]) -> str:
        """Return where the browser goes after the decision."""
        assert self.callback_url is not None
        answer: dict[str, str] = {}
        if form.get("decision") == "allow":
            answer["code"] = self.issue_code(self._user(form.get("user_id")))
        else:
            answer["error"] = "user_denied"
        if "state" in form:
            answer["state"] = form["state"]
        return with_query(self.callback_url, answer)

    def marketplace_url(self, user: User) -> str:
        """Return where an install from the Marketplace sends the browser: a code and no ``state``."""
        if self.callback_url is None:
            raise VendorError(400, {"success": False, "error": "the app has no callback URL yet"})
        return with_query(self.callback_url, {"code": self.issue_code(user)})

    def issue_code(self, user: User) -> str:
        """Install the app for a user and return a code of five minutes."""
        installation = Installation(user.company_id, user.id, self.client_id, set(self.scopes))
        self.state.installations.append(installation)
        code = self.state.unguessable("code")
        expires = self.state.now() + CODE_LIFE
        self.state.codes[code] = AuthorizationCode(code, installation, self.callback_url or "", expires)
        return code

    def _user(self, user_id: str | None) -> User:
        if user_id and user_id.isdigit() and int(user_id) in self.state.users:
            return self.state.users[int(user_id)]
        return next(iter(self.state.users.values()))

    # The server's part

    def token(self, authorization: str | None, raw: bytes) -> tuple[Company, Json]:
        """Answer ``POST /oauth/token``: exchange a code, or refresh.

        Returns:
            The company of the token, and the answer without its ``api_domain``.
        """
        form = dict(parse_qsl(raw.decode(), keep_blank_values=True))
        self._check_client(authorization, form)
        grant = form.get("grant_type")
        if not grant:
            raise self._error("invalid_request", "Missing parameter: grant_type")
        if grant == "authorization_code":
            return self._exchange(form)
        if grant == "refresh_token":
            return self._refresh(form)
        raise self._error("unsupported_grant_type", "Unsupported grant type")

    def revoke(self, authorization: str | None, raw: bytes) -> None:
        """Answer ``POST /oauth/revoke``: a refresh token uninstalls the app for its user, an access token just ends."""
        form = dict(parse_qsl(raw.decode(), keep_blank_values=True))
        self._check_client(authorization, form)
        token = form.get("token", "")
        if token in self.state.refresh_tokens:
            self.remove_installations(self.state.refresh_tokens[token].installation)
        self.state.access_tokens.pop(token, None)

    def remove_installations(self, like: Installation) -> None:
        """Uninstall the app for a user: tokens die, its webhooks of this user are removed (chapter 2.5)."""
        for installation in self.state.installations:
            if (installation.company_id, installation.user_id) == (like.company_id, like.user_id):
                installation.is_alive = False
        for subscription in self.state.subscriptions.values():
            if (subscription.company_id, subscription.owner_id) == (like.company_id, like.user_id):
                self.outbox.remove(subscription, "app uninstalled")

    def authenticate(self, authorization: str | None, api_token: str | None) -> tuple[User, set[str] | None, str]:
        """Find who calls.

        Returns:
            The user, the scopes (None for a personal token, which may do everything), and the token.
        """
        if api_token:
            for user in self.state.users.values():
                if user.api_token == api_token:
                    return user, None, api_token
            raise unauthorized()
        scheme, _, token = (authorization or "").partition(" ")
        known = self.state.access_tokens.get(token)
        if scheme.lower() != "bearer" or known is None or known.expires <= self.state.now():
            raise unauthorized()
        user = self.state.users[known.installation.user_id]
        if not known.installation.is_alive or not user.is_active:
            raise unauthorized()
        return user, known.installation.scopes, token

    def _exchange(self, form: dict[str, str]) -> tuple[Company, Json]:
        code = self.state.codes.get(form.get("code", ""))
        if code is None or code.is_used or not code.installation.is_alive:
            raise self._error("invalid_grant", "Invalid grant: authorization_code is invalid")
        if code.expires <= self.state.now():
            raise self._error("invalid_grant", "Invalid grant: authorization_code has expired")
        if form.get("redirect_uri") != code.redirect_uri:
            raise self._error("invalid_request", "Invalid request: redirect_uri is invalid")
        code.is_used = True
        return self._answer(code.installation, self._new_refresh(code.installation))

    def _refresh(self, form: dict[str, str]) -> tuple[Company, Json]:
        known = self.state.refresh_tokens.get(form.get("refresh_token", ""))
        now = self.state.now()
        if known is None or known.is_revoked or not known.installation.is_alive:
            raise self._error("invalid_grant", "Invalid grant: refresh_token is invalid")
        if known.is_exchanged:
            raise self._error("invalid_grant", "Invalid grant: refresh_token is invalid or it was already exchanged")
        if now - known.last_used > REFRESH_IDLE:
            raise self._error("invalid_grant", "Invalid grant: refresh_token has expired")
        known.last_used = now
        if self.rotate:
            known.is_exchanged = True
            known = self._new_refresh(known.installation)
        return self._answer(known.installation, known)

    def _new_refresh(self, installation: Installation) -> RefreshToken:
        secret = self.state.unguessable("refresh")
        token = f"{installation.company_id}:{installation.user_id}:{secret}"
        self.state.refresh_tokens[token] = RefreshToken(token, installation, self.state.now())
        return self.state.refresh_tokens[token]

    def _answer(self, installation: Installation, refresh: RefreshToken) -> tuple[Company, Json]:
        # The real token is long and its length grows (chapter 2.2); a short one would hide a column that is too narrow.
        token = "v1u:" + "".join(self.state.unguessable("access") for _ in range(8))
        expires = self.state.now() + timedelta(seconds=ACCESS_SECONDS)
        self.state.access_tokens[token] = AccessToken(token, installation, expires)
        return self.state.companies[installation.company_id], {
            "access_token": token,
            "token_type": "Bearer",
            "expires_in": ACCESS_SECONDS,
            "refresh_token": refresh.token,
            "scope": ",".join(sorted(installation.scopes)),
        }

    def _check_client(self, authorization: str | None, form: dict[str, str]) -> None:
        given = basic_credentials(authorization) or (form.get("client_id"), form.get("client_secret"))
        if given != (self.client_id, self.client_secret):
            raise self._error("invalid_client", "Invalid client: client is invalid")

    def _error(self, error: str, message: str) -> VendorError:
        both = {"error": error, "message": message}
        if self.error_keys == ("error",):
            both["error"] = message
        return VendorError(400, {"success": False, **{key: both[key] for key in self.error_keys}})


def basic_credentials(authorization: str | None) -> tuple[str, str] | None:
    """Read user and password out of a Basic header."""
    scheme, _, encoded = (authorization or "").partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        user, _, password = base64.b64decode(encoded, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return None
    return user, password


def with_query(url: str, parameters: dict[str, str]) -> str:
    """Add parameters to a URL that may have some."""
    return f"{url}{'&' if '?' in url else '?'}{urlencode(parameters)}"
