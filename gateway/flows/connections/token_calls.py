"""The wire of OAuth 2.0: a code or refresh token goes to the vendor; tokens come back, or a refusal.

Nothing is stored here; see ``credentials``.
"""

import asyncio
from collections.abc import Mapping
from datetime import datetime, timedelta

import httpx
import msgspec

from gateway.flows.services import Services
from gateway.plugins import Integration
from gateway.sdk.errors import Misconfigured, ReauthRequired, Rejected, RetryLater
from gateway.sdk.http import dated, retry_after
from gateway_schemas.manifest import OAuth2

TIMEOUT = httpx.Timeout(10)
CALL_SECONDS = 30.0


class Tokens(msgspec.Struct, frozen=True, kw_only=True):
    """What a token endpoint answered.

    Attributes:
        fresh_until: Until when the access token is used; a little less than the vendor says.
        expires_at: When the vendor says that it ends.
        api_domain: Base URL of the tenant's API, where the vendor answers one; checked.
        scopes: Scopes that were granted, where the answer says so.
    """

    access_token: str
    refresh_token: str | None
    fresh_until: datetime
    expires_at: datetime
    api_domain: str | None = None
    scopes: list[str] | None = None


class TokenAnswer(msgspec.Struct, kw_only=True):
    """The JSON of a token endpoint (RFC 6749, section 5.1, and ``api_domain``)."""

    access_token: str
    refresh_token: str | None = None
    expires_in: float = 3600
    scope: str | list[str] | None = None
    api_domain: str | None = None


def setting(integration: Integration, name: str) -> str:
    """Return a setting of the plugin that the manifest names.

    Raises:
        Misconfigured: It is not set; names the variable.
    """
    value = getattr(integration.settings, name, None)
    if integration.settings_error is not None or not value:
        variable = f"GATEWAY_{integration.key.upper()}_{name.upper()}"
        raise Misconfigured(integration.settings_error or f"{variable} is not set; see docs/settings.md")
    return str(value).rstrip("/")


async def exchange_code(services: Services, integration: Integration, code: str, redirect_uri: str) -> Tokens:
    """Exchange an authorisation code for tokens.

    Raises:
        ReauthRequired: The code is wrong, used or too old.
        Misconfigured: The vendor refused our app.
        RetryLater: The vendor could not be reached.
        Rejected: The answer cannot be used.
    """
    form = {"grant_type": "authorization_code", "code": code, "redirect_uri": redirect_uri}
    return await _ask(services, integration, form)


async def refresh(services: Services, integration: Integration, refresh_token: str) -> Tokens:
    """Exchange a refresh token; errors as of ``exchange_code``."""
    return await _ask(services, integration, {"grant_type": "refresh_token", "refresh_token": refresh_token})


async def revoke(services: Services, integration: Integration, tokens: Tokens) -> None:
    """Revoke tokens at the vendor (RFC 7009).

    Raises:
        NotImplementedError: The vendor offers no revocation.
        RetryLater: It could not be reached or failed.
        Rejected: It refused.
    """
    auth = integration.manifest.auth
    if not isinstance(auth, OAuth2) or auth.revoke_path is None:
        raise NotImplementedError(f"{integration.key} offers no revocation")
    kind = "refresh_token" if tokens.refresh_token is not None else "access_token"
    form = {"token": tokens.refresh_token or tokens.access_token, "token_type_hint": kind}
    response = await post_form(
        services, integration, auth.base_url_setting, auth.revoke_path, form, _app(integration, auth)
    )
    if not response.is_success:
        raise Rejected(f"{integration.key}: revoking the token was answered {response.status_code}")


async def _ask(services: Services, integration: Integration, form: Mapping[str, str]) -> Tokens:
    auth = integration.manifest.auth
    assert isinstance(auth, OAuth2)
    response = await post_form(
        services, integration, auth.base_url_setting, auth.token_path, form, _app(integration, auth)
    )
    return read_tokens(services, integration, response)


def _app(integration: Integration, auth: OAuth2) -> tuple[str, str]:
    return setting(integration, auth.client_id_setting), setting(integration, auth.client_secret_setting)


