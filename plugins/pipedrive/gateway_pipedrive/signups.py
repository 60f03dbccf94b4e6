"""Write a signup: the contact first, then the lead or deal on it, then a note if one is mapped.

Every write is a step of ``push.once``, so that whatever happens in between it is done once. The decision whether
somebody is there already is made inside the contact's step, and is remembered with it: else a second attempt would take
the contact that the first one made for an existing one.
"""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import msgspec

from gateway.sdk.connection import Connection, Push, PushedRecord, PushResult
from gateway.sdk.errors import NotSupported, RecordGone
from gateway_pipedrive import find
from gateway_pipedrive.bodies import contact_body, contact_changes, deal_body, lead_body, note_body
from gateway_pipedrive.client import Pipedrive
from gateway_pipedrive.errors import RefusedInput
from gateway_pipedrive.fields import writable_fields
from gateway_pipedrive.links import url_of
from gateway_pipedrive.models import Person
from gateway_pipedrive.refusals import explain
from gateway_pipedrive.targets import REFERRAL_CODE
from gateway_schemas.records import Field, RecordRef

_LINKS = {"contact": "person_id", "lead": "lead_id", "deal": "deal_id"}
CANNOT_QUALIFY = (
    "A contact with this e-mail address was there already and nothing was created on it, so this signup cannot qualify."
)


async def push_signup(connection: Connection, push: Push) -> PushResult:
    """Write one signup.

    Raises:
        MappingBroken: A mapped field, option, stage, pipeline or owner is gone; fields were read anew to be sure.
        Rejected: The vendor refused these values for good.
        RecordGone: The contact went before the lead or deal was made.
        NotSupported: The target is none of ours.
    """
    if push.target not in _LINKS:
        raise NotSupported(f"Pipedrive has no target {push.target!r}")
    client = Pipedrive(connection)
    signup = _Signup(connection, client, push)
    try:
        return await signup.write()
    except RefusedInput as refused:
        # How a write on a contact that was deleted meanwhile is refused is not documented.
        if signup.contact_id is not None and await client.person(signup.contact_id) is None:
            raise RecordGone(f"contact {signup.contact_id} is not there any more, or not visible") from refused
        raise await explain(client, push.values, refused, push.target_options) from refused


