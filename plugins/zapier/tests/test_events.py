"""Bodies of events: every key always there, whoever is known; and what each trigger listens to."""

import json
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import msgspec
import pytest

from gateway.sdk.subjects import EventSubjects
from gateway_schemas.base import Money
from gateway_schemas.campaign import Campaign, FormField
from gateway_schemas.event_data import DATA
from gateway_schemas.events import Event
from gateway_schemas.person import Counts, LinkedRecord, Person
from gateway_schemas.records import RecordRef
from gateway_zapier.events import shape
from gateway_zapier.triggers import TRIGGERS, subscription

EXAMPLES = Path(__file__).parents[3] / "schemas" / "examples" / "events"
NOW = datetime(2026, 3, 2, 9, 14, 5, tzinfo=UTC)
LISTENED = sorted({one for trigger in TRIGGERS.values() for one in [*trigger.events, *trigger.imported]})


def example(event_type):
    return msgspec.json.decode((EXAMPLES / f"{event_type}.json").read_bytes(), type=Event)


def person(person_id, role, **changes):
    values = {
        "id": person_id, "account": "acme", "campaign": "spring", "role": role, "email": f"{role}@example.com",
        "first_name": "Jana", "last_name": None, "phone": None, "external_id": None, "code": "JANA", "link": None,
        "fields": {}, "source": "landing_page", "state": "pending" if role == "referred" else None, "crm": "linked",
        "crm_cause": None, "referrer": None, "counts": Counts(referrals=2) if role == "referrer" else None,
        "sale_value": None, "test": False, "records": [], "signed_up_at": NOW, "created_at": NOW, "updated_at": NOW,
    }  # fmt: skip
    return Person(**{**values, **changes})


def campaign(**changes):
    values = {"id": "spring", "account": "acme", "name": "Spring", "state": "live", "fields": [], "link_template": None,
              "rewards": [], "created_at": NOW, "updated_at": NOW}  # fmt: skip
    return Campaign(**{**values, **changes})


def everybody(event):
    """Subjects that know everybody whom the event names."""
    data = event.data
    named = {data[key]: role for key, role in
             (("person", data.get("role") or "referred"), ("referred", "referred"), ("referrer", "referrer"))
             if data.get(key)}  # fmt: skip
    named |= {one["person"]: "referrer" for one in data.get("people", [])}
    return EventSubjects(campaign=campaign(), people={one: person(one, role) for one, role in named.items()})


def keys(value):
    if isinstance(value, dict):
        return {key: keys(inner) for key, inner in value.items()}
    return None


@pytest.mark.parametrize("event_type", LISTENED)
def test_a_body_has_the_same_keys_whoever_is_known(event_type):
    event = example(event_type)
    known, unknown = shape(event, everybody(event)), shape(event, EventSubjects())
    assert keys(known) == keys(unknown)
    body = known["items"][0] if "items" in known else known
    assert body["id"].startswith(event.id)
    assert (body["event"], body["occurred_at"]) == (event_type, event.occurred_at.isoformat().replace("+00:00", "Z"))
    json.dumps(known)


@pytest.mark.parametrize("event_type", sorted(DATA.keys() - set(LISTENED)))
def test_what_no_trigger_is_about_is_left_out(event_type):
    event = example(event_type)
    assert shape(event, everybody(event)) is None


def test_triggers_of_one_kind_have_one_shape():
    def body(event_type):
        event = example(event_type)
        return shape(event, everybody(event))

    problems = [keys(body(one)) for one in TRIGGERS["sync_problem"].events]
    assert all(one == problems[0] for one in problems)
    imported = body("contacts.imported")["items"][0]
    assert keys(imported) == keys(shape(referrer_joined(), everybody(referrer_joined())))
    assert keys(body("referral.qualified")) == keys(body("referral.disqualified"))


def referrer_joined():
    event = example("signup.accepted")
    return msgspec.structs.replace(event, data={**event.data, "role": "referrer", "referrer": None})


def test_somebody_who_was_erased_keeps_the_id_alone():
    event = example("referral.qualified")
    body = shape(event, EventSubjects())
    assert body["lead"]["id"] == event.data["person"]
    assert {value for key, value in body["lead"].items() if key not in ("id", "form_answers")} == {None}


def test_answers_are_told_with_their_labels_and_the_record_with_its_link():
    event = example("referral.qualified")
    fields = {
        "vip": True,
        "size": ["a", 2],
        "budget": Money(amount=Decimal("5.50"), currency="EUR"),
        "old": "x",
        "empty": None,
    }
    records = [
        LinkedRecord(ref=RecordRef(kind="contact", id="1"), how="created", url="https://gone.example", gone=True),
        LinkedRecord(ref=RecordRef(kind="lead", id="2"), how="created", url="https://crm.example/2"),
    ]
    lead = person(event.data["person"], "referred", fields=fields, records=records, test=True)
    declared = campaign(fields=[FormField(key="vip", label="VIP", type="boolean")])
    body = shape(event, EventSubjects(campaign=declared, people={lead.id: lead}))
    told = {one["key"]: (one["label"], one["value"]) for one in body["lead"]["form_answers"]}
    assert told["vip"] == ("VIP", "yes")
    assert (told["size"][1], told["budget"][1], told["old"]) == ("a, 2", "5.50 EUR", ("old", "x"))
    assert "empty" not in told
    assert (body["lead"]["crm_url"], body["test"]) == ("https://crm.example/2", True)


def test_contacts_that_were_referrers_already_are_no_news():
    event = example("contacts.imported")
    people = [{**one, "created": False} for one in event.data["people"]]
    known = msgspec.structs.replace(event, data={**event.data, "people": people})
    assert shape(known, EventSubjects()) is None


def test_amounts_are_exact_texts_without_an_exponent():
    event = example("sale.recorded")
    for given, told in (("1200.00", "1200.00"), ("0.000001", "0.000001"), ("-5", "-5"), ("1E+3", "1000")):
        data = {**event.data, "amount": given}
        assert shape(msgspec.structs.replace(event, data=data), EventSubjects())["sale"]["value"] == told


@pytest.mark.parametrize("event_type", TRIGGERS["sync_problem"].events)
def test_a_problem_is_said_in_words(event_type):
    event = example(event_type)
    problem = shape(event, everybody(event))["problem"]
    assert problem["code"]
    assert problem["message"].endswith(".")


def test_a_campaign_narrows_and_null_stands_for_data_without_one():
    assert subscription(TRIGGERS["new_lead"], None) == (["signup.accepted"], {"role": "referred"})
    assert subscription(TRIGGERS["new_lead"], "spring")[1] == {"role": "referred", "campaign": "spring"}
    assert subscription(TRIGGERS["sync_problem"], "spring")[1] == {"campaign": ["spring", None]}
    events, filters = subscription(TRIGGERS["new_referrer"], None, include_synced=True)
    assert (events, filters) == (["signup.accepted", "contacts.imported"], {"role": ["referrer", None]})
