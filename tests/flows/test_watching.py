"""Which changes in a CRM qualify whom: the rules, over a CRM in memory."""

import random
from datetime import timedelta

import pytest

from gateway_schemas.records import Fact

from .watched import eur, watching


@pytest.fixture
async def gateway(database, database_url):
    async with watching(database, database_url) as made:
        yield made


FIXED = {"kind": "fixed", "amount": "50", "currency": "EUR"}


async def test_a_deal_that_we_made_qualifies_when_it_is_won(gateway):
    await gateway.begin(rewards=[FIXED])
    deal = gateway.crm.add("deal", 1)
    fred = await gateway.person(records=(deal,))
    gateway.crm.win(deal)
    await gateway.deliver()
    person = await gateway.get(fred)
    assert person.state == "qualified"
    assert person.qualified_by["rule"] == "won"
    assert person.qualified_by["record"] == {"kind": "deal", "id": "1"}
    assert (await gateway.get("per_rita")).qualified == 1
    told = await gateway.told_host("referral.qualified", "reward.due", "referrer.stats_updated")
    assert {kind for kind, _ in told} == {"referral.qualified", "reward.due", "referrer.stats_updated"}
    qualified = next(data for kind, data in told if kind == "referral.qualified")
    assert (qualified["rule"], qualified["record"], qualified["seen"], qualified["manual"]) == (
        "won",
        {"kind": "deal", "id": "1"},
        {"won": None},
        False,
    )


async def test_a_converted_lead_is_followed_to_its_deal_and_is_not_gone(gateway):
    await gateway.begin(trigger="converted", target="lead")
    contact = gateway.crm.add("contact", 1)
    lead = gateway.crm.add("lead", "l1", contact=contact)
    fred = await gateway.person(records=(contact, lead))
    gateway.crm.convert(lead, 7)
    await gateway.deliver()
    assert await gateway.states(fred) == ["qualified"]
    await gateway.later(hours=3)
    assert await gateway.links(fred) == {"contact 1": "created", "lead l1": "created", "deal 7": "converted"}


async def test_a_conversion_is_found_when_the_deal_was_never_told(gateway):
    await gateway.begin(trigger="converted", target="lead")
    contact = gateway.crm.add("contact", 1)
    lead = gateway.crm.add("lead", "l1", contact=contact)
    fred = await gateway.person(records=(contact, lead))
    gateway.crm.told.clear()
    gateway.crm.convert(lead, 7)
    await gateway.deliver([one for one in gateway.crm.told if one.deleted])
    assert await gateway.states(fred) == ["qualified"]


async def test_a_lead_that_is_deleted_is_told_at_once_and_believed_after_a_second_look(gateway):
    await gateway.begin(trigger="converted", target="lead")
    lead = gateway.crm.add("lead", "l1")
    fred = await gateway.person(records=(lead,))
    gateway.crm.delete(lead)
    await gateway.deliver()
    assert (await gateway.get(fred)).crm == "linked"
    why = await gateway.why(fred)
    assert (
        why["note"]
        == "No deal of this referral has been seen yet. lead l1 was deleted, and no deal made from it has been found."
    )
    await gateway.later(seconds=61)
    assert (await gateway.get(fred)).crm == "gone"
    assert await gateway.links(fred) == {"lead l1": "created gone"}
    assert not await gateway.tasks("sweep_people")


async def test_a_deal_that_appears_after_the_lead_was_given_up_still_counts(gateway):
    await gateway.begin(trigger="converted", target="lead")
    lead = gateway.crm.add("lead", "l1")
    fred = await gateway.person(records=(lead,))
    gateway.crm.delete(lead)
    await gateway.deliver()
    await gateway.later(minutes=5)
    gateway.crm.add("deal", 7, origin=lead, facts=[Fact(name="converted")])
    gateway.crm.told.clear()
    await gateway.later(minutes=20)  # the feed
    person = await gateway.get(fred)
    assert (person.state, person.crm) == ("qualified", "linked")


async def test_a_stage_that_was_passed_between_two_looks_counts(gateway):
    await gateway.begin(trigger="stage", parameters={"stage": "3"}, accepts={"stage": ["3", "4"]})
    deal = gateway.crm.add("deal", 1, facts=[Fact(name="stage", value="1")])
    fred = await gateway.person(records=(deal,))
    gateway.crm.change(deal, fact="stage", value="4")
    gateway.crm.change(deal, fact="stage", value="1")
    await gateway.deliver()
    assert await gateway.states(fred) == ["qualified"]
    why = await gateway.why(fred)
    assert "stage 4, which comes later" in why["conditions"][0]["evidence"]


