"""Feeds: windows that are resumed at each page while records change, never losing one."""

import json
from datetime import timedelta

import pytest

from gateway.sdk.errors import NotSupported, RetryLater
from gateway_pipedrive import wire
from gateway_pipedrive.polling import poll
from gateway_schemas.records import RecordRef
from plugins.pipedrive.tests.openapi import vendor_documents


@pytest.fixture(autouse=True)
def small_pages(monkeypatch):
    monkeypatch.setattr(wire, "PAGE", 3)


@pytest.fixture
def person(sandbox):
    return sandbox.add_person("Fiona Friend", "fiona@friends.test")


async def walk(connection, feed="deals", checkpoint=None, between=lambda: None):
    """Poll until there is no more; return what was seen and the last checkpoint."""
    seen = []
    while True:
        page = await poll(connection, feed, checkpoint)
        checkpoint = page.checkpoint
        assert len(checkpoint) < 16_384
        seen += page.changes
        if not page.more:
            return seen, checkpoint
        between()


def ids(changes):
    return [int(one.ref.id) for one in changes]


async def test_a_fresh_feed_starts_a_little_before_now(sandbox, connection, person, clock):
    old = sandbox.add_deal("Old", person_id=person.id)
    clock.advance(timedelta(minutes=30))
    recent = sandbox.add_deal("Recent", person_id=person.id)
    clock.advance(timedelta(minutes=1))
    seen, _ = await walk(connection)
    assert ids(seen) == [recent.id]
    assert old.id not in ids(seen)


async def test_a_change_is_as_good_as_reading_the_record(sandbox, connection, person, recorder, clock):
    lead = sandbox.add_lead("Spring", person_id=person.id)
    deal = sandbox.convert_lead(lead.id)
    sandbox.win_deal(deal.id)
    clock.advance(timedelta(seconds=1))
    (change,), _ = await walk(connection)
    assert change.record is not None
    assert change.record.state == "won"
    assert change.origin == RecordRef(kind="lead", id=lead.id)
    assert change.contact == RecordRef(kind="contact", id=str(person.id))
    assert {one.name for one in change.facts} == {"converted", "stage", "won"}
    assert recorder.request_problems(vendor_documents()) == []


async def test_many_pages_are_walked_in_one_window(sandbox, connection, person, clock):
    deals = [sandbox.add_deal(str(number), person_id=person.id) for number in range(10)]
    clock.advance(timedelta(seconds=1))
    seen, checkpoint = await walk(connection)
    assert ids(seen) == [one.id for one in deals]
    assert set(json.loads(checkpoint)) == {"since"}


@pytest.mark.parametrize("cut_at", [0, 1, 2, 3])
async def test_a_walk_that_was_cut_off_goes_on_at_its_page(sandbox, connection, person, clock, cut_at):
    deals = [sandbox.add_deal(str(number), person_id=person.id) for number in range(10)]
    clock.advance(timedelta(seconds=1))
    seen, checkpoint, more = [], None, True
    for _ in range(cut_at):
        page = await poll(connection, "deals", checkpoint)
        seen, checkpoint, more = seen + page.changes, page.checkpoint, page.more
    sandbox.fail_next(500, match="/deals")
    with pytest.raises(RetryLater):
        await poll(connection, "deals", checkpoint)
    clock.advance(timedelta(minutes=20))
    while more:
        page = await poll(connection, "deals", checkpoint)
        seen, checkpoint, more = seen + page.changes, page.checkpoint, page.more
    if cut_at:
        assert ids(seen) == [one.id for one in deals]
    else:  # nothing was stored yet: the feed starts a little before now
        assert seen == []


async def test_what_changes_during_the_walk_is_seen_in_its_newest_state(sandbox, connection, person, clock):
    deals = [sandbox.add_deal(str(number), person_id=person.id) for number in range(9)]
    clock.advance(timedelta(seconds=30))
    turn = iter(deals)

    def change():
        clock.advance(timedelta(seconds=1))
        sandbox.win_deal(next(turn).id)
        sandbox.win_deal(deals[-1].id)

    first, checkpoint = await walk(connection, between=change)
    clock.advance(timedelta(minutes=5))
    second, _ = await walk(connection, checkpoint=checkpoint)
    newest = {one.ref.id: one.record.state for one in first + second}
    assert newest == {str(one.id): one.status for one in deals}
    assert set(ids(first + second)) == {one.id for one in deals}


async def test_windows_overlap_for_equal_times_and_clocks_that_differ(sandbox, connection, person, clock):
    clock.advance(timedelta(seconds=1))
    _, checkpoint = await walk(connection)
    # The vendor's clock is half a minute behind ours: the change carries a time before the window's end.
    late = sandbox.add_deal("Late", person_id=person.id)
    late.update_time -= timedelta(seconds=30)
    clock.advance(timedelta(minutes=15))
    seen, _ = await walk(connection, checkpoint=checkpoint)
    assert ids(seen) == [late.id]


async def test_nothing_is_lost_over_a_long_outage(sandbox, connection, person, clock):
    clock.advance(timedelta(seconds=1))
    _, checkpoint = await walk(connection)
    deals = []
    for number in range(8):
        clock.advance(timedelta(minutes=5))
        deals.append(sandbox.add_deal(str(number), person_id=person.id))
    clock.advance(timedelta(minutes=5))
    seen, _ = await walk(connection, checkpoint=checkpoint)
    assert ids(seen) == [one.id for one in deals]


async def test_deleted_deals_are_told(sandbox, connection, person, clock):
    deal = sandbox.add_deal("Spring", person_id=person.id)
    sandbox.delete_deal(deal.id)
    clock.advance(timedelta(seconds=1))
    (change,), _ = await walk(connection)
    assert change.deleted
    assert change.record.state == "deleted"


async def test_archived_deals_have_a_feed_of_their_own(sandbox, connection, person, clock, recorder):
    deal = sandbox.add_deal("Spring", person_id=person.id)
    sandbox.archive_deal(deal.id)
    clock.advance(timedelta(seconds=1))
    assert (await walk(connection))[0] == []
    seen, _ = await walk(connection, feed="deals_archived")
    assert [one.record.state for one in seen] == ["archived"]
    assert recorder.request_problems(vendor_documents()) == []


async def test_a_cursor_that_is_refused_walks_the_window_again(sandbox, connection, person, clock):
    deals = [sandbox.add_deal(str(number), person_id=person.id) for number in range(5)]
    clock.advance(timedelta(seconds=1))
    page = await poll(connection, "deals", None)
    stale = json.dumps({**json.loads(page.checkpoint), "cursor": "expired"})
    seen, _ = await walk(connection, checkpoint=stale)
    assert ids(seen) == [one.id for one in deals]


@pytest.mark.parametrize("checkpoint", ["", "no json", "[]", '{"since": 5}'])
async def test_a_checkpoint_that_cannot_be_read_starts_anew(sandbox, connection, person, clock, checkpoint):
    deal = sandbox.add_deal("Spring", person_id=person.id)
    clock.advance(timedelta(seconds=1))
    seen, _ = await walk(connection, checkpoint=checkpoint)
    assert ids(seen) == [deal.id]


async def test_there_are_no_other_feeds(connection):
    with pytest.raises(NotSupported):
        await poll(connection, "jobs", None)
