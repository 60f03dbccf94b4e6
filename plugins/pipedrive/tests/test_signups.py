"""Each target, duplicate policy and role against the sandbox; each request is held against the vendor's documents."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest

from gateway.sdk.errors import MappingBroken, NotSupported, OutcomeUnknown, RecordGone, Rejected, RetryLater
from gateway_pipedrive.signups import CANNOT_QUALIFY, push_signup
from gateway_schemas.base import Money
from gateway_schemas.records import Field, RecordRef
from plugins.pipedrive.tests.openapi import vendor_documents

EMAIL = "fiona@friends.test"


def fionas(sandbox):
    return [
        one
        for one in sandbox.company().persons.values()
        if not one.is_deleted and any(entry["value"].lower() == EMAIL for entry in one.emails)
    ]


def kinds(result):
    return [(one.ref.kind, one.how) for one in result.records]


@pytest.fixture
def there_already(sandbox, clock):
    """Fiona is in the CRM since long: findable, with a name only in part and a phone of her own."""
    code = sandbox.demo.person_fields["Campaign Name"].code
    person = sandbox.add_person(
        "Fiona", "Fiona@Friends.test", phones=[{"value": "030 1", "label": "home"}], custom_fields={code: "Winter"}
    )
    sandbox.index.age()
    return person


@pytest.mark.parametrize("role", ["referred", "referrer"])
@pytest.mark.parametrize("duplicates", ["fill_empty", "update", "create", "skip"])
@pytest.mark.parametrize("target", ["contact", "lead", "deal"])
async def test_a_new_person_gets_all_records_of_the_target(
    sandbox, connection, make_push, recorder, target, duplicates, role
):
    result = await push_signup(connection, make_push(target, duplicates=duplicates, role=role))

    expected = [("contact", "created")] + ([] if target == "contact" else [(target, "created")])
    assert kinds(result) == expected
    assert result.cannot_qualify is None
    (person,) = fionas(sandbox)
    assert (person.name, person.first_name, person.last_name) == ("Fiona Friend", "Fiona", "Friend")
    assert person.phones == [{"value": "+4915112345678", "primary": True, "label": "work"}]
    company = sandbox.company()
    if target == "lead":
        (lead,) = company.leads.values()
        assert (lead.title, lead.person_id, lead.origin_id) == ("Spring", person.id, "per_01j0000000000000000000fiona")
        assert lead.custom_fields == {sandbox.demo.deal_fields["Referral Code"].code: "FIONA-1"}
        assert result.records[1].url == f"https://acme.pipedrive.com/leads/inbox/{lead.id}"
    if target == "deal":
        (deal,) = company.deals.values()
        assert (deal.title, deal.person_id) == ("Spring", person.id)
        assert deal.custom_fields == {sandbox.demo.deal_fields["Referral Code"].code: "FIONA-1"}
    if target == "contact":
        assert person.custom_fields == {sandbox.demo.person_fields["Referral Code"].code: "FIONA-1"}
    assert recorder.request_problems(vendor_documents()) == []


@pytest.mark.parametrize("target", ["contact", "lead", "deal"])
async def test_fill_empty_writes_only_what_is_empty(sandbox, connection, make_push, there_already, recorder, target):
    push = make_push(target, duplicates="fill_empty")
    code = sandbox.demo.person_fields["Campaign Name"].code
    push.values["contact"][code] = "Spring"

    result = await push_signup(connection, push)

    assert kinds(result)[0] == ("contact", "updated")
    assert there_already.name == "Fiona Friend"
    assert [one["value"] for one in there_already.phones] == ["030 1"]
    assert there_already.custom_fields[code] == "Winter"
    assert len(fionas(sandbox)) == 1
    assert len(result.records) == (1 if target == "contact" else 2)
    assert recorder.request_problems(vendor_documents()) == []


@pytest.mark.parametrize("target", ["contact", "lead", "deal"])
async def test_update_overwrites_and_merges_lists(sandbox, connection, make_push, there_already, recorder, target):
    push = make_push(target, duplicates="update")
    code = sandbox.demo.person_fields["Campaign Name"].code
    push.values["contact"].update({code: "Spring", "first_name": "Fi"})

    result = await push_signup(connection, push)

    assert kinds(result)[0] == ("contact", "updated")
    assert there_already.name == "Fi Friend"
    assert there_already.phones == [
        {"value": "030 1", "primary": True, "label": "home"},
        {"value": "+4915112345678", "primary": False, "label": "work"},
    ]
    assert [one["value"] for one in there_already.emails] == ["Fiona@Friends.test"]
    assert there_already.custom_fields[code] == "Spring"
    assert len(result.records) == (1 if target == "contact" else 2)
    assert recorder.request_problems(vendor_documents()) == []


@pytest.mark.parametrize("target", ["contact", "lead", "deal"])
async def test_create_makes_a_second_person(sandbox, connection, make_push, there_already, target):
    result = await push_signup(connection, make_push(target, duplicates="create"))

    assert kinds(result)[0] == ("contact", "created")
    assert len(fionas(sandbox)) == 2
    assert there_already.name == "Fiona"
    assert [one.id for one in result.others] == [str(there_already.id)]
    if target == "lead":
        assert next(iter(sandbox.company().leads.values())).person_id == int(result.records[0].ref.id)


@pytest.mark.parametrize("role", ["referred", "referrer"])
@pytest.mark.parametrize("target", ["contact", "lead", "deal"])
async def test_skip_writes_nothing_and_says_what_follows(
    sandbox, connection, make_push, there_already, recorder, target, role
):
    result = await push_signup(connection, make_push(target, duplicates="skip", role=role))

    assert kinds(result) == [("contact", "matched")]
    assert result.cannot_qualify == (CANNOT_QUALIFY if target != "contact" and role == "referred" else None)
    assert {one.request.method for one in recorder.exchanges} == {"GET"}
    assert not sandbox.company().leads
    assert not sandbox.company().deals


async def test_a_contact_that_has_everything_is_matched_not_updated(sandbox, connection, make_push):
    sandbox.add_person("Fiona Friend", EMAIL, phones=[{"value": "+49 151 1234 5678"}])
    sandbox.index.age()
    push = make_push("lead", duplicates="update")
    result = await push_signup(connection, push)
    assert kinds(result) == [("contact", "matched"), ("lead", "created")]


async def test_of_several_matches_the_oldest_is_used_and_the_others_are_named(sandbox, connection, make_push):
    first = sandbox.add_person("Fiona One", EMAIL)
    second = sandbox.add_person("Fiona Two", EMAIL)
    third = sandbox.add_person("Fiona Three", EMAIL)
    sandbox.index.age()
    result = await push_signup(connection, make_push("lead", duplicates="skip"))
    assert result.records[0].ref.id == str(first.id)
    assert [one.id for one in result.others] == [str(second.id), str(third.id)]


async def test_a_search_that_returns_more_than_was_asked_is_not_believed(sandbox, connection, make_push):
    other = sandbox.add_person("Someone Else", "someone@else.test")
    body = {"success": True, "data": {"items": [{"item": {"id": other.id, "emails": [EMAIL]}}]}}
    sandbox.fail_next(200, match="/persons/search", body=body)
    result = await push_signup(connection, make_push("lead", duplicates="skip"))
    assert kinds(result) == [("contact", "created"), ("lead", "created")]


async def test_a_known_person_is_used_though_the_search_does_not_know_it_yet(sandbox, connection, make_push):
    first = await push_signup(connection, make_push("lead"))
    known = (first.records[1].ref, first.records[0].ref)
    again = make_push("deal", reference="per_01j000000000000000000other", known=known)
    second = await push_signup(connection, again)
    assert second.records[0].ref == first.records[0].ref
    assert len(fionas(sandbox)) == 1


async def test_a_known_person_that_is_not_visible_any_more_is_searched_for(sandbox, connection, make_push):
    hidden = sandbox.add_person("Fiona", "other@friends.test")
    sandbox.fail_next(
        403, match=f"/persons/{hidden.id}$", body={"success": False, "error": "No permission for this person"}
    )
    result = await push_signup(connection, make_push("lead", known=(RecordRef(kind="contact", id=str(hidden.id)),)))
    assert kinds(result) == [("contact", "created"), ("lead", "created")]


@pytest.mark.parametrize("target", ["lead", "deal"])
async def test_a_contact_that_goes_between_two_steps_is_gone_and_not_a_refusal(sandbox, connection, make_push, target):
    push = make_push(target)
    sandbox.fail_next(503, method="POST", match=f"/{target}s$")
    with pytest.raises(OutcomeUnknown):
        await push_signup(connection, push)
    sandbox.delete_person(int(push.once.steps["contact"].ref.id))
    push.once.clock.advance(timedelta(minutes=5))
    with pytest.raises(RecordGone):
        await push_signup(connection, push)


async def test_a_known_person_that_was_merged_away_is_searched_for(sandbox, connection, make_push):
    loser = sandbox.add_person("Fiona", EMAIL)
    survivor = sandbox.add_person("Fiona F.", "other@friends.test")
    sandbox.merge_persons(loser.id, survivor.id)
    sandbox.index.age()
    known = (RecordRef(kind="contact", id=str(loser.id)),)
    result = await push_signup(connection, make_push("lead", known=known))
    assert result.records[0].ref.id == str(survivor.id)


async def test_a_deal_starts_in_the_chosen_stage_with_the_chosen_owner(sandbox, connection, make_push):
    stage, seller = sandbox.demo.partner_stages["Qualified"], sandbox.demo.seller
    options = {"pipeline": str(stage.pipeline_id), "stage": str(stage.id), "owner": str(seller.id)}
    result = await push_signup(connection, make_push("deal", target_options=options))
    deal = sandbox.company().deals[int(result.records[1].ref.id)]
    assert (deal.stage_id, deal.pipeline_id, deal.owner_id) == (stage.id, stage.pipeline_id, seller.id)
    assert sandbox.company().persons[int(result.records[0].ref.id)].owner_id == seller.id


async def test_a_pipeline_without_a_stage_takes_its_first(sandbox, connection, make_push):
    pipeline = sandbox.demo.partner_pipeline
    result = await push_signup(connection, make_push("deal", target_options={"pipeline": str(pipeline.id)}))
    deal = sandbox.company().deals[int(result.records[1].ref.id)]
    assert deal.stage_id == sandbox.demo.partner_stages["New"].id


@pytest.mark.parametrize("target", ["lead", "deal"])
async def test_every_type_of_custom_field_arrives(sandbox, connection, make_push, recorder, target):
    push = make_push(target)
    rows = {
        "text": ("varchar", "text", "abc", "abc"),
        "long": ("text", "long_text", "a\nb", "a\nb"),
        "number": ("double", "number", 3, 3),
        "money": (
            "monetary",
            "money",
            Money(amount=Decimal("12.50"), currency="USD"),
            {"value": 12.5, "currency": "USD"},
        ),
        "date": ("date", "date", "2026-12-24", "2026-12-24"),
        "phone": ("phone", "phone", "+491", "+491"),
        "user": ("user", "user", str(sandbox.demo.seller.id), sandbox.demo.seller.id),
    }
    expected = {}
    for name, (vendor_type, _, value, held) in rows.items():
        made = sandbox.add_field("deal", name, vendor_type)
        push.values[target][made.code] = value
        expected[made.code] = held
    choice = sandbox.add_field("deal", "choice", "enum", ["A", "B"])
    several = sandbox.add_field("deal", "several", "set", ["A", "B", "C"])
    push.values[target][choice.code] = str(choice.options[1].id)
    push.values[target][several.code] = [str(several.options[0].id), str(several.options[2].id)]
    expected |= {choice.code: choice.options[1].id, several.code: [several.options[0].id, several.options[2].id]}

    # The host handed in no types: they are read.
    await push_signup(connection, replace(push, fields={}))

    company = sandbox.company()
    (record,) = (company.leads if target == "lead" else company.deals).values()
    assert {key: record.custom_fields[key] for key in expected} == expected
    assert recorder.request_problems(vendor_documents()) == []


async def test_values_of_built_in_fields_arrive(sandbox, connection, make_push, recorder):
    label = next(iter(sandbox.company().lead_labels))
    push = make_push("lead")
    money = Money(amount=Decimal("99.90"), currency="EUR")
    push.values["lead"].update({"value": money, "expected_close_date": "2026-12-24", "label_ids": [label]})
    await push_signup(connection, push)
    (lead,) = sandbox.company().leads.values()
    assert (lead.value, lead.expected_close_date, lead.label_ids) == (
        {"amount": 99.9, "currency": "EUR"},
        "2026-12-24",
        [label],
    )

    push = make_push("deal", reference="per_2")
    push.values["deal"].update({"value": 5, "probability": 40, "label_ids": ["1"]})
    await push_signup(connection, push)
    (deal,) = sandbox.company().deals.values()
    assert (deal.value, deal.currency, deal.probability, deal.label_ids) == (5, "EUR", 40, [1])
    assert recorder.request_problems(vendor_documents()) == []


@pytest.mark.parametrize("target", ["contact", "lead", "deal"])
async def test_a_mapped_note_is_written_on_the_record(sandbox, connection, make_push, recorder, target):
    push = make_push(target)
    push.values["note"] = {"content": "Likes <b>blue</b>\nCall after 5"}
    result = await push_signup(connection, push)
    (note,) = sandbox.company().notes.values()
    assert note.content == "Likes &lt;b&gt;blue&lt;/b&gt;<br>Call after 5"
    assert str({"contact": note.person_id, "lead": note.lead_id, "deal": note.deal_id}[target]) == (
        result.records[-2].ref.id
    )
    assert result.records[-1].ref == RecordRef(kind="note", id=str(note.id))
    assert recorder.request_problems(vendor_documents()) == []


async def test_a_missing_name_and_title_do_not_lose_the_signup(sandbox, connection, make_push):
    push = make_push("lead", values={"contact": {}, "lead": {}})
    await push_signup(connection, push)
    (person,) = fionas(sandbox)
    assert person.name == EMAIL
    (lead,) = sandbox.company().leads.values()
    assert lead.title == "Spring"


# Refusals


@pytest.mark.parametrize("target", ["contact", "lead", "deal"])
async def test_a_field_that_is_gone_breaks_the_mapping_and_is_named(sandbox, connection, make_push, target):
    push = make_push(target)
    (gone,) = [key for key in push.values[target] if len(key) == 40]
    sandbox.delete_field(gone)
    with pytest.raises(MappingBroken) as broken:
        await push_signup(connection, push)
    assert broken.value.fields == [gone]


async def test_a_field_that_is_gone_is_named_before_anything_is_written_when_its_type_was_not_known(
    sandbox, connection, make_push, recorder
):
    push = make_push("lead", fields={})
    (gone,) = [key for key in push.values["lead"] if len(key) == 40]
    sandbox.delete_field(gone)
    with pytest.raises(MappingBroken):
        await push_signup(connection, push)
    assert {one.request.method for one in recorder.exchanges} == {"GET"}


async def test_an_option_that_is_gone_breaks_the_mapping(sandbox, connection, make_push):
    choice = sandbox.add_field("deal", "choice", "enum", ["A", "B"])
    push = make_push("deal")
    push.values["deal"][choice.code] = str(choice.options[0].id)
    push = replace(
        push,
        fields={"deal": [*push.fields["deal"], Field(key=choice.code, label="choice", type="option", custom=True)]},
    )
    sandbox.delete_option(choice.code, choice.options[0].id)
    with pytest.raises(MappingBroken) as broken:
        await push_signup(connection, push)
    assert broken.value.fields == [choice.code]


async def test_a_stage_that_is_gone_breaks_the_mapping(sandbox, connection, make_push):
    stage = sandbox.demo.stages["Demo"]
    push = make_push("deal", target_options={"pipeline": str(stage.pipeline_id), "stage": str(stage.id)})
    sandbox.delete_stage(stage.id)
    with pytest.raises(MappingBroken) as broken:
        await push_signup(connection, push)
    assert broken.value.fields == ["stage"]


async def test_a_value_that_does_not_fit_is_refused_and_names_its_field(connection, make_push):
    push = make_push("deal")
    push.values["deal"]["probability"] = "many"
    with pytest.raises(Rejected) as refused:
        await push_signup(connection, push)
    assert [one.field for one in refused.value.problems] == ["mapping.deal.probability"]


async def test_a_value_that_the_vendor_refuses_is_refused_for_good(sandbox, connection, make_push):
    push = make_push("deal")
    push.values["deal"]["expected_close_date"] = "soon"
    with pytest.raises(Rejected, match="expected_close_date") as refused:
        await push_signup(connection, push)
    assert not isinstance(refused.value, MappingBroken)


async def test_the_plans_limit_is_told_in_words(sandbox, connection, make_push):
    sandbox.company().open_deals_limit = 0
    with pytest.raises(Rejected, match="plan"):
        await push_signup(connection, make_push("deal"))


async def test_an_unknown_target_is_not_supported(connection, make_push):
    with pytest.raises(NotSupported):
        await push_signup(connection, replace(make_push("contact"), target="booking"))


async def test_a_burst_refusal_leaves_nothing_in_doubt(sandbox, connection, make_push, until_done):
    push = make_push("lead")
    sandbox.fail_next(429, method="POST", match="/leads")
    with pytest.raises(RetryLater):
        await push_signup(connection, push)
    await push_signup(connection, push)
    assert push.once.found == []
    assert len(sandbox.company().leads) == 1


# A preview: the host answers each write with a placeholder


class PreviewOnce:
    """Runs the reading part of ``create`` and answers a write with a placeholder, as the host does for a preview."""

    class Write(Exception):
        pass

    def __init__(self):
        self.steps = []

    async def __call__(self, step, *, find, create):
        from gateway.sdk.connection import PushedRecord

        try:
            return await create()
        except PreviewOnce.Write:
            self.steps.append(step)
            return PushedRecord(ref=RecordRef(kind=step, id="0"), how="created")


class NoWrites:
    """A transport that lets reads pass and stops writes."""

    def __init__(self, inner):
        self.inner = inner
        self.stopped = []

    async def __aenter__(self):
        return self

    async def __aexit__(self, *_):
        return None

    async def aclose(self):
        return None

    async def handle_async_request(self, request):
        if request.method != "GET":
            await request.aread()
            self.stopped.append(request)
            raise PreviewOnce.Write
        return await self.inner.handle_async_request(request)


@pytest.mark.parametrize("existing", [False, True])
@pytest.mark.parametrize("duplicates", ["fill_empty", "update", "create", "skip"])
@pytest.mark.parametrize("target", ["contact", "lead", "deal"])
async def test_a_preview_writes_nothing(sandbox, connect, make_push, target, duplicates, existing):
    if existing:
        sandbox.add_person("Fiona", EMAIL)
        sandbox.index.age()
    before = len(sandbox.company().persons)
    transport = NoWrites(sandbox.transport())
    push = make_push(target, duplicates=duplicates, once=PreviewOnce())
    result = await push_signup(connect(sandbox, transport), push)
    assert result.records[0].ref.kind == "contact"
    assert len(sandbox.company().persons) == before
    assert not sandbox.company().leads
    assert not sandbox.company().deals
    if duplicates != "skip" and target != "contact":
        assert transport.stopped[-1].url.path.endswith(f"/{target}s")
