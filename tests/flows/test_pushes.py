"""Signups reach Pipedrive once: answers lost, refused, cut; several processes; the CRM mended under way."""

import asyncio

import pytest
from sqlalchemy import event


@pytest.fixture
async def acme(world):
    await world.account()
    await world.connect()
    await world.campaign()
    return world


def people(world):
    return world.sandbox.snapshot()["person"]


async def settled(world, person):
    """Let the settle time and any back-off pass."""
    for _ in range(4):
        await world.later(minutes=2)
    return await world.person(person)


STEPS = {"contact": r"/persons$", "lead": r"/leads$", "deal": r"/deals$"}
LOSSES = {
    "lost": lambda world, **call: world.sandbox.lose_answer(**call),
    "timed out": lambda world, **call: world.sandbox.lose_answer(timeout=True, **call),
    "cut": lambda world, **call: world.sandbox.cut_answer(**call),
    "failed": lambda world, **call: world.sandbox.fail_next(502, **call),
    "refused": lambda world, **call: world.sandbox.refuse_connection(**call),
}


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize(
    ("target", "step"), [("contact", "contact"), ("lead", "contact"), ("lead", "lead"), ("deal", "deal")]
)
async def test_a_write_whose_answer_is_lost_is_done_once(acme, target, step, loss):
    await acme.setup(target=target)
    before = {kind: len(rows) for kind, rows in acme.sandbox.snapshot().items() if isinstance(rows, list)}
    LOSSES[loss](acme, match=STEPS[step], method="POST")
    signed_up = await acme.signup()
    await acme.drain()
    shown = await settled(acme, signed_up["person"])
    assert shown["crm"] == "linked", await acme.timeline(signed_up["person"])
    after = acme.sandbox.snapshot()
    made = {kind: len(after[kind]) - before.get(kind, 0) for kind in ("person", "lead", "deal")}
    assert made == {"person": 1, "lead": int(target == "lead"), "deal": int(target == "deal")}
    assert [one["how"] for one in shown["records"]] == ["created"] * (1 if target == "contact" else 2)


async def test_pushes_at_the_same_time_share_their_statements(acme):
    await acme.setup()
    database = acme.services.database
    statements = []
    for engine in (database._reading, database._writing):
        event.listen(engine.sync_engine, "before_cursor_execute", lambda *given: statements.append(given[2]))
    signed_up = [await acme.signup(email=f"friend{number}@example.com") for number in range(5)]
    statements.clear()
    await acme.drain()
    assert [(await acme.person(one["person"]))["crm"] for one in signed_up] == ["linked"] * 5
    assert sum(one.startswith("SELECT pushes.") for one in statements) < 5
    assert sum(one.startswith("INSERT INTO timeline") for one in statements) < 5 * 3  # two steps, and delivered


async def test_one_email_in_two_campaigns_becomes_one_contact(acme):
    await acme.campaign(campaign="autumn")
    for campaign in ("spring", "autumn"):
        await acme.setup(campaign=campaign)
    before = len(people(acme))
    signed_up = await asyncio.gather(acme.signup(), acme.signup(campaign="autumn"))
    await acme.drain()
    shown = [await acme.person(one["person"]) for one in signed_up]
    assert [one["crm"] for one in shown] == ["linked", "linked"]
    assert len(people(acme)) == before + 1
    assert len(acme.sandbox.snapshot()["lead"]) == 2


@pytest.mark.parametrize("loss", ["lost", "timed out", "cut"])
async def test_while_a_contact_is_in_doubt_no_other_campaign_makes_a_second_one(make_world, loss):
    acme = await make_world(sandbox_options={"search_lag": 86_400})
    await acme.account()
    await acme.connect()
    for campaign in ("spring", "autumn"):
        await acme.campaign(campaign=campaign)
        await acme.setup(campaign=campaign)
    before = len(people(acme))
    LOSSES[loss](acme, match=STEPS["contact"], method="POST")
    first = await acme.signup()
    await acme.drain()
    second = await acme.signup(campaign="autumn")
    await acme.later(seconds=5)
    assert (await acme.person(second["person"]))["crm"] == "waiting"
    other = await acme.signup(email="else@example.com")  # the lane goes on
    await acme.drain()
    assert (await acme.person(other["person"]))["crm"] == "linked"
    shown = [await settled(acme, one["person"]) for one in (first, second)]
    assert [one["crm"] for one in shown] == ["linked", "linked"], await acme.timeline(second["person"])
    assert len(people(acme)) == before + 2
    contacts = [[one["ref"]["id"] for one in each["records"] if one["ref"]["kind"] == "contact"] for each in shown]
    assert contacts[0] == contacts[1]
    assert len(acme.sandbox.snapshot()["lead"]) == 3


