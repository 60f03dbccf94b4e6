"""What a signup writes: one booking with all that was mapped, and none for somebody who is a customer already."""

from dataclasses import replace

import pytest

from gateway.sdk.errors import MappingBroken, Misconfigured, NotSupported, ReauthRequired, Rejected, RetryLater
from gateway_schemas.records import RecordRef
from gateway_servicetitan.client import ServiceTitan
from gateway_servicetitan.signups import find_by_reference, push_signup
from plugins.servicetitan.tests.conftest import EMAIL, PERSON, SETTLE
from plugins.servicetitan.tests.openapi import vendor_documents


def customer(number):
    return RecordRef(kind="customer", id=str(number))


async def test_a_booking_carries_all_that_was_mapped(sandbox, connection, make_push, recorder):
    demo = sandbox.demo
    push = make_push(
        {
            "campaignId": str(demo.campaigns["Referrals"].id),
            "businessUnitId": str(demo.business_units["Plumbing"].id),
            "jobTypeId": str(demo.job_types["Service call"].id),
            "priority": "High",
            "customerType": "Residential",
            "start": "2026-12-01T09:00:00Z",
            "address.street": "5 Oak Ave",
            "address.city": "Glendale",
            "address.state": "CA",
            "address.zip": "91203",
            "summary.note": "Leaks",
        }
    )

    result = await push_signup(connection, push)

    (booking,) = sandbox.bookings()
    assert result.records[0].ref == RecordRef(kind="booking", id=str(booking.id))
    assert (result.records[0].how, result.cannot_qualify, result.notes) == ("created", None, [])
    assert booking.body == {
        "source": "Spring",
        "name": "Fiona Friend",
        "summary": "Spring\nReferred by: Rita Referrer\nReferrer's e-mail: rita@referrer.test\nNote: Leaks",
        "isFirstTimeClient": True,
        "externalId": f"FIONA-1-{PERSON[-10:]}",
        "contacts": [{"type": "Email", "value": EMAIL}, {"type": "Phone", "value": "+18185550111"}],
        "isSendConfirmationEmail": False,
        "customerType": "Residential",
        "priority": "High",
        "start": "2026-12-01T09:00:00Z",
        "campaignId": demo.campaigns["Referrals"].id,
        "businessUnitId": demo.business_units["Plumbing"].id,
        "jobTypeId": demo.job_types["Service call"].id,
        "address": {
            "street": "5 Oak Ave",
            "unit": None,
            "city": "Glendale",
            "state": "CA",
            "zip": "91203",
            "country": "US",
        },
    }
    assert recorder.request_problems(vendor_documents()) == []
    assert recorder.answer_problems(vendor_documents()) == []


async def test_two_people_with_one_code_get_bookings_of_their_own(sandbox, connection, make_push):
    await push_signup(connection, make_push())
    await push_signup(
        connection, make_push({"email": "gil@friends.test"}, reference="per_other", email="gil@friends.test")
    )
    ids = [one.body["externalId"] for one in sandbox.bookings()]
    assert len(set(ids)) == 2
    assert all(one.startswith("FIONA-1-") for one in ids)


async def test_an_external_id_that_is_the_persons_own_id_is_sent_as_it_is(sandbox, connection, make_push):
    await push_signup(connection, make_push({"externalId": PERSON}))
    assert sandbox.bookings()[0].body["externalId"] == PERSON


async def test_the_vendor_sends_no_e_mail_unless_that_was_chosen(sandbox, connection, make_push):
    await push_signup(connection, make_push({"isSendConfirmationEmail": True}))
    assert sandbox.bookings()[0].body["isSendConfirmationEmail"] is True


async def test_an_address_with_a_missing_part_is_left_out_and_said(sandbox, connection, make_push):
    result = await push_signup(connection, make_push({"address.street": "5 Oak Ave", "address.city": "Glendale"}))
    assert "address" not in sandbox.bookings()[0].body
    assert "missing: state, zip" in result.notes[0]


