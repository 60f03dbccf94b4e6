"""Leads and their conversion: ``VENDOR.md``, chapter 7.6."""

import pytest


async def make_lead(client, **body):
    answer = await client.post("/api/v1/leads", json={"title": "Lead", "person_id": 1, **body})
    assert answer.status_code == 201, answer.text
    return answer.json()["data"]


async def test_create_answers_201_with_flat_custom_fields_and_leaves_empty_ones_out(sandbox, client):
    code, count = (sandbox.demo.deal_fields[name].code for name in ("Referral Code", "Referral Count"))
    data = await make_lead(
        client,
        **{code: "ABC123", "origin_id": "ref-1", "value": {"amount": 99.5, "currency": "EUR"}, "visible_to": "3"},
    )
    assert data[code] == "ABC123"
    assert count not in data
    assert "custom_fields" not in data
    assert (data["origin"], data["source_name"], data["origin_id"]) == ("API", "API", "ref-1")
    assert data["value"] == {"amount": 99.5, "currency": "EUR"}
    assert data["visible_to"] == "3"
    assert data["add_time"] == "2026-11-21T10:00:00.000Z"
    assert "stage_id" not in data
    assert (await client.get(f"/api/v1/leads/{data['id']}")).json()["data"] == data


@pytest.mark.parametrize(
    ("body", "info"),
    [
        ({"title": None}, '"title" must be a string'),
        ({"owner_id": None}, '"owner_id" must be a number'),
        ({"owner_id": "1"}, '"owner_id" must be a number'),
        ({"person_id": "1"}, '"person_id" must be a number'),
        ({"person_id": 99}, '"person_id" 99 does not exist'),
        ({"value": {"amount": 1}}, '"value" must contain amount and currency'),
        ({"value": 100}, '"value" must contain amount and currency'),
        ({"visible_to": 3}, '"visible_to" must be one of [1, 3, 5, 7]'),
        ({"label_ids": [1]}, '"label_ids" must be an array of UUIDs'),
        ({"note": "x"}, '"note" is not allowed'),
        ({"custom_fields": {}}, '"custom_fields" is not allowed'),
        ({"stage_id": 1}, '"stage_id" is not allowed'),
        ({"org_id": 1}, '"org_id" is not allowed'),
        ({"0" * 40: "x"}, f'"{"0" * 40}" is not allowed'),
    ],
    ids=str,
)
async def test_bad_bodies_are_refused_in_the_dialect_of_leads(sandbox, client, body, info):
    answer = await client.post("/api/v1/leads", json={"title": "Lead", "person_id": 1, **body})
    assert answer.status_code == 400
    assert answer.json() == {
        "success": False,
        "data": None,
        "additional_data": None,
        "error": "provided dataset is not valid",
        "error_info": info,
    }
    assert sandbox.demo.company.leads == {}


async def test_title_and_a_link_are_required(sandbox, client):
    assert (await client.post("/api/v1/leads", json={"person_id": 1})).status_code == 400
    assert (await client.post("/api/v1/leads", json={"title": "Lead"})).status_code == 400
    org = sandbox.add_organization("Org")
    assert (await client.post("/api/v1/leads", json={"title": "L", "organization_id": org.id})).status_code == 201


async def test_value_null_is_taken(client):
    assert (await make_lead(client, value=None))["value"] is None


async def test_patch_changes_and_keeps_origin_id(sandbox, client, clock):
    code = sandbox.demo.deal_fields["Referral Code"].code
    lead = await make_lead(client, **{"origin_id": "ref-1", code: "A"})
    clock.advance(milliseconds=1500)
    path = f"/api/v1/leads/{lead['id']}"
    data = (await client.patch(path, json={"title": "New", code: None})).json()["data"]
    assert data["title"] == "New"
    assert code not in data
    assert data["origin_id"] == "ref-1"
    assert data["update_time"] == "2026-11-21T10:00:01.500Z"
    assert (await client.patch(path, json={"origin_id": "other"})).status_code == 400
    assert (await client.patch(path, json={"person_id": None})).status_code == 400


