"""Settings → Integrations: a card for each installed integration, drawn from its manifest and its connection."""

from dataclasses import dataclass
from typing import Any

from litestar import Response, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath

from gateway.console import forms
from gateway.console.pages import AnyRequest, Desk, path_of, redirect, refuse_strangers
from gateway.console.proof import FIELD
from gateway.errors import PROBLEMS, Refused, invalid
from gateway.flows.connections import browsers, disconnect, installations, oauth, own_keys, steps
from gateway.flows.connections import connect as flow
from gateway.flows.connections.connect_steps import authorise_url, integration_of, shown, step_of
from gateway.flows.connections.health import health_of
from gateway.flows.refusals import meaning_of
from gateway.flows.services import Services
from gateway.plugins import Integration
from gateway.sdk.errors import PluginError
from gateway.storage import connections
from gateway.storage.connections import ConnectionRow
from gateway_schemas.connection import ConnectInput, Connection, Health, StepInput
from gateway_schemas.manifest import AccountKey, ConnectStep, Manifest, OAuth2
from gateway_schemas.problem import FieldProblem

STATES = {
    "awaiting_authorisation": ("Connecting", "wait"),
    "pending_approval": ("Pending", "wait"),
    "awaiting_credentials": ("Finalise", "wait"),
    "active": ("Connected", "good"),
    "needs_reauth": ("Reconnect", "bad"),
    "disconnected": ("Disconnected", ""),
}
"""The word that people see for each state of a connection, and its tone."""


@dataclass(frozen=True, slots=True)
class Card:
    """What a card shows.

    Attributes:
        row: The open connection of this integration.
        step: What it has to do next.
        other: The manifest of another CRM that is connected, which this one would replace.
        problem: Why it cannot be used.
    """

    key: str
    manifest: Manifest
    problem: str | None
    row: ConnectionRow | None = None
    step: ConnectStep | None = None
    health: Health | None = None
    other: Manifest | None = None

    @property
    def moves(self) -> bool:
        """Say whether the state may change by itself soon, so that the page asks again."""
        return self.row is not None and self.row.state in ("awaiting_authorisation", "pending_approval")


@get("/a/{account:str}/settings")
async def settings(desk: NamedDependency[Desk]) -> Response[str]:
    """Go to the only settings there are."""
    return desk.go("settings", "integrations")


@get("/a/{account:str}/settings/integrations")
async def show_integrations(desk: NamedDependency[Desk]) -> Response[str]:
    """Show a card for each integration."""
    query = desk.request.query_params
    problem = PROBLEMS.get(query.get("problem", ""))
    found = await cards(desk)
    return desk.page(
        "integrations.html",
        cards=found,
        states=STATES,
        problem=problem,
        back_from=query.get("state"),
        installs=any(
            isinstance(one.manifest.auth, OAuth2) and one.manifest.auth.installs_without_state
            for one in found
            if one.row is None
        ),
        waiting_install=await installations.waiting(desk.services, _install_proof(desk)),
        quarantined=desk.services.integrations.quarantined if desk.visitor.kind == "operator" else [],
    )


async def cards(desk: Desk) -> list[Card]:
    """Return the cards of the account, CRMs first."""
    async with desk.services.database.read() as conn:
        rows = await connections.list_of_account(conn, desk.account_id, limit=50)
    mine = {row.integration: row for row in reversed(rows) if row.state != "disconnected"}
    crm = next((row for row in mine.values() if row.category == "crm"), None)
    made = [await _card(desk, one, mine.get(one.key), crm) for one in desk.services.integrations]
    return sorted(made, key=lambda one: (one.manifest.category != "crm", one.manifest.name))


async def _card(desk: Desk, one: Integration, row: ConnectionRow | None, crm: ConnectionRow | None) -> Card:
    other = None
    if crm is not None and crm.integration != one.key and one.manifest.category == "crm":
        found = desk.services.integrations.get(crm.integration)
        other = found.manifest if found is not None and crm.state != "awaiting_authorisation" else None
    return Card(
        key=one.key,
        manifest=one.manifest,
        problem=one.settings_error,
        row=row,
        step=None if row is None else step_of(one, row.step),
        health=None if row is None or row.activated_at is None else await health_of(desk.services, row),
        other=other,
    )


