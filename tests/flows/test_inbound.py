"""Calls of vendors: proven, stored once, answered, read, and reduced; feeds and sweeps beside them."""

import asyncio
import json
from datetime import timedelta

import msgspec
import pytest

from gateway.flows.connections.app_calls import app_token
from gateway.flows.referrals.inbound import look_at, store_calls
from gateway.flows.referrals.subscriptions import RegisterWebhooks
from gateway.sdk.errors import RetryLater
from gateway.sdk.inbound import Hint, Uninstalled, WebhookRegistration
from gateway.storage import checkpoints, connections
from gateway.storage.tasks import insert_tasks
from gateway_schemas.records import Fact, RecordChange, RecordRef

from .watched import SECRET, TOKEN, watching


@pytest.fixture
async def gateway(database, database_url):
    async with watching(database, database_url) as made:
        await made.begin()
        yield made


def message(identifier, *changes):
    return msgspec.json.encode({"id": identifier, "changes": list(changes)})


DEAL = RecordRef(kind="deal", id="1")


@pytest.mark.parametrize(
    "changes",
    [{"token": "x" * 40}, {"secret": "wrong"}, {"connection": "con_2"}, {"integration": "other"}, {"token": ""}],
    ids=["token", "signature", "connection", "integration", "empty"],
)
async def test_what_is_not_proven_is_refused_and_not_stored(gateway, changes):
    answer = await gateway.post(message("m1"), **changes)
    assert answer.status_code in (401, 404, 405)
    if changes.get("token") != "":
        assert answer.json()["code"] == "signature_invalid"
    assert await gateway.inbound() == []


async def test_a_disconnected_connection_takes_no_calls(gateway):
    await gateway.write(lambda conn: connections.change(conn, "con_1", state="disconnected"))
    assert (await gateway.post(message("m1"))).status_code == 401
    assert await gateway.inbound() == []


async def test_a_message_is_stored_once_however_often_it_comes(gateway):
    for body in (message("m1"), message("m1"), message("m1", RecordChange(ref=DEAL)), message("m2")):
        assert (await gateway.post(body)).status_code == 200
    assert len(await gateway.inbound()) == 2
    assert len(await gateway.tasks("read_inbound")) == 1


@pytest.mark.parametrize(
    "body", [b"", b"not json", b"[]", b'{"id": 7}', b"\xff\xfe", json.dumps({"id": "x" * 500, "changes": []}).encode()]
)
async def test_what_we_do_not_like_is_answered_stored_and_holds_up_nobody(gateway, body):
    deal = gateway.crm.add("deal", 1)
    fred = await gateway.person(records=(deal,))
    assert (await gateway.post(body)).status_code == 200
    gateway.crm.win(deal)
    await gateway.deliver()
    assert await gateway.states(fred) == ["qualified"]
    assert all(row.read_at is not None and row.request is None for row in await gateway.inbound())


async def test_a_large_body_is_refused(gateway):
    assert (await gateway.post(b"x" * (1024 * 1024 + 1))).status_code == 413


async def test_secrets_are_not_stored_and_what_was_read_is_reduced(gateway):
    change = RecordChange(
        ref=RecordRef(kind="deal", id="99"), facts=[Fact(name="won")], contact=RecordRef(kind="contact", id="5")
    )
    await gateway.post(msgspec.json.encode({"id": "m1", "changes": [change], "name": "Fred Friend"}))
    (stored,) = await gateway.inbound()
    assert SECRET not in json.dumps(stored.request)
    await gateway.drain()
    (read,) = await gateway.inbound()
    assert read.request is None
    assert read.summary == {
        "changes": [{"kind": "deal", "id": "99", "at": None, "facts": ["won"], "deleted": False}],
        "number": 1,
    }
    assert not [call for call in gateway.crm.calls if call[0] == "read"]  # about nobody of ours


async def test_calls_at_one_time_are_written_together_and_read_by_one_task(gateway):
    answers = await asyncio.gather(*(gateway.post(message(f"m{number % 20}")) for number in range(40)))
    assert {answer.status_code for answer in answers} == {200}
    assert len(await gateway.inbound()) == 20
    assert len(await gateway.tasks("read_inbound")) == 1
    await gateway.drain()
    assert len(await gateway.tasks("read_inbound", "done")) == 1


