"""How many statements a page needs: a number that a busy machine does not change."""

from collections import defaultdict
from contextvars import ContextVar
from typing import Any

from sqlalchemy import event

_asked: ContextVar[list[str] | None] = ContextVar("asked", default=None)


class Statements:
    """Counts the statements that each request reads with; those of the worker and of the writer are none of a page.

    Attributes:
        most: Statements of the request that needed the most, by path with its query.
    """

    def __init__(self) -> None:
        self.most: dict[str, list[str]] = defaultdict(list)

    def around(self, app: Any) -> Any:
        """Return an application that does what this one does, and is counted."""

        async def counted(scope: Any, receive: Any, send: Any) -> None:
            if scope["type"] != "http":
                return await app(scope, receive, send)
            asked: list[str] = []
            token = _asked.set(asked)
            try:
                await app(scope, receive, send)
            finally:
                _asked.reset(token)
                query = scope["query_string"].decode()
                path = scope["path"] + (f"?{query}" if query else "")
                self.most[path] = max(self.most[path], asked, key=len)
            return None

        return counted

    async def listen(self, database: Any) -> None:
        """Hear what is asked of this database."""
        async with database.read() as conn:
            event.listen(conn.engine.sync_engine, "before_cursor_execute", _note)


def _note(_conn: Any, _cursor: Any, statement: str, _given: Any, _context: Any, _many: bool) -> None:
    asked = _asked.get()
    if asked is not None:
        asked.append(statement)
