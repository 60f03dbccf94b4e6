"""A signup reaches the CRM once, whatever happens in between."""

import asyncio

import pytest

from gateway.flows.signups.push import replay_push
from gateway.sdk import errors

LOST = errors.OutcomeUnknown("sent, no answer")


async def test_a_signup_becomes_a_contact_and_a_lead(toy):
    await toy.connect()
    person = await toy.sign_up(referrer={"email": "rita@example.com", "first_name": "Rita"})
    await toy.drain()
    found = await toy.person(person)
    assert (found.crm, found.crm_cause) == ("linked", None)
    assert toy.crm.writes == ["contact friend@example.com", "lead friend@example.com"]
    (lead,) = toy.crm.of("lead")
    assert toy.crm.records[lead]["by"] == "Rita"
    assert await toy.links(person) == [("contact", "1", "created"), ("lead", "2", "created")]
    assert await toy.timeline(person) == ["signup.accepted", "push.step", "push.step", "signup.delivered"]
    assert await toy.events(person) == ["signup.accepted", "signup.delivered"]


@pytest.mark.parametrize("step", ["contact", "lead"])
@pytest.mark.parametrize("error", [LOST, RuntimeError("a bug behind the write"), TimeoutError()])
async def test_a_lost_answer_is_looked_for_and_never_written_twice(toy, step, error):
    await toy.connect()
    person = await toy.sign_up()
    toy.crm.next(step, toy.after(error))
    await toy.drain()
    assert (await toy.person(person)).crm == "waiting"
    await toy.later(seconds=SETTLE - 5)  # too early to look: nothing is written
    assert len(toy.crm.of(step)) == 1
    await toy.later(minutes=5)
    assert (await toy.person(person)).crm == "linked"
    assert len(toy.crm.of("contact")) == 1
    assert len(toy.crm.of("lead")) == 1


SETTLE = 30


@pytest.mark.parametrize("step", ["contact", "lead"])
async def test_a_request_that_was_lost_is_sent_again_after_a_look(toy, step):
    await toy.connect()
    person = await toy.sign_up()
    toy.crm.next(step, toy.before(LOST))
    await toy.drain()
    assert toy.crm.of(step) == []
    await toy.later(minutes=5)
    assert (await toy.person(person)).crm == "linked"
    assert len(toy.crm.writes) == 2


@pytest.mark.parametrize("step", ["contact", "lead"])
@pytest.mark.parametrize("done", [True, False])
async def test_a_process_that_dies_in_a_write_is_made_good(toy, step, done):
    await toy.connect()
    person = await toy.sign_up()
    reached, never = asyncio.Event(), asyncio.Event()

    async def hang(make):
        if done:
            make()
        reached.set()
        await never.wait()

    toy.crm.next(step, hang)
    dying = asyncio.create_task(toy.worker.drain())
    await reached.wait()
    dying.cancel()
    await asyncio.gather(dying, return_exceptions=True)
    toy.crash()
    await toy.later(seconds=15)  # the lease lapses; the step is in doubt, and it is too early to look
    assert len(toy.crm.of(step)) == (1 if done else 0)
    await toy.later(minutes=5)
    assert (await toy.person(person)).crm == "linked"
    assert [len(toy.crm.of(kind)) for kind in ("contact", "lead")] == [1, 1]


async def test_a_process_that_dies_between_accept_and_push_loses_nothing(toy):
    await toy.connect()
    person = await toy.sign_up()
    toy.crash()
    await toy.drain()
    assert (await toy.person(person)).crm == "linked"


async def test_a_crash_between_a_step_and_its_saving_is_found_out(toy, monkeypatch):
    await toy.connect()
    person = await toy.sign_up()
    from gateway.flows.signups.once import Steps

    real = Steps._finish

    async def dies(self, step, current, record):
        monkeypatch.setattr(Steps, "_finish", real)
        raise RuntimeError("the process ends here")

    monkeypatch.setattr(Steps, "_finish", dies)
    await toy.drain()
    assert len(toy.crm.of("contact")) == 1
    toy.crash()
    await toy.later(minutes=5)
    assert (await toy.person(person)).crm == "linked"
    assert len(toy.crm.of("contact")) == 1


