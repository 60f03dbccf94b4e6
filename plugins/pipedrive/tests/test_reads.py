"""Records read again, deals found, contacts walked: against the sandbox."""

from datetime import timedelta
from decimal import Decimal

import pytest

from gateway_pipedrive.reads import find_related, read_records
from gateway_schemas.base import Money
from gateway_schemas.records import Fact, RecordRef
from plugins.pipedrive.tests.openapi import vendor_documents


def ref(kind, record):
    return RecordRef(kind=kind, id=str(record.id))


def facts(record):
    return [(one.name, one.value) for one in record.facts]


@pytest.fixture
def person(sandbox):
    return sandbox.add_person("Fiona Friend", "fiona@friends.test")


async def test_a_deal_says_all_that_decides(sandbox, connection, person, clock):
    code = sandbox.demo.deal_fields["Referral Code"].code
    deal = sandbox.add_deal(
        "Spring",
        person_id=person.id,
        value=99.9,
        currency="USD",
        stage_id=sandbox.demo.stages["Demo"].id,
        custom_fields={code: "F-1"},
    )
    (record,) = await read_records(connection, [ref("deal", deal)])
    assert (record.state, record.contact, record.origin) == ("open", ref("contact", person), None)
    assert facts(record) == [("stage", str(deal.stage_id))]
    assert record.fields["value"] == Money(amount=Decimal("99.9"), currency="USD")
    assert record.fields[code] == "F-1"
    assert (record.created_at, record.currency) == (clock().replace(microsecond=0), "USD")
    assert record.url == f"https://acme.pipedrive.com/deal/{deal.id}"


async def test_a_converted_lead_is_gone_and_its_deal_names_it(sandbox, connection, person):
    lead = sandbox.add_lead("Spring", person_id=person.id)
    deal = sandbox.convert_lead(lead.id, sandbox.demo.stages["Contacted"].id)
    records = await read_records(connection, [ref("lead", lead), ref("deal", deal)])
    (record,) = records
    assert record.origin == ref("lead", lead)
    assert facts(record) == [("converted", None), ("stage", str(sandbox.demo.stages["Contacted"].id))]


async def test_states_of_a_deal(sandbox, connection, person, clock):
    def deal(title):
        return sandbox.add_deal(title, person_id=person.id)

    won, lost, archived, won_archived, reopened, deleted = [deal(str(number)) for number in range(6)]
    sandbox.win_deal(won.id)
    sandbox.lose_deal(lost.id)
    sandbox.archive_deal(archived.id)
    sandbox.win_deal(won_archived.id)
    sandbox.archive_deal(won_archived.id)
    sandbox.win_deal(reopened.id)
    clock.advance(timedelta(minutes=1))
    sandbox.reopen_deal(reopened.id)
    sandbox.delete_deal(deleted.id)
    wanted = [won, lost, archived, won_archived, reopened, deleted]

    records = {one.ref.id: one for one in await read_records(connection, [ref("deal", one) for one in wanted])}

    states = [records[str(one.id)].state for one in wanted]
    assert states == ["won", "lost", "archived", "won", "open", "deleted"]
    has_won = [any(fact.name == "won" for fact in records[str(one.id)].facts) for one in wanted]
    assert has_won == [True, False, False, True, True, False]


@pytest.mark.parametrize("count", [3, 100])
async def test_few_or_many_deals_are_read_the_same(sandbox, connection, person, recorder, count):
    deals = [sandbox.add_deal(str(number), person_id=person.id) for number in range(count)]
    sandbox.archive_deal(deals[0].id)
    sandbox.delete_deal(deals[1].id)
    refs = [ref("deal", one) for one in deals] + [RecordRef(kind="deal", id="999999"), RecordRef(kind="deal", id="x/y")]
    records = await read_records(connection, refs)
    assert {one.ref.id for one in records} == {str(one.id) for one in deals}
    assert {one.ref.id: one.state for one in records}[str(deals[1].id)] == "deleted"
    assert sum(one.cost for one in sandbox.front.log) <= 50
    assert recorder.request_problems(vendor_documents()) == []


@pytest.mark.parametrize("count", [2, 40])
async def test_contacts_that_are_merged_or_deleted_are_left_out(sandbox, connection, recorder, count):
    persons = [sandbox.add_person(f"P {number}", f"p{number}@x.test") for number in range(count + 2)]
    sandbox.merge_persons(persons[-1].id, persons[0].id)
    sandbox.delete_person(persons[-2].id)
    records = await read_records(connection, [ref("contact", one) for one in persons])
    assert {one.ref.id for one in records} == {str(one.id) for one in persons[:-2]}
    first = next(one for one in records if one.ref.id == str(persons[0].id))
    assert first.fields["emails"] == "p0@x.test"
    assert recorder.request_problems(vendor_documents()) == []


async def test_leads_and_notes(sandbox, connection, person, recorder):
    code = sandbox.demo.deal_fields["Referral Code"].code
    lead = sandbox.add_lead("Spring", person_id=person.id, value={"amount": 5.5, "currency": "EUR"}, **{code: "F-1"})
    archived = sandbox.add_lead("Old", person_id=person.id)
    sandbox.archive_lead(archived.id)
    note = sandbox.add_note("Hello", lead_id=lead.id)
    records = await read_records(connection, [ref("lead", lead), ref("lead", archived), ref("note", note)])
    assert [one.state for one in records] == ["open", "archived", "open"]
    assert records[0].fields == {
        "title": "Spring",
        "value": Money(amount=Decimal("5.5"), currency="EUR"),
        "owner_id": str(sandbox.demo.admin.id),
        code: "F-1",
    }
    assert records[0].contact == ref("contact", person)
    assert records[2].fields["content"] == "Hello"


async def test_the_deals_of_a_contact_are_found_in_whatever_state(sandbox, connection, person, recorder):
    lead = sandbox.add_lead("Spring", person_id=person.id)
    converted = sandbox.convert_lead(lead.id)
    archived, deleted = [sandbox.add_deal(one, person_id=person.id) for one in ("a", "b")]
    sandbox.archive_deal(archived.id)
    sandbox.delete_deal(deleted.id)
    sandbox.add_deal("Not Fiona's")
    found = {one.ref.id: one for one in await find_related(connection, ref("contact", person))}
    assert set(found) == {str(converted.id), str(archived.id), str(deleted.id)}
    assert found[str(converted.id)].origin == ref("lead", lead)
    assert found[str(deleted.id)].state == "deleted"
    assert recorder.request_problems(vendor_documents()) == []


async def test_the_deals_of_a_lead_that_is_still_there(sandbox, connection, person):
    lead = sandbox.add_lead("Spring", person_id=person.id)
    sandbox.add_deal("Other", person_id=person.id)
    assert await find_related(connection, ref("lead", lead)) == []
    assert await find_related(connection, RecordRef(kind="note", id="1")) == []
    sandbox.convert_lead(lead.id)
    # The lead names its person no more: its deal is found through the contact.
    assert await find_related(connection, ref("lead", lead)) == []


async def test_a_fact_of_a_record_has_its_time(sandbox, connection, person, clock):
    deal = sandbox.add_deal("Spring", person_id=person.id)
    clock.advance(timedelta(minutes=30))
    sandbox.win_deal(deal.id)
    records = await read_records(connection, [ref("deal", deal)])
    assert Fact(name="won", at=clock()) in records[0].facts
