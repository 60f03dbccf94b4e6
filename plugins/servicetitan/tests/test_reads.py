"""Records as they are now: bookings, jobs with their facts and values, customers with their addresses."""

from datetime import timedelta

import pytest

from gateway.sdk.errors import ReauthRequired, RetryLater
from gateway_schemas.records import RecordRef
from gateway_servicetitan.models import Booking, Customer, CustomerContact, Job
from gateway_servicetitan.reads import find_related, read_records
from gateway_servicetitan.records import booking_record, customer_record, emails_of, job_record
from gateway_servicetitan.signups import push_signup
from plugins.servicetitan.tests.openapi import vendor_documents


def ref(kind, number):
    return RecordRef(kind=kind, id=str(number))


@pytest.fixture
async def booking(sandbox, connection, make_push):
    await push_signup(connection, make_push())
    return sandbox.bookings()[0]


async def only(connection, kind, number):
    (record,) = await read_records(connection, [ref(kind, number)])
    return record


async def test_a_booking_passes_from_new_to_converted(sandbox, connection, booking, recorder):
    assert (await only(connection, "booking", booking.id)).state == "new"
    sandbox.accept_booking(booking.id)
    assert (await only(connection, "booking", booking.id)).state == "accepted"
    assert await find_related(connection, ref("booking", booking.id)) == []
    job = sandbox.convert_booking(booking.id)
    record = await only(connection, "booking", booking.id)
    assert (record.state, record.fields["job"]) == ("converted", str(job.id))
    assert recorder.request_problems(vendor_documents()) == []
    assert recorder.answer_problems(vendor_documents()) == []


async def test_a_dismissed_booking_says_why(sandbox, connection, booking):
    sandbox.dismiss_booking(booking.id, sandbox.demo.call_reasons["Out of area"].id)
    record = await only(connection, "booking", booking.id)
    assert (record.state, record.note) == ("dismissed", "The booking was dismissed in ServiceTitan: Out of area.")


async def test_a_dismissal_is_read_without_the_scope_for_its_reason(sandbox, connection, booking):
    sandbox.dismiss_booking(booking.id, sandbox.demo.call_reasons["Out of area"].id)
    sandbox.take_scope("tn.jbce.callreasons:r")
    record = await only(connection, "booking", booking.id)
    assert record.state == "dismissed"
    assert "no reason" in record.note


async def test_the_job_of_a_booking_is_found_with_its_origin(sandbox, connection, booking):
    job = sandbox.convert_booking(booking.id)
    (record,) = await find_related(connection, ref("booking", booking.id))
    assert record.ref == ref("job", job.id)
    assert (record.origin, record.contact) == (ref("booking", booking.id), ref("customer", job.customer))
    assert [(one.name, one.value) for one in record.facts] == [("converted", None), ("status", "Scheduled")]
    assert not record.value_ready


async def test_a_job_that_does_not_name_its_booking_is_found_by_the_booking(sandbox, connection, booking):
    sandbox.convert_booking(booking.id).booking = None
    (record,) = await find_related(connection, ref("booking", booking.id))
    assert record.origin == ref("booking", booking.id)
    assert record.facts[0].name == "converted"


async def test_a_job_that_names_a_booking_is_found_although_the_booking_lags(sandbox, connection, booking):
    job = sandbox.convert_booking(booking.id)
    booking.job, booking.status = None, "Accepted"
    (record,) = await find_related(connection, ref("booking", booking.id))
    assert record.ref == ref("job", job.id)


async def test_a_job_booked_by_hand_came_of_no_booking(sandbox, connection):
    job = sandbox.book_by_hand(sandbox.demo.customers[0].id)
    record = await only(connection, "job", job.id)
    assert record.origin is None
    assert "converted" not in {one.name for one in record.facts}


async def test_the_value_is_final_when_the_job_is_completed(sandbox, connection, booking):
    job = sandbox.convert_booking(booking.id)
    sandbox.set_job_total(job.id, "450.10", "50.10")
    assert not (await only(connection, "job", job.id)).value_ready
    sandbox.set_job_status(job.id, "Completed")
    sandbox.add_adjustment(job.id, "-100")
    record = await only(connection, "job", job.id)
    assert record.value_ready
    assert record.fields["total"] == "450.1"
    assert record.fields["invoice_total"] == "350.10"
    assert record.fields["invoice_subtotal"] == "300.00"


async def test_without_the_scope_there_are_no_invoices(sandbox, connection, booking):
    job = sandbox.convert_booking(booking.id)
    sandbox.set_job_total(job.id, 450)
    sandbox.set_job_status(job.id, "Completed")
    sandbox.take_scope("tn.acc.invoices:r")
    record = await only(connection, "job", job.id)
    assert ("invoice_total" in record.fields, record.fields["total"]) == (False, "450.0")


async def test_a_job_that_was_completed_once_proves_it(sandbox, connection, booking):
    job = sandbox.convert_booking(booking.id)
    sandbox.set_job_status(job.id, "Completed")
    sandbox.set_job_status(job.id, "InProgress")
    record = await only(connection, "job", job.id)
    assert {one.value for one in record.facts if one.name == "status"} == {"InProgress", "Completed"}
    assert not record.value_ready


async def test_a_canceled_job_proves_no_completion(sandbox, connection, booking):
    job = sandbox.convert_booking(booking.id)
    sandbox.set_job_status(job.id, "Completed")
    sandbox.set_job_status(job.id, "Canceled")
    record = await only(connection, "job", job.id)
    assert {one.value for one in record.facts if one.name == "status"} == {"Canceled"}
    assert record.state == "canceled"