# --- connect -------------------------------------------------------------------------------------------


@post("/a/{account:str}/settings/integrations/{integration:str}/connect")
async def connect(desk: NamedDependency[Desk], integration: FromPath[str]) -> Response[str]:
    """Begin to connect, or go on where it stands."""
    return await _begin(desk, integration)


async def _begin(desk: Desk, key: str) -> Response[str]:
    proof = browsers.new_proof()
    try:
        started = await steps.begin(
            desk.services,
            desk.account_id,
            ConnectInput(integration=key, return_url=_return_url(desk)),
            state=browsers.state_of(proof),
            form=await _form_token(desk),
        )
    except Refused as error:
        if error.code == "crm_already_connected":
            return desk.go("settings", "integrations", key, "switch")
        raise
    return _next(desk, shown(desk.services, started.row, state=started.state, key=started.key), proof)


async def _form_token(desk: Desk) -> str:
    """Return what tells one form from all others: a form that is sent twice makes one key."""
    return (await desk.form()).get(FIELD)


def _return_url(desk: Desk) -> str:
    """Return where the vendor's page leads back to: in a new window there is no session, so a page that needs none."""
    base = desk.services.settings.public_url
    return base + (path_of("connected") if desk.visitor.framed else desk.to("settings", "integrations"))


def _next(desk: Desk, connection: Connection, proof: str) -> Response[str]:
    """Lead to what has to happen next; a key that connecting made is shown this once.

    Args:
        desk: Of the page.
        connection: With its next step.
        proof: Of the browser, from which the state of an authorisation was made. A frame's cookies are not those of
            the window in which the vendor's page opens, so there the window gets it (``leave``).
    """
    if connection.key is not None:
        integration = desk.services.integrations.get(connection.integration)
        assert integration is not None
        return desk.page("connection_key.html", secret=connection.key.key, manifest=integration.manifest)
    step = connection.next_step
    if step is None:
        return desk.go("settings", "integrations", said="connected")
    if step.kind != "redirect" or step.url is None:
        return desk.go("settings", "connections", connection.id)
    if not desk.visitor.framed:
        return redirect(step.url, {"set-cookie": browsers.kept(desk.services.settings, proof)})
    found = desk.services.integrations.get(connection.integration)
    assert found is not None
    return desk.page("leave.html", connection=connection, step=step, manifest=found.manifest, proof_of_browser=proof)


@post("/leave")
async def leave(request: AnyRequest, services: NamedDependency[Services]) -> Response[str]:
    """Give a window that a frame opened its browser's proof, and lead to the vendor.

    The window has no session: that a page of ours sent the form is what there is to know, and all that is needed.
    Another site that led somebody here could have them authorise what it began.

    Raises:
        Refused: ``forbidden_origin``; ``invalid_input`` for what is no proof.
    """
    refuse_strangers(request, services)
    form = await forms.read(request)
    integration, _ = oauth.oauth_of(services, form.get("integration"))
    proof = form.get("browser")
    if not browsers.is_proof(proof):
        raise invalid(FieldProblem(field="browser", message="Close this window and begin to connect again."))
    url = authorise_url(services, integration, browsers.state_of(proof))
    return redirect(url, {"set-cookie": browsers.kept(services.settings, proof)})


@get("/a/{account:str}/settings/connections/{connection:str}")
async def show_connection(desk: NamedDependency[Desk], connection: FromPath[str]) -> Response[str]:
    """Show a connection: the form to fill in now, what it waits for, or how it is doing."""
    row = await find_row(desk, connection)
    return await _connection_page(desk, row)


async def _connection_page(
    desk: Desk,
    row: ConnectionRow,
    *,
    status: int = 200,
    values: dict[str, str] | None = None,
    errors: dict[str, list[str]] | None = None,
    alert: str | None = None,
) -> Response[str]:
    integration = desk.services.integrations.get(row.integration)
    manifest = None if integration is None else integration.manifest
    step = None if integration is None or row.state in ("active", "disconnected") else step_of(integration, row.step)
    return desk.page(
        "connection.html",
        status=status,
        row=row,
        manifest=manifest,
        step=step,
        health=await health_of(desk.services, row),
        states=STATES,
        values=values or {},
        errors=errors or {},
        alert=alert,
        has_keys=manifest is not None and isinstance(manifest.auth, AccountKey),
        keys=await own_keys.keys_of(desk.services, row),
    )


