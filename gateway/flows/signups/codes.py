"""Referral codes and links, where the gateway makes them: campaigns with a ``link_template``."""

import secrets
from array import array
from urllib.parse import quote

ALPHABET = "23456789abcdefghjkmnpqrstuvwxyz"
"""Without 0 o 1 i l: codes are read aloud and typed."""

CODE_LENGTH = 13
"""31 ** 13 codes: 64 bits, so nobody guesses one."""


def mint_code() -> str:
    """Return a new referral code that cannot be guessed."""
    return "".join(secrets.choice(ALPHABET) for _ in range(CODE_LENGTH))


def mint_codes(number: int) -> list[str]:
    """Return so many new codes, as good as those of ``mint_code``: two letters come out of 32 random bits."""
    numbers = array("I", secrets.token_bytes(4 * _PAIRS_OF_A_CODE * number))
    codes = []
    for first in range(0, _PAIRS_OF_A_CODE * number, _PAIRS_OF_A_CODE):
        pairs = [_PAIRS[one % len(_PAIRS)] for one in numbers[first : first + _PAIRS_OF_A_CODE]]
        codes.append("".join(pairs)[:CODE_LENGTH])
    return codes


_PAIRS = [first + second for first in ALPHABET for second in ALPHABET]
_PAIRS_OF_A_CODE = (CODE_LENGTH + 1) // 2


def link_for(template: str | None, code: str | None) -> str | None:
    """Return the referral link of a code; ``None`` when the host sends links itself."""
    return template.replace("{code}", quote(code, safe="")) if template and code else None
