"""Read records, changes and contacts; the state of the record decides."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec

from gateway.sdk.connection import Connection
from gateway.sdk.polling import ChangePage
from gateway_acme.client import Client
from gateway_schemas.records import Fact, Record, RecordChange, RecordRef
from gateway_schemas.sync import ContactPage


class Message(msgspec.Struct, frozen=True):
    """What a webhook says; the vendor sends other kinds too, which have no deal."""

    id: str
    deal: str


async def read_records(connection: Connection, refs: Sequence[RecordRef]) -> list[Record]:
    """Return the records that exist."""
    client = Client(connection)
    found = [(ref, await client.find(f"/{ref.kind}s/{ref.id}")) for ref in refs]
    return [_record(ref.kind, row) for ref, row in found if row is not None]


async def poll_changes(connection: Connection, checkpoint: str | None) -> ChangePage:
    """Return one page of changed deals; the checkpoint is the number of the last change that was read."""
    rows, _ = await Client(connection).page("/deals", changed_after=checkpoint or "0")
    changes = [
        RecordChange(ref=RecordRef(kind="deal", id=row["id"]), facts=_facts(row), record=_record("deal", row))
        for row in rows
    ]
    last = str(rows[-1]["change"]) if rows else checkpoint or "0"
    return ChangePage(changes=changes, checkpoint=last, more=bool(rows))


async def read_contacts(connection: Connection, checkpoint: str | None) -> ContactPage:
    """Return one page of contacts by id, so that edits move nothing and new ones come last."""
    rows, cursor = await Client(connection).page("/contacts", cursor=checkpoint)
    return ContactPage(contacts=[_record("contact", row) for row in rows], checkpoint=cursor)


def read_message(body: bytes) -> Message | None:
    """Return a message of ours, or ``None`` for any other."""
    try:
        return msgspec.json.decode(body, type=Message)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


def read_webhook(body: bytes) -> list[RecordChange]:
    """Return what a webhook says: which deal changed; it is read again."""
    said = read_message(body)
    return [] if said is None else [RecordChange(ref=RecordRef(kind="deal", id=said.deal), message_id=said.id)]


def _record(kind: str, row: dict[str, Any]) -> Record:
    contact = row.get("contact")
    return Record(
        ref=RecordRef(kind=kind, id=row["id"]),
        state=row.get("state", "open"),
        fields={key: value for key, value in row.items() if isinstance(value, str | int | float)},
        facts=_facts(row) if kind == "deal" else [],
        contact=RecordRef(kind="contact", id=contact) if contact is not None else None,
        created_at=datetime.fromisoformat(row["created_at"]),
        updated_at=datetime.fromisoformat(row["updated_at"]),
        currency=row.get("currency"),
    )


def _facts(row: dict[str, Any]) -> list[Fact]:
    facts = [Fact(name="stage", value=row["stage"])]
    return [*facts, Fact(name="won")] if row["state"] == "won" else facts
