"""What the vendor refuses in a request, and how lists and feeds behave; each rule is broken once."""

from datetime import timedelta

import pytest

from gateway_servicetitan.sandbox.errors import VendorError
from plugins.servicetitan.tests.openapi import vendor_documents

ADDRESS = {"street": "1", "city": "G", "state": "CA", "zip": "9", "country": "US"}


def errors(answer):
    assert answer.status_code == 400, answer.text
    return set(answer.json()["errors"])


# --- bookings -------------------------------------------------------------------------------------------


async def test_a_booking_is_answered_with_200_and_without_its_contacts(vendor):
    answer = await vendor.book()
    body = answer.json()
    assert (answer.status_code, body["status"], body["jobId"]) == (200, "New", None)
    assert "contacts" not in body
    assert body["start"]
    contacts = (await vendor.get("crm", f"{vendor.bookings}/{body['id']}/contacts")).json()["data"]
    assert [one["value"] for one in contacts] == ["fiona@friends.test"]


@pytest.mark.parametrize("key", ["source", "name", "summary", "isFirstTimeClient", "externalId"])
async def test_each_required_field_is_asked_for(vendor, key):
    assert errors(await vendor.book(**{key: ...})) == {key}


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"tags": [1]}, "tags"),
        ({"customFields": []}, "customFields"),
        ({"isFirstTimeClient": "Yes"}, "isFirstTimeClient"),
        ({"name": " "}, "name"),
        ({"contacts": []}, "contacts"),
        ({"contacts": ...}, "contacts"),
        ({"contacts": [{"type": "Email"}]}, "contacts"),
        ({"contacts": [{"type": "Telegram", "value": "x"}]}, "contacts"),
        ({"contacts": [{"type": "Email", "value": "x", "name": "y"}]}, "contacts"),
        ({"address": {"street": "1 Main St"}}, "address"),
        (
            {"address": {"street": "1", "city": "G", "state": "CA", "zip": "9", "country": "US", "planet": "E"}},
            "address",
        ),
        ({"priority": "Soon"}, "priority"),
        ({"customerType": "Private"}, "customerType"),
        ({"start": "tomorrow"}, "start"),
        ({"campaignId": "310"}, "campaignId"),
        ({"campaignId": 999}, "campaignId"),
        ({"businessUnitId": 999}, "businessUnitId"),
        ({"jobTypeId": 999}, "jobTypeId"),
        ({"uploadedImages": [1]}, "uploadedImages"),
        ({"isSendConfirmationEmail": "no"}, "isSendConfirmationEmail"),
    ],
)
async def test_each_wrong_field_is_named(vendor, changes, key):
    assert errors(await vendor.book(**changes)) == {key}
    assert vendor.sandbox.bookings() == []


async def test_an_address_is_enough_of_a_contact(vendor):
    assert (await vendor.book(contacts=None, address={**ADDRESS, "unit": None})).status_code == 200


async def test_an_inactive_choice_is_refused(vendor):
    radio = vendor.sandbox.demo.campaigns["Radio"].id
    assert (await vendor.book(campaignId=radio)).status_code == 200
    vendor.sandbox.deactivate("campaigns", radio)
    assert errors(await vendor.book(campaignId=radio)) == {"campaignId"}


async def test_a_repeated_external_id_is_not_refused_and_found_whatever_its_case(vendor):
    await vendor.book()
    await vendor.book(externalId="fiona-1")
    found = (await vendor.get("crm", vendor.bookings, externalId="FIONA-1")).json()["data"]
    assert len(found) == 2


async def test_a_booking_of_another_provider_is_not_there(vendor):
    booking = (await vendor.book()).json()["id"]
    vendor.sandbox.bookings()[0].provider = vendor.sandbox.demo.other_provider.id
    assert (await vendor.get("crm", f"{vendor.bookings}/{booking}")).status_code == 404
    assert (await vendor.get("crm", vendor.bookings)).json()["data"] == []


async def test_changing_a_booking(vendor):
    path = f"{vendor.bookings}/{(await vendor.book()).json()['id']}"
    assert (await vendor.call("PATCH", "crm", path, json={"priority": "High"})).json()["priority"] == "High"
    assert errors(await vendor.call("PATCH", "crm", path, json={"contacts": []})) == {"contacts"}
    vendor.sandbox.convert_booking(vendor.sandbox.bookings()[0].id)
    assert (await vendor.call("PATCH", "crm", path, json={"priority": "Low"})).status_code == 409


