"""Connecting: the state machine of redirect, form and approval steps, one CRM at a time, and the pinned identity."""

import asyncio
from contextlib import AsyncExitStack
from datetime import timedelta

import pytest

from gateway.plugins import Quarantined
from gateway.sdk.clock import Clock
from gateway.storage import connections, lanes, schedules, tasks
from gateway.storage.tasks import NewTask

from .toys import Vendor, approved_toy, form_toy, open_gateway, own_key_toy, toy


@pytest.fixture
def vendor():
    return Vendor()


@pytest.fixture
async def open_process(database_url, clock: Clock, vendor):
    async with AsyncExitStack() as stack:

        async def make(integrations=None, **changes):
            installed = integrations or [toy(), form_toy(), approved_toy("slow"), own_key_toy()]
            return await open_gateway(stack, database_url, clock, vendor, installed, **changes)

        yield make


@pytest.fixture
async def gateway(open_process):
    gateway = await open_process()
    await gateway.account()
    return gateway


async def row_of(gateway, connection_id):
    async with gateway.services.database.read() as conn:
        return await connections.get(conn, connection_id)


async def held(gateway, lane):
    async with gateway.services.database.read() as conn:
        found = await lanes.get_lane(conn, lane)
    return found and found.held


# --- one CRM at a time ---------------------------------------------------------------------------------


async def test_asking_again_for_the_same_integration_answers_with_the_open_connection(gateway):
    first = await gateway.begin()
    again = await gateway.begin(expect=200)
    assert again["id"] == first["id"]
    assert again["next_step"]["url"] != first["next_step"]["url"]
    page = await gateway.back(first)
    assert page.status_code == 200, "the first link still works"


async def test_of_fifty_who_connect_at_once_one_connection_comes_and_the_rest_are_told_which(open_process):
    keys = [f"crm{i}" for i in range(50)]
    installed = [approved_toy(key) for key in keys]
    processes = [await open_process(installed), await open_process(installed)]
    await processes[0].account()
    ask = [
        processes[i % 2].browser.post(
            "/v1/accounts/acme/connections",
            json={"integration": key},
            headers={"authorization": "Bearer host-key-for-tests-0123456789abcdef"},
        )
        for i, key in enumerate(keys)
    ]
    answers = await asyncio.gather(*ask)
    made = [answer.json() for answer in answers if answer.status_code == 201]
    refused = [answer.json() for answer in answers if answer.status_code == 409]
    assert (len(made), len(refused)) == (1, 49)
    assert {problem["code"] for problem in refused} == {"crm_already_connected"}
    for problem in refused:
        for word in (made[0]["integration"], made[0]["id"], "pending_approval"):
            assert word in problem["detail"]


async def test_fifty_who_connect_the_same_integration_share_one_connection(open_process):
    processes = [await open_process(), await open_process()]
    await processes[0].account()
    ask = [processes[i % 2].call("POST", "/v1/accounts/acme/connections", {"integration": "toy"}) for i in range(50)]
    assert len({answer["id"] for answer in await asyncio.gather(*ask)}) == 1


async def test_another_crm_replaces_one_that_still_waits_for_its_authorisation(gateway):
    first = await gateway.begin()
    second = await gateway.begin(integration="slow")
    assert (await gateway.connection(first["id"]))["state"] == "disconnected"
    assert (await gateway.connection(second["id"]))["state"] == "pending_approval"
    page = await gateway.back(first)
    assert page.status_code == 400


async def test_another_crm_is_refused_beside_a_connected_one_but_an_automation_is_not(gateway):
    connection = await gateway.connect()
    problem = await gateway.begin(integration="slow", expect=409)
    assert problem["code"] == "crm_already_connected"
    assert f"toy ({connection}) is active" in problem["detail"]
    automation = await gateway.begin(integration="zap")
    assert automation["state"] == "active"
    assert automation["next_step"] is None


async def test_an_authorisation_that_nobody_finishes_lapses_when_it_is_read_and_when_it_is_swept(gateway):
    started = await gateway.begin()
    gateway.clock.advance(timedelta(minutes=15, seconds=1))
    shown = await gateway.connection(started["id"])
    assert (shown["state"], shown["reason"], shown["next_step"]) == ("disconnected", "authorisation_lapsed", None)
    assert (await gateway.back(started)).status_code == 400
    assert await gateway.events() == ["connection.disconnected"]
    assert (await row_of(gateway, started["id"])).state == "disconnected"


