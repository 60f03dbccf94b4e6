"""Installs that begin in a vendor's marketplace: kept until an account claims them, revoked when none does.

The code of such an install dies within minutes, so it is exchanged at once. Whoever installed proves it by the cookie
of the same browser, or by the one-time code that the page shows.
"""

import secrets
from collections.abc import Mapping
from datetime import datetime, timedelta

import msgspec
import structlog

from gateway.errors import Refused, not_found
from gateway.flows import cookies
from gateway.flows.connections import connect, connect_steps, oauth, token_calls
from gateway.flows.connections.activation import Completed, claim_of, complete_in, in_use
from gateway.flows.connections.connect_steps import callback_url, hash_of, step_of
from gateway.flows.connections.credentials import SECRET, TokenMemory, stored_tokens
from gateway.flows.connections.disconnect import revoke_unless_used
from gateway.flows.connections.token_calls import Tokens
from gateway.flows.services import Services
from gateway.sdk.errors import PluginError, ReauthRequired, Rejected, RetryLater
from gateway.settings import Settings
from gateway.storage import accounts, connections, installations
from gateway.storage.columns import new_id
from gateway.storage.connections import ConnectionRow
from gateway.storage.engine import AsyncConnection
from gateway.storage.installations import InstallationRow
from gateway.storage.running import Done, Handler, Outcome, Periodic, Retry, TaskRun
from gateway.storage.tasks import NewTask, Task, insert_tasks
from gateway.storage.upsert import AlreadyThere

LIFE = timedelta(minutes=60)
CLAIM_COOKIE = "gateway_claim"
"""Proves that the browser that asks is the one that installed; without prefix."""

SWEEP_SECONDS = 300.0
CODE_ALPHABET = "ABCDEFGHJKMNPQRSTUVWXYZ23456789"  # without letters and digits that look alike
CODE_LENGTH = 12

log = structlog.get_logger(__name__)


class Installed(msgspec.Struct, frozen=True, kw_only=True):
    """An installation that waits for an account.

    Attributes:
        code: One-time code for people, in groups of four.
        cookie: Goes into the browser that installed.
        name: The vendor tenant's name.
    """

    code: str
    cookie: str
    name: str
    expires_at: datetime


async def install(services: Services, key: str, code: str) -> Installed:
    """Exchange the code of a marketplace install and keep it for an account to claim.

    Raises:
        Refused: ``state_invalid`` when the integration has no such installs, ``authorisation_denied``,
            ``missing_vendor_scope``.
        PluginError: The vendor could not be reached, or refused us.
    """
    integration, auth = oauth.oauth_of(services, key)
    if not auth.installs_without_state:
        raise Refused("state_invalid", "This authorisation was not started here. Begin in the console.")
    try:
        tokens = await token_calls.exchange_code(services, integration, code, callback_url(services, integration))
    except ReauthRequired as error:
        raise Refused(
            "authorisation_denied", f"{integration.manifest.name} refused the code; install again."
        ) from error
    now = services.clock.now()
    place = _stand_in(new_id("ins"), key, now)
    try:
        checked = await oauth.check(services, integration, place, tokens)
    except (Refused, Rejected):
        await _revoke(services, place, tokens)
        raise
    shown = "".join(secrets.choice(CODE_ALPHABET) for _ in range(CODE_LENGTH))
    cookie = secrets.token_urlsafe(32)
    row = InstallationRow(
        id=place.id,
        integration=key,
        identity=checked.verified.identity,
        name=checked.verified.name,
        verified=checked.verified,
        claim_hash=hash_of(cookie),
        code_hash=hash_of(shown),
        created_at=now,
        expires_at=now + LIFE,
    )

    async def write(conn: AsyncConnection) -> None:
        await installations.add(conn, row)
        await services.vault.put(conn, row.id, SECRET, msgspec.json.encode(checked.tokens), now)

    await services.database.writer.run(write)
    log.info("installation.waiting", installation_id=row.id, integration=key)
    grouped = "-".join(shown[i : i + 4] for i in range(0, CODE_LENGTH, 4))
    return Installed(code=grouped, cookie=cookie, name=row.name or row.identity, expires_at=row.expires_at)


