"""Signups and people over HTTP: what a host sends, and what it is answered."""

import asyncio

import pytest

from gateway.storage import writer as writing

PATH = "/v1/accounts/acme/campaigns/spring/signups"


def body(email="friend@example.com", **changes):
    return {"role": "referred", "person": {"email": email, "first_name": "Fiona"}, **changes}


@pytest.fixture
async def acme(world):
    await world.account()
    await world.campaign(
        fields=[{"key": "size", "label": "Size", "type": "number", "required": True, "role": "referrer"}]
    )
    return world


async def test_one_signup_and_a_batch_are_answered_202(acme):
    single = await acme.call("POST", PATH, body(), expect=202)
    assert single["results"][0]["outcome"] == "held"
    batch = await acme.call("POST", PATH, {"signups": [body(), body("other@example.com"), {"role": "x"}]}, expect=202)
    assert [one["outcome"] for one in batch["results"]] == ["already_signed_up", "held", None]
    assert batch["results"][0]["person"] == single["results"][0]["person"]
    assert batch["results"][2]["problems"]


@pytest.mark.parametrize(
    ("sent", "field"),
    [
        (body("nobody"), "person.email"),
        (body(colour="red"), "colour"),
        (body(role="friend"), "role"),
        ({"person": {"email": "a@example.com", "first_name": "A"}}, "role"),
        (body(signed_up_at="2026-01-01T00:00:00"), "signed_up_at"),
        (body(signed_up_at="2999-01-01T00:00:00Z"), "signed_up_at"),
        (body(referrer={"first_name": "Rita"}), "referrer"),
        (body(referrer={"email": "friend@example.com"}), "referrer.email"),
        ({**body(role="referrer")}, "person.fields.size"),
        ([], ""),
        ("text", ""),
    ],
)
async def test_a_single_signup_that_is_wrong_is_answered_422_naming_the_field(acme, sent, field):
    problem = await acme.call("POST", PATH, sent, expect=422)
    assert problem["code"] == "invalid_input"
    assert [one["field"] for one in problem["problems"]] == [field]


@pytest.mark.parametrize("content", [b"", b"{", b"\xff", b"[" * 100_000])
async def test_what_is_no_json_is_answered_400(acme, content):
    answer = await acme.api.post(PATH, content=content, headers={"content-type": "application/json"})
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_request")


async def test_too_large_bodies_are_answered_413(acme):
    single = await acme.call("POST", PATH, body(source="x" * 1_100_000), expect=413)
    assert single["code"] == "too_large"
    batch = await acme.call("POST", PATH, {"signups": [body(source="x" * 9_000_000)]}, expect=413)
    assert batch["code"] == "too_large"
    await acme.call("POST", PATH, {"signups": [body(source="x" * 1_100_000), body()]}, expect=202)
    await acme.call("POST", PATH, {"signups": [body()] * 1001}, expect=422)
    await acme.call("POST", PATH, {"signups": []}, expect=422)


async def test_unknown_campaigns_drafts_and_other_accounts_are_refused(acme):
    await acme.call("POST", "/v1/accounts/acme/campaigns/none/signups", body(), expect=404)
    await acme.call("POST", "/v1/accounts/none/campaigns/spring/signups", body(), expect=404)
    await acme.campaign(campaign="draft", state="draft")
    problem = await acme.call("POST", "/v1/accounts/acme/campaigns/draft/signups", body(), expect=422)
    assert problem["problems"][0]["code"] == "draft_campaign"
    await acme.call("POST", "/v1/accounts/acme/campaigns/draft/signups", body(test=True), expect=202)
    key = await acme.call("POST", "/v1/accounts/acme/keys", {"name": "k", "scopes": ["read"]}, expect=201)
    await acme.call("POST", PATH, body(), expect=403, headers={"authorization": f"Bearer {key['key']}"})
    await acme.call("GET", "/v1/accounts/other/people", expect=404, headers={"authorization": f"Bearer {key['key']}"})


async def test_a_repeated_call_is_answered_as_before(acme):
    headers = {"idempotency-key": "k-1"}
    first = await acme.call("POST", PATH, body(), expect=202, headers=headers)
    reordered = {"person": {"first_name": "Fiona", "email": "friend@example.com"}, "role": "referred"}
    assert await acme.call("POST", PATH, reordered, expect=202, headers=headers) == first
    conflict = await acme.call("POST", PATH, body("other@example.com"), expect=409, headers=headers)
    assert conflict["code"] == "idempotency_conflict"
    await acme.call("POST", PATH, body(), expect=422, headers={"idempotency-key": "with space"})
    await acme.later(days=31)
    later = await acme.call("POST", PATH, body("other@example.com"), expect=202, headers=headers)
    assert later["results"][0]["outcome"] == "held"


