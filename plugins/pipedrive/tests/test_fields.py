"""Fields and lists for pickers, and new custom fields, against the sandbox."""

import pytest

from gateway.sdk.errors import NotSupported, Rejected
from gateway_pipedrive.fields import create_field, list_fields
from gateway_pipedrive.options import list_options
from gateway_schemas.records import NewField, Option
from plugins.pipedrive.tests.openapi import vendor_documents


def by_key(fields):
    return {one.key: one for one in fields}


async def test_built_in_fields_have_the_keys_that_writes_take(connection, recorder):
    contact, lead, deal = [by_key(await list_fields(connection, kind)) for kind in ("contact", "lead", "deal")]
    assert (contact["emails"].label, contact["emails"].type, contact["emails"].required) == ("Email", "email", True)
    assert (contact["phones"].label, contact["phones"].type) == ("Phone", "phone")
    assert contact["first_name"].required
    assert (lead["title"].required, deal["title"].required) == (True, True)
    assert (lead["value"].type, deal["value"].type) == ("money", "money")
    assert not deal["acv"].writable
    assert recorder.request_problems(vendor_documents()) == []


async def test_leads_have_the_custom_fields_of_deals_and_labels_of_their_own(sandbox, connection):
    lead, deal = by_key(await list_fields(connection, "lead")), by_key(await list_fields(connection, "deal"))
    code = sandbox.demo.deal_fields["Referral Code"].code
    assert lead[code] == deal[code]
    assert (lead[code].label, lead[code].custom, lead[code].max_length) == ("Referral Code", True, 255)
    assert {one.value for one in lead["label_ids"].options} == set(sandbox.company().lead_labels)
    assert [one.label for one in deal["label_ids"].options] == ["Customer", "Hot"]


@pytest.mark.parametrize("kind", ["contact", "lead", "deal"])
async def test_more_fields_than_one_page_are_all_there(sandbox, connection, kind):
    entity = "person" if kind == "contact" else "deal"
    for number in range(1100):
        sandbox.add_field(entity, f"Field {number}")
    labels = [one.label for one in await list_fields(connection, kind)]
    assert len([one for one in labels if one.startswith("Field ")]) == 1100


async def test_types_are_ours_and_what_cannot_be_written_says_so(sandbox, connection):
    expected = {
        "varchar": "text", "varchar_auto": "text", "text": "long_text", "double": "number", "monetary": "money",
        "date": "date", "time": "time", "user": "user", "phone": "phone", "address": "address",
        "org": "other", "people": "other", "daterange": "other", "timerange": "other",
    }  # fmt: skip
    made = {one: sandbox.add_field("deal", one, one).code for one in expected}
    choice = sandbox.add_field("deal", "choice", "enum", ["A", "B"])
    found = by_key(await list_fields(connection, "deal"))
    assert {one: found[code].type for one, code in made.items()} == expected
    assert {one for one, code in made.items() if not found[code].writable} == {
        "org",
        "people",
        "daterange",
        "timerange",
    }
    assert found[choice.code].options == [Option(value=str(one.id), label=one.label) for one in choice.options]


async def test_a_user_can_be_chosen_from_the_list_of_users(sandbox, connection):
    owner = by_key(await list_fields(connection, "lead"))["owner_id"]
    assert owner.writable
    assert Option(value=str(sandbox.demo.seller.id), label="Sam Seller") in owner.options


async def test_without_the_scope_for_users_nobody_can_be_chosen(sandbox, connect):
    connection = connect(sandbox, granted=frozenset({"contacts:full", "deals:full", "leads:full"}))
    owner = by_key(await list_fields(connection, "deal"))["owner_id"]
    assert not owner.writable
    with pytest.raises(NotSupported, match="users:read"):
        await list_options(connection, "users", None)


async def test_other_kinds_have_no_fields(connection):
    assert [one.key for one in await list_fields(connection, "note")] == ["content"]
    with pytest.raises(NotSupported):
        await list_fields(connection, "job")


# Lists