async def test_more_than_one_task_reads_are_read_by_the_next(gateway, monkeypatch):
    monkeypatch.setattr("gateway.flows.referrals.inbound.BATCH", 3)
    for number in range(8):
        await gateway.post(message(f"m{number}"))
    await gateway.drain()
    assert all(row.read_at for row in await gateway.inbound())
    assert len(await gateway.tasks("read_inbound", "done")) == 3


async def test_a_batch_that_is_stored_again_is_answered_again(gateway):
    from gateway.sdk.inbound import InboundRequest
    from gateway.storage.inbound import NewInbound

    request = InboundRequest(method="POST", headers={}, query={}, body=b"{}")
    call = NewInbound(
        integration="watched",
        connection_id="con_1",
        account_id="acme",
        dedupe_key="k",
        request=request,
        body_hash="h",
        lane="vendor:watched:tenant",
        received_at=gateway.now,
    )
    assert await gateway.services.database.writer.submit(store_calls, [call, call]) == [True, False]
    assert await gateway.services.database.writer.submit(store_calls, [call]) == [False]


async def test_when_the_vendor_is_down_nothing_is_lost(gateway):
    deal = gateway.crm.add("deal", 1)
    fred = await gateway.person(records=(deal,))
    gateway.crm.win(deal)
    gateway.crm.errors = {"read": [RetryLater("down", after_seconds=30)] * 2}
    gateway.crm.feed.clear()
    await gateway.deliver()
    for _ in range(4):
        await gateway.later(seconds=31)
    assert await gateway.states(fred) == ["qualified"]


async def test_the_echo_of_our_own_write_is_not_looked_at(gateway):
    await gateway.person(records=(DEAL,))
    await gateway.drain()
    gateway.crm.calls.clear()
    await gateway.deliver([RecordChange(ref=DEAL, own=True, message_id="m1")])
    assert gateway.crm.calls == []


async def test_a_referrers_contact_is_not_looked_at_until_it_is_gone(gateway):
    contact = gateway.crm.add("contact", 1)
    await gateway.person("anna", role="referrer", records=(contact,))
    gateway.crm.change(contact)
    await gateway.deliver()
    assert not [call for call in gateway.crm.calls if call[0] == "read"]
    gateway.crm.delete(contact)
    await gateway.deliver()
    await gateway.later(seconds=61)
    assert await gateway.links("per_anna") == {"contact 1": "created gone"}
    assert not await gateway.tasks("sweep_people")


# --- calls for the app ---------------------------------------------------------------------------------------


async def test_hints_for_the_app_are_followed_by_the_connection_that_they_concern(gateway):
    deal = gateway.crm.add("deal", 1)
    fred = await gateway.person(records=(deal,))
    gateway.crm.win(deal)
    gateway.crm.feed.clear()
    gateway.crm.notices = [
        Hint(identity="tenant", refs=[("deal", "1")]),
        Hint(identity="unknown", refs=[("deal", "1")]),
    ]
    url = f"/v1/inbound/watched/{app_token(gateway.services, 'watched')}"
    assert (
        await gateway.api.post("/v1/inbound/watched/wrong", content=b"[{}]", headers={"x-app": SECRET})
    ).status_code == 401
    assert (await gateway.api.post(url, content=b"[{}]")).status_code == 401
    assert await gateway.inbound() == []
    for _ in range(2):
        assert (await gateway.api.post(url, content=b"[{}]", headers={"x-app": SECRET})).status_code == 200
    assert len(await gateway.inbound()) == 1
    await gateway.drain()
    assert await gateway.states(fred) == ["qualified"]
    assert (await gateway.inbound())[0].summary == {
        "notices": [{"type": "Hint", "identity": "tenant"}, {"type": "Hint", "identity": "unknown"}],
        "number": 2,
    }


async def test_an_uninstall_disconnects(gateway):
    gateway.crm.notices = [Uninstalled(identity="tenant")]
    url = f"/v1/inbound/watched/{app_token(gateway.services, 'watched')}"
    assert (await gateway.api.post(url, content=b"[{}]", headers={"x-app": SECRET})).status_code == 200
    await gateway.drain()
    row = await gateway.read(lambda conn: connections.get(conn, "con_1"))
    assert row.state == "disconnected"


# --- subscriptions -------------------------------------------------------------------------------------------


