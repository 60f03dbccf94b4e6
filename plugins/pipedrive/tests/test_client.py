"""The client against fixed answers: paging, costs, envelopes, and answers that cannot be read."""

import json
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import httpx
import pytest
import structlog

from gateway.sdk.connection import Connection
from gateway.sdk.errors import Misconfigured, OutcomeUnknown, ReauthRequired, RecordGone, Rejected, RetryLater
from gateway.sdk.http import VendorHttp
from gateway_pipedrive.client import SEARCHES, Pipedrive
from gateway_pipedrive.settings import PipedriveSettings
from gateway_pipedrive.wire import base_url

FIXTURES = Path(__file__).parent / "fixtures"
BASE = "https://acme.pipedrive.com"


def fixture(name):
    return json.loads((FIXTURES / f"{name}.json").read_text())


class Costs:
    """A meter that notes what each call costs."""

    def __init__(self):
        self.before_calls = []
        self.windows = []

    async def before(self, cost, *, window=None):
        self.before_calls.append(cost)
        self.windows.append(window)

    def after(self, response, cost):
        return None


@pytest.fixture
def costs():
    return Costs()


def make(properties=None, api_url=None, costs=None):
    return Connection(
        id="con_1",
        account_id="acme",
        integration="pipedrive",
        identity="1",
        user="1",
        properties={"api_domain": BASE} if properties is None else properties,
        granted=frozenset(),
        settings=PipedriveSettings(client_id="cid", client_secret="sec", api_url=api_url),
        credentials={},
        inbound_secret="s",
        currency="EUR",
        country=None,
        http=VendorHttp(httpx.AsyncClient(), meter=costs),
        host=None,
        now=lambda: datetime(2026, 11, 21, tzinfo=UTC),
        log=structlog.get_logger(),
    )


@pytest.fixture
def client(costs):
    return Pipedrive(make(costs=costs))


async def test_a_v2_list_is_walked_by_cursor_at_the_largest_page(client, httpx_mock, costs):
    httpx_mock.add_response(url=f"{BASE}/api/v2/persons?limit=500&filter_id=5", json=fixture("persons_page_1"))
    httpx_mock.add_response(
        url=f"{BASE}/api/v2/persons?limit=500&filter_id=5&cursor=eyJ1", json=fixture("persons_page_2")
    )
    found = [one async for page in client.persons(filter_id=5) for one in page]
    assert [one.id for one in found] == [1092, 1093]
    assert found[0].has_email(frozenset({"jane@x.test"}))
    assert costs.before_calls == [10, 10]


async def test_leads_are_walked_by_counting_on_and_a_missing_block_is_the_end(client, httpx_mock, costs):
    httpx_mock.add_response(url=f"{BASE}/api/v1/leads?limit=500&start=0&person_id=1092", json=fixture("leads_page_1"))
    httpx_mock.add_response(url=f"{BASE}/api/v1/leads?limit=500&start=500&person_id=1092", json=fixture("leads_page_2"))
    found = [one async for page in client.leads("1092", archived=False) for one in page]
    assert [one.core.origin_id for one in found] == ["ref-ABC123", "ref-ABC123"]
    assert found[0].core.value.amount == Decimal(999)
    assert costs.before_calls == [20, 20]


@pytest.mark.parametrize("nested", [False, True])
async def test_pages_smaller_than_asked_for_are_walked_without_a_gap(client, httpx_mock, nested):
    # The vendor may give less than was asked; what it says it gave is counted on.
    row = fixture("leads_page_1")["data"][0]
    block = {"start": 0, "limit": 1, "more_items_in_collection": True}
    answers = [{"pagination": block} if nested else block, {}]
    for start, additional in enumerate(answers):
        httpx_mock.add_response(
            url=f"{BASE}/api/v1/leads?limit=500&start={start}&person_id=1092",
            json={"success": True, "data": [row], "additional_data": additional},
        )
    assert len([one async for page in client.leads("1092", archived=False) for one in page]) == 2


@pytest.mark.parametrize("read", ["person", "deal", "lead", "note"])
async def test_a_403_for_one_record_means_that_it_is_not_visible(client, httpx_mock, read):
    # Chapter 3: both 403 and 404 may say so; but a missing scope is no property of the record.
    httpx_mock.add_response(status_code=403, json={"success": False, "error": "You do not have permissions"})
    assert await getattr(client, read)("1") is None
    httpx_mock.add_response(status_code=403, json={"success": False, "error": "Scope and URL mismatch"})
    with pytest.raises(Rejected):
        await getattr(client, read)("1")