async def post_form(
    services: Services,
    integration: Integration,
    base_url_setting: str,
    path: str,
    form: Mapping[str, str],
    app: tuple[str, str] | None,
) -> httpx.Response:
    """Send a form to the vendor's authorisation server and return its answer, unless it should be asked later.

    Raises:
        RetryLater: It could not be reached, is over its limit, or failed.
        Misconfigured: Its base URL is not set.
    """
    url = setting(integration, base_url_setting) + path
    what = f"{integration.key}: POST {path}"
    basic = httpx.BasicAuth(*app) if app else httpx.Auth()
    try:
        async with asyncio.timeout(CALL_SECONDS):
            response = await services.vendor_http.post(url, data=dict(form), auth=basic, timeout=TIMEOUT)
    except (httpx.TransportError, TimeoutError) as error:
        raise RetryLater(
            f"{what}: the vendor could not be reached ({type(error).__name__})", after_seconds=5
        ) from error
    if response.status_code == 429 or response.status_code >= 500:
        dated(response, services.clock.now())
        seconds = retry_after(response, default=10)
        raise RetryLater(f"{what} was answered {response.status_code}", after_seconds=seconds)
    return response


def read_tokens(services: Services, integration: Integration, response: httpx.Response) -> Tokens:
    """Return the tokens of an answer; errors as of ``exchange_code``."""
    if not response.is_success:
        raise refusal(integration.key, response)
    try:
        answer = msgspec.json.decode(response.content, type=TokenAnswer)
    except msgspec.DecodeError as error:  # also ValidationError; the text may hold tokens, so it is not quoted
        raise RetryLater(f"{integration.key}: the token answer cannot be read", after_seconds=10) from error
    now = services.clock.now()
    life = max(answer.expires_in, 1.0)
    return Tokens(
        access_token=answer.access_token,
        refresh_token=answer.refresh_token,
        fresh_until=now + timedelta(seconds=life - min(60.0, life / 10)),
        expires_at=now + timedelta(seconds=life),
        api_domain=answer.api_domain.rstrip("/") if answer.api_domain else None,
        scopes=split_scopes(answer.scope),
    )


def split_scopes(scope: str | list[str] | None) -> list[str] | None:
    """Return the scopes of a token answer; they may be separated by commas, spaces or both."""
    if scope is None:
        return None
    return scope if isinstance(scope, list) else scope.replace(",", " ").split()


def refusal(key: str, response: httpx.Response) -> ReauthRequired | Misconfigured:
    """Return what a refused token call means: the grant is bad, or our app is.

    The keys of error bodies differ (``error``, ``message``, a sentence), so the text as a whole is read.
    """
    text = response.text[:2000].lower().replace("_", " ")
    if "invalid grant" in text:
        return ReauthRequired(f"{key}: the vendor refused the grant; authorise again")
    if any(word in text for word in ("client", "redirect uri", "unsupported", "missing parameter")):
        return Misconfigured(f"{key}: the vendor refused our app; check its client id, client secret and callback URL")
    if response.status_code in (400, 401) and ("grant" in text or "token" in text or "code" in text):
        return ReauthRequired(f"{key}: the vendor refused the grant; authorise again")
    return Misconfigured(f"{key}: the token call was answered {response.status_code}; check the app's settings")


def refused_domain(services: Services, integration: Integration, tokens: Tokens) -> str | None:
    """Return why the ``api_domain`` of a token answer may not be used; ``None`` when it may.

    Tokens are sent there, so it must be https under one of the manifest's suffixes, or, where local targets are
    allowed for development, the host of a base URL that the operator set.
    """
    if tokens.api_domain is None:
        return None
    auth = integration.manifest.auth
    suffixes = auth.host_suffixes if isinstance(auth, OAuth2) else []
    try:
        url = httpx.URL(tokens.api_domain)
    except httpx.InvalidURL:
        return f"the vendor named an API base URL that cannot be read: {tokens.api_domain!r}"
    if (
        url.scheme == "https"
        and url.port is None
        and not url.userinfo
        and url.path == "/"
        and _is_under(url.host, suffixes)
    ):
        return None
    if services.settings.allow_local_targets and url.host in {base.host for base in configured_urls(integration)}:
        return None
    return f"the vendor named an API base URL outside its own hosts: {tokens.api_domain!r}"


def configured_urls(integration: Integration) -> list[httpx.URL]:
    """Return the base URLs among the plugin's settings."""
    if integration.settings is None:
        return []
    values = (getattr(integration.settings, name) for name in integration.settings.__struct_fields__)
    return [
        httpx.URL(value) for value in values if isinstance(value, str) and value.startswith(("https://", "http://"))
    ]


def _is_under(host: str, suffixes: list[str]) -> bool:
    bare = [suffix.lstrip(".") for suffix in suffixes]
    return any(host == suffix or host.endswith(f".{suffix}") for suffix in bare)
