"""Facts, newest states, claims, sales and stored calls: sets and conflicts, the same on both databases."""

import itertools
from datetime import UTC, datetime, timedelta

import pytest

from gateway.storage import checkpoints, facts, referrals
from gateway.storage.connections import ConnectionRow
from gateway.storage.connections import add as add_connection
from gateway.storage.facts import Claim, RecordState, SeenFact
from gateway.storage.tables import accounts
from gateway_schemas.records import RecordRef

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
DEAL = RecordRef(kind="deal", id="1")


@pytest.fixture
async def db(database):
    async def make(conn):
        await conn.execute(
            accounts.insert().values(
                id="acme", name="Acme", timezone="UTC", currency="EUR", locale="en", created_at=NOW
            )
        )
        row = ConnectionRow(
            id="con_1",
            account_id="acme",
            integration="toy",
            category="crm",
            state="active",
            identity="t",
            created_at=NOW,
            state_since=NOW,
        )
        assert await add_connection(conn, row)

    await database.writer.run(make)
    return database


def hours(number):
    return NOW + timedelta(hours=number)


def fact(at=None, *, name="stage", value="3", seen=0, source="webhook", person="per_1"):
    return SeenFact(
        person_id=person,
        record_kind="deal",
        record_id="1",
        fact=name,
        value=value,
        at=None if at is None else hours(at),
        seen_at=hours(seen),
        source=source,
    )


@pytest.mark.parametrize("order", list(itertools.permutations([0, 1, 2])))
async def test_facts_are_a_set_with_the_earliest_time_that_the_vendor_gave(db, order):
    seen = [fact(None), fact(5), fact(2)]
    for index in (*order, *order):
        await db.writer.run(lambda conn, index=index: facts.add(conn, [seen[index], seen[index]]))
    async with db.read() as conn:
        found = (await facts.of_people(conn, ["per_1", "per_2"]))["per_1"]
    assert [(one.value, one.at) for one in found] == [("3", hours(2))]


def state(word, *, updated, read, gone=False):
    return RecordState(
        connection_id="con_1",
        record_kind="deal",
        record_id="1",
        state=word,
        record=None,
        vendor_updated_at=None if updated is None else hours(updated),
        read_at=hours(read),
        gone_since=hours(read) if gone else None,
    )


READINGS = [
    state("open", updated=1, read=1),
    state("won", updated=2, read=2),
    state("lost", updated=2, read=3),
    state("open", updated=0, read=9),
]


@pytest.mark.parametrize("order", list(itertools.permutations(range(4))))
async def test_the_newest_state_wins_by_the_vendors_time_and_then_by_ours(sqlite_database, order):
    db = sqlite_database
    await _connection(db)
    for index in order:
        await db.writer.run(lambda conn, index=index: facts.note_states(conn, [READINGS[index]]))
    async with db.read() as conn:
        assert (await facts.states_of(conn, "con_1", [DEAL]))[DEAL].state == "lost"


async def _connection(database):
    async def make(conn):
        await conn.execute(
            accounts.insert().values(
                id="acme", name="Acme", timezone="UTC", currency="EUR", locale="en", created_at=NOW
            )
        )
        await add_connection(
            conn,
            ConnectionRow(
                id="con_1",
                account_id="acme",
                integration="toy",
                category="crm",
                state="active",
                identity="t",
                created_at=NOW,
                state_since=NOW,
            ),
        )

    await database.writer.run(make)


async def test_a_record_that_is_gone_is_gone_since_the_first_miss_until_it_is_back(db):
    async def note(*some):
        await db.writer.run(lambda conn: facts.note_states(conn, some))
        async with db.read() as conn:
            found = (await facts.states_of(conn, "con_1", [DEAL]))[DEAL]
        return found.state, found.gone_since

    assert await note(state("open", updated=1, read=1)) == ("open", None)
    assert await note(state("gone", updated=None, read=2, gone=True)) == ("gone", hours(2))
    assert await note(state("gone", updated=None, read=4, gone=True)) == ("gone", hours(2))
    assert await note(state("gone", updated=None, read=1, gone=True)) == ("gone", hours(2))
    assert await note(state("open", updated=1, read=3)) == ("gone", hours(2))  # read before the newest look
    assert await note(state("open", updated=1, read=5)) == ("open", None)
    assert await note(state("open", updated=1, read=6), state("won", updated=2, read=6)) == ("won", None)


