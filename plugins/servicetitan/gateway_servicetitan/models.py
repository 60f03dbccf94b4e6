"""What ServiceTitan answers, read tolerantly: only ids are needed; nulls, new fields and new enum values do no harm.

Source: ``VENDOR.md``, chapters 4 (lists, feeds, times), 5 to 10 (objects); the fields are those of the
vendor's OpenAPI documents of March 2026. Times come in UTC with up to seven digits of a fraction, which are cut to
microseconds.
"""

from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import Any, Generic, TypeVar

from msgspec import Struct

T = TypeVar("T")


class Model(Struct, frozen=True, rename="camel"):
    """Something that the vendor answers; fields are the vendor's in our spelling."""


class Page(Struct, Generic[T], frozen=True, rename="camel"):
    """One page of a list; go on while ``has_more``."""

    has_more: bool | None = None
    data: list[T] | None = None

    @property
    def rows(self) -> list[T]:
        """The rows; an empty list for null."""
        return self.data or []


class Export(Struct, Generic[T], frozen=True, rename="camel"):
    """One page of an export feed; ``continue_from`` should be there on the last page too."""

    continue_from: str | None = None
    has_more: bool | None = None
    data: list[T] | None = None

    @property
    def rows(self) -> list[T]:
        """The rows; an empty list for null."""
        return self.data or []


class Booking(Model, frozen=True):
    """A booking; its contacts are read apart."""

    id: int
    status: str | None = None
    job_id: int | None = None
    external_id: str | None = None
    name: str | None = None
    source: str | None = None
    summary: str | None = None
    is_first_time_client: bool | None = None
    campaign_id: int | None = None
    business_unit_id: int | None = None
    job_type_id: int | None = None
    priority: str | None = None
    start: datetime | None = None
    dismissing_reason_id: int | None = None
    created_on: datetime | None = None
    modified_on: datetime | None = None


class CustomValue(Model, frozen=True):
    """The value of a custom field of a customer or job."""

    type_id: int
    name: str | None = None
    value: Any = None


class Job(Model, frozen=True):
    """A job; money is a number here, other than in invoices."""

    id: int
    job_number: str | None = None
    job_status: str | None = None
    customer_id: int | None = None
    booking_id: int | None = None
    business_unit_id: int | None = None
    job_type_id: int | None = None
    campaign_id: int | None = None
    invoice_id: int | None = None
    total: Decimal | None = None
    no_charge: bool | None = None
    completed_on: datetime | None = None
    created_on: datetime | None = None
    modified_on: datetime | None = None
    custom_fields: list[CustomValue] | None = None


class Address(Model, frozen=True):
    """Where somebody lives."""

    street: str | None = None
    unit: str | None = None
    city: str | None = None
    state: str | None = None
    zip: str | None = None
    country: str | None = None


class Customer(Model, frozen=True):
    """A customer; e-mail addresses and phones are contacts, apart."""

    id: int
    active: bool | None = None
    name: str | None = None
    type: str | None = None
    address: Address | None = None
    do_not_mail: bool | None = None
    merged_to_id: int | None = None
    created_on: datetime | None = None
    modified_on: datetime | None = None
    custom_fields: list[CustomValue] | None = None


class CustomerContact(Model, frozen=True):
    """An e-mail address or a phone of a customer; ``active`` comes in the feed only."""

    id: int
    customer_id: int | None = None
    type: str | None = None
    value: str | None = None
    active: bool | None = None
    modified_on: datetime | None = None


class ContactMethod(Model, frozen=True):
    """A hit of the search by e-mail; its ids are GUIDs."""

    contact_id: str
    value: str | None = None
    type: str | None = None


class Relationship(Model, frozen=True):
    """Whose contact it is: a customer's, a location's or a booking's."""

    related_entity_id: int
    type_slug: str | None = None


class Invoice(Model, frozen=True):
    """An invoice; amounts are strings."""

    id: int
    sub_total: str | None = None
    total: str | None = None
    active: bool | None = None
    adjustment_to_id: int | None = None


class Named(Model, frozen=True):
    """Anything to choose from that has a name."""

    id: int
    name: str | None = None
    active: bool | None = None


class BusinessUnit(Named, frozen=True):
    """A business unit; the only place that names a currency."""

    currency: str | None = None


class JobType(Named, frozen=True):
    """A job type; an empty list means every business unit."""

    business_unit_ids: list[int] | None = None


class CustomFieldType(Named, frozen=True):
    """A custom field of customers or jobs."""

    data_type: str | None = None
    data_type_options: list[str] | None = None


def aware(moment: datetime | None) -> datetime | None:
    """Return a time in UTC; one without a zone is taken for UTC, as all of the vendor's are."""
    if moment is None:
        return None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def amount(text: str | None) -> Decimal | None:
    """Return the money of an invoice; ``None`` for what is no number."""
    try:
        found = Decimal(text) if text else None
    except InvalidOperation:
        return None
    return found if found is not None and found.is_finite() else None