async def test_two_records_of_one_name_are_refused_and_not_taken_for_one(toy):
    await toy.connect()
    toy.crm.lead_step = "contact"
    person = await toy.sign_up()
    await toy.drain()
    assert (await toy.person(person)).crm == "waiting"
    assert toy.crm.writes == ["contact friend@example.com"]
    (task,) = await toy.tasks("push_signup")
    assert "StepNamedTwice" in task.error
    assert "'contact'" in task.error
    toy.crm.lead_step = "lead"  # the plugin was mended
    await toy.later(minutes=5)
    assert (await toy.person(person)).crm == "linked"
    assert toy.crm.writes == ["contact friend@example.com", "lead friend@example.com"]


async def test_one_email_in_two_campaigns_becomes_one_contact(toy):
    await toy.connect(campaigns_=("spring", "autumn"))
    ids = await asyncio.gather(
        toy.sign_up(), toy.sign_up(campaign="autumn"), toy.sign_up(campaign="autumn", role="referrer")
    )
    await toy.drain()
    assert {(await toy.person(one)).crm for one in ids} == {"linked"}
    assert not toy.crm.together
    assert len(toy.crm.of("contact")) == 1
    assert len(toy.crm.of("lead")) == 2


async def test_a_contact_made_by_a_push_that_failed_is_known_to_the_next(toy):
    await toy.connect(campaigns_=("spring", "autumn"))
    toy.crm.next("lead", toy.before(errors.Rejected("no leads for you")))
    first = await toy.sign_up()
    await toy.drain()
    assert (await toy.person(first)).crm == "refused"
    await toy.sign_up(campaign="autumn")
    await toy.drain()
    assert len(toy.crm.of("contact")) == 1


async def test_a_refusal_is_told_and_a_replay_goes_on_from_there(toy):
    await toy.connect()
    problem = errors.Problem(field="mapping.name", message="friend@example.com is too long")
    toy.crm.next("lead", toy.before(errors.Rejected("refused", [problem])))
    person = await toy.sign_up()
    await toy.drain()
    found = await toy.person(person)
    assert (found.crm, found.crm_cause) == ("refused", "rejected")
    assert "friend@example.com" not in (found.crm_note or "")
    assert (await toy.events(person))[-1] == "signup.refused"
    await toy.write(lambda conn: replay_push(conn, person, toy.clock.now()))
    await toy.drain()
    assert (await toy.person(person)).crm == "linked"
    assert toy.crm.writes == ["contact friend@example.com", "lead friend@example.com"]


async def test_a_broken_mapping_parks_and_what_is_mended_goes_out(toy):
    await toy.connect()
    toy.crm.next("lead", toy.before(errors.MappingBroken("name is gone", ["name"])))
    person = await toy.sign_up()
    await toy.drain()
    other = await toy.sign_up("second@example.com")
    await toy.drain()
    found = await toy.person(person)
    assert (found.crm, found.crm_cause) == ("waiting", "setup_needs_attention")
    assert {task.state for task in await toy.tasks("push_signup")} == {"parked"}
    assert (await toy.events(person))[-1] == "signup.parked"
    later = await toy.sign_up("third@example.com")
    await toy.drain()
    assert (await toy.person(later)).crm_cause == "setup_needs_attention"
    await toy.repair()
    await toy.drain()
    assert {(await toy.person(one)).crm for one in (person, other, later)} == {"linked"}
    assert len(toy.crm.of("contact")) == 3


async def test_a_refusal_clears_the_doubt_so_values_are_mapped_anew(toy):
    await toy.connect()
    toy.crm.next("contact", toy.before(errors.MappingBroken("name is gone", ["name"])))
    person = await toy.sign_up()
    await toy.drain()
    await toy.sign_up(person={"last_name": "Friend"})
    from sqlalchemy import update

    from gateway.storage.tables import people

    await toy.write(lambda conn: conn.execute(update(people).where(people.c.id == person).values(first_name="Frieda")))
    await toy.repair()
    await toy.drain()
    (contact,) = toy.crm.of("contact")
    assert toy.crm.records[contact]["name"] == "Frieda"


async def test_while_a_step_is_in_doubt_the_values_stay_frozen(toy):
    await toy.connect()
    toy.crm.next("contact", toy.before(LOST))
    person = await toy.sign_up()
    await toy.drain()
    from sqlalchemy import update

    from gateway.storage.tables import people

    await toy.write(lambda conn: conn.execute(update(people).where(people.c.id == person).values(first_name="Frieda")))
    await toy.later(minutes=5)
    (contact,) = toy.crm.of("contact")
    assert toy.crm.records[contact]["name"] == "Fiona"


