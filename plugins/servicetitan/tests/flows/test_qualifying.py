"""A booking becomes a job, the job moves on, and the referral qualifies: once, by whichever way we learn of it."""

import pytest

from plugins.servicetitan.tests.flows.conftest import EMAIL

VALUE = {"record_kind": "job", "field": "total"}


def only_booking(world):
    (booking,) = world.sandbox.bookings(EMAIL)
    return booking


@pytest.mark.parametrize("webhooks", [True, False])
async def test_a_completed_job_qualifies_with_its_value(world, webhooks):
    await world.ready(webhooks=webhooks, sale_value=VALUE)
    person = await world.signup()
    job = world.sandbox.convert_booking(only_booking(world).id)
    await world.later(minutes=6)
    assert (await world.person(person))["state"] == "pending"
    world.sandbox.set_job_total(job.id, "450.10", "50.10")
    world.sandbox.set_job_status(job.id, "Completed")
    if webhooks:
        await world.drain()
    else:
        await world.later(minutes=6)
    shown = await world.person(person)
    assert (shown["state"], shown["sale_value"]) == ("qualified", {"amount": "450.1", "currency": "USD"})
    (event,) = await world.events("referral.qualified")
    assert event["data"]["record"] == {"kind": "job", "id": str(job.id)}
    assert event["data"]["seen"] == {"converted": None, "status": "Completed"}


async def test_webhooks_alone_tell_without_any_time_passing(world):
    await world.ready(webhooks=True, qualification={"trigger": "booking_to_job"})
    person = await world.signup()
    calls = len(world.sandbox.requests(path="/bookings"))
    world.sandbox.convert_booking(only_booking(world).id)
    await world.drain()
    assert (await world.person(person))["state"] == "qualified"
    assert len(world.sandbox.requests(path="/bookings")) > calls


async def test_the_sweep_alone_finds_what_feeds_and_webhooks_missed(world):
    await world.ready(qualification={"trigger": "booking_to_job"})
    person = await world.signup()
    world.sandbox.fail_next(500, n=1000, match="/(bookings|jobs)$", method="GET")
    job = world.sandbox.convert_booking(only_booking(world).id)
    await world.later(minutes=10)
    assert (await world.person(person))["state"] == "pending"
    world.sandbox.clear_faults()
    # The feed's window has passed by the time that it can be read again, as far as it knows.
    only_booking(world).modified = world.clock.now().replace(year=2020)
    job.modified = only_booking(world).modified
    await world.later(hours=2)
    assert (await world.person(person))["state"] == "qualified"


@pytest.mark.parametrize("chosen", ["Scheduled", "Dispatched", "InProgress", "Completed", "Hold", "Canceled"])
async def test_each_job_status_can_be_chosen(world, chosen):
    await world.ready(webhooks=True, qualification={"trigger": "job_status", "parameters": {"status": chosen}})
    person = await world.signup()
    job = world.sandbox.convert_booking(only_booking(world).id)
    await world.drain()
    if chosen != "Scheduled":
        assert (await world.person(person))["state"] == "pending"
        world.sandbox.set_job_status(job.id, chosen)
        await world.drain()
    assert (await world.person(person))["state"] == "qualified"


@pytest.mark.parametrize(
    ("chosen", "now", "state"),
    [
        ("Dispatched", "InProgress", "qualified"),
        ("Scheduled", "Completed", "qualified"),
        ("Completed", "InProgress", "pending"),
        ("Hold", "Completed", "pending"),
        ("Scheduled", "Canceled", "qualified"),
        ("Dispatched", "Canceled", "pending"),
    ],
)
async def test_a_status_that_was_passed_between_two_looks_counts(world, chosen, now, state):
    await world.ready(qualification={"trigger": "job_status", "parameters": {"status": chosen}})
    person = await world.signup()
    job = world.sandbox.convert_booking(only_booking(world).id)
    if (chosen, now) == ("Scheduled", "Canceled"):
        await world.later(minutes=6)  # it was seen while it was scheduled
    world.sandbox.set_job_status(job.id, now)
    await world.later(minutes=6)
    assert (await world.person(person))["state"] == state


async def test_a_booking_that_becomes_a_job_qualifies_once_however_often_it_is_told(world):
    await world.ready(webhooks=True, qualification={"trigger": "booking_to_job"})
    world.sandbox.webhook_chaos(copies=3, newest_first=True)
    person = await world.signup()
    job = world.sandbox.convert_booking(only_booking(world).id)
    world.sandbox.set_job_status(job.id, "Dispatched")
    await world.drain()
    await world.sandbox.replay_webhook()
    await world.later(hours=3)
    assert (await world.person(person))["state"] == "qualified"
    assert len(await world.events("referral.qualified")) == 1


async def test_a_webhook_with_a_wrong_signature_changes_nothing(world):
    await world.ready(webhooks=True, qualification={"trigger": "booking_to_job"})
    person = await world.signup()
    for subscription in world.sandbox.outbox.subscriptions:
        subscription.key = "f" * 32
    world.sandbox.convert_booking(only_booking(world).id)
    await world.drain()
    assert {attempt.status for attempt in world.sandbox.webhooks()} == {401}
    assert (await world.person(person))["state"] == "pending"