async def test_after_a_lapse_the_account_connects_again_without_waiting_for_the_sweep(gateway):
    started = await gateway.begin()
    gateway.clock.advance(timedelta(minutes=16))
    other = await gateway.begin(integration="slow")
    assert other["state"] == "pending_approval"
    assert (await gateway.connection(started["id"]))["state"] == "disconnected"


@pytest.mark.parametrize(
    ("integration", "status", "word"),
    [("nothing", 404, "toy"), ("broken", 409, "ImportError"), ("unset", 409, "UNSET")],
)
async def test_what_cannot_be_connected_is_said_with_the_reason(open_process, integration, status, word):
    gateway = await open_process([toy(), toy("unset")])
    gateway.services.integrations.quarantined.append(
        Quarantined(key="broken", distribution="x", reason="ImportError: no module")
    )
    await gateway.account()
    problem = await gateway.begin(integration=integration, expect=status)
    assert word in str(problem)


@pytest.mark.parametrize(
    "url", ["https://evil.example/x", "javascript:alert(1)", "http://console.example", "//console.example"]
)
async def test_a_return_url_leads_to_us_or_to_a_console_origin_only(gateway, url):
    problem = await gateway.begin(return_url=url, expect=422)
    assert problem["problems"][0]["field"] == "return_url"


async def test_a_return_url_gets_connection_and_state(gateway):
    started = await gateway.begin(return_url="https://console.example/done?tab=1")
    page = await gateway.back(started)
    assert page.status_code == 303
    assert page.headers["location"] == f"https://console.example/done?tab=1&connection={started['id']}&state=active"


# --- forms and approval --------------------------------------------------------------------------------


async def to_finalise(gateway, account="acme", tenant="77"):
    started = await gateway.begin(account, "form")
    assert (started["state"], started["next_step"]["kind"]) == ("awaiting_authorisation", "form")
    path = f"/v1/connections/{started['id']}"
    pending = await gateway.call("POST", f"{path}/steps/tenant", {"values": {"tenant": tenant}})
    assert (pending["state"], pending["next_step"]["kind"]) == ("pending_approval", "wait")
    approved = await gateway.call("POST", f"{path}/approve")
    assert (approved["state"], approved["next_step"]["step"]) == ("awaiting_credentials", "finalise")
    return path


async def test_tenant_then_approval_then_credentials_connect(gateway):
    path = await to_finalise(gateway)
    values = {"client_id": "cid", "client_secret": gateway.vendor.secret}
    done = await gateway.call("POST", f"{path}/steps/finalise", {"values": values})
    assert (done["state"], done["identity"], done["next_step"]) == ("active", "77", None)
    assert await gateway.events() == [
        "connection.pending_approval",
        "connection.awaiting_credentials",
        "connection.activated",
    ]


@pytest.mark.parametrize(
    ("values", "field", "code"),
    [
        ({"tenant": "abc"}, "values.tenant", "pattern"),
        ({}, "values.tenant", "required"),
        ({"tenant": "1", "colour": "red"}, "values.colour", "unknown_field"),
        ({"tenant": " "}, "values.tenant", "required"),
    ],
)
async def test_a_wrong_form_names_its_fields(gateway, values, field, code):
    started = await gateway.begin(integration="form")
    problem = await gateway.call(
        "POST", f"/v1/connections/{started['id']}/steps/tenant", {"values": values}, expect=422
    )
    assert (field, code) in {(one["field"], one["code"]) for one in problem["problems"]}


async def test_refused_credentials_are_said_beside_their_fields_and_not_stored(gateway):
    path = await to_finalise(gateway)
    values = {"client_id": "cid", "client_secret": "wrong"}
    problem = await gateway.call("POST", f"{path}/steps/finalise", {"values": values}, expect=422)
    assert {one["field"] for one in problem["problems"]} == {"values.client_id", "values.client_secret"}
    values = {"client_id": "cid", "client_secret": gateway.vendor.secret}
    gateway.vendor.tenants["cid"] = "78"
    problem = await gateway.call("POST", f"{path}/steps/finalise", {"values": values}, expect=422)
    assert problem["problems"][0]["field"] == "values.client_id"
    gateway.vendor.tenants["cid"] = "77"
    assert (await gateway.call("POST", f"{path}/steps/finalise", {"values": values}))["state"] == "active"


