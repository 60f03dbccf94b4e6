"""What the fake vendor keeps: tenants with their records, apps' connections, tokens. No behaviour beyond look-ups.

Source: ``VENDOR.md``, chapters 1 to 10.
"""

import random
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any

Json = dict[str, Any]
Clock = Callable[[], datetime]


@dataclass
class Access:
    """An app's connection to one tenant: what the administrator chose and pastes into our form.

    Attributes:
        provider: The booking provider value that comes with the chosen tag; None is "No Restriction".
        enabled: False: the administrator has disconnected the app.
    """

    tenant: int
    client_id: str
    client_secret: str
    provider: int | None
    scopes: set[str]
    enabled: bool = True


@dataclass
class Token:
    """A token that was given; its scopes are those of then."""

    value: str
    access: Access
    scopes: frozenset[str]
    expires: datetime


@dataclass
class Named:
    """Something to choose from: a campaign, business unit, job type, call reason, custom field."""

    id: int
    name: str
    created: datetime
    modified: datetime
    active: bool = True
    business_units: list[int] = field(default_factory=list)
    currency: str | None = None
    data_type: str = "Text"
    options: list[str] = field(default_factory=list)


@dataclass
class BookingContact:
    """An e-mail address or telephone number of a booking."""

    id: int
    type: str
    value: str
    memo: str | None
    modified: datetime


@dataclass
class Booking:
    """A booking; ``body`` is what was sent."""

    id: int
    provider: int
    body: Json
    contacts: list[BookingContact]
    created: datetime
    modified: datetime
    visible: datetime
    status: str = "New"
    job: int | None = None
    dismissing_reason: int | None = None


@dataclass
class Contact:
    """An e-mail address or telephone number of a customer; ``guid`` is its id in the newer contact model."""

    id: int
    guid: str
    customer: int
    type: str
    value: str
    created: datetime
    modified: datetime
    active: bool = True


@dataclass
class Customer:
    """A customer; contacts are kept apart, and changing them does not change the customer."""

    id: int
    name: str
    created: datetime
    modified: datetime
    type: str = "Residential"
    active: bool = True
    merged_to: int | None = None
    do_not_mail: bool = False
    address: Json | None = None
    custom: dict[int, str] = field(default_factory=dict)


@dataclass
class Job:
    """A job; its invoice is there from the moment it was booked, at 0.00."""

    id: int
    customer: int
    created: datetime
    modified: datetime
    booking: int | None = None
    status: str = "Scheduled"
    total: Decimal | None = None
    completed: datetime | None = None
    no_charge: bool = False
    business_unit: int | None = None
    job_type: int | None = None
    campaign: int | None = None
    priority: str = "Normal"


@dataclass
class Invoice:
    """An invoice of a job; adjustments are further ones."""

    id: int
    job: int
    created: datetime
    modified: datetime
    sub_total: Decimal = Decimal("0.00")
    tax: Decimal = Decimal("0.00")
    adjustment_to: int | None = None
    active: bool = True

    @property
    def total(self) -> Decimal:
        """With tax."""
        return self.sub_total + self.tax


@dataclass
class Tenant:
    """A customer of the vendor.

    Attributes:
        added: Our app lists this tenant, so that its administrator can see the app.
        contact_search: The newer contact model is open for this tenant.
    """

    id: int
    name: str
    added: bool = True
    contact_search: bool = True
    access: list[Access] = field(default_factory=list)
    bookings: dict[int, Booking] = field(default_factory=dict)
    customers: dict[int, Customer] = field(default_factory=dict)
    contacts: dict[int, Contact] = field(default_factory=dict)
    jobs: dict[int, Job] = field(default_factory=dict)
    invoices: dict[int, Invoice] = field(default_factory=dict)
    campaigns: dict[int, Named] = field(default_factory=dict)
    business_units: dict[int, Named] = field(default_factory=dict)
    job_types: dict[int, Named] = field(default_factory=dict)
    call_reasons: dict[int, Named] = field(default_factory=dict)
    customer_fields: dict[int, Named] = field(default_factory=dict)
    job_fields: dict[int, Named] = field(default_factory=dict)
    providers: dict[int, Named] = field(default_factory=dict)

    def contacts_of(self, customer: int) -> list[Contact]:
        """Return the living contacts of a customer."""
        return [one for one in self.contacts.values() if one.customer == customer and one.active]


@dataclass
class State:
    """All of it; ids and secrets come from a generator with a fixed seed, so that runs are alike."""

    now: Clock
    tenants: dict[int, Tenant] = field(default_factory=dict)
    tokens: dict[str, Token] = field(default_factory=dict)
    _next: dict[str, int] = field(default_factory=dict)
    _random: random.Random = field(default_factory=lambda: random.Random(7))  # noqa: S311 - a fake vendor

    def next_id(self, what: str, first: int) -> int:
        """Return the next number of a kind of record."""
        self._next[what] = self._next.get(what, first - 1) + 1
        return self._next[what]

    def word(self, length: int = 24) -> str:
        """Return letters and digits that look unguessable."""
        return "".join(self._random.choice("abcdefghijklmnopqrstuvwxyz0123456789") for _ in range(length))

    def guid(self) -> str:
        """Return a GUID."""
        return str(uuid.UUID(int=self._random.getrandbits(128), version=4))
