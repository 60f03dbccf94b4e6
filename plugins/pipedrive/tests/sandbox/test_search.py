"""Searching and its lag: ``VENDOR.md``, chapters 7.4 to 7.8 and 9."""

import pytest

REFUSED = (400, "ERR_SCHEMA_VALIDATION_FAILED")


async def found(client, what="persons", **query):
    answer = await client.get(f"/api/v2/{what}/search", params={"exact_match": "true", **query})
    assert answer.status_code == 200, answer.text
    return [one["item"] for one in answer.json()["data"]["items"]]


async def test_items_are_lossy(sandbox, client):
    code = sandbox.demo.person_fields["Referral Link"].code
    sandbox.update_person(1, custom_fields={code: "https://r.test/a"})
    (item,) = await found(client, term="ada@customer.test", fields="email")
    assert item["emails"] == ["ada@customer.test"]
    assert item["custom_fields"] == ["https://r.test/a"]
    assert item["owner"] == {"id": sandbox.demo.admin.id}
    assert "first_name" not in item


async def test_search_ignores_case_and_exact_means_whole(client):
    assert len(await found(client, term="ADA@Customer.Test", fields="email")) == 1
    assert await found(client, term="ada@customer", fields="email") == []
    assert len(await found(client, term="ada@customer", fields="email", exact_match="false")) == 1
    assert await found(client, term="ada@customer.test", fields="name") == []


@pytest.mark.parametrize(
    "query",
    [
        {},
        {"term": "a"},
        {"term": "", "exact_match": "true"},
        {"term": "ada", "limit": 101},
        {"term": "ada", "fields": "emails"},
        {"term": "ada", "exact_match": "1"},
        {"term": "ada", "person_id": 1},
    ],
    ids=str,
)
async def test_bad_searches_are_refused(client, query):
    answer = await client.get("/api/v2/persons/search", params=query)
    assert (answer.status_code, answer.json()["code"]) == REFUSED


async def test_the_index_lags_behind_writes_changes_and_deletions(make, client_for, clock):
    sandbox = make(search_lag=30)
    async with client_for(sandbox) as client:
        assert len(await found(client, term="ada@customer.test")) == 1
        body = {"name": "Jane", "emails": [{"value": "jane@x.test"}]}
        made = (await client.post("/api/v2/persons", json=body)).json()["data"]
        assert await found(client, term="jane@x.test") == []
        clock.advance(seconds=29)
        assert await found(client, term="jane@x.test") == []
        clock.advance(seconds=1)
        assert len(await found(client, term="jane@x.test")) == 1
        await client.patch(f"/api/v2/persons/{made['id']}", json={"emails": [{"value": "new@x.test"}]})
        assert len(await found(client, term="jane@x.test")) == 1
        assert await found(client, term="new@x.test") == []
        clock.advance(seconds=30)
        assert await found(client, term="jane@x.test") == []
        await client.delete(f"/api/v2/persons/{made['id']}")
        assert len(await found(client, term="new@x.test")) == 1
        clock.advance(seconds=30)
        assert await found(client, term="new@x.test") == []


async def test_pages_of_a_search(sandbox, client):
    for number in range(5):
        sandbox.add_person(f"Twin {number}", "twin@x.test")
    first = await client.get("/api/v2/persons/search", params={"term": "twin@x.test", "limit": 3})
    cursor = first.json()["additional_data"]["next_cursor"]
    rest = await client.get("/api/v2/persons/search", params={"term": "twin@x.test", "limit": 3, "cursor": cursor})
    assert len(first.json()["data"]["items"]) == 3
    assert len(rest.json()["data"]["items"]) == 2
    assert rest.json()["additional_data"] == {"next_cursor": None}


async def test_deals_by_custom_field_person_and_status(sandbox, client):
    code = sandbox.demo.deal_fields["Referral Code"].code
    deal = sandbox.add_deal("Deal", person_id=1, custom_fields={code: "ABC123"})
    sandbox.add_deal("Other", person_id=2, custom_fields={code: "ABC123"}, status="won")
    (item,) = await found(client, "deals", term="abc123", fields="custom_fields", person_id=1)
    assert item["id"] == deal.id
    assert item["stage"] == {"id": deal.stage_id, "name": "Lead In"}
    assert item["person"] == {"id": 1, "name": "Ada Example"}
    assert len(await found(client, "deals", term="ABC123")) == 2
    assert [one["title"] for one in await found(client, "deals", term="ABC123", status="won")] == ["Other"]


async def test_leads_by_custom_field_and_archived_ones_marked(sandbox, client):
    code = sandbox.demo.deal_fields["Referral Code"].code
    lead = sandbox.add_lead("Lead", person_id=1, **{code: "ABC123"})
    sandbox.archive_lead(lead.id)
    (item,) = await found(client, "leads", term="ABC123", fields="custom_fields")
    assert (item["id"], item["is_archived"], item["emails"]) == (lead.id, True, ["ada@customer.test"])


async def test_item_search_in_one_field_minds_case(sandbox, client):
    code = sandbox.demo.deal_fields["Referral Code"].code
    deal = sandbox.add_deal("Deal", custom_fields={code: "ABC123"})

    async def search(**query):
        query = {"term": "ABC123", "entity_type": "deal", "field": code, "match": "exact", **query}
        return await client.get("/api/v2/itemSearch/field", params=query)

    assert (await search()).json()["data"] == [{"id": deal.id, "name": "Deal"}]
    assert (await search(term="abc123")).json()["data"] == []
    assert (await search(term="ABC", match="beginning")).json()["data"] != []
    assert (await search(term="C12", match="middle")).json()["data"] != []
    assert (await search(term="C12", match="beginning")).json()["data"] == []
    for wrong in ({"match": "fuzzy"}, {"entity_type": "company"}, {"field": "0" * 40}, {"limit": 101}, {"term": ""}):
        answer = await search(**wrong)
        assert (answer.status_code, answer.json()["code"]) == REFUSED


async def test_item_search_refuses_types_that_are_not_searchable(sandbox, client):
    code = sandbox.add_field("deal", "Tier", "enum", ["Gold"]).code
    query = {"term": "Gold", "entity_type": "deal", "field": code}
    assert (await client.get("/api/v2/itemSearch/field", params=query)).status_code == 400


async def test_item_search_may_answer_by_schema_and_refuse_leads(make, client_for):
    sandbox = make(item_search_shape="schema", item_search_leads=False)
    code = sandbox.demo.deal_fields["Referral Code"].code
    sandbox.add_deal("Deal", custom_fields={code: "ABC123"})
    async with client_for(sandbox) as client:
        query = {"term": "ABC123", "entity_type": "deal", "field": code}
        (row,) = (await client.get("/api/v2/itemSearch/field", params=query)).json()["data"]
        assert row["item"]["title"] == "Deal"
        query["entity_type"] = "lead"
        assert (await client.get("/api/v2/itemSearch/field", params=query)).status_code == 400


async def test_item_search_over_all_kinds(sandbox, client):
    sandbox.add_deal("Example deal")
    answer = await client.get("/api/v2/itemSearch", params={"term": "example", "item_types": "person,deal"})
    assert {one["item"]["type"] for one in answer.json()["data"]["items"]} == {"person", "deal"}


async def test_the_scope_for_one_field_is_search_read(make, client_for):
    async with client_for(make(granted_scopes=("base", "deals:full"))) as client:
        assert (await client.get("/api/v2/deals/search", params={"term": "ab"})).status_code == 200
        query = {"term": "ab", "entity_type": "deal", "field": "title"}
        assert (await client.get("/api/v2/itemSearch/field", params=query)).status_code == 403
