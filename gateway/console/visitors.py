"""Who looks at the console: a session of one account, or an operator; and the cookies that say so.

Outside a frame the cookie is ``SameSite=Lax``. In a frame of another site browsers send only cookies that are
``SameSite=None``, and keep those apart by the embedding site (``Partitioned``); it has a name of its own, so that a
window and a frame of one browser do not end each other's session.
"""

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Any, Literal

from litestar import Request

from gateway.console.proof import fits
from gateway.errors import Refused
from gateway.flows import access, cookies, operators
from gateway.flows.services import Services
from gateway.settings import Settings

SESSION, FRAMED, OPERATOR = "gateway_session", "gateway_framed", "gateway_operator"
FRAME_HEADER = "gateway-framed"
"""Sent by htmx from pages in a frame: of a request by a script the browser does not say where the page stands."""

_FRAMES = frozenset({"iframe", "frame", "embed", "object"})
MAX_AGE = round(access.SESSION_LIFE.total_seconds())
AnyRequest = Request[Any, Any, Any]


@dataclass(frozen=True, slots=True)
class Visitor:
    """Who looks.

    Attributes:
        account_id: The one account of a session; ``None`` for an operator, who sees all.
        token: Of the session; the proof of forms is made from it.
        framed: The page stands in a frame: a vendor's page opens in a new window.
        cookie: Name of the cookie that the token came in, without prefix.
    """

    kind: Literal["session", "operator"]
    account_id: str | None
    token: str
    framed: bool
    cookie: str

    def sees(self, account_id: str) -> bool:
        """Say whether this account is there for the visitor."""
        return self.kind == "operator" or account_id == self.account_id


async def find_visitor(
    request: AnyRequest, services: Services, account_id: str | None, *, operator: bool = False, proof: str | None = None
) -> Visitor:
    """Return who looks; of several sessions in one browser the one that fits the account of the page.

    A form was made by a page of one session, and belongs to that one, whichever others this browser has now.

    Args:
        request: With the cookies.
        services: The process's services.
        account_id: Whose page it is; ``None``: nobody's alone.
        operator: The page is for operators.
        proof: What a form brought as proof of its session.

    Raises:
        Refused: ``unauthenticated`` when there is no session or it has ended.
    """
    found = [one async for one in _visitors(request, services)]
    if not found:
        raise Refused("unauthenticated", "Your session has ended, or this browser has none.")
    fitting = [
        one
        for one in found
        if (account_id is None or one.sees(account_id)) and (one.kind == "operator" or not operator)
    ]
    if proof is not None:
        fitting.sort(key=lambda one: not fits(one.token, proof))
    return (fitting or found)[0]


async def _visitors(request: AnyRequest, services: Services) -> AsyncIterator[Visitor]:
    # pages ask by htmx whether something moved (every GET of it does): that is no click, and keeps no session alive
    slide = not (request.method == "GET" and request.headers.get("hx-request") == "true")
    for name, token in _tokens(request, services.settings):
        framed = name == FRAMED or in_frame(request)
        if name == OPERATOR:
            if await operators.is_operator(services, token, slide=slide):
                yield Visitor("operator", None, token, framed, name)
            continue
        if not token.startswith(access.SESSION_PREFIX):
            continue
        grant = await access.authenticate(services, token, slide=slide)
        if grant is not None and grant.kind == "session":
            yield Visitor("session", grant.account_id, token, framed, name)


def _tokens(request: AnyRequest, settings: Settings) -> Iterator[tuple[str, str]]:
    order = (FRAMED, SESSION, OPERATOR) if in_frame(request) else (SESSION, OPERATOR, FRAMED)
    for name in order:
        token = request.cookies.get(cookies.prefix(settings) + name)
        if token:
            yield name, token


def in_frame(request: AnyRequest) -> bool:
    """Say whether the browser shows the answer in a frame; browsers say so themselves, and for htmx the page does."""
    return request.headers.get("sec-fetch-dest") in _FRAMES or request.headers.get(FRAME_HEADER) == "true"


# --- cookies -------------------------------------------------------------------------------------------


def cookie(settings: Settings, name: str, token: str, *, max_age: int = MAX_AGE) -> str:
    """Return the ``Set-Cookie`` header of a session; ``max_age`` 0 takes it away."""
    return cookies.header(settings, name, token, max_age=max_age, in_frames=name == FRAMED)
