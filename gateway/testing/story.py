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
        account: Currency and country of the account (``PUT /v1/accounts/{account}``).
        phone: A friend's telephone number, as people of that country write it.
    """

    title: str
    app: Any
    account: Mapping[str, str]
    phone: str

    def environ(self) -> Mapping[str, str]:
        """Return the plugin's settings that point it at this sandbox."""
        ...

    async def connect(self, next_step: Mapping[str, Any], browser: httpx.AsyncClient) -> None:
        """Do what the customer's administrator clicks: follow a ``redirect`` step of a new connection to its end."""
        ...

    def fill_in(self, step: str) -> Mapping[str, str]:
        """Return what the customer's administrator fills into a ``form`` step, found at the vendor."""
        ...

    def let_in(self) -> str:
        """Do what the operator does at the vendor before a connection is approved; say it in a sentence."""
        ...

    def set_app_url(self, url: str) -> None:
        """Take the URL to which the vendor sends what concerns the app as a whole, one for all customers."""
        ...

    def setups(self) -> dict[str, dict[str, Any]]:
        """Return the setup to save for each role."""
        ...

    def customer_buys(self, email: str, value: int) -> AsyncIterator[str]:
        """Do what the sales people do in the CRM, and say each step in a sentence."""
        ...

    def fill_contacts(self, number: int) -> str:
        """Put so many contacts into the CRM, with addresses ``customer1@customer.test`` and on; say it in a sentence.

        Left out by a sandbox without contacts: the demo then tells no contact sync.
        """
        ...

    def contact_shows(self, email: str, label: str) -> str | None:
        """Return what people see in the custom field ``label`` of a contact; ``None`` where it shows nothing."""
        ...

    def calls(self) -> list[str]:
        """Return the calls that the sandbox took since the last time, one line each."""
        ...

    def webhooks(self) -> list[str]:
        """Return the webhooks that the sandbox sent since the last time, one line each."""
        ...
