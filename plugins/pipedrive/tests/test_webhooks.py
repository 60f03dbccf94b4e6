"""Subscriptions: exactly one healthy set, however often it is asked for; and calls that prove where they come from."""

import base64

import msgspec
import pytest

from gateway.sdk.errors import InvalidSignature, NotSupported, OutcomeUnknown, Rejected
from gateway.sdk.inbound import InboundRequest, Uninstalled
from gateway_pipedrive import plugin
from gateway_pipedrive.webhooks import USER, register
from plugins.pipedrive.tests.openapi import vendor_documents

URL = "https://gateway.test/v1/inbound/pipedrive/con_01j00000000000000000000000/unguessable"


def living(sandbox):
    return [one for one in sandbox.state.subscriptions.values() if one.remove_time is None]


def objects(sandbox):
    return sorted(one.event_object for one in living(sandbox))


async def test_five_calls_leave_three_subscriptions(sandbox, connection, recorder):
    answers = [await register(connection, URL) for _ in range(5)]
    assert objects(sandbox) == ["deal", "lead", "person"]
    assert all(answer == answers[0] for answer in answers)
    assert [one.subject for one in answers[0]] == ["deal", "lead", "person"]
    assert sum(one.request.method == "POST" for one in recorder.exchanges) == 3
    for one in living(sandbox):
        assert (one.event_action, one.version, one.subscription_url) == ("*", "2.0", URL)
        assert (one.http_auth_user, one.http_auth_password) == (USER, "inbound-secret")
        assert one.user_id == int(connection.user)
    assert recorder.request_problems(vendor_documents()) == []


@pytest.mark.parametrize(
    "change",
    [
        {"subscription_url": "https://old.test/v1/inbound/pipedrive/con_01j00000000000000000000000/old"},
        {"event_action": "create"},
        {"version": "1.0"},
        {"http_auth_password": "old-secret"},
        {"http_auth_user": None},
    ],
)
async def test_what_is_not_as_it_should_be_is_made_anew(sandbox, connection, change):
    await register(connection, URL)
    broken = next(one for one in living(sandbox) if one.event_object == "deal")
    for key, value in change.items():
        setattr(broken, key, value)
    await register(connection, URL)
    assert objects(sandbox) == ["deal", "lead", "person"]
    assert broken.remove_time is not None


async def test_the_new_one_is_there_before_the_old_one_goes(sandbox, connection, recorder):
    await register(connection, URL)
    recorder.exchanges.clear()
    await register(connection, URL + "-new")
    methods = [one.request.method for one in recorder.exchanges]
    assert methods == ["GET", "POST", "POST", "POST", "DELETE", "DELETE", "DELETE"]


async def test_what_the_vendor_deleted_without_a_word_is_made_again(sandbox, connection):
    await register(connection, URL)
    sandbox.outbox.remove(living(sandbox)[0], "no successful delivery for 3 days")
    await register(connection, URL)
    assert objects(sandbox) == ["deal", "lead", "person"]


async def test_a_lost_answer_leaves_no_second_set_after_the_next_call(sandbox, connection):
    sandbox.lose_answer(method="POST", match="/webhooks")
    with pytest.raises(OutcomeUnknown):
        await register(connection, URL)
    await register(connection, URL)
    assert objects(sandbox) == ["deal", "lead", "person"]


async def test_another_connection_of_the_same_user_keeps_its_own(sandbox, connect, connection):
    other = connect(sandbox, id="con_other00000000000000000000")
    await register(connection, URL)
    await register(other, "https://gateway.test/v1/inbound/pipedrive/con_other00000000000000000000/t")
    await register(connection, URL)
    assert objects(sandbox) == ["deal", "deal", "lead", "lead", "person", "person"]
    receipt = await plugin.disconnect(connection)
    assert objects(sandbox) == ["deal", "lead", "person"]
    assert receipt["removed"] == ["3 webhook subscriptions in Pipedrive"]
    assert receipt["by_hand"]


async def test_when_all_places_are_taken_old_ones_of_ours_make_room(sandbox, connection):
    await register(connection, URL)
    template = living(sandbox)[0]
    while len(living(sandbox)) < 40:
        from copy import copy

        more = copy(template)
        more.id, more.name, more.subscription_url = len(sandbox.state.subscriptions) + 1, "Other", "https://else.test/x"
        sandbox.state.subscriptions[more.id] = more
    await register(connection, URL + "-new")
    ours = [one for one in living(sandbox) if "con_01j" in one.name]
    assert sorted(one.event_object for one in ours) == ["deal", "lead", "person"]
    assert {one.subscription_url for one in ours} == {URL + "-new"}


async def test_a_url_that_the_vendor_cannot_reach_is_refused_in_its_words(make_sandbox, connect):
    sandbox = make_sandbox(unreachable_urls=("https://gateway.test",))
    with pytest.raises(Rejected, match="non-reachable"):
        await register(connect(sandbox), URL)


async def test_a_url_that_cannot_be_reached_costs_no_subscription_that_is_there(make_sandbox, connect):
    sandbox = make_sandbox(unreachable_urls=("https://gateway.test/new",))
    connection = connect(sandbox)
    await register(connection, URL)
    with pytest.raises(Rejected, match="non-reachable"):
        await register(connection, "https://gateway.test/new/con_01j00000000000000000000000")
    assert objects(sandbox) == ["deal", "lead", "person"]
    assert {one.subscription_url for one in living(sandbox)} == {URL}


