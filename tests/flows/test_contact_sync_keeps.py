"""What a contact sync must not lose, forget or do twice, whatever changes while it goes on."""

from .test_contact_sync import begin, patch, person, referrers, shown, start


async def someone(world, email):
    page = await world.call("GET", "/v1/accounts/acme/people?limit=200")
    return next(one for one in page["data"] if one["email"] == email and one["role"] == "referred")


def standing(one):
    """Return the ids of the contacts that are somebody's and not gone."""
    contacts = [record for record in one["records"] if record["ref"]["kind"] == "contact"]
    return {record["ref"]["id"] for record in contacts if not record["gone"]}


# --- who else a contact belongs to -----------------------------------------------------------------------


async def test_a_contact_that_leaves_the_filter_stays_linked_to_who_was_referred(world):
    await world.account()
    await world.connect()
    await world.campaign()
    await world.setup()
    await world.signup(email="friend@friend.test")
    await world.drain()
    contact = person(world, "friend@friend.test")
    world.sandbox.update_person(contact.id, name="Frida Example")
    examples = world.sandbox.add_filter("Examples", "people", [["name", "contains", "Example"]])
    await start(world, ongoing=True, selection={"filter": str(examples.id)})
    await world.drain()
    assert "friend@friend.test" in await referrers(world)
    world.sandbox.update_person(contact.id, name="Frida Moved")
    await world.later(seconds=30)
    await world.later(hours=2)
    assert (await referrers(world))["friend@friend.test"]["crm"] == "gone"
    friend = await someone(world, "friend@friend.test")
    assert (friend["crm"], standing(friend)) == ("linked", {str(contact.id)})


async def test_a_contact_that_is_deleted_is_gone_for_everybody(world):
    await begin(world, ongoing=True)
    await world.setup()
    await world.signup(email="ada@customer.test")
    await world.drain()
    contact = person(world, "ada@customer.test")
    assert standing(await someone(world, "ada@customer.test")) == {str(contact.id)}
    world.sandbox.delete_person(contact.id)
    await world.later(minutes=2)
    assert standing(await someone(world, "ada@customer.test")) == set()
    assert standing((await referrers(world))["ada@customer.test"]) == set()


# --- when an ongoing sync looks again --------------------------------------------------------------------


async def test_an_ongoing_sync_looks_again_while_the_links_of_the_host_are_awaited(world):
    sync = await begin(world, ongoing=True, campaign={"link_template": None})
    await world.drain()
    world.sandbox.delete_subscriptions()
    world.sandbox.add_person("New Comer", "new@customer.test")
    await world.later(hours=3)
    assert "new@customer.test" in await referrers(world)
    state = await shown(world, sync)
    assert (state["state"], state["phase"]) == ("running", "awaiting_links")


async def test_a_hint_lets_a_filtered_sync_walk_while_links_are_awaited(world):
    examples = world.sandbox.add_filter("Examples", "people", [["name", "contains", "Example"]])
    selection = {"filter": str(examples.id)}
    sync = await begin(world, ongoing=True, campaign={"link_template": None}, selection=selection)
    await world.drain()
    before = (await shown(world, sync))["next_walk_at"]
    world.sandbox.add_person("New Example", "new@customer.test")
    await world.later(seconds=1)
    assert (await shown(world, sync))["next_walk_at"] < before


async def test_ongoing_that_is_switched_on_while_links_are_awaited_looks_again(world):
    sync = await begin(world, campaign={"link_template": None})
    await world.drain()
    assert (await patch(world, sync, ongoing=True))["next_walk_at"] is not None
    world.sandbox.delete_subscriptions()
    world.sandbox.add_person("New Comer", "new@customer.test")
    await world.later(hours=3)
    assert "new@customer.test" in await referrers(world)
    await world.later(hours=25)
    done = await shown(world, sync)
    assert (done["state"], done["next_walk_at"] is not None) == ("watching", True)
