"""Persons: ``VENDOR.md``, chapters 7.4 and 7.9."""

import pytest


def code_of(answer):
    return answer.status_code, answer.json().get("code")


REFUSED = (400, "ERR_SCHEMA_VALIDATION_FAILED")


async def test_create_answers_200_with_the_record(sandbox, client):
    key = sandbox.demo.person_fields["Referral Link"].code
    body = {
        "name": "Jane van Doe",
        "emails": [{"value": "jane@x.test"}],
        "phones": [{"value": "+491234", "label": "home"}],
        "custom_fields": {key: "https://refer.test/a"},
    }
    answer = await client.post("/api/v2/persons", json=body)
    assert answer.status_code == 200
    data = answer.json()["data"]
    assert data["first_name"] == "Jane"
    assert data["last_name"] == "van Doe"
    assert data["emails"] == [{"value": "jane@x.test", "primary": True, "label": "work"}]
    assert data["phones"] == [{"value": "+491234", "primary": True, "label": "home"}]
    assert data["owner_id"] == sandbox.demo.admin.id
    assert data["custom_fields"][key] == "https://refer.test/a"
    assert data["add_time"] == data["update_time"] == "2026-11-21T10:00:00Z"
    assert (await client.get(f"/api/v2/persons/{data['id']}")).json()["data"] == data


async def test_addresses_are_not_unique(client):
    body = {"name": "Jane", "emails": [{"value": "jane@x.test"}]}
    first, second = [(await client.post("/api/v2/persons", json=body)).json()["data"]["id"] for _ in range(2)]
    assert first != second


async def test_name_or_both_halves_are_required(client):
    assert code_of(await client.post("/api/v2/persons", json={"emails": []})) == REFUSED
    assert code_of(await client.post("/api/v2/persons", json={"first_name": "Jane"})) == REFUSED
    answer = await client.post("/api/v2/persons", json={"first_name": "Jane", "last_name": "Doe"})
    assert answer.json()["data"]["name"] == "Jane Doe"


@pytest.mark.parametrize(
    "body",
    [
        {"name": 7},
        {"name": ""},
        {"owner_id": "1"},
        {"owner_id": 1},
        {"owner_id": True},
        {"org_id": 99},
        {"visible_to": "3"},
        {"visible_to": 2},
        {"label_ids": [99]},
        {"label_ids": 1},
        {"emails": ["a@x.test"]},
        {"emails": [{"primary": True}]},
        {"emails": [{"value": "a@x.test", "kind": "work"}]},
        {"emails": None},
        {"custom_fields": []},
        {"email": [{"value": "a@x.test"}]},
        {"user_id": 1},
        {"phone": "1"},
        {"0123456789012345678901234567890123456789": "x"},
    ],
    ids=str,
)
async def test_wrong_types_and_unknown_keys_are_refused_and_nothing_is_written(sandbox, client, body):
    before = len(sandbox.demo.company.persons)
    assert code_of(await client.post("/api/v2/persons", json={"name": "Jane", **body})) == REFUSED
    assert code_of(await client.patch("/api/v2/persons/1", json=body)) == REFUSED
    assert len(sandbox.demo.company.persons) == before
    assert sandbox.demo.persons[0].name == "Ada Example"


async def test_a_hash_key_at_the_root_is_refused_by_name(sandbox, client):
    key = sandbox.demo.person_fields["Referral Code"].code
    answer = await client.patch("/api/v2/persons/1", json={key: "X"})
    assert answer.status_code == 400
    assert answer.json() == {
        "success": False,
        "error": f"Validation failed: {key}: Parameter '{key}' is not allowed for this request",
        "code": "ERR_SCHEMA_VALIDATION_FAILED",
    }


async def test_contact_sync_fields_are_forbidden_without_contact_sync(client):
    assert (await client.post("/api/v2/persons", json={"name": "J", "job_title": "CEO"})).status_code == 403


