"""Contacts that were there before: found by a search or told by a feed, and left alone under the policy *skip*."""

import asyncio

import msgspec
import pytest

from gateway.sdk.connection import PushedRecord, PushResult
from gateway.sdk.polling import ChangePage
from gateway.testing.conformance.run import RULES, check

from .toy import subject  # isort: skip - makes the scaffold importable
from gateway_acme import client, reads, signups
from gateway_acme.manifest import MANIFEST
from gateway_schemas.manifest import DuplicatePolicy, Feed
from gateway_schemas.records import ContactSeen, RecordRef

from .broken import made_contact

RULE = next(rule for rule in RULES if rule.key == "uses_existing_contacts")
POLICIES = [*MANIFEST.duplicates, DuplicatePolicy(key="skip", label="Leave it", description="Nothing is written.")]
CONTACTS = Feed(key="contacts", label="Contacts", interval_seconds=300, healthy_interval_seconds=300, contacts=True)


def text_of(of):
    return asyncio.run(check(RULE, of)).text


def with_manifest(push_signup, poll_changes=None, **changes):
    manifest = msgspec.structs.replace(MANIFEST, **changes)
    hooks = {"describe": lambda: manifest, "push_signup": push_signup}
    return subject(lambda: hooks | ({"poll_changes": poll_changes} if poll_changes is not None else {}))


# --- the policy skip ---


def skipping(skips, says="It was there already."):
    async def push_signup(connection, push):
        vendor = client.Client(connection)
        contact = await signups._contact(vendor, push)
        if push.duplicates == "skip" and contact.how != "created" and skips:
            return PushResult(records=[contact], cannot_qualify=says)
        return PushResult(records=[contact, await signups._deal(vendor, push, contact)])

    return with_manifest(push_signup, duplicates=POLICIES)


def test_a_plugin_that_skips_passes():
    assert text_of(skipping(True)) == ""


def test_a_plugin_that_writes_all_the_same_is_found():
    assert "policy 'skip', the contact was there before: it made deal " in text_of(skipping(False))


def test_a_plugin_that_skips_and_tells_of_something_new_is_found():
    async def push_signup(connection, push):
        if push.duplicates == "skip":
            ref = RecordRef(kind="contact", id="made up")
            return PushResult(records=[PushedRecord(ref=ref, how="created")])
        return await signups.push_signup(connection, push)

    found = text_of(with_manifest(push_signup, duplicates=POLICIES))
    assert "the signup's crm_cause is None, not 'existing_contact'" in found


def test_a_plugin_that_skips_and_changes_the_contact_is_found(monkeypatch):
    monkeypatch.setattr(signups, "_contact", _renaming(signups._contact))
    assert "it wrote all the same: ['POST /v1/stages']" in text_of(skipping(True))


def _renaming(contact):
    async def renaming(vendor, push):
        await vendor.create("/stages", {"name": "Seen"})
        return await contact(vendor, push)

    return renaming


# --- contacts that a feed tells of ---


def indexed(*, tells=True, looks=True):
    async def poll_changes(connection, feed, checkpoint):
        if feed != "contacts":
            return await reads.poll_changes(connection, checkpoint)
        rows, _ = await client.Client(connection).page("/contacts", changed_after=checkpoint or "0")
        seen = [ContactSeen(id=row["id"], emails=[row["email"]]) for row in rows if tells]
        last = str(rows[-1]["change"]) if rows else checkpoint or "0"
        return ChangePage(changes=[], contacts=seen, checkpoint=last, more=bool(rows))

    async def push_signup(connection, push):
        vendor = client.Client(connection)
        there = [*push.known, *(push.existing if looks else ())]
        known = next((ref for ref in there if ref.kind == "contact"), None)
        contact = PushedRecord(ref=known, how="matched") if known else await made_contact(vendor, push)
        return PushResult(records=[contact, await signups._deal(vendor, push, contact)])

    return with_manifest(push_signup, poll_changes, feeds=[*MANIFEST.feeds, CONTACTS])


@pytest.mark.parametrize(
    ("of", "words"),
    [
        (indexed(), ""),
        (indexed(tells=False), "the contact was there before: it made another one, contact "),
        (indexed(looks=False), "the contact was there before: it made another one, contact "),
    ],
    ids=["good", "its feed tells of no contacts", "existing is not looked at"],
)
def test_contacts_of_the_index(of, words):
    found = text_of(of)
    assert words in found
    assert bool(found) == bool(words)
