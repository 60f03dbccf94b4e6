"""Fields and choices, pulled from the account: every page, active ones, and what a missing scope leaves."""

import pytest

from gateway.sdk.errors import NotSupported, RetryLater
from gateway_servicetitan.fields import list_fields
from gateway_servicetitan.manifest import MANIFEST, REQUIRED_SCOPES
from gateway_servicetitan.options import list_options
from plugins.servicetitan.tests.openapi import vendor_documents


async def labels(connection, source, parent=None):
    return [one.label for one in await list_options(connection, source, parent)]


async def test_every_source_of_the_manifest_is_listed(connection, recorder):
    for source in MANIFEST.option_sources:
        assert await list_options(connection, source.key, None)
    assert recorder.request_problems(vendor_documents()) == []
    assert recorder.answer_problems(vendor_documents()) == []


async def test_inactive_choices_are_left_out(sandbox, connection):
    sandbox.deactivate("campaigns", sandbox.demo.campaigns["Radio"].id)
    assert await labels(connection, "campaigns") == ["Referrals"]


async def test_job_types_are_those_of_the_business_unit_and_those_of_all(sandbox, connection):
    units = sandbox.demo.business_units
    assert await labels(connection, "job_types", str(units["Plumbing"].id)) == ["Service call"]
    assert await labels(connection, "job_types", str(units["Heating"].id)) == ["Boiler install", "Service call"]
    assert await labels(connection, "job_types") == ["Boiler install", "Service call"]
    options = await list_options(connection, "job_types", str(units["Heating"].id))
    assert {one.parent for one in options} == {str(units["Heating"].id)}


async def test_a_long_list_is_read_to_its_end(sandbox, connection):
    for number in range(620):
        sandbox.add_campaign(f"Campaign {number:04d}")
    assert len(await labels(connection, "campaigns")) == 622


async def test_without_a_scope_a_list_is_not_offered_and_its_field_has_no_options(sandbox, connect):
    connection = connect(sandbox, scopes=REQUIRED_SCOPES)
    with pytest.raises(NotSupported):
        await list_options(connection, "campaigns", None)
    fields = {one.key: one for one in await list_fields(connection, "booking")}
    assert fields["campaignId"].options == []
    assert [one.value for one in fields["priority"].options] == ["Low", "Normal", "High", "Urgent"]


async def test_custom_fields_of_customers_and_jobs_are_shown(sandbox, connection):
    sandbox.add_customer_field("Loyalty", "Dropdown", ["gold", "silver"])
    sandbox.add_job_field("Depth", "Numeric")
    customer = {one.label: one for one in await list_fields(connection, "customer")}
    job = {one.label: one for one in await list_fields(connection, "job")}
    assert (customer["Loyalty"].type, [one.value for one in customer["Loyalty"].options]) == (
        "option",
        ["gold", "silver"],
    )
    assert (job["Depth"].type, job["Depth"].custom, job["Depth"].writable) == ("number", True, False)
    assert {one.key for one in job.values() if one.type == "money"} == {"total", "invoice_total", "invoice_subtotal"}


async def test_without_the_scope_there_are_no_custom_fields(sandbox, connection):
    sandbox.add_customer_field("Loyalty")
    sandbox.take_scope("tn.crm.customers:r")
    assert "Loyalty" not in {one.label for one in await list_fields(connection, "customer")}


async def test_a_broken_list_is_not_taken_for_an_empty_one(sandbox, connection):
    sandbox.fail_next(503, match="/campaigns$")
    with pytest.raises(RetryLater):
        await list_fields(connection, "booking")


async def test_unknown_kinds_and_lists_are_refused(connection):
    with pytest.raises(NotSupported):
        await list_fields(connection, "lead")
    with pytest.raises(NotSupported):
        await list_options(connection, "technicians", None)