async def test_facts_of_a_message_count_only_once_the_record_is_known_to_be_ours(gateway):
    await gateway.begin(trigger="won", target="contact")
    contact = gateway.crm.add("contact", 1)
    fred = await gateway.person(records=(contact,))
    deal = gateway.crm.add("deal", 1, contact=contact)
    gateway.crm.win(deal)
    del gateway.crm.records[deal]
    gateway.crm.feed.clear()
    await gateway.deliver()
    assert await gateway.states(fred) == ["pending"]
    assert await gateway.facts(fred) == set()


# --- through the contact -----------------------------------------------------------------------------------


async def test_a_contacts_deal_counts_when_it_was_added_after_the_signup(gateway):
    await gateway.begin(target="contact")
    contact = gateway.crm.add("contact", 1)
    old = gateway.crm.add("deal", 1, contact=contact, created_at=gateway.now - timedelta(days=1))
    fred = await gateway.person(records=(contact,))
    gateway.crm.win(old)
    await gateway.deliver()
    assert await gateway.states(fred) == ["pending"]
    new = gateway.crm.add("deal", 2, contact=contact, created_at=gateway.now)
    gateway.crm.win(new)
    await gateway.deliver()
    assert await gateway.states(fred) == ["qualified"]
    assert await gateway.links(fred) == {"contact 1": "created", "deal 2": "contact"}


async def test_one_deal_qualifies_one_referral_of_a_campaign_and_the_oldest_signup_wins(gateway):
    await gateway.begin(target="contact")
    await gateway.begin(target="contact", campaign="autumn")
    contact = gateway.crm.add("contact", 1)
    young = await gateway.person("young", records=(contact,))
    old = await gateway.person("old", records=(contact,), signed_up_at=gateway.now - timedelta(days=3))
    elsewhere = await gateway.person("elsewhere", campaign="autumn", referrer=None, records=(contact,))
    gateway.crm.win(gateway.crm.add("deal", 1, contact=contact))
    await gateway.deliver()
    assert await gateway.states(young, old, elsewhere) == ["pending", "qualified", "qualified"]
    assert "deal 1 has qualified per_old" in str(await gateway.why(young))
    gateway.crm.win(gateway.crm.add("deal", 2, contact=contact))
    await gateway.deliver()
    assert await gateway.states(young, old) == ["qualified", "qualified"]


async def test_a_deal_that_was_made_for_one_signup_is_no_others_by_the_contact(gateway):
    await gateway.begin(target="contact")
    contact = gateway.crm.add("contact", 1)
    deal = gateway.crm.add("deal", 1, contact=contact)
    mine = await gateway.person("mine", records=(contact, deal))
    other = await gateway.person("other", records=(contact,), signed_up_at=gateway.now - timedelta(days=3))
    gateway.crm.win(deal)
    await gateway.deliver()
    assert await gateway.states(mine, other) == ["qualified", "pending"]


async def test_merged_contacts_keep_their_referral(gateway):
    await gateway.begin(target="contact")
    loser, survivor = gateway.crm.add("contact", 1), gateway.crm.add("contact", 2)
    fred = await gateway.person(records=(loser,))
    await gateway.deliver()
    gateway.crm.merge_contacts(loser, survivor)
    gateway.crm.win(gateway.crm.add("deal", 1, contact=survivor))
    told = gateway.crm.told[:]
    gateway.crm.told.clear()
    await gateway.deliver(told)
    assert await gateway.states(fred) == ["qualified"]
    assert await gateway.links(fred) == {"contact 1": "created gone", "contact 2": "created", "deal 1": "contact"}
    assert any(entry["kind"] == "record.merged" for entry in (await gateway.timeline(fred))["entries"])
    await gateway.deliver(told)
    assert (await gateway.get(fred)).crm == "linked"


async def test_merged_deals_keep_what_was_seen(gateway):
    await gateway.begin(trigger="stage", parameters={"stage": "3"})
    first, second = gateway.crm.add("deal", 1), gateway.crm.add("deal", 2)
    fred = await gateway.person(records=(first,))
    gateway.crm.change(first, fact="stage", value="2")
    await gateway.deliver()
    gateway.crm.delete(first, merged_into="2")
    await gateway.deliver()
    assert await gateway.facts(fred) == {("2", "stage", "2")}
    gateway.crm.change(second, fact="stage", value="3")
    await gateway.deliver()
    assert await gateway.states(fred) == ["qualified"]


# --- reversal ----------------------------------------------------------------------------------------------


