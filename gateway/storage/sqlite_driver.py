"""aiosqlite with one hand-over a statement.

aiosqlite runs a connection's statements in a thread of its own. SQLAlchemy hands each over up to four times: make a
cursor, execute, fetch, close. A hand-over costs about what a statement of ours does, so here one does all four;
SQLAlchemy wants all rows at once anyway. What it asks of a cursor is in ``sqlalchemy.connectors.asyncio``; reading row
by row from an open cursor (``AsyncConnection.stream``) is left out, and fails.
"""

import sqlite3
from collections.abc import Sequence
from functools import partial
from typing import Any, Literal, Self

import aiosqlite

__all__ = ["connect"]


async def connect(path: str, **arguments: Any) -> aiosqlite.Connection:
    """Open the file at ``path``; ``arguments`` are those of ``sqlite3.connect``."""
    return await _Connection(partial(sqlite3.connect, path, **arguments), iter_chunk_size=64)


class _Connection(aiosqlite.Connection):
    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._thread.daemon = True  # as SQLAlchemy does: a connection that was not closed keeps no process alive

    def cursor(self) -> "_Cursor":  # type: ignore[override] # SQLAlchemy wants something to enter, ours is made at once
        return _Cursor(self)

    async def run(self, how: "How", statement: str, parameters: Any) -> "Result":
        """Run a statement to its end in this connection's thread."""
        # a function with the driver's own connection: until its next call the thread keeps what it has called, and what
        # names this object would keep a connection alive that everybody has forgotten
        result: Result = await self._execute(_whole, self._conn, how, statement, parameters)  # type: ignore[no-untyped-call] # untyped in aiosqlite
        return result


How = Literal["execute", "executemany"]
Result = tuple[list[Any], Sequence[Any] | None, int, int | None]
"""Rows, description, number of rows changed and last row id, as of a cursor of the Python database API."""


def _whole(connection: sqlite3.Connection, how: How, statement: str, parameters: Any) -> Result:
    cursor = connection.cursor()
    try:
        getattr(cursor, how)(statement, parameters)
        return cursor.fetchall(), cursor.description, cursor.rowcount, cursor.lastrowid
    finally:
        cursor.close()  # else the traceback of an error would keep it open, and with it the log from being written back


class _Cursor:
    """A statement's rows and what else is known of it, once it has run."""

    arraysize = 1

    def __init__(self, connection: _Connection) -> None:
        self._connection = connection
        self._rows: list[Any] = []
        self.description: Sequence[Any] | None = None
        self.rowcount = -1
        self.lastrowid: int | None = None

    async def __aenter__(self) -> Self:
        return self

    async def execute(self, statement: str, parameters: Any = ()) -> None:
        await self._run("execute", statement, parameters)

    async def executemany(self, statement: str, parameters: Any) -> None:
        await self._run("executemany", statement, parameters)

    async def fetchall(self) -> list[Any]:
        return self._rows

    async def close(self) -> None:
        self._rows.clear()  # the thread keeps the list until its next statement

    async def _run(self, how: How, statement: str, parameters: Any) -> None:
        self._rows, self.description, self.rowcount, self.lastrowid = await self._connection.run(
            how, statement, parameters
        )
