"""Webhooks by the vendor's rules: signed, tried again after 10, 30, 60 and 300 seconds, and then no more."""

from datetime import timedelta

import httpx
import pytest

from gateway.sdk.inbound import InboundRequest
from gateway_servicetitan.sandbox import create_sandbox
from gateway_servicetitan.settings import ServiceTitanSettings
from gateway_servicetitan.webhooks import verify
from plugins.servicetitan.tests.openapi import vendor_documents

KEY = "0123456789abcdef0123456789abcdef"
URL = "https://gateway.test/hook"


class Receiver:
    def __init__(self) -> None:
        self.answers: list[int] = []
        self.calls: list[httpx.Request] = []

    async def handle(self, request: httpx.Request) -> httpx.Response:
        self.calls.append(request)
        return httpx.Response(self.answers.pop(0) if self.answers else 200)


@pytest.fixture
def receiver():
    return Receiver()


@pytest.fixture
def sandbox(clock, receiver):
    http = httpx.AsyncClient(transport=httpx.MockTransport(receiver.handle))
    return create_sandbox(clock=clock, http=http)


async def test_a_failed_delivery_is_tried_four_more_times_and_then_no_more(sandbox, receiver, clock):
    sandbox.subscribe(URL, KEY, events=["tn.jpm.job-updated"])
    receiver.answers = [500, 202, 302, 404, 500, 200]
    job = sandbox.book_by_hand(sandbox.demo.customers[0].id)
    sandbox.set_job_status(job.id, "Dispatched")
    counts = []
    for seconds in (0, 9, 1, 29, 1, 60, 299, 1, 86_400):
        clock.advance(timedelta(seconds=seconds))
        await sandbox.deliver_webhooks()
        counts.append(len(receiver.calls))
    assert counts == [1, 1, 2, 2, 3, 4, 4, 5, 5]
    bodies = [one.payload for one in sandbox.webhooks()]
    assert len({one["userassignedid"] for one in bodies}) == 1
    assert len({one["id"] for one in bodies}) == 5


@pytest.mark.parametrize("encoding", ["hex", "base64", "sha256=hex"])
async def test_each_encoding_of_a_signature_is_one_that_we_understand(sandbox, receiver, encoding):
    sandbox.subscribe(URL, KEY, encoding=encoding, header="x-st-signature")
    sandbox.book_by_hand(sandbox.demo.customers[0].id)
    await sandbox.deliver_webhooks()
    (call,) = receiver.calls
    request = InboundRequest(method="POST", headers=dict(call.headers), query={}, body=call.content)
    verify(ServiceTitanSettings(app_key="a", webhook_key=KEY, webhook_header="x-st-signature"), request)


async def test_without_a_key_nothing_is_signed(sandbox, receiver):
    sandbox.subscribe(URL)
    sandbox.book_by_hand(sandbox.demo.customers[0].id)
    await sandbox.deliver_webhooks()
    assert not any("signature" in key for key in receiver.calls[0].headers)


async def test_there_is_no_webhook_for_a_new_booking_or_a_customer(sandbox, connection, make_push):
    from gateway_servicetitan.signups import push_signup

    sandbox.subscribe(URL, KEY)
    sandbox.add_customer("Nina", "nina@x.test")
    await push_signup(connection, make_push())
    assert await sandbox.deliver_webhooks() == []


async def test_payloads_fit_the_vendors_documents(sandbox, connection, make_push):
    from gateway_servicetitan.signups import push_signup

    sandbox.subscribe(URL, KEY)
    await push_signup(connection, make_push())
    job = sandbox.convert_booking(sandbox.bookings()[0].id)
    sandbox.set_job_status(job.id, "Completed")
    await sandbox.deliver_webhooks()
    kinds = [one.payload["type"] for one in sandbox.webhooks()]
    assert kinds == ["tn.crm.booking-updated", "tn.jpm.job-scheduled", "tn.jpm.job-completed"]
    documents = vendor_documents()
    assert [documents.webhook_problems(one.payload["type"], one.payload) for one in sandbox.webhooks()] == [[], [], []]


async def test_events_of_all_tenants_come_to_one_url(sandbox, receiver):
    sandbox.subscribe(URL, KEY, events=["tn.jpm.job-scheduled"])
    other = sandbox.demo_tenant("Bravo")
    sandbox.book_by_hand(sandbox.demo.customers[0].id)
    sandbox.book_by_hand(other.customers[0].id, tenant_id=other.tenant.id)
    await sandbox.deliver_webhooks()
    tenants = {one.payload["data"]["tenantId"] for one in sandbox.webhooks()}
    assert tenants == {sandbox.demo.tenant.id, other.tenant.id}
    assert len(receiver.calls) == 2


async def test_what_is_dropped_never_comes_and_copies_come_twice(sandbox):
    sandbox.subscribe(URL, KEY)
    sandbox.drop_webhooks(1)
    job = sandbox.book_by_hand(sandbox.demo.customers[0].id)
    assert await sandbox.deliver_webhooks() == []
    sandbox.webhook_chaos(copies=2)
    sandbox.set_job_status(job.id, "Hold")
    assert len(await sandbox.deliver_webhooks()) == 2
