"""A browser comes back from a vendor: with our state it completes a connection, without one it may be an installation.

A ``state`` that is there but unknown, used, too old or another integration's is refused; it is never treated as
missing.
"""

from collections.abc import Mapping

import msgspec
import structlog

from gateway.errors import Refused
from gateway.flows.connections import browsers, steps, token_calls
from gateway.flows.connections.activation import Completed, complete
from gateway.flows.connections.client_tokens import FixedToken
from gateway.flows.connections.connect import close
from gateway.flows.connections.connect_steps import callback_url, hash_of, integration_of, new_state
from gateway.flows.connections.credentials import FORM
from gateway.flows.connections.disconnect import revoke_unless_used, uninstalled
from gateway.flows.connections.opening import Given
from gateway.flows.connections.token_calls import Tokens
from gateway.flows.services import Services
from gateway.plugins import Integration
from gateway.sdk.errors import InvalidSignature, PluginError, ReauthRequired, Rejected
from gateway.sdk.inbound import AppNotice, InboundRequest, Uninstalled
from gateway.storage import authorisations, connections
from gateway.storage.connections import ConnectionRow
from gateway.storage.engine import AsyncConnection
from gateway_schemas.connection import Limitation, VendorAccount
from gateway_schemas.manifest import OAuth2

log = structlog.get_logger(__name__)


class Checked(msgspec.Struct, frozen=True, kw_only=True):
    """An authorisation that holds: its tokens, whose it is, and what was not granted."""

    tokens: Tokens
    verified: VendorAccount
    limitations: list[Limitation]


class ComeBack(msgspec.Struct, frozen=True, kw_only=True):
    """What became of an authorisation.

    Attributes:
        row: The connection as it stands now; null when the state named none.
        error: Why it was refused.
    """

    row: ConnectionRow | None
    error: Exception | None = None


def oauth_of(services: Services, key: str) -> tuple[Integration, OAuth2]:
    """Return an integration that uses OAuth 2.0.

    Raises:
        Refused: ``unknown_integration``, ``integration_unavailable``, or ``not_supported`` for another scheme.
    """
    integration = integration_of(services, key)
    auth = integration.manifest.auth
    if not isinstance(auth, OAuth2):
        raise Refused("not_supported", f"{key} has no OAuth callback.")
    return integration, auth


async def come_back(services: Services, key: str, query: Mapping[str, str], cookies: Mapping[str, str]) -> ComeBack:
    """Complete the connection that a state belongs to.

    Args:
        services: The process's services.
        key: The integration of the callback's path.
        query: The callback's parameters, ``state`` among them.
        cookies: Of the browser: what the console began comes back in the browser that began it.

    Returns:
        The connection, with an error when the authorisation was refused.

    Raises:
        Refused: ``state_invalid``: nothing was done with the code.
    """
    integration, _ = oauth_of(services, key)
    state = query.get("state", "")
    browsers.require_own(services.settings, state, cookies)
    row = await _take_state(services, integration, state)
    try:
        return ComeBack(row=await _complete(services, integration, row, query))
    except (Refused, PluginError) as error:
        log.warning("oauth.refused", connection_id=row.id, error=type(error).__name__)
        async with services.database.read() as conn:
            now_row = await connections.get(conn, row.id)
        return ComeBack(row=now_row or row, error=error)


async def _take_state(services: Services, integration: Integration, state: str) -> ConnectionRow:
    now = services.clock.now()

    async def write(conn: AsyncConnection) -> ConnectionRow | None:
        connection_id = await authorisations.take_state(conn, hash_of(state), now)
        return None if connection_id is None else await connections.get(conn, connection_id)

    row = await services.database.writer.run(write)
    if row is None or row.integration != integration.key or row.state == "disconnected":
        raise Refused(
            "state_invalid", "This authorisation was not started here, was used already, or is too old. Begin again."
        )
    return row


async def _complete(
    services: Services, integration: Integration, row: ConnectionRow, query: Mapping[str, str]
) -> ConnectionRow:
    if "error" in query or not query.get("code"):
        said = query.get("error", "no code came back")[:100]
        await _give_up(services, row, "authorisation_denied")
        raise Refused("authorisation_denied", f"{integration.manifest.name} said: {said}. Begin again to connect.")
    tokens = await _exchange(services, integration, query["code"])
    try:
        checked = await check(services, integration, row, tokens)
        done = Completed(
            step=row.step,
            verified=checked.verified,
            tokens=checked.tokens,
            limitations=checked.limitations,
            state=new_state(),
        )
    except (Refused, Rejected) as error:
        await _refuse(services, integration, row, tokens, error)
        raise
    try:
        return await complete(services, integration, row, done)
    except Refused as error:
        await _refuse(services, integration, _as_verified(row, checked.verified), tokens, error)
        raise


async def _exchange(services: Services, integration: Integration, code: str) -> Tokens:
    try:
        return await token_calls.exchange_code(services, integration, code, callback_url(services, integration))
    except ReauthRequired as error:
        raise Refused("authorisation_denied", f"{integration.manifest.name} refused the code; begin again.") from error


