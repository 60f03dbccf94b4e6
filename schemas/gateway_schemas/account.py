"""Accounts, keys and console sessions."""

from datetime import datetime
from typing import Annotated, Literal

from msgspec import Meta

from gateway_schemas.base import Currency, HostId, Input, Name, Output

Scope = Literal["read", "signups", "manage", "zapier"]
"""``read``: look; ``signups``: send signups and status updates; ``manage``: connect and configure; ``zapier``: the
Zapier app."""

Country = Annotated[
    str, Meta(pattern=r"^[A-Z]{2}$(?!\n)", description="ISO 3166-1 alpha-2; phone numbers without + are of here.")
]
Locale = Annotated[str, Meta(pattern=r"^[a-z]{2,3}(-[A-Z]{2})?$(?!\n)")]


class AccountInput(Input, frozen=True, kw_only=True):
    """What the host says of one of its customers."""

    name: Name
    timezone: str = "UTC"
    currency: Currency = "USD"
    country: Country | None = None
    locale: Locale = "en"


class Account(Output, frozen=True, kw_only=True):
    """One customer of the host: our tenant."""

    id: HostId
    name: str
    timezone: str
    currency: str
    country: str | None
    locale: str
    created_at: datetime


class KeyInput(Input, frozen=True, kw_only=True):
    """A key to be made for one account."""

    name: Name
    scopes: Annotated[list[Scope], Meta(min_length=1)]


class Key(Output, frozen=True, kw_only=True):
    """A key of one account; ``key`` is shown once, when it is made.

    Attributes:
        scopes: Scopes of the gateway, or the key of an integration whose routes it may call.
        prefix: How it begins, to tell keys apart; null in keys that an earlier version made.
    """

    id: str
    name: str
    scopes: list[str]
    created_at: datetime
    last_used_at: datetime | None = None
    prefix: str | None = None
    key: str | None = None


class SessionLink(Output, frozen=True, kw_only=True):
    """A single-use link that opens the console for one account."""

    url: str
    expires_at: datetime
