"""Setups and previews against the Pipedrive sandbox: many fields, what goes away, and payloads to the byte."""

from datetime import timedelta

import httpx
import pytest

from gateway.flows.campaigns import preview as previews
from gateway.storage import campaigns

SETUP = "/v1/accounts/acme/campaigns/spring/setups/referred"
PREVIEW = f"{SETUP}/preview"
MANY = 230
FORM = [
    {"key": "size", "label": "Company size", "type": "number"},
    {"key": "kind", "label": "Kind", "type": "option"},
    {"key": "start", "label": "Start", "type": "date"},
]


class Recording(httpx.AsyncBaseTransport):
    """Keeps what is written at the vendor, to the byte."""

    def __init__(self, inner):
        self.inner = inner
        self.writes = []

    async def handle_async_request(self, request):
        if request.method != "GET" and "/api/" in request.url.path:
            self.writes.append((request.method, request.url.raw_path.decode(), request.content))
        return await self.inner.handle_async_request(request)


async def begin(world, **campaign):
    await world.account()
    connection = await world.connect()
    await world.campaign(**campaign)
    return connection


def code_field(world):
    return world.sandbox.demo.deal_fields["Referral Code"].code


async def refused(world, **changes):
    body = {"target": "lead", "use_suggested": True, **changes}
    answer = await world.call("PUT", SETUP, body, expect=422)
    return [(one["field"], one["code"]) for one in answer["problems"]]


async def test_every_page_of_the_fields_is_offered_and_the_last_one_can_be_mapped(world):
    made = [world.sandbox.add_field("deal", f"Extra {n}", "double") for n in range(MANY)]
    connection = await begin(world, fields=FORM)
    offered = await world.call("GET", f"/v1/connections/{connection}/fields/lead?refresh=true")
    keys = [one["key"] for one in offered["data"]]
    assert {one.code for one in made} <= set(keys)
    assert len(keys) == len(set(keys)) > MANY
    last = {"record_kind": "lead", "field": made[-1].code, "source": "person.fields.size"}
    saved = await world.setup(mapping=[last], qualification={"trigger": "lead_converted"})
    assert saved["state"] == "ready"
    assert last in saved["mapping"]
    assert {"record_kind": "lead", "field": code_field(world), "source": "person.code"} in saved["mapping"]
    person = {"email": "friend@example.com", "first_name": "Fiona", "fields": {"size": 12}}
    await world.signup(person=person)
    await world.drain()
    (lead,) = world.sandbox.snapshot()["lead"]
    assert lead.custom_fields[made[-1].code] == 12


async def test_a_field_that_is_deleted_between_picking_and_saving_is_refused(world):
    connection = await begin(world)
    code = code_field(world)
    offered = await world.call("GET", f"/v1/connections/{connection}/fields/lead")
    assert code in [one["key"] for one in offered["data"]]
    world.sandbox.delete_field(code)
    row = {"record_kind": "lead", "field": code, "source": "person.code"}
    assert await refused(world, mapping=[row]) == [("mapping[0].field", "unknown_field")]
    assert await refused(world, qualification={"trigger": "deal_won"}) == [("mapping.lead.Referral Code", "required")]


async def test_a_second_field_of_the_same_name_has_to_be_chosen_by_hand(world):
    await begin(world)
    twin = world.sandbox.add_field("deal", "referral code")
    rule = {"trigger": "deal_won"}
    answer = await world.call(
        "PUT", SETUP, {"target": "lead", "use_suggested": True, "qualification": rule}, expect=422
    )
    (problem,) = answer["problems"]
    assert problem["code"] == "ambiguous_field"
    assert twin.code in problem["message"]
    assert code_field(world) in problem["message"]
    row = {"record_kind": "lead", "field": twin.code, "source": "person.code"}
    assert (await world.setup(mapping=[row], qualification=rule))["state"] == "ready"


async def test_a_stage_that_is_gone_or_of_another_pipeline_is_refused(world):
    await begin(world)
    demo = world.sandbox.demo
    sales, other = str(demo.pipeline.id), str(demo.partner_pipeline.id)
    stage = str(demo.stages["Demo"].id)

    def rule(pipeline):
        return {"trigger": "deal_stage", "parameters": {"pipeline": pipeline, "stage": stage}}

    assert await refused(world, qualification=rule(other)) == [("qualification.parameters.stage", "unknown_option")]
    found = await refused(world, target="deal", target_options={"pipeline": other, "stage": stage})
    assert found == [("target_options.stage", "unknown_option")]
    await world.setup(qualification=rule(sales))
    async with world.services.database.read() as conn:
        (row,) = await campaigns.setups_of_campaign(conn, "acme", "spring")
    later = [str(demo.stages[name].id) for name in ("Demo", "Negotiation", "Agreed")]
    assert row.resolved.accepts["stage"] == later
    world.sandbox.delete_stage(demo.stages["Demo"].id)
    assert await refused(world, qualification=rule(sales)) == [("qualification.parameters.stage", "unknown_option")]


async def test_an_option_that_is_gone_is_refused_as_a_default(world):
    await begin(world)
    field = world.sandbox.add_field("deal", "Kind", "enum", ["Small", "Large"])
    default = {"record_kind": "lead", "field": field.code, "value": "large"}
    assert (await world.setup(defaults=[default]))["state"] == "ready"
    world.sandbox.delete_option(field.code, field.options[1].id)
    assert await refused(world, defaults=[default]) == [("defaults[0].value", "unfit_value")]


