"""A page that stands for the vendor's screens: leads to convert, deals to move and win, what was called and sent.

For people who try the gateway by hand; tests call the controls. Everything that came from outside is escaped.
"""

from collections.abc import Callable
from html import escape
from typing import Any
from urllib.parse import parse_qsl

from litestar import Request, Response, get, post
from litestar.handlers import HTTPRouteHandler

from gateway.sdk.sandboxes import page, table
from gateway_pipedrive.sandbox.controls import Controls
from gateway_pipedrive.sandbox.errors import VendorError
from gateway_pipedrive.sandbox.gate import render
from gateway_pipedrive.sandbox.state import Company, Deal, Lead

AnyRequest = Request[Any, Any, Any]

TITLE = "Pipedrive sandbox"


def screen_routes(sandbox: Controls) -> list[HTTPRouteHandler]:
    """Make the page and the actions behind its buttons."""

    @get("/", status_code=200)
    async def screen() -> Response[bytes]:
        companies = "".join(_company(company) for company in sandbox.state.companies.values())
        return render(page(TITLE, companies + _logs(sandbox)), 200)

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
    company, record = int(form["company"]), form["record"]
    if action == "convert":
        sandbox.convert_lead(record, int(form["stage"]), company_id=company)
    elif action == "move":
        sandbox.move_deal(int(record), int(form["stage"]), company_id=company)
    elif action == "value":
        sandbox.update_deal(int(record), company_id=company, value=float(form["value"]))
    else:
        actions: dict[str, Callable[..., Deal]] = {
            "won": sandbox.win_deal,
            "lost": sandbox.lose_deal,
            "open": sandbox.reopen_deal,
        }
        actions[action](int(record), company_id=company)


def _company(company: Company) -> str:
    people = [
        (str(one.id), escape(one.name), escape(", ".join(entry["value"] for entry in one.emails)))
        for one in company.persons.values()
        if not one.is_deleted
    ]
    leads = [
        (escape(one.title), _person(company, one), _button(company, "convert", one.id, "Convert", _stages(company)))
        for one in company.leads.values()
        if not one.is_deleted
    ]
    deals = [
        (str(one.id), escape(one.title), _person(company, one), _money(one), one.status, _deal_buttons(company, one))
        for one in company.deals.values()
        if not one.is_deleted
    ]
    return (
        f"<h2>{escape(company.name)}</h2>"
        f"<h3>Leads</h3>{table(('Title', 'Person', ''), leads)}"
        f"<h3>Deals</h3>{table(('Id', 'Title', 'Person', 'Value', 'Status', ''), deals)}"
        f"<h3>People</h3>{table(('Id', 'Name', 'E-mail'), people)}"
    )


def _logs(sandbox: Controls) -> str:
    calls = [
        (entry.method, f"<code>{escape(entry.path)}</code>", str(entry.status), str(entry.cost))
        for entry in sandbox.front.log[-30:][::-1]
        if entry.cost or entry.path.startswith("/oauth")
    ]
    hooks = [
        (escape(f"{one.payload['meta']['entity']}.{one.payload['meta']['action']}"), escape(one.url), str(one.status))
        for one in sandbox.outbox.log[-30:][::-1]
    ]
    return (
        f"<h2>Latest calls</h2>{table(('Method', 'Path', 'Status', 'Tokens'), calls)}"
        f"<h2>Latest webhooks</h2>{table(('Event', 'To', 'Status'), hooks)}"
    )


def _deal_buttons(company: Company, deal: Deal) -> str:
    chosen = _stages(company, deal.stage_id)
    value = f'<input name="value" size="6" value="{deal.value:g}">'
    rest = ("won", "lost") if deal.status == "open" else ("open",)
    buttons = [
        _button(company, "move", deal.id, "Move", chosen),
        _button(company, "value", deal.id, "Set value", value),
    ]
    return " ".join(buttons + [_button(company, word, deal.id, word.capitalize()) for word in rest])


def _button(company: Company, action: str, record: int | str, label: str, inputs: str = "") -> str:
    return (
        f'<form method="post" action="/_screen/{action}"><input type="hidden" name="company" value="{company.id}">'
        f'<input type="hidden" name="record" value="{escape(str(record))}">{inputs}<button>{label}</button></form>'
    )


def _stages(company: Company, chosen: int | None = None) -> str:
    options = "".join(
        f'<option value="{stage.id}"{" selected" if stage.id == chosen else ""}>'
        f"{escape(pipeline.name)}: {escape(stage.name)}</option>"
        for pipeline in company.pipelines.values()
        for stage in company.stages_of(pipeline.id)
    )
    return f'<select name="stage" aria-label="Stage">{options}</select>'


def _person(company: Company, record: Deal | Lead) -> str:
    person = company.persons.get(record.person_id or 0)
    return escape(person.name) if person else ""


def _money(deal: Deal) -> str:
    return f"{deal.value:g} {escape(deal.currency)}"