async def test_dismissing_a_booking(vendor):
    path = f"{vendor.bookings}/{(await vendor.book()).json()['id']}"
    assert errors(await vendor.call("POST", "crm", f"{path}/dismiss", json={"reason": 1})) == {"reason"}
    assert (await vendor.call("POST", "crm", f"{path}/dismiss", json={"callReasonId": 999})).status_code == 404
    reason = vendor.sandbox.demo.call_reasons["Out of area"].id
    assert (await vendor.call("POST", "crm", f"{path}/dismiss", json={"callReasonId": reason})).status_code == 200
    shown = (await vendor.get("crm", path)).json()
    assert (shown["status"], shown["dismissingReasonId"]) == ("Dismissed", reason)


async def test_what_was_booked_cannot_be_dismissed(vendor):
    await vendor.book()
    vendor.sandbox.convert_booking(vendor.sandbox.bookings()[0].id)
    with pytest.raises(VendorError):
        vendor.sandbox.dismiss_booking(vendor.sandbox.bookings()[0].id)


# --- lists ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("params", "key"),
    [
        ({"page": 0}, "page"),
        ({"page": "x"}, "page"),
        ({"pageSize": 0}, "pageSize"),
        ({"pageSize": 5001}, "pageSize"),
        ({"ids": ",".join(map(str, range(51)))}, "ids"),
        ({"ids": "1,x"}, "ids"),
        ({"modifiedOnOrAfter": "yesterday"}, "modifiedOnOrAfter"),
        ({"sort": "ModifiedOn"}, "sort"),
        ({"sort": "+Name"}, "sort"),
        ({"includeTotal": "yes"}, "includeTotal"),
        ({"email": "x"}, "email"),
    ],
)
async def test_each_wrong_parameter_is_named(vendor, params, key):
    assert errors(await vendor.get("crm", vendor.bookings, **params)) == {key}


async def test_customers_have_no_filter_by_e_mail(vendor):
    assert errors(await vendor.get("crm", "customers", email="ada@customer.test")) == {"email"}


async def test_customers_contacts_need_a_filter(vendor):
    assert errors(await vendor.get("crm", "customers/contacts")) == {"customerIds"}


async def test_job_types_sort_by_other_words(vendor):
    assert errors(await vendor.get("jpm", "job-types", sort="+Id")) == {"sort"}
    assert (await vendor.get("jpm", "job-types", orderBy="Name")).status_code == 200


async def test_an_unknown_job_status_is_refused(vendor):
    assert errors(await vendor.get("jpm", "jobs", jobStatus="Working")) == {"jobStatus"}


async def test_pages_count_from_one_and_say_whether_there_are_more(vendor):
    for number in range(5):
        await vendor.book(externalId=f"x{number}")
    first = (await vendor.get("crm", vendor.bookings, page=1, pageSize=2)).json()
    last = (await vendor.get("crm", vendor.bookings, page=3, pageSize=2, includeTotal="true")).json()
    assert (first["hasMore"], first["totalCount"], len(first["data"])) == (True, None, 2)
    assert (last["hasMore"], last["totalCount"], len(last["data"])) == (False, 5, 1)


async def test_lists_hold_active_records_unless_asked_for_all(vendor):
    ada = vendor.sandbox.demo.customers[0]
    vendor.sandbox.deactivate_customer(ada.id)
    counts = {}
    for active in ("True", "False", "Any"):
        counts[active] = len((await vendor.get("crm", "customers", active=active)).json()["data"])
    assert counts == {"True": 2, "False": 1, "Any": 3}
    assert errors(await vendor.get("crm", "customers", active="Some")) == {"active"}


async def test_a_change_of_a_contact_is_no_change_of_its_customer(vendor, clock):
    clock.advance(timedelta(minutes=5))
    ada = vendor.sandbox.demo.customers[0]
    vendor.sandbox.add_contact(ada.id, "Email", "second@x.test")
    since = clock().isoformat()
    assert (await vendor.get("crm", "customers", modifiedOnOrAfter=since)).json()["data"] == []
    found = (await vendor.get("crm", "customers/contacts", modifiedOnOrAfter=since)).json()["data"]
    assert [one["customerId"] for one in found] == [ada.id]


