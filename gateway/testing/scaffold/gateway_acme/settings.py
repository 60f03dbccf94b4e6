"""The plugin's settings, read from ``GATEWAY_ACME_*``; every base URL of the vendor is one."""

import msgspec

from gateway_schemas.manifest import ReceivedSetting


class AcmeSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Where the vendor is."""

    auth_url: str = "https://login.acme.example"
    api_url: str = "https://api.acme.example"


RECEIVED = [
    ReceivedSetting(name="AUTH_URL", required=False, secret=False, help="Base URL of the token endpoint."),
    ReceivedSetting(name="API_URL", required=False, secret=False, help="Base URL of the API."),
]
"""The same as ``gateway doctor`` and the documentation show it."""
