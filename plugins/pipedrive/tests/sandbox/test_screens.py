"""The page for people who try the gateway by hand."""

import httpx
import pytest


@pytest.fixture
async def browser(sandbox):
    transport = sandbox.transport()
    async with httpx.AsyncClient(transport=transport, base_url="http://sandbox.test", follow_redirects=True) as made:
        yield made


async def test_the_page_shows_records_escaped(sandbox, browser, client):
    sandbox.add_lead("<b>Lead</b>", person_id=1)
    sandbox.add_deal("Deal", person_id=1, value=12.5)
    await client.get("/api/v2/persons")
    page = (await browser.get("/")).text
    assert "&lt;b&gt;Lead" in page
    assert "<b>Lead" not in page
    assert "12.5 EUR" in page
    assert "ada@customer.test" in page
    assert "/api/v2/persons" in page


async def test_buttons_convert_move_value_and_win(sandbox, browser):
    lead = sandbox.add_lead("Lead", person_id=1)
    company = sandbox.demo.company.id

    async def press(action, record, **more):
        return await browser.post(f"/_screen/{action}", data={"company": company, "record": record, **more})

    assert (await press("convert", lead.id, stage=2)).status_code == 200
    (deal,) = sandbox.demo.company.deals.values()
    await press("move", deal.id, stage=4)
    await press("value", deal.id, value="300")
    await press("won", deal.id)
    assert (deal.stage_id, deal.value, deal.status, deal.source_lead_id) == (4, 300, "won", lead.id)
    await press("open", deal.id)
    assert deal.status == "open"
    await press("lost", deal.id)
    assert deal.status == "lost"
    assert (await press("sell", deal.id)).status_code == 400
    assert (await press("move", deal.id, stage=99)).status_code == 400
