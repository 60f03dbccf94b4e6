"""Write a signup: a contact, then a deal on it. Each write is a step that is remembered."""

from datetime import datetime
from typing import Any

from gateway.sdk.connection import Connection, Push, PushedRecord, PushResult
from gateway_acme.client import Client
from gateway_schemas.records import RecordRef


async def push_signup(connection: Connection, push: Push) -> PushResult:
    """Write the contact unless it is there, and the deal."""
    client = Client(connection)
    contact = await _contact(client, push)
    deal = await _deal(client, push, contact)
    return PushResult(records=[contact, deal])


async def _contact(client: Client, push: Push) -> PushedRecord:
    values = dict(push.values.get("contact", {}))

    async def find(_began: datetime) -> PushedRecord | None:
        return await _by_email(client, push.email, "created")

    async def create() -> PushedRecord:
        made = await client.create("/contacts", values)
        return PushedRecord(ref=RecordRef(kind="contact", id=made["id"]), how="created")

    known = next((ref for ref in push.known if ref.kind == "contact"), None)
    there = PushedRecord(ref=known, how="matched") if known else await _by_email(client, push.email, "matched")
    return there or await push.once("contact", find=find, create=create)


async def _by_email(client: Client, email: str, how: Any) -> PushedRecord | None:
    found = [row async for row in client.rows("/contacts", email=email)]
    return PushedRecord(ref=RecordRef(kind="contact", id=found[0]["id"]), how=how) if found else None


async def _deal(client: Client, push: Push, contact: PushedRecord) -> PushedRecord:
    async def find(_began: datetime) -> PushedRecord | None:
        found = [row async for row in client.rows("/deals", reference=push.reference)]
        return PushedRecord(ref=RecordRef(kind="deal", id=found[0]["id"]), how="created") if found else None

    async def create() -> PushedRecord:
        body = {**push.values.get("deal", {}), "contact": contact.ref.id, "reference": push.reference}
        made = await client.create("/deals", body)
        return PushedRecord(ref=RecordRef(kind="deal", id=made["id"]), how="created")

    return await push.once("deal", find=find, create=create)
