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


def mint_codes(number: int) -> list[str]:
    """Return so many new codes: each out of 128 random bits, so that none of them is likelier than another."""
    base = len(ALPHABET)
    codes = []
    for _ in range(number):
        bits = secrets.randbits(128)
        letters = []
        for _ in range(CODE_LENGTH):
            bits, place = divmod(bits, base)
            letters.append(ALPHABET[place])
        codes.append("".join(letters))
    return codes


def link_for(template: str | None, code: str | None) -> str | None:
    """Return the referral link of a code; ``None`` when the host sends links itself."""
    return template.replace("{code}", quote(code, safe="")) if template and code else None
