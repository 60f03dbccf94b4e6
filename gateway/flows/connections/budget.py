"""What a vendor allows, kept before each call: a rolling burst window, and the units of a day.

The burst window of a tenant's tasks lives in the memory of the process that owns its lane: exact, without a write a
call. Calls made while a person waits may come from any process; they have a kept-back share of their own, counted in
one row per tenant and span of the burst window. Units of the day are counted in memory, told to the database in
batches, and corrected by the vendor's headers, which see what others use. Sweeps and polls have a share of the day,
paced evenly over it (``counters.background_wait``).
"""

import asyncio
import math
import time
from collections.abc import Awaitable, Callable, MutableMapping
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, cast, get_args

import httpx

from gateway.flows.connections.counters import DAY_SECONDS, Background, DailyUse, RollingWindow, background_wait
from gateway.flows.services import Services
from gateway.sdk.errors import OverBudget
from gateway.storage import budgets
from gateway.storage.budgets import BudgetRow, day_of
from gateway.storage.engine import AsyncConnection
from gateway.storage.running import LaneLimits
from gateway.storage.writer import Overloaded, StorageUnavailable
from gateway_schemas.manifest import RateBudget

Purpose = Literal["person", "task", "bulk"] | Background
"""For whom a call is made: a person waits; a task of a signup or status; bulk work; polls and sweeps."""

PROBE_EVERY = timedelta(hours=1)
"""A used-up budget is tried again this often: when the vendor's day begins is not always known."""

LONGEST_WAIT_SECONDS = 5.0


def reserve_of(limits: RateBudget | None, daily: int | None, percent: int) -> int:
    """Return the units of a day that bulk work leaves alone: those of people who wait, and those of signups.

    Args:
        limits: Of the manifest.
        daily: Units of a whole day.
        percent: Share that the setting keeps for signups.
    """
    if limits is None or daily is None:
        return 0
    return round(daily * min(0.95, limits.reserve_share + percent / 100))


class BudgetMemory:
    """Days of tenants that this process calls."""

    def __init__(self) -> None:
        self.days: dict[tuple[str, str], DailyUse] = {}


