"""An authorisation that begins in the console belongs to the browser that began it.

Else somebody could begin one for an account of theirs, let another person authorise it, and so have that person's CRM
connected to it. The browser keeps a random proof in a cookie, and the state that the vendor carries is made from it: so
the callback sees by the two alone whether they fit. Each authorisation has a cookie of its own: two windows of one
browser do not end each other's. What the host begins by the API carries no such mark: the host knows its browsers.
"""

import base64
import hashlib
import re
import secrets
from collections.abc import Mapping

from gateway.errors import Refused
from gateway.flows import cookies
from gateway.flows.connections.connect_steps import AUTHORISATION_LIFE, hash_of
from gateway.settings import Settings

COOKIE = "gateway_oauth_"
_MARK = "b."
_PROOF = re.compile(r"[\w-]{43}", re.ASCII)


def new_proof() -> str:
    """Return what a browser keeps: unguessable, for one authorisation."""
    return secrets.token_urlsafe(32)


def state_of(proof: str) -> str:
    """Return the state that an authorisation of the browser with this proof carries; it does not tell the proof."""
    digest = hashlib.sha256(b"oauth state " + proof.encode()).digest()
    return _MARK + base64.urlsafe_b64encode(digest).decode().rstrip("=")


def is_proof(text: str) -> bool:
    """Say whether a text has the shape of a proof, which may go into a cookie."""
    return _PROOF.fullmatch(text) is not None


def kept(settings: Settings, proof: str) -> str:
    """Return the ``Set-Cookie`` header that gives a browser its proof, for as long as an authorisation may take."""
    max_age = round(AUTHORISATION_LIFE.total_seconds())
    return cookies.header(settings, _name(state_of(proof)), proof, max_age=max_age)


def cleared(settings: Settings, state: str, found: Mapping[str, str]) -> str | None:
    """Return the ``Set-Cookie`` header that takes the proof of a state away, where the browser has one."""
    name = _name(state)
    return cookies.header(settings, name, "", max_age=0) if cookies.prefix(settings) + name in found else None


def require_own(settings: Settings, state: str, found: Mapping[str, str]) -> None:
    """Go on if this browser began the authorisation, or if none is bound to it.

    Args:
        settings: The gateway's settings.
        state: As it came back.
        found: The cookies of the browser that came back.

    Raises:
        Refused: ``state_invalid``.
    """
    if not state.startswith(_MARK):
        return
    proof = found.get(cookies.prefix(settings) + _name(state), "")
    if not secrets.compare_digest(state_of(proof).encode(), state.encode()):
        raise Refused(
            "state_invalid",
            "This authorisation was begun in another browser, or too long ago. Nothing was changed. Open your referral "
            "account in this browser and connect from there.",
        )


def _name(state: str) -> str:
    return COOKIE + hash_of(state)[:16]