async def test_a_webhook_of_an_unknown_tenant_is_taken_and_forgotten(world):
    await world.ready(webhooks=True)
    other = world.sandbox.demo_tenant("Bravo Heating")
    world.sandbox.book_by_hand(other.customers[0].id, tenant_id=other.tenant.id)
    await world.drain()
    assert {attempt.status for attempt in world.sandbox.webhooks()} <= {200, 202, 204}


async def test_an_accepted_booking_is_no_job(world):
    await world.ready(webhooks=True, qualification={"trigger": "booking_to_job"})
    person = await world.signup()
    world.sandbox.accept_booking(only_booking(world).id)
    await world.later(hours=2)
    assert (await world.person(person))["state"] == "pending"


async def test_a_dismissed_booking_is_explained_and_a_job_may_still_come_of_it(world):
    await world.ready(webhooks=True, qualification={"trigger": "booking_to_job"})
    person = await world.signup()
    booking = only_booking(world)
    world.sandbox.dismiss_booking(booking.id, world.sandbox.demo.call_reasons["Out of area"].id)
    await world.later(minutes=6)
    why = (await world.timeline(person))["why"]
    assert "Out of area" in why["note"]
    booking.dismissing_reason = None
    world.sandbox.convert_booking(booking.id)
    await world.drain()
    assert (await world.person(person))["state"] == "qualified"


async def test_a_job_that_was_booked_by_hand_qualifies_nobody(world):
    await world.ready(webhooks=True, qualification={"trigger": "booking_to_job"})
    person = await world.signup()
    customer = world.sandbox.add_customer("Fiona Friend", EMAIL)
    job = world.sandbox.book_by_hand(customer.id)
    world.sandbox.set_job_status(job.id, "Completed")
    await world.later(hours=2)
    assert (await world.person(person))["state"] == "pending"


async def test_a_customer_that_is_merged_away_loses_no_job(world):
    await world.ready(webhooks=True)
    person = await world.signup()
    ada = world.sandbox.demo.customers[0]
    job = world.sandbox.convert_booking(only_booking(world).id)
    await world.drain()
    world.sandbox.merge_customers(job.customer, ada.id)
    await world.later(minutes=11)
    world.sandbox.set_job_status(job.id, "Completed")
    await world.drain()
    assert (await world.person(person))["state"] == "qualified"


async def test_an_existing_customer_that_is_merged_is_followed(world):
    await world.ready()
    person = await world.signup("ada@customer.test")
    ada, ben, _ = world.sandbox.demo.customers
    world.sandbox.merge_customers(ada.id, ben.id)
    await world.later(minutes=11)
    records = (await world.person(person))["records"]
    assert str(ben.id) in {one["ref"]["id"] for one in records}


async def test_a_canceled_job_takes_it_back_where_the_setup_says_so(world):
    rule = {"trigger": "booking_to_job", "reverse": "until_issued"}
    await world.ready(webhooks=True, qualification=rule)
    person = await world.signup()
    job = world.sandbox.convert_booking(only_booking(world).id)
    await world.drain()
    assert (await world.person(person))["state"] == "qualified"
    world.sandbox.set_job_status(job.id, "Canceled")
    await world.later(hours=2)
    assert (await world.person(person))["state"] == "disqualified"
    world.sandbox.set_job_status(job.id, "Scheduled")
    await world.later(hours=2)
    assert (await world.person(person))["state"] == "qualified"


@pytest.mark.parametrize(
    ("field", "amount"), [("total", "450.1"), ("invoice_total", "550.10"), ("invoice_subtotal", "500.00")]
)
async def test_the_value_comes_from_the_job_or_its_invoices(world, field, amount):
    await world.ready(webhooks=True, sale_value={"record_kind": "job", "field": field})
    person = await world.signup()
    job = world.sandbox.convert_booking(only_booking(world).id)
    world.sandbox.set_job_total(job.id, "450.10", "50.10")
    world.sandbox.add_adjustment(job.id, 100)
    world.sandbox.set_job_status(job.id, "Completed")
    await world.drain()
    assert (await world.person(person))["sale_value"]["amount"] == amount


async def test_a_qualification_before_completion_gets_its_value_later_and_corrections_follow(world):
    reward = {"kind": "percentage", "percent": "10", "currency": "USD", "on": "qualification", "hold_days": 30}
    await world.account()
    world.watch()
    await world.connect()
    await world.campaign(rewards=[reward])
    await world.setup("referrer")
    await world.setup(qualification={"trigger": "booking_to_job"}, sale_value=VALUE)
    rita = await world.signup("rita@example.com", "referrer")
    code = (await world.person(rita))["code"]
    person = await world.signup(referrer={"code": code})
    job = world.sandbox.convert_booking(only_booking(world).id)
    await world.drain()
    shown = await world.person(person)
    assert (shown["state"], shown["sale_value"]) == ("qualified", None)
    world.sandbox.set_job_total(job.id, 400)
    world.sandbox.set_job_status(job.id, "Completed")
    await world.later(hours=2)
    assert (await world.person(person))["sale_value"]["amount"] in ("400", "400.0")
    world.sandbox.set_job_total(job.id, 500)
    await world.later(hours=2)
    assert (await world.person(person))["sale_value"]["amount"] in ("500", "500.0")
    assert len(await world.events("sale.updated")) == 1