@dataclass(slots=True)
class _Signup:
    """One push and what it has learnt so far."""

    connection: Connection
    client: Pipedrive
    push: Push
    existing: Person | None = None
    contact_id: str | None = None
    others: list[RecordRef] = field(default_factory=list)

    async def write(self) -> PushResult:
        """Do the steps in their order."""
        push = self.push
        shapes = {kind: await self._shapes(kind) for kind in self._kinds()}
        contact = await self._contact(shapes["contact"])
        self.contact_id = contact.ref.id
        if contact.how != "created" and push.duplicates == "skip":
            cannot = CANNOT_QUALIFY if push.target != "contact" and push.role == "referred" else None
            return PushResult(records=[contact], others=self.others, cannot_qualify=cannot)
        if contact.how != "created":
            contact = await self._completed(contact, shapes["contact"])
        records = [contact]
        if push.target == "lead":
            records.append(await self._lead(contact.ref.id, shapes["lead"]))
        elif push.target == "deal":
            records.append(await self._deal(contact.ref.id, shapes["deal"]))
        if content := push.values.get("note", {}).get("content"):
            records.append(await self._note(records[-1].ref, str(content)))
        return PushResult(records=records, others=self.others)

    def _kinds(self) -> list[str]:
        return ["contact"] if self.push.target == "contact" else ["contact", self.push.target]

    async def _shapes(self, kind: str) -> dict[str, Field]:
        return await writable_fields(self.client, kind, self.push.values.get(kind, {}), self.push.fields.get(kind, ()))

    async def _contact(self, fields: dict[str, Field]) -> PushedRecord:
        push, values = self.push, self.push.values.get("contact", {})
        addresses = self._addresses()

        async def made_before(began: datetime) -> PushedRecord | None:
            person = await find.new_person(self.client, addresses, began)
            return self._record("contact", str(person.id), "created") if person is not None else None

        async def create() -> PushedRecord:
            found = await find.people(self.client, addresses, push.known)
            rest = found if push.duplicates == "create" else found[1:]
            self.others = [RecordRef(kind="contact", id=str(one.id)) for one in rest]
            if found and push.duplicates != "create":
                self.existing = found[0]
                return self._record("contact", str(found[0].id), "matched")
            body = contact_body(
                values,
                fields,
                email=push.email,
                currency=self.connection.currency,
                owner=push.target_options.get("owner"),
            )
            return self._record("contact", await self.client.create_person(body), "created")

        return await push.once("contact", find=made_before, create=create)

    async def _completed(self, contact: PushedRecord, fields: dict[str, Field]) -> PushedRecord:
        """Write to a contact that was there: empty fields only, or all that is mapped."""
        values = self.push.values.get("contact", {})
        found_now = self.existing

        def changes(person: Person) -> dict[str, Any]:
            overwrite = self.push.duplicates == "update"
            return contact_changes(person, values, fields, overwrite=overwrite, currency=self.connection.currency)

        async def read() -> Person:
            person = await self.client.person(contact.ref.id)
            if person is None:
                raise RecordGone(
                    f"contact {contact.ref.id} is not there any more, or not visible to the connected user"
                )
            return person

        async def written_before(_began: datetime) -> PushedRecord | None:
            return None if changes(await read()) else self._record("contact", contact.ref.id, "updated")

        async def create() -> PushedRecord:
            body = changes(found_now or await read())
            if not body:
                return self._record("contact", contact.ref.id, "matched")
            await self.client.update_person(contact.ref.id, body)
            return self._record("contact", contact.ref.id, "updated")

        if found_now is not None and not changes(found_now):
            return contact
        done = await self.push.once("contact_update", find=written_before, create=create)
        return contact if done.how == "matched" else msgspec.structs.replace(contact, how="updated")

    async def _lead(self, person: str, fields: dict[str, Field]) -> PushedRecord:
        push = self.push
        body = lead_body(
            push.values.get("lead", {}),
            fields,
            person=person,
            title=push.campaign_name,
            reference=push.reference,
            currency=self.connection.currency,
            owner=push.target_options.get("owner"),
        )

        async def made_before(began: datetime) -> PushedRecord | None:
            found = await find.new_lead(self.client, person, push.reference, began, push.known)
            return self._record("lead", found, "created") if found is not None else None

        async def create() -> PushedRecord:
            return self._record("lead", await self.client.create_lead(body), "created")

        return await push.once("lead", find=made_before, create=create)

    async def _deal(self, person: str, fields: dict[str, Field]) -> PushedRecord:
        push, values = self.push, self.push.values.get("deal", {})
        body = deal_body(
            values,
            fields,
            person=person,
            title=push.campaign_name,
            currency=self.connection.currency,
            options=push.target_options,
        )
        codes = {
            key: value
            for key, value in body.get("custom_fields", {}).items()
            if fields[key].label.strip().casefold() == REFERRAL_CODE.casefold() or (push.code and value == push.code)
        }

        async def made_before(began: datetime) -> PushedRecord | None:
            found = await find.new_deal(
                self.client, person, began, codes=codes, user=self.connection.user, known=push.known
            )
            return self._record("deal", str(found.id), "created") if found is not None else None

        async def create() -> PushedRecord:
            return self._record("deal", await self.client.create_deal(body), "created")

        return await push.once("deal", find=made_before, create=create)

    async def _note(self, on: RecordRef, content: str) -> PushedRecord:
        link = _LINKS[on.kind]
        body = note_body(content, link, on.id)

        async def made_before(_began: datetime) -> PushedRecord | None:
            found = await find.new_note(self.client, link, on.id, body["content"])
            return self._record("note", str(found.id), "created") if found is not None else None

        async def create() -> PushedRecord:
            return self._record("note", await self.client.create_note(body), "created")

        return await self.push.once("note", find=made_before, create=create)

    def _addresses(self) -> frozenset[str]:
        """Return the addresses by which the person is known: the normalised one, and the one that is written."""
        written = self.push.values.get("contact", {}).get("emails")
        given = written if isinstance(written, list) else [written]
        return frozenset(str(one).strip().casefold() for one in [self.push.email, *given] if one)

    def _record(self, kind: str, record_id: str, how: Any) -> PushedRecord:
        return PushedRecord(
            ref=RecordRef(kind=kind, id=record_id), how=how, url=url_of(self.connection, kind, record_id)
        )
