"""Say which URLs we call when somebody else gives them: https, a public host, no odd spelling.

What a name resolves to is not known here and may change; the guard checks it at each connection.
"""

import ipaddress
import re
from typing import Protocol

import httpx

from gateway_schemas.problem import FieldProblem

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class HasLocalTargets(Protocol):
    """The one setting that matters here."""

    @property
    def allow_local_targets(self) -> bool:
        """Development: http and every address are fine."""


_REFUSED_V4 = [
    ipaddress.IPv4Network(network)
    for network in (
        "0.0.0.0/8",  # this host
        "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16",  # private
        "100.64.0.0/10",  # carrier-grade NAT; one cloud's metadata service
        "127.0.0.0/8",  # loopback
        "168.63.129.16/32",  # a cloud's host agent, in public space
        "169.254.0.0/16",  # link-local; metadata services
        "192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24",
        "224.0.0.0/4",  # multicast
        "240.0.0.0/4",  # reserved, broadcast
    )
]  # fmt: skip
_PUBLIC_V6 = ipaddress.IPv6Network("2000::/3")
"""Global unicast. Loopback, link-local, unique local, multicast, IPv4-mapped and NAT64 addresses all lie outside."""
_REFUSED_V6 = [
    ipaddress.IPv6Network(network)
    for network in (
        "2001::/23",  # protocol assignments; Teredo embeds an IPv4 address
        "2001:db8::/32", "3fff::/20",  # documentation
        "2002::/16",  # 6to4 embeds an IPv4 address
    )
]  # fmt: skip
_LOCAL_NAMES = ("localhost", "local", "internal", "intranet", "lan", "localdomain", "home.arpa", "corp", "home")
_NAME = re.compile(r"(?=.{1,253}$)[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?)+")
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")


def is_public(address: Address) -> bool:
    """Say whether an address is reachable for everybody and belongs to nobody's inner network."""
    if isinstance(address, ipaddress.IPv4Address):
        return not any(address in network for network in _REFUSED_V4)
    return address in _PUBLIC_V6 and not any(address in network for network in _REFUSED_V6)


def check_url(url: str, settings: HasLocalTargets, *, field: str = "url") -> list[FieldProblem]:
    """Return what is wrong with a URL that someone wants us to call; nothing when it is fine.

    Names are not looked up here: what they resolve to is checked at each connection.

    Args:
        url: As it was sent to us.
        settings: Says whether local targets are allowed.
        field: How the problems name it.
    """
    problem = problem_with(url, allow_local=settings.allow_local_targets)
    return [] if problem is None else [FieldProblem(field=field, message=problem[1], code=problem[0])]


def problem_with(url: str, *, allow_local: bool) -> tuple[str, str] | None:
    """Return the code and message of the first thing that is wrong with a URL, or ``None``."""
    if re.search(r"[\s\\\x00-\x1f\x7f]", url):
        return "invalid_url", "The URL holds a space, a backslash or a control character; write it without."
    try:
        parsed = httpx.URL(url)
        host, port = parsed.raw_host.decode("ascii").lower(), parsed.port
    except (httpx.InvalidURL, UnicodeError, ValueError):
        return "invalid_url", "This is not a URL; write it like https://example.com/hooks."
    schemes = ("https", "http") if allow_local else ("https",)
    if parsed.scheme not in schemes:
        return "https_required", "Only https:// is called."
    if "@" in re.split(r"[/?#]", url.partition("//")[2], maxsplit=1)[0]:
        return "userinfo", "Leave user name and password out of the URL; our signature proves who calls."
    if parsed.fragment:
        return "invalid_url", "Leave the part after # out of the URL."
    if not host:
        return "invalid_url", "The URL names no host."
    if allow_local:
        return None
    if port is not None and port != 443 and not 1024 <= port <= 65535:
        return "port", f"Port {port} is not called; use 443, or one from 1024 up."
    return _problem_with_host(host)


def _problem_with_host(host: str) -> tuple[str, str] | None:
    if ":" in host:  # an IPv6 literal
        try:
            literal: Address = ipaddress.IPv6Address(host.strip("[]"))
        except ValueError:
            return "invalid_url", f"{host} is not an address."
        return None if is_public(literal) and "%" not in host else _not_public(host)
    if _NUMBER.fullmatch(host.rstrip(".").rpartition(".")[2]):  # what inet_aton() may read as an address
        try:
            literal = ipaddress.IPv4Address(host)
        except ValueError:
            return "odd_address", f"{host} is an address in an unusual spelling; write a host name."
        return None if is_public(literal) else _not_public(host)
    if host.endswith("."):
        return "invalid_url", "Leave out the dot at the end of the host name."
    if host in _LOCAL_NAMES or host.endswith(tuple(f".{name}" for name in _LOCAL_NAMES)) or "." not in host:
        return "not_public", f"{host} names a machine of an inner network; use a name that everybody can reach."
    if not _NAME.fullmatch(host):
        return "invalid_url", f"{host} is not a host name."
    return None


def _not_public(host: str) -> tuple[str, str]:
    return "not_public", f"{host} is not a public address; use one that everybody can reach."
