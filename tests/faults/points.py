"""Counts the points at which a process may die, and dies at the one that was asked for: in forked processes alone.

All of it hooks in from outside: SQLAlchemy's statement events, httpx's transports, and the event loop's own steps (each
is an ``await`` that came back). The product has no line for it.
"""

import asyncio
import signal
import threading
import time
from collections.abc import Callable
from typing import Any

import httpx
from sqlalchemy import Engine, Pool, event

from gateway.flows.connections.transport import VendorTransport

STATEMENTS = ("before statement", "after statement", "before commit")
CALLS = ("before call", "after call")


class Points:
    """The points of this process, in their order.

    Args:
        target: The number of the point to die at, from 1; 0: never.
        stop: Freeze there instead of dying (``SIGSTOP``). The monotonic clock stands still meanwhile, as that of a
            virtual machine that is suspended: no look at it can tell the process that its lease has lapsed.
        is_counted: Which points count, by their kind and text.
    """

    def __init__(self, target: int, *, stop: bool, is_counted: Callable[[str, str], bool]) -> None:
        self.passed: list[str] = []
        self._writing: set[int] = set()
        self.armed = False
        self._target = target
        self._is_due = False
        self._stood_still = 0.0
        self._signal = signal.SIGSTOP if stop else signal.SIGKILL
        self._is_counted = is_counted

    def install(self) -> None:
        """Hook in; nothing is counted before ``armed``."""
        event.listen(Engine, "before_cursor_execute", self._before_statement)
        event.listen(Engine, "after_cursor_execute", self._after_statement)
        event.listen(Engine, "commit", self._before_commit)
        event.listen(Pool, "checkin", lambda connection, _record: self._writing.discard(id(connection)))
        self._wrap_calls()
        self._wrap_steps()
        self._wrap_clock()

    def reach(self, kind: str, text: str = "") -> None:
        """Pass a point, or end here."""
        if not self.armed:
            return
        if self._is_counted(kind, text):
            self.passed.append(f"{kind}: {text}" if text else kind)
            self._is_due = self._is_due or len(self.passed) == self._target
        # frozen inside of a transaction it would hold SQLite's one write lock: it stops as soon as that has ended
        if self._is_due and not (self._signal == signal.SIGSTOP and self._writing):
            self._is_due = False
            before = time.monotonic()
            signal.pthread_kill(threading.get_ident(), self._signal)  # taken by this thread, before it goes on
            self._stood_still += time.monotonic() - before

    def _before_statement(self, conn: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        if statement.startswith("BEGIN IMMEDIATE"):
            self._writing.add(id(conn.connection.dbapi_connection))
        self.reach(STATEMENTS[0], _words(statement))

    def _after_statement(self, _conn: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        self.reach(STATEMENTS[1], _words(statement))

    def _before_commit(self, _conn: Any) -> None:
        self.reach(STATEMENTS[2])

    def _wrap_calls(self) -> None:
        for transport in (httpx.AsyncHTTPTransport, VendorTransport):  # of the host's endpoints, and of vendors
            self._wrap_calls_of(transport)

    def _wrap_calls_of(self, kind: Any) -> None:
        real = kind.handle_async_request

        async def handle(transport: httpx.AsyncBaseTransport, request: httpx.Request) -> httpx.Response:
            what = f"{request.method} {request.url.path}"
            self.reach(CALLS[0], what)
            response: httpx.Response = await real(transport, request)
            self.reach(CALLS[1], what)
            return response

        kind.handle_async_request = handle

    def _wrap_steps(self) -> None:
        real = asyncio.Handle._run  # type: ignore[attr-defined]

        def run(handle: Any) -> None:
            step = handle._callback  # a task's step is a wrapper of C, a wake-up a method of the task
            if type(step).__name__ == "TaskStepMethWrapper" or isinstance(
                getattr(step, "__self__", None), asyncio.Task
            ):
                self.reach("await")
            real(handle)

        asyncio.Handle._run = run  # type: ignore[attr-defined]

    def _wrap_clock(self) -> None:
        real = time.monotonic
        time.monotonic = lambda: real() - self._stood_still


def _words(statement: str) -> str:
    return " ".join(statement.split())[:70]