async def test_subscriptions_are_kept_daily_under_an_unguessable_url(gateway):
    await gateway.later(minutes=1)
    await gateway.later(days=1)
    urls = [about for what, about in gateway.crm.calls if what == "register"]
    assert len(urls) >= 2
    assert set(urls) == {f"https://gateway.test/v1/inbound/watched/con_1/{TOKEN}"}
    row = await gateway.read(lambda conn: connections.get(conn, "con_1"))
    assert row.webhooks == "healthy"


async def own_secrets(gateway):
    gateway.crm.makes_secrets = True
    await gateway.later(days=1)
    return dict(gateway.crm.hooks)


async def proven(gateway, secret):
    return (await gateway.post(b'{"id": "1", "changes": []}', secret=secret)).status_code == 200


async def test_secrets_that_the_vendor_makes_are_kept_for_each_subscription(gateway):
    hooks = await own_secrets(gateway)
    assert len(hooks) == 2
    for secret in hooks.values():
        assert await proven(gateway, secret)
    assert not await proven(gateway, SECRET)
    assert not await proven(gateway, "")
    await gateway.later(days=1)
    assert gateway.crm.hooks == hooks  # they were known, so nothing was made again
    for secret in hooks.values():
        assert await proven(gateway, secret)


async def test_a_secret_whose_answer_was_lost_is_made_again_and_the_old_one_proves_nothing(gateway):
    gateway.crm.errors = {"made": [RetryLater("no full answer", after_seconds=60, lane_wide=False)]}
    lost = await own_secrets(gateway)
    await gateway.later(minutes=2)
    hooks = gateway.crm.hooks
    assert len(hooks) == 2
    assert not lost.items() <= hooks.items()
    for secret in hooks.values():
        assert await proven(gateway, secret)
    for secret in set(lost.values()) - set(hooks.values()):
        assert not await proven(gateway, secret)


async def test_a_subscription_that_was_replaced_at_the_vendor_proves_by_its_new_secret_alone(gateway):
    hooks = await own_secrets(gateway)
    (old,) = [key for key in hooks if key.startswith("deal")]
    del gateway.crm.hooks[old]
    await gateway.later(days=1)
    (new,) = [key for key in gateway.crm.hooks if key.startswith("deal")]
    assert await proven(gateway, gateway.crm.hooks[new])
    assert not await proven(gateway, hooks[old])


def test_a_registration_is_shown_without_its_secret():
    assert "s3cr3t" not in repr([WebhookRegistration(external_id="1", subject="deal", secret="s3cr3t")])


async def test_secrets_of_subscriptions_go_with_the_disconnect_and_do_not_come_back(gateway):
    await own_secrets(gateway)
    assert await gateway.read(lambda conn: gateway.services.vault.get(conn, "con_1", "webhook_secrets")) is not None
    late = RegisterWebhooks(gateway.services)._keeping(gateway.row, "healthy", {"deal-1": "secret"})
    await gateway.call("DELETE", "/v1/connections/con_1")
    await gateway.drain()
    await gateway.write(late)
    assert await gateway.read(lambda conn: gateway.services.vault.get_all(conn, "con_1")) == {}


async def test_without_webhooks_the_feed_is_read_more_often_and_finds_it(gateway):
    gateway.crm.may_register = False
    await gateway.drain()
    row = await gateway.read(lambda conn: connections.get(conn, "con_1"))
    assert row.webhooks == "unavailable"
    await gateway.later(minutes=16)
    deal = gateway.crm.add("deal", 1)
    fred = await gateway.person(records=(deal,))
    gateway.crm.win(deal)
    await gateway.later(minutes=6)
    assert await gateway.states(fred) == ["qualified"]
    assert "feed" in (await gateway.why(fred))["conditions"][0]["evidence"]


# --- feeds ---------------------------------------------------------------------------------------------------


async def test_a_feed_is_read_page_after_page_and_goes_on_where_it_stopped(gateway):
    gateway.crm.page = 2
    deals = [gateway.crm.add("deal", number) for number in range(1, 6)]
    people = [await gateway.person(f"p{ref.id}", records=(ref,)) for ref in deals]
    for ref in deals:
        gateway.crm.win(ref)
    await gateway.drain()
    assert await gateway.states(*people) == ["qualified"] * 5
    assert [about for what, about in gateway.crm.calls if what == "poll"] == [None, "2", "4", "6", "8"]
    assert len(await gateway.tasks("poll_feed")) == 1
    await gateway.later(minutes=16)
    assert [about for what, about in gateway.crm.calls if what == "poll"][5:] == ["10"]
    assert len(await gateway.tasks("poll_feed")) == 1


