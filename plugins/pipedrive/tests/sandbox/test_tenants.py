"""Several companies and users: tokens are bound, ids collide, visibility hides."""

import pytest


@pytest.fixture
def other(sandbox):
    return sandbox.demo_company("Other")


async def test_companies_do_not_see_each_other_though_ids_collide(sandbox, other, client, client_for):
    async with client_for(sandbox, other.admin.id) as theirs:
        assert str(theirs.base_url).startswith("https://other.pipedrive.test")
        await theirs.patch("/api/v2/persons/1", json={"name": "Changed There"})
        assert (await client.get("/api/v2/persons/1")).json()["data"]["name"] == "Ada Example"
        key = sandbox.demo.person_fields["Referral Link"].code
        assert (await theirs.patch("/api/v2/persons/1", json={"custom_fields": {key: "x"}})).status_code == 400
        owner = sandbox.demo.admin.id
        assert (await theirs.patch("/api/v2/persons/1", json={"owner_id": owner})).status_code == 400
        term = {"term": "Changed There"}
        assert (await client.get("/api/v2/persons/search", params=term)).json()["data"]["items"] == []


async def test_webhooks_are_of_one_company(sandbox, other, client, client_for):
    hook = {"subscription_url": "https://gw.test/h", "event_action": "*", "event_object": "*", "name": "n"}
    made = (await client.post("/api/v1/webhooks", json=hook)).json()["data"]
    sandbox.update_person(1, company_id=other.company.id, name="There")
    assert await sandbox.deliver_webhooks() == []
    async with client_for(sandbox, other.admin.id) as theirs:
        assert (await theirs.get("/api/v1/webhooks")).json()["data"] == []
        assert (await theirs.delete(f"/api/v1/webhooks/{made['id']}")).status_code == 404


async def test_records_of_their_owner_alone_are_hidden_from_others(sandbox, client_for):
    person = sandbox.add_person("Secret", "secret@x.test", visible_to=1)
    deal = sandbox.add_deal("Secret", visible_to=1)
    lead = sandbox.add_lead("Secret", person_id=person.id, visible_to="1")
    async with client_for(sandbox, sandbox.demo.seller.id) as seller:
        assert (await seller.get(f"/api/v2/persons/{person.id}")).status_code == 404
        assert (await seller.get(f"/api/v2/deals/{deal.id}")).status_code == 404
        assert (await seller.get(f"/api/v1/leads/{lead.id}")).status_code == 404
        assert (await seller.patch(f"/api/v2/persons/{person.id}", json={"name": "x"})).status_code == 404
        for path in ("/api/v2/persons", "/api/v2/deals", "/api/v1/leads"):
            rows = (await seller.get(path)).json()["data"]
            assert "Secret" not in {row.get("name", row.get("title")) for row in rows}
        query = {"term": "secret@x.test", "exact_match": "true"}
        assert (await seller.get("/api/v2/persons/search", params=query)).json()["data"]["items"] == []
        assert (await seller.get("/api/v1/users/me")).json()["data"]["access"][0]["admin"] is False


async def test_a_webhook_follows_the_visibility_of_its_user(sandbox, client_for, client):
    hook = {"subscription_url": "https://gw.test/h", "event_action": "*", "event_object": "deal", "name": "n"}
    async with client_for(sandbox, sandbox.demo.seller.id) as seller:
        await seller.post("/api/v1/webhooks", json=hook)
        sandbox.add_deal("Secret", visible_to=1)
        assert await sandbox.deliver_webhooks() == []
        sandbox.add_deal("Open")
        (attempt,) = await sandbox.deliver_webhooks()
        assert attempt.payload["data"]["title"] == "Open"
        await seller.post("/api/v1/webhooks", json=hook | {"user_id": sandbox.demo.admin.id})
        sandbox.add_deal("Secret again", visible_to=1)
        (attempt,) = await sandbox.deliver_webhooks()
        assert attempt.payload["meta"]["permitted_user_ids"] == [str(sandbox.demo.admin.id)]