@pytest.mark.parametrize("first", [None, "maybe"])
async def test_first_time_client_is_needed(sandbox, connection, make_push, first):
    with pytest.raises(Rejected) as refused:
        await push_signup(connection, make_push({"isFirstTimeClient": first}))
    assert refused.value.problems[0].field == "mapping.booking.isFirstTimeClient"
    assert sandbox.requests(method="POST", path="/bookings") == []


async def test_the_list_by_external_id_is_looked_at_before_every_create(sandbox, connection, make_push):
    await push_signup(connection, make_push())
    calls = [(one.method, one.path.rpartition("/")[2], one.query.get("externalId")) for one in sandbox.front.log]
    looked = calls.index(("GET", "bookings", f"FIONA-1-{PERSON[-10:]}"))
    assert looked < calls.index(("POST", "bookings", None))


async def test_a_booking_that_is_there_is_adopted_even_when_no_attempt_is_in_doubt(sandbox, connection, make_push):
    first = await push_signup(connection, make_push())
    # Everything that we remembered is gone.
    again = await push_signup(connection, make_push())
    assert [one.ref for one in again.records] == [one.ref for one in first.records]
    assert len(sandbox.bookings()) == 1


async def test_an_id_that_only_looks_alike_is_not_adopted(sandbox, connection, make_push):
    await push_signup(connection, make_push({"externalId": "fiona-1"}))
    await push_signup(connection, make_push())
    assert len(sandbox.bookings()) == 2


# --- only new contacts ----------------------------------------------------------------------------------


async def test_a_customer_that_is_known_gets_no_booking(sandbox, connection, make_push):
    ada, _, _ = sandbox.demo.customers
    push = make_push(email="ada@customer.test", existing=(customer(ada.id),))
    result = await push_signup(connection, push)
    assert [(one.ref, one.how) for one in result.records] == [(customer(ada.id), "matched")]
    assert "cannot qualify" in result.cannot_qualify
    assert sandbox.bookings() == []


async def test_a_referrer_who_is_a_customer_is_linked_and_nothing_is_said_of_qualifying(sandbox, connection, make_push):
    ada = sandbox.demo.customers[0]
    push = make_push(role="referrer", email="ada@customer.test", existing=(customer(ada.id),))
    result = await push_signup(connection, push)
    assert result.records[0].ref == customer(ada.id)
    assert result.cannot_qualify is None


async def test_a_customer_of_another_campaigns_signup_counts_too(sandbox, connection, make_push):
    ada = sandbox.demo.customers[0]
    result = await push_signup(connection, make_push(email="ada@customer.test", known=(customer(ada.id),)))
    assert result.records[0].ref == customer(ada.id)


async def test_a_merged_customer_is_followed_to_its_survivor(sandbox, connection, make_push):
    ada, ben, _ = sandbox.demo.customers
    sandbox.merge_customers(ada.id, ben.id)
    push = make_push(email="ada@customer.test", existing=(customer(ada.id),))
    result = await push_signup(connection, push)
    assert result.records[0].ref == customer(ben.id)


@pytest.mark.parametrize("change", ["deactivated", "address deleted", "address changed"])
async def test_what_the_index_says_is_read_again_before_it_is_believed(sandbox, connection, make_push, change):
    ada = sandbox.demo.customers[0]
    (email,) = [one for one in sandbox.tenant().contacts_of(ada.id) if one.type == "Email"]
    if change == "deactivated":
        sandbox.deactivate_customer(ada.id)
    elif change == "address deleted":
        sandbox.delete_contact(email.id)
    else:
        sandbox.edit_contact(email.id, "ada@new.test")
    result = await push_signup(connection, make_push(email="ada@customer.test", existing=(customer(ada.id),)))
    assert result.records[0].ref.kind == "booking"


async def test_several_customers_with_one_address_the_oldest_counts_and_the_others_are_named(
    sandbox, connection, make_push
):
    ada = sandbox.demo.customers[0]
    other = sandbox.add_customer("Ada Again", "ADA@customer.test ")
    push = make_push(email="ada@customer.test", existing=(customer(other.id), customer(ada.id)))
    result = await push_signup(connection, push)
    assert result.records[0].ref == customer(ada.id)
    assert result.others == [customer(other.id)]


