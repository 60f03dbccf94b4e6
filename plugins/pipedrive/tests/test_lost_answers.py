"""Never twice: every write of a push loses its answer once, and the next attempt finds what the lost one made."""

from datetime import timedelta

import pytest

from gateway.sdk.errors import OutcomeUnknown, RetryLater
from gateway_pipedrive.signups import push_signup
from gateway_schemas.records import RecordRef
from plugins.pipedrive.tests.openapi import vendor_documents

EMAIL = "fiona@friends.test"
WRITES = {
    "contact": ("POST", "/persons$"),
    "contact_update": ("PATCH", "/persons/"),
    "lead": ("POST", "/leads$"),
    "deal": ("POST", "/deals$"),
    "note": ("POST", "/notes$"),
}
FAULTS = ["lose", "time out", "cut", "server error"]


def strike(sandbox, fault, step):
    method, match = WRITES[step]
    if fault == "lose":
        sandbox.lose_answer(method=method, match=match)
    elif fault == "time out":
        sandbox.lose_answer(method=method, match=match, timeout=True)
    elif fault == "cut":
        sandbox.cut_answer(method=method, match=match)
    else:
        sandbox.fail_next(503, method=method, match=match)


def counts(sandbox):
    company = sandbox.company()
    fionas = [
        one
        for one in company.persons.values()
        if not one.is_deleted and any(entry["value"] == EMAIL for entry in one.emails)
    ]
    return len(fionas), len(company.leads), len(company.deals), len(company.notes)


def expected(target):
    return (1, int(target == "lead"), int(target == "deal"), 1)


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize(
    ("target", "step"),
    [
        ("contact", "contact"),
        ("lead", "contact"),
        ("lead", "lead"),
        ("lead", "note"),
        ("deal", "contact"),
        ("deal", "deal"),
        ("deal", "note"),
    ],
)
@pytest.mark.parametrize("duplicates", ["fill_empty", "create", "skip"])
async def test_a_lost_answer_makes_nothing_twice(
    sandbox, connection, make_push, until_done, recorder, target, step, fault, duplicates
):
    push = make_push(target, duplicates=duplicates)
    push.values["note"] = {"content": "Hello & welcome"}
    strike(sandbox, fault, step)

    result = await until_done(lambda: push_signup(connection, push))
    push.once.next_attempt()
    again = await push_signup(connection, push)

    assert counts(sandbox) == expected(target)
    assert [one.ref for one in again.records] == [one.ref for one in result.records]
    assert result.records[0].how == "created"
    assert push.once.found == ([] if fault == "server error" else [step])
    assert recorder.request_problems(vendor_documents()) == []


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("duplicates", ["fill_empty", "update"])
async def test_a_lost_answer_to_an_update_is_settled_by_reading(
    sandbox, connection, make_push, until_done, fault, duplicates
):
    person = sandbox.add_person("Fiona", EMAIL, phones=[{"value": "030 1"}])
    sandbox.index.age()
    push = make_push("lead", duplicates=duplicates)
    strike(sandbox, fault, "contact_update")
    result = await until_done(lambda: push_signup(connection, push))
    assert [(one.ref.kind, one.how) for one in result.records] == [("contact", "updated"), ("lead", "created")]
    assert person.name == "Fiona Friend"
    assert len(person.phones) == (2 if duplicates == "update" else 1)
    assert counts(sandbox)[:2] == (1, 1)


async def test_every_write_may_lose_its_answer_in_one_signup(sandbox, connection, make_push, until_done):
    push = make_push("lead")
    push.values["note"] = {"content": "Hello"}
    for step in ("contact", "lead", "note"):
        strike(sandbox, "lose", step)
    await until_done(lambda: push_signup(connection, push))
    assert counts(sandbox) == (1, 1, 0, 1)
    assert push.once.found == ["contact", "lead", "note"]


async def test_the_lag_of_the_search_does_not_double_a_person(make_sandbox, connect, clock, until_done, make_push):
    # An index that never catches up: what counts is that nothing depends on it.
    sandbox = make_sandbox(search_lag=86_400)
    connection = connect(sandbox)
    push = make_push("contact", values={"contact": {"first_name": "Fiona", "emails": EMAIL}}, fields={})
    strike(sandbox, "lose", "contact")
    await until_done(lambda: push_signup(connection, push))
    assert counts(sandbox)[0] == 1


async def test_a_person_without_a_time_of_change_is_found_all_the_same(sandbox, connection, make_push, until_done):
    # Webhooks show new records without an update_time: a list by time of change may leave them out.
    push = make_push("contact")
    strike(sandbox, "lose", "contact")
    with pytest.raises(OutcomeUnknown):
        await push_signup(connection, push)
    made = max(sandbox.company().persons.values(), key=lambda one: one.id)
    made.update_time -= timedelta(days=1)
    push.once.clock.advance(timedelta(seconds=31))
    await until_done(lambda: push_signup(connection, push))
    assert counts(sandbox)[0] == 1


async def test_a_person_that_was_there_before_is_not_taken_for_ours(sandbox, connection, make_push, clock, until_done):
    old = sandbox.add_person("Fiona", EMAIL)
    clock.advance(timedelta(minutes=10))
    # Somebody edits the old person just now, and the policy asks for a second one.
    sandbox.update_person(old.id, name="Fiona Old")
    push = make_push("contact", duplicates="create")
    sandbox.fail_next(503, method="POST", match="/persons$")
    result = await until_done(lambda: push_signup(connection, push))
    assert result.records[0].ref.id != str(old.id)
    assert counts(sandbox)[0] == 2


