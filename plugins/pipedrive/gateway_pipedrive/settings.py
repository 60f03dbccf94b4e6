"""The plugin's own settings, read from ``GATEWAY_PIPEDRIVE_*``."""

from typing import Annotated

import msgspec
from msgspec import Meta

from gateway_schemas.manifest import ReceivedSetting

BaseUrl = Annotated[str, Meta(pattern=r"^https?://[^\s]*[^/\s]$")]


class PipedriveSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What the operator sets.

    Attributes:
        client_id: Of the app in Pipedrive's Developer Hub.
        client_secret: Of the same app; also proves uninstall calls.
        oauth_url: Base URL of the authorisation server.
        api_url: Base URL of the API for every company; empty: the ``api_domain`` that came with the token.
            For a sandbox; it may be local and plain http.
    """

    client_id: str
    client_secret: str
    oauth_url: BaseUrl = "https://oauth.pipedrive.com"
    api_url: BaseUrl | None = None

    def __repr__(self) -> str:
        """Leave the secret out: settings end up in logs and tracebacks."""
        return (
            f"PipedriveSettings(client_id={self.client_id!r}, oauth_url={self.oauth_url!r}, api_url={self.api_url!r})"
        )


RECEIVED = [
    ReceivedSetting(name="CLIENT_ID", required=True, secret=False, help="Client id of the app in Developer Hub."),
    ReceivedSetting(name="CLIENT_SECRET", required=True, secret=True, help="Client secret of the same app."),
    ReceivedSetting(
        name="OAUTH_URL",
        required=False,
        secret=False,
        help="Base URL of the authorisation server; another one for a sandbox.",
    ),
    ReceivedSetting(
        name="API_URL",
        required=False,
        secret=False,
        help="Base URL of the API for all companies; set it for a sandbox only.",
    ),
]
"""The same as ``doctor`` and the documentation show it."""