async def test_being_told_to_wait_uses_up_no_attempt(toy):
    await toy.connect()
    toy.crm.next("contact", *[toy.before(errors.RetryLater("429", after_seconds=60))] * 30)
    person = await toy.sign_up()
    for _ in range(31):
        await toy.later(seconds=61)
    assert (await toy.person(person)).crm == "linked"


async def test_a_bug_is_tried_again_and_finally_refused_with_its_cause(toy):
    await toy.connect()
    toy.crm.next("contact", *[toy.before(RuntimeError("bug about friend@example.com"))] * 12)
    person = await toy.sign_up()
    for _ in range(30):  # more than the attempts: a busy machine may lose the lease
        await toy.later(hours=7)
    found = await toy.person(person)
    assert (found.crm, found.crm_cause) == ("refused", "failed")
    assert (await toy.events(person))[-1] == "signup.refused"
    assert all("friend@example.com" not in (task.error or "") for task in await toy.tasks("push_signup"))
    await toy.write(lambda conn: replay_push(conn, person, toy.clock.now()))
    await toy.later(minutes=1)
    assert (await toy.person(person)).crm == "linked"
    assert len(toy.crm.of("contact")) == 1


async def test_a_replay_of_a_push_that_failed_in_doubt_looks_first(toy):
    await toy.connect()
    toy.crm.next("contact", *[toy.after(LOST)] * 1, *[toy.before(LOST)] * 20)
    person = await toy.sign_up()
    from gateway.storage.tables import tasks

    await toy.write(
        lambda conn: conn.execute(tasks.update().where(tasks.c.kind == "push_signup").values(max_attempts=1))
    )
    await toy.drain()
    assert (await toy.person(person)).crm_cause == "failed"
    assert len(toy.crm.of("contact")) == 1
    toy.crm.faults.clear()
    await toy.write(lambda conn: replay_push(conn, person, toy.clock.now()))
    await toy.drain()
    assert len(toy.crm.of("contact")) == 1
    await toy.later(minutes=2)
    assert (await toy.person(person)).crm == "linked"
    assert len(toy.crm.of("contact")) == 1


async def test_a_replay_of_a_signup_that_is_parked_in_doubt_is_refused_and_loses_no_step(toy):
    from gateway.errors import Refused
    from gateway.storage.tables import setups

    await toy.connect()
    toy.crm.next("contact", toy.after(LOST))
    person = await toy.sign_up()
    await toy.drain()
    await toy.write(lambda conn: conn.execute(setups.update().values(state="needs_attention")))
    await toy.later(minutes=5)
    (parked,) = await toy.tasks("push_signup")
    assert (parked.state, list(parked.steps)) == ("parked", ["contact"])
    with pytest.raises(Refused, match="on its way"):
        await toy.write(lambda conn: replay_push(conn, person, toy.clock.now()))
    await toy.repair()
    await toy.drain()
    assert (await toy.person(person)).crm == "linked"
    assert [task.state for task in await toy.tasks("push_signup")] == ["done"]
    assert len(toy.crm.of("contact")) == 1


async def test_a_signup_that_is_held_in_doubt_looks_first_when_it_goes_out(toy):
    from gateway.storage.tables import setups

    await toy.connect()
    toy.crm.next("contact", toy.after(LOST))
    person = await toy.sign_up()
    await toy.drain()
    await toy.write(lambda conn: conn.execute(setups.delete()))
    await toy.later(minutes=5)
    assert (await toy.person(person)).crm == "held"
    await toy.set_up()
    await toy.repair()
    await toy.drain()
    assert (await toy.person(person)).crm == "linked"
    assert len(toy.crm.of("contact")) == 1


async def use_up(toy, campaign="spring"):
    """Let the push of a signup end for good, in doubt about its contact; return the person."""
    from gateway.storage.tables import tasks

    person = await toy.sign_up(campaign=campaign)
    key = tasks.c.unique_key == f"push:{person}"
    await toy.write(lambda conn: conn.execute(tasks.update().where(key).values(max_attempts=1)))
    await toy.drain()
    return person


