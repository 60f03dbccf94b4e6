"""An account with more campaigns than a list shows: nothing is silently missing."""

import pytest

from gateway.storage import campaigns
from gateway_schemas.campaign import CampaignInput

MANY = 230
LAST = f"c{MANY - 1:03}"


@pytest.fixture
async def many(gateway):
    """The account has so many campaigns, ``c000`` first."""

    async def write(conn):
        for index in range(MANY):
            given = CampaignInput(name=f"Campaign {index:03}", state="live")
            await campaigns.upsert(conn, "acme", f"c{index:03}", given, gateway.services.clock.now())

    await gateway.services.database.writer.run(write)
    return gateway


async def test_every_campaign_is_reached_by_pages_and_found_by_part_of_its_name_or_id(many, browser):
    page = await browser.go("/console/a/acme/campaigns")
    seen = 0
    while True:
        seen += page.text.count("Edit Campaign")
        if not any(text == "More" for text, _ in page.links):
            break
        page = await browser.go(page.link("More"))
    assert seen == MANY
    for words in ("campaign 229", LAST, "229"):
        page = await browser.go(f"/console/a/acme/campaigns?q={words}")
        assert page.text.count("Edit Campaign") == 1
        assert "Campaign 229" in page.text
        assert page.form("Show").value("q") == words
    page = await browser.go("/console/a/acme/campaigns?q=100%25")
    assert "No campaign fits." in page.text


async def test_a_search_of_campaigns_goes_on_with_the_next_page(many, browser):
    page = await browser.go("/console/a/acme/campaigns?q=campaign")
    page = await browser.go(page.link("More"))
    assert page.form("Show").value("q") == "campaign"
    assert "Campaign 050" in page.text


async def test_users_of_a_campaign_beyond_the_choices_are_shown_by_its_name(many, browser):
    body = {"role": "referred", "person": {"email": "fred@example.com", "first_name": "Fred"}, "source": "page"}
    await many.call("POST", f"/v1/accounts/acme/campaigns/{LAST}/signups", body)
    page = await browser.go("/console/a/acme/people")
    assert "Campaign 229" in page.text
    assert LAST not in page.form("Show").options["campaign"]
    assert "Only the first 200 campaigns are offered here." in page.text
    page = await browser.go(page.link("All campaigns"))
    page = await browser.go(f"{page.path}?q=229")
    page = await browser.go(
        next(href for text, href in page.links if (text, "campaign=c229" in href) == ("Users", True))
    )
    assert (page.form("Show").value("campaign"), "Fred" in page.text) == (LAST, True)


async def test_a_campaign_that_is_none_stays_in_the_filter_of_users(many, browser):
    page = await browser.go("/console/a/acme/people?campaign=gone")
    assert page.form("Show").value("campaign") == "gone"


async def test_with_few_campaigns_all_are_offered(gateway, browser):
    await gateway.call("PUT", "/v1/accounts/acme/campaigns/spring", {"name": "Spring", "state": "live"})
    page = await browser.go("/console/a/acme/people")
    assert page.form("Show").options["campaign"] == ["", "spring"]
    assert "are offered here" not in page.text


async def test_the_campaign_to_sync_into_is_reached_by_pages_and_by_search(many, browser):
    page = await browser.go("/console/a/acme/people/sync")
    seen = set()
    while True:
        seen |= {href for _, href in page.links if href.endswith("/sync")}
        if not any(text == "More" for text, _ in page.links):
            break
        page = await browser.go(page.link("More"))
    assert len(seen) == MANY
    page = await browser.go("/console/a/acme/people/sync?q=229")
    assert page.link("Campaign 229").endswith(f"/campaigns/{LAST}/sync")
    page = await browser.go("/console/a/acme/people/sync?q=nothing+of+this+name")
    assert "No campaign fits." in page.text


async def test_the_only_campaign_that_a_search_finds_is_still_asked_for(many, browser):
    """Whoever searches chooses by a click: a wizard that opens by itself would be the wrong one now and then."""
    page = await browser.go("/console/a/acme/people/sync?q=229")
    assert page.path.endswith("/people/sync")
