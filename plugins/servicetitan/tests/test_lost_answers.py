"""Never twice: the write of a push loses its answer, and the next attempt finds what the lost one made."""

import pytest

from gateway.sdk.errors import OutcomeUnknown, RetryLater
from gateway_servicetitan.signups import push_signup
from plugins.servicetitan.tests.conftest import EMAIL, SETTLE
from plugins.servicetitan.tests.openapi import vendor_documents

FAULTS = ["lose", "time out", "cut", "server error"]


def strike(sandbox, fault):
    where = {"method": "POST", "match": "/bookings$"}
    if fault == "lose":
        sandbox.lose_answer(**where)
    elif fault == "time out":
        sandbox.lose_answer(**where, timeout=True)
    elif fault == "cut":
        sandbox.cut_answer(**where)
    else:
        sandbox.fail_next(503, **where)


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("duplicates", ["skip", "create"])
@pytest.mark.parametrize("times", [1, 2])
async def test_a_lost_answer_makes_nothing_twice(
    sandbox, connection, make_push, until_done, recorder, fault, duplicates, times
):
    push = make_push(duplicates=duplicates)
    for _ in range(times):
        strike(sandbox, fault)

    result = await until_done(lambda: push_signup(connection, push))
    push.once.next_attempt()
    again = await push_signup(connection, push)

    assert len(sandbox.bookings(EMAIL)) == 1
    assert [one.ref for one in again.records] == [one.ref for one in result.records]
    assert result.records[0].how == "created"
    assert push.once.found == ([] if fault == "server error" else ["booking"])
    assert recorder.request_problems(vendor_documents()) == []


@pytest.mark.parametrize("fault", FAULTS)
async def test_what_moved_on_meanwhile_is_found(sandbox, connection, make_push, clock, fault):
    push = make_push()
    strike(sandbox, fault)
    with pytest.raises(OutcomeUnknown):
        await push_signup(connection, push)
    for booking in sandbox.bookings():
        sandbox.convert_booking(booking.id)
    clock.advance(SETTLE)
    await push_signup(connection, push)
    assert len(sandbox.bookings()) == 1


async def test_a_list_that_lags_for_less_than_the_settling_time_doubles_nobody(
    make_sandbox, connect, make_push, until_done
):
    sandbox = make_sandbox(list_lag=50)
    connection = connect(sandbox)
    push = make_push()
    sandbox.lose_answer(method="POST", match="/bookings$")
    await until_done(lambda: push_signup(connection, push))
    assert len(sandbox.bookings()) == 1


async def test_an_answer_that_cannot_be_read_is_in_doubt(sandbox, connection, make_push, clock):
    push = make_push()
    sandbox.fail_next(200, body="<html>", method="POST", match="/bookings$")
    with pytest.raises(OutcomeUnknown):
        await push_signup(connection, push)
    clock.advance(SETTLE)
    await push_signup(connection, push)
    assert len(sandbox.bookings()) == 1


async def test_a_request_that_never_left_is_simply_sent_again(sandbox, connection, make_push):
    push = make_push()
    sandbox.refuse_connection(method="POST", match="/bookings$")
    with pytest.raises(RetryLater):
        await push_signup(connection, push)
    await push_signup(connection, push)
    assert len(sandbox.bookings()) == 1
    assert push.once.found == []


async def test_a_break_before_the_write_is_no_doubt(sandbox, connection, make_push):
    push = make_push()
    sandbox.lose_answer(method="GET", match="/bookings$")
    with pytest.raises(RetryLater):
        await push_signup(connection, push)
    assert not push.once.doubtful
    await push_signup(connection, push)
    assert len(sandbox.bookings()) == 1
