"""Contacts for a sync: every customer once, in pages that never need more memory than one page of the feed."""

import json
from datetime import timedelta

import httpx
import msgspec
import pytest

from gateway.sdk.errors import NotSupported, Rejected, RetryLater
from gateway_schemas.sync import ContactSelection
from gateway_servicetitan import contacts
from gateway_servicetitan.client import ServiceTitan
from gateway_servicetitan.contacts import read_contacts
from gateway_servicetitan.errors import RefusedInput
from gateway_servicetitan.index import RESTARTS
from gateway_servicetitan.manifest import MANIFEST
from gateway_servicetitan.models import Export
from plugins.servicetitan.tests.openapi import vendor_documents

ALL = ContactSelection()


async def walk(connection, checkpoint=None, between=None):
    """Read to the end; return what was read, in how many pages, and where a later walk begins."""
    found, pages = [], 0
    while True:
        page = await read_contacts(connection, ALL, checkpoint)
        pages += 1
        found += page.contacts
        checkpoint = page.checkpoint
        assert (page.resume is None) == (checkpoint is not None)
        if checkpoint is None:
            return found, pages, page.resume
        assert len(checkpoint) < 16_384
        if between is not None:
            between()


@pytest.fixture
def crowd(make_sandbox, connect):
    sandbox = make_sandbox(export_page=40, seed=False)
    sandbox.add_tenant()
    people = [sandbox.add_customer(f"Person {n}", f"p{n}@x.test") for n in range(100)]
    return sandbox, connect(sandbox), people


async def test_every_customer_is_read_once(crowd):
    _, connection, people = crowd
    found, pages, _ = await walk(connection)
    assert [one.ref.id for one in found] == [str(one.id) for one in people]
    assert pages == 3
    assert found[7].fields["email"] == "p7@x.test"


async def test_calls_are_as_documented(sandbox, connection, recorder):
    await walk(connection)
    assert recorder.request_problems(vendor_documents()) == []
    assert recorder.answer_problems(vendor_documents()) == []


async def test_an_export_may_take_as_long_as_the_vendor_takes_at_most(sandbox, connection, recorder):
    await walk(connection)
    waits = {
        one.request.url.path.rpartition("/v2/")[2]: one.request.extensions["timeout"]["read"]
        for one in recorder.exchanges
    }
    exports = [seconds for path, seconds in waits.items() if "/export/" in path]
    others = [seconds for path, seconds in waits.items() if "/export/" not in path]
    assert (len(exports), exports[0]) == (1, 110), "the vendor gives up after 100 seconds"
    assert set(others) == {connection.http._client.timeout.read}
    assert MANIFEST.contact_sync.page_seconds >= 2 * 110


async def test_a_large_page_of_the_feed_is_handed_on_in_slices(crowd, monkeypatch):
    monkeypatch.setattr(contacts, "SLICE", 15)
    _, connection, people = crowd
    found, pages, _ = await walk(connection)
    assert len({one.ref.id for one in found}) == len(people)
    assert pages > 6


async def test_customers_that_change_between_slices_are_neither_lost_nor_stale(crowd, monkeypatch, clock):
    monkeypatch.setattr(contacts, "SLICE", 7)
    sandbox, connection, people = crowd
    turn = iter([*people[:20], *people[60:80]])

    def somebody_changes():
        clock.advance(timedelta(seconds=1))
        one = next(turn, None)
        if one is not None:
            sandbox.edit_customer(one.id, name=f"New {one.id}")

    found, _, resume = await walk(connection, between=somebody_changes)
    # What has changed behind the end of the walk is told by the next one.
    later, _, _ = await walk(connection, resume)
    found += later
    latest = {one.ref.id: one.fields["name"] for one in found}
    assert latest == {str(one.id): one.name for one in people}


async def test_a_walk_goes_on_where_it_was_cut_off(crowd):
    _, connection, people = crowd
    first = await read_contacts(connection, ALL, None)
    found, _, _ = await walk(connection, first.checkpoint)
    assert {one.ref.id for one in [*first.contacts, *found]} == {str(one.id) for one in people}


async def test_there_are_no_saved_filters(connection):
    with pytest.raises(NotSupported, match="no saved filters"):
        await read_contacts(connection, ContactSelection(filter="1"), None)


