"""A booking becomes a job, the job reaches a status: by feed, by hints for the app, and by the sweep, once."""

from contextlib import AsyncExitStack
from datetime import timedelta

import msgspec
import pytest

from gateway_schemas.records import Fact, RecordRef

from .booked import Booked, eur, open_office
from .toys import Vendor

TENTH = {"kind": "percentage", "percent": "10", "hold_days": 14}


@pytest.fixture
def crm(clock):
    return Booked(clock)


@pytest.fixture
async def office(database_url, database, crm):
    async with AsyncExitStack() as stack:
        office = await open_office(stack, database_url, database.clock, Vendor(), crm)
        office.connection_id = await office.connected()
        await office.drain()
        yield office


def status(value, **more):
    return {"trigger": "job_status", "parameters": {"status": value}, **more}


async def booked(office, **changes):
    """Have a setup and one signup with its booking; returns the person."""
    await office.ready(**changes)
    person = await office.signup(referrer={"external_id": "r1", "email": "rita@example.com", "first_name": "Rita"})
    await office.drain()
    return person


async def state(office, person):
    return (await office.person(person))["state"]


async def qualified(office):
    return (await office.events("referral.")).count("referral.qualified")


async def test_a_booking_that_becomes_a_job_qualifies(office, crm):
    person = await booked(office, qualification={"trigger": "booking_to_job"})
    assert await state(office, person) == "pending"
    why = await office.why(person)
    assert "Booking 1 is open; no job made from it has been found yet." in why["note"]
    crm.convert(1, 8001)
    await office.later(minutes=6)
    assert await state(office, person) == "qualified"
    why = await office.why(person)
    assert why["conditions"][0]["evidence"].startswith("job 8001: job")
    assert "made from it" not in (why["note"] or "")


async def test_a_dismissed_booking_says_why_it_has_not_qualified(office, crm):
    person = await booked(office, qualification={"trigger": "booking_to_job"})
    crm.dismiss(1, "It was dismissed in the CRM: wrong number.")
    await office.later(minutes=6)
    why = await office.why(person)
    assert why["qualified"] is False
    assert "Booking 1 is dismissed; no job made from it has been found yet." in why["note"]
    assert "wrong number" in why["note"]
    crm.convert(1, 8001)  # somebody books it all the same
    await office.later(minutes=6)
    assert await state(office, person) == "qualified"
    assert "dismissed" not in ((await office.why(person))["note"] or "")


@pytest.mark.parametrize(
    ("rule", "seen", "qualifies"),
    [
        ("InProgress", "Scheduled", False),
        ("InProgress", "InProgress", True),
        ("InProgress", "Completed", True),
        ("InProgress", "Hold", False),
        ("InProgress", "Canceled", False),
        ("Hold", "Hold", True),
        ("Hold", "Completed", False),
        ("Scheduled", "Completed", True),
        ("Completed", "Dispatched", False),
        ("Canceled", "Completed", False),
    ],
)
async def test_a_status_counts_when_it_is_reached_or_provably_passed_and_others_exactly(
    office, crm, rule, seen, qualifies
):
    person = await booked(office, qualification=status(rule, reverse="never"))
    crm.convert(1, 8001, status=seen)
    await office.later(minutes=6)
    assert await state(office, person) == ("qualified" if qualifies else "pending")
    if qualifies and rule != seen:
        assert f"status {seen}, which comes later" in str((await office.why(person))["conditions"])


async def test_a_status_may_be_asked_for_exactly(office, crm):
    person = await booked(office, qualification=status("Dispatched", match="exactly"))
    crm.convert(1, 8001, status="Completed")
    await office.later(minutes=6)
    assert await state(office, person) == "pending"
    crm.set_job(8001, "Dispatched")
    await office.later(minutes=6)
    assert await state(office, person) == "qualified"


async def test_a_status_that_only_the_feed_has_seen_counts(office, crm):
    person = await booked(office, qualification=status("InProgress"))
    crm.convert(1, 8001)
    await office.later(minutes=6)
    job = RecordRef(kind="job", id="8001")
    crm._changed(job, facts=[Fact(name="status", value="InProgress")])  # its history tells what it has been
    crm.set_job(8001, "Hold")
    await office.later(minutes=6)
    assert await state(office, person) == "qualified"


async def test_a_canceled_job_takes_it_back_and_another_job_of_the_booking_counts(office, crm):
    person = await booked(office, qualification=status("Completed", reverse="until_issued"))
    crm.convert(1, 8001, status="Completed")
    await office.later(minutes=6)
    assert await state(office, person) == "qualified"
    crm.set_job(8001, "Canceled")
    await office.later(minutes=6)
    assert await state(office, person) == "disqualified"
    origin = RecordRef(kind="booking", id="1")
    crm.jobs["8002"] = msgspec.structs.replace(crm.jobs["8001"], ref=RecordRef(kind="job", id="8002"), origin=origin)
    crm.set_job(8002, "Completed")
    await office.later(minutes=6)
    assert await state(office, person) == "qualified"
    assert (await office.row(person)).qualified_by["record"]["id"] == "8002"


# --- the value --------------------------------------------------------------------------------------------