async def test_missing_leads_are_told_in_the_vendors_words(client):
    path = "/api/v1/leads/adf21080-0e10-11eb-879b-05d71fb426ec"
    for answer in (await client.get(path), await client.patch(path, json={}), await client.delete(path)):
        assert answer.status_code == 404
        assert answer.json() == {
            "success": False,
            "error": "requested lead not found",
            "error_info": "Object was not found.",
            "data": None,
            "additional_data": None,
        }


async def test_archived_leads_are_in_another_list(sandbox, client):
    kept, other = await make_lead(client), await make_lead(client)
    await client.patch(f"/api/v1/leads/{other['id']}", json={"is_archived": True})

    async def ids(path, **query):
        return [one["id"] for one in (await client.get(path, params=query)).json()["data"]]

    assert await ids("/api/v1/leads") == [kept["id"]]
    assert await ids("/api/v1/leads/archived", person_id=1) == [other["id"]]
    assert (await client.get(f"/api/v1/leads/{other['id']}")).json()["data"]["is_archived"] is True
    await client.delete(f"/api/v1/leads/{kept['id']}")
    assert await ids("/api/v1/leads") == []


async def test_lists_are_oldest_first_narrow_and_sort(sandbox, client, clock):
    made = []
    for person in (1, 2, 1):
        made.append(await make_lead(client, person_id=person, title=f"Lead {len(made)}"))
        clock.advance(seconds=10)

    async def titles(**query):
        return [one["title"][-1] for one in (await client.get("/api/v1/leads", params=query)).json()["data"]]

    assert await titles() == ["0", "1", "2"]
    assert await titles(person_id=1) == ["0", "2"]
    assert await titles(sort="update_time DESC") == ["2", "1", "0"]
    assert await titles(updated_since="2026-11-21T10:00:10Z") == ["1", "2"]
    chosen = sandbox.add_filter("One", "leads", [["title", "=", "Lead 1"]])
    assert await titles(filter_id=chosen.id, person_id=1) == ["1"]
    assert (await client.get("/api/v1/leads", params={"updated_since": "2026-11-21T10:00:10.000Z"})).status_code == 400
    assert (await client.get("/api/v1/leads", params={"sort": "value ASC"})).status_code == 400


async def test_paging_by_offset_is_flat_and_without_next_start(client):
    for _ in range(3):
        await make_lead(client)
    page = (await client.get("/api/v1/leads", params={"limit": 2})).json()
    assert page["additional_data"] == {"start": 0, "limit": 2, "more_items_in_collection": True}
    page = (await client.get("/api/v1/leads", params={"limit": 2, "start": 2})).json()
    assert len(page["data"]) == 1
    assert page["additional_data"]["more_items_in_collection"] is False
    assert (await client.get("/api/v1/leads", params={"limit": 900})).json()["additional_data"]["limit"] == 500


async def test_labels_are_uuids_and_sources_are_words(sandbox, client):
    labels = (await client.get("/api/v1/leadLabels")).json()["data"]
    assert [one["name"] for one in labels] == ["Hot", "Warm", "Cold"]
    lead = await make_lead(client, label_ids=[labels[0]["id"]])
    assert lead["label_ids"] == [labels[0]["id"]]
    made = (await client.post("/api/v1/leadLabels", json={"name": "Referral", "color": "green"})).json()["data"]
    assert made["color"] == "green"
    assert (await client.post("/api/v1/leadLabels", json={"name": "Bad", "color": "mauve"})).status_code == 400
    assert {"name": "API"} in (await client.get("/api/v1/leadSources")).json()["data"]


