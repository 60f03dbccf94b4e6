"""How fast one URL is called: a rolling window of a second, where its integration asks for one."""

from collections import deque
from datetime import datetime, timedelta

WINDOW = timedelta(seconds=1)
REMEMBERED = 10_000
"""URLs whose windows are kept before those that have passed are forgotten."""


class Pace:
    """When each URL was called lately, by this process.

    All subscriptions of a URL have one lane, and that has one owner, so the window is exact however many processes run.
    """

    def __init__(self) -> None:
        self._calls: dict[str, deque[datetime]] = {}

    def wait_seconds(self, url: str, per_second: int, now: datetime) -> float:
        """Take a place in the window of a URL and return 0, or return how long there is none."""
        calls = self._calls.setdefault(url, deque())
        while calls and now - calls[0] >= WINDOW:
            calls.popleft()
        if len(calls) >= per_second:
            return (WINDOW - (now - calls[0])).total_seconds()
        calls.append(now)
        if len(self._calls) > REMEMBERED:
            self._calls = {kept: times for kept, times in self._calls.items() if times and now - times[-1] < WINDOW}
        return 0.0
