"""Turns changes of records into webhook payloads and pending deliveries.

Source: ``VENDOR.md``, chapters 8.1 to 8.3. What ``previous`` says is computed, not remembered by hand: the
webhook object before and after, and the keys that differ.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from gateway_pipedrive.sandbox import shapes
from gateway_pipedrive.sandbox.search import SearchIndex
from gateway_pipedrive.sandbox.state import (
    Company,
    Deal,
    Kind,
    Lead,
    Person,
    Record,
    State,
    Subscription,
    User,
    visible,
)

Json = dict[str, Any]


@dataclass(frozen=True)
class Actor:
    """Who changes something, and through what: ``api`` or ``app`` (the vendor's own screens)."""

    user: User
    source: str


@dataclass
class Delivery:
    """A payload on its way to one subscription."""

    subscription: Subscription
    payload: Json
    due: datetime
    attempt: int = 1


class Outbox(Protocol):
    """Where payloads wait for their time."""

    def put(self, delivery: Delivery) -> None:
        """Take a payload, or lose it when its subscription is banned."""


@dataclass
class Events:
    """Writes down changes: search index, update times, webhooks."""

    state: State
    outbox: Outbox
    index: SearchIndex
    source_lead_in_webhooks: bool = False
    muted: bool = field(default=False)

    def created(self, company: Company, record: Record, actor: Actor) -> None:
        """Tell of a new record."""
        self.index.put(company, record)
        self._emit(company, record, actor, "create", self._data(company, record), None)

    def deleted(self, company: Company, record: Record, actor: Actor, **meta: str) -> None:
        """Mark a record as deleted and tell it: ``data`` is null, ``previous`` the last state."""
        last = self._data(company, record)
        record.is_deleted = True
        record.update_time = self.state.now()
        self.index.remove(company, record)
        self._emit(company, record, actor, "delete", None, last, **meta)

    @contextmanager
    def changing(self, company: Company, record: Record, actor: Actor, **meta: str) -> Iterator[None]:
        """Watch a block that edits a record; tell what became different, and nothing when nothing did.

        Check input before entering: what the block did before it raised stays done.
        """
        before = self._data(company, record)
        yield
        if self._data(company, record) == before and not meta:
            return
        record.update_time = self.state.now()
        after = self._data(company, record)
        self.index.put(company, record)
        self._emit(company, record, actor, "change", after, changed(before, after), **meta)

    def _data(self, company: Company, record: Record) -> Json:
        return shapes.webhook_data(company, kind_of(record), record, source_lead=self.source_lead_in_webhooks)

    def _emit(
        self,
        company: Company,
        record: Record,
        actor: Actor,
        action: str,
        data: Json | None,
        previous: Json | None,
        **extra: str,
    ) -> None:
        if self.muted:
            return
        kind, now = kind_of(record), self.state.now()
        common: Json = {
            "action": action,
            "entity": kind,
            "entity_id": str(record.id),
            "company_id": str(company.id),
            "user_id": str(actor.user.id),
            "correlation_id": self.state.new_uuid("correlation"),
            "timestamp": shapes.iso_millis(now),
            "version": "2.0",
            "type": "application",
            "change_source": actor.source,
            "is_bulk_edit": False,
            "host": f"{company.domain}.pipedrive.com",
            "permitted_user_ids": [str(user.id) for user in company.users.values() if visible(user, record)],
            **extra,
        }
        event_id = self.state.new_uuid("event")
        for subscription in list(self.state.subscriptions.values()):
            if not _wants(subscription, company, kind, action):
                continue
            if not visible(company.users[subscription.user_id], record):
                continue
            own: Json = {
                "id": event_id,
                "webhook_id": str(subscription.id),
                "webhook_owner_id": str(subscription.owner_id),
                "attempt": 1,
            }
            payload: Json = {"meta": common | own, "data": data, "previous": previous}
            self.outbox.put(Delivery(subscription, payload, now))


def kind_of(record: Record) -> Kind:
    """Name the kind of a record."""
    if isinstance(record, Person):
        return "person"
    return "deal" if isinstance(record, Deal) else "lead"


def changed(before: Json, after: Json) -> Json:
    """Return the old values of keys that differ; custom fields key by key, null where one was empty (chapter 8.3)."""
    old: Json = {key: value for key, value in before.items() if key != "custom_fields" and after[key] != value}
    was, now = before["custom_fields"], after["custom_fields"]
    fields = {code: was.get(code) for code in [*was, *now] if was.get(code) != now.get(code)}
    return old | {"custom_fields": fields} if fields else old


def records_of(company: Company) -> Iterator[Person | Deal | Lead]:
    """Walk all persons, deals and leads of a company."""
    yield from company.persons.values()
    yield from company.deals.values()
    yield from company.leads.values()


def _wants(subscription: Subscription, company: Company, kind: str, action: str) -> bool:
    return (
        subscription.company_id == company.id
        and subscription.remove_time is None
        and subscription.version == "2.0"
        and subscription.event_object in {kind, "*"}
        and subscription.event_action in {action, "*"}
    )
