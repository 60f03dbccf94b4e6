"""``push.once`` for tests of a plugin alone keeps the gateway's rules."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from gateway.sdk.connection import PushedRecord
from gateway.sdk.errors import OutcomeUnknown, Rejected, StepNamedTwice
from gateway.testing.once import Once
from gateway_schemas.records import RecordRef


@pytest.fixture
def once():
    return Once(lambda: datetime(2026, 11, 21, tzinfo=UTC), timedelta(0))


def record(number):
    return PushedRecord(ref=RecordRef(kind="line", id=str(number)), how="created")


async def nothing(_began):
    return None


def making(number, error=None):
    async def create():
        if error is not None:
            raise error
        return record(number)

    return create


async def test_two_records_of_one_name_are_refused(once):
    await once("line", find=nothing, create=making(1))
    with pytest.raises(StepNamedTwice, match=r"'line'.* a name of its own"):
        await once("line", find=nothing, create=making(2))


async def test_two_records_of_one_name_side_by_side_are_refused(once):
    made = await asyncio.gather(
        *(once("line", find=nothing, create=making(number)) for number in (1, 2)), return_exceptions=True
    )
    assert [type(one) for one in made] == [PushedRecord, StepNamedTwice]


async def test_the_next_attempt_passes_what_is_done(once):
    await once("line_1", find=nothing, create=making(1))
    with pytest.raises(OutcomeUnknown):
        await once("line_2", find=nothing, create=making(2, OutcomeUnknown("no answer")))
    assert await once("line_1", find=nothing, create=making(9)) == record(1)
    once.next_attempt()
    assert await once("line_1", find=nothing, create=making(9)) == record(1)


async def test_what_was_refused_may_be_tried_again(once):
    with pytest.raises(Rejected):
        await once("line", find=nothing, create=making(1, Rejected("too long")))
    assert await once("line", find=nothing, create=making(2)) == record(2)