def proof_in(settings: Settings, found: Mapping[str, str]) -> str | None:
    """Return what a browser's cookies hold as proof that it installed something."""
    return found.get(cookies.prefix(settings) + CLAIM_COOKIE) or None


def kept(settings: Settings, proof: str) -> str:
    """Return the ``Set-Cookie`` header that gives the browser that installed its proof."""
    return cookies.header(settings, CLAIM_COOKIE, proof, max_age=round(LIFE.total_seconds()))


def cleared(settings: Settings) -> str:
    """Return the ``Set-Cookie`` header that takes the proof away: it was used, or the person wants none of it."""
    return cookies.header(settings, CLAIM_COOKIE, "", max_age=0)


async def waiting(services: Services, cookie: str | None) -> InstallationRow | None:
    """Return the installation that this browser made and that waits for its account; ``None`` for an old cookie."""
    if not cookie:
        return None
    async with services.database.read() as conn:
        return await installations.find(conn, services.clock.now(), claim_hash=hash_of(cookie))


async def claim(
    services: Services,
    account_id: str,
    *,
    code: str | None = None,
    cookie: str | None = None,
    expected: str | None = None,
) -> ConnectionRow:
    """Give an installation to an account: its connection becomes active.

    Args:
        services: The process's services.
        account_id: Who claims.
        code: The one-time code of the page; case, spaces and dashes do not matter.
        cookie: The claim cookie, where the same browser asks.
        expected: Id of the installation that the person was shown; another one is not claimed in its place.

    Raises:
        Refused: ``not_found`` when neither fits or it is too late, ``crm_already_connected``,
            ``vendor_account_in_use``, ``other_vendor_account``.
    """
    now = services.clock.now()

    async def write(conn: AsyncConnection) -> ConnectionRow | Refused:
        if await accounts.get(conn, account_id) is None:
            return not_found("account", account_id)
        found = await _find(conn, now, code, cookie)
        if found is None or expected not in (None, found.id):
            return Refused(
                "not_found", "No installation waits under this code; it may have been used, or be older than an hour."
            )
        return await _claim_in(conn, services, account_id, found, now)

    try:
        answer = await services.database.writer.run(write)
    except AlreadyThere:
        raise Refused("vendor_account_in_use", "This vendor account is connected to another account already.") from None
    if isinstance(answer, Refused):
        raise answer
    services.memory(TokenMemory).forget(answer.id)
    log.info("installation.claimed", connection_id=answer.id, account_id=account_id)
    return answer


async def _find(conn: AsyncConnection, now: datetime, code: str | None, cookie: str | None) -> InstallationRow | None:
    if code:
        plain = "".join(one for one in code.upper() if one.isalnum())
        return await installations.find(conn, now, code_hash=hash_of(plain))
    return await installations.find(conn, now, claim_hash=hash_of(cookie)) if cookie else None


async def _claim_in(
    conn: AsyncConnection, services: Services, account_id: str, found: InstallationRow, now: datetime
) -> ConnectionRow | Refused:
    """Claim in one transaction; a refusal writes nothing and leaves the installation waiting.

    Raises:
        Refused: Somebody else was faster, after the connection was begun: raised, so that nothing of it is committed.
    """
    integration = connect_steps.integration_of(services, found.integration)
    tokens = await stored_tokens(services, conn, found.id)
    if tokens is None:
        return not_found("installation", found.id)
    mine = await connections.open_of(conn, account_id, found.integration)
    done = Completed(
        step=None,
        verified=found.verified,
        tokens=tokens,
        limitations=oauth.missing_optional(integration, found.verified.granted or tokens.scopes),
        state=connect_steps.new_state(),
    )
    if mine is not None and mine.activated_at is not None and mine.identity != found.identity:
        return connect_steps.already_connected(mine)
    stand_in = msgspec.structs.replace(mine or _stand_in("", found.integration, now), account_id=account_id)
    if await connections.identity_in_use(conn, stand_in, claim_of(services, stand_in, found.identity)) is not None:
        return in_use(stand_in, done)
    if mine is not None and mine.state == "active":
        started: connect.Started | Refused = await connect.authorise_again(
            conn, integration, mine, done.state or "", None, now
        )
    else:
        started = await connect.start_in(conn, services, integration, account_id, done.state or "", None, now)
    if isinstance(started, Refused):
        return started
    step = step_of(integration, started.row.step)
    if step is None or step.kind != "redirect":
        return connect_steps.wrong_state(started.row, "It does not wait for an authorisation now")
    row = await complete_in(conn, services, integration, started.row, msgspec.structs.replace(done, step=step.key), now)
    if isinstance(row, Refused):
        raise row
    if not await installations.claim(conn, found.id, row.id, now):
        raise not_found("installation", found.id)
    await services.vault.delete(conn, found.id)
    return row