async def test_a_step_that_is_not_to_be_done_now_is_refused(gateway):
    path = await to_finalise(gateway)
    problem = await gateway.call("POST", f"{path}/steps/tenant", {"values": {"tenant": "1"}}, expect=409)
    assert problem["code"] == "wrong_state"
    assert "'finalise'" in problem["detail"]
    assert (await gateway.call("POST", f"{path}/approve", expect=409))["code"] == "wrong_state"


async def test_a_vendor_that_is_down_stores_nothing_and_the_form_may_be_sent_again(gateway):
    path = await to_finalise(gateway)
    gateway.vendor.down = True
    values = {"client_id": "cid", "client_secret": gateway.vendor.secret}
    problem = await gateway.call("POST", f"{path}/steps/finalise", {"values": values}, expect=503)
    assert problem["code"] == "vendor_unavailable"
    gateway.vendor.down = False
    assert (await gateway.call("POST", f"{path}/steps/finalise", {"values": values}))["state"] == "active"


async def test_cancelling_a_pending_connection_frees_the_account(gateway):
    started = await gateway.begin(integration="slow")
    receipt = await gateway.call("DELETE", f"/v1/connections/{started['id']}")
    assert (receipt["removed"], receipt["by_hand"], receipt["kept"]) == ([], [], [])
    assert (await gateway.begin())["state"] == "awaiting_authorisation"


async def test_a_second_account_may_not_finish_with_an_identity_that_is_in_use(gateway):
    values = {"client_id": "cid", "client_secret": gateway.vendor.secret}
    await gateway.call("POST", f"{await to_finalise(gateway)}/steps/finalise", {"values": values})
    await gateway.account("bravo")
    path = await to_finalise(gateway, "bravo")
    problem = await gateway.call("POST", f"{path}/steps/finalise", {"values": values}, expect=409)
    assert problem["code"] == "vendor_account_in_use"
    assert "acme" not in str(problem).lower()


# --- disconnect and connect again ----------------------------------------------------------------------


async def test_disconnecting_stops_traffic_removes_at_the_vendor_and_deletes_secrets(gateway):
    connection = await gateway.connect()
    receipt = await gateway.call("DELETE", f"/v1/connections/{connection}")
    assert receipt["removed"] == ["Two webhooks.", "The authorisation of our app in Toy."]
    assert receipt["by_hand"] == []
    assert receipt["kept"]
    assert gateway.vendor.revoked == ["refresh-token-1"]
    assert await held(gateway, "vendor:toy:c1") == "disconnected"
    async with gateway.services.database.read() as conn:
        assert await gateway.services.vault.get_all(conn, connection) == {}
    before = len(gateway.vendor.calls)
    gateway.clock.advance(timedelta(hours=1))
    await gateway.worker.drain()
    assert len(gateway.vendor.calls) == before, "not one call after a disconnect"


async def test_disconnecting_works_while_the_vendor_is_down_and_says_what_is_left(gateway):
    connection = await gateway.connect()
    gateway.vendor.down = True
    receipt = await gateway.call("DELETE", f"/v1/connections/{connection}")
    assert receipt["removed"] == []
    assert len(receipt["by_hand"]) == 2
    assert (await gateway.connection(connection))["state"] == "disconnected"
    again = await gateway.call("DELETE", f"/v1/connections/{connection}")
    assert again["disconnected_at"] == receipt["disconnected_at"]


async def test_a_clean_up_that_the_process_did_not_finish_is_finished_by_a_task(gateway, monkeypatch):
    connection = await gateway.connect()

    async def die(*_args):
        raise RuntimeError("the process died")

    monkeypatch.setattr("gateway.flows.connections.disconnect._clean_up", die)
    await gateway.call("DELETE", f"/v1/connections/{connection}", expect=500)
    monkeypatch.undo()
    gateway.clock.advance(timedelta(minutes=3))
    await gateway.worker.drain()
    assert gateway.vendor.revoked == ["refresh-token-1"]
    async with gateway.services.database.read() as conn:
        assert await gateway.services.vault.get_all(conn, connection) == {}