async def test_a_deal_that_is_reopened_takes_it_back_and_won_again_gives_it_again(gateway):
    await gateway.begin(rewards=[FIXED])
    deal = gateway.crm.add("deal", 1)
    fred = await gateway.person(records=(deal,))
    for state, expected, counted in (
        ("won", "qualified", 1),
        ("open", "disqualified", 0),
        ("won", "qualified", 1),
        ("lost", "disqualified", 0),
    ):
        gateway.services.clock.advance(timedelta(seconds=1))
        gateway.crm.change(deal, state=state, fact="won")
        await gateway.deliver()
        assert await gateway.states(fred) == [expected]
        assert (await gateway.get("per_rita")).qualified == counted
    assert [one.state for one in await gateway.rewards(fred)] == ["cancelled"]
    kinds = [kind for kind, _ in await gateway.told_host("referral.qualified", "referral.disqualified")]
    assert sorted(kinds) == ["referral.disqualified"] * 2 + ["referral.qualified"] * 2


async def test_a_deal_that_is_gone_takes_it_back(gateway):
    await gateway.begin()
    deal = gateway.crm.add("deal", 1, state="won", facts=[Fact(name="won")])
    fred = await gateway.person(records=(deal,))
    await gateway.deliver()
    assert await gateway.states(fred) == ["qualified"]
    gateway.services.clock.advance(timedelta(seconds=1))
    gateway.crm.delete(deal)
    await gateway.deliver()
    assert await gateway.states(fred) == ["disqualified"]


@pytest.mark.parametrize("issued", [False, True])
async def test_it_is_never_taken_back_where_not_set_up_or_once_the_reward_is_issued(gateway, issued):
    await gateway.begin(rewards=[FIXED], reverse="until_issued" if issued else "never")
    deal = gateway.crm.add("deal", 1, state="won", facts=[Fact(name="won")])
    fred = await gateway.person(records=(deal,))
    await gateway.deliver()
    if issued:
        (reward,) = await gateway.rewards(fred)
        await gateway.call("POST", f"/v1/rewards/{reward.id}/issued")
    gateway.services.clock.advance(timedelta(seconds=1))
    gateway.crm.change(deal, state="lost")
    await gateway.deliver()
    assert await gateway.states(fred) == ["qualified"]
    assert (await gateway.why(fred))["qualified"] is True


async def test_an_older_reading_never_overwrites_a_newer_one(gateway):
    await gateway.begin()
    deal = gateway.crm.add("deal", 1)
    fred = await gateway.person(records=(deal,))
    stale = gateway.crm.feed[-1]
    gateway.services.clock.advance(timedelta(seconds=5))
    gateway.crm.win(deal)
    await gateway.deliver()
    assert await gateway.states(fred) == ["qualified"]
    gateway.crm.feed[:] = [stale]  # a feed that lags
    await gateway.later(minutes=16)
    assert await gateway.states(fred) == ["qualified"]


async def test_another_deal_that_holds_keeps_the_referral_qualified(gateway):
    await gateway.begin(target="contact")
    contact = gateway.crm.add("contact", 1)
    fred = await gateway.person(records=(contact,))
    first, second = gateway.crm.add("deal", 1, contact=contact), gateway.crm.add("deal", 2, contact=contact)
    gateway.crm.win(first)
    gateway.services.clock.advance(timedelta(seconds=1))
    gateway.crm.win(second)
    await gateway.deliver()
    gateway.services.clock.advance(timedelta(seconds=1))
    gateway.crm.change(first, state="lost")
    await gateway.deliver()
    person = await gateway.get(fred)
    assert (person.state, person.qualified_by["record"]["id"]) == ("qualified", "2")
    assert len(await gateway.told_host("referral.qualified")) == 1


async def test_another_rule_takes_nothing_back(gateway):
    await gateway.begin()
    deal = gateway.crm.add("deal", 1, state="won", facts=[Fact(name="won")])
    fred = await gateway.person(records=(deal,))
    await gateway.deliver()
    await gateway.begin(trigger="stage", parameters={"stage": "9"})
    gateway.crm.change(deal, fact="stage", value="2")
    await gateway.deliver()
    assert await gateway.states(fred) == ["qualified"]
    why = await gateway.why(fred)
    assert why["qualified"] is True
    assert why["conditions"][0]["label"] == "Won"