async def test_conversion_makes_a_deal_and_deletes_the_lead(sandbox, client):
    code = sandbox.demo.deal_fields["Referral Code"].code
    lead = await make_lead(
        client,
        **{code: "ABC", "value": {"amount": 300, "currency": "USD"}, "owner_id": sandbox.demo.seller.id},
    )
    await client.post("/api/v1/notes", json={"content": "Referred", "lead_id": lead["id"]})
    stage = sandbox.demo.stages["Demo"].id
    started = await client.post(f"/api/v2/leads/{lead['id']}/convert/deal", json={"stage_id": stage, "pipeline_id": 2})
    assert started.status_code == 200
    assert started.json()["additional_data"] is None
    job = started.json()["data"]["conversion_id"]
    state = (await client.get(f"/api/v2/leads/{lead['id']}/convert/status/{job}")).json()["data"]
    assert state["status"] == "completed"
    path = f"/api/v2/deals/{state['deal_id']}"
    assert "source_lead_id" not in (await client.get(path)).json()["data"]
    deal = (await client.get(path, params={"include_fields": "source_lead_id"})).json()["data"]
    assert deal["source_lead_id"] == lead["id"]
    assert (deal["value"], deal["currency"], deal["person_id"]) == (300, "USD", 1)
    assert (deal["owner_id"], deal["stage_id"]) == (sandbox.demo.seller.id, stage)
    assert deal["custom_fields"][code] == "ABC"
    assert (await client.get(f"/api/v1/leads/{lead['id']}")).status_code == 404
    notes = (await client.get("/api/v1/notes", params={"deal_id": deal["id"]})).json()["data"]
    assert [note["content"] for note in notes] == ["Referred"]


async def test_conversion_is_a_job_that_takes_its_time(make, client_for, clock):
    sandbox = make(conversion_seconds=10)
    async with client_for(sandbox) as client:
        lead = await make_lead(client)
        started = await client.post(f"/api/v2/leads/{lead['id']}/convert/deal", json={})
        path = f"/api/v2/leads/{lead['id']}/convert/status/{started.json()['data']['conversion_id']}"
        states = []
        for _ in range(3):
            states.append((await client.get(path)).json()["data"])
            clock.advance(seconds=5)
        assert [one["status"] for one in states] == ["not_started", "running", "completed"]
        assert [("deal_id" in one) for one in states] == [False, False, True]
        clock.advance(days=4)
        sandbox.expire_tokens()
    async with client_for(sandbox) as client:
        assert (await client.get(path)).status_code == 404


async def test_a_conversion_can_fail_and_be_rejected(make, client_for, clock):
    sandbox = make(conversion_seconds=10)
    async with client_for(sandbox) as client:
        lead, other = await make_lead(client), await make_lead(client)
        jobs = {}
        for one in (lead, other):
            started = await client.post(f"/api/v2/leads/{one['id']}/convert/deal", json={})
            jobs[one["id"]] = started.json()["data"]["conversion_id"]
        sandbox.fail_conversion(jobs[lead["id"]])
        sandbox.delete_lead(other["id"])
        clock.advance(seconds=10)
        states = [
            (await client.get(f"/api/v2/leads/{one}/convert/status/{job}")).json()["data"]["status"]
            for one, job in jobs.items()
        ]
        assert states == ["failed", "rejected"]
        assert (await client.get(f"/api/v1/leads/{lead['id']}")).status_code == 200


async def test_conversion_refuses_unknown_keys_stages_and_leads(client):
    lead = await make_lead(client)
    path = f"/api/v2/leads/{lead['id']}/convert/deal"
    assert (await client.post(path, json={"title": "x"})).status_code == 400
    assert (await client.post(path, json={"stage_id": "5"})).status_code == 400
    assert (await client.post(path, json={"stage_id": 99})).status_code == 400
    gone = await client.post("/api/v2/leads/adf21080-0e10-11eb-879b-05d71fb426ec/convert/deal", json={})
    assert (gone.status_code, gone.json()["error"]) == (404, "Entity was not found")


async def test_custom_fields_need_not_go_over(make, client_for):
    sandbox = make(conversion_carries_fields=False)
    code = sandbox.demo.deal_fields["Referral Code"].code
    lead = sandbox.add_lead("L", person_id=1, **{code: "ABC"})
    assert sandbox.convert_lead(lead.id).custom_fields == {}
