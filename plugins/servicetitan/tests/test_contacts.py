"""Contacts for a sync: every customer once, in pages that never need more memory than one page of the feed."""

import json
from datetime import timedelta

import pytest

from gateway.sdk.errors import NotSupported
from gateway_schemas.sync import ContactSelection
from gateway_servicetitan import contacts
from gateway_servicetitan.contacts import read_contacts
from plugins.servicetitan.tests.openapi import vendor_documents

ALL = ContactSelection()


async def walk(connection, checkpoint=None, between=None):
    found, pages = [], 0
    while True:
        page = await read_contacts(connection, ALL, checkpoint)
        pages += 1
        found += page.contacts
        checkpoint = page.checkpoint
        if checkpoint is None:
            return found, pages
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
    found, pages = await walk(connection)
    assert [one.ref.id for one in found] == [str(one.id) for one in people]
    assert pages == 3
    assert found[7].fields["email"] == "p7@x.test"


async def test_calls_are_as_documented(sandbox, connection, recorder):
    await walk(connection)
    assert recorder.request_problems(vendor_documents()) == []
    assert recorder.answer_problems(vendor_documents()) == []


async def test_a_large_page_of_the_feed_is_handed_on_in_slices(crowd, monkeypatch):
    monkeypatch.setattr(contacts, "SLICE", 15)
    _, connection, people = crowd
    found, pages = await walk(connection)
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

    found, _ = await walk(connection, between=somebody_changes)
    latest = {one.ref.id: one.fields["name"] for one in found}
    assert latest == {str(one.id): one.name for one in people}


async def test_a_walk_goes_on_where_it_was_cut_off(crowd):
    _, connection, people = crowd
    first = await read_contacts(connection, ALL, None)
    found, _ = await walk(connection, first.checkpoint)
    assert {one.ref.id for one in [*first.contacts, *found]} == {str(one.id) for one in people}


async def test_there_are_no_saved_filters(connection):
    with pytest.raises(NotSupported, match="no saved filters"):
        await read_contacts(connection, ContactSelection(filter="1"), None)


async def test_a_token_that_is_refused_walks_again_from_the_beginning(crowd):
    _, connection, people = crowd
    first = await read_contacts(connection, ALL, None)
    broken = json.dumps({**json.loads(first.checkpoint), "start": "stale-token"})
    found, _ = await walk(connection, broken)
    assert {one.ref.id for one in found} == {str(one.id) for one in people}
