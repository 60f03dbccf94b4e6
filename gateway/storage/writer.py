"""Commit the writes of a process together: all that waits goes into one transaction, each caller gets its answer.

A commit costs a disk flush, whatever is in it. So there is one writer and one connection for it; requests append and
wait, the writer takes all that wait (up to ``TOGETHER``), and under load a hundred signups share one flush. There is no
artificial delay: a lone request is committed at once.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any, TypeVar

import structlog
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from gateway.storage.columns import new_id

__all__ = ["Overloaded", "StorageUnavailable", "Writer", "touch"]

T = TypeVar("T")
R = TypeVar("R")
Flow = Callable[[AsyncConnection, list[Any]], Awaitable[Sequence[Any]]]
"""Writes a list of items in one transaction and returns one answer an item."""

log = structlog.get_logger(__name__)

TOGETHER = 200
"""Requests in one transaction at most: more would save next to nothing, and a renewal of leases waits for its end.

A process may end hundreds of tasks at once, each with a dozen statements of its flow.
"""

ITEMS_TOGETHER = 1_000
"""Items in one transaction at most, unless one request brings more: lists of signups fill memory, and take time."""

REPEATS = 3
"""How often a transaction is run again that lost a deadlock or found its connection closed."""


class Overloaded(Exception):
    """More requests wait than the writer takes; nothing was written. Ask again later."""


class StorageUnavailable(Exception):
    """The database could not take the write: disk full, locked by another process, unreachable.

    Nothing may be answered as accepted. If the connection broke during the commit itself the write may have
    happened; a repeat with the same idempotency key finds out.
    """


class Writer:
    """The one place of a process that writes."""

    def __init__(self, engine: AsyncEngine, *, channel: str | None = None, max_waiting: int = 10_000) -> None:
        """Make a writer; ``start`` begins its work.

        Args:
            engine: Gives the writer's connection.
            channel: Where to NOTIFY of new due tasks; None without PostgreSQL.
            max_waiting: How many items may wait before ``submit`` refuses more.
        """
        self.token = new_id("prc")
        self.max_waiting = max_waiting
        self.on_touched: list[
            Callable[[frozenset[str]], None]
        ] = []  # called after a commit with lanes that got due tasks
        self._engine = engine
        self._channel = channel
        self._requests: list[_Request] = []
        self._urgent: list[_Request] = []
        self._waiting_items = 0
        self._wake = asyncio.Event()
        self._closing = False
        self._loop: asyncio.Task[None] | None = None

    async def submit(
        self,
        flow: Callable[[AsyncConnection, list[T]], Awaitable[Sequence[R]]],
        items: Sequence[T],
        *,
        bounded: bool = True,
        urgent: bool = False,
    ) -> list[R]:
        """Run ``flow`` over ``items`` in the next transaction and return its answers after the commit.

        Everything that waits for the same ``flow`` object becomes one list and one call. ``flow`` may be called again
        with other neighbours after a rollback, so it writes to the database alone, and it answers in the order of its
        items.

        Args:
            flow: Writes all items with set-wise statements; returns one answer an item.
            items: What this caller wants written.
            bounded: False for writes that are bounded elsewhere and must not be refused (the worker's own).
            urgent: Goes before all that waits, in a transaction of its own: what keeps the leases. Without it a slow
                database would lose leases while it works, calls would be broken off into doubt, and that is more work.

        Raises:
            Overloaded: Too much waits already.
            StorageUnavailable: The database could not take it.
        """
        if not items:
            return []
        if self._closing or self._loop is None or self._loop.done():
            raise StorageUnavailable("the writer of this process is not running")
        if bounded and self._requests and self._waiting_items + len(items) > self.max_waiting:
            raise Overloaded(f"{self._waiting_items} items wait to be written")
        request = _Request(flow, list(items))
        if urgent:
            self._urgent.append(request)
        else:
            self._requests.append(request)
            self._waiting_items += len(items)
        self._wake.set()
        answer: list[R] = await request.answer
        return answer

    async def run(
        self, fn: Callable[[AsyncConnection], Awaitable[R]], *, bounded: bool = True, urgent: bool = False
    ) -> R:
        """Run ``fn`` in the next transaction, which it may share, and return its answer after the commit.

        ``bounded`` and ``urgent`` as in ``submit``.

        Raises:
            Overloaded: Too much waits already.
            StorageUnavailable: The database could not take it.
        """

        async def flow(conn: AsyncConnection, _items: list[None]) -> list[R]:
            return [await fn(conn)]

        return (await self.submit(flow, [None], bounded=bounded, urgent=urgent))[0]

    def start(self) -> None:
        """Begin to commit what is submitted."""
        self._loop = asyncio.create_task(self._run(), name="gateway-writer")

    async def close(self) -> None:
        """Commit what waits, refuse what comes, and end."""
        self._closing = True
        self._wake.set()
        if self._loop is not None:
            await self._loop

    async def _run(self) -> None:
        try:
            while True:
                await self._wake.wait()
                self._wake.clear()
                while batch := self._take_waiting():
                    await self._commit(batch)
                if self._closing:
                    return
        finally:
            while left := self._take_waiting():
                for request in left:
                    request.refuse(StorageUnavailable("the writer of this process ended"))

    def _take_waiting(self) -> "list[_Request]":
        """Take what is urgent, or else what has waited longest; a caller that went away is left out."""
        urgent, self._urgent = [request for request in self._urgent if not request.answer.done()], []
        if urgent:
            return urgent
        waiting = [request for request in self._requests if not request.answer.done()]
        number = items = 0
        for request in waiting[:TOGETHER]:
            items += len(request.items)
            if number and items > ITEMS_TOGETHER:
                break
            number += 1
        taken, self._requests = waiting[:number], waiting[number:]
        self._waiting_items = sum(len(request.items) for request in self._requests)
        return taken

    async def _commit(self, batch: "list[_Request]") -> None:
        """Commit a batch together; if that fails, halve it until only the bad requests see their errors."""
        try:
            answers = await self._transaction(batch)
        except Exception as error:  # noqa: BLE001 - handed to the callers
            if unavailable := _why_unavailable(error):
                log.warning("storage.unavailable", reason=unavailable, requests=len(batch))
                for request in batch:
                    refusal = StorageUnavailable(unavailable)
                    refusal.__cause__ = error
                    request.refuse(refusal)
            elif len(batch) == 1:
                batch[0].refuse(error)
            else:
                middle = len(batch) // 2
                await self._commit(batch[:middle])
                await self._commit(batch[middle:])
        except BaseException:
            for request in batch:
                request.refuse(StorageUnavailable("the writer of this process was stopped"))
            raise
        else:
            for request, answer in zip(batch, answers, strict=True):
                request.give(answer)

    async def _transaction(self, batch: "list[_Request]") -> list[list[Any]]:
        for repeat in range(REPEATS):
            committing = False
            conn = await _connect(self._engine)
            try:
                transaction = await conn.begin()
                conn.info["touched"] = touched = set[str]()
                answers = await _perform(conn, batch)
                if touched and self._channel:
                    await conn.execute(_NOTIFY, {"channel": self._channel, "sender": self.token})
                committing = True
                await transaction.commit()
            except DBAPIError as error:
                if committing or repeat == REPEATS - 1 or not _may_repeat(error):
                    raise
            else:
                if touched:
                    for listener in self.on_touched:
                        listener(frozenset(touched))
                return answers
            finally:
                await conn.close()  # rolls back what is not committed
        raise AssertionError("unreachable")


# One NOTIFY a commit, however many tasks: PostgreSQL takes a global lock for each notifying commit.
_NOTIFY = text("SELECT pg_notify(:channel, :sender)")


class _Request:
    def __init__(self, flow: Flow, items: list[Any]) -> None:
        self.flow = flow
        self.items = items
        self.answer: asyncio.Future[list[Any]] = asyncio.get_running_loop().create_future()

    def give(self, answer: list[Any]) -> None:
        if not self.answer.done():  # a caller that was cancelled while its write was committed
            self.answer.set_result(answer)

    def refuse(self, error: Exception) -> None:
        if not self.answer.done():
            self.answer.set_exception(error)


class _Unreachable(Exception):
    """No connection could be made."""


async def _connect(engine: AsyncEngine) -> AsyncConnection:
    try:
        return await engine.connect().start()
    except (OSError, TimeoutError, PoolTimeout) as error:
        raise _Unreachable(str(error) or type(error).__name__) from error


async def _perform(conn: AsyncConnection, batch: list[_Request]) -> list[list[Any]]:
    """Call each flow once with the items of all its requests; return each request's slice of the answers."""
    groups: dict[Flow, list[_Request]] = {}
    for request in batch:
        groups.setdefault(request.flow, []).append(request)
    answers: dict[_Request, list[Any]] = {}
    for flow, requests in groups.items():
        items = [item for request in requests for item in request.items]
        found = list(await flow(conn, items))
        if len(found) != len(items):
            raise TypeError(f"{flow!r} answered {len(found)} times for {len(items)} items")
        start = 0
        for request in requests:
            answers[request] = found[start : start + len(request.items)]
            start += len(request.items)
    return [answers[request] for request in batch]


def touch(conn: AsyncConnection, lanes: Iterable[str]) -> None:
    """Remember that these lanes got due tasks in this transaction; workers are woken once it is committed."""
    conn.info.setdefault("touched", set()).update(lanes)


# SQLite's result codes (https://sqlite.org/rescode.html): the low byte is the primary one
_SQLITE_UNAVAILABLE = {
    5: "database is locked",
    6: "database is locked",
    8: "database is read-only",
    10: "disk error",
    13: "disk is full",
    14: "cannot open the database file",
}
# PostgreSQL's SQLSTATE classes (https://www.postgresql.org/docs/current/errcodes-appendix.html)
_POSTGRESQL_UNAVAILABLE = ("08", "53", "57P", "58", "55P03", "57014", "25006")
_POSTGRESQL_REPEAT = ("40001", "40P01")


def _why_unavailable(error: BaseException) -> str | None:
    """Return why the database cannot take writes now; None if the error is the request's own."""
    if isinstance(error, _Unreachable):
        return f"database cannot be reached: {error}"
    if not isinstance(error, DBAPIError) or error.orig is None:
        return None
    if (code := getattr(error.orig, "sqlite_errorcode", None)) is not None:
        return _SQLITE_UNAVAILABLE.get(code & 0xFF)
    state = getattr(error.orig, "sqlstate", None) or ""
    if error.connection_invalidated or state.startswith(_POSTGRESQL_UNAVAILABLE):
        return f"database refused the write: {error.orig}"
    return None


def _may_repeat(error: DBAPIError) -> bool:
    """Return whether the same transaction may succeed if run again: it lost a deadlock, its connection was stale."""
    if error.connection_invalidated or getattr(error.orig, "sqlstate", None) in _POSTGRESQL_REPEAT:
        return True
    # a task went back to waiting while another process stored a newer one: run again, it sees that one and gives way
    return "uq_tasks_unique_key" in str(error.orig)
