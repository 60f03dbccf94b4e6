"""For each rule a toy that breaks it, as plugins do break it: a small variation of the good one."""

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from gateway.sdk.connection import PushedRecord, PushResult
from gateway.sdk.errors import ReauthRequired, Rejected, RetryLater
from gateway.sdk.inbound import WebhookRegistration
from gateway.sdk.polling import ChangePage
from gateway.testing.world import Subject
from gateway_acme import client, plugin, reads, signups
from gateway_acme.manifest import MANIFEST
from gateway_acme.sandbox.vendor import Refusal, Vendor
from gateway_schemas.connection import VendorAccount
from gateway_schemas.records import Field, Option, RecordRef
from gateway_schemas.sync import ContactPage

from .helper import APP_CALLS, automation, calling_sandbox, shaped
from .toy import subject

Patch = pytest.MonkeyPatch


def with_hooks(**hooks: Any) -> Subject:
    return subject(lambda: hooks)


def classifying(patch: Patch, status: int, error: Callable[[], Exception]) -> Subject:
    patch.setattr(client, "classify", lambda response: error() if response.status_code == status else None)
    return subject()


def a_step_without_instructions(patch: Patch) -> Subject:
    steps = [msgspec.structs.replace(one, instructions=[]) for one in MANIFEST.connect_steps]
    manifest = msgspec.structs.replace(MANIFEST, connect_steps=steps)
    return with_hooks(describe=lambda: manifest)


def another_identity(patch: Patch) -> Subject:
    async def verify_connection(connection, step):
        verified = await plugin.verify_connection(connection, step)
        return msgspec.structs.replace(verified, identity=f"{verified.identity}0")

    return with_hooks(verify_connection=verify_connection)


def believes_any_secret(patch: Patch) -> Subject:
    async def verify_connection(connection, step):
        return VendorAccount(identity=connection.credentials["tenant"], name="Acme")

    return with_hooks(verify_connection=verify_connection)


def remembers_the_first_step_in_memory(patch: Patch) -> Subject:
    def vary():
        memory = {}

        async def verify_connection(connection, step):
            if step == "tenant":
                memory["tenant"] = connection.credentials["tenant"]
            verified = await plugin.verify_connection(connection, step)
            return msgspec.structs.replace(verified, identity=memory["tenant"])

        return {"verify_connection": verify_connection}

    return subject(vary)


def leaves_its_webhook(patch: Patch) -> Subject:
    async def disconnect(connection):
        return {"removed": ["Everything."], "by_hand": []}

    return with_hooks(disconnect=disconnect)


async def made_contact(vendor, push):
    """Make the contact of a push once, whoever is in the CRM already."""

    async def find(_began):
        return await signups._by_email(vendor, push.email, "created")

    async def create():
        made = await vendor.create("/contacts", dict(push.values["contact"]))
        return PushedRecord(ref=RecordRef(kind="contact", id=made["id"]), how="created")

    return await push.once("contact", find=find, create=create)


def looks_for_nobody(patch: Patch) -> Subject:
    async def push_signup(connection, push):
        vendor = client.Client(connection)
        contact = await made_contact(vendor, push)
        return PushResult(records=[contact, await signups._deal(vendor, push, contact)])

    return with_hooks(push_signup=push_signup)


def finds_no_deal(patch: Patch) -> Subject:
    rows = client.Client.rows

    def blind(self, path, **params):
        return rows(self, path, **({**params, "reference": "none"} if "reference" in params else params))

    patch.setattr(client.Client, "rows", blind)
    return subject()


def gives_up_at_429(patch: Patch) -> Subject:
    return classifying(patch, 429, lambda: Rejected("too many calls"))


def gives_up_at_503(patch: Patch) -> Subject:
    return classifying(patch, 503, lambda: Rejected("the vendor is down"))


def swallows_refusals(patch: Patch) -> Subject:
    async def push_signup(connection, push):
        try:
            return await plugin.push_signup(connection, push)
        except Rejected:
            return PushResult(records=[])

    return with_hooks(push_signup=push_signup)


def looks_among_its_own_alone(patch: Patch) -> Subject:
    async def push_signup(connection, push):
        vendor = client.Client(connection)
        ours = next((ref for ref in push.known if ref.kind == "contact"), None)
        there = PushedRecord(ref=ours, how="matched") if ours else None
        contact = there or await made_contact(vendor, push)
        return PushResult(records=[contact, await signups._deal(vendor, push, contact)])

    return with_hooks(push_signup=push_signup)


