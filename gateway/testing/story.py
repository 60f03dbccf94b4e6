"""What a sandbox brings so that ``gateway demo`` can tell its story.

The module behind the entry point ``gateway.sandboxes`` exports ``story(base_url, callback_url) -> Story``
beside ``create_app``. It is matched by shape: a sandbox need not import the gateway.
"""

from collections.abc import AsyncIterator, Mapping
from typing import Any, Protocol

import httpx


class Story(Protocol):
    """One vendor's part of the demo.

    Attributes:
        title: What the story is about, in a few words.
        app: The sandbox's ASGI application.
    """

    title: str
    app: Any

    def environ(self) -> Mapping[str, str]:
        """Return the plugin's settings that point it at this sandbox."""
        ...

    async def connect(self, next_step: Mapping[str, Any], browser: httpx.AsyncClient) -> None:
        """Do what the customer's administrator clicks: follow the next step of a new connection to its end."""
        ...

    def setups(self) -> dict[str, dict[str, Any]]:
        """Return the setup to save for each role."""
        ...

    def customer_buys(self, email: str, value: int) -> AsyncIterator[str]:
        """Do what the sales people do in the CRM, and say each step in a sentence."""
        ...

    def calls(self) -> list[str]:
        """Return the calls that the sandbox took since the last time, one line each."""
        ...

    def webhooks(self) -> list[str]:
        """Return the webhooks that the sandbox sent since the last time, one line each."""
        ...
