"""The plugin's own settings, read from ``GATEWAY_SERVICETITAN_*``."""

from typing import Annotated

import msgspec
from msgspec import Meta

from gateway_schemas.manifest import ReceivedSetting

BaseUrl = Annotated[str, Meta(pattern=r"^https?://[^\s]*[^/\s]$")]
HeaderName = Annotated[str, Meta(pattern=r"^[A-Za-z0-9-]{1,100}$")]
HmacKey = Annotated[str, Meta(min_length=32, max_length=64)]
"""The vendor's portal makes and takes keys of this length (``VENDOR.md``, chapter 11)."""


class ServiceTitanSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What the operator sets.

    Attributes:
        app_key: Of our app in the developer portal; the same for every tenant and in both of the vendor's environments.
        auth_url: Base URL of the token server.
        api_url: Base URL of the API.
        webhook_key: HMAC key of the webhooks, as set in the portal; without one a webhook proves itself by the
            unguessable end of its URL alone.
        webhook_header: Header that carries the signature; the vendor documents no name for it.
    """

    app_key: str
    auth_url: BaseUrl = "https://auth.servicetitan.io"
    api_url: BaseUrl = "https://api.servicetitan.io"
    webhook_key: HmacKey | None = None
    webhook_header: HeaderName = "x-servicetitan-signature"

    def __repr__(self) -> str:
        """Leave key and app key out: settings end up in logs and tracebacks."""
        return f"ServiceTitanSettings(auth_url={self.auth_url!r}, api_url={self.api_url!r})"


RECEIVED = [
    ReceivedSetting(name="APP_KEY", required=True, secret=True, help="App key of the app in the developer portal."),
    ReceivedSetting(
        name="AUTH_URL",
        required=False,
        secret=False,
        help="Base URL of the token server; another one for the vendor's integration environment or a sandbox.",
    ),
    ReceivedSetting(
        name="API_URL",
        required=False,
        secret=False,
        help="Base URL of the API; another one for the vendor's integration environment or a sandbox.",
    ),
    ReceivedSetting(
        name="WEBHOOK_KEY",
        required=False,
        secret=True,
        help="HMAC key of the webhooks, 32 to 64 characters, as set in the developer portal.",
    ),
    ReceivedSetting(
        name="WEBHOOK_HEADER",
        required=False,
        secret=False,
        help="Header with the signature of a webhook; hex and base64 are both understood.",
    ),
]
"""The same as ``doctor`` and the documentation show it."""