# --- order, repetition, and two sources ----------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(6))
async def test_any_order_and_repetition_of_the_messages_ends_the_same(gateway, seed):
    await gateway.begin(
        trigger="stage", parameters={"stage": "3"}, accepts={"stage": ["3", "4"]}, rewards=[FIXED], target="lead"
    )
    contact = gateway.crm.add("contact", 1)
    lead = gateway.crm.add("lead", "l1", contact=contact)
    fred = await gateway.person(records=(contact, lead))
    deal = gateway.crm.convert(lead, 7)
    for stage in ("2", "3", "1", "4", "2"):
        gateway.services.clock.advance(timedelta(seconds=1))
        gateway.crm.change(deal, fact="stage", value=stage)
    shuffled = random.Random(seed).choices(gateway.crm.told, k=6) + gateway.crm.told[:]
    random.Random(seed).shuffle(shuffled)
    half = len(shuffled) // 2
    await gateway.deliver(shuffled[:half])
    await gateway.deliver(shuffled[half:])
    assert await gateway.states(fred) == ["qualified"]
    assert await gateway.facts(fred) == {("7", "converted", ""), *(("7", "stage", stage) for stage in "1234")}
    assert len(await gateway.told_host("referral.qualified")) == 1
    assert [one.state for one in await gateway.rewards(fred)] == ["due"]
    assert (await gateway.get("per_rita")).qualified == 1


async def test_webhook_feed_and_sweep_together_qualify_once(gateway):
    await gateway.begin(rewards=[FIXED])
    deal = gateway.crm.add("deal", 1)
    fred = await gateway.person(records=(deal,))
    gateway.crm.win(deal)
    await gateway.deliver()
    await gateway.later(hours=2)
    assert {what for what, _ in gateway.crm.calls} >= {"poll", "read"}
    assert len(await gateway.told_host("referral.qualified")) == 1
    assert len(await gateway.rewards(fred)) == 1
    seen = [entry for entry in (await gateway.timeline(fred))["entries"] if entry["kind"] == "record.seen"]
    assert len(seen) == 1


async def test_a_marked_test_signup_qualifies_and_is_neither_counted_nor_rewarded(gateway):
    await gateway.begin(rewards=[FIXED])
    deal = gateway.crm.add("deal", 1, state="won", facts=[Fact(name="won")])
    fred = await gateway.person(records=(deal,), test=True)
    await gateway.deliver()
    assert await gateway.states(fred) == ["qualified"]
    assert await gateway.rewards(fred) == []
    assert (await gateway.get("per_rita")).qualified == 0
    assert "test signup" in (await gateway.why(fred))["note"]


async def test_without_a_referrer_there_is_no_reward_and_the_timeline_says_so(gateway):
    await gateway.begin(rewards=[FIXED])
    deal = gateway.crm.add("deal", 1, state="won", facts=[Fact(name="won")])
    fred = await gateway.person(records=(deal,), referrer=None)
    await gateway.deliver()
    assert await gateway.rewards(fred) == []
    assert [entry["kind"] for entry in (await gateway.timeline(fred))["entries"]].count("reward.none") == 1


async def test_what_cannot_qualify_does_not(gateway):
    await gateway.begin()
    deal = gateway.crm.add("deal", 1, state="won", facts=[Fact(name="won")])
    fred = await gateway.person(records=(deal,), cannot_qualify="An existing contact; cannot qualify.")
    await gateway.deliver()
    assert await gateway.states(fred) == ["pending"]
    assert (await gateway.why(fred))["note"] == "An existing contact; cannot qualify."


async def test_without_a_rule_nothing_is_judged_and_a_rule_set_later_counts_what_was_seen(gateway):
    await gateway.begin(trigger=None)
    deal = gateway.crm.add("deal", 1)
    fred = await gateway.person(records=(deal,))
    gateway.crm.win(deal)
    await gateway.deliver()
    assert "No qualification rule" in (await gateway.why(fred))["note"]
    await gateway.begin()
    await gateway.later(hours=1, minutes=6)
    assert await gateway.states(fred) == ["qualified"]


# --- sale value --------------------------------------------------------------------------------------------


TENTH = {"kind": "percentage", "percent": "10", "hold_days": 14}