async def test_a_doubt_that_nobody_settles_holds_others_up_for_the_settle_time_alone(toy):
    await toy.connect(campaigns_=("spring", "autumn"))
    toy.crm.next("contact", toy.after(LOST))
    first = await use_up(toy)
    assert (await toy.person(first)).crm_cause == "failed"
    second = await toy.sign_up(campaign="autumn")
    await toy.later(seconds=SETTLE - 5)
    assert (await toy.person(second)).crm == "waiting"
    await toy.later(seconds=6)
    assert (await toy.person(second)).crm == "linked"


async def test_a_doubt_that_is_parked_holds_others_up_for_the_settle_time_alone(toy):
    from gateway.storage.tables import setups

    await toy.connect(campaigns_=("spring", "autumn"))
    toy.crm.next("contact", toy.after(LOST))
    first = await toy.sign_up()
    await toy.drain()
    broken = setups.update().where(setups.c.campaign_id == "spring").values(state="needs_attention")
    await toy.write(lambda conn: conn.execute(broken))
    await toy.later(seconds=SETTLE - 5)
    second = await toy.sign_up(campaign="autumn")
    await toy.drain()
    assert (await toy.person(second)).crm == "waiting"
    await toy.later(minutes=5)
    assert [(await toy.person(one)).crm for one in (first, second)] == ["waiting", "linked"]
    await toy.repair()
    await toy.drain()
    assert (await toy.person(first)).crm == "linked"


async def test_a_doubt_of_somebody_who_was_erased_holds_nobody_up(toy):
    from gateway.flows.people.erase import erase

    await toy.connect(campaigns_=("spring", "autumn"))
    toy.crm.next("contact", toy.before(LOST))
    await toy.sign_up()
    await toy.drain()
    await erase(toy.services, "acme", "friend@example.com")
    second = await toy.sign_up(campaign="autumn")
    await toy.drain()
    assert (await toy.person(second)).crm == "linked"


async def test_of_two_pushes_in_doubt_the_older_goes_first_and_neither_waits_for_ever(toy):
    await toy.connect(campaigns_=("spring", "autumn"))
    toy.crm.next("contact", toy.after(LOST), toy.after(LOST))
    first = await use_up(toy)
    await toy.later(seconds=SETTLE + 1)
    second = await toy.sign_up(campaign="autumn")
    await toy.drain()
    await toy.write(lambda conn: replay_push(conn, first, toy.clock.now()))
    await toy.drain()
    assert [(await toy.person(one)).crm for one in (first, second)] == ["linked", "waiting"]
    await toy.later(minutes=2)
    assert (await toy.person(second)).crm == "linked"
    assert len(toy.crm.of("contact")) == 2  # one each: the first had ended for good when the second began


async def test_a_contact_that_is_gone_is_dropped_and_the_push_begun_anew(toy):
    await toy.connect(campaigns_=("spring", "autumn"))
    await toy.sign_up()
    await toy.drain()
    (contact,) = toy.crm.of("contact")
    del toy.crm.records[contact]
    second = await toy.sign_up(campaign="autumn")
    await toy.drain()
    assert (await toy.person(second)).crm == "linked"
    assert len(toy.crm.of("contact")) == 1
    assert [one[0] for one in await toy.links(second)] == ["contact", "lead"]


async def test_a_contact_that_goes_between_two_steps_is_made_again(toy):
    await toy.connect()

    async def deletes_contact(make):
        del toy.crm.records[toy.crm.of("contact")[0]]
        raise errors.RecordGone("the contact is gone")

    toy.crm.next("lead", deletes_contact)
    person = await toy.sign_up()
    await toy.drain()
    assert (await toy.person(person)).crm == "linked"
    assert [len(toy.crm.of(kind)) for kind in ("contact", "lead")] == [1, 1]


async def test_credentials_that_are_refused_hold_the_lane_and_lose_nothing(toy):
    await toy.connect()
    toy.crm.next("contact", toy.before(errors.ReauthRequired("401")))
    person = await toy.sign_up()
    await toy.drain()
    later = await toy.sign_up("second@example.com")
    await toy.drain()
    assert {(await toy.person(one)).crm for one in (person, later)} == {"waiting"}
    assert toy.crm.writes == []
    from gateway.storage import lanes
    from gateway.storage.tables import connections

    async def authorise(conn):
        await conn.execute(connections.update().values(state="active"))
        await lanes.unhold(conn, "vendor:toy:t1")

    await toy.write(authorise)
    await toy.drain()
    assert {(await toy.person(one)).crm for one in (person, later)} == {"linked"}


