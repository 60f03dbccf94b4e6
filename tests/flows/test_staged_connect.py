"""A connection that takes days: told, reminded, approved, finalised, replaced, across restarts of the gateway."""

from contextlib import AsyncExitStack
from datetime import datetime, timedelta

import pytest
from click.testing import CliRunner

from gateway.cli import cli
from gateway.storage import checkpoints, connections

from .booked import Booked, open_office
from .toys import ENVIRON, Vendor, settings_for


@pytest.fixture
def crm(clock):
    return Booked(clock)


@pytest.fixture
async def open_process(database_url, database, crm):
    vendor = Vendor()
    async with AsyncExitStack() as all_of_them:

        async def make(stack=all_of_them, **changes):
            return await open_office(stack, database_url, database.clock, vendor, crm, **changes)

        yield make


@pytest.fixture
async def office(open_process):
    office = await open_process()
    await office.account()
    return office


async def pending(office, account="acme", tenant="77"):
    started = await office.begin(account, "booked")
    return await office.call("POST", f"/v1/connections/{started['id']}/steps/tenant", {"values": {"tenant": tenant}})


async def told(office):
    await office.drain()
    found = (await office.call("GET", "/v1/events?after=0&limit=200"))["data"]
    return [(one["type"].partition(".")[2], one["data"]["reminder"]) for one in found if "connection." in one["type"]]


async def test_who_waits_is_told_how_long_and_whom_to_turn_to(office):
    waiting = await pending(office)
    step = waiting["next_step"]
    assert (waiting["state"], step["kind"]) == ("pending_approval", "wait")
    assert step["contact"] == "support@referrals.example"
    assert step["instructions"][0] == "We add you to our app."
    assert "up to 24 hours" in step["instructions"][1]
    assert "support@referrals.example" in step["instructions"][2]
    wait = datetime.fromisoformat(step["expected_by"]) - office.clock.now()
    assert timedelta(hours=23, minutes=58) < wait <= timedelta(hours=24)
    office.clock.advance(timedelta(hours=25))
    late = (await office.connection(waiting["id"]))["next_step"]
    assert "longer than the usual 24 hours" in late["instructions"][1]


async def test_the_wait_is_a_setting_and_nobody_is_named_where_none_is_set(open_process):
    office = await open_process(approval_hours=36, support_contact="")
    await office.account()
    step = (await pending(office))["next_step"]
    assert step["contact"] is None
    assert step["instructions"] == ["We add you to our app.", "This usually takes up to 36 hours."]


async def test_the_host_is_reminded_once_by_whichever_process_looks(open_process, office):
    waiting = await pending(office)
    assert await told(office) == [("pending_approval", False)]
    await office.later(hours=23)
    assert await told(office) == [("pending_approval", False)]
    other = await open_process()
    for _ in range(3):
        await office.later(hours=1)
        await other.later(hours=1)
    assert await told(office) == [("pending_approval", False), ("pending_approval", True)]
    await office.call("POST", f"/v1/connections/{waiting['id']}/approve")
    await office.later(days=5)
    assert await told(office) == [
        ("pending_approval", False),
        ("pending_approval", True),
        ("awaiting_credentials", False),
    ], "who has been approved is not reminded of, however long the credentials take"


async def test_what_was_approved_in_time_is_not_reminded_of(office):
    waiting = await pending(office)
    await office.later(hours=23)
    await office.call("POST", f"/v1/connections/{waiting['id']}/approve")
    await office.later(days=3)
    assert await told(office) == [("pending_approval", False), ("awaiting_credentials", False)]


async def test_each_stage_outlives_a_restart(open_process, crm):
    async with AsyncExitStack() as first:
        office = await open_process(first)
        await office.account()
        connection = (await pending(office))["id"]
        await office.drain()
    async with AsyncExitStack() as second:
        office = await open_process(second)
        office.clock.advance(timedelta(days=2))
        again = await office.begin(integration="booked", expect=200)
        assert again["id"] == connection, "asking again goes on with it"
        approved = await office.call("POST", f"/v1/connections/{connection}/approve")
        assert (approved["state"], approved["next_step"]["step"]) == ("awaiting_credentials", "finalise")
    async with AsyncExitStack() as third:
        office = await open_process(third)
        office.clock.advance(timedelta(days=9))
        await office.drain()
        shown = await office.connection(connection)
        assert (shown["state"], shown["next_step"]["kind"]) == ("awaiting_credentials", "form")
        done = await office.finalise(connection)
        assert (done["state"], done["identity"]) == ("active", "77"), "the tenant id of the first form is still known"
        await office.drain()
        assert crm.count("contacts") == 1


