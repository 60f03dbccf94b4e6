"""What each webhook of ``VENDOR.md``, chapter 8.3 says, by table."""

import json
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest

from gateway_pipedrive import changes
from gateway_schemas.records import Fact, RecordChange, RecordRef

PAYLOADS = json.loads((Path(__file__).parent / "fixtures" / "webhooks.json").read_text())
LEAD = RecordRef(kind="lead", id="b1810230-6c0d-11ed-9826-a53d0eb706a5")
DEAL = RecordRef(kind="deal", id="8")
P8, P11 = RecordRef(kind="contact", id="8"), RecordRef(kind="contact", id="11")
ADDED = datetime(2026, 11, 24, 13, 18, 55, tzinfo=UTC)
MOVED = datetime(2026, 11, 25, 8, tzinfo=UTC)
WON = datetime(2026, 11, 25, 9, tzinfo=UTC)

S2, S3 = Fact(name="stage", value="2", at=ADDED), Fact(name="stage", value="3", at=MOVED)
WAS_WON = Fact(name="won", at=WON)

EXPECTED = {
    "lead created": {"ref": LEAD, "contact": P11, "own": True},
    "lead changed": {"ref": LEAD, "contact": P11},
    "lead deleted": {"ref": LEAD, "contact": P11, "deleted": True},
    "deal created": {"ref": DEAL, "contact": P8, "facts": [S2]},
    "deal created by conversion": {
        "ref": DEAL,
        "contact": P8,
        "origin": LEAD,
        "facts": [Fact(name="converted", at=ADDED), S2],
    },
    "deal created won": {"ref": DEAL, "contact": P8, "facts": [S2, WAS_WON]},
    "deal moved": {"ref": DEAL, "contact": P8, "facts": [S3, Fact(name="stage", value="2")]},
    "deal changed with unrelated keys": {"ref": DEAL, "contact": P8, "facts": [S2]},
    "deal won": {"ref": DEAL, "contact": P8, "facts": [S2, WAS_WON]},
    "deal re-opened": {"ref": DEAL, "contact": P8, "facts": [S2, WAS_WON]},
    "deal custom field changed": {"ref": DEAL, "contact": P8, "facts": [S2], "own": True},
    "deal deleted": {"ref": DEAL, "contact": P8, "facts": [S3], "deleted": True},
    "person changed": {"ref": P8},
    "person deleted": {"ref": P8, "deleted": True},
    "person merged away": {"ref": P11, "merged_into": "12"},
    "person that others were merged into": {"ref": RecordRef(kind="contact", id="12")},
}


def read(payload, identity="8087566", user="12415231"):
    read = changes.read_payload(msgspec.json.encode(payload))
    return [] if read is None else changes.read_changes(read, identity=identity, user=user)


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_a_webhook_says(name):
    common = {
        "message_id": "df47d877-b58c-4886-91cd-1aa83e1d7366:4710827",
        "occurred_at": datetime(2026, 11, 21, 15, 11, 55, 724000, tzinfo=UTC),
    }
    expected = [RecordChange(**common, **EXPECTED[name])]
    if name == "person that others were merged into":
        # Messages get lost: the survivor's proves the merge as well as the loser's.
        expected.append(RecordChange(**common, ref=P11, merged_into="12"))
    assert read(PAYLOADS[name]) == expected


def test_every_payload_of_the_fixture_is_looked_at():
    assert set(PAYLOADS) - set(EXPECTED) == {"note created"}


def test_what_we_do_not_watch_says_nothing():
    assert read(PAYLOADS["note created"]) == []


def test_another_company_says_nothing():
    assert read(PAYLOADS["deal won"], identity="1") == []


@pytest.mark.parametrize(
    "name",
    [
        "deal moved",
        "deal won",
        "deal re-opened",
        "deal created",
        "deal deleted",
        "person merged away",
        "person that others were merged into",
    ],
)
def test_what_may_decide_is_never_taken_for_an_echo(name):
    payload = {**PAYLOADS[name], "meta": {**PAYLOADS[name]["meta"], "change_source": "api"}}
    assert not any(one.own for one in read(payload))


def test_a_change_by_another_user_is_no_echo():
    assert [one.own for one in read(PAYLOADS["deal custom field changed"], user="5")] == [False]


def test_attempts_of_one_message_have_one_id():
    def message(**meta):
        payload = changes.read_payload(
            msgspec.json.encode({**PAYLOADS["deal won"], "meta": {**PAYLOADS["deal won"]["meta"], **meta}})
        )
        return changes.message_id(payload)

    assert message(attempt=1) == message(attempt=4)
    assert message(webhook_id="1") != message(webhook_id="2")
    assert message(id=None) is None


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"no json",
        b"[]",
        b'{"current": {}}',
        b'{"meta": {"action": "change", "entity": "deal", "entity_id": 1, "version": "1.0"}}',
    ],
)
def test_anything_else_is_no_payload(body):
    assert changes.read_payload(body) is None
