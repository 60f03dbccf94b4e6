"""aiosqlite with one hand-over a statement.

aiosqlite runs a connection's statements in a thread of its own. SQLAlchemy hands each over four times: make a
cursor, execute, fetch, close. A hand-over costs about what a statement of ours does, so here one does all four;
SQLAlchemy wants all rows at once anyway. What it asks of a cursor is what its asyncio adaption calls
(``sqlalchemy.connectors.asyncio``); reading row by row from an open cursor (``AsyncConnection.stream``) is not among
it, and fails.
"""

import sqlite3
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Self

import aiosqlite

__all__ = ["connect"]


async def connect(path: str, **arguments: Any) -> aiosqlite.Connection:
    """Open the file at ``path``; ``arguments`` are those of ``sqlite3.connect``."""
    return await _Connection(partial(sqlite3.connect, path, **arguments), iter_chunk_size=64)


class _Connection(aiosqlite.Connection):
    def __init__(self, connector: Callable[[], sqlite3.Connection], iter_chunk_size: int) -> None:
        super().__init__(connector, iter_chunk_size)
        self._thread.daemon = True  # as SQLAlchemy does: a connection that was not closed keeps no process alive

    def cursor(self) -> "_Cursor":  # type: ignore[override]
        return _Cursor(self)

    async def run(self, use: Callable[[sqlite3.Cursor], None]) -> None:
        """Call ``use`` in this connection's thread, with a cursor that is closed behind it."""
        await self._execute(self._with_cursor, use)  # type: ignore[no-untyped-call]

    def _with_cursor(self, use: Callable[[sqlite3.Cursor], None]) -> None:
        cursor = self._conn.cursor()
        try:
            use(cursor)
        finally:
            cursor.close()


class _Cursor:
    """A statement's rows and what else is known of it, once it has run."""

    def __init__(self, connection: _Connection) -> None:
        self._connection = connection
        self._rows: list[Any] = []
        self.description: Sequence[Any] | None = None
        self.rowcount = -1
        self.lastrowid: int | None = None

    async def __aenter__(self) -> Self:
        return self

    async def execute(self, statement: str, parameters: Any = ()) -> None:
        def use(cursor: sqlite3.Cursor) -> None:
            self._keep(cursor.execute(statement, parameters))

        await self._connection.run(use)

    async def executemany(self, statement: str, parameters: Any) -> None:
        def use(cursor: sqlite3.Cursor) -> None:
            self._keep(cursor.executemany(statement, parameters))

        await self._connection.run(use)

    async def fetchall(self) -> list[Any]:
        return self._rows

    async def close(self) -> None:
        """Do nothing: what the driver held of the statement is given back already."""

    def _keep(self, cursor: sqlite3.Cursor) -> None:
        self._rows = cursor.fetchall()
        self.description, self.rowcount, self.lastrowid = cursor.description, cursor.rowcount, cursor.lastrowid
