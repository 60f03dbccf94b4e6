"""How a page is made: templates, the headers that guard it, redirects, and what people see when something fails."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any, cast
from urllib.parse import quote, urlencode, urlsplit

import msgspec
import structlog
from jinja2 import Environment, PackageLoader, StrictUndefined
from litestar import Request, Response
from litestar.exceptions import HTTPException

from gateway.console import assets, forms, proof
from gateway.console.notices import NOTICES
from gateway.console.texts import Texts
from gateway.console.visitors import FRAME_HEADER, Visitor, find_visitor, in_frame
from gateway.errors import Refused, not_found
from gateway.flows import accounts
from gateway.flows.refusals import meaning_of
from gateway.flows.services import Services
from gateway.settings import Settings
from gateway_schemas.account import Account
from gateway_schemas.manifest import OAuth2

AnyRequest = Request[Any, Any, Any]
SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
_log = structlog.get_logger(__name__)


# --- templates -----------------------------------------------------------------------------------------


@lru_cache(maxsize=1)
def environment() -> Environment:
    """Return the templates, compiled once a process."""
    made = Environment(
        loader=PackageLoader("gateway.console"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    made.globals["asset"] = assets.url_of
    made.filters["tojson_pretty"] = _as_json
    return made


def _as_json(value: Any) -> str:
    return msgspec.json.format(msgspec.json.encode(value), indent=2).decode()


def html(
    settings: Settings,
    template: str,
    *,
    status: int = 200,
    texts: Texts | None = None,
    headers: Mapping[str, str] | None = None,
    form_targets: tuple[str, ...] = (),
    **context: Any,
) -> Response[str]:
    """Return a page.

    Args:
        settings: Of the gateway.
        template: Its file.
        status: HTTP status.
        texts: Language and zone; default: English, UTC.
        headers: More headers (a cookie).
        form_targets: Origins of vendors to which a form of this page may lead by a redirect.
        context: What the template shows.
    """
    words = texts or Texts()
    shown = environment().get_template(template).render(
        _=words.say, ngettext=words.count, texts=words, support=settings.support_contact, **context
    )  # fmt: skip
    said = {**guarding(settings, form_targets), **(headers or {})}
    return Response(shown, status_code=status, media_type="text/html; charset=utf-8", headers=said)


def guarding(settings: Settings, form_targets: tuple[str, ...] = ()) -> dict[str, str]:
    """Return the headers of every page: nothing from elsewhere, nothing inline, framed by known origins alone."""
    parents = " ".join(one.rstrip("/") for one in settings.console_origins) or "'none'"
    policy = {
        "default-src": "'none'",
        "script-src": "'self'",
        "style-src": "'self'",
        "img-src": "'self' data:",
        "connect-src": "'self'",
        "form-action": " ".join(("'self'", *form_targets)),
        "frame-ancestors": parents,
        "base-uri": "'none'",
    }
    return {
        "cache-control": "no-store",
        "content-security-policy": "; ".join(f"{name} {value}" for name, value in policy.items()),
        "permissions-policy": "camera=(), geolocation=(), microphone=()",
        "referrer-policy": "same-origin",
        "vary": f"cookie, sec-fetch-dest, hx-request, {FRAME_HEADER}",
        "x-content-type-options": "nosniff",
    }


def redirect(path: str, headers: Mapping[str, str] | None = None) -> Response[str]:
    """Send the browser on, by GET."""
    said = {"location": path, "cache-control": "no-store", **(headers or {})}
    return Response("", status_code=303, media_type="text/html", headers=said)


def path_of(*parts: str, **query: str | None) -> str:
    """Return a path below ``/console``."""
    path = "/".join(("/console", *(quote(part, safe="") for part in parts)))
    given = {name: value for name, value in query.items() if value not in (None, "")}
    return f"{path}?{urlencode(given)}" if given else path


# --- a page of somebody who is signed in -----------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Desk:
    """What every page of a visitor works with.

    Attributes:
        account: Whose page it is; ``None`` on an operator's pages about all accounts.
    """

    request: AnyRequest
    services: Services
    visitor: Visitor
    account: Account | None
    texts: Texts

    @property
    def account_id(self) -> str:
        """Id of the account of this page."""
        assert self.account is not None
        return self.account.id

    @property
    def is_partial(self) -> bool:
        """Say whether htmx asks for a part of the page."""
        return self.request.headers.get("hx-request") == "true"

    @property
    def now(self) -> datetime:
        """The time of this page."""
        return self.services.clock.now()

    def page(self, template: str, *, status: int = 200, **context: Any) -> Response[str]:
        """Return a page with navigation."""
        said = NOTICES.get(self.request.query_params.get("said", ""))
        return html(
            self.services.settings,
            template,
            status=status,
            texts=self.texts,
            form_targets=_vendors(self.services),
            desk=self,
            visitor=self.visitor,
            account=self.account,
            now=self.now,
            csrf=proof.token_for(self.visitor.token),
            said=said,
            path=self.request.url.path,
            to=self.to,
            **context,
        )

    def to(self, *parts: str, **query: str | None) -> str:
        """Return a path of this account's pages."""
        return path_of("a", self.account_id, *parts, **query)

    def go(self, *parts: str, said: str | None = None, **query: str | None) -> Response[str]:
        """Send the browser to another page of this account, which says what was done."""
        return redirect(self.to(*parts, said=said, **query))

    async def form(self) -> forms.Form:
        """Return what was sent."""
        return await forms.read(self.request)

    def require_operator(self) -> None:
        """Go on if an operator looks.

        Raises:
            Refused: ``host_key_required``.
        """
        if self.visitor.kind != "operator":
            raise Refused("host_key_required", "Only operators see this page. Sign in with a host key.")


