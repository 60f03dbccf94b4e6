"""Contacts read from a CRM for contact sync and the contact index."""

from gateway_schemas.base import Output
from gateway_schemas.records import Record


class ContactSelection(Output, frozen=True, kw_only=True):
    """All contacts, or those of one saved filter (the vendor's filter id)."""

    filter: str | None = None


class ContactPage(Output, frozen=True, kw_only=True):
    """One page of contacts and the checkpoint to store with it; null in it means the end."""

    contacts: list[Record]
    checkpoint: str | None
    total: int | None = None