async def test_the_policy_create_asks_nobody(sandbox, connection, make_push):
    ada = sandbox.demo.customers[0]
    push = make_push(email="ada@customer.test", existing=(customer(ada.id),), duplicates="create")
    result = await push_signup(connection, push)
    assert result.records[0].ref.kind == "booking"
    assert sandbox.requests(path="/customers") == []


async def test_who_became_a_customer_through_our_own_booking_keeps_it(sandbox, connection, make_push, clock):
    sandbox.lose_answer(method="POST", match="/bookings$")
    push = make_push()
    with pytest.raises(Exception, match="no full answer"):
        await push_signup(connection, push)
    job = sandbox.convert_booking(sandbox.bookings()[0].id)
    clock.advance(SETTLE)
    result = await push_signup(connection, replace(push, existing=(customer(job.customer),)))
    assert result.records[0].ref.kind == "booking"


# --- refusals -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "key"), [("campaigns", "campaignId"), ("job_types", "jobTypeId")])
async def test_a_choice_that_is_gone_is_named(sandbox, connection, make_push, kind, key):
    chosen = next(iter(getattr(sandbox.demo, kind).values()))
    sandbox.deactivate(kind, chosen.id)
    with pytest.raises(MappingBroken) as broken:
        await push_signup(connection, make_push({key: str(chosen.id)}))
    assert broken.value.fields == [key]


async def test_a_refused_value_is_named(sandbox, connection, make_push):
    sandbox.fail_next(
        400,
        body={"title": "One or more validation errors occurred.", "status": 400, "errors": {"Summary": ["Too long."]}},
        method="POST",
        match="/bookings$",
    )
    with pytest.raises(Rejected, match="Too long") as refused:
        await push_signup(connection, make_push())
    assert refused.value.problems[0].field == "booking.Summary"


async def test_a_disabled_app_keeps_the_signup_for_later(sandbox, connection, make_push):
    await push_signup(connection, make_push())
    sandbox.take_scope("tn.crm.bookings:w")
    with pytest.raises(ReauthRequired, match="Allow the app again"):
        await push_signup(connection, make_push({"externalId": "other"}))


async def test_a_wrong_secret_asks_for_another(sandbox, connection, make_push):
    sandbox.regenerate_secret()
    with pytest.raises(ReauthRequired):
        await push_signup(connection, make_push())


async def test_an_expired_token_is_renewed_once(sandbox, connection, make_push):
    await push_signup(connection, make_push())
    sandbox.expire_tokens()
    await push_signup(connection, make_push({"externalId": "other"}))
    assert sandbox.tokens.given == 2


async def test_a_wrong_app_key_is_the_operators_business(sandbox, connect, make_push):
    connection = connect(sandbox)
    sandbox.app_key = "ak1.another"
    with pytest.raises(Misconfigured, match="GATEWAY_SERVICETITAN_APP_KEY"):
        await push_signup(connection, make_push())


async def test_over_the_limit_waits(sandbox, connection, make_push):
    sandbox.fail_next(429, headers={"retry-after": "7"}, match="/bookings$")
    with pytest.raises(RetryLater) as later:
        await push_signup(connection, make_push())
    assert later.value.after_seconds == 7


async def test_another_target_is_none_of_ours(connection, make_push):
    with pytest.raises(NotSupported):
        await push_signup(connection, make_push(target="job"))


async def test_all_bookings_of_one_signup_are_found_by_what_it_sent(sandbox, connection, make_push):
    push = make_push()
    await push_signup(connection, push)
    await push_signup(
        connection, make_push({"email": "gil@friends.test"}, reference="per_other", email="gil@friends.test")
    )
    (first,) = [one.id for one in sandbox.bookings() if one.body["externalId"].endswith(PERSON[-10:])]
    body = next(one.body for one in sandbox.bookings() if one.id == first)
    second = await ServiceTitan(connection).create_booking(body)  # by a process that stood still meanwhile

    found = await find_by_reference(connection, push.reference, push.values)

    assert found == [RecordRef(kind="booking", id=str(one)) for one in (first, second.id)]
