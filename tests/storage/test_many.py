"""Rows are stored as they are, whatever their number, on both databases."""

from datetime import UTC, datetime
from decimal import Decimal

import pytest
from sqlalchemy import select
from sqlalchemy.exc import DBAPIError

from gateway.storage import events, sync_contacts, timeline
from gateway.storage.columns import to_micros
from gateway.storage.many import Rows, as_json
from gateway.storage.people import COLUMNS, PersonRow, row_of
from gateway.storage.tables import people
from gateway.storage.tables import timeline as table

AT = datetime(2030, 1, 2, 3, 4, 5, 678, UTC)
NAMES = ("text", "id", "data", "person_id", "account_id", "at", "kind")  # in an order that is not the table's


def entry(number, text="Hello", data=None):
    return (text, f"tml_{number}", as_json(data or {}), "per_1", "acme", to_micros(AT), "test")


async def stored(database):
    async with database.read() as conn:
        return list(await conn.execute(select(table.c.id, table.c.text, table.c.at, table.c.data).order_by(table.c.id)))


async def write(database, rows, given):
    return await database.writer.run(lambda conn: rows.add(conn, given))


async def test_values_come_back_as_they_were_given(database):
    odd = ['it\'s "quoted"', "é 李 👩‍🚀", "a\\b\n\t", "{1,2}", "NULL", ""]
    given = [entry(number, text, {"n": number, "t": [text, None]}) for number, text in enumerate(odd)]
    assert await write(database, Rows(table, NAMES), given) == len(odd)
    assert await stored(database) == [
        (f"tml_{number}", text, AT, {"n": number, "t": [text, None]}) for number, text in enumerate(odd)
    ]


async def test_nothing_costs_no_statement(database):
    assert await write(database, Rows(table, NAMES), []) == 0


async def test_those_that_are_there_already_are_not_counted(database):
    rows = Rows(table, NAMES, lambda statement: statement.on_conflict_do_nothing())
    assert await write(database, rows, [entry(1), entry(3)]) == 2
    assert await write(database, rows, [entry(1, "again"), entry(2), entry(3, "again")]) == 1
    assert [text for _, text, _, _ in await stored(database)] == ["Hello"] * 3


async def test_one_row_that_cannot_be_stored_keeps_out_all(database):
    rows = Rows(table, NAMES)
    with pytest.raises(DBAPIError):
        await write(database, rows, [entry(1), entry(2), entry(1)])
    assert await stored(database) == []


async def test_a_text_that_is_too_long_is_refused_and_not_cut(database):
    if database.dialect == "sqlite":
        pytest.skip("SQLite counts no characters")
    with pytest.raises(DBAPIError, match="too long"):
        await write(database, Rows(table, NAMES), [("Hello", "i" * 41, "{}", "per_1", "acme", 1, "test")])


async def test_a_struct_is_stored_as_the_table_holds_it(database):
    person = PersonRow(
        id="per_1", account_id="acme", campaign_id="summer", role="friend", email="é@example.com",
        fields={"a": [1, "é"]}, signed_up=False, crm_since=AT, sale_amount=Decimal("1E+2"), qualified_at=AT,
        qualified_by={"rule": "won"}, sequence=7, signed_up_at=AT, created_at=AT, updated_at=AT,
    )  # fmt: skip
    rows = Rows(people, PersonRow.__struct_fields__)
    assert await write(database, rows, [rows.row(person)]) == 1
    async with database.read() as conn:
        assert row_of((await conn.execute(select(*COLUMNS))).one()) == person
        raw = (await conn.exec_driver_sql("SELECT sale_amount, qualified_by, qualified_at FROM people")).one()
    assert raw == ("100", '{"rule":"won"}', to_micros(AT))


def test_every_kind_of_row_names_columns_that_the_table_has():
    """And a statement can be made of it for each database, without one."""
    for rows in (timeline._ROWS, events._ROWS, sync_contacts._ROWS, Rows(people, [column.name for column in people.c])):
        statement, _ = rows._sqlite
        assert statement.count("?") == rows._postgresql.count("::") == len(rows._names)
