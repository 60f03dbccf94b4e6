"""Values written back to a person's record."""

import pytest

from gateway.sdk.connection import StatusPush
from gateway.sdk.errors import MappingBroken, NotSupported, RecordGone, Rejected
from gateway_pipedrive.status import push_status
from gateway_schemas.records import Field, RecordRef
from plugins.pipedrive.tests.openapi import vendor_documents


@pytest.fixture
def person(sandbox):
    return sandbox.add_person("Fiona Friend", "fiona@friends.test")


@pytest.fixture
def records(sandbox, person):
    """One record of each kind, with the codes of the fields for link and count."""
    demo = sandbox.demo
    return {
        "contact": (person, demo.person_fields),
        "lead": (sandbox.add_lead("Spring", person_id=person.id), demo.deal_fields),
        "deal": (sandbox.add_deal("Spring", person_id=person.id), demo.deal_fields),
    }


def status(kind, record, values, **changes):
    return StatusPush(reference="per_1", record=RecordRef(kind=kind, id=str(record.id)), values=values, **changes)


@pytest.mark.parametrize("with_types", [True, False])
@pytest.mark.parametrize("kind", ["contact", "lead", "deal"])
async def test_link_and_count_are_written_and_the_rest_stays(connection, records, recorder, kind, with_types):
    record, fields = records[kind]
    link, count = fields["Referral Link"].code, fields["Referral Count"].code
    record.custom_fields[fields["Campaign Name"].code] = "Kept"
    types = (
        [
            Field(key=link, label="Referral Link", type="text", custom=True),
            Field(key=count, label="Referral Count", type="number", custom=True),
        ]
        if with_types
        else []
    )
    push = status(kind, record, {link: "https://refer.test/f", count: 3}, fields=types)
    await push_status(connection, push)
    await push_status(connection, push)
    assert record.custom_fields == {
        fields["Campaign Name"].code: "Kept",
        link: "https://refer.test/f",
        count: 3,
    }
    assert recorder.request_problems(vendor_documents()) == []


@pytest.mark.parametrize("kind", ["contact", "lead", "deal"])
async def test_a_value_that_is_gone_clears_its_field(connection, records, kind):
    record, fields = records[kind]
    link = fields["Referral Link"].code
    record.custom_fields[link] = "https://refer.test/old"
    await push_status(connection, status(kind, record, {link: None}))
    assert link not in record.custom_fields


@pytest.mark.parametrize("kind", ["contact", "lead", "deal"])
async def test_a_record_that_is_gone_is_told(sandbox, connection, records, kind):
    record, fields = records[kind]
    {"contact": sandbox.delete_person, "lead": sandbox.delete_lead, "deal": sandbox.delete_deal}[kind](record.id)
    with pytest.raises(RecordGone):
        await push_status(connection, status(kind, record, {fields["Referral Link"].code: "x"}))


@pytest.mark.parametrize("with_types", [True, False])
@pytest.mark.parametrize("kind", ["contact", "lead", "deal"])
async def test_a_field_that_is_gone_breaks_the_mapping(sandbox, connection, records, kind, with_types):
    record, fields = records[kind]
    link = fields["Referral Link"].code
    sandbox.delete_field(link)
    types = [Field(key=link, label="Referral Link", type="text", custom=True)] if with_types else []
    with pytest.raises(MappingBroken) as broken:
        await push_status(connection, status(kind, record, {link: "x"}, fields=types))
    assert broken.value.fields == [link]


async def test_a_value_that_is_too_long_is_refused(connection, records):
    person, fields = records["contact"]
    with pytest.raises(Rejected, match="255"):
        await push_status(connection, status("contact", person, {fields["Referral Link"].code: "x" * 256}))


async def test_nothing_to_write_makes_no_call(connection, person, recorder):
    await push_status(connection, status("contact", person, {}))
    assert recorder.exchanges == []
    with pytest.raises(NotSupported):
        await push_status(connection, status("note", person, {"content": "x"}))