def claim(person, *, campaign="spring", record="1"):
    return Claim(
        account_id="acme",
        campaign_id=campaign,
        connection_id="con_1",
        record_kind="deal",
        record_id=record,
        person_id=person,
    )


async def test_a_record_is_claimed_once_a_campaign(db):
    key = ("spring", "con_1", DEAL)
    assert await db.writer.run(lambda conn: facts.claim(conn, [claim("per_1"), claim("per_2")], NOW)) == {key: "per_1"}
    again = await db.writer.run(
        lambda conn: facts.claim(
            conn, [claim("per_2"), claim("per_2", campaign="autumn"), claim("per_2", record="2")], NOW
        )
    )
    assert again == {
        key: "per_1",
        ("autumn", "con_1", DEAL): "per_2",
        ("spring", "con_1", RecordRef(kind="deal", id="2")): "per_2",
    }


async def test_what_was_seen_of_a_merged_record_moves_to_the_survivor(db):
    async def prepare(conn):
        await facts.add(conn, [fact(5), fact(1, name="won", value="")])
        await facts.add(
            conn,
            [
                SeenFact(
                    person_id="per_1",
                    record_kind="deal",
                    record_id="2",
                    fact="stage",
                    value="3",
                    at=hours(3),
                    seen_at=NOW,
                    source="feed",
                )
            ],
        )
        await facts.claim(conn, [claim("per_1")], NOW)
        await facts.note_states(conn, [state("open", updated=1, read=1)])

    await db.writer.run(prepare)
    for _ in range(2):
        await db.writer.run(lambda conn: facts.follow_merge(conn, "con_1", "deal", "1", "2", ["per_1"]))
    async with db.read() as conn:
        found = (await facts.of_people(conn, ["per_1"]))["per_1"]
        assert {(one.record_id, one.fact, one.at) for one in found} == {
            ("2", "stage", hours(3)),
            ("2", "won", hours(1)),
        }
        survivor = RecordRef(kind="deal", id="2")
        assert await facts.claimed(conn, "acme", [DEAL, survivor]) == {("spring", "con_1", survivor): "per_1"}
        assert await facts.states_of(conn, "con_1", [DEAL]) == {}


async def test_an_error_keeps_the_checkpoint_and_a_page_forgets_the_error(db):
    await db.writer.run(lambda conn: checkpoints.note_error(conn, "con_1", "deals", "down"))
    await db.writer.run(lambda conn: checkpoints.advance(conn, "con_1", "deals", "c1", NOW))
    await db.writer.run(lambda conn: checkpoints.note_error(conn, "con_1", "deals", "down again"))
    async with db.read() as conn:
        found = await checkpoints.get(conn, "con_1", "deals")
    assert (found.checkpoint, found.polled_at, found.error) == ("c1", NOW, "down again")
    await db.writer.run(lambda conn: checkpoints.advance(conn, "con_1", "deals", "c2", NOW))
    async with db.read() as conn:
        (found,) = await checkpoints.of_connection(conn, "con_1")
    assert (found.checkpoint, found.error) == ("c2", None)
    with pytest.raises(ValueError, match="16384"):
        await db.writer.run(lambda conn: checkpoints.advance(conn, "con_1", "deals", "x" * (16 * 1024 + 1), NOW))


async def test_counting_nothing_writes_nothing(db):
    await db.writer.run(lambda conn: referrals.count_qualified(conn, {"per_1": 0}, NOW))
    await db.writer.run(lambda conn: referrals.mark_swept(conn, [], NOW))
