"""What webhooks carry: ``VENDOR.md``, chapters 8.2 and 8.3."""

import re

import pytest

HOOK = {"subscription_url": "https://gateway.test/h", "event_action": "*", "event_object": "*", "name": "n"}


@pytest.fixture
async def events(sandbox, client):
    await client.post("/api/v1/webhooks", json=HOOK)

    async def deliver():
        return [attempt.payload for attempt in await sandbox.deliver_webhooks()]

    return deliver


def kinds(payloads):
    return [f"{one['meta']['entity']}.{one['meta']['action']}" for one in payloads]


async def test_meta_holds_strings(sandbox, events):
    deal = sandbox.add_deal("D")
    (payload,) = await events()
    meta = payload["meta"]
    assert set(payload) == {"meta", "data", "previous"}
    for key in ("entity_id", "company_id", "user_id", "webhook_id", "webhook_owner_id"):
        assert meta[key].isdigit()
    assert meta["entity_id"] == str(deal.id)
    assert payload["data"]["id"] == deal.id
    assert meta["timestamp"] == "2026-11-21T10:00:00.000Z"
    assert (meta["version"], meta["type"], meta["attempt"], meta["is_bulk_edit"]) == ("2.0", "application", 1, False)
    assert meta["host"] == "acme.pipedrive.com"
    assert re.fullmatch(r"[0-9a-f-]{36}", meta["id"])
    assert str(sandbox.demo.admin.id) in meta["permitted_user_ids"]


async def test_the_source_is_app_or_api(sandbox, client, events):
    sandbox.add_deal("by hand")
    await client.post("/api/v2/deals", json={"title": "by us"})
    by_hand, by_us = await events()
    assert by_hand["meta"]["change_source"] == "app"
    assert by_us["meta"]["change_source"] == "api"
    assert by_us["meta"]["user_id"] == str(sandbox.demo.admin.id)


async def test_create_has_the_webhook_object_not_the_api_object(sandbox, events):
    code = sandbox.demo.deal_fields["Referral Code"].code
    sandbox.add_deal("D", custom_fields={code: "ABC"}, person_id=1)
    (payload,) = await events()
    assert payload["previous"] is None
    assert payload["data"]["custom_fields"] == {code: {"type": "varchar", "value": "ABC"}}
    assert payload["data"]["visible_to"] == "3"
    assert "source_lead_id" not in payload["data"]


async def test_change_tells_old_values_of_what_changed_and_nothing_else(sandbox, events, clock):
    deal = sandbox.add_deal("D")
    await events()
    clock.advance(minutes=5)
    sandbox.move_deal(deal.id, sandbox.demo.stages["Demo"].id)
    (payload,) = await events()
    assert payload["previous"] == {
        "stage_id": sandbox.demo.stages["Lead In"].id,
        "stage_change_time": None,
        "update_time": "2026-11-21T10:00:00Z",
    }
    assert payload["data"]["stage_id"] == sandbox.demo.stages["Demo"].id
    sandbox.move_deal(deal.id, sandbox.demo.partner_stages["New"].id)
    (payload,) = await events()
    assert {"stage_id", "pipeline_id"} <= set(payload["previous"])


async def test_won_and_opened_again(sandbox, events):
    deal = sandbox.add_deal("D")
    sandbox.win_deal(deal.id)
    sandbox.reopen_deal(deal.id)
    _, won, opened = await events()
    assert (won["previous"]["status"], won["data"]["status"]) == ("open", "won")
    assert won["previous"]["won_time"] is None
    assert (opened["previous"]["status"], opened["data"]["status"]) == ("won", "open")


async def test_a_filled_custom_field_was_null_before(sandbox, events):
    deal = sandbox.add_deal("D")
    code = sandbox.demo.deal_fields["Referral Code"].code
    sandbox.update_deal(deal.id, custom_fields={code: "ABC"})
    assert (await events())[1]["previous"]["custom_fields"] == {code: None}


async def test_a_write_that_changes_nothing_tells_nothing(sandbox, events):
    deal = sandbox.add_deal("D")
    await events()
    sandbox.update_deal(deal.id, title="D")
    assert await events() == []