async def test_without_the_right_to_subscribe_polls_take_over(sandbox, connection):
    # Which right a user needs beside the scope is not documented.
    sandbox.fail_next(403, method="POST", match="/webhooks$", body={"success": False, "message": "Forbidden"})
    with pytest.raises(NotSupported):
        await register(connection, URL)


async def test_an_old_one_that_may_not_be_deleted_does_not_spoil_the_new_ones(sandbox, connection):
    await register(connection, URL)
    sandbox.fail_next(403, method="DELETE", match="/webhooks/", body={"success": False, "message": "Forbidden"})
    registered = await register(connection, URL + "-new")
    assert len(registered) == 3
    # The two others are gone, and so are all that may be when the connection ends.
    assert len(living(sandbox)) == 4
    sandbox.fail_next(403, method="DELETE", match="/webhooks/", body={"success": False, "message": "Forbidden"})
    receipt = await plugin.disconnect(connection)
    assert receipt["removed"] == ["3 webhook subscriptions in Pipedrive"]
    assert any("1 webhook subscription" in one for one in receipt["by_hand"])


async def test_without_the_admin_scope_polls_take_over(make_sandbox, connect, recorder):
    sandbox = make_sandbox(granted_scopes=("base", "contacts:full", "deals:full", "leads:full"))
    with pytest.raises(NotSupported, match="admin"):
        await register(connect(sandbox), URL)
    # The same when the scope was taken away later.
    sandbox = make_sandbox()
    connection = connect(sandbox)
    sandbox.revoke_scope("admin")
    with pytest.raises(NotSupported):
        await register(connection, URL)
    receipt = await plugin.disconnect(connection)
    assert receipt["removed"] == []
    assert any("removes them when the app is uninstalled" in one for one in receipt["by_hand"])


# Calls to us


def request(body, user=USER, password="inbound-secret", method="POST", **headers):
    basic = base64.b64encode(f"{user}:{password}".encode()).decode()
    return InboundRequest(
        method=method, headers={"authorization": f"Basic {basic}", **headers}, query={}, body=msgspec.json.encode(body)
    )


def test_a_webhook_proves_where_it_comes_from(connection):
    plugin.verify_webhook(connection, request({}))
    for wrong in (request({}, password="other"), request({}, user="u"), request({}, authorization="Bearer x")):
        with pytest.raises(InvalidSignature):
            plugin.verify_webhook(connection, wrong)


async def test_webhooks_of_the_sandbox_are_read(make_sandbox, connect, clock):
    sandbox = make_sandbox(source_lead_in_webhooks=True)
    connection = connect(sandbox)
    await register(connection, URL)
    person = sandbox.add_person("Fiona", "fiona@friends.test")
    lead = sandbox.add_lead("Spring", person_id=person.id)
    deal = sandbox.convert_lead(lead.id)
    sandbox.move_deal(deal.id, sandbox.demo.stages["Demo"].id)
    sandbox.win_deal(deal.id)
    other = sandbox.add_person("Fi", "fi@friends.test")
    sandbox.merge_persons(other.id, person.id)
    changes = [
        change for one in sandbox.outbox.pending for change in plugin.read_webhook(connection, request(one.payload))
    ]
    facts = {(fact.name, fact.value) for one in changes if one.ref.kind == "deal" for fact in one.facts}
    assert {("converted", None), ("won", None), ("stage", str(sandbox.demo.stages["Demo"].id))} <= facts
    assert {one.origin.id for one in changes if one.origin} == {lead.id}
    assert [one.merged_into for one in changes if one.ref.id == str(other.id)][-1] == str(person.id)
    assert [one.ref.kind for one in changes if one.deleted] == ["lead"]
    keys = [plugin.webhook_id(request(one.payload)) for one in sandbox.outbox.pending]
    assert len(set(keys)) == len(keys)


def test_an_unknown_payload_is_an_empty_list(connection):
    assert plugin.read_webhook(connection, request({"anything": 1})) == []
    assert plugin.webhook_id(request({"anything": 1})) is None


UNINSTALL = {
    "client_id": "sandbox-client",
    "company_id": 8087566,
    "user_id": 12415231,
    "timestamp": "2026-11-21T10:00:00Z",
}


@pytest.mark.parametrize("as_text", [False, True])
def test_an_uninstall_names_company_and_user(connection, as_text):
    body = {key: str(value) if as_text else value for key, value in UNINSTALL.items()}
    call = request(body, user="sandbox-client", password="sandbox-secret", method="DELETE")
    plugin.verify_app_call(connection.settings, call)
    assert plugin.read_app_call(connection.settings, call) == [Uninstalled(identity="8087566", user="12415231")]


def test_other_calls_of_the_app_say_nothing(connection):
    settings = connection.settings
    assert plugin.read_app_call(settings, request(UNINSTALL, method="POST")) == []
    assert plugin.read_app_call(settings, request({**UNINSTALL, "client_id": "other"}, method="DELETE")) == []
    assert plugin.read_app_call(settings, request({"user_id": 1}, method="DELETE")) == []
    with pytest.raises(InvalidSignature):
        plugin.verify_app_call(settings, request(UNINSTALL, method="DELETE"))
