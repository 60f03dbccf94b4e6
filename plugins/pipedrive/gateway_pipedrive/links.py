"""Where a person can look at a record in Pipedrive."""

from gateway.sdk.connection import Connection
from gateway_pipedrive.wire import base_url

_PATHS = {"contact": "person", "deal": "deal", "lead": "leads/inbox"}


def url_of(connection: Connection, kind: str, record_id: str) -> str | None:
    """Return the address of a record's page; ``None`` for kinds without one (notes)."""
    path = _PATHS.get(kind)
    if path is None:
        return None
    # The API's host and that of the pages are one; a sandbox's override serves no pages of records.
    site = connection.properties.get("api_domain") or base_url(connection)
    return f"{site.rstrip('/')}/{path}/{record_id}"
