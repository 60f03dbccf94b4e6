"""Tokens for a client id and secret: asked for by one process for all, renewed early, given up when refused twice."""

import asyncio
from contextlib import AsyncExitStack
from datetime import timedelta

import httpx
import pytest
from sqlalchemy import select

from gateway.flows.connections.credentials import TokenMemory, stored_tokens
from gateway.flows.connections.opening import open_connection
from gateway.sdk.errors import RetryLater
from gateway.storage import connections
from gateway.storage.tables import secrets as secrets_table

from .booked import API, Booked, open_office
from .toys import Vendor


@pytest.fixture
def vendor():
    return Vendor()


@pytest.fixture
async def open_process(database_url, database, vendor):
    async with AsyncExitStack() as stack:

        async def make(**changes):
            return await open_office(stack, database_url, database.clock, vendor, Booked(database.clock), **changes)

        yield make


@pytest.fixture
async def office(open_process):
    office = await open_process()
    office.connection_id = await office.connected()
    return office


def asked(vendor):
    return vendor.count("client_credentials")


async def get(office, connection_id, path="/ok"):
    async with office.services.database.read() as conn:
        row = await connections.get(conn, connection_id)
    connection = await open_connection(office.services, row, person_waits=True)
    return await connection.http.get(API + path)


async def test_one_process_asks_for_all_of_them(office, open_process, vendor):
    other = await open_process()
    before = asked(vendor)
    await asyncio.gather(*(get(one, office.connection_id) for one in [office, other] * 20))
    assert asked(vendor) == before + 1
    office.clock.advance(timedelta(minutes=15))
    await asyncio.gather(*(get(one, office.connection_id) for one in [office, other] * 20))
    assert asked(vendor) == before + 2


async def test_a_token_is_renewed_a_minute_before_it_ends(office, vendor):
    await get(office, office.connection_id)
    before = asked(vendor)
    office.clock.advance(timedelta(minutes=13, seconds=55))
    await get(office, office.connection_id)
    assert asked(vendor) == before
    office.clock.advance(timedelta(seconds=10))
    await get(office, office.connection_id)
    assert asked(vendor) == before + 1


async def test_it_is_stored_encrypted_and_survives_the_process(office, open_process, vendor):
    await get(office, office.connection_id)
    before = asked(vendor)
    async with office.services.database.read() as conn:
        tokens = await stored_tokens(office.services, conn, office.connection_id)
        for row in await conn.execute(select(secrets_table)):
            assert tokens.access_token.encode() not in row.ciphertext
    restarted = await open_process()
    await get(restarted, office.connection_id)
    assert asked(vendor) == before


async def test_a_refused_token_is_renewed_once_for_all_and_the_call_repeated(office, open_process, vendor):
    await get(office, office.connection_id)
    other = await open_process()
    await get(other, office.connection_id)
    before = asked(vendor)
    vendor.dead.update(vendor.access_tokens)
    answers = await asyncio.gather(*(get(one, office.connection_id) for one in [office, other] * 10))
    assert {one.status_code for one in answers} == {200}
    assert asked(vendor) == before + 1


async def test_a_task_whose_new_token_is_refused_too_holds_the_lane_and_tells_the_host_once(office, vendor):
    await office.ready()
    await office.drain()
    person = await office.signup()
    before = asked(vendor)
    vendor.answers = [httpx.Response(401), httpx.Response(200, json=vendor_token(vendor)), httpx.Response(401)]
    await office.drain()
    shown = await office.connection(office.connection_id)
    assert (shown["state"], shown["health"]["held"]) == ("needs_reauth", "needs_reauth")
    assert asked(vendor) == before, "both answers were made up"
    assert (await office.events()).count("connection.needs_reauth") == 1
    assert (await office.person(person))["crm"] == "waiting"
    await office.call("POST", f"/v1/connections/{office.connection_id}/reauthorise")
    assert (await office.finalise(office.connection_id))["state"] == "active"
    await office.drain()
    assert (await office.person(person))["crm"] == "linked"


def vendor_token(vendor):
    return {"access_token": vendor.new_access("77"), "expires_in": 900}


async def test_credentials_that_are_refused_hold_the_lane(office, vendor):
    await office.ready()
    await office.drain()
    vendor.secret = "another-secret-value"
    office.clock.advance(timedelta(minutes=20))
    person = await office.signup()
    await office.drain()
    assert (await office.connection(office.connection_id))["state"] == "needs_reauth"
    assert (await office.person(person))["crm"] == "waiting"


async def test_a_token_endpoint_that_asks_to_wait_is_not_a_refusal(office, vendor):
    office.clock.advance(timedelta(minutes=20))
    vendor.answers = [httpx.Response(429, headers={"retry-after": "7"})]
    with pytest.raises(RetryLater) as told:
        await get(office, office.connection_id)
    assert told.value.after_seconds == 7
    assert (await office.connection(office.connection_id))["state"] == "active"
    assert (await get(office, office.connection_id)).status_code == 200


async def test_new_credentials_end_the_token_of_the_old_ones(office, vendor):
    await get(office, office.connection_id)
    async with office.services.database.read() as conn:
        old = await stored_tokens(office.services, conn, office.connection_id)
    await office.call("POST", f"/v1/connections/{office.connection_id}/reauthorise")
    await office.finalise(office.connection_id)
    await get(office, office.connection_id)
    async with office.services.database.read() as conn:
        new = await stored_tokens(office.services, conn, office.connection_id)
    assert old.access_token != new.access_token


async def test_what_was_opened_with_the_old_credentials_asks_with_the_new_ones(office, open_process, vendor):
    other = await open_process()
    async with other.services.database.read() as conn:
        row = await connections.get(conn, office.connection_id)
    opened = await open_connection(other.services, row, person_waits=True)
    assert (await opened.http.get(API + "/ok")).status_code == 200
    vendor.secret = "another-secret-value"
    vendor.dead.update(vendor.access_tokens)
    await office.call("POST", f"/v1/connections/{office.connection_id}/reauthorise")
    await office.finalise(office.connection_id)
    assert (await opened.http.get(API + "/ok")).status_code == 200
    assert (await office.connection(office.connection_id))["state"] == "active"


async def test_a_disconnected_connection_keeps_no_token_and_gets_none(office, vendor):
    await get(office, office.connection_id)
    async with office.services.database.read() as conn:
        row = await connections.get(conn, office.connection_id)
    connection = await open_connection(office.services, row, person_waits=True)
    receipt = await office.call("DELETE", f"/v1/connections/{office.connection_id}")
    assert receipt["by_hand"] == ["Open Settings > Integrations and remove our app."], "and nothing of tokens"
    office.services.memory(TokenMemory).forget(office.connection_id)
    late = await connection.http.get(API + "/ok")
    assert late.status_code == 200, "a call that was opened before may end"
    async with office.services.database.read() as conn:
        assert await stored_tokens(office.services, conn, office.connection_id) is None
