"""Budgets, windows and the Cloudflare page: ``VENDOR.md``, chapter 4."""

import httpx
import pytest


async def test_each_call_costs_tokens_and_says_what_is_left(sandbox, client):
    first = await client.get("/api/v2/persons/search", params={"term": "ada"})
    assert first.headers["x-daily-ratelimit-token-limit"] == "60000"
    assert first.headers["x-daily-ratelimit-token-remaining"] == "59980"
    second = await client.post("/api/v2/persons", json={"name": "New"})
    assert second.headers["x-daily-ratelimit-token-remaining"] == "59975"
    assert [entry.cost for entry in sandbox.requests()] == [20, 5]
    assert sandbox.tokens_spent() == 25


async def test_the_budget_is_per_company_and_anew_each_day(sandbox, client, client_for, clock):
    other = sandbox.demo_company("Other")
    assert sandbox.spend_tokens() == 0
    refused = await client.get("/api/v1/users/me")
    assert refused.status_code == 429
    assert refused.headers["x-daily-ratelimit-token-remaining"] == "0"
    assert int(refused.headers["x-ratelimit-remaining"]) > 0
    async with client_for(sandbox, sandbox.demo.seller.id) as colleague:
        assert (await colleague.get("/api/v1/users/me")).status_code == 429
    async with client_for(sandbox, other.admin.id) as elsewhere:
        assert (await elsewhere.get("/api/v1/users/me")).status_code == 200
    clock.advance(days=1)
    sandbox.expire_tokens()
    async with client_for(sandbox) as tomorrow:
        assert (await tomorrow.get("/api/v1/users/me")).status_code == 200


async def test_a_budget_smaller_than_the_cost_refuses(sandbox, client):
    sandbox.demo.company.daily_budget = 25
    assert (await client.get("/api/v1/users")).status_code == 200
    assert (await client.get("/api/v1/users")).status_code == 429
    assert (await client.get("/api/v1/users/me")).status_code == 200


@pytest.mark.parametrize(("plan", "seats", "tokens"), [("Lite", 1, 30_000), ("Ultimate", 3, 630_000)])
async def test_the_budget_follows_plan_and_seats(make, client_for, plan, seats, tokens):
    sandbox = make(seed=False)
    sandbox.add_company("Big", plan=plan, seats=seats)
    async with client_for(sandbox) as client:
        answer = await client.get("/api/v1/users/me")
    assert answer.headers["x-daily-ratelimit-token-limit"] == str(tokens)


async def test_budget_headers_can_be_missing(make, client_for):
    sandbox = make(budget_headers=False)
    async with client_for(sandbox) as client:
        assert "x-daily-ratelimit-token-remaining" not in (await client.get("/api/v1/users/me")).headers
        sandbox.spend_tokens()
        refused = await client.get("/api/v1/users/me")
    assert refused.status_code == 429
    assert "x-daily-ratelimit-token-remaining" not in refused.headers


async def test_the_burst_window_refuses_and_moves_on(make, client_for, clock):
    sandbox = make(seed=False)
    sandbox.add_company("Small", plan="Lite")
    async with client_for(sandbox) as client:
        statuses = [(await client.get("/api/v1/users/me")).status_code for _ in range(81)]
        assert statuses == [200] * 80 + [429]
        refused = await client.get("/api/v1/users/me")
        assert refused.headers["x-ratelimit-remaining"] == "0"
        assert refused.headers["x-ratelimit-limit"] == "80"
        assert refused.headers["x-ratelimit-reset"] == refused.headers["retry-after"] == "2"
        clock.advance(seconds=2)
        assert (await client.get("/api/v1/users/me")).status_code == 200


async def test_searches_have_a_window_of_ten_of_their_own(sandbox, client, clock):
    async def search():
        return await client.get("/api/v2/persons/search", params={"term": "ada"})

    assert [(await search()).status_code for _ in range(11)] == [200] * 10 + [429]
    assert (await client.get("/api/v2/persons")).status_code == 200
    clock.advance(seconds=2)
    assert (await search()).status_code == 200


async def test_windows_are_per_token(sandbox, client, client_for):
    for _ in range(10):
        await client.get("/api/v2/persons/search", params={"term": "ada"})
    async with client_for(sandbox, sandbox.demo.seller.id) as other:
        assert (await other.get("/api/v2/persons/search", params={"term": "ada"})).status_code == 200


async def test_a_personal_token_has_a_smaller_window(sandbox):
    headers = {"x-api-token": sandbox.demo.admin.api_token}
    async with httpx.AsyncClient(transport=sandbox.transport(), base_url="https://a.test", headers=headers) as client:
        assert (await client.get("/api/v1/users/me")).headers["x-ratelimit-limit"] == "40"


async def test_windows_and_retry_after_can_be_switched_off(make, client_for):
    async with client_for(make(burst=False)) as client:
        for _ in range(30):
            assert (await client.get("/api/v2/persons/search", params={"term": "ada"})).status_code == 200
    async with client_for(make(retry_after=False)) as client:
        answers = [await client.get("/api/v2/persons/search", params={"term": "ada"}) for _ in range(11)]
    assert answers[-1].status_code == 429
    assert "retry-after" not in answers[-1].headers


async def test_ignored_429s_bring_the_cloudflare_page(make, client_for, clock):
    sandbox = make(cloudflare_after=3)
    async with client_for(sandbox) as client:
        sandbox.spend_tokens()
        for _ in range(3):
            assert (await client.get("/api/v1/users/me")).status_code == 429
        blocked = await client.get("/api/v1/users/me")
        assert blocked.status_code == 403
        assert blocked.headers["content-type"].startswith("text/html")
        assert "Cloudflare" in blocked.text
        sandbox.demo.company.tokens_used = 0
        assert (await client.get("/api/v1/users/me")).status_code == 403
        clock.advance(seconds=300)
        assert (await client.get("/api/v1/users/me")).status_code == 200


async def test_failed_calls_cost_tokens_unless_told_otherwise(make, client_for):
    sandbox = make()
    async with client_for(sandbox) as client:
        await client.get("/api/v2/persons/999")
    assert sandbox.demo.company.tokens_used == 1
    free = make(charge_failed=False)
    async with client_for(free) as client:
        await client.get("/api/v2/persons/999")
    assert free.demo.company.tokens_used == 0