@pytest.mark.parametrize(
    ("changes", "fields"),
    [
        ({"client_secret": "wrong"}, {"values.client_id", "values.client_secret", "values.provider"}),
        ({"provider": "13"}, {"values.provider"}),
        ({"provider": ""}, {"values.provider"}),
    ],
)
async def test_what_is_wrong_at_the_end_is_named_at_its_field_and_may_be_sent_again(office, changes, fields):
    connection = (await pending(office))["id"]
    await office.call("POST", f"/v1/connections/{connection}/approve")
    problem = await office.finalise(connection, expect=422, **changes)
    assert {one["field"] for one in problem["problems"]} == fields
    assert (await office.connection(connection))["state"] == "awaiting_credentials"
    assert (await office.finalise(connection))["state"] == "active"


async def test_white_space_around_pasted_values_is_nothing(office):
    started = await office.begin(integration="booked")
    path = f"/v1/connections/{started['id']}"
    waiting = await office.call("POST", f"{path}/steps/tenant", {"values": {"tenant": " 77\n"}})
    assert waiting["state"] == "pending_approval"
    await office.call("POST", f"{path}/approve")
    pasted = {"client_id": " cid", "client_secret": f"{office.vendor.secret} \n", "provider": "12\t"}
    assert (await office.finalise(started["id"], **pasted))["identity"] == "77"


async def test_who_waits_may_cancel_and_begin_again(office):
    connection = (await pending(office))["id"]
    await office.call("DELETE", f"/v1/connections/{connection}")
    assert (await office.call("POST", f"/v1/connections/{connection}/approve", expect=409))["code"] == "wrong_state"
    again = await pending(office)
    assert again["id"] != connection
    assert [kind for kind, _ in await told(office)] == ["pending_approval", "disconnected", "pending_approval"]


async def test_disconnecting_says_what_is_to_be_done_by_hand(office):
    connection = await office.connected()
    receipt = await office.call("DELETE", f"/v1/connections/{connection}")
    assert receipt["by_hand"] == ["Open Settings > Integrations and remove our app."]


async def test_new_credentials_keep_setups_checkpoints_and_backlog(office, crm):
    connection = await office.connected()
    await office.ready()
    await office.drain()
    feeds = {one.feed: one.checkpoint for one in await feeds_of(office, connection)}
    office.vendor.secret = "another-secret-value"
    office.vendor.access_tokens.clear()
    person = await office.signup()
    await office.drain()
    assert (await office.connection(connection))["state"] == "needs_reauth"
    assert (await office.person(person))["crm"] == "waiting"
    started = await office.call("POST", f"/v1/connections/{connection}/reauthorise")
    assert started["next_step"]["step"] == "finalise", "nothing has to be approved again"
    office.vendor.tenants["cid"] = "78"
    problem = await office.finalise(connection, expect=422)
    assert problem["problems"][0]["field"] == "values.client_id", "another tenant's credentials are refused"
    assert (await office.connection(connection))["state"] == "needs_reauth"
    office.vendor.tenants["cid"] = "77"
    assert (await office.finalise(connection))["state"] == "active"
    await office.drain()
    assert (await office.person(person))["crm"] == "linked"
    assert len(crm.bookings) == 1
    assert {one.feed: one.checkpoint for one in await feeds_of(office, connection)} == feeds
    setup = await office.call("GET", "/v1/accounts/acme/campaigns/spring/setups/referred")
    assert setup["state"] == "ready"


async def feeds_of(office, connection):
    async with office.services.database.read() as conn:
        return await checkpoints.of_connection(conn, connection)


async def test_the_command_lists_what_waits_and_approves_it(office, database_url, monkeypatch):
    connection = (await pending(office))["id"]
    settings = settings_for(database_url)
    environ = {
        **ENVIRON,
        "GATEWAY_DATABASE_URL": database_url,
        "GATEWAY_SECRET_KEYS": settings.secret_keys[0],
        "GATEWAY_HOST_KEYS": settings.host_keys[0],
    }
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("gateway.app.discover", lambda: office.services.integrations)

    async def run(*arguments):
        import asyncio

        return await asyncio.to_thread(CliRunner().invoke, cli, ["approve", *arguments], catch_exceptions=True)

    listed = await run()
    assert (listed.exit_code, connection in listed.output, "account acme  77" in listed.output) == (0, True, True)
    approved = await run(connection)
    assert approved.exit_code == 0, approved.output
    assert "awaiting_credentials" in approved.output
    assert (await run()).output == "no connection waits for approval\n"
    again = await run(connection)
    assert (again.exit_code, again.exception.code) == (1, "wrong_state")
    async with office.services.database.read() as conn:
        assert (await connections.get(conn, connection)).state == "awaiting_credentials"
