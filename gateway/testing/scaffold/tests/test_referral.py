"""One referral from signup to its qualification."""


async def test_a_won_deal_qualifies(gateway_world):
    world = gateway_world
    await world.account()
    await world.connect()
    await world.campaign()
    await world.setup(target="deal", qualification={"trigger": "deal_won"})
    fred = await world.signup(email="fred@example.com")
    await world.drain()
    await world.driver.reach("deal_won", "deal", "fred@example.com")
    await world.drain()
    assert (await world.person(fred["person"]))["state"] == "qualified"
