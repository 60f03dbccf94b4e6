"""Many rows of text as one bound value: a table to join with, so that one statement answers for a whole list."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ARRAY, FromClause, Text, bindparam, func, select
from sqlalchemy import String as Str

from gateway.storage.columns import Json
from gateway.storage.engine import AsyncConnection


def wanted(conn: AsyncConnection, names: Sequence[str], rows: Sequence[Sequence[str | None]]) -> FromClause:
    """Return a table ``wanted`` with text columns ``names`` and these rows.

    The statement's text does not depend on the number of rows, so both databases keep its plan.
    """
    if conn.dialect.name == "sqlite":
        each = func.json_each(bindparam(None, [list(row) for row in rows], Json)).table_valued("value")
        columns: list[Any] = [
            func.json_extract(each.c.value, f"$[{place}]", type_=Str).label(name) for place, name in enumerate(names)
        ]
        return select(*columns).subquery("wanted")
    arrays = [bindparam(None, [row[place] for row in rows], ARRAY(Text)) for place in range(len(names))]
    return func.unnest(*arrays).table_valued(*names).render_derived(name="wanted")
