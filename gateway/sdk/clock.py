"""The clock that the host hands in, so that tests move time instead of sleeping."""

from datetime import UTC, datetime, timedelta


class Clock:
    """Wall-clock time in UTC plus an offset that only tests move.

    The offset is also added to the database's own time in queue statements, so a test that
    advances the clock sees due tasks become due on SQLite and on PostgreSQL alike.
    """

    def __init__(self) -> None:
        self.offset = timedelta(0)

    def now(self) -> datetime:
        """Return the current time, aware, in UTC."""
        return datetime.now(UTC) + self.offset

    def wall(self) -> datetime:
        """Return the time that other machines have, which tests cannot move: for signatures that they check."""
        return datetime.now(UTC)

    def advance(self, delta: timedelta) -> None:
        """Move time forward (tests only)."""
        self.offset += delta