def waits_at_401(patch: Patch) -> Subject:
    return classifying(patch, 401, lambda: RetryLater("not now", after_seconds=60))


def takes_an_ended_token_for_a_refusal(patch: Patch) -> Subject:
    """Its vendor answers 403 once a token has ended, as some do, and the plugin asks a person at once."""
    answer = Vendor.answer

    def answering(self, *asked):
        try:
            return answer(self, *asked)
        except Refusal as refusal:
            raise Refusal(403 if refusal.status == 401 else refusal.status, refusal.error) from None

    def classify(response):
        return ReauthRequired("the token has ended") if "token" in response.text else None

    patch.setattr(Vendor, "answer", answering)
    patch.setattr(client, "classify", classify)
    return subject()


def believes_any_webhook(patch: Patch) -> Subject:
    return with_hooks(verify_webhook=lambda connection, request: None)


def believes_any_app_call(patch: Patch) -> Subject:
    hooks = {**APP_CALLS, "verify_app_call": lambda settings, request: None}
    return subject(lambda: hooks, calling_sandbox())


def a_route_without_a_scope(patch: Patch) -> Subject:
    return automation(scope="")


def subscribes_again_and_again(patch: Patch) -> Subject:
    async def register_webhooks(connection, callback_url):
        body = {"url": callback_url, "secret": connection.inbound_secret}
        made = await client.Client(connection).create("/webhooks", body)
        return [WebhookRegistration(external_id=made["id"], subject="deals")]

    return with_hooks(register_webhooks=register_webhooks)


def one_page_of_fields(patch: Patch) -> Subject:
    async def list_fields(connection, record_kind):
        rows, _ = await client.Client(connection).page(f"/fields/{record_kind}")
        wanted, _ = await client.Client(connection).page(f"/fields/{record_kind}", cursor="email")
        known = {row["key"]: row for row in rows + wanted}.values()
        return [Field(key=row["key"], label=row["label"], type=row["type"], custom=row["custom"]) for row in known]

    return with_hooks(list_fields=list_fields)


def one_page_of_options(patch: Patch) -> Subject:
    async def list_options(connection, source, parent):
        rows, _ = await client.Client(connection).page(f"/{source}")
        return [Option(value=row["id"], label=row["name"], rank=rank) for rank, row in enumerate(rows)]

    return with_hooks(list_options=list_options)


def tells_no_stage(patch: Patch) -> Subject:
    facts = reads._facts
    patch.setattr(reads, "_facts", lambda row: [fact for fact in facts(row) if fact.name != "stage"])
    return subject()


def one_id_for_all_messages(patch: Patch) -> Subject:
    return with_hooks(webhook_id=lambda request: "message")


def trusts_its_webhooks(patch: Patch) -> Subject:
    """It remembers what it has read until a webhook says otherwise, and its feed tells nothing."""

    def vary():
        cache = {}

        async def read_records(connection, refs):
            new = [ref for ref in refs if ref not in cache]
            cache.update({one.ref: one for one in await reads.read_records(connection, new)})
            return [cache[ref] for ref in refs if ref in cache]

        def read_webhook(connection, request):
            changes = reads.read_webhook(request.body)
            for change in changes:
                cache.pop(change.ref, None)
            return changes

        async def poll_changes(connection, feed, checkpoint):
            return ChangePage(changes=[], checkpoint=checkpoint or "0", more=False)

        return {"read_records": read_records, "read_webhook": read_webhook, "poll_changes": poll_changes}

    return subject(vary)


def reads_values_in_cents(patch: Patch) -> Subject:
    record = reads._record

    def in_cents(kind, row):
        return record(kind, {**row, "value": round(row["value"] * 100)} if "value" in row else row)

    patch.setattr(reads, "_record", in_cents)
    return subject()


def leaves_out_what_is_not_known(patch: Patch) -> Subject:
    def sparse(event):
        return {key: value for key, value in shaped(event).items() if value is not None}

    return automation(shape=sparse, sample=sparse)


def samples_with_other_keys(patch: Patch) -> Subject:
    return automation(sample=lambda event: {"id": event.id, "person": "per_example"})


def a_contact_twice(patch: Patch) -> Subject:
    async def read_contacts(connection, selection, checkpoint):
        page = await reads.read_contacts(connection, checkpoint)
        return msgspec.structs.replace(page, contacts=[*page.contacts, *page.contacts[:1]])

    return with_hooks(read_contacts=read_contacts)


