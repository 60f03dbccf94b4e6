"""Deals: ``VENDOR.md``, chapter 7.5."""

import pytest

REFUSED = (400, "ERR_SCHEMA_VALIDATION_FAILED")


def code_of(answer):
    return answer.status_code, answer.json().get("code")


async def make_deal(client, **body):
    return (await client.post("/api/v2/deals", json={"title": "Deal", **body})).json()["data"]


async def test_create_answers_200_in_the_first_stage_of_the_default_pipeline(sandbox, client):
    answer = await client.post("/api/v2/deals", json={"title": "Deal", "person_id": 1, "value": 0.5, "currency": "USD"})
    assert answer.status_code == 200
    data = answer.json()["data"]
    assert data["pipeline_id"] == sandbox.demo.pipeline.id
    assert data["stage_id"] == sandbox.demo.stages["Lead In"].id
    assert (data["value"], data["currency"], data["status"]) == (0.5, "USD", "open")
    assert data["is_archived"] is data["is_deleted"] is False
    assert "source_lead_id" not in data


async def test_a_pipeline_alone_means_its_first_stage_and_a_stage_alone_its_pipeline(sandbox, client):
    partner, signed = sandbox.demo.partner_pipeline, sandbox.demo.partner_stages["Signed"]
    assert (await make_deal(client, pipeline_id=partner.id))["stage_id"] == sandbox.demo.partner_stages["New"].id
    assert (await make_deal(client, stage_id=signed.id))["pipeline_id"] == partner.id


@pytest.mark.parametrize(
    "body",
    [
        {"title": ""},
        {"value": "100"},
        {"value": {"amount": 1, "currency": "EUR"}},
        {"person_id": "1"},
        {"person_id": {"value": 1}},
        {"person_id": 99},
        {"stage_id": 99},
        {"pipeline_id": 99},
        {"pipeline_id": 1, "stage_id": 8},
        {"status": "closed"},
        {"is_deleted": True},
        {"label_ids": ["hot"]},
        {"expected_close_date": "soon"},
        {"origin_id": "ref-1"},
        {"user_id": 1},
        {"source_lead_id": "adf21080-0e10-11eb-879b-05d71fb426ec"},
        {"custom_fields": {"0" * 40: "x"}},
        {"0" * 40: "x"},
    ],
    ids=str,
)
async def test_bad_bodies_are_refused_and_nothing_is_written(sandbox, client, body):
    assert code_of(await client.post("/api/v2/deals", json={"title": "Deal", **body})) == REFUSED
    assert sandbox.demo.company.deals == {}
    deal = sandbox.add_deal("Deal")
    assert code_of(await client.patch(f"/api/v2/deals/{deal.id}", json=body)) == REFUSED
    assert (deal.title, deal.value, deal.stage_id, deal.status) == ("Deal", 0, 1, "open")


async def test_a_title_is_required_and_nulls_are_not_taken_on_create(client):
    assert code_of(await client.post("/api/v2/deals", json={"person_id": 1})) == REFUSED
    assert code_of(await client.post("/api/v2/deals", json={"title": "x", "person_id": None})) == REFUSED


async def test_won_lost_and_open_again_carry_their_times(sandbox, client, clock):
    deal = await make_deal(client)
    path = f"/api/v2/deals/{deal['id']}"
    clock.advance(minutes=1)
    won = (await client.patch(path, json={"status": "won"})).json()["data"]
    assert (won["won_time"], won["close_time"], won["lost_time"]) == ("2026-11-21T10:01:00Z",) * 2 + (None,)
    opened = (await client.patch(path, json={"status": "open"})).json()["data"]
    assert (opened["won_time"], opened["close_time"]) == (None, None)
    lost = (await client.patch(path, json={"status": "lost", "lost_reason": "Price"})).json()["data"]
    assert (lost["lost_reason"], lost["won_time"]) == ("Price", None)
    assert lost["lost_time"] == "2026-11-21T10:01:00Z"
    first = await client.get(path, params={"include_fields": "first_won_time"})
    assert first.json()["data"]["first_won_time"] == "2026-11-21T10:01:00Z"


async def test_won_time_only_when_won(client):
    deal = await make_deal(client)
    path = f"/api/v2/deals/{deal['id']}"
    assert code_of(await client.patch(path, json={"won_time": "2026-11-01T00:00:00Z"})) == REFUSED
    body = {"status": "won", "won_time": "2026-11-01T00:00:00Z"}
    assert (await client.patch(path, json=body)).json()["data"]["won_time"] == "2026-11-01T00:00:00Z"