async def test_two_processes_take_one_queue(acme, make_world):
    await acme.setup()
    other = await make_world(clock=acme.clock, sandbox=acme.sandbox, host=acme.host)
    before = len(people(acme))
    signed_up = await asyncio.gather(
        *(world.signup(email=f"p{n}@example.com") for n in range(6) for world in (acme, other))
    )
    assert len({one["person"] for one in signed_up}) == 6
    await asyncio.gather(acme.worker.drain(), other.worker.drain())
    await acme.drain()
    assert {(await acme.person(one["person"]))["crm"] for one in signed_up} == {"linked"}
    assert len(people(acme)) == before + 6


async def test_held_signups_go_out_when_crm_and_setup_are_there(world):
    await world.account()
    await world.campaign()
    signed_up = await world.signup()
    assert signed_up["outcome"] == "held"
    await world.connect()
    assert (await world.person(signed_up["person"]))["crm_cause"] == "no_setup"
    await world.setup()
    await world.drain()
    assert (await world.person(signed_up["person"]))["crm"] == "linked"
    kinds = [one["kind"] for one in (await world.timeline(signed_up["person"]))["entries"]]
    assert kinds[:3] == ["signup.accepted", "signup.held", "signup.released"]


async def test_a_field_that_goes_parks_signups_until_the_mapping_is_mended(acme):
    custom = acme.sandbox.add_field("person", "Shirt size", "varchar")
    field = getattr(custom, "code", None) or custom.key
    mapping = [{"record_kind": "contact", "field": field, "source": "person.code"}]
    await acme.setup(target="contact", mapping=mapping)
    acme.sandbox.delete_field(field)
    signed_up = await acme.signup()
    await acme.drain()
    shown = await acme.person(signed_up["person"])
    assert (shown["crm"], shown["crm_cause"]) == ("waiting", "setup_needs_attention"), await acme.timeline(
        signed_up["person"]
    )
    found = await acme.call("GET", "/v1/ledger?account=acme")
    assert (found["parked"], found["balanced"]) == (1, True)
    await acme.setup(target="contact")
    await acme.drain()
    assert (await acme.person(signed_up["person"]))["crm"] == "linked"


async def test_a_signup_that_waits_is_not_sent_a_second_time_by_a_replay(acme):
    custom = acme.sandbox.add_field("person", "Shirt size", "varchar")
    field = getattr(custom, "code", None) or custom.key
    mapping = [{"record_kind": "contact", "field": field, "source": "person.code"}]
    await acme.setup(target="contact", mapping=mapping)
    acme.sandbox.delete_field(field)
    signed_up = await acme.signup()
    await acme.drain()
    deliveries = await acme.call("GET", "/v1/deliveries?state=parked&account=acme")
    (parked,) = [one for one in deliveries["data"] if one["kind"] == "signup"]
    refused = await acme.call("POST", f"/v1/deliveries/{parked['id']}/replay", expect=409)
    assert (refused["code"], "on its way" in refused["detail"]) == ("wrong_state", True)
    await acme.setup(target="contact")
    await acme.drain()
    assert (await acme.person(signed_up["person"]))["crm"] == "linked"
    deliveries = await acme.call("GET", "/v1/deliveries?account=acme")
    assert [one["id"] for one in deliveries["data"] if one["kind"] == "signup"] == [parked["id"]]


async def test_a_refused_signup_is_sent_again_by_a_replay(acme):
    await acme.setup()
    acme.sandbox.fail_next(400, match=STEPS["lead"], method="POST", body={"success": False, "error": "no"})
    signed_up = await acme.signup()
    await acme.drain()
    assert (await acme.person(signed_up["person"]))["crm"] == "refused"
    before = len(people(acme))
    deliveries = await acme.call("GET", "/v1/deliveries?state=failed&account=acme")
    (failed,) = [one for one in deliveries["data"] if one["kind"] == "signup"]
    await acme.call("POST", f"/v1/deliveries/{failed['id']}/replay")
    await acme.drain()
    assert (await acme.person(signed_up["person"]))["crm"] == "linked"
    assert len(people(acme)) == before


async def test_a_revoked_connection_loses_no_signup(acme):
    await acme.setup()
    acme.sandbox.expire_tokens()
    acme.sandbox.kill_refresh_token()
    signed_up = [await acme.signup(email=f"p{n}@example.com") for n in range(3)]
    await acme.drain()
    assert {(await acme.person(one["person"]))["crm"] for one in signed_up} == {"waiting"}
    assert (await acme.call("GET", "/v1/ledger?account=acme"))["under_way"] == 3
    (connection,) = (await acme.call("GET", "/v1/accounts/acme/connections"))["data"]
    assert connection["state"] == "needs_reauth"


async def test_counts_are_written_back_to_the_referrers_contact(acme):
    await acme.setup(role="referrer", target="contact")
    await acme.setup()
    rita = await acme.signup(role="referrer", email="rita@example.com")
    await acme.drain()
    await acme.endpoint()
    await acme.signup(referrer={"email": "rita@example.com"})
    await acme.drain()
    assert (await acme.person(rita["person"]))["counts"]["referrals"] == 1
    assert "referrer.stats_updated" in {one["type"] for one in (await acme.call("GET", "/v1/events?after=0"))["data"]}
