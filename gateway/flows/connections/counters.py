"""The counters behind a vendor's limits, pure: a rolling window, and the units of one day."""

from collections import deque
from datetime import datetime, timedelta

from gateway.storage.budgets import BudgetRow

TELL_EVERY = timedelta(seconds=10)
TELL_UNITS = 200
NETWORK_MARGIN = 1.1
"""The window is kept a little longer than the vendor's, since calls do not arrive as evenly as they left."""


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
        self.limit: int | None = None
        self.remaining: int | None = None
        self.probed_at: datetime | None = None

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

    def count(self, cost: int, *, background: bool) -> None:
        """Count a call that is about to be made."""
        self.used += cost
        self.background += cost if background else 0
        if self.remaining is not None:
            self.remaining -= cost

    def learn(self, limit: int | None, remaining: int | None) -> None:
        """Believe the vendor's headers: they count what others use too."""
        self.limit = limit if limit is not None else self.limit
        self.remaining = remaining if remaining is not None else self.remaining
        if remaining is not None and remaining > 0:
            self.probed_at = None

    def is_worth_telling(self, now: datetime) -> bool:
        """Say whether the database should hear of it now."""
        return self.used > 0 and (self.used >= TELL_UNITS or now - self.told_at >= TELL_EVERY)