async def test_connecting_the_same_vendor_account_again_takes_up_what_was_there(gateway):
    first = await gateway.connect()
    services = gateway.services

    async def leave(conn):
        from gateway.storage.tables import checkpoints, links

        now = services.clock.now()
        await conn.execute(checkpoints.insert().values(connection_id=first, feed="deals", checkpoint="42"))
        link = {"id": "lnk_1", "account_id": "acme", "connection_id": first, "record_kind": "lead", "record_id": "9"}
        await conn.execute(links.insert().values(**link, person_id="per_1", how="created", created_at=now))

    await services.database.writer.run(leave)
    await gateway.call("DELETE", f"/v1/connections/{first}")
    second = await gateway.connect()
    assert second != first
    async with services.database.read() as conn:
        from sqlalchemy import select

        from gateway.storage.tables import checkpoints, links

        assert list((await conn.execute(select(checkpoints.c.connection_id))).scalars()) == [second]
        assert list((await conn.execute(select(links.c.connection_id))).scalars()) == [second]
    assert await held(gateway, "vendor:toy:c1") is None


async def test_connecting_another_vendor_account_takes_up_nothing_of_the_first(gateway):
    first = await gateway.connect()
    await gateway.call("DELETE", f"/v1/connections/{first}")
    gateway.vendor.company = "c2"
    await gateway.connect()
    assert await held(gateway, "vendor:toy:c1") == "disconnected"
    assert await held(gateway, "vendor:toy:c2") is None


# --- re-authorisation ----------------------------------------------------------------------------------


async def needs_reauth(gateway, connection):
    from gateway.flows.connections.connect import mark_needs_reauth

    row = await row_of(gateway, connection)
    now = gateway.clock.now()
    for _ in range(2):  # the second time changes nothing
        await gateway.services.database.writer.run(lambda conn: mark_needs_reauth(conn, row, "refused", now))


async def test_a_connection_that_needs_re_authorisation_holds_its_lane_and_goes_on_afterwards(gateway):
    connection = await gateway.connect()
    await needs_reauth(gateway, connection)
    assert await held(gateway, "vendor:toy:c1") == "needs_reauth"
    shown = await gateway.connection(connection)
    assert (shown["state"], shown["health"]["held"]) == ("needs_reauth", "needs_reauth")
    started = await gateway.call("POST", f"/v1/connections/{connection}/reauthorise")
    assert (await gateway.back(started)).status_code == 200
    assert await held(gateway, "vendor:toy:c1") is None
    assert (await gateway.connection(connection))["state"] == "active"
    assert await gateway.events() == ["connection.activated", "connection.needs_reauth", "connection.activated"]


async def test_re_authorisation_by_another_vendor_account_is_refused_and_changes_nothing(gateway):
    connection = await gateway.connect()
    await needs_reauth(gateway, connection)
    gateway.vendor.company, gateway.vendor.name = "c2", "Bravo Inc"
    started = await gateway.call("POST", f"/v1/connections/{connection}/reauthorise")
    page = await gateway.back(started)
    assert page.status_code == 409
    assert "Bravo Inc" in page.text
    shown = await gateway.connection(connection)
    assert (shown["state"], shown["identity"]) == ("needs_reauth", "c1")
    assert gateway.vendor.revoked == ["refresh-token-2"], "the authorisation that is not wanted is taken back"
    gateway.vendor.company = "c1"
    assert (await gateway.back(await gateway.begin(expect=200))).status_code == 200


async def test_credentials_of_a_form_are_replaced_by_re_authorising(gateway):
    path = await to_finalise(gateway)
    values = {"client_id": "cid", "client_secret": gateway.vendor.secret}
    await gateway.call("POST", f"{path}/steps/finalise", {"values": values})
    gateway.vendor.secret = "another-secret-value"
    started = await gateway.call("POST", f"{path}/reauthorise")
    assert (started["state"], started["next_step"]["step"]) == ("active", "finalise")
    await gateway.call("POST", f"{path}/steps/finalise", {"values": values}, expect=422)
    new = {**values, "client_secret": gateway.vendor.secret}
    assert (await gateway.call("POST", f"{path}/steps/finalise", {"values": new}))["state"] == "active"


async def test_what_was_never_connected_cannot_be_authorised_again(gateway):
    started = await gateway.begin(integration="slow")
    problem = await gateway.call("POST", f"/v1/connections/{started['id']}/reauthorise", expect=409)
    assert problem["code"] == "wrong_state"


# --- two accounts, one vendor account ------------------------------------------------------------------


