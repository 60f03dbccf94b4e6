"""The feed of contacts: every customer with all its addresses, whatever changes and however it is told."""

import json
from datetime import timedelta

import pytest

from gateway.sdk.errors import NotSupported, Rejected
from gateway_servicetitan.client import ServiceTitan
from gateway_servicetitan.errors import RefusedInput
from gateway_servicetitan.index import RESTARTS
from gateway_servicetitan.models import Export
from gateway_servicetitan.polling import poll
from plugins.servicetitan.tests.openapi import vendor_documents

FEEDS = pytest.mark.parametrize("name", ["customers", "contacts"])


class Feed:
    """A feed that answers one page for ever, and refuses one token."""

    def __init__(self, page, refuses):
        self.page, self.refuses, self.asked = page, refuses, 0

    async def __call__(self, client, start):
        self.asked += 1
        if self.refuses is not None and start == self.refuses:
            raise RefusedInput("the token is refused", [])
        return self.page


@pytest.fixture
def feeds(monkeypatch):
    """Replace one of the two feeds."""

    def replace(name, page, *, refuses=None):
        feed = Feed(page, refuses)

        async def answer(client, start):
            return await feed(client, start)

        monkeypatch.setattr(ServiceTitan, {"customers": "customer_feed", "contacts": "contact_feed"}[name], answer)
        return feed

    return replace


async def walk(connection, checkpoint=None, known=None, between=None):
    """Read the feed to its end and keep what it says, as the contact index does."""
    known = {} if known is None else known
    merged = []
    while True:
        page = await poll(connection, "contacts", checkpoint)
        for one in page.contacts:
            known[one.id] = one
        merged += page.changes
        checkpoint = page.checkpoint
        if not page.more:
            return known, checkpoint, merged
        if between is not None:
            between()


def addresses(known):
    return sorted(email.strip().lower() for one in known.values() if one.active for email in one.emails)


async def test_the_first_walk_reads_every_customer_with_its_addresses(make_sandbox, connect, recorder):
    sandbox = make_sandbox(export_page=50)
    connection = connect(sandbox)
    for number in range(230):
        sandbox.add_customer(f"Person {number}", f"p{number}@x.test")
    known, _, _ = await walk(connection)
    assert len(known) == 233
    assert len(addresses(known)) == 232
    assert recorder.request_problems(vendor_documents()) == []


async def test_calls_are_as_documented(sandbox, connection, recorder):
    await walk(connection)
    assert recorder.request_problems(vendor_documents()) == []
    assert recorder.answer_problems(vendor_documents()) == []


async def test_a_new_address_is_seen_though_the_customer_did_not_change(sandbox, connection, clock):
    known, checkpoint, _ = await walk(connection)
    clock.advance(timedelta(minutes=10))
    ada = sandbox.demo.customers[0]
    sandbox.add_contact(ada.id, "Email", "ada@second.test")
    known, checkpoint, _ = await walk(connection, checkpoint, known)
    assert known[str(ada.id)].emails == ["ada@customer.test", "ada@second.test"]


@pytest.mark.parametrize("change", ["deleted", "edited"])
async def test_an_address_that_is_gone_is_forgotten(sandbox, connection, clock, change):
    known, checkpoint, _ = await walk(connection)
    clock.advance(timedelta(minutes=10))
    ada = sandbox.demo.customers[0]
    email = next(one for one in sandbox.tenant().contacts_of(ada.id) if one.type == "Email")
    if change == "deleted":
        sandbox.delete_contact(email.id)
    else:
        sandbox.edit_contact(email.id, "new@x.test")
    known, _, _ = await walk(connection, checkpoint, known)
    assert "ada@customer.test" not in addresses(known)


async def test_merged_and_inactive_customers_are_told(sandbox, connection, clock):
    known, checkpoint, _ = await walk(connection)
    clock.advance(timedelta(minutes=10))
    ada, ben, cleo = sandbox.demo.customers
    sandbox.merge_customers(ada.id, ben.id)
    sandbox.deactivate_customer(cleo.id)
    known, _, merged = await walk(connection, checkpoint, known)
    assert (known[str(ada.id)].active, known[str(ada.id)].merged_into) == (False, str(ben.id))
    assert not known[str(cleo.id)].active
    assert "ada@customer.test" in known[str(ben.id)].emails
    assert (str(ada.id), str(ben.id)) in {(one.ref.id, one.merged_into) for one in merged}