async def test_an_in_doubt_contact_that_was_never_made_still_meets_the_one_that_is_there(
    sandbox, connection, make_push, until_done
):
    # The first attempt broke off while it looked: nobody was made, and the policy holds for the second attempt.
    person = sandbox.add_person("Fiona", EMAIL)
    push = make_push("lead", duplicates="skip")
    push.once.clock.advance(timedelta(minutes=10))
    push.once.doubtful["contact"] = push.once.clock()
    push.once.clock.advance(timedelta(minutes=5))
    result = await push_signup(connection, push)
    assert [(one.ref.id, one.how) for one in result.records] == [(str(person.id), "matched")]


@pytest.mark.parametrize("meanwhile", ["archived", "converted", "converted and deal archived"])
@pytest.mark.parametrize("carries", [True, False])
async def test_a_lead_that_moved_on_meanwhile_is_found(make_sandbox, connect, make_push, clock, meanwhile, carries):
    sandbox = make_sandbox(conversion_carries_fields=carries)
    connection = connect(sandbox)
    push = make_push("lead")
    (key,) = [key for key in push.values["lead"] if len(key) == 40]
    push.values["lead"][sandbox.demo.deal_fields["Referral Code"].code] = push.values["lead"].pop(key)
    strike(sandbox, "lose", "lead")
    with pytest.raises(OutcomeUnknown):
        await push_signup(connection, push)
    (lead,) = sandbox.company().leads.values()
    if meanwhile == "archived":
        sandbox.archive_lead(lead.id)
    else:
        deal = sandbox.convert_lead(lead.id)
        if not carries:
            deal.origin_id = None
        if meanwhile != "converted":
            sandbox.archive_deal(deal.id)
    clock.advance(timedelta(minutes=2))
    result = await push_signup(connection, push)
    assert result.records[1].ref == RecordRef(kind="lead", id=lead.id)
    assert len(sandbox.company().leads) == 1


async def test_a_converted_lead_of_another_campaign_is_not_taken_for_ours(sandbox, connection, make_push, until_done):
    first = await push_signup(connection, make_push("lead", reference="per_other"))
    other = first.records[1].ref
    sandbox.convert_lead(other.id).origin_id = None
    push = make_push("lead", known=(other, first.records[0].ref))
    sandbox.fail_next(503, method="POST", match="/leads$")
    result = await until_done(lambda: push_signup(connection, push))
    assert result.records[1].ref != other


@pytest.mark.parametrize("meanwhile", ["archived", "won", "moved"])
async def test_a_deal_that_moved_on_meanwhile_is_found(sandbox, connection, make_push, clock, meanwhile):
    push = make_push("deal")
    strike(sandbox, "lose", "deal")
    with pytest.raises(OutcomeUnknown):
        await push_signup(connection, push)
    (deal,) = sandbox.company().deals.values()
    if meanwhile == "archived":
        sandbox.archive_deal(deal.id)
    elif meanwhile == "won":
        sandbox.win_deal(deal.id)
    else:
        sandbox.move_deal(deal.id, sandbox.demo.partner_stages["New"].id)
    clock.advance(timedelta(minutes=2))
    result = await push_signup(connection, push)
    assert result.records[1].ref == RecordRef(kind="deal", id=str(deal.id))
    assert len(sandbox.company().deals) == 1


async def test_a_deal_without_a_code_is_known_by_who_made_it_and_when(sandbox, connection, make_push, clock):
    push = make_push("deal", code=None, fields={})
    push.values["deal"].clear()
    person = sandbox.add_person("Fiona", EMAIL)
    sandbox.index.age()
    # Made just now by a colleague, on the same person.
    theirs = sandbox.add_deal("Theirs", person_id=person.id)
    theirs.creator_user_id = sandbox.demo.seller.id
    strike(sandbox, "lose", "deal")
    with pytest.raises(OutcomeUnknown):
        await push_signup(connection, push)
    clock.advance(timedelta(minutes=2))
    result = await push_signup(connection, push)
    assert result.records[1].ref.id != str(theirs.id)
    assert len(sandbox.company().deals) == 2


async def test_a_deal_of_another_campaign_is_not_taken_for_ours(sandbox, connection, make_push, until_done):
    first = await push_signup(connection, make_push("deal", reference="per_other"))
    push = make_push("deal", known=(first.records[1].ref, first.records[0].ref))
    sandbox.fail_next(503, method="POST", match="/deals$")
    result = await until_done(lambda: push_signup(connection, push))
    assert result.records[1].ref != first.records[1].ref
    assert len(sandbox.company().deals) == 2


async def test_a_request_that_never_left_is_simply_sent_again(sandbox, connection, make_push):
    push = make_push("lead")
    sandbox.refuse_connection(method="POST", match="/leads$")
    with pytest.raises(RetryLater):
        await push_signup(connection, push)
    await push_signup(connection, push)
    assert counts(sandbox)[:2] == (1, 1)
    assert push.once.found == []


async def test_a_break_before_any_write_is_no_doubt(sandbox, connection, make_push):
    push = make_push("lead")
    sandbox.lose_answer(match="/persons/search")
    with pytest.raises(RetryLater):
        await push_signup(connection, push)
    assert not push.once.doubtful
    await push_signup(connection, push)
    assert counts(sandbox)[:2] == (1, 1)