async def test_notes_are_walked_by_next_start_and_null_is_no_rows(client, httpx_mock):
    httpx_mock.add_response(url=f"{BASE}/api/v1/notes?limit=500&start=0&lead_id=adf", json=fixture("notes_page_1"))
    httpx_mock.add_response(url=f"{BASE}/api/v1/notes?limit=500&start=500&lead_id=adf", json=fixture("notes_page_2"))
    assert [one.id async for page in client.notes(lead_id="adf") for one in page] == [1]


async def test_a_deal_is_read_with_the_lead_that_it_came_from(client, httpx_mock, costs):
    httpx_mock.add_response(
        url=f"{BASE}/api/v2/deals/33?include_fields=source_lead_id%2Cfirst_won_time", json=fixture("deal")
    )
    deal = await client.deal("33")
    assert (deal.source_lead_id, deal.value) == ("adf21080-0e10-11eb-879b-05d71fb426ec", Decimal("999.9"))
    assert costs.before_calls == [1]


async def test_a_search_asks_exactly_and_returns_ids(client, httpx_mock, costs):
    httpx_mock.add_response(
        url=f"{BASE}/api/v2/persons/search?term=jane%40x.test&fields=email&exact_match=true&limit=100",
        json=fixture("persons_search"),
    )
    assert await client.search_persons("jane@x.test") == [1092]
    assert costs.before_calls == [20]
    # Only searches count in the narrower window.
    assert costs.windows == [SEARCHES]
    httpx_mock.add_response(url=f"{BASE}/api/v1/users/me", json=fixture("users_me"))
    await client.me()
    assert costs.windows == [SEARCHES, None]


async def test_who_we_are(client, httpx_mock):
    httpx_mock.add_response(url=f"{BASE}/api/v1/users/me", json=fixture("users_me"))
    me = await client.me()
    assert (me.id, me.company_id, me.default_currency) == (12415231, 54235233, "EUR")


async def test_a_201_is_as_good_as_a_200(client, httpx_mock):
    httpx_mock.add_response(status_code=201, json={"success": True, "data": {"id": "adf"}})
    assert await client.create_lead({"title": "T", "person_id": 1}) == "adf"
    request = httpx_mock.get_request()
    assert json.loads(request.content) == {"title": "T", "person_id": 1}


@pytest.mark.parametrize(
    "body", [b"", b'{"success": true, "data": {"id"', b"<html>", b'{"success": true, "data": null}']
)
async def test_a_good_status_with_an_unreadable_answer_leaves_a_write_in_doubt(client, httpx_mock, body):
    httpx_mock.add_response(status_code=200, content=body)
    with pytest.raises(OutcomeUnknown):
        await client.create_person({"name": "Jane"})


async def test_a_read_with_an_unreadable_answer_is_tried_again(client, httpx_mock):
    httpx_mock.add_response(status_code=200, content=b"{")
    with pytest.raises(RetryLater):
        await client.me()


@pytest.mark.parametrize(
    ("status", "read", "write"),
    [
        (401, ReauthRequired, ReauthRequired),
        (404, None, RecordGone),
        (500, RetryLater, OutcomeUnknown),
        (503, RetryLater, OutcomeUnknown),
    ],
)
async def test_a_server_error_leaves_doubt_about_writes_only(client, httpx_mock, status, read, write):
    httpx_mock.add_response(status_code=status, json={"success": False, "error": "no"})
    httpx_mock.add_response(status_code=status, json={"success": False, "error": "no"})
    if read is None:
        assert await client.person("1") is None
    else:
        with pytest.raises(read):
            await client.person("1")
    with pytest.raises(write):
        await client.update_person("1", {"name": "Jane"})


async def test_a_webhook_that_is_gone_is_deleted_already(client, httpx_mock):
    httpx_mock.add_response(
        status_code=404, json={"status": "error", "success": False, "errors": {"id": ["not found"]}}
    )
    await client.delete_webhook(5)


@pytest.mark.parametrize("domain", ["https://acme.pipedrive.com", "https://acme.pipedrive.com/"])
def test_the_api_is_where_the_token_said(domain):
    assert base_url(make({"api_domain": domain})) == "https://acme.pipedrive.com"


@pytest.mark.parametrize(
    "domain",
    [
        "",
        "http://acme.pipedrive.com",
        "https://pipedrive.com.evil.test",
        "https://evilpipedrive.com",
        "https://a@acme.pipedrive.com",
        "https://acme.pipedrive.com/path",
    ],
)
def test_another_place_is_refused(domain):
    with pytest.raises(Misconfigured):
        base_url(make({"api_domain": domain}))


def test_a_setting_overrides_it_for_a_sandbox():
    assert base_url(make(api_url="http://127.0.0.1:8765")) == "http://127.0.0.1:8765"


def test_settings_do_not_show_the_secret():
    assert "hidden-one" not in repr(PipedriveSettings(client_id="cid", client_secret="hidden-one"))
