"""One referral from signup to reward through Pipedrive, in each shape that the guide names."""

from decimal import Decimal

import pytest

REWARD = {"kind": "percentage", "percent": "10", "cap": "100", "currency": "EUR"}
VALUE = {"record_kind": "deal", "field": "value"}


def snapshot(world):
    return world.sandbox.snapshot()


def lead_of(world):
    (lead,) = snapshot(world)["lead"]
    return lead


def deal_of(world):
    (deal,) = snapshot(world)["deal"]
    return deal


async def begin(world, *, target, trigger, parameters=None, **setup):
    """Connect, configure, and sign a referrer and a friend up."""
    await world.account()
    await world.endpoint()
    await world.connect()
    await world.campaign(rewards=[REWARD])
    await world.setup(role="referrer", target="contact")
    await world.setup(
        target=target,
        qualification={"trigger": trigger, "parameters": parameters or {}, "reverse": "until_issued"},
        sale_value=VALUE,
        **setup,
    )
    rita = await world.signup(role="referrer", email="rita@example.com")
    await world.drain()
    code = (await world.person(rita["person"]))["code"]
    fred = await world.signup(email="fred@example.com", referrer={"code": code})
    await world.drain()
    shown = await world.person(fred["person"])
    assert shown["crm"] == "linked", shown
    assert shown["state"] == "pending"
    return rita["person"], fred["person"]


def stage(world, name):
    return world.sandbox.demo.stages[name].id


def stage_parameters(world, name):
    return {"pipeline": str(world.sandbox.demo.pipeline.id), "stage": str(stage(world, name))}


async def test_a_lead_that_becomes_a_won_deal_earns_its_referrer_a_reward(world):
    rita, fred = await begin(world, target="lead", trigger="deal_won")
    deal = world.sandbox.convert_lead(lead_of(world).id)
    world.sandbox.update_deal(deal.id, value=1200, currency="EUR")
    await world.drain()
    assert (await world.person(fred))["state"] == "pending"
    world.sandbox.win_deal(deal.id)
    await world.drain()
    shown = await world.person(fred)
    assert shown["state"] == "qualified"
    assert (Decimal(shown["sale_value"]["amount"]), shown["sale_value"]["currency"]) == (1200, "EUR")
    assert (await world.person(rita))["counts"] == {"referrals": 1, "qualified": 1}
    (due,) = world.host.of_type("reward.due")
    assert (Decimal(due["data"]["amount"]), due["data"]["currency"]) == (100, "EUR")
    await world.call("POST", f"/v1/rewards/{due['data']['reward']}/issued", {})
    await world.drain()
    assert [event["data"]["reward"] for event in world.host.of_type("reward.issued")] == [due["data"]["reward"]]
    assert len(world.host.of_type("referral.qualified")) == 1
    assert not world.host.refused


async def test_a_lead_that_is_converted_qualifies(world):
    _, fred = await begin(world, target="lead", trigger="lead_converted")
    world.sandbox.convert_lead(lead_of(world).id)
    await world.drain()
    assert (await world.person(fred))["state"] == "qualified"


async def test_a_lead_that_is_deleted_is_not_converted(world):
    _, fred = await begin(world, target="lead", trigger="lead_converted")
    world.sandbox.delete_lead(lead_of(world).id)
    await world.drain()
    await world.later(hours=2)
    assert (await world.person(fred))["state"] == "pending"


@pytest.mark.parametrize("at", ["Negotiation", "Agreed"])
async def test_a_converted_lead_qualifies_at_its_stage_or_a_later_one(world, at):
    parameters = stage_parameters(world, "Negotiation")
    _, fred = await begin(world, target="lead", trigger="lead_converted_and_stage", parameters=parameters)
    deal = world.sandbox.convert_lead(lead_of(world).id)
    await world.drain()
    assert (await world.person(fred))["state"] == "pending"
    why = (await world.timeline(fred))["why"]
    assert [condition["met"] for condition in why["conditions"]].count(False) == 1
    world.sandbox.move_deal(deal.id, stage(world, at))
    await world.drain()
    assert (await world.person(fred))["state"] == "qualified"


