"""Styles, scripts and logos: served by us alone, under names that change with their content."""

import gzip
import hashlib
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from litestar import Request, Response, get
from litestar.di import NamedDependency
from litestar.params import FromPath

from gateway.errors import not_found
from gateway.flows.services import Services

FOLDER = Path(__file__).parent / "static"
TYPES = {".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8"}
LOGO_HEADERS = {
    "cache-control": "public, max-age=3600",
    "content-security-policy": "default-src 'none'; style-src 'unsafe-inline'; sandbox",
    "x-content-type-options": "nosniff",
}
"""A logo comes from a plugin: shown as a picture, and harmless when opened by itself."""


class Asset(NamedTuple):
    """A file that browsers may keep for ever under its name."""

    name: str
    version: str
    media_type: str
    plain: bytes
    compressed: bytes


@lru_cache(maxsize=1)
def assets() -> dict[str, Asset]:
    """Read what is served, once a process."""
    found = {}
    for path in sorted(FOLDER.iterdir()):
        if path.suffix in TYPES:
            plain = path.read_bytes()
            version = hashlib.sha256(plain).hexdigest()[:12]
            found[path.name] = Asset(path.name, version, TYPES[path.suffix], plain, gzip.compress(plain, 9, mtime=0))
    return found


def url_of(name: str) -> str:
    """Return the address of a file; another content has another one."""
    return f"/console/static/{assets()[name].version}/{name}"


@get("/static/{version:str}/{name:str}", sync_to_thread=False)
def static(request: Request[object, object, object], version: FromPath[str], name: FromPath[str]) -> Response[bytes]:  # type: ignore[type-var] # no user, auth or state
    """Return a style or script."""
    asset = assets().get(name)
    if asset is None or asset.version != version:
        raise not_found("file", name)
    headers = {"cache-control": "public, max-age=31536000, immutable", "x-content-type-options": "nosniff",
               "vary": "accept-encoding"}  # fmt: skip
    if "gzip" in request.headers.get("accept-encoding", ""):
        headers["content-encoding"] = "gzip"
        return Response(asset.compressed, media_type=asset.media_type, headers=headers)
    return Response(asset.plain, media_type=asset.media_type, headers=headers)


@get("/logo/{integration:str}", sync_to_thread=False)
def logo(services: NamedDependency[Services], integration: FromPath[str]) -> Response[str]:
    """Return an integration's logo, or its first letter where it brings none."""
    found = services.integrations.get(integration)
    if found is None:
        raise not_found("integration", integration)
    svg = found.manifest.logo_svg
    if "xmlns" not in svg:
        letter = next((one for one in found.manifest.name.upper() if one.isalnum()), "")
        svg = (
            '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32"><rect width="32" height="32" rx="7" '
            'fill="#5b6675"/><text x="16" y="22" text-anchor="middle" font-family="sans-serif" font-size="17" '
            f'fill="#fff">{letter}</text></svg>'
        )
    return Response(svg, media_type="image/svg+xml", headers=LOGO_HEADERS)


ROUTES = [static, logo]
