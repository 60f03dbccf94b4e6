"""Checked by mypy, never run: the types that plugin authors and receivers build on."""

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol, assert_type

import msgspec

from gateway import hookimpl
from gateway.hookspecs import Polls, Reads, TakesSignups
from gateway.sdk.connection import Connection, Push, PushedRecord, PushResult
from gateway.sdk.errors import MappingBroken, PluginError, RetryLater
from gateway.sdk.polling import ChangePage
from gateway_schemas.base import FieldValue
from gateway_schemas.events import Event
from gateway_schemas.records import Record, RecordRef


class Acme:
    """A plugin as an object: it takes the parameters that the spec names, with these types."""

    @hookimpl
    async def push_signup(self, connection: Connection, push: Push) -> PushResult:
        async def find(begun_at: datetime) -> PushedRecord | None:
            answer = await connection.http.get("/contacts", params={"reference": push.reference})
            return None if answer.status_code == 204 else made

        async def create() -> PushedRecord:
            await connection.http.post("/contacts", json=push.values["contact"])
            return made

        made = PushedRecord(ref=RecordRef(kind="contact", id="1"), how="created")
        contact = await push.once("contact", find=find, create=create)
        assert_type(contact, PushedRecord)
        assert_type(push.values["contact"]["email"], FieldValue)
        return PushResult(records=[contact])

    @hookimpl
    async def read_records(self, connection: Connection, refs: Sequence[RecordRef]) -> list[Record]:
        return [Record(ref=ref, state="open") for ref in refs]

    @hookimpl
    async def find_related(self, connection: Connection, ref: RecordRef) -> list[Record]:
        return []

    @hookimpl
    async def poll_changes(self, connection: Connection, feed: str, checkpoint: str | None) -> ChangePage:
        return ChangePage(changes=[], checkpoint=checkpoint or "", more=False)


class Both(TakesSignups, Reads, Polls, Protocol):
    """The capabilities that Acme implements."""


def takes(plugin: Both) -> None:
    """Take anything of that shape."""


takes(Acme())

error: PluginError = RetryLater("busy", after_seconds=2.5)
assert_type(MappingBroken("gone", ["a"]).fields, list[str])
assert_type(msgspec.json.decode(b"{}", type=Event).occurred_at, datetime)
