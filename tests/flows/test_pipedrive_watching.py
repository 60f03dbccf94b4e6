"""What happens in Pipedrive qualifies referrals, whichever of webhook, feed and sweep brings it."""

from decimal import Decimal

import pytest

VALUE = {"record_kind": "deal", "field": "value"}


async def begin(world, *, target, trigger, parameters=None, **setup):
    """Connect, configure, and sign a friend up."""
    await world.account()
    await world.connect()
    await world.campaign()
    rule = {"trigger": trigger, "parameters": parameters or {}, "reverse": "until_issued"}
    await world.setup(target=target, qualification=rule, **setup)
    fred = await world.signup(email="fred@example.com")
    await world.drain()
    shown = await world.person(fred["person"])
    assert shown["crm"] == "linked", shown
    return fred["person"]


async def state(world, person):
    return (await world.person(person))["state"]


async def evidence(world, person):
    return " ".join(condition["evidence"] or "" for condition in (await world.timeline(person))["why"]["conditions"])


def contact_of(world):
    mine = [
        one
        for one in world.sandbox.snapshot()["person"]
        if any(mail["value"] == "fred@example.com" for mail in one.emails)
    ]
    return mine[0]


def only(world, kind):
    (one,) = world.sandbox.snapshot()[kind]
    return one


async def test_merged_persons_keep_their_referral(world):
    fred = await begin(world, target="contact", trigger="deal_won")
    survivor = world.sandbox.add_person("Fred F.", "other@example.com")
    await world.later(seconds=2)
    world.sandbox.merge_persons(contact_of(world).id, into=survivor.id)
    await world.later(seconds=2)
    deal = world.sandbox.add_deal("Later business", person_id=survivor.id)
    world.sandbox.win_deal(deal.id)
    await world.drain()
    assert await state(world, fred) == "qualified"
    how = {(one["ref"]["kind"], one["ref"]["id"]): one["gone"] for one in (await world.person(fred))["records"]}
    assert how[("contact", str(survivor.id))] is False


async def test_without_the_right_to_subscribe_the_feed_finds_it(make_world):
    world = await make_world()
    world.sandbox.revoke_scope("admin")
    fred = await begin(world, target="deal", trigger="deal_won")
    assert world.sandbox.subscriptions() == []
    await world.later(minutes=6)
    world.sandbox.win_deal(only(world, "deal").id)
    await world.later(minutes=6)
    assert await state(world, fred) == "qualified"
    assert "feed" in await evidence(world, fred)


async def test_webhook_and_feed_and_sweep_together_qualify_once(world):
    await world.account()
    await world.endpoint()
    fred = await begin(world, target="deal", trigger="deal_won", sale_value=VALUE)
    deal = only(world, "deal")
    world.sandbox.update_deal(deal.id, value=120, currency="EUR")
    world.sandbox.win_deal(deal.id)
    await world.drain()
    for _ in range(5):
        await world.later(minutes=20)
    assert await state(world, fred) == "qualified"
    assert len(world.host.of_type("referral.qualified")) == 1
    assert [Decimal(event["data"]["amount"]) for event in world.host.of_type("sale.recorded")] == [120]
    assert world.host.of_type("sale.updated") == []


@pytest.mark.parametrize("happens", ["lost", "deleted", "reopened"])
async def test_what_takes_a_won_deal_back(world, happens):
    fred = await begin(world, target="deal", trigger="deal_won")
    deal = only(world, "deal")
    world.sandbox.win_deal(deal.id)
    await world.drain()
    assert await state(world, fred) == "qualified"
    await world.later(seconds=2)
    match happens:
        case "lost":
            world.sandbox.lose_deal(deal.id)
        case "deleted":
            world.sandbox.delete_deal(deal.id)
        case "reopened":
            world.sandbox.reopen_deal(deal.id)
    await world.drain()
    assert await state(world, fred) == "disqualified"


async def test_archiving_a_won_deal_takes_nothing_back(world):
    fred = await begin(world, target="deal", trigger="deal_won")
    deal = only(world, "deal")
    world.sandbox.win_deal(deal.id)
    await world.drain()
    await world.later(seconds=2)
    world.sandbox.archive_deal(deal.id)
    await world.later(hours=2)
    assert await state(world, fred) == "qualified"


async def test_a_deal_that_is_won_while_archived_is_found(world):
    fred = await begin(world, target="deal", trigger="deal_won")
    deal = only(world, "deal")
    world.sandbox.drop_webhooks(100)
    world.sandbox.win_deal(deal.id)
    world.sandbox.archive_deal(deal.id)
    await world.later(hours=1, minutes=6)
    assert await state(world, fred) == "qualified"


async def test_a_lead_that_is_converted_while_nobody_tells_is_found(world):
    fred = await begin(world, target="lead", trigger="lead_converted")
    world.sandbox.drop_webhooks(100)
    world.sandbox.convert_lead(only(world, "lead").id)
    await world.later(hours=1, minutes=6)
    assert await state(world, fred) == "qualified"


async def test_only_the_webhook_of_the_deleted_lead_comes(world):
    fred = await begin(world, target="lead", trigger="lead_converted")
    world.sandbox.webhook_chaos(newest_first=True)
    world.sandbox.convert_lead(only(world, "lead").id)
    world.sandbox.drop_webhooks(1)
    await world.drain()
    assert await state(world, fred) == "qualified"


async def test_a_leads_value_is_read_from_its_deal(world):
    fred = await begin(world, target="lead", trigger="deal_won", sale_value={"record_kind": "lead", "field": "value"})
    deal = world.sandbox.convert_lead(only(world, "lead").id)
    world.sandbox.update_deal(deal.id, value=75.5, currency="USD")
    world.sandbox.win_deal(deal.id)
    await world.drain()
    shown = await world.person(fred)
    assert (shown["state"], Decimal(shown["sale_value"]["amount"]), shown["sale_value"]["currency"]) == (
        "qualified",
        Decimal("75.5"),
        "USD",
    )


async def test_calls_with_a_wrong_password_or_url_are_refused(world):
    await begin(world, target="deal", trigger="deal_won")
    one = world.sandbox.subscriptions()[0]
    path = one.subscription_url.removeprefix("https://gateway.test")
    assert (await world.api.post(path, content=b"{}", headers={"authorization": ""})).status_code == 401
    assert (await world.api.post(path[:-1], content=b"{}")).status_code == 401