@pytest.mark.parametrize(
    ("said", "value", "state"),
    [
        ("in progress", "InProgress", "in_progress"),
        ("COMPLETED", "Completed", "completed"),
        ("Cancelled", "Canceled", "canceled"),
        ("OnTheMoon", None, "on_the_moon"),
        (None, None, "unknown"),
    ],
)
def test_job_statuses_are_read_whatever_their_spelling_and_unknown_ones_prove_nothing(said, value, state):
    record = job_record(Job(id=1, job_status=said, booking_id=2))
    assert [one.value for one in record.facts if one.name == "status"] == ([value] if value else [])
    assert record.state == state


def test_nulls_everywhere_are_read():
    assert booking_record(Booking(id=1)).state == "new"
    assert job_record(Job(id=1)).state == "unknown"
    assert customer_record(Customer(id=1), [CustomerContact(id=2)]).state == "open"


def test_addresses_are_told_once_and_the_oldest_first():
    found = [
        CustomerContact(id=3, type="Email", value="B@x.test"),
        CustomerContact(id=1, type="Email", value=" a@x.test "),
        CustomerContact(id=4, type="Email", value="b@x.test"),
        CustomerContact(id=5, type="Email", value="gone@x.test", active=False),
        CustomerContact(id=6, type="Phone", value="1"),
    ]
    assert emails_of(found) == ["a@x.test", "B@x.test"]


async def test_a_customer_has_its_name_split_and_all_its_addresses(sandbox, connection):
    _, ben, _ = sandbox.demo.customers
    field = sandbox.add_customer_field("Loyalty")
    sandbox.edit_customer(ben.id, custom={field.id: "gold"}, do_not_mail=True)
    sandbox.add_contact(ben.id, "Email", "ben@second.test")
    sandbox.add_contact(ben.id, "Phone", "8185550199")
    record = await only(connection, "customer", ben.id)
    fields = record.fields
    assert (fields["first_name"], fields["last_name"]) == ("Ben", "van der Example")
    assert fields["emails"] == ["ben@customer.test", "ben@second.test"]
    assert (fields["email"], fields["phone"]) == ("ben@customer.test", "8185550199")
    assert (fields["do_not_mail"], fields[f"custom.{field.id}"]) == (True, "gold")
    assert fields["address.city"] == "Glendale"


async def test_merged_and_inactive_customers_say_so(sandbox, connection):
    ada, ben, cleo = sandbox.demo.customers
    sandbox.merge_customers(ada.id, ben.id)
    sandbox.deactivate_customer(cleo.id)
    read = await read_records(connection, [ref("customer", one.id) for one in (ada, ben, cleo)])
    found = {one.ref.id: one for one in read}
    assert (found[str(ada.id)].state, found[str(ada.id)].merged_into) == ("merged", str(ben.id))
    assert found[str(ben.id)].fields["emails"] == ["ada@customer.test", "ben@customer.test"]
    assert found[str(cleo.id)].state == "inactive"


async def test_fifty_are_read_in_one_call_and_more_in_several(sandbox, connection, recorder):
    people = [sandbox.add_customer(f"Person {n}", f"p{n}@x.test") for n in range(120)]
    recorder.exchanges.clear()
    read = await read_records(connection, [ref("customer", one.id) for one in people])
    assert len(read) == 120
    lists = [one.request.url.path.rpartition("/")[2] for one in recorder.exchanges]
    assert (lists.count("customers"), lists.count("contacts")) == (3, 3)
    assert recorder.request_problems(vendor_documents()) == []
    assert recorder.answer_problems(vendor_documents()) == []


async def test_missing_and_foreign_ones_are_left_out(sandbox, connection, booking):
    booking.provider = sandbox.demo.other_provider.id
    refs = [ref("booking", booking.id), ref("job", 404), ref("customer", "x"), ref("moon", 1)]
    assert await read_records(connection, refs) == []


async def test_a_list_of_several_pages_is_read_to_its_end(sandbox, connection, monkeypatch):
    monkeypatch.setattr("gateway_servicetitan.wire.PAGE", 2)
    monkeypatch.setattr("gateway_servicetitan.wire.Wire.page.__kwdefaults__", {"number": 1, "size": 2})
    ada = sandbox.demo.customers[0]
    for number in range(5):
        sandbox.add_contact(ada.id, "Email", f"ada{number}@x.test")
    record = await only(connection, "customer", ada.id)
    assert len(record.fields["emails"]) == 6


async def test_a_withdrawn_scope_asks_for_authorisation(sandbox, connection, booking):
    sandbox.take_scope("tn.jpm.jobs:r")
    with pytest.raises(ReauthRequired):
        await read_records(connection, [ref("job", 1)])


@pytest.mark.parametrize("status", [429, 500, 503])
async def test_what_is_broken_for_now_is_read_later(sandbox, connection, booking, status):
    sandbox.fail_next(status, match="/bookings$")
    with pytest.raises(RetryLater):
        await read_records(connection, [ref("booking", booking.id)])


async def test_times_have_seven_digits_and_are_cut(sandbox, connection, booking, clock):
    clock.advance(timedelta(microseconds=123456))
    sandbox.accept_booking(booking.id)
    record = await only(connection, "booking", booking.id)
    assert record.updated_at == clock()