async def test_moving_stages_sets_the_time_and_follows_the_pipeline(sandbox, client, clock):
    deal = await make_deal(client)
    clock.advance(minutes=30)
    signed = sandbox.demo.partner_stages["Signed"]
    data = (await client.patch(f"/api/v2/deals/{deal['id']}", json={"stage_id": signed.id})).json()["data"]
    assert data["pipeline_id"] == sandbox.demo.partner_pipeline.id
    assert data["stage_change_time"] == "2026-11-21T10:30:00Z"


async def test_a_deleted_stage_takes_no_deals(sandbox, client):
    deal = await make_deal(client)
    stage = sandbox.demo.stages["Demo"].id
    sandbox.delete_stage(stage)
    assert code_of(await client.patch(f"/api/v2/deals/{deal['id']}", json={"stage_id": stage})) == REFUSED
    sandbox.delete_pipeline(sandbox.demo.partner_pipeline.id)
    body = {"title": "x", "pipeline_id": sandbox.demo.partner_pipeline.id}
    assert code_of(await client.post("/api/v2/deals", json=body)) == REFUSED


async def test_lists_leave_archived_and_deleted_ones_out(sandbox, client):
    kept, archived, deleted, won = (sandbox.add_deal(name).id for name in ("kept", "archived", "deleted", "won"))
    sandbox.archive_deal(archived)
    sandbox.delete_deal(deleted)
    sandbox.win_deal(won)

    async def ids(path="/api/v2/deals", **query):
        return [one["id"] for one in (await client.get(path, params=query)).json()["data"]]

    assert await ids() == [kept, won]
    assert await ids(status="open") == [kept]
    assert await ids(status="won,deleted") == [deleted, won]
    assert await ids("/api/v2/deals/archived") == [archived]
    assert (await client.get(f"/api/v2/deals/{archived}")).json()["data"]["is_archived"] is True
    assert (await client.get(f"/api/v2/deals/{deleted}")).status_code == 404
    assert code_of(await client.get("/api/v2/deals", params={"status": "all_not_deleted"})) == REFUSED


async def test_lists_narrow_by_person_pipeline_and_stage_unless_a_filter_is_named(sandbox, client):
    first = sandbox.add_deal("first", person_id=1, value=50)
    second = sandbox.add_deal("second", person_id=2, value=500, stage_id=sandbox.demo.partner_stages["New"].id)

    async def ids(**query):
        return [one["id"] for one in (await client.get("/api/v2/deals", params=query)).json()["data"]]

    assert await ids(person_id=1) == [first.id]
    assert await ids(pipeline_id=second.pipeline_id) == [second.id]
    assert await ids(stage_id=first.stage_id) == [first.id]
    big = sandbox.add_filter("Big", "deals", [["value", ">", 100]])
    assert await ids(filter_id=big.id, person_id=1, status="lost") == [second.id]


async def test_newest_first_by_add_time(sandbox, client, clock):
    for name in "abc":
        sandbox.add_deal(name)
        clock.advance(seconds=1)
    query = {"sort_by": "add_time", "sort_direction": "desc"}
    rows = (await client.get("/api/v2/deals", params=query)).json()["data"]
    assert [row["title"] for row in rows] == ["c", "b", "a"]


async def test_open_deals_may_be_limited(sandbox, client):
    sandbox.demo.company.open_deals_limit = 1
    await make_deal(client)
    refused = await client.post("/api/v2/deals", json={"title": "one more"})
    assert code_of(refused) == (403, "feature_capping_deals_limit")


async def test_value_of_a_deal_with_products_cannot_be_set(sandbox, client):
    deal = sandbox.add_products(sandbox.add_deal("D").id, 300, mrr=10)
    data = (await client.get(f"/api/v2/deals/{deal.id}")).json()["data"]
    assert (data["value"], data["mrr"], data["arr"]) == (300, 10, 120)
    assert code_of(await client.patch(f"/api/v2/deals/{deal.id}", json={"value": 1})) == REFUSED
    assert (await client.patch(f"/api/v2/deals/{deal.id}", json={"title": "other"})).status_code == 200


async def test_delete_answers_the_id_once(client):
    deal = await make_deal(client)
    assert (await client.delete(f"/api/v2/deals/{deal['id']}")).json()["data"] == {"id": deal["id"]}
    assert (await client.delete(f"/api/v2/deals/{deal['id']}")).status_code == 404