async def test_a_feed_that_fails_says_why_and_goes_on(gateway):
    gateway.crm.errors = {"poll": [RetryLater("the vendor is down", after_seconds=60, lane_wide=False)]}
    await gateway.drain()
    (feed,) = await gateway.read(lambda conn: checkpoints.of_connection(conn, "con_1"))
    assert feed.error is not None
    assert "the vendor is down" in feed.error
    await gateway.later(minutes=2)
    (feed,) = await gateway.read(lambda conn: checkpoints.of_connection(conn, "con_1"))
    assert (feed.error, feed.checkpoint) == (None, "0")


async def test_a_feed_that_fails_for_good_is_read_again_at_its_interval(gateway):
    gateway.crm.page = 10**9
    gateway.crm.errors = {"poll": [ValueError("bug")] * 12}
    for _ in range(40):
        await gateway.later(hours=8)
        assert not await gateway.tasks("poll_feed", "cancelled")
        if not gateway.crm.errors["poll"]:
            break
    assert len(await gateway.tasks("poll_feed", "failed")) == 1
    await gateway.later(hours=1)
    assert len(await gateway.tasks("poll_feed")) == 1
    (feed,) = await gateway.read(lambda conn: checkpoints.of_connection(conn, "con_1"))
    assert feed.checkpoint == "0"


async def test_after_a_gap_the_subscriptions_are_made_sure_of(gateway):
    await gateway.drain()
    registered = len([call for call in gateway.crm.calls if call[0] == "register"])
    await gateway.later(hours=3)
    assert len([call for call in gateway.crm.calls if call[0] == "register"]) == registered + 1


# --- sweeps --------------------------------------------------------------------------------------------------


async def test_what_a_webhook_tells_is_read_before_looks_after_a_list_of_pushes(gateway):
    deals = [gateway.crm.add("deal", number) for number in range(1, 41)]
    await gateway.drain()
    people = [await gateway.person(f"p{ref.id}", records=(ref,)) for ref in deals]
    looks = [look_at([one], gateway.row) for one in people]
    await gateway.write(lambda conn: insert_tasks(conn, looks, gateway.now))
    gateway.crm.told.clear()
    gateway.crm.win(deals[-1])
    gateway.crm.calls.clear()
    await gateway.deliver()
    assert gateway.crm.calls.index(("read", [deals[-1]])) < 16  # among what the lane starts first
    assert await gateway.states(people[-1]) == ["qualified"]


async def test_what_webhooks_and_feeds_missed_the_sweep_finds_within_the_hour(gateway):
    deals = [gateway.crm.add("deal", number) for number in range(1, 8)]
    people = [await gateway.person(f"p{ref.id}", records=(ref,)) for ref in deals]
    await gateway.drain()
    for ref in deals:
        gateway.crm.win(ref)
    gateway.crm.told.clear()
    gateway.crm.feed.clear()
    await gateway.later(minutes=30)
    assert await gateway.states(*people) == ["pending"] * 7
    await gateway.later(minutes=36)
    assert await gateway.states(*people) == ["qualified"] * 7
    assert "sweep" in (await gateway.why(people[0]))["conditions"][0]["evidence"]


async def test_open_referrals_alone_are_swept_those_first_that_waited_longest(gateway):
    deals = [gateway.crm.add("deal", number) for number in range(1, 6)]
    first = await gateway.person("first", records=(deals[0],), swept_at=gateway.now - timedelta(days=2))
    await gateway.person("second", records=(deals[1],), swept_at=gateway.now - timedelta(days=3))
    await gateway.person("manual", records=(deals[2],), manual=True)
    await gateway.person("cannot", records=(deals[3],), cannot_qualify="No.")
    await gateway.person("gone", records=(deals[4],))
    from gateway.storage import people as rows

    await gateway.write(lambda conn: rows.set_crm(conn, ["per_gone"], "gone", gateway.now))
    gateway.crm.told.clear()
    gateway.crm.calls.clear()
    await gateway.drain()
    read = [ref.id for what, refs in gateway.crm.calls if what == "read" for ref in refs]
    assert sorted(read) == ["1", "2"]
    assert (await gateway.get(first)).swept_at is not None
    gateway.crm.calls.clear()
    await gateway.later(minutes=30)
    assert not [call for call in gateway.crm.calls if call[0] == "read"]