async def test_the_sale_value_is_taken_and_follows_the_record_while_the_reward_is_held(gateway):
    await gateway.begin(rewards=[TENTH], sale_value={"record_kind": "deal", "field": "value"})
    deal = gateway.crm.add("deal", 1, fields={"value": eur(0)})
    fred = await gateway.person(records=(deal,))
    gateway.crm.win(deal)
    await gateway.deliver()
    (reward,) = await gateway.rewards(fred)
    assert (reward.state, reward.held_reason) == ("held", "awaiting_sale")
    assert "holds no sale value yet" in (await gateway.why(fred))["note"]
    for value, expected in ((1000, "100.00"), (1200, "120.00")):
        gateway.services.clock.advance(timedelta(seconds=1))
        gateway.crm.change(deal, fields={"value": eur(value), "secret": "not ours"})
        await gateway.deliver()
        (reward,) = await gateway.rewards(fred)
        assert (reward.state, reward.held_reason, str(reward.amount)) == ("held", "hold_period", expected)
    assert [kind for kind, _ in await gateway.told_host("sale.recorded", "sale.updated")] == [
        "sale.recorded",
        "sale.updated",
    ]
    assert (await gateway.get(fred)).sale_amount == 1200
    await gateway.later(days=14, minutes=2)
    gateway.crm.change(deal, fields={"value": eur(5000)})
    await gateway.deliver()
    (reward,) = await gateway.rewards(fred)
    assert (reward.state, str(reward.amount)) == ("due", "120.00")


async def test_a_leads_field_is_read_from_its_deal_and_a_contacts_from_the_contact(gateway):
    await gateway.begin(trigger="converted", target="lead", sale_value={"record_kind": "lead", "field": "custom"})
    await gateway.begin(
        trigger="converted", target="lead", campaign="autumn", sale_value={"record_kind": "contact", "field": "spent"}
    )
    contact = gateway.crm.add("contact", 1, fields={"spent": "300.50 USD"})
    lead = gateway.crm.add("lead", "l1", contact=contact, fields={"custom": 1})
    fred = await gateway.person("fred", records=(contact, lead))
    anna = await gateway.person("anna", campaign="autumn", referrer=None, records=(contact, lead))
    gateway.crm.convert(lead, 7, fields={"custom": 250}, currency="GBP")
    await gateway.deliver()
    assert await gateway.sales(fred) == [("crm:deal:7", 250, "GBP")]
    assert [(str(amount), currency) for _, amount, currency in await gateway.sales(anna)] == [("300.50", "USD")]


@pytest.mark.parametrize(
    ("fields", "note"),
    [({"value": "about 5"}, "cannot be used"), ({"value": -5}, "negative"), ({}, "holds no sale value")],
)
async def test_a_value_that_cannot_be_used_is_refused_with_a_note(gateway, fields, note):
    await gateway.begin(sale_value={"record_kind": "deal", "field": "value"})
    deal = gateway.crm.add("deal", 1, state="won", facts=[Fact(name="won")], fields=fields)
    fred = await gateway.person(records=(deal,))
    await gateway.deliver()
    assert await gateway.states(fred) == ["qualified"]
    assert note in (await gateway.why(fred))["note"]
    assert await gateway.sales(fred) == []


async def test_a_value_is_taken_once_the_vendor_says_that_it_is_final(gateway):
    await gateway.begin(rewards=[TENTH], sale_value={"record_kind": "deal", "field": "value"})
    deal = gateway.crm.add(
        "deal", 1, state="won", facts=[Fact(name="won")], fields={"value": eur(10)}, value_ready=False
    )
    fred = await gateway.person(records=(deal,))
    await gateway.deliver()
    assert await gateway.sales(fred) == []
    gateway.services.clock.advance(timedelta(seconds=1))
    gateway.crm.change(deal, fields={"value": eur(99)}, value_ready=True)
    gateway.crm.told.clear()
    await gateway.later(hours=2)  # the sweep
    assert await gateway.sales(fred) == [("crm:deal:1", 99, "EUR")]


async def test_only_the_fields_that_a_sale_value_is_read_from_are_kept(gateway):
    await gateway.begin(sale_value={"record_kind": "deal", "field": "value"})
    deal = gateway.crm.add("deal", 1, fields={"value": eur(1), "email": "fred@example.com"})
    await gateway.person(records=(deal,))
    await gateway.deliver()
    from gateway.storage import facts

    states = await gateway.read(lambda conn: facts.states_of(conn, "con_1", [deal]))
    assert set(states[deal].record.fields) == {"value"}


async def test_deals_of_the_survivor_that_were_told_before_the_merge_count(gateway):
    await gateway.begin(target="contact")
    loser, survivor = gateway.crm.add("contact", 1), gateway.crm.add("contact", 2)
    fred = await gateway.person(records=(loser,))
    gateway.crm.win(gateway.crm.add("deal", 1, contact=survivor))
    await gateway.deliver()
    assert await gateway.states(fred) == ["pending"]
    gateway.crm.merge_contacts(loser, survivor)
    await gateway.deliver()
    assert await gateway.states(fred) == ["qualified"]