@get("/a/{account:str}/settings/connections/{connection:str}/state")
async def poll_connection(desk: NamedDependency[Desk], connection: FromPath[str]) -> Response[str]:
    """Tell a page that waits whether the state has changed; it then goes on by itself."""
    row = await find_row(desk, connection)
    if row.state == desk.request.query_params.get("is"):
        return Response("", status_code=204, media_type="text/html")
    said = "connected" if row.state == "active" else "not_connected" if row.state == "disconnected" else None
    target = desk.to("settings", "integrations", said=said)
    return Response("", media_type="text/html", headers={"hx-redirect": target, "cache-control": "no-store"})


@post("/a/{account:str}/settings/connections/{connection:str}/steps/{step:str}")
async def submit(desk: NamedDependency[Desk], connection: FromPath[str], step: FromPath[str]) -> Response[str]:
    """Take the values of a form of the manifest; what is wrong is shown beside its field."""
    row = await find_row(desk, connection)
    form = await desk.form()
    values = {**dict(form.starting("plain.")), **dict(form.starting("secret."))}
    try:
        row = await steps.submit(desk.services, row, step, StepInput(values=values))
    except (Refused, PluginError) as error:
        refused = meaning_of(error)
        if refused.code == "wrong_state":  # the back button, or another window was first
            return desk.go("settings", "connections", connection, said="already")
        return await _again(desk, row, form_values=values, error=refused)
    if row.state == "active":
        return desk.go("settings", "integrations", said="connected")
    return desk.go(
        "settings", "connections", row.id, said="pending" if row.state == "pending_approval" else "next_step"
    )


async def _again(desk: Desk, row: ConnectionRow, *, form_values: dict[str, str], error: Refused) -> Response[str]:
    errors: dict[str, list[str]] = {}
    for one in error.problems:
        errors.setdefault(one.field.removeprefix("values."), []).append(one.message)
    alert = None if errors else error.detail
    return await _connection_page(desk, row, status=422, values=form_values, errors=errors, alert=alert)


@post("/a/{account:str}/settings/connections/{connection:str}/reauthorise")
async def reauthorise(desk: NamedDependency[Desk], connection: FromPath[str]) -> Response[str]:
    """Authorise a connection again; until that is done it stays as it is."""
    row = await find_row(desk, connection)
    proof = browsers.new_proof()
    started = await flow.reauthorise(
        desk.services, row, _return_url(desk), state=browsers.state_of(proof), form=await _form_token(desk)
    )
    return _next(desk, shown(desk.services, started.row, state=started.state or "", key=started.key), proof)


@post("/a/{account:str}/settings/connections/{connection:str}/keys/{key:str}/revoke")
async def revoke_key(desk: NamedDependency[Desk], connection: FromPath[str], key: FromPath[str]) -> Response[str]:
    """Revoke one key of an automation."""
    row = await find_row(desk, connection)
    await own_keys.revoke(desk.services, row, key)
    return desk.go("settings", "connections", connection, said="key_revoked")


@post("/a/{account:str}/settings/connections/{connection:str}/approve")
async def approve(desk: NamedDependency[Desk], connection: FromPath[str]) -> Response[str]:
    """Approve a connection that waits for the operator."""
    desk.require_operator()
    row = await find_row(desk, connection)
    try:
        await steps.approve(desk.services, row)
    except Refused as error:
        if error.code != "wrong_state":
            raise
        return desk.go("settings", "integrations", said="already")
    if (await desk.form()).get("then") == "accounts":
        return redirect(path_of("accounts", said="approved"))
    return desk.go("settings", "integrations", said="approved")


@post("/a/{account:str}/settings/installations/claim")
async def claim(desk: NamedDependency[Desk]) -> Response[str]:
    """Give an install that began in a vendor's marketplace to this account, by its code or this browser's cookie."""
    form = await desk.form()
    await installations.claim(
        desk.services,
        desk.account_id,
        code=form.get("code") or None,
        cookie=_install_proof(desk),
        expected=form.get("installation") or None,
    )
    return _without_install(desk, "connected")


