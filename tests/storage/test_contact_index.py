"""The contact index: set-wise, looked up by hash, the same whatever comes twice, and gone when it is not needed."""

from datetime import timedelta

from sqlalchemy import event, func, insert, select, text

from gateway.storage import connections, contact_index
from gateway.storage.connections import ConnectionRow
from gateway.storage.contact_index import Seen
from gateway.storage.tables import accounts, contact_indexes, contact_walks, seen_contacts, seen_emails


def seen(record_id, *emails, active=True, merged_into=None, told=True):
    hashes = frozenset(emails) if told else None
    return Seen(record_id=record_id, email_hashes=hashes, active=active, merged_into=merged_into)


async def connected(database, connection_id="con_1", *, account="acme", **changes):
    now = database.clock.now()
    values = {"integration": "toy", "category": "crm", "state": "active", "identity": "77", **changes}
    row = ConnectionRow(id=connection_id, account_id=account, created_at=now, state_since=now, **values)

    async def write(conn):
        known = await conn.scalar(select(func.count()).select_from(accounts).where(accounts.c.id == account))
        if not known:
            one = {"id": account, "name": "A", "timezone": "UTC", "currency": "EUR", "locale": "en", "created_at": now}
            await conn.execute(insert(accounts).values(one))
        await connections.add(conn, row)

    await database.writer.run(write)
    return row


async def begun(database, row):
    return await database.writer.run(lambda conn: contact_index.begin(conn, row, database.clock.now()))


async def put(database, index_id, *some):
    await database.writer.run(lambda conn: contact_index.put(conn, index_id, some))


async def found(database, index_id, email):
    async with database.read() as conn:
        return await contact_index.with_email(conn, index_id, email)


async def number_of(database, table):
    async with database.read() as conn:
        return await conn.scalar(select(func.count()).select_from(table))


async def test_contacts_are_found_by_the_hash_of_each_of_their_emails(database):
    index_id = await begun(database, await connected(database))
    await put(database, index_id, seen("10", "a", "b"), seen("9", "a"), seen("11", "c", active=False), seen("12"))
    assert await found(database, index_id, "a") == ["9", "10"], "the oldest first"
    assert await found(database, index_id, "b") == ["10"]
    assert await found(database, index_id, "c") == [], "an inactive contact is none that exists"
    assert await found(database, index_id, "d") == []


async def test_what_is_told_again_replaces_and_what_is_not_told_stays(database):
    index_id = await begun(database, await connected(database))
    await put(database, index_id, seen("1", "a", "b"), seen("2", "a"))
    await put(database, index_id, seen("1", "b", "c"), seen("2", told=False, active=False))
    assert await found(database, index_id, "a") == []
    assert await found(database, index_id, "b") == await found(database, index_id, "c") == ["1"]
    await put(database, index_id, seen("2", told=False))
    assert await found(database, index_id, "a") == ["2"]
    await put(database, index_id, seen("3", "x"), seen("3", "y"))
    assert (await found(database, index_id, "x"), await found(database, index_id, "y")) == ([], ["3"])


async def test_a_contact_that_was_merged_away_is_its_survivor(database):
    index_id = await begun(database, await connected(database))
    await put(database, index_id, seen("1", "a", active=False, merged_into="2"))
    assert await found(database, index_id, "a") == ["2"], "the survivor is there although no page has told of it"
    await put(database, index_id, seen("2", active=False, merged_into="3"), seen("3", "z"))
    assert await found(database, index_id, "a") == ["3"]
    await put(database, index_id, seen("3", "z", active=False))
    assert await found(database, index_id, "a") == []
    await put(database, index_id, seen("3", "z", active=False, merged_into="1"))
    assert await found(database, index_id, "a") == [], "a ring of merges ends"


async def test_an_index_belongs_to_the_tenant_of_an_account_whatever_its_connection(database):
    row = await connected(database)
    index_id = await begun(database, row)
    another = await connected(database, "con_2", account="bravo")
    assert await begun(database, another) != index_id
    closed = {"state": "disconnected", "disconnected_at": database.clock.now()}
    await database.writer.run(lambda conn: connections.change(conn, "con_1", closed))
    again = await connected(database, "con_3")
    assert await begun(database, again) == index_id


async def test_a_walk_stays_done_until_it_is_looked_at_again(database):
    row = await connected(database)
    index_id = await begun(database, row)
    for number, at_end in ((3, False), (2, True), (1, False)):
        await database.writer.run(
            lambda conn, number=number, at_end=at_end: contact_index.walked(
                conn, index_id, "contacts", number, at_end=at_end, now=database.clock.now()
            )
        )
    async with database.read() as conn:
        index = await contact_index.find(conn, row)
    assert (index.contacts_read, index.walks["contacts"].done_at is not None) == (6, True)
    later = database.clock.now() + timedelta(hours=1)
    await database.writer.run(lambda conn: contact_index.look_again(conn, row, later))
    async with database.read() as conn:
        index = await contact_index.find(conn, row)
    assert (index.contacts_read, index.walks["contacts"].done_at) == (0, None)
    assert index.begun_at == later


