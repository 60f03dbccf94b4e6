"""Feeds of changed bookings and jobs: nothing is skipped, whatever happens between two pages."""

import json
from datetime import timedelta

import pytest

from gateway.sdk.errors import NotSupported, ReauthRequired
from gateway_servicetitan import polling
from gateway_servicetitan.polling import poll
from gateway_servicetitan.signups import push_signup
from plugins.servicetitan.tests.conftest import EMAIL
from plugins.servicetitan.tests.openapi import vendor_documents


async def walk(connection, feed, checkpoint=None, between=None):
    """Read a feed to its end; ``between`` happens after each page."""
    changes = []
    while True:
        page = await poll(connection, feed, checkpoint)
        changes += page.changes
        checkpoint = page.checkpoint
        if not page.more:
            return changes, checkpoint
        if between is not None:
            between()


@pytest.fixture
def small_pages(monkeypatch):
    monkeypatch.setattr(polling, "PAGE_ROWS", 2)


async def sign_up(connection, make_push, number):
    email = f"p{number}@x.test"
    await push_signup(connection, make_push({"email": email}, email=email, reference=f"per_{number:026d}"))


async def test_a_new_booking_and_its_job_are_told(sandbox, connection, make_push, recorder, clock):
    await sign_up(connection, make_push, 1)
    changes, checkpoint = await walk(connection, "bookings")
    assert [(one.ref.kind, one.record.state) for one in changes] == [("booking", "new")]
    clock.advance(timedelta(minutes=10))
    job = sandbox.convert_booking(sandbox.bookings()[0].id)
    changes, _ = await walk(connection, "bookings", checkpoint)
    assert [one.record.state for one in changes] == ["converted"]
    changes, _ = await walk(connection, "jobs")
    assert [(one.ref.id, one.origin.kind) for one in changes] == [(str(job.id), "booking")]
    assert recorder.request_problems(vendor_documents()) == []
    assert recorder.answer_problems(vendor_documents()) == []


async def test_jobs_that_came_of_no_booking_are_passed_over(sandbox, connection):
    sandbox.book_by_hand(sandbox.demo.customers[0].id)
    assert (await walk(connection, "jobs"))[0] == []


async def test_a_completed_job_is_a_hint_since_its_invoices_are_read_with_it(sandbox, connection, make_push):
    await sign_up(connection, make_push, 1)
    job = sandbox.convert_booking(sandbox.bookings()[0].id)
    sandbox.set_job_status(job.id, "Completed")
    ((change,), _) = await walk(connection, "jobs")
    assert change.record is None
    assert ("status", "Completed") in {(one.name, one.value) for one in change.facts}


async def test_an_empty_walk_moves_nothing_and_the_next_one_overlaps(sandbox, connection, make_push, clock):
    _, checkpoint = await walk(connection, "bookings")
    clock.advance(timedelta(days=2))
    assert (await walk(connection, "bookings", checkpoint))[1] == checkpoint
    await sign_up(connection, make_push, 1)
    changes, checkpoint = await walk(connection, "bookings", checkpoint)
    assert len(changes) == 1
    # Begins again five minutes before the newest change that was seen.
    since = json.loads(checkpoint)["since"]
    assert since.startswith((clock() - timedelta(minutes=5)).strftime("%Y-%m-%dT%H:%M"))


@pytest.mark.parametrize("honours_sort", [True, False])
async def test_records_that_change_during_a_walk_hide_no_others(
    make_sandbox, connect, make_push, clock, small_pages, honours_sort
):
    sandbox = make_sandbox(honours_sort=honours_sort)
    connection = connect(sandbox)
    for number in range(9):
        await sign_up(connection, make_push, number)
        clock.advance(timedelta(seconds=1))
    waiting = sandbox.bookings()

    def somebody_is_booked():
        clock.advance(timedelta(seconds=1))
        if waiting:
            sandbox.convert_booking(waiting.pop(len(waiting) // 2).id)

    changes, checkpoint = await walk(connection, "bookings", between=somebody_is_booked)
    # What has changed since the first page was read is at the front of the next walk.
    later, _ = await walk(connection, "bookings", checkpoint)
    latest = {one.ref.id: one.record.state for one in [*changes, *later]}
    assert latest == {str(one.id): "converted" if one.job else "new" for one in sandbox.bookings()}


async def test_many_changes_at_one_moment_are_all_told(sandbox, connection, make_push, small_pages):
    for number in range(7):
        await sign_up(connection, make_push, number)
    assert len({one.ref.id for one in (await walk(connection, "bookings"))[0]}) == 7


async def test_bookings_of_other_providers_are_not_ours(sandbox, connection, make_push):
    await push_signup(connection, make_push())
    sandbox.bookings(EMAIL)[0].provider = sandbox.demo.other_provider.id
    assert (await walk(connection, "bookings"))[0] == []


async def test_a_walk_goes_on_where_it_was_cut_off(sandbox, connection, make_push, small_pages):
    for number in range(5):
        await sign_up(connection, make_push, number)
    first = await poll(connection, "bookings", None)
    assert first.more
    rest, _ = await walk(connection, "bookings", first.checkpoint)
    assert len({one.ref.id for one in [*first.changes, *rest]}) == 5


async def test_a_checkpoint_that_cannot_be_read_begins_anew(sandbox, connection, make_push):
    await sign_up(connection, make_push, 1)
    assert len((await walk(connection, "bookings", "not ours"))[0]) == 1


async def test_a_forbidden_feed_asks_for_authorisation(sandbox, connection):
    sandbox.take_scope("tn.crm.bookings:r")
    with pytest.raises(ReauthRequired):
        await poll(connection, "bookings", None)


async def test_there_is_no_other_feed(connection):
    with pytest.raises(NotSupported):
        await poll(connection, "invoices", None)
