"""Finding people: by part of a name, by exactly one id, code or e-mail, and beside filters; and at what cost."""

from datetime import UTC, datetime

import pytest
from sqlalchemy import event, insert, update

from gateway.storage import accounts, campaigns, people_search
from gateway.storage.people_search import Query
from gateway.storage.tables import people
from gateway_schemas.account import AccountInput
from gateway_schemas.campaign import CampaignInput

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def row(number, first, last, account="acme", campaign="spring", role="referred", **more):
    return {
        "id": f"per_{number}", "account_id": account, "campaign_id": campaign, "role": role, "first_name": first,
        "last_name": last, "email_hash": f"hash{number}", "code": f"code-{number}", "external_id": f"ext-{number}",
        "fields": {}, "signed_up": True, "test": False, "crm": "linked", "crm_since": NOW, "signed_up_at": NOW,
        "created_at": NOW, "updated_at": NOW, "state": "pending" if role == "referred" else None, **more,
    }  # fmt: skip


@pytest.fixture
async def db(database):
    async def fill(conn):
        for account in ("acme", "bravo"):
            await accounts.put(conn, account, AccountInput(name=account), NOW)
            await campaigns.upsert(conn, account, "spring", CampaignInput(name="Spring", state="live"), NOW)
        rows = [
            row(1, "Fiona", "Friend"),
            row(2, "Anna Fiona", None),
            row(3, None, "Friend", role="referrer"),
            row(4, "100%", "O'Neil_x"),
            row(5, "Fiona", "Friend", account="bravo"),
            row(6, None, None, role="referrer"),
        ]
        for one in rows:
            await conn.execute(insert(people).values(**one))

    await database.writer.run(fill)
    return database


async def found(db, **query):
    async with db.read() as conn:
        rows = await people_search.search(conn, Query(account_id="acme", **query))
    return [int(one.id.removeprefix("per_")) for one in rows]


@pytest.mark.parametrize(
    ("words", "numbers"),
    [
        ("fiona", [2, 1]), ("IONA", [2, 1]), ("friend", [3, 1]), ("fiona friend", [1]), ("NA FR", [1]),
        ("anna fiona", [2]), ("friend fiona", []), ("100%", [4]), ("%", [4]), ("_", [4]), ("o'neil", [4]),
        ("nobody", []), ("%' or 1=1", []),
    ],
)  # fmt: skip
async def test_words_are_part_of_a_whole_name_in_any_case(db, words, numbers):
    assert await found(db, words=words) == numbers


async def test_an_id_a_code_or_an_email_is_found_exactly_and_beside_the_words(db):
    for exact in ("per_1", "code-1", "ext-1"):
        assert await found(db, words=exact, exact=exact) == [1]
    assert await found(db, exact="code-") == []
    assert await found(db, words="x@example.com", exact="x@example.com", email_hash="hash3") == [3]
    assert await found(db, email_hash="hash3") == [3]
    assert await found(db, words="anna", exact="code-6") == [6, 2]
    for theirs in ({"exact": "per_5"}, {"exact": "code-5"}, {"email_hash": "hash5"}):
        assert await found(db, **theirs) == [], "of another account"


async def test_words_and_filters_hold_together_and_pages_go_on(db):
    assert await found(db, words="friend", role="referrer") == [3]
    assert await found(db, words="friend", state="pending") == [1]
    assert await found(db, exact="code-3", role="referred") == []
    assert await found(db, words="f", limit=2) == [3, 2]
    assert await found(db, words="f", limit=2, after="per_2") == [1]


async def test_a_name_that_changed_or_went_is_not_found_by_the_old_one(db):
    async def change(conn):
        await conn.execute(update(people).where(people.c.id == "per_1").values(first_name=None, last_name="Neu"))
        await conn.execute(people.delete().where(people.c.id == "per_2"))

    await db.writer.run(change)
    assert await found(db, words="fiona") == []
    assert await found(db, words="neu") == [1]


async def plan_of(database, **query):
    """How the database reads for a search."""
    asked = []

    def note(_conn, _cursor, statement, parameters, _context, _many):
        asked.append((statement, parameters))

    async with database.read() as conn:
        event.listen(conn.engine.sync_engine, "before_cursor_execute", note)
        await people_search.search(conn, Query(account_id="acme", **query))
        event.remove(conn.engine.sync_engine, "before_cursor_execute", note)
        ((statement, parameters),) = asked
        raw = await conn.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)
        return "; ".join(str(one[-1]) for one in raw)


@pytest.mark.parametrize(
    "query", [{"words": "nobody"}, {"words": "nobody of", "exact": "nobody of", "state": "pending"}]
)
async def test_a_search_reads_the_index_of_names_and_not_every_row(database, database_url, query):
    """On SQLite; PostgreSQL reads rows as it likes, and folds one name instead of two."""
    if not database_url.startswith("sqlite"):
        pytest.skip("how PostgreSQL reads is its own choice")
    plan = await plan_of(database, **query)
    assert "USING INDEX ix_people_names (account_id=?)" in plan
    assert "SCAN people" not in plan
    assert "TEMP B-TREE FOR ORDER BY" not in plan


async def test_who_is_held_is_found_newest_first(db):
    async def hold(conn):
        await conn.execute(update(people).where(people.c.id.in_(["per_1", "per_3", "per_5"])).values(crm="held"))

    await db.writer.run(hold)
    assert await found(db, state="held") == [3, 1]
    assert await found(db, state="held", words="fiona") == [1]


async def test_who_is_held_is_found_by_the_index_of_those(database, database_url):
    if not database_url.startswith("sqlite"):
        pytest.skip("how PostgreSQL reads is its own choice")
    plan = await plan_of(database, state="held")
    assert "USING INDEX ix_people_held (account_id=?)" in plan
    assert "SCAN people" not in plan