async def find_desk(request: AnyRequest, services: Services) -> Desk:
    """Return what a page works with: who looks, at which account, in which language.

    Raises:
        Refused: ``unauthenticated``; ``not_found`` for another account.
        Unproven: A form was not sent by a page of this session.
    """
    account_id = request.path_params.get("account")
    if request.method in SAFE:
        visitor = await find_visitor(request, services, account_id, operator=account_id is None)
    else:
        visitor = await find_sender(request, services, account_id, operator=account_id is None)
    account = None
    if account_id is not None:
        if not visitor.sees(account_id):
            raise not_found("account", account_id)
        account = await accounts.get_account(services, account_id)
    else:
        Desk(request, services, visitor, None, Texts()).require_operator()
    texts = _scope(request)[_TEXTS] = Texts.of(account)
    return Desk(request, services, visitor, account, texts)


class Unproven(Exception):
    """A form came without the proof of its session, though one of our pages sent it: the session is another one now.

    Args:
        token: Proof for the session that there is now: whoever sees the page may send the form again.
    """

    def __init__(self, token: str) -> None:
        super().__init__("the form belongs to another session")
        self.token = token


async def find_sender(
    request: AnyRequest, services: Services, account_id: str | None, *, operator: bool = False
) -> Visitor:
    """Return who sent a form: the session, of those in this browser, whose page it stood on.

    Raises:
        Refused: ``unauthenticated``; ``forbidden_origin``.
        Unproven: None of the sessions that fit made this form.
    """
    await _keep_typed(request, services)
    refuse_strangers(request, services)
    given = (await forms.read(request)).get(proof.FIELD)
    visitor = await find_visitor(request, services, account_id, operator=operator, proof=given)
    if not proof.fits(visitor.token, given):
        raise Unproven(proof.token_for(visitor.token))
    return visitor


def refuse_strangers(request: AnyRequest, services: Services) -> None:
    """Go on if one of our own pages sent this form.

    Raises:
        Refused: ``forbidden_origin``.
    """
    if not proof.is_own(request, services.settings):
        raise Refused("forbidden_origin", "Another site sent this form. Nothing was done. Open the page and try again.")


@lru_cache(maxsize=8)
def _origins(urls: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(sorted({"{0.scheme}://{0.netloc}".format(urlsplit(url)) for url in urls}))


def _vendors(services: Services) -> tuple[str, ...]:
    """Return the origins of vendors' authorisation pages, to which *Connect* leads."""
    found = []
    for one in services.integrations:
        auth = one.manifest.auth
        url = getattr(one.settings, auth.base_url_setting, None) if isinstance(auth, OAuth2) else None
        if isinstance(url, str):
            found.append(url)
    return _origins(tuple(found))


# --- what failed -----------------------------------------------------------------------------------------


def problem_page(services: Services) -> Callable[[AnyRequest, Exception], Response[str]]:
    """Return the handler of every exception below ``/console``."""

    def answer(request: AnyRequest, error: Exception) -> Response[str]:
        refused = refused_for(error)
        if refused.code == "internal":
            _log.error("console.failed", path=request.url.path, exc_info=error)
        # the element that asked may choose a part that this page does not have: its whole content takes the place
        headers = {"hx-retarget": "body", "hx-reswap": "innerHTML", "hx-reselect": "main"}
        if refused.retry_after is not None:
            headers["retry-after"] = str(max(1, round(refused.retry_after)))
        return html(
            services.settings,
            "problem.html",
            status=refused.kind.status,
            texts=_scope(request).get(_TEXTS),
            headers=headers,
            title=refused.kind.title,
            detail=refused.detail,
            code=refused.code,
            advice=refused.kind.advice,
            problems=refused.problems,
            kept=_scope(request).get(_TYPED),
            token=error.token if isinstance(error, Unproven) else "",
            target=request.url.path,
            back=_back(request, services),
            framed=in_frame(request),
        )

    return answer


_TYPED = "console.typed"
_TEXTS = "console.texts"
"""How the account of the page reads, once it is known that the visitor may see it."""


async def _keep_typed(request: AnyRequest, services: Services) -> None:
    """Remember what was typed on a page of ours, to be sent again; nothing of others' forms, and no secrets."""
    if not proof.is_own(request, services.settings):
        return
    pairs = (await forms.read(request)).pairs
    _scope(request)[_TYPED] = [
        (name, value) for name, value in pairs if name != proof.FIELD and not name.startswith("secret.")
    ]


def _scope(request: AnyRequest) -> dict[str, Any]:
    return cast("dict[str, Any]", request.scope)


def _back(request: AnyRequest, services: Services) -> str | None:
    """Return the page of ours that the browser comes from."""
    came = urlsplit(request.headers.get("referer", ""))
    own = urlsplit(services.settings.public_url)
    if (came.scheme, came.netloc) != (own.scheme, own.netloc) or not came.path.startswith("/console"):
        return None
    return came.path if came.path != request.url.path or request.method not in SAFE else None


_BY_STATUS = {400: "invalid_request", 404: "not_found", 405: "method_not_allowed", 413: "too_large"}


def refused_for(error: Exception) -> Refused:
    """Return the refusal that an exception means."""
    if isinstance(error, Unproven):
        detail = "The page belongs to another session than this browser has now. What you typed is kept below."
        return Refused("session_changed", detail)
    if isinstance(error, HTTPException) and error.status_code in _BY_STATUS:
        code = _BY_STATUS[error.status_code]
        return Refused(code, "There is no such page." if code == "not_found" else error.detail)
    return meaning_of(error)
