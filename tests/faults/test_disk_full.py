"""A full disk: what is answered 503 was not accepted, what was accepted is not lost, and it goes on by itself."""

from datetime import timedelta

import pytest

from gateway.storage.writer import StorageUnavailable

from ..flows.conftest import World, make_world
from .checker import check
from .history import Call, History, Record, Standing

__all__ = ["make_world"]

SIGNUPS = "/v1/accounts/acme/campaigns/spring/signups"


@pytest.fixture
def database_url(sqlite_url: str) -> str:
    """PostgreSQL's full disk is its own: the same refusals are tested with its error codes in ``tests/storage``."""
    return sqlite_url


@pytest.fixture
async def world(make_world) -> World:
    world = await make_world()
    await world.account()
    await world.connect()
    await world.campaign()
    await world.setup()
    await world.drain()
    return world


async def leave_pages(world: World, pages: int | None) -> None:
    """Let the database grow by so many pages at most; ``None``: as much as it likes."""

    async def write(conn):
        used = (await conn.exec_driver_sql("PRAGMA page_count")).scalar_one()
        most = 2**30 if pages is None else used + pages
        await conn.exec_driver_sql(f"PRAGMA max_page_count={most}")

    await world.services.database.writer.run(write)


def one(number: int) -> dict:
    person = {"email": f"p{number}@example.com", "first_name": "Pat" * 60, "last_name": "Full" * 50}
    return {"role": "referred", "person": person, "source": "disk" * 50}


async def send(world: World, number: int, calls: list[Call]) -> int:
    answer = await world.api.post(SIGNUPS, json=one(number), headers={"idempotency-key": f"k{number}"})
    result = answer.json()["results"][0] if answer.status_code == 202 else {}
    calls.append(
        Call(
            key=f"k{number}", account="acme", campaign="spring", role="referred", email=f"p{number}@example.com",
            status=answer.status_code, person=result.get("person"), outcome=result.get("outcome"),
        )
    )  # fmt: skip
    if answer.status_code != 202:
        assert answer.status_code == 503, answer.text
        assert answer.json()["code"] == "storage_unavailable"
        assert int(answer.headers["retry-after"]) > 0
    return answer.status_code


async def findings(world: World, calls: list[Call]):
    people = (await world.call("GET", "/v1/accounts/acme/people?limit=200"))["data"]
    held = world.sandbox.snapshot()
    records = [
        Record(account="acme", kind="contact", id=str(one.id), belongs=one.emails[0]["value"])
        for one in held["person"]
        if one.emails and one.emails[0]["value"].endswith("@example.com")
    ]
    records += [Record(account="acme", kind="lead", id=one.id, belongs=one.origin_id) for one in held["lead"]]
    standing = [
        Standing(
            person=one["id"], account="acme", campaign="spring", role=one["role"], email=one["email"], crm=one["crm"],
            cause=one["crm_cause"], state=one["state"],
        )
        for one in people
    ]  # fmt: skip
    ledger = await world.call("GET", "/v1/ledger?account=acme")
    expected = {"referred": ["contact", "lead"], "referrer": ["contact"]}
    history = History(
        calls=calls, people=standing, records=records, expected=expected, unbalanced="" if ledger["balanced"] else "no"
    )
    return [one for one in check(history).findings if one.word != "untold"]  # there is no receiver here


async def test_what_is_refused_while_the_disk_is_full_was_not_accepted_and_what_was_accepted_is_not_lost(world):
    calls: list[Call] = []
    await leave_pages(world, 12)
    statuses = [await send(world, number, calls) for number in range(60)]
    assert {202, 503} == set(statuses)
    people = (await world.call("GET", "/v1/accounts/acme/people?limit=200"))["data"]
    assert len(people) == statuses.count(202), "a 503 accepted nothing"
    with pytest.raises(StorageUnavailable):
        await world.worker.drain()
    await leave_pages(world, None)
    for number in range(60):
        assert await send(world, number, calls) == 202
    await world.later(seconds=20)
    await world.later(minutes=5)
    assert await findings(world, calls) == []
    assert len(world.sandbox.snapshot()["lead"]) == 60


async def test_a_disk_that_fills_up_behind_a_write_leaves_it_in_doubt_and_it_is_found(world, monkeypatch):
    calls: list[Call] = []
    handle, full = world.network.handle_async_request, [True]

    async def fills_up(request):
        answer = await handle(request)
        if request.method == "POST" and request.url.path.endswith("/leads") and full:
            full.clear()
            await leave_pages(world, 0)
        return answer

    monkeypatch.setattr(world.network, "handle_async_request", fills_up)
    assert await send(world, 1, calls) == 202
    for _ in range(3):  # small writes may still fit
        try:
            await world.worker.drain()
        except StorageUnavailable:
            break
        world.clock.advance(timedelta(seconds=1))
    await leave_pages(world, None)
    await world.later(seconds=20)
    await world.later(minutes=10)
    assert await findings(world, calls) == []
    assert len(world.sandbox.snapshot()["lead"]) == 1
