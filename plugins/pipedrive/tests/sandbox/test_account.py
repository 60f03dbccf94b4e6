"""Users, currencies, pipelines, stages, filters: ``VENDOR.md``, chapters 7.1 to 7.3."""


async def test_me_names_user_company_and_rights(sandbox, client):
    answer = (await client.get("/api/v1/users/me")).json()
    assert answer["success"] is True
    assert answer["data"]["id"] == sandbox.demo.admin.id
    assert answer["data"]["company_id"] == sandbox.demo.company.id
    assert answer["data"]["company_domain"] == "acme"
    assert answer["data"]["default_currency"] == "EUR"
    assert {"app": "global", "admin": True} in [
        {key: one[key] for key in ("app", "admin")} for one in answer["data"]["access"]
    ]


async def test_v1_answers_under_two_prefixes_v2_under_one(client):
    assert (await client.get("/v1/users/me")).status_code == 200
    assert (await client.get("/api/v2/pipelines")).status_code == 200
    assert (await client.get("/v2/pipelines")).status_code == 404


async def test_v1_twins_of_v2_paths_are_gone(make, client, client_for):
    for path in ("/persons", "/deals/1", "/pipelines", "/stages", "/itemSearch/field", "/persons/search"):
        answer = await client.get("/api/v1" + path)
        assert (answer.status_code, answer.json()["success"]) == (410, False)
    async with client_for(make(gone_status=404)) as other:
        assert (await other.post("/v1/persons", json={})).status_code == 404


async def test_users_are_listed_without_company(sandbox, client):
    users = (await client.get("/api/v1/users")).json()["data"]
    assert [user["id"] for user in users] == [sandbox.demo.admin.id, sandbox.demo.seller.id]
    assert "company_id" not in users[0]
    assert (await client.get(f"/api/v1/users/{users[1]['id']}")).json()["data"]["name"] == "Sam Seller"
    assert (await client.get("/api/v1/users/1")).status_code == 404


async def test_currencies_have_other_than_two_digits(client):
    rows = (await client.get("/api/v1/currencies")).json()["data"]
    assert {row["code"]: row["decimal_points"] for row in rows}.items() >= {"EUR": 2, "JPY": 0, "KWD": 3}.items()


async def test_stages_by_pipeline_in_order_and_deleted_ones_flagged(sandbox, client):
    sales = sandbox.demo.pipeline.id
    sandbox.delete_stage(sandbox.demo.stages["Agreed"].id)
    stages = (await client.get("/api/v2/stages", params={"pipeline_id": sales, "sort_by": "order_nr"})).json()["data"]
    assert [stage["name"] for stage in stages] == ["Lead In", "Contacted", "Demo", "Negotiation", "Agreed"]
    assert [stage["name"] for stage in stages if stage["is_deleted"]] == ["Agreed"]
    assert (await client.get(f"/api/v2/stages/{sandbox.demo.stages['Agreed'].id}")).status_code == 404
    assert (await client.get(f"/api/v2/pipelines/{sales}")).json()["data"]["name"] == "Sales"


async def test_filters_by_type_with_temporary_ones_marked(sandbox, client):
    sandbox.add_filter("Passing", "people", is_temporary=True)
    sandbox.add_filter("Big deals", "deals", [["value", ">", 100]])
    gone = sandbox.add_filter("Old", "people")
    sandbox.delete_filter(gone.id)
    rows = (await client.get("/api/v1/filters", params={"type": "people"})).json()["data"]
    assert [(row["name"], row["temporary_flag"]) for row in rows] == [("Customers", None), ("Passing", True)]
    one = (await client.get(f"/api/v1/filters/{rows[0]['id']}")).json()["data"]
    assert one["conditions"]["conditions"][0]["conditions"][0]["field_code"] == "emails"
    assert (await client.get(f"/api/v1/filters/{gone.id}")).status_code == 404


async def test_an_unknown_path_is_refused_in_the_vendors_envelope(client):
    answer = await client.get("/api/v1/nothing")
    assert answer.status_code == 404
    assert answer.json().items() >= {"success": False, "data": None, "additional_data": None}.items()
    assert "error" in answer.json()
