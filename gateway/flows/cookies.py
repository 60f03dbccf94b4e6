"""Cookies that say who a browser is, as the console and the vendors' callback write and read them."""

from urllib.parse import urlsplit

from gateway.settings import Settings


def prefix(settings: Settings) -> str:
    """Return the prefix that browsers hold a cookie to: sent over https alone, by this host alone."""
    return "__Host-" if is_secure(settings) else ""


def is_secure(settings: Settings) -> bool:
    """Say whether cookies are ``Secure``: always, but for plain http on another machine, which is for trying out."""
    url = urlsplit(settings.public_url)
    return url.scheme == "https" or url.hostname in ("127.0.0.1", "localhost", "::1")


def header(settings: Settings, name: str, value: str, *, max_age: int, in_frames: bool = False) -> str:
    """Return the ``Set-Cookie`` header of a cookie.

    Written by hand: the library of this Python version knows no ``Partitioned``.

    Args:
        settings: The gateway's settings.
        name: Without prefix.
        value: Letters and digits of a random token.
        max_age: Seconds; 0 takes the cookie away.
        in_frames: Sent in frames of other sites, and kept apart by the embedding site; else ``Lax``.
    """
    parts = [f"{prefix(settings)}{name}={value}", f"Max-Age={max_age}", "Path=/", "HttpOnly"]
    if is_secure(settings):
        parts.append("Secure")
    parts += ["SameSite=None", "Partitioned"] if in_frames else ["SameSite=Lax"]
    return "; ".join(parts)
