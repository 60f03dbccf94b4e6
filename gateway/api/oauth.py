"""``/v1/oauth/{integration}/callback``: where vendors send browsers back, and tell that a customer removed our app."""

from html import escape
from typing import Any
from urllib.parse import urlencode, urlsplit, urlunsplit

import structlog
from litestar import Request, Response, delete, get
from litestar.di import NamedDependency
from litestar.params import FromPath

from gateway.api.problems import refused_for
from gateway.errors import Refused
from gateway.flows.connections import browsers, installations, oauth
from gateway.flows.connections.installations import Installed
from gateway.flows.services import Services
from gateway.sdk.inbound import InboundRequest
from gateway.storage.connections import ConnectionRow

log = structlog.get_logger(__name__)

TAGS = ["connections"]
PATH = "/v1/oauth/{integration:str}/callback"

HEADERS = {
    "cache-control": "no-store",
    "content-security-policy": "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}
"""No script, no frame, and no address of this page (it held a code) to anybody else."""


@get(PATH, tags=TAGS, security=[], opt={"any_query": True}, media_type="text/html")
async def come_back(
    request: Request[Any, Any, Any], services: NamedDependency[Services], integration: FromPath[str]
) -> Response[str]:
    """Take a browser back from a vendor's authorisation and show, or tell the ``return_url``, what became of it."""
    query = {name: str(value) for name, value in request.query_params.items()}
    try:
        if "state" in query:
            if len(request.query_params.getall("state")) > 1:
                raise Refused("state_invalid", "The authorisation came back with two states. Begin again.")
            back = await oauth.come_back(services, integration, query, request.cookies)
            answer = _connected(services, back.row, back.error)
            if gone := browsers.cleared(services.settings, query["state"], request.cookies):
                answer.set_header("set-cookie", gone)
            return answer
        if "error" in query or not query.get("code"):
            raise Refused("authorisation_denied", "The vendor sent no authorisation. Begin again to connect.")
        return _installed(services, await installations.install(services, integration, query["code"]))
    except Exception as error:  # a person stands before this page, whatever failed
        refused = refused_for(error)
        if refused.code == "internal":
            log.exception("oauth.failed", integration=integration)
        return _refused(services, refused)


@delete(PATH, tags=TAGS, status_code=200, security=[], opt={"any_query": True})
async def uninstalled(
    request: Request[Any, Any, Any], services: NamedDependency[Services], integration: FromPath[str]
) -> dict[str, int]:
    """Take a vendor's call that a customer removed our app there; it proves where it comes from."""
    call = InboundRequest(
        method=request.method,
        headers={name.lower(): value for name, value in request.headers.items()},
        query={name: str(value) for name, value in request.query_params.items()},
        body=await request.body(),
    )
    return {"disconnected": await oauth.take_uninstall(services, integration, call)}


# --- pages ---------------------------------------------------------------------------------------------


def _connected(
    services: NamedDependency[Services], row: ConnectionRow | None, error: Exception | None
) -> Response[str]:
    refused = refused_for(error) if error is not None else None
    if row is not None and row.return_url is not None:
        told = {"connection": row.id, "state": row.state, **({"problem": refused.code} if refused else {})}
        return Response("", status_code=303, headers={**HEADERS, "location": _with_query(row.return_url, told)})
    if refused is not None:
        return _refused(services, refused)
    name = escape(row.name or row.integration) if row is not None else ""
    if row is not None and row.state != "active":
        return _page(200, "Almost done", f"<p>{name}: go back to the page you came from for the next step.</p>")
    limits = "".join(f"<li>{escape(one.message)}</li>" for one in row.limitations) if row is not None else ""
    more = f"<p>What this connection cannot do:</p><ul>{limits}</ul>" if limits else ""
    return _page(200, "Connected", f"<p>{name} is connected. You can close this window.</p>{more}")


def _installed(services: NamedDependency[Services], installed: Installed) -> Response[str]:
    body = (
        f"<p>{escape(installed.name)} is installed, and waits for the account that it belongs to.</p>"
        f"<p>Open your referral account in this browser and confirm, or enter this code there within the hour:</p>"
        f"<p class=code>{escape(installed.code)}</p>"
    )
    answer = _page(200, "One more step", body)
    answer.set_header("set-cookie", installations.kept(services.settings, installed.cookie))
    return answer


def _refused(services: NamedDependency[Services], refused: Refused) -> Response[str]:
    contact = services.settings.support_contact
    whom = f"<p>Questions: {escape(contact)}</p>" if contact else ""
    body = f"<p>{escape(refused.detail)}</p><p>Nothing was connected ({escape(refused.code)}).</p>{whom}"
    return _page(refused.kind.status, refused.kind.title, body)


def _page(status: int, title: str, body: str) -> Response[str]:
    html = (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        "<style>body{font:16px/1.5 system-ui,sans-serif;max-width:36rem;margin:4rem auto;padding:0 1rem}"
        ".code{font:600 1.5rem ui-monospace,monospace}</style>"
        f"</head><body><main><h1>{escape(title)}</h1>{body}</main></body></html>"
    )
    return Response(html, status_code=status, headers=HEADERS, media_type="text/html")


def _with_query(url: str, told: dict[str, str]) -> str:
    parts = urlsplit(url)
    query = "&".join(part for part in (parts.query, urlencode(told)) if part)
    return urlunsplit(parts._replace(query=query))


ROUTES = [come_back, uninstalled]
