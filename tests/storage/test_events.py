"""Events: sequences, places in the feed, and what retention leaves."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from gateway.sdk.clock import Clock
from gateway.storage import accounts, events
from gateway.storage.engine import AsyncConnection, Database
from gateway.storage.events import NewEvent
from gateway.storage.tables import people
from gateway_schemas.account import AccountInput


async def add_account(database: Database, account: str = "acme") -> None:
    now = database.clock.now()
    await database.writer.run(lambda conn: accounts.put(conn, account, AccountInput(name="Acme"), now))


async def add_people(database: Database, *ids: str, account: str = "acme") -> None:
    now = database.clock.now()
    same = {"account_id": account, "campaign_id": "spring", "role": "referred", "fields": {}, "crm": "waiting"}
    times = dict.fromkeys(("crm_since", "signed_up_at", "created_at", "updated_at"), now)
    rows = [{"id": person, "signed_up": True, "test": False, **same, **times} for person in ids]
    await database.writer.run(lambda conn: conn.execute(people.insert(), rows))


def told(person: str | None, number: int = 0, account: str = "acme") -> NewEvent:
    return NewEvent("signup.accepted" if person else "sync.started", account, person, {"number": number})


async def publish(database: Database, *new: NewEvent) -> list[str]:
    now = database.clock.now()
    return await database.writer.run(lambda conn: events.add(conn, new, now))


async def fan_out(database: Database, limit: int = 100) -> dict[str, int]:
    async with database.read() as conn:
        batch = [event.id for event in await events.unpositioned(conn, limit)]
    return await database.writer.run(lambda conn: events.give_positions(conn, batch))


async def feed(database: Database, after: int = 0, limit: int = 1_000, **narrowed) -> list[events.EventRow]:
    async with database.read() as conn:
        return await events.after(conn, after, limit, **narrowed)


@pytest.fixture
async def acme(database: Database) -> Database:
    await add_account(database)
    await add_people(database, "per_a", "per_b")
    return database


async def test_events_of_a_person_count_in_its_own_sequence_even_several_in_one_call(acme: Database):
    await publish(acme, told("per_a", 1), told("per_b", 1), told("per_a", 2), told("per_a", 3))
    await publish(acme, told("per_b", 2), told("per_a", 4))
    async with acme.read() as conn:
        found = await events.unpositioned(conn, 100)
    for person in ("per_a", "per_b"):
        own = [event for event in found if event.person_id == person]
        assert sorted((event.sequence, event.data["number"]) for event in own) == [
            (number, number) for number in range(1, len(own) + 1)
        ]


async def test_two_publishes_that_share_a_transaction_count_on(acme: Database):
    await asyncio.gather(*(publish(acme, told("per_a"), told(None)) for _ in range(5)))
    async with acme.read() as conn:
        found = await events.unpositioned(conn, 100)
    for person in ("per_a", None):
        assert sorted(event.sequence for event in found if event.person_id == person) == [1, 2, 3, 4, 5]


async def test_events_without_a_person_count_in_their_account(acme: Database):
    await add_account(acme, "other")
    await publish(acme, told(None), told(None, account="other"), told(None), told("per_a"))
    async with acme.read() as conn:
        found = await events.unpositioned(conn, 100)
    counted = sorted((event.account_id, event.sequence) for event in found if event.person_id is None)
    assert counted == [("acme", 1), ("acme", 2), ("other", 1)]


async def test_an_event_of_nobody_is_a_bug_and_writes_nothing(acme: Database):
    with pytest.raises(LookupError, match="per_x"):
        await publish(acme, told("per_a"), told("per_x"))
    async with acme.read() as conn:
        assert await events.unpositioned(conn, 100) == []


async def test_ids_of_one_call_sort_as_they_happened(acme: Database):
    ids = await publish(acme, *(told("per_a", number) for number in range(50)))
    assert ids == sorted(ids)
    await fan_out(acme)
    assert [event.data["number"] for event in await feed(acme)] == list(range(50))


async def test_places_go_on_without_gaps_and_are_given_once(acme: Database):
    await publish(acme, *(told("per_a") for _ in range(5)))
    first = await fan_out(acme, 3)
    second = await fan_out(acme, 3)
    assert sorted([*first.values(), *second.values()]) == [1, 2, 3, 4, 5]
    assert await acme.writer.run(lambda conn: events.give_positions(conn, list(first))) == {}
    await publish(acme, told("per_a"))
    given = await fan_out(acme)
    assert min(given.values()) > 5


async def test_the_feed_pages_and_narrows(acme: Database):
    await add_account(acme, "other")
    await publish(acme, told("per_a", 1), told(None, 2, "other"), told("per_b", 3))
    await fan_out(acme)
    assert [event.data["number"] for event in await feed(acme, limit=2)] == [1, 2]
    assert [event.data["number"] for event in await feed(acme, after=2)] == [3]
    assert [event.data["number"] for event in await feed(acme, account_id="other")] == [2]
    assert [event.data["number"] for event in await feed(acme, until=1)] == [1]


async def test_the_newest_of_a_type_come_first(acme: Database, clock: Clock):
    await publish(acme, told("per_a", 1), told("per_b", 2), told(None, 3))
    clock.advance(timedelta(hours=1))
    since = clock.now()
    await publish(acme, told("per_a", 4))
    async with acme.read() as conn:
        assert await events.recent(conn, "acme", "signup.accepted", 3) == []
    await fan_out(acme)
    async with acme.read() as conn:
        newest = await events.recent(conn, "acme", "signup.accepted", 2)
        late = await events.recent(conn, "acme", "signup.accepted", 9, since=since)
        none = await events.recent(conn, "other", "signup.accepted", 9)
    assert [event.data["number"] for event in newest] == [4, 2]
    assert [event.data["number"] for event in late] == [4]
    assert none == []


async def test_retention_deletes_old_events_and_never_gives_their_places_again(acme: Database, clock: Clock):
    await publish(acme, told("per_a"), told("per_a"), told("per_b"))
    await fan_out(acme)
    clock.advance(timedelta(days=91))
    await publish(acme, told("per_b"))  # not fanned out yet, so not old news
    before = clock.now() - timedelta(days=90)
    assert await acme.writer.run(lambda conn: events.prune_events(conn, before, 2)) == 2
    assert await acme.writer.run(lambda conn: events.prune_events(conn, before, 2)) == 1
    assert await acme.writer.run(lambda conn: events.prune_events(conn, before, 2)) == 0
    await fan_out(acme)
    assert [event.position for event in await feed(acme)] == [4]
    async with acme.read() as conn:
        assert await events.pruned_position(conn) == 3
        assert await events.newest_position(conn) == 4


@pytest.fixture
async def other_process(database_url: str, acme: Database, clock: Clock) -> AsyncIterator[Database]:
    database = await Database.open(database_url, clock)
    yield database
    await database.close()


async def test_a_reader_that_goes_on_from_where_it_stopped_misses_nothing_while_two_processes_write(
    acme: Database, other_process: Database
):
    written: set[str] = set()
    is_done = asyncio.Event()

    async def write(database: Database) -> None:
        for _ in range(25):
            written.update(await publish(database, told("per_a"), told("per_b"), told(None)))

    async def place() -> None:
        while not (is_done.is_set() and not await fan_out(acme, 7)):
            await fan_out(acme, 7)

    async def read() -> list[str]:
        seen: list[str] = []
        after = 0
        while not (placing.done() and not await feed(other_process, after, 1)):
            for event in await feed(other_process, after, 5):
                seen.append(event.id)
                after = event.position or 0
            await asyncio.sleep(0)
        return seen

    placing = asyncio.create_task(place())
    reading = asyncio.create_task(read())
    await asyncio.gather(write(acme), write(other_process))
    is_done.set()
    seen = await reading
    await placing
    assert len(seen) == len(set(seen))
    assert set(seen) == written


async def test_a_publisher_that_commits_late_gets_a_later_place(
    acme: Database, other_process: Database, database_url: str
):
    if database_url.startswith("sqlite"):
        pytest.skip("SQLite has one writer: no transaction overlaps another")
    has_written, may_commit = asyncio.Event(), asyncio.Event()

    async def slow(conn: AsyncConnection) -> None:
        await events.add(conn, [told("per_a", 1)], acme.clock.now())
        has_written.set()
        await may_commit.wait()

    late = asyncio.create_task(other_process.writer.run(slow))
    await has_written.wait()
    await publish(acme, told("per_b", 2))
    await fan_out(acme)
    stopped = (await feed(acme))[-1].position or 0
    may_commit.set()
    await late
    await fan_out(acme)
    assert [event.data["number"] for event in await feed(acme, stopped)] == [1]


async def test_two_processes_that_place_the_same_batch_place_each_event_once(acme: Database, other_process: Database):
    ids = await publish(acme, *(told("per_a") for _ in range(20)))
    given = await asyncio.gather(
        *(database.writer.run(lambda conn: events.give_positions(conn, ids)) for database in (acme, other_process))
    )
    assert sorted([*given[0], *given[1]]) == ids
    placed = [event.position for event in await feed(acme)]
    assert len(set(placed)) == 20
