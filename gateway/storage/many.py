"""Insert many rows of one table at the cost of the rows: the statement is compiled once, the values go as they are.

SQLAlchemy's own ``executemany`` makes a dictionary of each row and asks each column's type about each value; for a page
of contacts that costs more than storing them. Here a row is a tuple of what the columns hold: times as microseconds
(``to_micros``), JSON as text (``as_json``). SQLite runs one prepared statement over the rows, which is faster there
than taking them out of a JSON document; PostgreSQL takes one statement with an array a column.
"""

from collections.abc import Callable, Sequence
from functools import cached_property
from operator import itemgetter
from typing import Any

import msgspec
from msgspec.structs import astuple
from sqlalchemy import ARRAY, BigInteger, Boolean, Column, String, Table, Text, bindparam, func, select, true
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.dialects.postgresql.asyncpg import dialect as asyncpg_dialect
from sqlalchemy.dialects.sqlite.aiosqlite import dialect as aiosqlite_dialect
from sqlalchemy.types import TypeDecorator, TypeEngine

from gateway.storage.engine import AsyncConnection

Conflict = Callable[[Any], Any]
"""Given the dialect's INSERT, returns it with what becomes of a row that is there (``on_conflict_do_…``)."""


class Rows:
    """The INSERT of one kind of row.

    Args:
        table: Where they go.
        names: Columns, in the order of the values of a row; all others take the database's defaults.
        conflict: What becomes of a row that is there already. No two rows of one call may be the same one: PostgreSQL
            refuses to change a row twice in a statement.
    """

    def __init__(self, table: Table, names: Sequence[str], conflict: Conflict = lambda statement: statement) -> None:
        self._table = table
        self._names = list(names)
        self._conflict = conflict

    def row(self, one: msgspec.Struct) -> tuple[Any, ...]:
        """Return the row of a Struct whose fields are the columns, in their order."""
        row = list(astuple(one))
        for place, column_type in self._decorated:
            row[place] = column_type.process_bind_param(row[place], None)
        return tuple(row)

    async def add(self, conn: AsyncConnection, rows: Sequence[tuple[Any, ...]]) -> int:
        """Insert rows; return how many were stored, those of a conflict that changed something included."""
        if not rows:
            return 0
        if conn.dialect.name == "sqlite":
            statement, in_order = self._sqlite
            return (await conn.exec_driver_sql(statement, list(map(in_order, rows)))).rowcount
        return (await conn.exec_driver_sql(self._postgresql, tuple(map(list, zip(*rows, strict=True))))).rowcount

    @cached_property
    def _decorated(self) -> list[tuple[int, Any]]:
        """The places of what a column holds in another form than Python does, with its type."""
        types = [self._table.c[name].type for name in self._names]
        return [(place, one) for place, one in enumerate(types) if isinstance(one, TypeDecorator)]

    @cached_property
    def _sqlite(self) -> tuple[str, Callable[[tuple[Any, ...]], tuple[Any, ...]]]:
        """The statement, and what puts a row's values in the order in which it names them: the table's."""
        values: dict[str, Any] = {name: bindparam(name) for name in self._names}
        statement = self._conflict(sqlite.insert(self._table).values(values))
        compiled = statement.compile(dialect=aiosqlite_dialect(paramstyle="qmark"))
        places = [self._names.index(name) for name in compiled.positiontup]
        return str(compiled), itemgetter(*places)

    @cached_property
    def _postgresql(self) -> str:
        arrays = [bindparam(name, type_=ARRAY(_plain(self._table.c[name]))) for name in self._names]
        given = func.unnest(*arrays).table_valued(*self._names).render_derived(name="given")
        chosen = select(*(given.c[name] for name in self._names)).where(true())
        statement = self._conflict(postgresql.insert(self._table).from_select(self._names, chosen))
        dialect: Any = asyncpg_dialect  # untyped in SQLAlchemy
        return str(statement.compile(dialect=dialect(paramstyle="numeric_dollar")))


def as_json(value: Any) -> str:
    """Return a value as a JSON column holds it."""
    return msgspec.json.encode(value).decode()


def _plain(column: Column[Any]) -> TypeEngine[Any]:
    """Return the type of what a column holds; texts without their length, for a cast would cut them silently."""
    type_: Any = column.type
    if isinstance(type_, TypeDecorator):
        type_ = type_.impl_instance
    if isinstance(type_, String):
        return Text()
    return type_ if isinstance(type_, Boolean) else BigInteger()