async def test_delete_has_no_data(sandbox, events):
    deal = sandbox.add_deal("D")
    await events()
    sandbox.delete_deal(deal.id)
    (payload,) = await events()
    assert kinds([payload]) == ["deal.delete"]
    assert payload["data"] is None
    assert payload["previous"]["title"] == "D"


async def test_persons_have_label_and_not_label_ids(sandbox, events):
    sandbox.update_person(1, name="Ada Changed")
    (payload,) = await events()
    assert payload["previous"] == {"name": "Ada Example", "last_name": "Example"}
    assert payload["data"]["label"] == 1
    assert "label_ids" not in payload["data"]
    assert payload["data"]["emails"] == [{"value": "ada@customer.test", "primary": True, "label": "work"}]


async def test_leads_are_in_their_own_shape(sandbox, events, client):
    code = sandbox.demo.deal_fields["Referral Code"].code
    body = {"title": "L", "person_id": 1, code: "ABC", "value": {"amount": 3, "currency": "EUR"}, "origin_id": "r"}
    lead = (await client.post("/api/v1/leads", json=body)).json()["data"]
    await client.patch(f"/api/v1/leads/{lead['id']}", json={"value": {"amount": 4, "currency": "EUR"}})
    created, changed = await events()
    assert created["meta"]["entity_id"] == created["data"]["id"] == lead["id"]
    assert created["data"]["custom_fields"] == {code: {"type": "varchar", "value": "ABC"}}
    assert code not in created["data"]
    assert created["data"]["origin_id"] == "r"
    assert changed["previous"] == {"value": {"amount": 3, "currency": "EUR"}}


async def test_conversion_is_a_deletion_and_a_creation(sandbox, events, client):
    lead = sandbox.add_lead("L", person_id=1)
    await events()
    sandbox.convert_lead(lead.id, sandbox.demo.stages["Contacted"].id)
    deleted, created = await events()
    assert kinds([deleted, created]) == ["lead.delete", "deal.create"]
    assert created["data"]["stage_id"] == sandbox.demo.stages["Contacted"].id
    assert "source_lead_id" not in created["data"]


async def test_order_and_source_lead_of_a_conversion_can_be_otherwise(make, client_for):
    sandbox = make(conversion_deal_first=True, source_lead_in_webhooks=True)
    async with client_for(sandbox) as client:
        await client.post("/api/v1/webhooks", json=HOOK)
        lead = (await client.post("/api/v1/leads", json={"title": "L", "person_id": 1})).json()["data"]
        await client.post(f"/api/v2/leads/{lead['id']}/convert/deal", json={})
        payloads = [attempt.payload for attempt in await sandbox.deliver_webhooks()]
    assert kinds(payloads) == ["lead.create", "deal.create", "lead.delete"]
    assert payloads[1]["data"]["source_lead_id"] == lead["id"]
    assert payloads[1]["meta"]["change_source"] == "api"


async def test_merge_is_two_events_that_name_each_other(sandbox, events):
    sandbox.add_deal("D", person_id=1)
    await events()
    sandbox.merge_persons(1, into=2)
    payloads = await events()
    by_action = {one["meta"]["action"]: one for one in payloads}
    assert kinds(payloads) in (["person.change", "person.delete"], ["person.delete", "person.change"])
    assert by_action["delete"]["meta"].items() >= {"entity_id": "1", "merged_to_id": "2"}.items()
    assert by_action["change"]["meta"].items() >= {"entity_id": "2", "merged_from_id": "1"}.items()


async def test_a_subscription_gets_only_what_it_asked_for(sandbox, client):
    await client.post("/api/v1/webhooks", json=HOOK | {"event_object": "deal", "event_action": "change"})
    deal = sandbox.add_deal("D")
    sandbox.update_person(1, name="x")
    sandbox.win_deal(deal.id)
    sandbox.delete_deal(deal.id)
    assert kinds([one.payload for one in await sandbox.deliver_webhooks()]) == ["deal.change"]
