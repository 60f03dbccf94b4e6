"""Answer the questions of a process together: what is asked at the same time is read in the same statements.

A statement costs about the same whether it finds one row or thirty, and a worker that takes thirty signups asks the
same of each. There is no artificial delay: a lone question is answered at once, and what is asked meanwhile is the
next read. Nobody is answered by a read that began earlier.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, TypeVar

from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncConnection

__all__ = ["Reader"]

T = TypeVar("T")
R = TypeVar("R")
Flow = Callable[[AsyncConnection, list[Any]], Awaitable[Sequence[Any]]]
"""Answers a list of questions with set-wise statements, one answer a question."""

TOGETHER = 100
"""Questions in one read at most."""

UNREACHABLE = (DBAPIError, PoolTimeout, OSError, TimeoutError)
"""What says that the database is the cause, and no single question: asking for each alone would wait once for each."""


class Reader:
    """Reads for many callers at once."""

    def __init__(self, connect: Callable[[], AbstractAsyncContextManager[AsyncConnection]]) -> None:
        """Make a reader; ``connect`` gives a connection that may read."""
        self._connect = connect
        self._waiting: dict[Flow, list[_Question]] = {}
        self._reading: dict[Flow, asyncio.Task[None]] = {}

    async def ask(self, flow: Callable[[AsyncConnection, list[T]], Awaitable[Sequence[R]]], item: T) -> R:
        """Return ``flow``'s answer for ``item``, read after this call.

        Args:
            flow: Answers all items with set-wise statements, in their order; everything that is asked of the same
                ``flow`` object at the same time is one call.
            item: What this caller asks for.

        Raises:
            Exception: What ``flow`` raises for this item; others do not see it.
        """
        question = _Question(item)
        self._waiting.setdefault(flow, []).append(question)
        if flow not in self._reading:
            self._reading[flow] = asyncio.create_task(self._answer_all(flow), name="gateway-reader")
        answer: R = await question.answer
        return answer

    async def _answer_all(self, flow: Flow) -> None:
        """Answer until nobody waits for this flow."""
        questions: list[_Question] = []
        try:
            while questions := self._take(flow):
                await self._answer(flow, questions)
        finally:
            del self._reading[flow]
            for question in [*questions, *self._waiting.pop(flow, [])]:  # none is left unless we were cancelled
                question.answer.cancel()

    def _take(self, flow: Flow) -> "list[_Question]":
        waiting = [one for one in self._waiting.pop(flow, []) if not one.answer.done()]  # a caller may have gone
        if waiting[TOGETHER:]:
            self._waiting[flow] = waiting[TOGETHER:]
        return waiting[:TOGETHER]

    async def _answer(self, flow: Flow, questions: "list[_Question]") -> None:
        """Read for all; if that fails, for each alone, so that only bad questions see their errors."""
        items = [question.item for question in questions]
        try:
            async with self._connect() as conn:
                answers = await flow(conn, items)
            if len(answers) != len(items):
                raise TypeError(f"{flow!r} answered {len(answers)} times for {len(items)} questions")
        except Exception as error:  # noqa: BLE001 - handed to the callers
            if len(questions) > 1 and not isinstance(error, UNREACHABLE):
                for question in questions:
                    await self._answer(flow, [question])
                return
            for question in questions:
                question.refuse(error)
        else:
            for question, answer in zip(questions, answers, strict=True):
                question.give(answer)


class _Question:
    def __init__(self, item: Any) -> None:
        self.item = item
        self.answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

    def give(self, answer: Any) -> None:
        if not self.answer.done():
            self.answer.set_result(answer)

    def refuse(self, error: Exception) -> None:
        if not self.answer.done():
            self.answer.set_exception(error)
