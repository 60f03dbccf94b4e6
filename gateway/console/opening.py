"""Getting in and out: a session link and a click, an operator's sign-in, signing out."""

from typing import Any

from litestar import Response, get, post
from litestar.di import NamedDependency

from gateway.console import forms
from gateway.console.pages import AnyRequest, Desk, find_sender, html, path_of, redirect, refuse_strangers
from gateway.console.texts import Texts
from gateway.console.visitors import FRAMED, OPERATOR, SESSION, Visitor, cookie, find_visitor, in_frame
from gateway.errors import PROBLEMS, Refused
from gateway.flows import access, operators
from gateway.flows.services import Services


@get("/open")
async def ask_to_open(request: AnyRequest, services: NamedDependency[Services]) -> Response[str]:
    """Show the button that opens the console: what only looks at a link (a preview) uses nothing up.

    The page names the account, so that nobody opens one that they did not mean, while the link still opens it. Who has
    the link could open the account itself, so a preview learns nothing that it could not have had; and nothing else.
    """
    link = request.query_params.get("link", "")
    account = await access.peek(services, link)
    name = "" if account is None else account.name
    framed = in_frame(request)
    return html(services.settings, "open.html", texts=Texts.of(account), link=link, name=name, framed=framed)


@post("/open")
async def open_console(request: AnyRequest, services: NamedDependency[Services]) -> Response[str]:
    """Use a session link up and go to the account's campaigns, or settings while nothing is connected."""
    refuse_strangers(request, services)
    form = await forms.read(request)
    try:
        opened = await access.open_session(services, form.get("link"))
    except Refused as error:
        again = await _already_open(request, services, form.get("link"))
        if again is not None:  # a double click, or the back button
            return redirect(home_of(again))
        return html(
            services.settings, "open.html", status=401, link="", name="", error=error.detail, framed=in_frame(request)
        )
    name = FRAMED if in_frame(request) else SESSION
    path = path_of("a", opened.account_id)
    return redirect(path, {"set-cookie": cookie(services.settings, name, opened.token)})


async def _already_open(request: AnyRequest, services: Services, link: str) -> Visitor | None:
    """Return the session of this browser that is of the link's account; a link must not open another account."""
    account_id = await access.account_of_link(services, link)
    if account_id is None:
        return None
    try:
        visitor = await find_visitor(request, services, account_id)
    except Refused:
        return None
    return visitor if visitor.account_id == account_id else None


@get("/")
async def root(request: AnyRequest, services: NamedDependency[Services]) -> Response[str]:
    """Go to where the visitor belongs."""
    visitor = await find_visitor(request, services, None)
    return redirect(home_of(visitor))


def home_of(visitor: Visitor) -> str:
    """Return the first page of a visitor."""
    return path_of("accounts") if visitor.account_id is None else path_of("a", visitor.account_id)


@get("/a/{account:str}")
async def account_home(desk: NamedDependency[Desk]) -> Response[str]:
    """Go to the account's campaigns."""
    return desk.go("campaigns")


@get("/connected")
async def connected(request: AnyRequest, services: NamedDependency[Services]) -> Response[str]:
    """Say what became of an authorisation in a window of its own; the page that opened it learns it by itself."""
    query = request.query_params
    problem = PROBLEMS.get(query.get("problem", ""))
    return html(services.settings, "connected.html", problem=problem, state=query.get("state", ""))


@get("/sign-in")
async def ask_for_key(request: AnyRequest, services: NamedDependency[Services]) -> Response[str]:
    """Show the operators' sign-in."""
    return html(services.settings, "sign_in.html", framed=in_frame(request), error="")


@post("/sign-in")
async def sign_in(request: AnyRequest, services: NamedDependency[Services]) -> Response[str]:
    """Sign an operator in with the host key; wrong keys are counted."""
    refuse_strangers(request, services)
    form = await forms.read(request)
    address = request.client.host if request.client is not None else ""
    try:
        token = await operators.sign_in(services, form.get("secret.key"), address)
    except Refused as error:
        headers = {} if error.retry_after is None else {"retry-after": str(max(1, round(error.retry_after)))}
        return html(
            services.settings,
            "sign_in.html",
            status=error.kind.status,
            headers=headers,
            error=error.detail,
            framed=in_frame(request),
        )
    return redirect(path_of("accounts"), {"set-cookie": cookie(services.settings, OPERATOR, token)})


@post("/sign-out")
async def sign_out(request: AnyRequest, services: NamedDependency[Services]) -> Response[str]:
    """End the session of this page, here and everywhere."""
    form = await forms.read(request)
    visitor = await find_sender(request, services, form.get("account") or None)
    if visitor.kind == "operator":
        await operators.sign_out(services, visitor.token)
    else:
        await access.end_session(services, visitor.token)
    gone = cookie(services.settings, visitor.cookie, "", max_age=0)
    return html(services.settings, "signed_out.html", headers={"set-cookie": gone}, operator=visitor.kind == "operator")


ROUTES: list[Any] = [ask_to_open, open_console, root, account_home, connected, ask_for_key, sign_in, sign_out]