def keeps_its_place_in_memory(patch: Patch) -> Subject:
    def vary():
        place = {}

        async def read_contacts(connection, selection, checkpoint):
            page = await reads.read_contacts(connection, place.get(checkpoint) if checkpoint else None)
            name = f"place {len(place)}"
            place[name] = page.checkpoint
            return msgspec.structs.replace(page, checkpoint=name if page.checkpoint else None)

        return {"read_contacts": read_contacts}

    return subject(vary)


def counts_places_in_a_list_that_moves(patch: Patch) -> Subject:
    async def read_contacts(connection, selection, checkpoint):
        rows, cursor = await client.Client(connection).page("/contacts", sort="updated", cursor=checkpoint)
        return ContactPage(contacts=[reads._record("contact", row) for row in rows], checkpoint=cursor)

    return with_hooks(read_contacts=read_contacts)


def reads_contacts_without_their_addresses(patch: Patch) -> Subject:
    async def read_contacts(connection, selection, checkpoint):
        page = await reads.read_contacts(connection, checkpoint)
        contacts = [
            msgspec.structs.replace(one, fields={key: one.fields[key] for key in one.fields if key != "email"})
            for one in page.contacts
        ]
        return msgspec.structs.replace(page, contacts=contacts)

    return with_hooks(read_contacts=read_contacts)


BROKEN: dict[str, tuple[Callable[[Patch], Subject], str]] = {
    "manifest_is_sound": (a_step_without_instructions, "has no instructions"),
    "connects": (another_identity, "connected as '47110', but to '4711'"),
    "refuses_wrong_credentials": (believes_any_secret, "a wrong 'client_id' in step 'finalise' was answered 200"),
    "resumes_pending_connect": (remembers_the_first_step_in_memory, "steps/finalise: 500"),
    "disconnect_leaves_nothing": (leaves_its_webhook, "after the disconnect there is still"),
    "pushes_once": (looks_for_nobody, "a person in two campaigns became 2 contacts"),
    "survives_lost_answers": (finds_no_deal, "more than one record for one signup: {'deal': 2}"),
    "waits_at_the_rate_limit": (gives_up_at_429, "the signup is refused, not waiting: too many calls"),
    "waits_while_the_vendor_is_down": (gives_up_at_503, "the signup is refused, not waiting: the vendor is down"),
    "tells_refusals": (swallows_refusals, "counts as delivered although the vendor refused"),
    "uses_existing_contacts": (looks_among_its_own_alone, "the contact was there before: it made another one, contact"),
    "asks_to_reauthorise": (waits_at_401, "every call is answered 401, but the connection is active"),
    "renews_expired_tokens": (
        takes_an_ended_token_for_a_refusal,
        "a token that ended between two signups made the connection needs_reauth",
    ),
    "refuses_forged_webhooks": (believes_any_webhook, "a call with no proof was answered 200, not 401"),
    "refuses_forged_app_calls": (believes_any_app_call, "a call with no proof was answered 200, not 401"),
    "guards_its_routes": (a_route_without_a_scope, "GET samples asks for the scope ''"),
    "registers_webhooks_once": (subscribes_again_and_again, "after three days of checks it is"),
    "lists_every_field": (one_page_of_fields, "fields of 'contact': 1 of 4 are missing"),
    "lists_every_option": (one_page_of_options, "options of 'stages': 4 of 4 are missing"),
    "reaches_every_trigger": (tells_no_stage, "trigger 'deal_stage', target 'deal': it happened in the CRM"),
    "takes_messages_in_any_order": (one_id_for_all_messages, "all messages came, in another order"),
    "finds_what_messages_missed": (trusts_its_webhooks, "all messages were lost"),
    "reads_sale_values": (
        reads_values_in_cents,
        "deal.value holds 1234.56 USD, but the sale value is 123456 USD",
    ),
    "shapes_events_alike": (leaves_out_what_is_not_known, "some events have these keys and some do not: ['reason']"),
    "samples_look_like_events": (samples_with_other_keys, "samples and events differ in ['reason', 'type']"),
    "makes_referrers_of_contacts": (
        reads_contacts_without_their_addresses,
        "3 contacts with an address are no referrers",
    ),
    "reads_every_contact": (a_contact_twice, "contacts come more than once"),
    "resumes_reading_contacts": (keeps_its_place_in_memory, "from the checkpoint of page 1 come 7 contacts, not the 4"),
    "reads_contacts_that_change": (
        counts_places_in_a_list_that_moves,
        "contacts that were there all the time were missed",
    ),
}
"""By rule: the toy that breaks it, and words of what the rule says then."""
