"""Pipedrive's objects as far as we read them; unknown keys are ignored.

Source: ``VENDOR.md``, chapters 7 (objects), 6.1 (fields) and 5 (paging blocks). All of it is
documentation, nothing was recorded from a live account; what is reported or guessed is said at the attribute.
"""

from datetime import datetime
from decimal import Decimal
from typing import Any, Generic, TypeVar

import msgspec
from msgspec import Struct

T = TypeVar("T")


class Pagination(Struct, frozen=True):
    """The paging block of notes and fields in v1."""

    more_items_in_collection: bool = False
    next_start: int | None = None
    limit: int | None = None


class Additional(Struct, frozen=True):
    """The ``additional_data`` of a list: a cursor (v2), a nested block (v1), or flat (v1 leads: no ``next_start``)."""

    next_cursor: str | None = None
    pagination: Pagination | None = None
    more_items_in_collection: bool = False
    limit: int | None = None


class Answer(Struct, Generic[T], frozen=True):
    """The envelope of every good answer; v1 lists answer ``data: null`` when empty."""

    data: T
    additional_data: Additional | None = None


class Id(Struct, frozen=True):
    """What a create answers, as far as it matters: the record is made, whatever else the answer holds."""

    id: int | str


class Me(Struct, frozen=True):
    """``GET v1 /users/me``; ``access`` says for which parts of Pipedrive the user is an admin."""

    id: int
    company_id: int
    name: str | None = None
    company_name: str | None = None
    company_domain: str | None = None
    default_currency: str | None = None
    timezone_name: str | None = None
    access: list[dict[str, Any]] | None = None


class User(Struct, frozen=True):
    """One row of ``GET v1 /users``."""

    id: int
    name: str
    active_flag: bool = True


class Currency(Struct, frozen=True):
    """One row of ``GET v1 /currencies``."""

    code: str
    name: str
    active_flag: bool = True


class Pipeline(Struct, frozen=True):
    """One row of ``GET v2 /pipelines``."""

    id: int
    name: str
    order_nr: int = 0
    is_deleted: bool = False


class Stage(Struct, frozen=True):
    """One row of ``GET v2 /stages``; ``order_nr`` counts within its pipeline."""

    id: int
    name: str
    pipeline_id: int
    order_nr: int = 0
    is_deleted: bool = False


class SavedFilter(Struct, frozen=True):
    """One row of ``GET v1 /filters``; one with a ``temporary_flag`` is somebody's open search."""

    id: int
    name: str
    active_flag: bool = True
    temporary_flag: bool | int | None = None


class LeadLabel(Struct, frozen=True):
    """One row of ``GET v1 /leadLabels``: UUIDs, other than the integer labels of persons and deals."""

    id: str
    name: str


class FieldOption(Struct, frozen=True):
    """A choice of an ``enum`` or ``set`` field; ids are integers for custom fields, strings for some built-in ones."""

    id: int | str
    label: str


class FieldDefinition(Struct, frozen=True):
    """A row of ``GET v2 /personFields`` or ``/dealFields``."""

    field_name: str
    field_code: str
    field_type: str
    options: list[FieldOption] | None = None
    is_custom_field: bool = False


class LeadField(Struct, frozen=True):
    """A row of ``GET v1 /leadFields``: read for the names of the standard fields."""

    key: str
    name: str


class ContactEntry(Struct, frozen=True, omit_defaults=True):
    """One e-mail address or phone number of a person; only ``value`` is sure to be there."""

    value: str | None = None
    primary: bool = False
    label: str | None = None


class Person(Struct, frozen=True):
    """A person of v2."""

    id: int
    name: str | None = None
    first_name: str | None = None
    last_name: str | None = None
    owner_id: int | None = None
    add_time: datetime | None = None
    update_time: datetime | None = None
    emails: list[ContactEntry] | None = None
    phones: list[ContactEntry] | None = None
    label_ids: list[int] | None = None
    is_deleted: bool = False
    custom_fields: dict[str, Any] | None = None

    def has_email(self, addresses: frozenset[str]) -> bool:
        """Say whether one of the addresses (case-folded) is among the person's."""
        return any((entry.value or "").strip().casefold() in addresses for entry in self.emails or [])


class Deal(Struct, frozen=True):
    """A deal of v2; ``source_lead_id`` and ``first_won_time`` come only with ``include_fields``."""

    id: int
    title: str | None = None
    value: Decimal | None = None
    currency: str | None = None
    status: str = "open"
    stage_id: int | None = None
    pipeline_id: int | None = None
    person_id: int | None = None
    owner_id: int | None = None
    creator_user_id: int | None = None
    add_time: datetime | None = None
    update_time: datetime | None = None
    stage_change_time: datetime | None = None
    won_time: datetime | None = None
    first_won_time: datetime | None = None
    expected_close_date: str | None = None
    probability: float | None = None
    lost_reason: str | None = None
    label_ids: list[int] | None = None
    origin_id: str | None = None
    acv: Decimal | None = None
    arr: Decimal | None = None
    mrr: Decimal | None = None
    is_archived: bool = False
    is_deleted: bool = False
    source_lead_id: str | None = None
    custom_fields: dict[str, Any] | None = None


class LeadValue(Struct, frozen=True):
    """The value of a lead: both parts, or none of it."""

    amount: Decimal
    currency: str


class LeadCore(Struct, frozen=True):
    """The standard keys of a v1 lead."""

    id: str
    title: str | None = None
    person_id: int | None = None
    owner_id: int | None = None
    value: LeadValue | None = None
    expected_close_date: str | None = None
    label_ids: list[str] | None = None
    origin_id: str | None = None
    is_archived: bool = False
    add_time: datetime | None = None
    update_time: datetime | None = None


class Lead(Struct, frozen=True):
    """A v1 lead: its standard keys, and all keys as they came (custom fields stand flat at the root)."""

    core: LeadCore
    raw: dict[str, Any]

    @classmethod
    def read(cls, raw: dict[str, Any]) -> "Lead":
        """Make one from a decoded row."""
        return cls(msgspec.convert(raw, LeadCore, strict=False), raw)


class Note(Struct, frozen=True):
    """A v1 note; its times have no zone and are UTC."""

    id: int
    content: str | None = None
    user_id: int | None = None
    lead_id: str | None = None
    deal_id: int | None = None
    person_id: int | None = None
    add_time: str | None = None
    update_time: str | None = None
    active_flag: bool = True


class Webhook(Struct, frozen=True):
    """A webhook subscription (v1 path)."""

    id: int
    subscription_url: str
    event_action: str = ""
    event_object: str = ""
    name: str | None = None
    version: str | None = None
    user_id: int | None = None
    is_active: bool | int = True
    http_auth_user: str | None = None
    http_auth_password: str | None = None
    remove_time: str | None = None
    type: str | None = None


class SearchedPerson(Struct, frozen=True):
    """The id inside a search item; the rest of the item is lossy and not read."""

    id: int


class SearchItem(Struct, frozen=True):
    """One search item."""

    item: SearchedPerson


class SearchItems(Struct, frozen=True):
    """``data`` of a search."""

    items: list[SearchItem] = []