async def test_patch_changes_only_what_is_sent(sandbox, client, clock):
    fields = sandbox.demo.person_fields
    link, count = fields["Referral Link"].code, fields["Referral Count"].code
    await client.patch("/api/v2/persons/1", json={"custom_fields": {link: "https://a.test", count: 1}})
    clock.advance(seconds=5)
    data = (await client.patch("/api/v2/persons/1", json={"custom_fields": {count: 2}})).json()["data"]
    assert data["custom_fields"][link] == "https://a.test"
    assert data["custom_fields"][count] == 2
    assert data["name"] == "Ada Example"
    assert data["update_time"] == "2026-11-21T10:00:05Z"


async def test_null_clears_a_custom_field_and_the_organization(sandbox, client):
    link = sandbox.demo.person_fields["Referral Link"].code
    org = sandbox.add_organization("Org")
    await client.patch("/api/v2/persons/1", json={"custom_fields": {link: "x"}, "org_id": org.id})
    data = (await client.patch("/api/v2/persons/1", json={"custom_fields": {link: None}, "org_id": None})).json()[
        "data"
    ]
    assert data["custom_fields"][link] is None
    assert data["org_id"] is None


async def test_patching_emails_replaces_the_whole_list(client):
    body = {"emails": [{"value": "a@x.test"}, {"value": "b@x.test", "primary": True}]}
    data = (await client.patch("/api/v2/persons/1", json=body)).json()["data"]
    assert [(one["value"], one["primary"]) for one in data["emails"]] == [("a@x.test", False), ("b@x.test", True)]
    data = (await client.patch("/api/v2/persons/1", json={"emails": []})).json()["data"]
    assert data["emails"] == []


async def test_a_write_without_a_change_leaves_the_update_time(client, clock):
    clock.advance(minutes=1)
    data = (await client.patch("/api/v2/persons/1", json={"name": "Ada Example"})).json()["data"]
    assert data["update_time"] == "2026-11-21T10:00:00Z"


async def test_delete_is_soft_and_reads_say_404(sandbox, client):
    assert (await client.delete("/api/v2/persons/1")).json() == {"success": True, "data": {"id": 1}}
    for answer in (
        await client.get("/api/v2/persons/1"),
        await client.patch("/api/v2/persons/1", json={"name": "x"}),
        await client.delete("/api/v2/persons/1"),
    ):
        assert answer.status_code == 404
        assert answer.json()["error"] == "Person not found"
    assert sandbox.demo.persons[0].is_deleted
    listed = (await client.get("/api/v2/persons")).json()["data"]
    assert [one["id"] for one in listed] == [2, 3]


async def test_put_and_post_on_a_person_are_unknown(client):
    assert (await client.put("/api/v2/persons/1", json={})).status_code in {404, 405}
    assert (await client.post("/api/v2/persons", content=b"{")).status_code == 400
    assert code_of(await client.post("/api/v2/persons", json=[1])) == REFUSED
    assert code_of(await client.get("/api/v2/persons/abc")) == REFUSED


async def test_list_narrows(sandbox, client):
    deal = sandbox.add_deal("D", person_id=2)
    org = sandbox.add_organization("Org")
    sandbox.update_person(3, org_id=org.id, owner_id=sandbox.demo.seller.id)

    async def ids(**query):
        return [one["id"] for one in (await client.get("/api/v2/persons", params=query)).json()["data"]]

    assert await ids(ids="1,3,77") == [1, 3]
    assert await ids(owner_id=sandbox.demo.seller.id) == [3]
    assert await ids(org_id=org.id) == [3]
    assert await ids(deal_id=deal.id) == [2]
    assert await ids(sort_direction="desc") == [3, 2, 1]


async def test_a_filter_switches_the_others_off(sandbox, client):
    chosen = sandbox.add_filter("Ada only", "people", [["name", "contains", "ada"]])
    query = {"filter_id": chosen.id, "ids": "2", "owner_id": 1}
    rows = (await client.get("/api/v2/persons", params=query)).json()["data"]
    assert [row["id"] for row in rows] == [1]
    sandbox.delete_filter(chosen.id)
    assert (await client.get("/api/v2/persons", params=query)).status_code == 404


async def test_filters_know_custom_fields(sandbox, client):
    code = sandbox.demo.person_fields["Campaign Name"].code
    sandbox.update_person(2, custom_fields={code: "Spring"})
    chosen = sandbox.add_filter("In a campaign", "people", [[code, "IS NOT NULL"]])
    rows = (await client.get("/api/v2/persons", params={"filter_id": chosen.id})).json()["data"]
    assert [row["id"] for row in rows] == [2]