@post("/a/{account:str}/settings/installations/dismiss")
async def dismiss(desk: NamedDependency[Desk]) -> Response[str]:
    """Forget in this browser an install that is not this person's; unclaimed, it is revoked within the hour."""
    return _without_install(desk, "dismissed")


def _install_proof(desk: Desk) -> str | None:
    return installations.proof_in(desk.services.settings, desk.request.cookies)


def _without_install(desk: Desk, said: str) -> Response[str]:
    gone = installations.cleared(desk.services.settings)
    return redirect(desk.to("settings", "integrations", said=said), {"set-cookie": gone})


# --- end -----------------------------------------------------------------------------------------------


@get("/a/{account:str}/settings/connections/{connection:str}/disconnect")
async def ask_to_disconnect(desk: NamedDependency[Desk], connection: FromPath[str]) -> Response[str]:
    """Say what disconnecting means, and ask."""
    row = await find_row(desk, connection)
    if row.state == "disconnected":
        return desk.go("settings", "integrations", said="already")
    return desk.page(
        "disconnect.html", row=row, manifest=_manifest(desk, row), health=await health_of(desk.services, row)
    )


@post("/a/{account:str}/settings/connections/{connection:str}/disconnect")
async def end(desk: NamedDependency[Desk], connection: FromPath[str]) -> Response[str]:
    """Disconnect, or cancel what is not connected yet, and show the receipt."""
    row = await find_row(desk, connection)
    was_active = row.activated_at is not None
    receipt = await disconnect.disconnect(desk.services, row)
    if not was_active:
        return desk.go("settings", "integrations", said="cancelled")
    return desk.page("receipt.html", receipt=receipt, manifest=_manifest(desk, row))


@get("/a/{account:str}/settings/integrations/{integration:str}/switch")
async def ask_to_switch(desk: NamedDependency[Desk], integration: FromPath[str]) -> Response[str]:
    """Say that one CRM can be connected at a time, and offer the switch."""
    manifest = _switchable(desk, integration)
    current = await _open_crm(desk)
    if current is None or current.integration == integration:
        return desk.go("settings", "integrations")
    return desk.page("switch.html", to_manifest=manifest, row=current, current=_manifest(desk, current), states=STATES)


@post("/a/{account:str}/settings/integrations/{integration:str}/switch")
async def switch(desk: NamedDependency[Desk], integration: FromPath[str]) -> Response[str]:
    """Disconnect the CRM that the page spoke of, and begin with the other one.

    What the new one needs is looked at first: nothing is disconnected for one that cannot be connected.
    """
    form = await desk.form()
    _switchable(desk, integration)
    current = await _open_crm(desk)
    if current is None or current.id != form.get("connection") or current.integration == integration:
        return desk.go("settings", "integrations", said="already")
    await disconnect.disconnect(desk.services, current, reason="switched")
    return await _begin(desk, integration)


def _switchable(desk: Desk, key: str) -> Manifest:
    """Return the manifest of a CRM that can be connected here.

    Raises:
        Refused: ``unknown_integration``, ``integration_unavailable``; ``not_supported`` for what is no CRM.
    """
    manifest = integration_of(desk.services, key).manifest
    if manifest.category != "crm":
        raise Refused("not_supported", f"{manifest.name} stands beside a CRM; it does not take its place. Connect it.")
    return manifest


async def _open_crm(desk: Desk) -> ConnectionRow | None:
    async with desk.services.database.read() as conn:
        return await connections.open_crm(conn, desk.account_id)


async def find_row(desk: Desk, connection_id: str) -> ConnectionRow:
    """Return a connection of this account.

    Raises:
        Refused: ``not_found``.
    """
    async with desk.services.database.read() as conn:
        row = await connections.by_id_for_account(conn, desk.account_id, connection_id)
    if row is None:
        raise Refused("not_found", "There is no such connection in this account.")
    return row


def _manifest(desk: Desk, row: ConnectionRow) -> Manifest | None:
    found = desk.services.integrations.get(row.integration)
    return None if found is None else found.manifest


ROUTES: list[Any] = [
    settings, show_integrations, connect, leave, show_connection, poll_connection, submit, reauthorise, revoke_key,
    approve, claim, dismiss, ask_to_disconnect, end, ask_to_switch, switch,
]  # fmt: skip