async def test_two_accounts_that_connect_one_vendor_account_at_once_get_one_connection(open_process):
    processes = [await open_process(), await open_process()]
    for account in ("acme", "bravo"):
        await processes[0].account(account)
    started = [await processes[0].begin("acme"), await processes[1].begin("bravo")]
    pages = await asyncio.gather(*(one.back(begun) for one, begun in zip(processes, started, strict=True)))
    assert sorted(page.status_code for page in pages) == [200, 409]
    assert processes[0].vendor.revoked == [], "revoking would end the other account's connection"


async def test_a_setting_lets_two_accounts_share_one_vendor_account_and_each_is_held_alone(open_process):
    gateway = await open_process(share_vendor_accounts=True)
    for account in ("acme", "bravo"):
        await gateway.account(account)
    first = await gateway.connect("acme")
    await gateway.connect("bravo")
    lane = "vendor:toy:c1"
    far = gateway.clock.now() + timedelta(days=1)
    mine = [NewTask(kind="toy", args={}, lane=lane, account_id=account, due_at=far) for account in ("acme", "bravo")]
    await gateway.services.database.writer.run(lambda conn: tasks.insert_tasks(conn, mine, gateway.clock.now()))
    await needs_reauth(gateway, first)
    assert await held(gateway, lane) is None

    async def states():
        async with gateway.services.database.read() as conn:
            return [(await tasks.get_task(conn, task.id)).state for task in mine]

    assert await states() == ["parked", "available"]
    started = await gateway.begin("acme", expect=200)
    assert (await gateway.back(started)).status_code == 200
    assert await states() == ["available", "available"]


# --- catalogue and health ------------------------------------------------------------------------------


async def test_the_catalogue_shows_manifests_and_to_the_host_what_is_broken(gateway):
    key = (await gateway.call("POST", "/v1/accounts/acme/keys", {"name": "k", "scopes": ["read"]}))["key"]
    broken = Quarantined(key="broken", distribution="x", reason="ImportError: no module")
    gateway.services.integrations.quarantined.append(broken)
    listed = await gateway.call("GET", "/v1/integrations")
    assert {one["key"] for one in listed} == {"toy", "form", "slow", "zap", "broken"}
    assert {one["key"] for one in await gateway.call("GET", "/v1/integrations", key=key)} == {
        "toy",
        "form",
        "slow",
        "zap",
    }
    shown = await gateway.call("GET", "/v1/integrations/toy", key=key)
    assert shown["manifest"]["connect_steps"][0]["key"] == "authorise"
    await gateway.call("GET", "/v1/integrations/broken", key=key, expect=404)
    assert "toy-secret" not in str(listed)


async def test_health_tells_calls_budget_and_tasks(gateway):
    from gateway.flows.connections import opening

    connection = await gateway.connect()
    row = await row_of(gateway, connection)
    opened = await opening.open_connection(gateway.services, row)
    await opened.http.get("/deals")
    await opening.settle(gateway.services)
    health = (await gateway.connection(connection))["health"]
    assert health["last_good_call_at"] is not None
    assert health["last_error"] is None
    assert health["budget_left"] == 9_999
    assert health["parked_tasks"] == 0


async def test_the_sweep_is_due_every_minute(gateway):
    await gateway.worker.drain()
    async with gateway.services.database.read() as conn:
        assert await schedules.due(conn, ["lapse_connections"]) == set()
    gateway.clock.advance(timedelta(seconds=61))
    async with gateway.services.database.read() as conn:
        assert await schedules.due(conn, ["lapse_connections"]) == {"lapse_connections"}


async def test_lists_are_paged_newest_first_and_only_of_the_account(gateway):
    await gateway.account("bravo")
    ids = []
    for _ in range(3):
        started = await gateway.begin(integration="slow")
        await gateway.call("DELETE", f"/v1/connections/{started['id']}")
        ids.append(started["id"])
    await gateway.begin("bravo", "slow")
    first = await gateway.call("GET", "/v1/accounts/acme/connections?limit=2")
    rest = await gateway.call("GET", f"/v1/accounts/acme/connections?limit=2&cursor={first['next']}")
    assert [one["id"] for one in first["data"] + rest["data"]] == ids[::-1]
    assert rest["next"] is None
    await gateway.call("GET", "/v1/accounts/nobody/connections", expect=404)
