"""Who may call, and for whom: host keys, account keys and console sessions.

A key is 256 random bits, so a plain SHA-256 of it is enough to look it up and nothing that is stored opens a
door. Looked-up keys are remembered for a few seconds; a revocation is honoured at once in the process that made
it and within ``REMEMBER_SECONDS`` in all others.
"""

import hashlib
import hmac
import secrets
from collections.abc import Awaitable, Callable, Iterable
from datetime import datetime, timedelta
from typing import Literal, get_args

import msgspec
import structlog

from gateway.errors import Refused, not_found
from gateway.flows.accounts import existing
from gateway.flows.services import Services
from gateway.storage import accounts
from gateway.storage.accounts import KeyRow
from gateway.storage.columns import new_id
from gateway.storage.engine import AsyncConnection
from gateway.storage.writer import Overloaded, StorageUnavailable
from gateway_schemas.account import Account, Key, KeyInput, Scope, SessionLink

REMEMBER_SECONDS = 5
USED_EVERY = timedelta(minutes=1)
"""How exact ``last_used_at`` of a key is."""

LINK_LIFE = timedelta(minutes=5)
SESSION_IDLE = timedelta(minutes=30)
SESSION_LIFE = timedelta(hours=8)
SLIDE_EVERY = timedelta(minutes=5)
"""A session in use is prolonged at most this often."""

KEY_PREFIX = "gwk_"
PREFIX_SHOWN = 8
"""Characters of a key by which people tell it from others; more than two hundred bits are left."""

SESSION_PREFIX = "gws_"
SESSION_SCOPES: frozenset[Scope] = frozenset({"read", "signups", "manage"})

log = structlog.get_logger(__name__)


class Grant(msgspec.Struct, frozen=True):
    """What a token opens: one account, with scopes; no account means all of them."""

    kind: Literal["host", "account", "session"]
    account_id: str | None
    scopes: frozenset[str]


class GrantMemory:
    """Grants of tokens that were looked up lately, by hash."""

    def __init__(self) -> None:
        self.known: dict[str, tuple[datetime, Grant]] = {}
        self.generation = 0  # grows with each revocation: a look-up that began before it must not be remembered

    def forget_all(self) -> None:
        """Look everything up again."""
        self.known.clear()
        self.generation += 1


# --- who calls -----------------------------------------------------------------------------------------


async def authenticate(services: Services, token: str, *, slide: bool = True) -> Grant | None:
    """Return what a bearer token opens, or ``None`` when it is wrong, revoked or has ended.

    Args:
        services: The process's services.
        token: As it was sent.
        slide: Prolong a session; a page that asks by itself does not.
    """
    given = hash_of(token)
    if _is_host_key(services, given):
        return Grant("host", None, frozenset(get_args(Scope)))
    memory = services.memory(GrantMemory)
    now = services.clock.now()
    remembered = memory.known.get(given)
    if remembered is not None and now < remembered[0]:
        return remembered[1]
    generation = memory.generation
    grant = await (
        _session_grant(services, given, now, slide)
        if token.startswith(SESSION_PREFIX)
        else _key_grant(services, given, now)
    )
    if slide and grant is not None and generation == memory.generation:
        if len(memory.known) > 10_000:
            memory.known.clear()
        memory.known[given] = (now + timedelta(seconds=REMEMBER_SECONDS), grant)
    return grant


def hash_of(token: str) -> str:
    """Return the SHA-256 by which a random token is stored and looked up."""
    return hashlib.sha256(token.encode()).hexdigest()


def _is_host_key(services: Services, given: str) -> bool:
    # every key is compared, in constant time, so that neither content nor place of a match shows
    matches = [hmac.compare_digest(given, hash_of(key)) for key in services.settings.host_keys]
    return any(matches)


async def _key_grant(services: Services, given: str, now: datetime) -> Grant | None:
    async with services.database.read() as conn:
        key = await accounts.key_by_hash(conn, given)
    if key is None:
        return None
    if key.last_used_at is None or now - key.last_used_at >= USED_EVERY:
        await note_use(services, lambda conn: accounts.touch_key(conn, key.id, now))
    return Grant("account", key.account_id, frozenset(key.scopes))


async def _session_grant(services: Services, given: str, now: datetime, slide: bool) -> Grant | None:
    async with services.database.read() as conn:
        session = await accounts.session_by_hash(conn, given, now)
    if session is None or session.expires_at is None or session.ends_at is None:
        return None
    slid = min(now + SESSION_IDLE, session.ends_at)
    if slide and slid - session.expires_at >= SLIDE_EVERY:
        await note_use(services, lambda conn: accounts.slide_session(conn, session.id, slid))
    return Grant("session", session.account_id, SESSION_SCOPES)


async def note_use(services: Services, write: Callable[[AsyncConnection], Awaitable[None]]) -> None:
    """Write down that a key or a session was used; when that fails the use itself goes on."""
    try:
        await services.database.writer.run(write)
    except (Overloaded, StorageUnavailable) as error:  # a note about use must not refuse the call itself
        log.warning("account.use_not_noted", error=str(error))


# --- keys ----------------------------------------------------------------------------------------------