async def test_forgetting_an_email_is_for_one_account(database):
    first = await begun(database, await connected(database))
    second = await begun(database, await connected(database, "con_2", account="bravo"))
    for index_id in (first, second):
        await put(database, index_id, seen("1", "a", "b"))
    await database.writer.run(lambda conn: contact_index.forget_emails(conn, "acme", ["a"]))
    assert await found(database, first, "a") == []
    assert await found(database, first, "b") == await found(database, second, "a") == ["1"]


async def test_an_index_is_pruned_once_its_tenant_was_disconnected_for_long_enough(database):
    row = await connected(database)
    index_id = await begun(database, row)
    kept = await begun(database, await connected(database, "con_2", account="bravo"))
    for one in (index_id, kept):
        await put(database, one, *(seen(str(n), f"h{n}") for n in range(25)))
        await database.writer.run(
            lambda conn, one=one: contact_index.walked(conn, one, "f", 25, at_end=True, now=database.clock.now())
        )
    closed = {"state": "disconnected", "disconnected_at": database.clock.now()}
    await database.writer.run(lambda conn: connections.change(conn, row.id, closed))
    before = closed["disconnected_at"]
    assert await database.writer.run(lambda conn: contact_index.prune(conn, before, 10)) == 0, "not yet"
    before += timedelta(seconds=1)
    assert await database.writer.run(lambda conn: contact_index.prune(conn, before, 10)) == 10
    async with database.read() as conn:
        half = await contact_index.find(conn, row)
    assert half.walks == {}, "who connects again now begins the walk anew"
    while await database.writer.run(lambda conn: contact_index.prune(conn, before, 10)):
        pass
    for table, left in ((contact_indexes, 1), (contact_walks, 1), (seen_contacts, 25), (seen_emails, 25)):
        assert await number_of(database, table) == left


async def test_a_page_costs_the_same_number_of_statements_whatever_its_size_and_nothing_when_nothing_changed(database):
    index_id = await begun(database, await connected(database))
    counted = []

    async def page(conn, number):
        statements = []

        def note(_conn, _cursor, statement, _parameters, _context, _many):
            statements.append(statement)

        event.listen(conn.sync_connection, "before_cursor_execute", note)
        await contact_index.put(conn, index_id, [seen(str(n), f"h{n}") for n in range(number)])
        event.remove(conn.sync_connection, "before_cursor_execute", note)
        counted.append([one.split()[0] for one in statements])

    for number in (10, 2_000, 2_000):
        await database.writer.run(lambda conn, number=number: page(conn, number))
    assert counted[0] == counted[1] == ["SELECT", "INSERT", "SELECT", "INSERT"]
    assert counted[2] == ["SELECT", "SELECT"]


async def test_every_statement_finds_its_rows_by_a_whole_key(database):
    index_id = await begun(database, await connected(database))
    await put(database, index_id, *(seen(str(n), f"h{n}") for n in range(3_000)))
    asked = []

    def note(_conn, _cursor, statement, parameters, _context, many):
        asked.append((statement, parameters[0] if many else parameters))

    async def ask(conn):
        event.listen(conn.sync_connection, "before_cursor_execute", note)
        await contact_index.put(conn, index_id, [seen("7", "other"), seen("8", active=False)])
        await contact_index.with_email(conn, index_id, "h9")
        await contact_index.forget_emails(conn, "acme", ["h9"])
        event.remove(conn.sync_connection, "before_cursor_execute", note)
        explain = "EXPLAIN QUERY PLAN " if database.dialect == "sqlite" else "EXPLAIN "
        for statement, parameters in asked:
            if statement.startswith("INSERT"):
                continue
            plan = [str(row) for row in await conn.exec_driver_sql(explain + statement, tuple(parameters))]
            for line in plan:
                if "seen_" in line and database.dialect == "sqlite":
                    assert "SEARCH" in line, plan
                    assert "AND" in line, f"only a part of the key is used: {plan}"
                assert "Seq Scan on seen" not in line, plan

    if database.dialect == "postgresql":
        await database.writer.run(lambda conn: conn.execute(text("ANALYZE seen_emails")))
        await database.writer.run(lambda conn: conn.execute(text("ANALYZE seen_contacts")))
    await database.writer.run(ask)
    assert len([one for one, _ in asked if not one.startswith("INSERT")]) >= 5
