"""The connect steps of a manifest: which is next, how it is shown, and what may not be done now."""

import hashlib
import re
import secrets
from datetime import timedelta
from urllib.parse import urlencode, urlsplit

import msgspec

from gateway.errors import Refused, invalid
from gateway.flows.connections.token_calls import setting
from gateway.flows.services import Services
from gateway.plugins import Integration
from gateway.storage.connections import ConnectionRow
from gateway_schemas.account import Key
from gateway_schemas.connection import Connection, ConnectionState, Health, NextStep
from gateway_schemas.events import EventType
from gateway_schemas.manifest import ConnectStep, OAuth2
from gateway_schemas.problem import FieldProblem

AUTHORISATION_LIFE = timedelta(minutes=15)

EVENT_OF_STATE: dict[ConnectionState, EventType] = {
    "pending_approval": "connection.pending_approval",
    "awaiting_credentials": "connection.awaiting_credentials",
}


def integration_of(services: Services, key: str) -> Integration:
    """Return an integration that can be connected.

    Raises:
        Refused: ``unknown_integration``, or ``integration_unavailable`` with the reason.
    """
    integration = services.integrations.get(key)
    if integration is None:
        reasons = [one.reason for one in services.integrations.quarantined if one.key == key]
        if reasons:
            raise Refused("integration_unavailable", f"{key} cannot be used: {reasons[0]}")
        known = ", ".join(one.key for one in services.integrations) or "none"
        problem = FieldProblem(field="integration", message=f"Installed are: {known}.", code="unknown_integration")
        raise Refused("unknown_integration", f"No integration {key!r} is installed here.", [problem])
    if integration.settings_error is not None:
        raise Refused("integration_unavailable", f"{key} is not set up: {integration.settings_error}")
    return integration


def step_of(integration: Integration, key: str | None) -> ConnectStep | None:
    """Return a connect step of the manifest."""
    return next((step for step in integration.manifest.connect_steps if step.key == key), None)


def state_at(integration: Integration, step: ConnectStep) -> ConnectionState:
    """Return the state of a connection that has to do ``step`` and was never active."""
    if step.kind == "approval":
        return "pending_approval"
    if step.kind == "redirect" or step is integration.manifest.connect_steps[0]:
        return "awaiting_authorisation"
    return "awaiting_credentials"


def already_connected(other: ConnectionRow) -> Refused:
    """Return the refusal of a second CRM, naming the first."""
    said = f"{other.integration} ({other.id}) is {other.state}"
    problem = FieldProblem(field="integration", message=f"{said}; disconnect it first.", code="crm_already_connected")
    return Refused("crm_already_connected", f"{said}. Disconnect it before you connect another CRM.", [problem])


def wrong_state(row: ConnectionRow, why: str) -> Refused:
    """Return the refusal of something that the connection's state does not allow."""
    return Refused("wrong_state", f"{why}; connection {row.id} is {row.state}.")


def new_state() -> str:
    """Return a new OAuth state: unguessable, for one use."""
    return secrets.token_urlsafe(32)


def hash_of(token: str) -> str:
    """Return the SHA-256 under which a random token is stored."""
    return hashlib.sha256(token.encode()).hexdigest()


def callback_url(services: Services, integration: Integration) -> str:
    """Return the one URL to which the vendor sends browsers back."""
    return f"{services.settings.public_url}/v1/oauth/{integration.key}/callback"


def authorise_url(services: Services, integration: Integration, state: str) -> str:
    """Return where a person goes to authorise; parameters of the manifest's ``authorize_path`` are kept."""
    auth = integration.manifest.auth
    assert isinstance(auth, OAuth2)
    query = {
        "client_id": setting(integration, auth.client_id_setting),
        "redirect_uri": callback_url(services, integration),
        "state": state,
    }
    url = setting(integration, auth.base_url_setting) + auth.authorize_path
    return f"{url}{'&' if '?' in url else '?'}{urlencode(query)}"


