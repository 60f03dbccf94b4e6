"""The counters behind a vendor's limits, pure: a rolling window, the units of one day, and their pace."""

from collections import deque
from datetime import datetime, timedelta
from typing import Literal

from gateway.storage.budgets import BudgetRow

TELL_EVERY = timedelta(seconds=10)
TELL_UNITS = 200
UNANSWERED_AFTER = timedelta(seconds=60)
"""A call that was not answered for so long is not under way any more: no answer tells when it failed."""

NETWORK_MARGIN = 1.1
"""The window is kept a little longer than the vendor's, since calls do not arrive as evenly as they left."""

Background = Literal["first_look", "feed", "sweep"]
"""Work that nobody waits for: the first poll of an authorisation, the polls after it, and sweeps."""

DAY_SECONDS = 86_400
HEAD_START_SECONDS = 3_600
HEAD_START_LOOKS = 3
SWEEPS_AT_MOST = 0.5
SWEEPS_AT_LEAST = 0.1


def background_wait(kind: Background, share: int, seconds: float, *, used: int, sweeps: int, cost: int) -> float | None:
    """Return how long background work waits for its units: the share of a day accrues evenly over the day.

    By any moment ``share`` times the elapsed part of the day has accrued, and a head start: what an hour brings, or
    what three such calls cost, if that is more. So the share lasts until the day ends, and nothing goes blind before.

    - The first look after an authorisation waits for nothing that has still to accrue.
    - Feeds come before sweeps: they may use all that has accrued, sweeps half of it.
    - A tenth is the sweeps' even where feeds use up the rest, so that what feeds miss is found; it may run ahead of
      what has accrued, and feeds make up for it.
    - All together never use more than the share.

    Args:
        kind: What the units are for.
        share: Units of the whole day that background work may use.
        seconds: Since the day began.
        used: Units that background work used today.
        sweeps: Of them, by sweeps.
        cost: Units that are wanted now.

    Returns:
        Seconds, zero when it may go on; ``None`` when there is nothing left today.
    """
    if used + cost > share:
        return None
    if kind == "first_look" or cost == 0:
        return 0.0
    needed: float = used + cost
    if kind == "sweep":
        own = sweeps + cost
        needed = max(own / SWEEPS_AT_MOST, min(needed, own / SWEEPS_AT_LEAST))
    if needed > share:
        return None
    head_start = max(share * HEAD_START_SECONDS / DAY_SECONDS, HEAD_START_LOOKS * cost)
    return max(0.0, (needed - head_start) * DAY_SECONDS / share - seconds)


class RollingWindow:
    """At most ``calls`` in any ``seconds``, in the order of asking.

    Args:
        calls: How many.
        seconds: Length of the window.
    """

    def __init__(self, calls: int, seconds: float) -> None:
        self._calls = max(1, calls)
        self._seconds = seconds * NETWORK_MARGIN
        self._times: deque[float] = deque(maxlen=self._calls)

    def reserve(self, now: float, longest_wait: float) -> float:
        """Take the next free moment; return the seconds until then.

        Args:
            now: Monotonic time.
            longest_wait: When it is longer than this nothing is taken, and the seconds are returned as negative.
        """
        at = now if len(self._times) < self._calls else max(now, self._times[0] + self._seconds)
        if at - now > longest_wait:
            return now - at
        self._times.append(at)
        return at - now


class DailyUse:
    """What this process knows of one tenant's day, and has not told the database yet."""

    def __init__(self, row: BudgetRow, now: datetime) -> None:
        self.row = row
        self.told_at = now
        self.used = 0
        self.background = 0
        self.sweeps = 0
        self.limit: int | None = None
        self.remaining: int | None = None
        self.probed_at: datetime | None = None
        self._under_way: deque[tuple[datetime, int]] = deque()

    def left(self, manifest_daily: int | None) -> int | None:
        """Return the units left of the day; ``None`` when the vendor counts none that we know of."""
        if self.remaining is not None:
            return self.remaining
        if self.row.remaining is not None:
            return self.row.remaining - self.used
        daily = self.daily(manifest_daily)
        return None if daily is None else daily - self.row.used - self.used

    def daily(self, manifest_daily: int | None) -> int | None:
        """Return the units of a whole day."""
        return self.limit or self.row.daily_limit or manifest_daily

    def count(self, cost: int, *, background: Background | None = None) -> None:
        """Count a call that is about to be made; a negative cost gives back what was not used."""
        self.used += cost
        self.background += cost if background is not None else 0
        self.sweeps += cost if background == "sweep" else 0
        if self.remaining is not None:
            self.remaining -= cost

    def begin(self, cost: int, now: datetime) -> None:
        """Note a call that is under way: an answer that comes meanwhile does not know of it yet."""
        while self._under_way and now - self._under_way[0][0] > UNANSWERED_AFTER:
            self._under_way.popleft()
        self._under_way.append((now, cost))

    def end(self, cost: int) -> None:
        """Note that a call was answered."""
        for place, (_, begun) in enumerate(self._under_way):
            if begun == cost:
                del self._under_way[place]
                return

    def learn(self, limit: int | None, remaining: int | None) -> None:
        """Believe the vendor's headers: they count what others use too, but not our calls that are under way."""
        self.limit = limit if limit is not None else self.limit
        if remaining is not None:
            self.remaining = remaining - sum(cost for _, cost in self._under_way)
        if remaining is not None and remaining > 0:
            self.probed_at = None

    def is_worth_telling(self, now: datetime) -> bool:
        """Say whether the database should hear of it now."""
        return self.used > 0 and (self.used >= TELL_UNITS or now - self.told_at >= TELL_EVERY)