async def test_a_piece_that_cannot_be_read_does_not_stop_the_others(gateway):
    bad = [gateway.crm.add("deal", f"bad{number}") for number in range(3)]
    for ref in bad:
        await gateway.person(ref.id, records=(ref,), swept_at=gateway.now - timedelta(days=9))
    good = gateway.crm.add("deal", 1, state="won", facts=[Fact(name="won")])
    fred = await gateway.person("fred", records=(good,), swept_at=gateway.now - timedelta(days=2))
    gateway.crm.unreadable = {ref.id for ref in bad}
    gateway.crm.feed.clear()
    for _ in range(8):
        await gateway.later(minutes=4)
    assert await gateway.states(fred) == ["qualified"]


async def test_new_records_of_a_contact_are_looked_for_once_a_day_while_webhooks_or_feeds_tell_of_them(gateway):
    await gateway.begin(target="contact")
    contact = gateway.crm.add("contact", 1)
    fred = await gateway.person("fred", records=(contact,))
    await gateway.drain()
    deal = gateway.crm.add("deal", 7, contact=contact)
    gateway.crm.win(deal)
    gateway.crm.told.clear()
    gateway.crm.feed.clear()
    gateway.crm.calls.clear()
    for _ in range(9):
        await gateway.later(hours=2, minutes=45)
    asked = [what for what, _ in gateway.crm.calls]
    assert asked.count("related") in (1, 2)  # a day has passed, and a little more
    assert asked.count("read") >= 8
    assert await gateway.states(fred) == ["qualified"]


async def test_when_the_share_of_the_budget_ends_what_was_found_is_kept(gateway):
    await gateway.begin(target="contact")
    contacts = [gateway.crm.add("contact", number) for number in (1, 2)]
    people = [await gateway.person(f"p{ref.id}", records=(ref,)) for ref in contacts]
    await gateway.drain()
    for ref in contacts:
        gateway.crm.win(gateway.crm.add("deal", f"7{ref.id}", contact=ref))
    gateway.crm.told.clear()
    gateway.crm.feed.clear()
    gateway.services.clock.advance(timedelta(days=1, minutes=6))
    original = gateway.crm.answer

    def answer(what, about):
        if what == "related" and about.id == "2" and not gateway.crm.refused:
            gateway.crm.refused = True
            raise RetryLater("the share of the day is used up", after_seconds=3600, lane_wide=False)
        original(what, about)

    gateway.crm.refused = False
    gateway.crm.answer = answer
    await gateway.drain()
    assert await gateway.states(*people) == ["qualified", "pending"]
    await gateway.later(hours=1, minutes=6)
    assert await gateway.states(*people) == ["qualified", "qualified"]


async def test_a_settled_referral_is_swept_no_more(gateway):
    await gateway.begin(reverse="never")
    deal = gateway.crm.add("deal", 1, state="won", facts=[Fact(name="won")])
    fred = await gateway.person(records=(deal,))
    await gateway.deliver()
    assert await gateway.states(fred) == ["qualified"]
    gateway.crm.calls.clear()
    await gateway.later(hours=5)
    assert not [call for call in gateway.crm.calls if call[0] == "read"]


async def test_what_was_not_read_when_a_connection_ends_is_forgotten(gateway):
    await gateway.post(message("m1", RecordChange(ref=DEAL)))
    await gateway.call("DELETE", "/v1/connections/con_1")
    (stored,) = await gateway.inbound()
    assert (stored.request, stored.summary) == (None, {"not_read": "disconnected"})
    await gateway.later(days=31)
    assert await gateway.inbound() == []


async def test_a_call_that_cannot_be_followed_is_given_up_and_the_others_are_read(gateway):
    bad, good = gateway.crm.add("deal", "bad"), gateway.crm.add("deal", 1)
    await gateway.person("victim", records=(bad,), swept_at=gateway.now)
    fred = await gateway.person(records=(good,), swept_at=gateway.now)
    gateway.crm.unreadable = {"bad"}
    gateway.crm.win(good)
    gateway.crm.feed.clear()
    await gateway.deliver()
    for _ in range(8):
        await gateway.later(minutes=6)
    assert await gateway.states(fred) == ["qualified"]
    summaries = [row.summary for row in await gateway.inbound()]
    assert summaries.count({"failed": True}) == 1
    assert None not in summaries
