"""A signup that the CRM has twice is found within a day, and told once."""

from contextlib import AsyncExitStack

import pytest

from gateway.flows.signups import doubles
from gateway.sdk.errors import NotSupported, RetryLater

from .booked import Booked, open_office
from .toys import Vendor


@pytest.fixture
def crm(clock):
    return Booked(clock)


@pytest.fixture
async def office(database_url, database, crm):
    async with AsyncExitStack() as stack:
        office = await open_office(stack, database_url, database.clock, Vendor(), crm)
        await office.connected()
        await office.ready()
        await office.drain()
        yield office


async def told(office, person):
    return [one for one in (await office.timeline(person))["entries"] if one["kind"] == "record.doubled"]


async def test_two_records_with_one_reference_are_told_once(office, crm):
    twice, once = await office.signup("twice@example.com"), await office.signup("once@example.com")
    await office.drain()
    number = next(key for key, one in crm.bookings.items() if one["reference"] == twice)
    crm.bookings["77"] = dict(crm.bookings[number])  # what a process sent that stood still meanwhile
    for _ in range(4):
        await office.later(days=1)
    (entry,) = await told(office, twice)
    assert f"booking {number}, booking 77" in entry["text"]
    assert [one["id"] for one in entry["data"]["records"]] == [number, "77"]
    assert await told(office, once) == []


async def test_each_signup_is_looked_at_for_two_days_and_not_for_ever(office, crm):
    person = await office.signup()
    await office.drain()
    for _ in range(6):
        await office.later(days=1)
    asked = [about for what, about in crm.calls if what == "reference"]
    assert set(asked) == {person}
    assert 1 <= len(asked) <= 3


async def test_many_are_looked_at_in_pieces_and_a_wait_loses_none(office, crm, monkeypatch):
    monkeypatch.setattr(doubles, "LINKS_AT_ONCE", 3)
    monkeypatch.setattr(doubles, "PEOPLE_AT_ONCE", 2)
    people = []
    for number in range(7):
        people.append(await office.signup(f"p{number}@example.com"))
        await office.drain()
    crm.errors["reference"] = [RetryLater("not now", after_seconds=30, lane_wide=False)]
    await office.later(days=1)
    await office.later(minutes=2)
    assert {about for what, about in crm.calls if what == "reference"} == set(people)


async def test_an_account_that_cannot_be_searched_is_left_alone(office, crm):
    await office.signup()
    await office.drain()
    crm.errors["reference"] = [NotSupported("not here")] * 9
    await office.later(days=1)
    assert 1 <= sum(1 for what, _ in crm.calls if what == "reference") <= 2