def new_key(
    account_id: str, name: str, scopes: Iterable[str], now: datetime, *, secret: str | None = None
) -> tuple[KeyRow, Key]:
    """Return a new key: the row to be stored, and the key with its secret as it is shown once.

    Args:
        account_id: Whose key.
        name: What people call it.
        scopes: What it opens.
        now: The time.
        secret: The key itself, where it is not to be random (``connections/own_keys.py``).
    """
    secret = secret or KEY_PREFIX + secrets.token_urlsafe(32)
    row = KeyRow(
        id=new_id("key"),
        account_id=account_id,
        name=name,
        scopes=list(dict.fromkeys(scopes)),
        key_hash=hash_of(secret),
        created_at=now,
        last_used_at=None,
        revoked_at=None,
        prefix=secret[:PREFIX_SHOWN],
    )
    return row, shown(row, secret)


async def make_key(services: Services, account_id: str, wanted: KeyInput) -> Key:
    """Make a key of an account; the answer is the only place where it can ever be read."""
    row, key = new_key(account_id, wanted.name, wanted.scopes, services.clock.now())

    async def write(conn: AsyncConnection) -> Refused | None:
        if await accounts.get(conn, account_id) is None:
            return not_found("account", account_id)
        await accounts.add_key(conn, row)
        return None

    if refused := await services.database.writer.run(write):
        raise refused
    log.info("key.made", account_id=account_id, key_id=row.id, scopes=row.scopes)
    return key


async def list_keys(services: Services, account_id: str) -> list[Key]:
    """Return an account's keys without their secrets."""
    async with services.database.read() as conn:
        await existing(conn, account_id)
        return [shown(row) for row in await accounts.keys_of(conn, account_id)]


async def revoke_key(services: Services, account_id: str, key_id: str) -> None:
    """Revoke a key: at once here, within seconds in other processes.

    Raises:
        Refused: ``not_found``.
    """
    now = services.clock.now()
    known = await services.database.writer.run(lambda conn: accounts.revoke_key(conn, account_id, key_id, now))
    forget_grants(services)
    if not known:
        raise not_found("key", key_id)
    log.info("key.revoked", account_id=account_id, key_id=key_id)


def forget_grants(services: Services) -> None:
    """Look up anew what tokens open: something was revoked."""
    services.memory(GrantMemory).forget_all()


def shown(row: KeyRow, secret: str | None = None) -> Key:
    """Return a key as people see it, without its secret unless that is given."""
    return Key(
        id=row.id,
        name=row.name,
        scopes=row.scopes,
        created_at=row.created_at,
        last_used_at=row.last_used_at,
        prefix=row.prefix,
        key=secret,
    )


# --- console sessions ----------------------------------------------------------------------------------


async def make_session_link(services: Services, account_id: str) -> SessionLink:
    """Make a link that opens the console for one account: good for one use and five minutes."""
    link = secrets.token_urlsafe(32)
    now = services.clock.now()
    expires_at = now + LINK_LIFE

    async def write(conn: AsyncConnection) -> Refused | None:
        if await accounts.get(conn, account_id) is None:
            return not_found("account", account_id)
        await accounts.prune_sessions(conn, now - SESSION_LIFE)
        await accounts.add_session_link(conn, new_id("ses"), account_id, hash_of(link), expires_at, now)
        return None

    if refused := await services.database.writer.run(write):
        raise refused
    return SessionLink(url=f"{services.settings.public_url}/console/open?link={link}", expires_at=expires_at)


class OpenedSession(msgspec.Struct, frozen=True):
    """A session that was just opened; ``token`` goes into the browser's cookie."""

    token: str
    account_id: str
    ends_at: datetime


async def open_session(services: Services, link: str) -> OpenedSession:
    """Use a session link up and return the session's token.

    Raises:
        Refused: ``unauthenticated`` when the link is unknown, used or too old.
    """
    token = SESSION_PREFIX + secrets.token_urlsafe(32)
    now = services.clock.now()
    row = await services.database.writer.run(
        lambda conn: accounts.open_session(
            conn, hash_of(link), hash_of(token), expires_at=now + SESSION_IDLE, ends_at=now + SESSION_LIFE, now=now
        )
    )
    if row is None:
        raise Refused(
            "unauthenticated", "This link was used already or is older than five minutes; open the console again."
        )
    return OpenedSession(token, row.account_id, now + SESSION_LIFE)


async def account_of_link(services: Services, link: str) -> str | None:
    """Return the account that a link was made for, used or not; ``None`` for one that never was."""
    async with services.database.read() as conn:
        return await accounts.account_of_link(conn, hash_of(link))


async def peek(services: Services, link: str) -> Account | None:
    """Return the account that a link opens, and leave the link as it is; ``None`` once it opens nothing any more."""
    async with services.database.read() as conn:
        account_id = await accounts.account_of_waiting_link(conn, hash_of(link), services.clock.now())
        return None if account_id is None else await accounts.get(conn, account_id)


async def end_session(services: Services, token: str) -> None:
    """End a session (log out); an unknown one is fine."""
    now = services.clock.now()

    async def write(conn: AsyncConnection) -> None:
        row = await accounts.session_by_hash(conn, hash_of(token), now)
        if row is not None:
            await accounts.end_session(conn, row.id, now)

    await services.database.writer.run(write)
    services.memory(GrantMemory).forget_all()
