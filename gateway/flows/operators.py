"""Operators: people of the host who sign in to the console with a host key, and see all accounts.

The browser gets a token of its own, never the key; a session ends with the key that opened it.
"""

import hmac
import secrets
from collections import deque
from datetime import datetime

import structlog

from gateway.errors import Refused
from gateway.flows.access import SESSION_IDLE, SESSION_LIFE, SLIDE_EVERY, hash_of, note_use
from gateway.flows.services import Services
from gateway.storage import operators
from gateway.storage.columns import new_id
from gateway.storage.operators import OperatorRow

PREFIX = "gwo_"
TRIES_A_MINUTE = 5
"""Wrong keys that one address may send in a minute; ten times as many all addresses together."""

log = structlog.get_logger(__name__)


class Tries:
    """When wrong keys came, by address; lost with the process, which is fine for keys of 32 characters and more."""

    def __init__(self) -> None:
        self.all: deque[tuple[datetime, str]] = deque()

    def seconds_left(self, address: str, now: datetime) -> float | None:
        """Return how long this address must wait, or ``None`` when it may try."""
        while self.all and (now - self.all[0][0]).total_seconds() >= 60:
            self.all.popleft()
        own = [at for at, who in self.all if who == address]
        if len(own) >= TRIES_A_MINUTE:
            return 60 - (now - own[0]).total_seconds()
        if len(self.all) >= 10 * TRIES_A_MINUTE:
            return 60 - (now - self.all[0][0]).total_seconds()
        return None


async def sign_in(services: Services, key: str, address: str) -> str:
    """Open an operator's session and return its token, which goes into the browser's cookie.

    Args:
        services: The process's services.
        key: What was typed.
        address: Where it came from, for the rate limit.

    Raises:
        Refused: ``unauthenticated`` for a wrong key, ``rate_limited`` after too many of them.
    """
    now = services.clock.now()
    tries = services.memory(Tries)
    given = hash_of(key.strip())
    if not _is_valid(services, given):
        # a right key always passes: wrong ones, whoever sends them, must not keep operators out
        wait = tries.seconds_left(address, now)
        if wait is not None:
            raise Refused("rate_limited", f"Too many wrong keys. Wait {max(1, round(wait))} seconds.", retry_after=wait)
        tries.all.append((now, address))
        log.warning("operator.refused")
        raise Refused("unauthenticated", "This is no host key of this gateway (GATEWAY_HOST_KEYS).")
    token = PREFIX + secrets.token_urlsafe(32)
    row = OperatorRow(
        id=new_id("ops"),
        token_hash=hash_of(token),
        key_hash=given,
        expires_at=now + SESSION_IDLE,
        ends_at=now + SESSION_LIFE,
        created_at=now,
    )
    await services.database.writer.run(lambda conn: operators.add(conn, row))
    log.info("operator.signed_in", session_id=row.id)
    return token


async def is_operator(services: Services, token: str, *, slide: bool = True) -> bool:
    """Say whether a token is that of a session that goes on; it slides while it is used.

    Args:
        services: The process's services.
        token: As it was sent.
        slide: Prolong the session; a page that asks by itself does not.
    """
    if not token.startswith(PREFIX):
        return False
    now = services.clock.now()
    async with services.database.read() as conn:
        row = await operators.by_hash(conn, hash_of(token), now)
    if row is None or not _is_valid(services, row.key_hash):
        return False
    slid = min(now + SESSION_IDLE, row.ends_at)
    if slide and slid - row.expires_at >= SLIDE_EVERY:
        await note_use(services, lambda conn: operators.slide(conn, row.id, slid))
    return True


async def sign_out(services: Services, token: str) -> None:
    """End an operator's session; an unknown one is fine."""
    await services.database.writer.run(lambda conn: operators.end(conn, hash_of(token)))


def _is_valid(services: Services, given: str) -> bool:
    # every key is compared, in constant time, so that neither content nor place of a match shows
    matches = [hmac.compare_digest(given, hash_of(key)) for key in services.settings.host_keys]
    return any(matches)
