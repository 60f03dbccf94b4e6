"""When a message is tried again, and how long an endpoint that is overloaded is left alone. Pure.

Source of the waits: Standard Webhooks, specification 1.0.0, the example schedule (about 76 hours).
"""

import random
from collections.abc import Callable
from datetime import timedelta

WAITS = (5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400)
"""Seconds after the first, second … attempt."""
ATTEMPTS = len(WAITS) + 1

MAX_RETRY_AFTER = 86_400.0
"""Seconds: a receiver that asks for more is tried after a day."""

GIVE_UP_AFTER = timedelta(days=5)
"""An endpoint that took nothing for so long is disabled; what waits for it is kept."""

SLOW_DOWN = frozenset({429, 502, 504})
"""Statuses that say *too much*, not *this message is wrong*."""
MAX_PAUSE = 3_600.0


def wait_seconds(tries: int, retry_after: float | None, *, spread: Callable[[], float] = random.random) -> float:
    """Return the wait after attempt ``tries``: by the schedule and up to a fifth more, never before ``Retry-After``.

    Args:
        tries: Attempts so far that count.
        retry_after: Seconds that the receiver asked for.
        spread: Returns the jitter, 0 to 1.
    """
    planned = WAITS[min(tries, len(WAITS)) - 1]
    asked = min(retry_after or 0.0, MAX_RETRY_AFTER)
    return max(planned * (1 + 0.2 * spread()), asked * (1 + 0.02 * spread()))


def pause_seconds(status: int | None, retry_after: float | None, slow_answers: int) -> float:
    """Return how long nothing at all is sent to this endpoint; 0 when the answer concerns this message alone.

    Args:
        status: The answer's status; null when none came.
        retry_after: Seconds, where the answer says so.
        slow_answers: Answers of this kind since the last success, this one included.
    """
    if status not in SLOW_DOWN and retry_after is None:
        return 0.0
    if retry_after is not None:
        return min(retry_after, MAX_PAUSE)
    return float(min(5 * 2 ** min(slow_answers - 1, 10), 300))