# --- what nobody claims ----------------------------------------------------------------------------------


class RevokeInstallation:
    """Revokes an installation that nobody claimed in time."""

    def __init__(self, services: Services) -> None:
        self._services = services

    async def run(self, run: TaskRun) -> Outcome:
        """Revoke at the vendor, then delete."""
        installation_id: str = run.task.args["installation"]
        async with self._services.database.read() as conn:
            row = await installations.get(conn, installation_id)
            tokens = await stored_tokens(self._services, conn, installation_id)
        if row is None or row.ended_at is not None:
            return Done()
        if tokens is not None:
            stand_in = msgspec.structs.replace(
                _stand_in(row.id, row.integration, row.created_at), identity=row.identity, vendor_user=row.verified.user
            )
            try:
                await _revoke(self._services, stand_in, tokens)
            except RetryLater as error:
                return Retry(error=str(error), after_seconds=max(error.after_seconds, 60))

        async def end(conn: AsyncConnection) -> None:
            await self._end(conn, installation_id, run.now())

        return Done(apply=end)

    async def failed(self, conn: AsyncConnection, task: Task, error: str, now: datetime) -> None:
        """Forget it all the same: the vendor could not be reached for a day."""
        await self._end(conn, task.args["installation"], now)

    async def _end(self, conn: AsyncConnection, installation_id: str, now: datetime) -> None:
        if await installations.end(conn, installation_id, now):
            await self._services.vault.delete(conn, installation_id)


async def _revoke(services: Services, stand_in: ConnectionRow, tokens: Tokens) -> None:
    """Take an authorisation back that came to nothing.

    Raises:
        RetryLater: The vendor could not be reached.
    """
    integration = services.integrations.get(stand_in.integration)
    if integration is None:
        return
    try:
        await revoke_unless_used(services, integration, stand_in, tokens)
    except RetryLater:
        raise
    except (PluginError, NotImplementedError) as error:
        log.warning("installation.not_revoked", installation_id=stand_in.id, error=str(error))


def _stand_in(identifier: str, integration: str, now: datetime) -> ConnectionRow:
    """Return what a plugin sees as the connection while there is no account yet."""
    return ConnectionRow(
        id=identifier,
        account_id="",
        integration=integration,
        category="crm",
        state="awaiting_authorisation",
        created_at=now,
        state_since=now,
    )


def handlers(services: Services) -> dict[str, Handler]:
    """Return the handler of each task kind of this flow."""
    return {"revoke_installation": RevokeInstallation(services)}


def periodic(services: Services) -> list[Periodic]:
    """Return the sweep of installations that nobody claimed."""

    async def sweep(conn: AsyncConnection, now: datetime) -> None:
        tasks = [
            NewTask(
                kind="revoke_installation",
                args={"installation": row.id},
                lane="internal",
                unique_key=f"revoke_installation:{row.id}",
            )
            for row in await installations.overdue(conn, now)
        ]
        await insert_tasks(conn, tasks, now)

    return [Periodic(key="revoke_installations", every_seconds=SWEEP_SECONDS, make_tasks=sweep)]