async def check(services: Services, integration: Integration, row: ConnectionRow, tokens: Tokens) -> Checked:
    """Check an authorisation before anything of it is stored: API base URL, scopes, and whose it is.

    Args:
        services: The process's services.
        integration: The integration.
        row: The connection, or what stands for one while nobody has claimed the authorisation.
        tokens: As exchanged.

    Raises:
        Refused: ``vendor_refused``, ``missing_vendor_scope`` naming the scopes.
        PluginError: The plugin could not verify the connection.
    """
    if problem := token_calls.refused_domain(services, integration, tokens):
        raise Refused("vendor_refused", f"The authorisation is refused: {problem}.")
    if tokens.scopes is not None:
        refuse_missing(integration, tokens.scopes)
    properties = {"api_domain": tokens.api_domain} if tokens.api_domain is not None else {}
    given = Given(source=FixedToken(tokens.access_token), credentials=await _form(services, row), properties=properties)
    verified = await steps.verify(services, integration, row, row.step or "", given)
    if verified is None or not verified.identity:
        raise Refused("not_supported", f"{integration.key} cannot tell whom an authorisation belongs to.")
    if tokens.scopes is None and verified.granted:
        refuse_missing(integration, verified.granted)
    granted = verified.granted or tokens.scopes
    return Checked(tokens=tokens, verified=verified, limitations=missing_optional(integration, granted))


async def _form(services: Services, row: ConnectionRow) -> dict[str, str]:
    async with services.database.read() as conn:
        stored = await services.vault.get(conn, row.id, FORM)
    return {} if stored is None else msgspec.json.decode(stored, type=dict[str, str])


def refuse_missing(integration: Integration, granted: list[str]) -> None:
    """Go on if every required scope was granted.

    Raises:
        Refused: ``missing_vendor_scope`` naming those that are missing.
    """
    auth = integration.manifest.auth
    required = auth.required_scopes if isinstance(auth, OAuth2) else []
    missing = [scope for scope in required if scope not in granted]
    if missing:
        named = ", ".join(missing)
        raise Refused(
            "missing_vendor_scope",
            f"{integration.manifest.name} did not grant: {named}. Add it to the app there, then authorise again.",
        )


def missing_optional(integration: Integration, granted: list[str] | None) -> list[Limitation]:
    """Return what cannot be done for want of optional scopes; nothing when the vendor does not say what it granted."""
    auth = integration.manifest.auth
    if granted is None or not isinstance(auth, OAuth2):
        return []
    return [limitation for scope, limitation in auth.optional_scopes.items() if scope not in granted]


# --- refusals ------------------------------------------------------------------------------------------


async def _refuse(
    services: Services, integration: Integration, row: ConnectionRow, tokens: Tokens, error: Exception
) -> None:
    """Take back an authorisation that is not wanted.

    A connection that was active before stays as it is, and so does its authorisation: at some vendors revoking the new
    tokens would end the old ones too.
    """
    code = error.code if isinstance(error, Refused) else "vendor_refused"
    if row.activated_at is None:
        await _give_up(services, row, code)
    elif code != "other_vendor_account":
        return
    try:
        await revoke_unless_used(services, integration, row, tokens)
    except (PluginError, NotImplementedError) as failure:
        log.warning("oauth.not_revoked", connection_id=row.id, error=str(failure))


async def _give_up(services: Services, row: ConnectionRow, reason: str) -> None:
    """Disconnect a connection whose first authorisation was refused; one that was active before stays."""
    if row.activated_at is not None:
        return
    now = services.clock.now()

    async def write(conn: AsyncConnection) -> None:
        if await close(conn, row, reason, now) is not None:
            await services.vault.delete(conn, row.id)

    await services.database.writer.run(write)


def _as_verified(row: ConnectionRow, verified: VendorAccount) -> ConnectionRow:
    """Return what stands for the authorisation itself, to find out who else lives on it."""
    return msgspec.structs.replace(row, identity=verified.identity, vendor_user=verified.user)


# --- the vendor calls ----------------------------------------------------------------------------------


def read_app_call(services: Services, key: str, request: InboundRequest) -> tuple[Integration, list[AppNotice]]:
    """Check and read a call for the vendor app as a whole.

    Raises:
        Refused: ``signature_invalid``, ``not_supported``, ``unknown_integration``.
    """
    integration = integration_of(services, key)
    if not (integration.has("verify_app_call") and integration.has("read_app_call")):
        raise Refused("not_supported", f"{key} takes no calls for its app.")
    try:
        integration.hooks.verify_app_call(settings=integration.settings, request=request)
    except InvalidSignature as error:
        raise Refused("signature_invalid", f"{error}.") from error
    return integration, integration.hooks.read_app_call(settings=integration.settings, request=request)


async def take_uninstall(services: Services, key: str, request: InboundRequest) -> int:
    """Take the vendor's call that a customer removed our app; return how many connections were disconnected.

    Raises:
        Refused: As of ``read_app_call``.
    """
    integration, notices = read_app_call(services, key, request)
    ended = [await uninstalled(services, integration, one) for one in notices if isinstance(one, Uninstalled)]
    return sum(ended)
