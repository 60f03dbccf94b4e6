"""Referral codes and links, where the gateway makes them: campaigns with a ``link_template``."""

import secrets
from urllib.parse import quote

ALPHABET = "23456789abcdefghjkmnpqrstuvwxyz"
"""Without 0 o 1 i l: codes are read aloud and typed."""

CODE_LENGTH = 13
"""31 ** 13 codes: 64 bits, so nobody guesses one."""


def mint_code() -> str:
    """Return a new referral code that cannot be guessed."""
    return "".join(secrets.choice(ALPHABET) for _ in range(CODE_LENGTH))


def link_for(template: str | None, code: str | None) -> str | None:
    """Return the referral link of a code; ``None`` when the host sends links itself."""
    return template.replace("{code}", quote(code, safe="")) if template and code else None
