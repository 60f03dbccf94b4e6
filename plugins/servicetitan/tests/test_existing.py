"""The vendor's own search by e-mail: asked where it may be, compared, and followed to customers that are alive."""

import pytest

from gateway.sdk.errors import NotSupported, RetryLater
from gateway_schemas.records import RecordRef
from gateway_servicetitan.existing import find_contacts
from gateway_servicetitan.manifest import REQUIRED_SCOPES
from plugins.servicetitan.tests.openapi import vendor_documents


def customer(number):
    return RecordRef(kind="customer", id=str(number))


async def test_a_customer_is_found_by_its_address_whatever_the_case(sandbox, connection, recorder):
    ada = sandbox.demo.customers[0]
    again = sandbox.add_customer("Ada Again", " ADA@customer.test")
    assert await find_contacts(connection, "ada@customer.test") == [customer(ada.id), customer(again.id)]
    assert recorder.request_problems(vendor_documents()) == []
    assert recorder.answer_problems(vendor_documents()) == []


async def test_a_part_of_an_address_is_none(sandbox, connection):
    assert await find_contacts(connection, "da@customer.test") == []


async def test_merged_customers_are_followed_and_inactive_ones_left_out(sandbox, connection):
    ada, ben, _ = sandbox.demo.customers
    sandbox.merge_customers(ada.id, ben.id)
    assert await find_contacts(connection, "ada@customer.test") == [customer(ben.id)]
    sandbox.deactivate_customer(ben.id)
    assert await find_contacts(connection, "ada@customer.test") == []


async def test_a_closed_search_says_so(sandbox, connection):
    sandbox.close_contact_search()
    with pytest.raises(NotSupported, match="may not be searched"):
        await find_contacts(connection, "ada@customer.test")


async def test_without_the_scope_nobody_is_asked(sandbox, connect):
    connection = connect(sandbox, scopes=REQUIRED_SCOPES)
    with pytest.raises(NotSupported, match="was not granted"):
        await find_contacts(connection, "ada@customer.test")
    assert sandbox.front.log == []


async def test_an_index_that_lags_finds_nobody_yet(make_sandbox, connect):
    sandbox = make_sandbox(search_lag=60)
    assert await find_contacts(connect(sandbox), "ada@customer.test") == []


async def test_a_search_that_is_broken_for_now_is_asked_again_later(sandbox, connection):
    sandbox.fail_next(503, match="/contact-methods$")
    with pytest.raises(RetryLater):
        await find_contacts(connection, "ada@customer.test")