async def test_a_setup_whose_field_is_deleted_parks_signups_until_it_is_saved_again(world):
    await begin(world)
    await world.setup(qualification={"trigger": "deal_won"})
    world.sandbox.delete_field(code_field(world))
    signup = await world.signup()
    await world.drain()
    shown = await world.call("GET", SETUP)
    assert shown["state"] == "needs_attention"
    assert (await world.person(signup["person"]))["crm"] == "waiting"
    assert world.sandbox.snapshot()["lead"] == []
    field = world.sandbox.add_field("deal", "Referral Code")
    saved = await world.setup(qualification={"trigger": "deal_won"})
    assert field.code in [one["field"] for one in saved["mapping"]]
    await world.drain()
    assert (await world.person(signup["person"]))["crm"] == "linked"
    assert len(world.sandbox.snapshot()["lead"]) == 1


async def test_the_nightly_check_finds_a_deleted_stage_and_that_it_is_mended(world):
    await begin(world)
    demo = world.sandbox.demo
    parameters = {"pipeline": str(demo.pipeline.id), "stage": str(demo.stages["Agreed"].id)}
    await world.setup(qualification={"trigger": "deal_stage", "parameters": parameters})
    world.sandbox.delete_stage(demo.stages["Agreed"].id)
    await world.later(hours=25)
    broken = await world.call("GET", SETUP)
    assert (broken["state"], [one["field"] for one in broken["problems"]]) == (
        "needs_attention", ["qualification.parameters.stage"],
    )  # fmt: skip
    demo.stages["Agreed"].is_deleted = False
    await world.later(hours=25)
    assert (await world.call("GET", SETUP))["state"] == "ready"


async def test_after_a_new_connection_the_setup_applies_again_and_is_checked(world):
    connection = await begin(world)
    await world.setup()
    await world.call("DELETE", f"/v1/connections/{connection}")
    await world.drain()
    world.sandbox.delete_field(world.sandbox.demo.deal_fields["Campaign Name"].code)
    again = await world.connect()
    assert again != connection
    shown = await world.call("GET", SETUP)
    assert shown["connection"] == again
    assert shown["state"] == "needs_attention"
    assert [one["code"] for one in shown["problems"]] == ["unknown_field"]


@pytest.mark.parametrize("target", ["contact", "lead", "deal"])
@pytest.mark.parametrize("known", [False, True], ids=["new", "known"])
@pytest.mark.parametrize("policy", ["fill_empty", "update", "create", "skip"])
async def test_the_preview_is_byte_for_byte_what_a_push_sends(world, monkeypatch, target, known, policy):
    await begin(world, fields=FORM)
    field = world.sandbox.add_field("deal" if target != "contact" else "person", "Kind", "enum", ["Small", "Large"])
    row = {"record_kind": target, "field": field.code, "source": "person.fields.kind"}
    await world.setup(target=target, duplicates=policy, mapping=[row])
    ids = []
    if known:
        ids = [str(world.sandbox.add_person("Jane", "friend@example.com").id)]
        world.clock.advance(timedelta(minutes=5))  # until the search has it
    recording = Recording(world.network.routes["acme.pipedrive.com"])
    world.network.routes["acme.pipedrive.com"] = recording
    stopped, shown = [], previews._shown
    monkeypatch.setattr(previews, "_shown", lambda one: stopped.append(one) or shown(one))
    person = {"email": "friend@example.com", "first_name": "Fiona", "last_name": "Friend", "phone": "030 1234567",
              "code": "FIONA1", "fields": {"kind": "large"}}  # fmt: skip
    before = world.sandbox.snapshot()
    told = await world.call("POST", PREVIEW, {"person": {**person, "id": "per_preview"}, "source": "web"})
    assert recording.writes == []
    assert bool(stopped) is not (known and policy == "skip")
    assert world.sandbox.snapshot() == before
    assert told["existing"] == ids

    signup = await world.signup(person=person, source="web")
    await world.drain()
    assert (await world.person(signup["person"]))["crm"] == "linked"
    sent = [one for one in recording.writes if "webhooks" not in one[1]]
    assert [(one.method, one.path) for one in stopped] == [(method, path) for method, path, _ in sent]
    newest = max(one.id for one in world.sandbox.snapshot()["person"])
    for one, (_, _, content) in zip(stopped, sent, strict=True):
        expected = content.replace(signup["person"].encode(), b"per_preview")
        if b'"person_id":0' in one.content:  # the contact that only the push made
            expected = expected.replace(f'"person_id":{newest}'.encode(), b'"person_id":0')
        assert one.content == expected


async def test_a_campaign_that_makes_no_codes_warns_until_it_has_a_link_template(world):
    await world.account()
    await world.connect()
    await world.campaign(link_template=None)
    deal_rule = {"trigger": "deal_won", "parameters": {}, "reverse": "until_issued"}
    saved = await world.setup(target="deal", qualification=deal_rule)
    assert saved["state"] == "ready"
    assert {one["code"] for one in saved["warnings"]} == {"no_link_template"}
    await world.campaign()
    await world.drain()
    shown = await world.call("GET", "/v1/accounts/acme/campaigns/spring/setups/referred")
    assert (shown["state"], shown["warnings"]) == ("ready", [])
