"""Routes that are no API calls: the controls over HTTP, and a page to look at for people who try the gateway by hand.

Everything on the page that came from outside is escaped.
"""

from html import escape
from typing import Any
from urllib.parse import parse_qsl

from litestar import Request, Response, get, post, route
from litestar.handlers import HTTPRouteHandler

from gateway.sdk import sandboxes
from gateway.sdk.sandboxes import page, table
from gateway_servicetitan.sandbox.controls import COMMANDS, Controls
from gateway_servicetitan.sandbox.errors import VendorError
from gateway_servicetitan.sandbox.gate import render
from gateway_servicetitan.sandbox.jobs import STATUSES
from gateway_servicetitan.sandbox.state import Booking, Job, Tenant

AnyRequest = Request[Any, Any, Any]

TITLE = "ServiceTitan sandbox"


def control_routes(sandbox: Controls) -> list[HTTPRouteHandler]:
    """Make ``POST /_control/{command}``: every control, its parameters as a JSON object."""
    commands = COMMANDS | {"reset", "advance", "demo_tenant"}

    @route("/_control/{command:str}", http_method=["GET", "POST"], status_code=200)
    async def control(request: AnyRequest) -> Response[bytes]:
        command = str(request.path_params["command"])
        return render(*await sandboxes.control(sandbox, commands, command, await request.body(), VendorError))

    return [control]


def screen_routes(sandbox: Controls) -> list[HTTPRouteHandler]:
    """Make the page and the actions behind its buttons."""

    @get("/", status_code=200)
    async def screen() -> Response[bytes]:
        tenants = "".join(_tenant(tenant) for tenant in sandbox.state.tenants.values())
        return render(page(TITLE, tenants + _logs(sandbox)), 200)

    @post("/_screen/{action:str}", status_code=200)
    async def act(request: AnyRequest) -> Response[bytes]:
        form = dict(parse_qsl((await request.body()).decode()))
        try:
            _act(sandbox, str(request.path_params["action"]), form)
        except (VendorError, KeyError, ValueError) as refused:
            return render(page(TITLE, f"<p>Refused: {escape(str(refused))}</p>"), 400)
        return Response(b"", status_code=303, headers={"location": "/"})

    return [screen, act]


def _act(sandbox: Controls, action: str, form: dict[str, str]) -> None:
    tenant, record = int(form["tenant"]), int(form["record"])
    match action:
        case "convert":
            sandbox.convert_booking(record, tenant_id=tenant)
        case "dismiss":
            sandbox.dismiss_booking(record, tenant_id=tenant)
        case "status":
            sandbox.set_job_status(record, form["status"], tenant_id=tenant)
        case "total":
            sandbox.set_job_total(record, form["total"], tenant_id=tenant)
        case _:
            raise ValueError(f"no action {action!r}")


def _tenant(tenant: Tenant) -> str:
    bookings = [
        (
            str(one.id),
            escape(str(one.body["name"])),
            _pre(str(one.body["summary"])),
            one.status,
            _booking_buttons(tenant, one),
        )
        for one in tenant.bookings.values()
    ]
    jobs = [
        (str(one.id), str(one.booking or ""), one.status, str(one.total or ""), _job_buttons(tenant, one))
        for one in tenant.jobs.values()
    ]
    people = [
        (str(one.id), escape(one.name), escape(", ".join(it.value for it in tenant.contacts_of(one.id))))
        for one in tenant.customers.values()
        if one.active
    ]
    access = [
        (escape(one.client_id), escape(one.client_secret), str(one.provider or "no restriction"))
        for one in tenant.access
        if one.enabled
    ]
    return (
        f"<h2>{escape(tenant.name)}, tenant {tenant.id}</h2>"
        f"<h3>API Application Access</h3>{table(('Client ID', 'Client Secret', 'Booking provider'), access)}"
        f"<h3>Bookings</h3>{table(('Id', 'Name', 'Summary', 'Status', ''), bookings)}"
        f"<h3>Jobs</h3>{table(('Id', 'Booking', 'Status', 'Total', ''), jobs)}"
        f"<h3>Customers</h3>{table(('Id', 'Name', 'Contacts'), people)}"
    )


def _logs(sandbox: Controls) -> str:
    calls = [
        (entry.method, f"<code>{escape(entry.path)}</code>", str(entry.status))
        for entry in sandbox.front.log[-30:][::-1]
    ]
    hooks = [
        (escape(str(one.payload["type"])), escape(one.url), str(one.status)) for one in sandbox.outbox.log[-30:][::-1]
    ]
    return (
        f"<h2>Latest calls</h2>{table(('Method', 'Path', 'Status'), calls)}"
        f"<h2>Latest webhooks</h2>{table(('Event', 'To', 'Status'), hooks)}"
    )


def _booking_buttons(tenant: Tenant, booking: Booking) -> str:
    if booking.job is not None:
        return f"Job {booking.job}"
    return (
        _button(tenant, "convert", booking.id, "Book a job") + " " + _button(tenant, "dismiss", booking.id, "Dismiss")
    )


def _job_buttons(tenant: Tenant, job: Job) -> str:
    options = "".join(f"<option{' selected' if one == job.status else ''}>{one}</option>" for one in STATUSES)
    chosen = f'<select name="status" aria-label="Status">{options}</select>'
    total = f'<input name="total" size="8" value="{job.total or 0}" aria-label="Total">'
    return (
        _button(tenant, "status", job.id, "Set status", chosen)
        + " "
        + _button(tenant, "total", job.id, "Set total", total)
    )


def _button(tenant: Tenant, action: str, record: int, label: str, inputs: str = "") -> str:
    return (
        f'<form method="post" action="/_screen/{action}"><input type="hidden" name="tenant" value="{tenant.id}">'
        f'<input type="hidden" name="record" value="{record}">{inputs}<button>{label}</button></form>'
    )


def _pre(text: str) -> str:
    return escape(text).replace("\n", "<br>")