class LaneMeter:
    """Counts the calls of one connection (``sdk.http.Meter``).

    Args:
        services: The process's services.
        lane: The vendor tenant.
        budget: What the manifest says that the vendor allows.
        purpose: For whom the calls are made.
        memory: The lane's memory where a task runs (``TaskRun.lane_memory``).
        seconds_left: How long a task's call may still take.
        sleep: Waits; tests hand in another one.
    """

    def __init__(
        self,
        services: Services,
        lane: str,
        budget: RateBudget,
        *,
        purpose: Purpose,
        memory: MutableMapping[str, Any] | None = None,
        seconds_left: Callable[[], float] = lambda: LONGEST_WAIT_SECONDS,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._services = services
        self._lane = lane
        self._budget = budget
        self._purpose: Purpose = purpose
        self._memory = memory
        self._seconds_left = seconds_left
        self._sleep = sleep

    async def before(self, cost: int, *, window: str | None = None) -> None:
        """Wait for the burst window and take units of the day.

        Args:
            cost: Units of the day that the call takes.
            window: The manifest's narrower window that the call counts in too.

        Raises:
            OverBudget: The day's units for this purpose are used up, or the wait would be too long.
        """
        day = await self._today()
        now = self._services.clock.now()
        self._check_day(day, cost, now)
        day.count(cost, background=self._background)  # before any wait: others who ask meanwhile see it
        day.begin(cost, now)
        try:
            await self._take_windows(window)
        except OverBudget:
            day.count(-cost, background=self._background)
            day.end(cost)
            raise
        if day.is_worth_telling(now):
            await tell(self._services, self._lane)

    async def _take_windows(self, window: str | None) -> None:
        if self._purpose == "person" or self._memory is None:
            await self._take_interactive()
            return
        await self._take_named(self._memory, window)
        if self._purpose == "bulk":
            await self._take_bulk(self._memory)
        await self._take_burst(self._memory)

    def after(self, response: httpx.Response, cost: int) -> None:
        """Learn the day's limit and what is left from the vendor's headers."""
        now = self._services.clock.now()
        day = self._services.memory(BudgetMemory).days.get((self._lane, day_of(now)))
        if day is not None:
            day.end(cost)
            day.learn(_number(response, self._budget.limit_header), _number(response, self._budget.remaining_header))

    async def _today(self) -> DailyUse:
        now = self._services.clock.now()
        key = (self._lane, day_of(now))
        days = self._services.memory(BudgetMemory).days
        if key not in days:
            await tell(self._services, self._lane)  # what is left of yesterday
            async with self._services.database.read() as conn:
                row = await budgets.get(conn, *key)
            days.setdefault(key, DailyUse(row, now))
        return days[key]

    def _check_day(self, day: DailyUse, cost: int, now: datetime) -> None:
        left, daily = day.left(self._budget.daily), day.daily(self._budget.daily)
        if left is None:
            return
        kept_back = self._kept_back_units(daily or 0)
        if self._background is not None and daily:
            self._check_share(day, self._background, round(daily * self._budget.sweep_share), cost, now)
        if left - cost >= kept_back:
            return
        if left <= 0 and (day.probed_at is None or now - day.probed_at >= PROBE_EVERY):
            day.probed_at = now  # one call finds out whether the vendor's day has begun
            return
        raise OverBudget(
            f"today's budget of the vendor account is used up for this ({left} units left, {kept_back} kept back)",
            after_seconds=min(self._until_tomorrow(now), PROBE_EVERY.total_seconds()),
            lane_wide=self._purpose == "task",
        )

    def _kept_back_units(self, daily: int) -> int:
        """Return the units of a day that are not for this: those of people who wait, and for bulk those of signups."""
        if self._purpose == "person":
            return 0
        if self._purpose == "task":
            return round(daily * self._budget.reserve_share)
        if self._purpose == "bulk":
            return reserve_of(self._budget, daily, self._services.settings.signup_reserve_percent)
        return round(daily * self._budget.reserve_share * 2)

    @property
    def _background(self) -> Background | None:
        return cast("Background", self._purpose) if self._purpose in get_args(Background) else None

    def _check_share(self, day: DailyUse, kind: Background, share: int, cost: int, now: datetime) -> None:
        used, sweeps = day.row.background + day.background, day.row.sweeps + day.sweeps
        seconds = DAY_SECONDS - _left_of_day(now)
        wait = background_wait(kind, share, seconds, used=used, sweeps=sweeps, cost=cost)
        if wait == 0:
            return
        raise OverBudget(
            f"sweeps and polls have a share of today's budget, paced over the day ({used} of {share} units used)",
            after_seconds=self._until_tomorrow(now) if wait is None else math.ceil(wait),
            lane_wide=False,
        )

    def _until_tomorrow(self, now: datetime) -> float:
        return max(60.0, _left_of_day(now))

    async def _take_burst(self, memory: MutableMapping[str, Any]) -> None:
        # twice, since calls for people are counted by fixed spans, and two spans may meet within one rolling window
        calls = self._budget.burst_calls - 2 * self._kept_back_calls()
        await self._take(memory, "window", calls, self._budget.burst_seconds)

    async def _take_bulk(self, memory: MutableMapping[str, Any]) -> None:
        """Wait for the narrower window of bulk work: places in the burst window stay free for signups."""
        calls = self._budget.burst_calls - 2 * self._kept_back_calls()
        free = calls * self._services.settings.signup_reserve_percent / 100
        await self._take(memory, "window:bulk", max(1, int(calls - free)), self._budget.burst_seconds)

    async def _take_named(self, memory: MutableMapping[str, Any], name: str | None) -> None:
        """Wait for a narrower window, of which one call is kept back for people who wait."""
        for one in self._budget.windows:
            if one.name == name:
                await self._take(memory, f"window:{name}", one.calls - 1, one.seconds)

    async def _take(self, memory: MutableMapping[str, Any], key: str, calls: int, seconds: float) -> None:
        window: RollingWindow = memory.setdefault(key, RollingWindow(calls, seconds))
        wait = window.reserve(time.monotonic(), max(0.0, min(LONGEST_WAIT_SECONDS, self._seconds_left() / 2)))
        if wait < 0:
            raise OverBudget(
                "more calls wait than the vendor takes in a few seconds", after_seconds=-wait, lane_wide=False
            )
        if wait > 0:
            await self._sleep(wait)

    def _kept_back_calls(self) -> int:
        return max(1, round(self._budget.burst_calls * self._budget.reserve_share))

    async def _take_interactive(self) -> None:
        length = max(1, round(self._budget.burst_seconds))
        lane, at_most = self._lane, self._kept_back_calls()
        for _ in range(3):
            moment = self._services.clock.now().timestamp()
            begins = int(moment) // length * length

            async def take(conn: AsyncConnection, begins: int = begins) -> bool:
                return await budgets.take_interactive(conn, lane, begins, at_most)

            if await self._services.database.writer.run(take):
                return
            await self._sleep(begins + length - moment)
        raise OverBudget("others are using the vendor account; too many calls wait", after_seconds=2, lane_wide=False)


def lane_limits(services: Services) -> Callable[[str], LaneLimits]:
    """Return how many tasks of a lane run together: as the vendor's manifest says, where it says so."""
    by_integration = {
        one.key: LaneLimits(concurrency=one.manifest.rate_budget.concurrency)
        for one in services.integrations
        if one.manifest.rate_budget is not None
    }

    def limits(lane: str) -> LaneLimits:
        kind, _, rest = lane.partition(":")
        if kind != "vendor":  # endpoints, and the gateway's own work
            return LaneLimits(pool="own")
        return by_integration.get(rest.partition(":")[0], LaneLimits())

    return limits


async def tell(services: Services, lane: str | None = None) -> None:
    """Tell the database what this process used, of one lane or of all; at the end of a process of all."""
    memory = services.memory(BudgetMemory)
    now = services.clock.now()
    for (of, day), use in list(memory.days.items()):
        if lane is not None and of != lane:
            continue
        used, background, sweeps, limit, remaining = use.used, use.background, use.sweeps, use.limit, use.remaining
        use.used, use.background, use.sweeps, use.told_at = 0, 0, 0, now
        if used or limit is not None or remaining is not None:

            async def write(
                conn: AsyncConnection,
                of: str = of,
                day: str = day,
                used: int = used,
                background: int = background,
                sweeps: int = sweeps,
                limit: int | None = limit,
                remaining: int | None = remaining,
            ) -> BudgetRow:
                return await budgets.add_use(
                    conn,
                    of,
                    day,
                    now,
                    used=used,
                    background=background,
                    sweeps=sweeps,
                    daily_limit=limit,
                    remaining=remaining,
                )

            try:
                use.row = await services.database.writer.run(write, bounded=False)
            except (Overloaded, StorageUnavailable):
                use.used, use.background = use.used + used, use.background + background
                use.sweeps += sweeps
        if day != day_of(now) and not use.used:
            memory.days.pop((of, day), None)


async def units_left(services: Services, conn: AsyncConnection, lane: str, budget: RateBudget | None) -> int | None:
    """Return the units left of a tenant's day, as well as this process knows; ``None`` when none are counted."""
    return (await day_of_lane(services, conn, lane, budget))[1]


async def day_of_lane(
    services: Services, conn: AsyncConnection, lane: str, budget: RateBudget | None
) -> tuple[int | None, int | None]:
    """Return the units of a tenant's whole day, and those that are left, as well as this process knows.

    ``None`` where the vendor counts none.
    """
    if budget is None:
        return None, None
    now = services.clock.now()
    use = services.memory(BudgetMemory).days.get((lane, day_of(now)))
    if use is None:
        use = DailyUse(await budgets.get(conn, lane, day_of(now)), now)
    left = use.left(budget.daily)
    return use.daily(budget.daily), None if left is None else max(0, left)


def _left_of_day(now: datetime) -> float:
    """Return the seconds until the UTC day that calls count for is over."""
    moment = now.astimezone(UTC)
    tomorrow = moment.replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)
    return (tomorrow - moment).total_seconds()


def _number(response: httpx.Response, header: str | None) -> int | None:
    if header is None:
        return None
    try:
        return max(0, int(response.headers[header]))
    except (KeyError, ValueError):
        return None
