"""Notes: ``VENDOR.md``, chapter 7.7."""

import pytest


async def test_a_note_on_a_lead_names_its_person(sandbox, client):
    lead = sandbox.add_lead("L", person_id=1)
    body = {"content": "<p>Referred by Ada</p>", "lead_id": lead.id, "pinned_to_lead_flag": 1}
    answer = await client.post("/api/v1/notes", json=body)
    assert answer.status_code == 200
    data = answer.json()["data"]
    assert (data["lead_id"], data["deal_id"], data["person_id"]) == (lead.id, None, 1)
    assert data["add_time"] == "2026-11-21 10:00:00"
    assert data["pinned_to_lead_flag"] is True
    assert (await client.get(f"/api/v1/notes/{data['id']}")).json()["data"] == data
    assert (await client.get("/api/v1/notes/99")).status_code == 404


@pytest.mark.parametrize(
    "body",
    [
        {"content": "x"},
        {"content": "", "person_id": 1},
        {"person_id": 1},
        {"content": "x", "person_id": 99},
        {"content": "x", "lead_id": "adf21080-0e10-11eb-879b-05d71fb426ec"},
        {"content": "x" * 100_001, "person_id": 1},
    ],
    ids=lambda body: str(body)[:60],
)
async def test_bad_notes_are_refused(sandbox, client, body):
    answer = await client.post("/api/v1/notes", json=body)
    assert answer.status_code == 400
    assert answer.json()["success"] is False
    assert sandbox.demo.company.notes == {}


async def test_html_is_cleaned(client):
    body = {"content": "<p>Hi</p><script>alert(1)</script>", "person_id": 1, "add_time": "2026-01-02 03:04:05"}
    data = (await client.post("/api/v1/notes", json=body)).json()["data"]
    assert data["content"] == "<p>Hi</p>"
    assert data["add_time"] == "2026-01-02 03:04:05"


async def test_leads_scope_alone_does_not_write_notes(make, client_for):
    async with client_for(make(granted_scopes=("base", "leads:full"))) as client:
        assert (await client.post("/api/v1/notes", json={"content": "x", "person_id": 1})).status_code == 403


async def test_lists_are_paged_with_next_start(sandbox, client):
    for number in range(3):
        sandbox.add_note(f"Note {number}", person_id=1)
    sandbox.add_note("Other", person_id=2)
    page = (await client.get("/api/v1/notes", params={"person_id": 1, "limit": 2})).json()
    assert page["additional_data"]["pagination"] == {
        "start": 0,
        "limit": 2,
        "more_items_in_collection": True,
        "next_start": 2,
    }
