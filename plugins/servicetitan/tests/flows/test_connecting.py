"""Connecting in stages: over days and restarts, with every wrong value named, and without losing anything later."""

import pytest

from plugins.servicetitan.tests.flows.conftest import EMAIL


async def test_the_whole_way_over_days_and_restarts(world):
    await world.account()
    body = {"integration": "servicetitan"}
    started = await world.call("POST", "/v1/accounts/acme/connections", body)
    step = started["next_step"]
    assert (started["state"], step["kind"], step["step"]) == ("awaiting_authorisation", "form", "tenant")
    assert [one["key"] for one in step["fields"]] == ["tenant"]
    assert any("API Application Access" in sentence for sentence in step["instructions"])

    path = f"/v1/connections/{started['id']}"
    tenant = str(world.sandbox.tenant().id)
    pending = await world.call("POST", f"{path}/steps/tenant", {"values": {"tenant": f" {tenant} "}})
    assert (pending["state"], pending["identity"]) == ("pending_approval", tenant)
    assert any("up to 24 hours" in sentence for sentence in pending["next_step"]["instructions"])
    assert any("support@referrals.example" in sentence for sentence in pending["next_step"]["instructions"])

    await world.later(days=2)
    await world.start()
    assert (await world.call("GET", path))["state"] == "pending_approval"
    approved = await world.call("POST", f"{path}/approve", {})
    step = approved["next_step"]
    assert (approved["state"], step["title"]) == ("awaiting_credentials", "Finalise")
    assert [one["key"] for one in step["fields"]] == ["client_id", "client_secret", "booking_provider"]
    assert "booking-provider-tags" in step["fields"][2]["help_url"]

    await world.start()
    done = await world.finalise(started["id"])
    assert (done["state"], done["identity"], done["next_step"]) == ("active", tenant, None)
    assert {one["type"] for one in (await world.call("GET", "/v1/events?after=0"))["data"]} <= {
        "connection.pending_approval",
        "connection.awaiting_credentials",
        "connection.activated",
    }


@pytest.mark.parametrize(
    ("changes", "fields"),
    [
        ({"client_id": "cid.wrong"}, {"values.client_id", "values.client_secret"}),
        ({"client_secret": "cs1.wrong"}, {"values.client_id", "values.client_secret"}),
        ({"booking_provider": "99"}, {"values.booking_provider"}),
        ({"booking_provider": "seven"}, {"values.booking_provider"}),
        ({"client_id": " "}, {"values.client_id"}),
    ],
)
async def test_each_wrong_value_is_named_and_the_form_may_be_sent_again(world, changes, fields):
    await world.account()
    connection = await world.pending()
    await world.call("POST", f"/v1/connections/{connection}/approve", {})
    problem = await world.finalise(connection, expect=422, **changes)
    assert {one["field"] for one in problem["problems"]} == fields
    assert (await world.call("GET", f"/v1/connections/{connection}"))["state"] == "awaiting_credentials"
    assert (await world.finalise(connection))["state"] == "active"


async def test_the_wait_can_be_cancelled_and_another_tenant_given(world):
    await world.account()
    connection = await world.pending(tenant=1)
    await world.call("DELETE", f"/v1/connections/{connection}")
    assert await world.pending() != connection


async def test_one_tenant_belongs_to_one_account(world):
    await world.account()
    await world.connect()
    await world.account("bravo")
    connection = await world.pending("bravo")
    await world.call("POST", f"/v1/connections/{connection}/approve", {})
    problem = await world.finalise(connection, expect=409)
    assert problem["code"] == "vendor_account_in_use"


async def test_another_secret_is_taken_and_what_waited_goes_out(world):
    connection = await world.ready()
    world.sandbox.regenerate_secret()
    world.sandbox.expire_tokens()
    person = await world.signup()
    shown = await world.call("GET", f"/v1/connections/{connection}")
    assert shown["state"] == "needs_reauth"
    assert world.sandbox.bookings() == []
    await world.call("POST", f"/v1/connections/{connection}/reauthorise", {})
    done = await world.finalise(connection)
    assert done["state"] == "active"
    await world.drain()  # the contact index is read on first: somebody may have become a customer meanwhile
    assert (await world.person(person))["crm"] == "linked"
    assert len(world.sandbox.bookings(EMAIL)) == 1


async def test_credentials_of_another_tenant_are_refused_at_reauthorisation(world):
    connection = await world.ready()
    other = world.sandbox.demo_tenant("Bravo Heating").tenant
    access = world.sandbox.connect_app(tenant_id=other.id)
    await world.call("POST", f"/v1/connections/{connection}/reauthorise", {})
    values = {"client_id": access.client_id, "client_secret": access.client_secret}
    problem = await world.finalise(connection, expect=422, **values, booking_provider=str(access.provider))
    assert [one["field"] for one in problem["problems"]] == ["values.client_id"]
    assert (await world.call("GET", f"/v1/connections/{connection}"))["state"] == "active"


async def test_a_withdrawn_app_keeps_signups_until_it_is_allowed_again(world):
    connection = await world.ready()
    world.sandbox.disconnect_app()
    person = await world.signup()
    assert (await world.call("GET", f"/v1/connections/{connection}"))["state"] == "needs_reauth"
    await world.call("POST", f"/v1/connections/{connection}/reauthorise", {})
    await world.finalise(connection)
    await world.drain()
    assert (await world.person(person))["crm"] == "linked"


async def test_disconnecting_says_what_is_left_by_hand_and_deletes_nothing(world):
    connection = await world.ready()
    await world.signup()
    receipt = await world.call("DELETE", f"/v1/connections/{connection}")
    assert any("API Application Access" in sentence for sentence in receipt["by_hand"])
    assert len(world.sandbox.bookings()) == 1
    calls = len(world.sandbox.front.log)
    await world.later(hours=2)
    assert len(world.sandbox.front.log) == calls, "nothing syncs any more"


async def test_one_token_serves_many_calls_and_is_renewed_in_time(world):
    await world.ready()
    given = world.sandbox.tokens.given
    for number in range(5):
        await world.signup(f"p{number}@example.com")
    assert world.sandbox.tokens.given == given
    await world.later(minutes=16)
    await world.signup()
    assert world.sandbox.tokens.given == given + 1
    assert all(entry.status != 401 for entry in world.sandbox.front.log)


async def test_a_token_that_ends_early_costs_one_call_again(world):
    connection = await world.ready()
    world.sandbox.expire_tokens()
    person = await world.signup()
    assert (await world.person(person))["crm"] == "linked"
    assert (await world.call("GET", f"/v1/connections/{connection}"))["state"] == "active"


async def test_two_integrations_at_once_are_refused_by_name(world):
    await world.account()
    await world.pending()
    shown = await world.call("GET", "/v1/integrations/servicetitan")
    assert shown["manifest"]["connect_steps"][1]["kind"] == "approval"
    assert "TakesStatuses" not in shown["capabilities"]