async def test_a_deal_qualifies_when_it_reaches_a_stage(world):
    parameters = stage_parameters(world, "Demo")
    _, fred = await begin(world, target="deal", trigger="deal_stage", parameters=parameters)
    world.sandbox.move_deal(deal_of(world).id, stage(world, "Contacted"))
    await world.drain()
    assert (await world.person(fred))["state"] == "pending"
    world.sandbox.move_deal(deal_of(world).id, stage(world, "Demo"))
    await world.drain()
    assert (await world.person(fred))["state"] == "qualified"


async def test_a_stage_that_was_passed_between_two_looks_counts(world):
    parameters = stage_parameters(world, "Demo")
    _, fred = await begin(world, target="deal", trigger="deal_stage", parameters=parameters)
    world.sandbox.move_deal(deal_of(world).id, stage(world, "Demo"))
    world.sandbox.move_deal(deal_of(world).id, stage(world, "Lead In"))
    await world.drain()
    assert (await world.person(fred))["state"] == "qualified"


async def test_a_contact_qualifies_by_a_deal_that_is_added_later_and_won(world):
    _, fred = await begin(world, target="contact", trigger="deal_won")
    contact = next(
        one for one in snapshot(world)["person"] if {"fred@example.com"} & {mail["value"] for mail in one.emails}
    )
    deal = world.sandbox.add_deal("Later business", person_id=contact.id, value=300, currency="EUR")
    world.sandbox.win_deal(deal.id)
    await world.drain()
    shown = await world.person(fred)
    assert shown["state"] == "qualified"
    assert Decimal(shown["sale_value"]["amount"]) == 300


async def test_what_every_webhook_missed_the_sweep_finds(world):
    _, fred = await begin(world, target="deal", trigger="deal_won")
    world.sandbox.drop_webhooks(100)
    world.sandbox.win_deal(deal_of(world).id)
    await world.drain()
    assert (await world.person(fred))["state"] == "pending"
    await world.later(hours=1, minutes=1)
    assert (await world.person(fred))["state"] == "qualified"


async def test_webhooks_that_come_twice_and_shuffled_qualify_once(world):
    _, fred = await begin(world, target="deal", trigger="deal_won")
    world.sandbox.webhook_chaos(copies=3, newest_first=True)
    world.sandbox.move_deal(deal_of(world).id, stage(world, "Demo"))
    world.sandbox.win_deal(deal_of(world).id)
    await world.drain()
    assert (await world.person(fred))["state"] == "qualified"
    assert len(world.host.of_type("referral.qualified")) == 1
    assert len(world.host.of_type("reward.due")) <= 1


async def test_a_deal_that_is_reopened_takes_the_qualification_back_until_the_reward_is_issued(world):
    _, fred = await begin(world, target="deal", trigger="deal_won")
    deal = deal_of(world)
    world.sandbox.update_deal(deal.id, value=100, currency="EUR")
    world.sandbox.win_deal(deal.id)
    await world.drain()
    assert (await world.person(fred))["state"] == "qualified"
    world.sandbox.reopen_deal(deal.id)
    await world.drain()
    assert (await world.person(fred))["state"] == "disqualified"
    assert len(world.host.of_type("reward.cancelled")) == 1
    world.sandbox.win_deal(deal.id)
    await world.drain()
    assert (await world.person(fred))["state"] == "qualified"


async def test_once_the_reward_is_issued_the_crm_takes_nothing_back(world):
    _, fred = await begin(world, target="deal", trigger="deal_won")
    deal = deal_of(world)
    world.sandbox.update_deal(deal.id, value=100, currency="EUR")
    world.sandbox.win_deal(deal.id)
    await world.drain()
    (due,) = world.host.of_type("reward.due")
    await world.call("POST", f"/v1/rewards/{due['data']['reward']}/issued", {})
    world.sandbox.lose_deal(deal.id)
    await world.drain()
    assert (await world.person(fred))["state"] == "qualified"


@pytest.mark.parametrize("target", ["contact", "lead", "deal"])
async def test_a_lost_answer_after_each_write_makes_no_second_record(world, target):
    await world.account()
    await world.connect()
    await world.campaign()
    await world.setup(target=target)
    world.sandbox.lose_answer(20, method="POST", match="/persons$|/leads$|/deals$|/notes$")
    fred = await world.signup(email="fred@example.com")
    for _ in range(12):
        await world.later(minutes=2)
    assert (await world.person(fred["person"]))["crm"] == "linked"
    found = snapshot(world)
    mine = [one for one in found["person"] if any(mail["value"] == "fred@example.com" for mail in one.emails)]
    assert (len(mine), len(found["lead"]), len(found["deal"])) == (1, int(target == "lead"), int(target == "deal"))


