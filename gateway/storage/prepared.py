"""Statements that are built once: making SQLAlchemy's objects anew costs ten times what running the statement does.

For statements that run for each signup. What differs between two runs is a bound parameter with a name::

    @prepared
    def _by_ids(dialect: str) -> Select[Any]:
        return select(*COLUMNS).where(one_of(dialect, people.c.id, "ids"))

    await conn.execute(_by_ids(conn), {"ids": list(ids)})
"""

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, TypeVar

from sqlalchemy import (
    ARRAY,
    BigInteger,
    ColumnElement,
    Executable,
    FromClause,
    String,
    Table,
    Text,
    any_,
    bindparam,
    func,
    literal_column,
    select,
)
from sqlalchemy.dialects import postgresql, sqlite

from gateway.storage.columns import Json
from gateway.storage.engine import OWN_TIME, AsyncConnection

S = TypeVar("S", bound=Executable)


def prepared(build: Callable[[str], S]) -> Callable[[AsyncConnection], S]:
    """Let ``build``, given the dialect's name, make its statement once for each dialect."""
    built = cache(build)
    return lambda conn: built(conn.dialect.name)


def insert_into(dialect: str, table: Table) -> "postgresql.Insert | sqlite.Insert":
    """Return the dialect's INSERT (see ``engine.insert``); the columns are those that the values name."""
    return sqlite.insert(table) if dialect == "sqlite" else postgresql.insert(table)


def one_of(dialect: str, column: ColumnElement[str], name: str) -> ColumnElement[bool]:
    """Return the condition that ``column`` is one of the parameter ``name``, a list (see ``engine.among``)."""
    if dialect == "sqlite":
        each = func.json_each(bindparam(name, type_=Json)).table_valued("value")
        return column.in_(select(each.c.value))
    return column == any_(bindparam(name, type_=ARRAY(Text)))


def now_of(dialect: str) -> ColumnElement[int]:
    """Return the time of a queue statement (see ``engine.now_micros``); its parameter is ``now``: ``now_parameter``."""
    parameter = bindparam("now", type_=BigInteger)
    return parameter if dialect == "sqlite" else literal_column(OWN_TIME, BigInteger) + parameter


def wanted_rows(dialect: str, names: Sequence[str]) -> FromClause:
    """Return a table ``wanted`` with text columns ``names`` (see ``wanted.wanted``); ``as_wanted`` gives its values."""
    if dialect == "sqlite":
        each = func.json_each(bindparam("wanted", type_=Json)).table_valued("value")
        columns: list[Any] = [
            func.json_extract(each.c.value, f"$[{place}]", type_=String).label(name) for place, name in enumerate(names)
        ]
        return select(*columns).subquery("wanted")
    arrays = [bindparam(f"wanted_{name}", type_=ARRAY(Text)) for name in names]
    return func.unnest(*arrays).table_valued(*names).render_derived(name="wanted")


def as_wanted(dialect: str, names: Sequence[str], rows: Sequence[Sequence[str]]) -> dict[str, Any]:
    """Return the parameters of ``wanted_rows``."""
    if dialect == "sqlite":
        return {"wanted": [list(row) for row in rows]}
    return {f"wanted_{name}": [row[place] for row in rows] for place, name in enumerate(names)}