def check_return_url(services: Services, url: str) -> None:
    """Go on if the browser may be sent there after an authorisation: to ourselves or to a console origin.

    Raises:
        Refused: ``invalid_input`` naming ``return_url``.
    """
    settings = services.settings
    try:
        parts = urlsplit(url)
        readable = parts.port is None or parts.port > 0
    except ValueError:
        parts, readable = urlsplit(""), False
    origin = f"{parts.scheme}://{parts.netloc}"
    own = "{0.scheme}://{0.netloc}".format(urlsplit(settings.public_url))
    known = {own, *(allowed.rstrip("/") for allowed in settings.console_origins)}
    local = settings.allow_local_targets and parts.hostname in ("localhost", "127.0.0.1", "::1")
    secure = parts.scheme == "https" or (parts.scheme == "http" and (local or origin == own))
    # it becomes a Location header: ASCII without spaces and control characters
    plain = readable and re.fullmatch(r"[!-~]+", url) is not None and "\\" not in url
    if not secure or not plain or parts.username is not None or (origin not in known and not local):
        message = "Use an https URL of the gateway itself or of an origin in GATEWAY_CONSOLE_ORIGINS."
        raise invalid(FieldProblem(field="return_url", message=message, code="origin_not_allowed"))


# --- showing ---


def shown(
    services: Services,
    row: ConnectionRow,
    *,
    state: str | None = None,
    health: Health | None = None,
    key: Key | None = None,
) -> Connection:
    """Return a connection as the API shows it.

    Args:
        services: The process's services.
        row: The connection.
        state: OAuth state of an authorisation that was just begun; the URL to go to carries it.
        health: How it is doing, where that was asked.
        key: The account key that was just made with it.
    """
    return Connection(
        id=row.id,
        account=row.account_id,
        integration=row.integration,
        category=row.category,
        state=row.state,
        identity=row.identity,
        name=row.name,
        granted=row.granted,
        limitations=row.limitations,
        created_at=row.created_at,
        activated_at=row.activated_at,
        disconnected_at=row.disconnected_at,
        next_step=next_step(services, row, state),
        health=health,
        reason=row.reason,
        key=key,
    )


def next_step(services: Services, row: ConnectionRow, state: str | None = None) -> NextStep | None:
    """Return what has to happen next; the URL of a redirect is only there when it was just begun (``state``)."""
    integration = services.integrations.get(row.integration)
    if integration is None or row.state == "disconnected" or (row.state == "active" and state is None):
        return None
    step = step_of(integration, row.step)
    if step is None:
        return None
    if step.kind == "redirect":
        url = authorise_url(services, integration, state) if state else None
        expires_at = services.clock.now() + AUTHORISATION_LIFE if state else row.expires_at
        return NextStep(
            kind="redirect",
            step=step.key,
            url=url,
            expires_at=expires_at,
            title=step.title,
            instructions=step.instructions,
        )
    if step.kind == "form":
        return NextStep(
            kind="form",
            step=step.key,
            title=step.title,
            instructions=step.instructions,
            fields=[msgspec.to_builtins(field) for field in step.fields],
        )
    return _waiting(services, row, step)


def _waiting(services: Services, row: ConnectionRow, step: ConnectStep) -> NextStep:
    """Return the wait for the operator, with how long it should take and whom to turn to."""
    contact, hours = services.settings.support_contact, services.settings.approval_hours
    expected_by = row.state_since + timedelta(hours=hours)
    if services.clock.now() < expected_by:
        said = f"This usually takes up to {hours:g} hours."
    else:
        said = f"This takes longer than the usual {hours:g} hours."
    turn_to = [f"To ask about it, or to speed it up, turn to {contact}."] if contact else []
    return NextStep(
        kind="wait",
        step=step.key,
        title=step.title,
        instructions=[*step.instructions, said, *turn_to],
        expected_by=expected_by,
        contact=contact or None,
    )
