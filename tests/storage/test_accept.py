"""Signups are stored in whole lists, durably and once, on both databases."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import func, insert, select

from gateway.flows.signups import held, signup
from gateway.flows.signups.intake import Call, hash_of, read_items
from gateway.storage import people, timeline
from gateway.storage.campaigns import CampaignRow
from gateway.storage.engine import Database
from gateway.storage.held import Held
from gateway.storage.tables import accounts, campaigns, connections, events, setups, tasks
from gateway.storage.tables import people as people_table
from gateway_schemas.campaign import FormField

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
FORM = [FormField(key="size", label="Size", type="number", role="referred")]


@pytest.fixture
async def acme(database: Database) -> Database:
    """An account with a live campaign and no CRM."""
    await make_account(database, "acme")
    return database


async def make_account(
    database: Database, account: str, *, state: str = "live", template: str | None = "https://r.example/{code}"
) -> None:
    async def write(conn: Any) -> None:
        await conn.execute(
            insert(accounts).values(
                id=account, name=account, timezone="UTC", currency="EUR", locale="en", created_at=NOW
            )
        )
        await conn.execute(
            insert(campaigns).values(
                account_id=account,
                id="spring",
                name="Spring",
                state=state,
                fields=FORM,
                link_template=template,
                rewards=[],
                created_at=NOW,
                updated_at=NOW,
            )
        )

    await database.writer.run(write)


async def connect(database: Database, account: str = "acme", *, setup: bool = True, state: str = "active") -> None:
    async def write(conn: Any) -> None:
        await conn.execute(
            insert(connections).values(
                id=f"con_{account}",
                account_id=account,
                integration="toy",
                category="crm",
                state=state,
                identity=account,
                identity_claim=account,
                granted=[],
                limitations=[],
                properties={},
                created_at=NOW,
                state_since=NOW,
            )
        )
        for role in ("referred", "referrer") if setup else ():
            await conn.execute(
                insert(setups).values(
                    id=f"set_{account}_{role}",
                    account_id=account,
                    campaign_id="spring",
                    role=role,
                    connection_id=f"con_{account}",
                    integration="toy",
                    identity=account,
                    body={"target": "contact", "mapping": []},
                    resolved={},
                    state="ready",
                    problems=[],
                    updated_at=NOW,
                )
            )

    await database.writer.run(write)


def body(
    email: str = "friend@example.com", *, role: str = "referred", referrer: Any = None, **changes: Any
) -> dict[str, Any]:
    person = {"email": email, "first_name": "Fiona", **changes.pop("person", {})}
    return {"role": role, "person": person, **({"referrer": referrer} if referrer else {}), **changes}


def call_of(
    raw: list[Any], *, account: str = "acme", key: str | None = None, template: str | None = "https://r.example/{code}"
) -> Call:
    call = Call(
        account_id=account,
        campaign_id="spring",
        link_template=template,
        now=NOW,
        expired_before=NOW - timedelta(days=30),
        key=key,
    )
    call.body_hash = hash_of(raw) if key else ""
    campaign = CampaignRow(
        account_id=account,
        id="spring",
        name="Spring",
        state="live",
        fields=FORM,
        link_template=template,
        rewards=[],
        created_at=NOW,
        updated_at=NOW,
    )
    read_items(call, campaign, raw, lambda email: f"hash of {email}"[:64])
    return call


async def post(database: Database, raw: list[Any], **changes: Any) -> Any:
    """Send one request, as the API does."""
    call = call_of(raw, **changes)
    if not call.items:
        return [msgspec.structs.replace(one) for one in signup._results(call, {})]
    return (await database.writer.submit(signup.accept, call.items))[0].results


async def stored(database: Database) -> list[people.PersonRow]:
    async with database.read() as conn:
        rows = await conn.execute(select(*people.COLUMNS).order_by(people_table.c.id))
        return [people.row_of(row) for row in rows]


async def count(database: Database, table: Any, *where: Any) -> int:
    async with database.read() as conn:
        return int(await conn.scalar(select(func.count()).select_from(table).where(*where)))


async def test_a_signup_is_stored_with_its_task_event_and_timeline(acme: Database):
    await connect(acme)
    (result,) = await post(acme, [body()])
    assert result.outcome == "accepted"
    (person,) = await stored(acme)
    assert person.id == result.person
    assert (person.state, person.crm, person.accepted_at) == ("pending", "waiting", NOW)
    assert person.link == f"https://r.example/{person.code}"
    assert (
        await count(
            acme,
            tasks,
            tasks.c.kind == "push_signup",
            tasks.c.lane == "vendor:toy:acme",
            tasks.c.unique_key == f"push:{person.id}",
        )
        == 1
    )
    assert await count(acme, events, events.c.type == "signup.accepted") == 1
    async with acme.read() as conn:
        assert [one.kind for one in await timeline.of_person(conn, person.id)] == ["signup.accepted"]


async def test_the_same_person_again_changes_nothing_but_what_was_empty(acme: Database):
    await connect(acme)
    (first,) = await post(acme, [body()])
    (again,) = await post(
        acme, [body("FRIEND@example.com", person={"phone": "+49 1", "first_name": "Other", "fields": {"size": 3}})]
    )
    assert (again.person, again.outcome) == (first.person, "already_signed_up")
    (person,) = await stored(acme)
    assert (person.first_name, person.phone, person.fields) == ("Fiona", "+49 1", {"size": 3})
    assert await count(acme, tasks, tasks.c.kind == "push_signup") == 1
    assert await count(acme, events) == 1


async def test_two_items_of_one_list_may_be_the_same_person(acme: Database):
    results = await post(acme, [body(), body(person={"phone": "+49 2"}), body("FRIEND@EXAMPLE.com")])
    assert len({one.person for one in results}) == 1
    assert [one.outcome for one in results] == ["held", "already_signed_up", "already_signed_up"]
    (person,) = await stored(acme)
    assert person.phone == "+49 2"


async def test_items_of_one_list_may_name_each_other(acme: Database):
    raw = [
        body("a@example.com", referrer={"email": "boss@example.com"}),
        body("boss@example.com", role="referrer", person={"code": "BOSS"}),
        body("b@example.com", referrer={"code": "BOSS"}),
    ]
    results = await post(acme, raw)
    assert [one.problems for one in results] == [[], [], []]
    rows = {row.id: row for row in await stored(acme)}
    boss = rows[results[1].person]
    assert (boss.signed_up, boss.code, boss.referrals, boss.accepted_at) == (True, "BOSS", 2, NOW)
    assert {rows[results[0].person].referrer_id, rows[results[2].person].referrer_id} == {boss.id}


async def test_an_unknown_referrer_is_kept_and_completed_by_a_later_signup(acme: Database):
    await connect(acme)
    await post(acme, [body(referrer={"external_id": "u-1", "first_name": "Rita"})])
    referrer = next(row for row in await stored(acme) if row.role == "referrer")
    assert (referrer.signed_up, referrer.crm, referrer.crm_cause, referrer.referrals) == (
        False,
        "held",
        "not_signed_up",
        1,
    )
    assert await count(acme, tasks, tasks.c.unique_key == f"push:{referrer.id}") == 0

    (later,) = await post(acme, [body("rita@example.com", role="referrer", person={"external_id": "u-1"})])
    assert (later.person, later.outcome) == (referrer.id, "accepted")
    completed = next(row for row in await stored(acme) if row.id == referrer.id)
    assert (completed.signed_up, completed.email, completed.first_name) == (True, "rita@example.com", "Rita")
    assert completed.code
    assert await count(acme, tasks, tasks.c.unique_key == f"push:{referrer.id}") == 1


async def test_a_referred_person_who_shares_their_own_code_becomes_a_referrer(acme: Database):
    (first,) = await post(acme, [body("one@example.com")])
    code = next(row for row in await stored(acme) if row.id == first.person).code
    (second,) = await post(acme, [body("two@example.com", referrer={"code": code})])
    rows = await stored(acme)
    referrer = next(row for row in rows if row.role == "referrer")
    assert (referrer.email, referrer.code, referrer.signed_up) == ("one@example.com", code, False)
    assert next(row for row in rows if row.id == second.person).referrer_id == referrer.id
    (third,) = await post(acme, [body("three@example.com", referrer={"code": code})])
    assert [row.referrals for row in await stored(acme) if row.role == "referrer"] == [2]
    assert third.problems == []
    (own,) = await post(acme, [body("one@example.com", referrer={"code": code})])
    assert own.problems[0].code == "self_referral"


async def test_nobody_refers_themselves(acme: Database):
    (by_email,) = await post(acme, [body(referrer={"email": "Friend@Example.com"})])
    assert [(one.field, one.code) for one in by_email.problems] == [("referrer.email", "self_referral")]
    await post(acme, [body("friend@example.com", role="referrer", person={"code": "MINE"})])
    (by_code,) = await post(acme, [body(referrer={"code": "MINE"})])
    assert [(one.field, one.code) for one in by_code.problems] == [("referrer.code", "self_referral")]
    assert await count(acme, people_table, people_table.c.role == "referred") == 0


async def test_a_self_referral_that_shows_later_is_dropped(acme: Database):
    (friend,) = await post(acme, [body(referrer={"external_id": "u-1"})])
    await post(acme, [body("friend@example.com", role="referrer", person={"external_id": "u-1"})])
    rows = await stored(acme)
    assert next(row for row in rows if row.id == friend.person).referrer_id is None
    assert [row.referrals for row in rows if row.role == "referrer"] == [0]


async def test_what_belongs_to_somebody_else_is_a_problem_that_names_the_field(acme: Database):
    await post(acme, [body("a@example.com", person={"external_id": "u-1", "code": "AAA"})])
    (taken,) = await post(acme, [body("b@example.com", person={"external_id": "u-1"})])
    assert [(one.field, one.code) for one in taken.problems] == [("person.external_id", "taken")]
    (code,) = await post(acme, [body("c@example.com", person={"code": "AAA"})])
    assert [(one.field, one.code) for one in code.problems] == [("person.code", "taken")]
    (same,) = await post(acme, [body("a@example.com", person={"external_id": "u-1", "code": "AAA"})])
    assert same.outcome == "already_signed_up"


async def test_a_referrer_named_in_two_ways_must_be_one_person(acme: Database):
    await post(
        acme,
        [
            body("r1@example.com", role="referrer", person={"code": "R1"}),
            body("r2@example.com", role="referrer", person={"external_id": "u2"}),
        ],
    )
    (result,) = await post(acme, [body(referrer={"external_id": "u2", "code": "R1"})])
    assert [(one.field, one.code) for one in result.problems] == [("referrer.code", "referrer_mismatch")]
    (other,) = await post(acme, [body(referrer={"code": "R1", "email": "nobody@example.com"})])
    assert [one.field for one in other.problems] == ["referrer.email"]
    (fills,) = await post(acme, [body(referrer={"code": "R1", "external_id": "u1"})])
    assert fills.problems == []
    assert next(row for row in await stored(acme) if row.code == "R1").external_id == "u1"


async def test_wrong_items_do_not_stop_the_others(acme: Database):
    raw = [
        body("not an address"),
        body("good@example.com"),
        {"role": "referred"},
        body("x@example.com", unknown=1),
        body("y@example.com", person={"fields": {"size": "big", "colour": "red"}}),
        body("z@example.com", person={"first_name": "nul \0"}),
        7,
    ]
    results = await post(acme, raw)
    assert [one.index for one in results] == list(range(7))
    assert [one.problems[0].field if one.problems else None for one in results] == [
        "person.email",
        None,
        "person",
        "unknown",
        "person.fields.colour",
        "person.first_name",
        "",
    ]
    assert len(await stored(acme)) == 1


async def test_a_key_that_comes_again_is_answered_as_before(acme: Database):
    first = await post(acme, [body()], key="k1")
    again = await post(acme, [body()], key="k1")
    assert again == first
    assert again[0].outcome == "held"
    assert await post(acme, [body("other@example.com")], key="k1") is None
    assert len(await stored(acme)) == 1


async def test_a_key_that_comes_twice_at_once_is_one_request(acme: Database):
    results = await asyncio.gather(
        *(post(acme, [body()], key="k1") for _ in range(5)), post(acme, [body("other@example.com")], key="k1")
    )
    assert results[5] is None
    assert all(one == results[0] for one in results[:5])
    assert results[0][0].outcome == "held"


async def test_a_key_of_a_refused_request_can_be_used_again(acme: Database):
    (refused,) = await post(acme, [body(referrer={"email": "friend@example.com"})], key="k1")
    assert refused.problems
    (accepted,) = await post(acme, [body()], key="k1")
    assert accepted.outcome == "held"


async def test_an_item_has_a_key_of_its_own(acme: Database):
    keyed = body(idempotency_key="i1")
    results = await post(acme, [keyed, keyed, body("other@example.com", idempotency_key="i1")])
    assert results[0].person == results[1].person
    assert [one.outcome for one in results[:2]] == ["held", "held"]
    assert [(one.field, one.code) for one in results[2].problems] == [("idempotency_key", "idempotency_conflict")]
    (later,) = await post(acme, [keyed])
    assert (later.person, later.outcome, later.index) == (results[0].person, "held", 0)


async def test_a_signup_without_crm_or_setup_is_held_with_its_cause(acme: Database):
    (first,) = await post(acme, [body("a@example.com")])
    await connect(acme, setup=False)
    (second,) = await post(acme, [body("b@example.com")])
    rows = {row.id: row for row in await stored(acme)}
    assert (rows[first.person].crm, rows[first.person].crm_cause) == ("held", "no_connection")
    assert (rows[second.person].crm, rows[second.person].crm_cause) == ("held", "no_setup")
    assert await count(acme, events, events.c.type == "signup.held") == 2


async def test_held_signups_are_released_in_batches_when_the_cause_ends(
    acme: Database, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(held, "BATCH", 2)
    await post(acme, [body(f"p{n}@example.com") for n in range(5)])
    await connect(acme, setup=False)
    which = Held(account_id="acme")

    async def go(after: str = "") -> None:
        last: str | None = after
        while last is not None:
            last = await acme.writer.run(
                lambda conn, last=last: held._release_batch(conn, which=which, after=last, now=NOW)
            )

    await go()
    assert {row.crm_cause for row in await stored(acme)} == {"no_setup"}
    await acme.writer.run(lambda conn: conn.execute(connections.update().values(state="disconnected")))
    await acme.writer.run(lambda conn: conn.execute(setups.delete()))
    await acme.writer.run(lambda conn: conn.execute(connections.delete()))
    await connect(acme)
    await go()
    assert {row.crm for row in await stored(acme)} == {"waiting"}
    assert await count(acme, tasks, tasks.c.kind == "push_signup") == 5


async def test_a_test_signup_that_is_meant_later_counts_from_then(acme: Database):
    await post(acme, [body(test=True, referrer={"code": "R"})])
    referrer = next(row for row in await stored(acme) if row.role == "referrer")
    assert referrer.referrals == 0
    await post(acme, [body(referrer={"code": "R"})])
    await post(acme, [body(referrer={"code": "R"})])
    rows = await stored(acme)
    assert [row.referrals for row in rows if row.role == "referrer"] == [1]
    assert [row.test for row in rows if row.role == "referred"] == [False]


async def test_two_processes_accept_the_same_people_at_once(database_url: str, database: Database, clock: Any):
    await make_account(database, "acme")
    await connect(database)
    other = await Database.open(database_url, clock)
    try:
        raw = [body(f"p{n % 20}@example.com", referrer={"email": f"r{n % 3}@example.com"}) for n in range(40)]
        answers = await asyncio.gather(
            *(post(db, raw[start:] + raw[:start]) for start in (0, 7, 13, 29) for db in (database, other))
        )
    finally:
        await other.close()
    assert all(not one.problems for answer in answers for one in answer)
    rows = await stored(database)
    assert sorted(row.email for row in rows if row.role == "referred") == sorted(f"p{n}@example.com" for n in range(20))
    assert sum(row.referrals for row in rows if row.role == "referrer") == 20
    assert len([row for row in rows if row.role == "referrer"]) == 3
    assert await count(database, tasks, tasks.c.kind == "push_signup") == 20
    assert await count(database, events, events.c.type == "signup.accepted") == 20
    outcomes = [one.outcome for answer in answers for one in answer]
    assert outcomes.count("accepted") == 20


async def test_many_requests_cost_a_constant_number_of_statements(acme: Database):
    await connect(acme)
    numbers = []
    for size in (2, 200):
        seen: list[str] = []

        async def counted(conn: Any, items: Any, seen: list[str] = seen) -> Any:
            from sqlalchemy import event

            def note(_conn: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
                seen.append(statement)

            event.listen(conn.sync_connection, "before_cursor_execute", note)
            try:
                return await signup.accept(conn, items)
            finally:
                event.remove(conn.sync_connection, "before_cursor_execute", note)

        call = call_of([body(f"s{size}-{n}@example.com", referrer={"code": f"R{n % 5}"}) for n in range(size)])
        await acme.writer.submit(counted, call.items)
        numbers.append(len(seen))
    assert numbers[1] <= numbers[0] + 2, numbers


async def test_somebody_shares_a_code_that_the_same_list_gives_them(acme: Database):
    await post(acme, [body("b@example.com", role="referrer", person={"external_id": "x9"})])
    results = await post(
        acme,
        [
            body("b@example.com", person={"code": "x1", "external_id": "x9"}),
            body("a@example.com", referrer={"code": "x1"}),
        ],
    )
    assert [one.problems for one in results] == [[], []]
    rows = {(row.role, row.email): row for row in await stored(acme)}
    assert len(rows) == 3
    assert rows["referred", "a@example.com"].referrer_id == rows["referrer", "b@example.com"].id


async def test_a_shared_id_stays_with_who_signs_up_under_it(acme: Database):
    results = await post(
        acme,
        [
            body("a@example.com", person={"code": "x1", "external_id": "x2"}),
            body("b@example.com", role="referrer", person={"external_id": "x2"}, referrer={"code": "x1"}),
        ],
    )
    assert [one.problems for one in results] == [[], []]
    rows = {(row.role, row.email): row for row in await stored(acme)}
    assert rows["referrer", "b@example.com"].external_id == "x2"
    assert rows["referrer", "a@example.com"].external_id is None


emails = st.sampled_from(["a@example.com", "b@example.com", "c@example.com", "d@example.com"])
names = st.one_of(st.none(), st.sampled_from(["x1", "x2", "x3"]))
referrers = st.one_of(
    st.none(),
    st.fixed_dictionaries(
        {},
        optional={
            "email": emails,
            "code": st.sampled_from(["x1", "x2", "x3"]),
            "external_id": st.sampled_from(["x1", "x2"]),
        },
    ).filter(bool),
)


@st.composite
def signups(draw: Any) -> dict[str, Any]:
    person = {"email": draw(emails), "first_name": "P"} | {
        name: value for name, value in (("code", draw(names)), ("external_id", draw(names))) if value is not None
    }
    made = {"role": draw(st.sampled_from(["referred", "referrer"])), "person": person, "test": draw(st.booleans())}
    referrer = draw(referrers)
    return made | ({"referrer": referrer} if referrer else {})


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(batches=st.lists(st.lists(signups(), min_size=1, max_size=8), min_size=1, max_size=4), data=st.data())
async def test_whatever_comes_people_stay_unique_and_counts_right(
    sqlite_database: Database, batches: list[list[Any]], data: Any
):
    async def clear(conn: Any) -> None:
        for table in (events, tasks, people_table, campaigns, accounts):
            await conn.execute(table.delete())

    await sqlite_database.writer.run(clear)
    await make_account(sqlite_database, "acme", template=data.draw(st.sampled_from([None, "https://r.example/{code}"])))
    for batch in batches:
        results = await post(sqlite_database, batch)
        assert [one.index for one in results] == list(range(len(batch)))
        assert all((one.person is None) == bool(one.problems) for one in results)
    rows = await stored(sqlite_database)
    by_id = {row.id: row for row in rows}
    brought: dict[str, int] = {}
    for row in rows:
        if row.role == "referred" and row.referrer_id is not None:
            referrer = by_id[row.referrer_id]
            assert referrer.role == "referrer"
            assert referrer.email_hash is None or referrer.email_hash != row.email_hash
            if not row.test:
                brought[referrer.id] = brought.get(referrer.id, 0) + 1
    assert {row.id: row.referrals for row in rows if row.referrals} == brought
    signed_up = [row for row in rows if row.signed_up]
    assert await count(sqlite_database, events, events.c.type == "signup.accepted") == len(signed_up)