async def test_a_token_that_is_refused_walks_again_from_the_beginning(crowd):
    _, connection, people = crowd
    first = await read_contacts(connection, ALL, None)
    broken = json.dumps({**json.loads(first.checkpoint), "start": "stale-token"})
    found, _, _ = await walk(connection, broken)
    assert {one.ref.id for one in found} == {str(one.id) for one in people}


async def test_a_later_walk_reads_what_changed_alone(crowd, clock):
    sandbox, connection, people = crowd
    _, _, resume = await walk(connection)
    found, _, resume = await walk(connection, resume)
    clock.advance(timedelta(days=3))
    new = sandbox.add_customer("Nina New", "nina@x.test")
    sandbox.add_contact(people[3].id, "Email", "second@x.test")
    sandbox.merge_customers(people[4].id, people[5].id)
    sandbox.deactivate_customer(people[6].id)
    found, _, resume = await walk(connection, resume)
    told = {one.ref.id: one for one in found}
    assert set(told) == {str(one.id) for one in (new, *people[3:7])}
    assert told[str(people[3].id)].fields["emails"] == ["p3@x.test", "second@x.test"]
    assert (told[str(people[4].id)].state, told[str(people[4].id)].merged_into) == ("merged", str(people[5].id))
    assert told[str(people[6].id)].state == "inactive"
    assert (await walk(connection, resume))[0] == []


async def test_a_walk_through_all_tells_of_merged_and_inactive_customers_by_their_state_alone(crowd, monkeypatch):
    sandbox, connection, people = crowd
    named, really = [], ServiceTitan.all

    async def listing(client, module, path, shape, params=None):
        if path == "customers/contacts":
            named.append(params["customerIds"])
        return await really(client, module, path, shape, params)

    monkeypatch.setattr(ServiceTitan, "all", listing)
    sandbox.merge_customers(people[0].id, people[1].id)
    sandbox.deactivate_customer(people[2].id)
    found, _, _ = await walk(connection)
    told = {one.ref.id: one for one in found}
    merged, survivor, inactive = (told[str(one.id)] for one in people[:3])
    assert len(told) == len(people)
    assert (merged.state, merged.merged_into) == ("merged", str(people[1].id))
    assert (inactive.state, inactive.merged_into) == ("inactive", None)
    assert survivor.fields["emails"] == ["p0@x.test", "p1@x.test"]
    asked = {number for params in named for number in params.split(",")}
    assert asked == {str(one.id) for one in people} - {merged.ref.id, inactive.ref.id}, "nobody needs their addresses"


async def test_a_token_that_is_refused_again_and_again_stops_the_walk_and_says_so(crowd, monkeypatch):
    _, connection, _ = crowd

    async def feed(client, start):
        if start is not None:
            raise RefusedInput("the token is refused", [])
        return Export(continue_from="stale", has_more=True, data=[])

    monkeypatch.setattr(ServiceTitan, "customer_feed", feed)
    with pytest.raises(Rejected, match=f"refused the place .* {RESTARTS} times"):
        await walk(connection)


async def test_a_last_page_without_a_token_still_tells_where_a_later_walk_begins(crowd, monkeypatch, clock):
    sandbox, connection, _ = crowd
    really = ServiceTitan.customer_feed

    async def feed(client, start):
        page = await really(client, start)
        return page if page.has_more else msgspec.structs.replace(page, continue_from=None)

    monkeypatch.setattr(ServiceTitan, "customer_feed", feed)
    found, _, resume = await walk(connection)
    assert len(found) == 100
    clock.advance(timedelta(days=3))
    new = sandbox.add_customer("Nina New", "nina@x.test")
    later, _, _ = await walk(connection, resume)
    assert str(new.id) in {one.ref.id for one in later}


@pytest.mark.parametrize("token", [None, "", "the-same"])
async def test_a_page_that_says_there_is_more_but_not_where_is_read_again_later(connection, monkeypatch, token):
    async def send(self, method, module, path, **kwargs):
        body = json.dumps({"hasMore": True, "continueFrom": token, "data": []})
        return httpx.Response(200, text=body, request=httpx.Request(method, f"https://api.servicetitan.io/{path}"))

    monkeypatch.setattr(ServiceTitan, "send", send)
    with pytest.raises(RetryLater, match="more"):
        await ServiceTitan(connection).customer_feed("the-same")


async def test_an_account_that_hides_its_customers_says_so(sandbox, connection):
    sandbox.take_scope("tn.crm.customers:r")
    with pytest.raises(NotSupported, match="list of contacts"):
        await walk(connection)