async def test_stages_come_in_their_order_with_their_pipeline(sandbox, connection, recorder):
    pipelines = await list_options(connection, "pipelines", None)
    assert [one.label for one in pipelines][-2:] == ["Sales", "Partners"]
    stages = await list_options(connection, "stages", str(sandbox.demo.pipeline.id))
    assert [one.label for one in stages] == ["Lead In", "Contacted", "Demo", "Negotiation", "Agreed"]
    assert [one.rank for one in stages] == sorted(one.rank for one in stages)
    assert {one.parent for one in stages} == {str(sandbox.demo.pipeline.id)}
    every = await list_options(connection, "stages", None)
    assert {one.parent for one in every} >= {str(sandbox.demo.pipeline.id), str(sandbox.demo.partner_pipeline.id)}
    assert recorder.request_problems(vendor_documents()) == []


async def test_what_is_deleted_or_temporary_is_not_offered(sandbox, connection):
    sandbox.delete_stage(sandbox.demo.stages["Demo"].id)
    sandbox.delete_pipeline(sandbox.demo.partner_pipeline.id)
    sandbox.add_filter("Somebody's search", is_temporary=True)
    assert "Partners" not in [one.label for one in await list_options(connection, "pipelines", None)]
    assert "Demo" not in [one.label for one in await list_options(connection, "stages", None)]
    assert [one.label for one in await list_options(connection, "filters", None)] == ["Customers"]


async def test_users_currencies_and_nothing_else(sandbox, connection):
    assert "Sam Seller" in [one.label for one in await list_options(connection, "users", None)]
    assert "EUR" in [one.value for one in await list_options(connection, "currencies", None)]
    with pytest.raises(NotSupported):
        await list_options(connection, "planets", None)


# New fields


@pytest.mark.parametrize("kind", ["contact", "lead", "deal"])
async def test_a_field_is_made_once_however_often_it_is_asked_for(sandbox, connection, recorder, kind):
    first = await create_field(connection, kind, NewField(label="Shoe size", type="number"))
    again = await create_field(connection, kind, NewField(label=" shoe SIZE ", type="number"))
    assert first == again
    assert (first.type, first.custom, first.writable) == ("number", True, True)
    assert by_key(await list_fields(connection, kind))[first.key].label == "Shoe size"
    assert recorder.request_problems(vendor_documents()) == []


async def test_a_choice_needs_its_options(connection):
    made = await create_field(connection, "contact", NewField(label="Size", type="option", options=["S", "M"]))
    assert [one.label for one in made.options] == ["S", "M"]
    with pytest.raises(Rejected, match="at least one option"):
        await create_field(connection, "contact", NewField(label="Other", type="options"))


async def test_without_the_scope_the_person_is_told_what_to_do(sandbox, connect, recorder):
    connection = connect(sandbox, recorder, granted=frozenset({"contacts:full", "deals:full", "leads:full"}))
    with pytest.raises(Rejected, match="create the custom field in Pipedrive"):
        await create_field(connection, "lead", NewField(label="Referral Code"))
    assert recorder.exchanges == []


async def test_the_plan_s_limit_is_told_in_words(sandbox, connection):
    sandbox.company().custom_fields_limit = 1
    with pytest.raises(Rejected, match="plan"):
        await create_field(connection, "lead", NewField(label="One more"))


async def test_notes_take_no_fields(connection):
    with pytest.raises(NotSupported):
        await create_field(connection, "note", NewField(label="X"))


@pytest.mark.parametrize("kind", ["contact", "deal"])
async def test_labels_are_found_whether_the_list_calls_them_label_or_label_ids(sandbox, connection, kind):
    # No vendor text says under which code the field lists name them.
    entity = "person" if kind == "contact" else "deal"
    definition = sandbox.company().field_by_code(entity, "label_ids")
    definition.code = "label"
    labels = by_key(await list_fields(connection, kind))["label_ids"]
    assert labels.writable
    assert [one.label for one in labels.options] == ["Customer", "Hot"]
