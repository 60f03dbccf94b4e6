"""``push.once`` for tests of a plugin alone, without the gateway: a memory, and the rule for steps in doubt."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from gateway.sdk.connection import Create, Find, PushedRecord
from gateway.sdk.errors import OutcomeUnknown, StepNamedTwice


@dataclass
class Once:
    """Runs each step at most once, as the gateway does (``gateway.sdk.connection.Once``).

    One attempt after the other may use it: a step that raises ends an attempt, and so does ``next_attempt``.

    Attributes:
        clock: Tells the time.
        settle: So long a step in doubt must have waited before it is looked for (the manifest's ``settle_seconds``).
        steps: Done.
        doubtful: Begun by an attempt whose answer was not read in full, and when.
        found: Steps in doubt whose record was there.
    """

    clock: Callable[[], datetime]
    settle: timedelta
    steps: dict[str, PushedRecord] = field(default_factory=dict)
    doubtful: dict[str, datetime] = field(default_factory=dict)
    found: list[str] = field(default_factory=list)
    _named: set[str] = field(default_factory=set)

    def next_attempt(self) -> None:
        """Say that the next step belongs to another attempt, where the one before ended without a step that raised."""
        self._named.clear()

    async def __call__(self, step: str, *, find: Find, create: Create) -> PushedRecord:
        """Return the step's record: remembered, found, or created.

        Raises:
            StepNamedTwice: This attempt has a record of that name, or is making one.
        """
        if step in self._named:
            raise StepNamedTwice(step)
        self._named.add(step)
        try:
            return await self._once(step, find, create)
        except BaseException:
            self.next_attempt()
            raise

    async def _once(self, step: str, find: Find, create: Create) -> PushedRecord:
        if step in self.steps:
            return self.steps[step]
        began = self.doubtful.get(step)
        if began is not None:
            assert self.clock() - began >= self.settle, "a step in doubt must settle first"
            record = await find(began)
            if record is not None:
                self.found.append(step)
                self.steps[step] = record
                return record
        self.doubtful[step] = self.clock()
        try:
            self.steps[step] = await create()
        except OutcomeUnknown:
            raise
        except Exception:
            # an answer that was read in full, or a request that never left: nothing was written
            self.doubtful.pop(step)
            raise
        return self.steps[step]