async def test_updated_since_includes_and_until_excludes(sandbox, client, clock):
    clock.advance(minutes=10, seconds=0.5)
    sandbox.update_person(2, name="Ben New")

    async def ids(**query):
        return [one["id"] for one in (await client.get("/api/v2/persons", params=query)).json()["data"]]

    assert await ids(updated_since="2026-11-21T10:10:00Z") == [2]
    assert await ids(updated_since="2026-11-21T10:10:01Z") == []
    assert await ids(updated_until="2026-11-21T10:10:00Z") == [1, 3]
    assert await ids(updated_since="2026-11-21T12:10:00+02:00") == [2]


@pytest.mark.parametrize("since", ["2026-11-21T10:10:00.000Z", "2026-11-21T10:10:00", "2026-11-21", "yesterday"])
async def test_updated_since_wants_whole_seconds(client, since):
    assert code_of(await client.get("/api/v2/persons", params={"updated_since": since})) == REFUSED


@pytest.mark.parametrize(
    "query",
    [
        {"limit": 501},
        {"limit": 0},
        {"limit": "many"},
        {"sort_by": "name"},
        {"sort_direction": "up"},
        {"ids": "a,b"},
        {"ids": ",".join(str(one) for one in range(101))},
        {"custom_fields": ",".join(f"k{one}" for one in range(16))},
        {"include_fields": "everything"},
        {"include_labels": "1"},
        {"start": "0"},
        {"cursor": "made-up"},
        {"filter_id": "x"},
    ],
    ids=str,
)
async def test_bad_parameters_are_refused(client, query):
    assert code_of(await client.get("/api/v2/persons", params=query)) == REFUSED


async def test_custom_fields_narrow_the_answer(sandbox, client):
    link, code = (sandbox.demo.person_fields[name].code for name in ("Referral Link", "Referral Code"))
    sandbox.update_person(1, custom_fields={link: "x", code: "y"})
    data = (await client.get("/api/v2/persons/1", params={"custom_fields": link})).json()["data"]
    assert data["custom_fields"] == {link: "x"}


async def test_unset_custom_fields_are_null_or_absent(make, client_for):
    async with client_for(make()) as client:
        assert set((await client.get("/api/v2/persons/1")).json()["data"]["custom_fields"].values()) == {None}
    async with client_for(make(unset_as_null=False)) as client:
        assert (await client.get("/api/v2/persons/1")).json()["data"]["custom_fields"] == {}


async def test_labels_and_optional_fields_on_request(client):
    query = {"include_labels": "true", "include_fields": "notes_count,smart_bcc_email"}
    data = (await client.get("/api/v2/persons/1", params=query)).json()["data"]
    assert data["labels"] == [{"id": 1, "label": "Customer"}]
    assert data["notes_count"] == 0
    assert "smart_bcc_email" in data


async def test_merge_keeps_the_other_and_moves_what_hung_on_it(sandbox, client):
    link = sandbox.demo.person_fields["Referral Link"].code
    sandbox.update_person(2, custom_fields={link: "https://survivor.test"})
    sandbox.update_person(1, custom_fields={link: "https://loser.test"})
    deal = sandbox.add_deal("D", person_id=1)
    lead = sandbox.add_lead("L", person_id=1)
    answer = await client.put("/api/v1/persons/1/merge", json={"merge_with_id": 2})
    data = answer.json()["data"]
    assert data["id"] == 2
    assert data["merge_what_id"] == 1
    assert {one["value"] for one in data["email"]} == {"ada@customer.test", "ben@customer.test"}
    assert sandbox.demo.persons[1].custom_fields[link] == "https://survivor.test"
    assert deal.person_id == lead.person_id == 2
    assert (await client.get("/api/v2/persons/1")).status_code == 404


async def test_merge_refuses_nonsense(client):
    assert (await client.put("/api/v1/persons/1/merge", json={})).status_code == 400
    assert (await client.put("/api/v1/persons/1/merge", json={"merge_with_id": 1})).status_code == 400
    assert (await client.put("/api/v1/persons/1/merge", json={"merge_with_id": 99})).status_code == 404