async def test_what_waits_for_a_crm_that_was_left_goes_to_the_new_one(toy):
    from gateway.flows.signups.signup import released_by_connection
    from gateway.storage import connections as storage
    from gateway.storage.tables import connections, setups

    await toy.connect()
    toy.crm.next("contact", toy.before(LOST), toy.before(errors.ReauthRequired("401")))
    person = await toy.sign_up()
    await toy.drain()
    await toy.later(minutes=5)
    assert (await toy.person(person)).crm == "waiting"

    async def reconnected(conn):
        now = toy.clock.now()
        await conn.execute(connections.update().values(state="disconnected"))
        old = (await conn.execute(connections.select())).one()._asdict()
        await conn.execute(
            connections.insert().values(
                **old | {"id": "con_2", "identity": "t2", "identity_claim": "t2", "state": "active"}
            )
        )
        await conn.execute(setups.update().values(connection_id="con_2", identity="t2"))
        await released_by_connection(conn, await storage.active_crm(conn, "acme"), now)

    await toy.write(reconnected)
    await toy.drain()
    assert (await toy.person(person)).crm == "linked"
    assert sorted(task.state for task in await toy.tasks("push_signup")) == ["cancelled", "done"]
    assert len(toy.crm.of("contact")) == 1


async def test_held_signups_go_out_when_the_crm_is_connected(toy):
    from gateway.flows.signups.signup import released_by_connection
    from gateway.storage import connections

    ids = [await toy.sign_up(f"p{n}@example.com") for n in range(3)]
    await toy.drain()
    assert {(await toy.person(one)).crm_cause for one in ids} == {"no_connection"}
    await toy.connect()

    async def activated(conn):
        row = await connections.active_crm(conn, "acme")
        await released_by_connection(conn, row, toy.clock.now())

    await toy.write(activated)
    await toy.drain()
    assert {(await toy.person(one)).crm for one in ids} == {"linked"}
    assert "signup.released" in await toy.timeline(ids[0])


async def test_what_is_held_too_long_goes_out_by_a_call_alone(toy):
    from gateway.flows.signups.signup import release, released_by_connection
    from gateway.storage import connections
    from gateway_schemas.signup import ReleaseInput

    person = await toy.sign_up()
    toy.clock.advance(__import__("datetime").timedelta(days=31))
    await toy.connect()

    async def activated(conn):
        row = await connections.active_crm(conn, "acme")
        await released_by_connection(conn, row, toy.clock.now())

    await toy.write(activated)
    await toy.drain()
    assert (await toy.person(person)).crm == "held"
    assert (await release(toy.services, "acme", ReleaseInput(campaign="autumn"))).released == 0
    assert (await release(toy.services, "acme", ReleaseInput())).released == 1
    await toy.drain()
    assert (await toy.person(person)).crm == "linked"


async def test_a_signup_without_setup_is_held_until_there_is_one(toy):
    await toy.connect(setup=False)
    person = await toy.sign_up()
    await toy.drain()
    assert ((await toy.person(person)).crm, (await toy.person(person)).crm_cause) == ("held", "no_setup")
    await toy.set_up()
    await toy.repair()
    await toy.drain()
    assert (await toy.person(person)).crm == "linked"


async def test_a_signup_whose_setup_is_removed_on_the_way_is_held(toy):
    from gateway.storage.tables import setups

    await toy.connect()
    person = await toy.sign_up()
    await toy.write(lambda conn: conn.execute(setups.delete()))
    await toy.drain()
    assert ((await toy.person(person)).crm, (await toy.person(person)).crm_cause) == ("held", "no_setup")
    assert (await toy.events(person))[-1] == "signup.held"


async def test_two_workers_on_one_queue_push_each_signup_once(toy):
    await toy.connect(campaigns_=("spring", "autumn"))
    ids = [
        await toy.sign_up(f"p{n % 10}@example.com", campaign=campaign)
        for n in range(10)
        for campaign in ("spring", "autumn")
    ]
    others = [toy.new_worker() for _ in range(3)]
    await asyncio.gather(*(worker.drain() for worker in [toy.worker, *others]))
    await toy.drain()
    assert {(await toy.person(one)).crm for one in ids} == {"linked"}
    assert len(toy.crm.of("contact")) == 10
    assert len(toy.crm.of("lead")) == 20
    assert not toy.crm.together