async def test_the_same_call_at_once_is_done_once(acme):
    sent = [acme.call("POST", PATH, body(), expect=202, headers={"idempotency-key": "k-1"}) for _ in range(8)]
    answers = await asyncio.gather(*sent)
    assert all(one == answers[0] for one in answers)
    assert answers[0]["results"][0]["outcome"] == "held"


async def test_a_database_that_takes_no_writes_is_answered_503(acme, monkeypatch):
    async def refuse(*_args, **_kwargs):
        raise writing.StorageUnavailable("disk is full")

    monkeypatch.setattr(acme.services.database.writer, "submit", refuse)
    answer = await acme.api.post(PATH, json=body())
    assert (answer.status_code, answer.json()["code"]) == (503, "storage_unavailable")
    assert int(answer.headers["retry-after"]) > 0

    async def overload(*_args, **_kwargs):
        raise writing.Overloaded("too much waits")

    monkeypatch.setattr(acme.services.database.writer, "submit", overload)
    answer = await acme.api.post(PATH, json=body())
    assert (answer.status_code, answer.json()["code"]) == (503, "overloaded")
    assert int(answer.headers["retry-after"]) > 0


async def test_held_signups_are_released_by_a_call(acme):
    await acme.call("POST", PATH, body(), expect=202)
    assert await acme.call("POST", "/v1/accounts/acme/signups/release", {}) == {"released": 0}
    await acme.call("POST", "/v1/accounts/acme/signups/release", {"campaign": "none"}, expect=404)
    await acme.call("POST", "/v1/accounts/none/signups/release", {}, expect=404)
    await acme.call("POST", "/v1/accounts/acme/signups/release", {"since": "2026-01-01T00:00:00"}, expect=422)


async def test_people_are_found_changed_and_listed(acme):
    signed_up = (await acme.call("POST", PATH, body(referrer={"code": "RITA", "first_name": "Rita"}), expect=202))[
        "results"
    ][0]
    person = await acme.person(signed_up["person"])
    assert (person["email"], person["crm"], person["crm_cause"], person["state"]) == (
        "friend@example.com",
        "held",
        "no_connection",
        "pending",
    )
    rita = await acme.person(person["referrer"])
    assert rita["counts"] == {"referrals": 1, "qualified": 0}
    changed = await acme.call(
        "PATCH",
        f"/v1/accounts/acme/people/{rita['id']}",
        {"counts": {"referrals": 9, "qualified": 2}, "link": "https://x.example/"},
    )
    assert (changed["counts"], changed["link"]) == ({"referrals": 9, "qualified": 2}, "https://x.example/")
    results = await acme.call(
        "PATCH",
        "/v1/accounts/acme/campaigns/spring/people",
        {"people": [{"person": rita["id"], "code": "RITA2"}, {"person": "ext:none", "link": "https://x.example/"}]},
    )
    assert [bool(one["problems"]) for one in results["results"]] == [False, True]
    page = await acme.call("GET", "/v1/accounts/acme/people?limit=1&role=referrer&q=rita")
    assert [one["code"] for one in page["data"]] == ["RITA2"]
    await acme.call("PATCH", f"/v1/accounts/acme/people/{rita['id']}", {"colour": "red"}, expect=422)
    await acme.call("GET", "/v1/accounts/acme/people/per_none", expect=404)
    await acme.call("GET", "/v1/accounts/acme/people?limit=500", expect=422)
    told = await acme.timeline(signed_up["person"])
    assert [one["kind"] for one in told["entries"]] == ["signup.accepted", "signup.held"]
    csv = await acme.api.get("/v1/accounts/acme/people.csv")
    assert csv.headers["content-type"].startswith("text/csv")
    assert "friend@example.com" in csv.text
    assert (await acme.api.get("/v1/accounts/none/people.csv")).status_code == 404


async def test_the_ledger_of_today_balances(acme):
    await acme.call("POST", PATH, body(), expect=202)
    found = await acme.call("GET", "/v1/ledger?account=acme")
    assert (found["accepted"], found["held"], found["balanced"]) == (1, 1, True)
    await acme.call("GET", "/v1/ledger?account=acme&day=never", expect=422)
    assert (await acme.call("GET", "/v1/ledger"))["balanced"]