async def test_the_value_is_taken_at_completion_and_corrections_are_told(office, crm):
    person = await booked(
        office,
        rewards=[TENTH],
        qualification={"trigger": "booking_to_job"},
        sale_value={"record_kind": "job", "field": "total"},
    )
    crm.convert(1, 8001, fields={"total": eur(0), "invoice_total": eur(1)})
    await office.later(minutes=6)
    (reward,) = await office.rewards(person)
    assert (reward.state, reward.held_reason) == ("held", "awaiting_sale")
    crm.set_job(8001, "InProgress", fields={"total": eur(99)})
    await office.later(minutes=6)
    assert await office.sales(person) == [], "a total is not final before completion"
    assert "not final yet" in (await office.why(person))["note"]
    crm.set_job(8001, "Completed", fields={"total": eur(450)})
    await office.later(minutes=6)
    assert await office.sales(person) == [("450", "EUR")]
    (reward,) = await office.rewards(person)
    assert (reward.state, reward.held_reason, f"{reward.amount:f}") == ("held", "hold_period", "45.00")
    crm.set_job(8001, "Completed", fields={"total": eur("500.10")})
    await office.later(minutes=6)
    (reward,) = await office.rewards(person)
    assert f"{reward.amount:f}" == "50.01"
    assert await office.events("sale.") == ["sale.recorded", "sale.updated"]
    await office.later(days=15)
    crm.set_job(8001, "Completed", fields={"total": eur(9000)})
    await office.later(minutes=6)
    (reward,) = await office.rewards(person)
    assert (reward.state, f"{reward.amount:f}") == ("due", "50.01")


async def test_the_value_of_another_record_may_stand_on_the_job(office, crm):
    person = await booked(
        office, qualification=status("Completed"), sale_value={"record_kind": "job", "field": "invoice_total"}
    )
    crm.convert(1, 8001, status="Completed", fields={"total": eur(450), "invoice_total": eur("405.50")})
    await office.later(minutes=6)
    assert await office.sales(person) == [("405.50", "EUR")]


# --- hints for the app ------------------------------------------------------------------------------------


async def test_a_hint_for_the_app_is_followed_at_once_by_the_tenant_that_it_concerns(office, crm):
    person = await booked(office, qualification={"trigger": "booking_to_job"})
    crm.convert(1, 8001)
    crm.changes.clear()
    refs = [["job", "8001"], ["booking", "1"]]
    assert await office.hint({"tenant": "78", "refs": refs}) == 200, (
        "a tenant that nobody knows is answered all the same"
    )
    await office.drain()
    assert await state(office, person) == "pending"
    assert await office.hint({"tenant": "77", "refs": refs}, message="m2", proof="wrong") == 401
    assert await office.hint({"tenant": "77", "refs": refs}, message="m2") == 200
    await office.drain()
    assert await state(office, person) == "qualified"


async def test_one_message_is_followed_once_whatever_its_body_says_of_its_delivery(office, crm):
    await booked(office, qualification={"trigger": "booking_to_job"})
    for attempt in range(3):
        hint = {"tenant": "77", "refs": [["booking", "1"]], "attempt": attempt}
        assert await office.hint(hint, message="the same") == 200
    before = crm.count("read")
    await office.drain()
    assert crm.count("read") == before + 1


async def test_hints_of_one_tenant_are_followed_together_each_record_once(office, crm):
    await booked(office, qualification={"trigger": "booking_to_job"})
    for number in range(20):
        refs = [["booking", "1"], ["job", str(9000 + number)], ["booking", "of nobody"]]
        await office.hint({"tenant": "77", "refs": refs}, message=f"m{number}")
    before = crm.count("read")
    await office.drain()
    assert crm.count("read") == before + 1
    assert crm.calls[-1][1] == [RecordRef(kind="booking", id="1")], "what is nobody's of ours is not asked for"


async def test_hints_for_a_connection_that_needs_re_authorisation_are_found_by_the_sweep_afterwards(office, crm):
    person = await booked(office, qualification={"trigger": "booking_to_job"})
    office.vendor.secret = "another-secret-value"
    office.clock.advance(timedelta(minutes=30))
    await office.drain()
    assert (await office.connection(office.connection_id))["state"] == "needs_reauth"
    crm.convert(1, 8001)
    crm.changes.clear()
    assert await office.hint({"tenant": "77", "refs": [["booking", "1"]]}) == 200
    await office.drain()
    await office.call("POST", f"/v1/connections/{office.connection_id}/reauthorise")
    await office.finalise(office.connection_id)
    await office.later(hours=1, minutes=10)
    assert await state(office, person) == "qualified"


async def test_hints_feeds_and_sweeps_together_qualify_once(office, crm):
    person = await booked(office, rewards=[{"kind": "fixed", "amount": "5", "currency": "EUR"}],
                          qualification=status("Completed"))  # fmt: skip
    crm.convert(1, 8001, status="Completed")
    for number in range(3):
        refs = [["job", "8001"], ["booking", "1"]]
        await office.hint({"tenant": "77", "refs": refs}, message=f"m{number}")
        await office.later(minutes=6)
        crm.set_job(8001, "Completed")
        await office.later(hours=1, minutes=5)
    assert await state(office, person) == "qualified"
    assert await qualified(office) == 1
    assert len(await office.rewards(person)) == 1
    referrer = (await office.person(person))["referrer"]
    assert (await office.person(referrer))["counts"] == {"referrals": 1, "qualified": 1}


async def test_without_hint_and_feed_the_sweep_finds_it(office, crm):
    person = await booked(office, qualification={"trigger": "booking_to_job"})
    crm.convert(1, 8001)
    crm.changes.clear()
    await office.later(minutes=65)
    assert await state(office, person) == "qualified"
