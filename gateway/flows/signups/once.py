"""Run each step of a push at most once, whatever happens in between.

The steps stand on the task: that a step *began* is committed before its call, that it *finished* before the next step
begins. A step that began and did not finish is *in doubt*: its write may have reached the vendor. Nothing is then
written before ``settle_seconds`` have passed since it began and ``find`` has looked. A refusal that was read in full
clears the doubt at once.
"""

import asyncio
from collections.abc import Callable, Collection
from datetime import datetime, timedelta
from typing import Any

import msgspec

from gateway.sdk import errors
from gateway.sdk.connection import Create, Find, PushedRecord
from gateway.storage.running import Apply, TaskRun
from gateway_schemas.records import RecordRef

PROVES_NOTHING_DONE = (
    errors.Rejected,
    errors.MappingBroken,
    errors.RetryLater,
    errors.ReauthRequired,
    errors.RecordGone,
    errors.NotSupported,
    errors.Misconfigured,
)
"""What proves that a write was not done: a refusal read in full, or a request that never left."""


class Unsettled(errors.RetryLater):
    """A step is in doubt, and what it did may not be visible at the vendor yet."""


class Step(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is known of a step.

    Attributes:
        since: When the first attempt began whose write may have been done; null when there is no doubt.
        begun_at: When the latest attempt began.
        record: What it made or found, once it is finished.
    """

    begun_at: datetime
    since: datetime | None = None
    attempt: int = 0
    record: PushedRecord | None = None

    @property
    def in_doubt(self) -> bool:
        """Whether its write may have been done without our knowing."""
        return self.record is None and self.since is not None


class Steps:
    """The steps of one push, stored on its task; given to the plugin as ``push.once``.

    Args:
        run: The attempt.
        stored: What earlier attempts, or an earlier task, left.
        settle_seconds: After this long, what a call has done is visible to ``find``.
        on_begin: Gives what commits with the beginning of the first step of this attempt (the frozen values).
        on_finish: Gives what commits with the end of a step (its link and timeline entry).
    """

    def __init__(
        self,
        run: TaskRun,
        stored: dict[str, Any] | None,
        *,
        settle_seconds: float,
        on_begin: Callable[[], Apply],
        on_finish: Callable[[PushedRecord], Apply],
    ) -> None:
        self.steps = msgspec.convert(stored or {}, dict[str, Step])
        self._run = run
        self._settle = timedelta(seconds=settle_seconds)
        self._on_begin: Callable[[], Apply] | None = on_begin
        self._on_finish = on_finish
        self._lock = asyncio.Lock()
        self._named: set[str] = set()

    @property
    def in_doubt(self) -> bool:
        """Whether any step may have been done without our knowing."""
        return any(step.in_doubt for step in self.steps.values())

    @property
    def stored(self) -> dict[str, Any]:
        """The steps as they are stored."""
        stored: dict[str, Any] = msgspec.to_builtins(self.steps)
        return stored

    @property
    def records(self) -> list[PushedRecord]:
        """What finished steps made or found."""
        return [step.record for step in self.steps.values() if step.record is not None]

    def forget(self, refs: Collection[RecordRef]) -> None:
        """Forget finished steps whose records are not there any more: they are to be done again."""
        for name, step in list(self.steps.items()):
            if step.record is not None and step.record.ref in refs:
                del self.steps[name]

    async def __call__(self, step: str, *, find: Find, create: Create) -> PushedRecord:
        """Return the step's record: remembered, found, or created; see ``gateway.sdk.connection.Once``.

        Raises:
            StepNamedTwice: This attempt has a record of that name, or is making one.
            Unsettled: The step is in doubt, and it is too early to look.
            LostLease: Another process has taken over; the work must stop.
        """
        if step in self._named:
            raise errors.StepNamedTwice(step)
        self._named.add(step)
        try:
            return await self._once(step, find, create)
        except BaseException:
            self._named.discard(step)  # it has no record yet, so the plugin may try again
            raise

    async def _once(self, step: str, find: Find, create: Create) -> PushedRecord:
        known = self.steps.get(step)
        if known is not None and known.record is not None:
            return known.record
        if known is not None and known.since is not None:
            found = await self._look(step, known, known.since, find)
            if found is not None:
                return await self._finish(step, known, found)
        begun = self._run.now()
        since = begun if known is None or known.since is None else known.since
        current = Step(begun_at=begun, since=since, attempt=self._run.task.attempt)
        await self._save(step, current, None if self._on_begin is None else self._on_begin())
        self._on_begin = None
        try:
            record = await create()
        except PROVES_NOTHING_DONE:
            # an older doubt of this step was settled by the look above, so there is none left
            await self._save(step, Step(begun_at=begun, attempt=current.attempt))
            raise
        return await self._finish(step, current, record)

    async def _look(self, step: str, known: Step, since: datetime, find: Find) -> PushedRecord | None:
        settled = known.begun_at + self._settle
        now = self._run.now()
        if now < settled:
            left = (settled - now).total_seconds()
            raise Unsettled(
                f"step {step} may have been done; looking for it when it must be visible",
                after_seconds=left,
                lane_wide=False,
            )
        return await find(since)

    async def _finish(self, step: str, current: Step, record: PushedRecord) -> PushedRecord:
        finished = Step(begun_at=current.begun_at, attempt=current.attempt, record=record)
        await self._save(step, finished, self._on_finish(record))
        return record

    async def _save(self, step: str, state: Step, apply: Apply | None = None) -> None:
        async with self._lock:  # a plugin may run steps side by side; each save writes all of them
            self.steps[step] = state
            await self._run.save_steps(self.stored, apply)