async def test_what_changes_during_the_walk_is_not_lost(make_sandbox, connect, clock):
    sandbox = make_sandbox(export_page=10)
    connection = connect(sandbox)
    people = [sandbox.add_customer(f"Person {n}", f"p{n}@x.test") for n in range(60)]
    turn = iter(people)

    def somebody_changes():
        clock.advance(timedelta(seconds=1))
        one = next(turn, None)
        if one is not None:
            sandbox.edit_customer(one.id, name=f"{one.name} again")
            sandbox.add_contact(one.id, "Email", f"second{one.id}@x.test")

    known, _, _ = await walk(connection, between=somebody_changes)
    wanted = sorted(it.value for it in sandbox.tenant().contacts.values() if it.type == "Email" and it.active)
    assert addresses(known) == wanted


async def test_a_token_that_is_refused_begins_again_from_before_the_last_change(sandbox, connection, clock, recorder):
    known, checkpoint, _ = await walk(connection)
    clock.advance(timedelta(days=40))
    sandbox.add_customer("Dora", "dora@x.test")
    broken = json.dumps({**json.loads(checkpoint), "customers": "stale-token"})
    known, _, _ = await walk(connection, broken, known)
    assert "dora@x.test" in addresses(known)
    starts = [one.request.url.params.get("from") for one in recorder.exchanges if "export" in one.request.url.path]
    assert any((start or "").startswith("2026-11-20") for start in starts), "not from the very beginning"


async def test_changes_of_one_feed_say_nothing_of_how_far_the_other_was_read(sandbox, connection, clock):
    known, checkpoint, _ = await walk(connection)
    clock.advance(timedelta(days=10))
    ada, ben, _ = sandbox.demo.customers
    sandbox.add_contact(ada.id, "Email", "ada@second.test")
    clock.advance(timedelta(days=10))
    sandbox.edit_customer(ben.id, name="Ben Again")
    broken = json.dumps({**json.loads(checkpoint), "contacts": "stale-token"})
    known, _, _ = await walk(connection, broken, known)
    assert "ada@second.test" in addresses(known)


@FEEDS
async def test_a_feed_whose_tokens_are_refused_again_and_again_stops_and_says_so(connection, feeds, name):
    feed = feeds(name, Export(continue_from="stale", has_more=True, data=[]), refuses="stale")
    with pytest.raises(Rejected, match=f"refused the place .* {RESTARTS} times"):
        await walk(connection)
    assert feed.asked == 2 * (RESTARTS + 1)


async def test_a_feed_that_stopped_is_tried_again_a_day_later(sandbox, connection, clock):
    _, checkpoint, _ = await walk(connection)
    at = {**json.loads(checkpoint), "customers": "stale", "restarts": RESTARTS, "restarted": clock().isoformat()}
    with pytest.raises(Rejected):
        await poll(connection, "contacts", json.dumps(at))
    clock.advance(timedelta(days=1))
    sandbox.add_customer("Dora", "dora@x.test")
    known, _, _ = await walk(connection, json.dumps(at))
    assert "dora@x.test" in addresses(known)


@FEEDS
async def test_how_often_tokens_were_refused_counts_from_the_end_of_both_feeds(connection, name):
    _, checkpoint, _ = await walk(connection)
    for _ in range(RESTARTS + 2):
        broken = json.dumps({**json.loads(checkpoint), name: "stale-token"})
        _, checkpoint, _ = await walk(connection, broken)


@FEEDS
async def test_a_feed_that_ends_without_a_token_goes_on_where_it_was(connection, feeds, name):
    _, checkpoint, _ = await walk(connection)
    feeds(name, Export(continue_from=None, has_more=False, data=[]))
    _, later, _ = await walk(connection, checkpoint)
    assert json.loads(later)[name] == json.loads(checkpoint)[name]


@FEEDS
async def test_a_first_page_without_a_token_goes_on_from_a_day_before(connection, feeds, name):
    feeds(name, Export(continue_from=None, has_more=False, data=[]))
    _, checkpoint, _ = await walk(connection)
    assert json.loads(checkpoint)[name] == "2026-11-20T10:00:00.000000Z"


async def test_an_account_that_hides_its_customers_says_so(sandbox, connection):
    sandbox.take_scope("tn.crm.customers:r")
    with pytest.raises(NotSupported, match="list of contacts"):
        await poll(connection, "contacts", None)


async def test_a_page_takes_two_calls_for_each_fifty_customers(make_sandbox, connect, recorder, clock):
    sandbox = make_sandbox(export_page=100, seed=True)
    connection = connect(sandbox)
    for number in range(97):
        sandbox.add_customer(f"Person {number}", f"p{number}@x.test")
    sandbox.clear_log()
    await poll(connection, "contacts", None)
    paths = [one.path.rpartition("123456789/")[2] for one in sandbox.front.log]
    assert (paths.count("export/customers"), paths.count("customers/contacts")) == (1, 2)