async def test_a_token_that_expires_in_the_middle_is_refreshed_once(world):
    await world.account()
    await world.connect()
    await world.campaign()
    await world.setup(target="lead")
    world.sandbox.expire_tokens()
    fred = await world.signup(email="fred@example.com")
    await world.drain()
    assert (await world.person(fred["person"]))["crm"] == "linked"


async def test_without_a_valid_refresh_token_everything_is_held_and_nothing_lost(world):
    await world.account()
    await world.endpoint()
    connection = await world.connect()
    await world.campaign()
    await world.setup(target="lead")
    world.sandbox.expire_tokens()
    world.sandbox.kill_refresh_token()
    people = [(await world.signup(email=f"friend{n}@example.com"))["person"] for n in range(3)]
    await world.drain()
    assert (await world.call("GET", f"/v1/connections/{connection}"))["state"] == "needs_reauth"
    assert len(world.host.of_type("connection.needs_reauth")) == 1
    people.append((await world.signup(email="later@example.com"))["person"])
    await world.drain()
    shown = await world.person(people[-1])
    assert (shown["crm"], shown["crm_cause"]) == ("waiting", None)  # the lane is held, no signup is touched
    again = await world.call("POST", f"/v1/connections/{connection}/reauthorise", {})
    await world.authorise(again["next_step"]["url"])
    await world.later(minutes=2)
    assert [(await world.person(person))["crm"] for person in people] == ["linked"] * 4
    assert len(snapshot(world)["lead"]) == 4


async def test_a_process_that_dies_between_accept_and_push_loses_nothing(make_world):
    first = await make_world()
    await first.account()
    await first.connect()
    await first.campaign()
    await first.setup(target="lead")
    fred = await first.signup(email="fred@example.com")
    second = await make_world(sandbox=first.sandbox, host=first.host, clock=first.clock)
    await second.drain()
    assert (await second.person(fred["person"]))["crm"] == "linked"
    assert len(snapshot(second)["lead"]) == 1


async def test_signups_without_a_connection_or_a_setup_are_held_and_go_out_by_themselves(world):
    await world.account()
    await world.campaign()
    fred = await world.signup(email="fred@example.com")
    await world.drain()
    assert ((await world.person(fred["person"]))["crm"], (await world.person(fred["person"]))["crm_cause"]) == (
        "held",
        "no_connection",
    )
    await world.connect()
    assert (await world.person(fred["person"]))["crm_cause"] == "no_setup"
    await world.setup(target="lead")
    await world.drain()
    assert (await world.person(fred["person"]))["crm"] == "linked"


async def test_the_ledger_balances_whatever_became_of_the_signups(world):
    await world.account()
    await world.connect()
    await world.campaign()
    await world.campaign(campaign="without")
    await world.setup(target="lead")
    for n in range(3):
        await world.signup(email=f"friend{n}@example.com")
    await world.drain()
    await world.signup(campaign="without", email="held@example.com")
    await world.signup(email="under.way@example.com")
    ledger = await world.call("GET", "/v1/ledger?account=acme")
    assert ledger["balanced"]
    assert (ledger["accepted"], ledger["delivered"], ledger["held"], ledger["under_way"]) == (5, 3, 1, 1)


async def test_after_a_disconnect_nothing_flows_and_everything_is_kept(world):
    connection = await begin_connected(world)
    fred = await world.signup(email="fred@example.com")
    await world.drain()
    receipt = await world.call("DELETE", f"/v1/connections/{connection}")
    assert receipt["removed"]
    assert receipt["kept"]
    await world.drain()
    assert world.sandbox.subscriptions() == []
    world.sandbox.clear_log()
    held = await world.signup(email="held@example.com")
    await world.later(days=1)
    assert world.sandbox.requests() == []
    assert (await world.person(held["person"]))["crm"] == "held"
    assert (await world.person(fred["person"]))["records"]
    await world.connect()
    await world.drain()
    assert (await world.person(held["person"]))["crm"] == "linked"


async def begin_connected(world):
    await world.account()
    connection = await world.connect()
    await world.campaign()
    await world.setup(target="lead")
    return connection