# --- export feeds ---------------------------------------------------------------------------------------


async def test_a_feed_is_read_to_its_end_and_goes_on(make_vendor, clock):
    vendor = make_vendor(export_page=2)
    seen, token = [], ""
    while True:
        page = (await vendor.get("crm", "export/customers", **{"from": token})).json()
        seen += [one["id"] for one in page["data"]]
        token = page["continueFrom"]
        assert token, "the last page brings a token too"
        if not page["hasMore"]:
            break
    assert len(set(seen)) == 3
    clock.advance(timedelta(seconds=1))
    new = vendor.sandbox.add_customer("Nina")
    page = (await vendor.get("crm", "export/customers", **{"from": token})).json()
    assert [one["id"] for one in page["data"]] == [new.id]


async def test_a_feed_shows_what_is_deleted(vendor):
    contact = next(iter(vendor.sandbox.tenant().contacts.values()))
    vendor.sandbox.delete_contact(contact.id)
    page = (await vendor.get("crm", "export/customers/contacts")).json()
    assert {one["id"]: one["active"] for one in page["data"]}[contact.id] is False


async def test_a_date_begins_at_that_time_and_nonsense_is_refused(vendor, clock):
    clock.advance(timedelta(days=2))
    new = vendor.sandbox.add_customer("Nina")
    page = (await vendor.get("crm", "export/customers", **{"from": "2026-11-22"})).json()
    assert [one["id"] for one in page["data"]] == [new.id]
    assert errors(await vendor.get("crm", "export/customers", **{"from": "nonsense!"})) == {"from"}
    assert errors(await vendor.get("crm", "export/customers", **{"from": "2026-99-99"})) == {"from"}


# --- against the vendor's documents ---------------------------------------------------------------------


async def test_every_answer_fits_the_vendors_documents(vendor):
    sandbox, documents = vendor.sandbox, vendor_documents()
    field = sandbox.add_customer_field("Loyalty", "Dropdown", ["gold"])
    ada, ben, _ = sandbox.demo.customers
    sandbox.edit_customer(ada.id, custom={field.id: "gold"})
    sandbox.merge_customers(ada.id, ben.id)
    sandbox.add_job_field("Colour")
    booking = (await vendor.book(campaignId=sandbox.demo.campaigns["Radio"].id, priority="High")).json()["id"]
    await vendor.book(externalId="other")
    job = sandbox.convert_booking(booking)
    sandbox.set_job_total(job.id, "450.10", 50)
    sandbox.add_adjustment(job.id, -10)
    sandbox.set_job_status(job.id, "Completed")
    guid = next(iter(sandbox.tenant().contacts.values())).guid
    for module, path, params in (
        ("crm", vendor.bookings, {"includeTotal": "true"}),
        ("crm", f"{vendor.bookings}/{booking}", {}),
        ("crm", f"{vendor.bookings}/{booking}/contacts", {}),
        ("crm", "customers", {"active": "Any"}),
        ("crm", f"customers/{ben.id}", {}),
        ("crm", "customers/custom-fields", {}),
        ("crm", "customers/contacts", {"customerIds": str(ben.id)}),
        ("crm", "export/customers", {}),
        ("crm", "export/customers/contacts", {}),
        ("crm", "contacts/contact-methods", {"type": "Email", "value": "ben"}),
        ("crm", f"contacts/{guid}/relationships", {"typeSlug": "customer"}),
        ("crm", "booking-provider-tags", {}),
        ("jpm", "jobs", {"ids": str(job.id)}),
        ("jpm", f"jobs/{job.id}", {}),
        ("jpm", "jobs/custom-fields", {}),
        ("jpm", "job-types", {}),
        ("accounting", "invoices", {"jobId": str(job.id)}),
        ("settings", "business-units", {}),
        ("marketing", "campaigns", {}),
        ("jbce", "call-reasons", {}),
        ("crm", vendor.bookings, {"page": "0"}),
        ("crm", "customers/99", {}),
    ):
        await vendor.get(module, path, **params)
    assert vendor.recorder.answer_problems(documents) == []
    assert {one.status for one in vendor.recorder.exchanges} == {200, 400, 404}
    assert sum(len(one.body.get("data", [])) > 0 for one in vendor.recorder.exchanges if one.status == 200) >= 15
