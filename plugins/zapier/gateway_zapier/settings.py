"""The plugin's own settings, read from ``GATEWAY_ZAPIER_*``."""

from typing import Annotated

import msgspec
from msgspec import Meta

from gateway_schemas.manifest import ReceivedSetting


class ZapierSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What the operator sets; nothing is needed.

    Attributes:
        target_hosts: Hosts that a subscription may send to.
        environment: Shown beside the account's name where a Zap's owner chooses a connection.
    """

    target_hosts: list[str] = msgspec.field(default_factory=lambda: ["hooks.zapier.com"])
    environment: Annotated[str, Meta(max_length=40)] = "production"


RECEIVED = [
    ReceivedSetting(
        name="TARGET_HOSTS",
        required=False,
        secret=False,
        help="Hosts that a subscription may send to, separated by commas; default hooks.zapier.com.",
    ),
    ReceivedSetting(
        name="ENVIRONMENT",
        required=False,
        secret=False,
        help="Shown beside the account's name where a Zap's owner chooses a connection; default production.",
    ),
]
"""The same as ``doctor`` and the documentation show it."""
