"""Erasing a person whose records were read together with those of others: nothing is left in what the reads noted."""

from sqlalchemy import select

from gateway.flows.people.erase import erase
from gateway.storage.tables import attempts, metadata

RITA = {
    "email": "rita@referrer.test",
    "first_name": "Wilhelmina",
    "last_name": "Zwartkruis",
    "phone": "+32 470 12 34 56",
}
NEEDLES = ("wilhelmina", "zwartkruis", "470 12 34 56", "rita@referrer", "wilh-2026")


async def dump(world) -> list[str]:
    lines = []
    async with world.services.database.read() as conn:
        for table in metadata.sorted_tables:
            lines += [f"{table.name}: {dict(row._mapping)!r}" for row in await conn.execute(select(table))]
    return lines


def lines_with(needle: str, lines: list[str]) -> list[str]:
    return [line for line in lines if needle in line.lower()]


async def test_webhooks_feeds_and_sweeps_note_nothing_that_erasure_cannot_find(world):
    await world.account()
    await world.connect()
    await world.campaign(link_template="https://acme.test/r/{code}")
    await world.setup(role="referrer", target="contact")
    rule = {"trigger": "deal_won", "parameters": {}, "reverse": "until_issued"}
    await world.setup(target="deal", qualification=rule)
    rita = await world.signup(role="referrer", person={**RITA, "code": "WILH-2026"})
    fred = await world.signup(
        person={"email": "fred@example.com", "first_name": "Fred"}, referrer={"code": "WILH-2026"}
    )
    await world.drain()
    contact = next(one for one in world.sandbox.snapshot()["person"] if one.name == "Wilhelmina Zwartkruis")
    deal = world.sandbox.add_deal("Wilhelmina's own", person_id=contact.id)
    world.sandbox.update_deal(deal.id, title="Wilhelmina Zwartkruis, WILH-2026")
    (mine,) = (one for one in world.sandbox.snapshot()["deal"] if one.id != deal.id)
    world.sandbox.update_deal(mine.id, title="Fred by Wilhelmina WILH-2026")
    world.sandbox.win_deal(mine.id)
    for _ in range(3):
        await world.later(hours=1)
    assert (await world.person(fred["person"]))["state"] == "qualified"
    async with world.services.database.read() as conn:
        noted = [text for text in (await conn.execute(select(attempts.c.excerpt))).scalars() if text]
    assert any("/deals" in text and "bytes>" in text for text in noted)  # reads of several people's records
    before = await dump(world)
    assert all(lines_with(needle, before) for needle in NEEDLES)

    assert await erase(world.services, "acme", RITA["email"]) == 1

    after = await dump(world)
    for needle in NEEDLES:
        assert not lines_with(needle, after), needle
    assert (await world.person(rita["person"]))["counts"]["qualified"] == 1
