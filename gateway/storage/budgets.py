"""What was used of a vendor's budget: a counter a tenant and day, and the calls of this moment made for people."""

from datetime import UTC, datetime, timedelta

import msgspec
from sqlalchemy import delete, func, select

from gateway.storage.engine import AsyncConnection
from gateway.storage.tables import budgets, interactive_calls
from gateway.storage.upsert import insert

__all__ = ["BudgetRow", "add_use", "day_of", "get", "prune", "take_interactive"]


class BudgetRow(msgspec.Struct, frozen=True, kw_only=True):
    """What was used of a vendor tenant's budget on one day.

    Attributes:
        used: Units that all processes used.
        background: Of it, by sweeps and polls.
        sweeps: Of that, by sweeps.
        daily_limit: As the vendor's headers said last; null when they never did.
        remaining: Units left, as the vendor's headers said last, less what we used since.
    """

    lane: str
    day: str
    used: int = 0
    background: int = 0
    sweeps: int = 0
    daily_limit: int | None = None
    remaining: int | None = None


_COLUMNS = [budgets.c[name] for name in BudgetRow.__struct_fields__]


def day_of(now: datetime) -> str:
    """Return the UTC day that a call counts for."""
    return now.astimezone(UTC).date().isoformat()


async def get(conn: AsyncConnection, lane: str, day: str) -> BudgetRow:
    """Return the budget of a day; one of which nothing was used is all zeros."""
    statement = select(*_COLUMNS).where(budgets.c.lane == lane, budgets.c.day == day)
    row = (await conn.execute(statement)).mappings().one_or_none()
    return BudgetRow(lane=lane, day=day) if row is None else BudgetRow(**row)


async def add_use(
    conn: AsyncConnection,
    lane: str,
    day: str,
    now: datetime,
    *,
    used: int,
    background: int,
    sweeps: int,
    daily_limit: int | None,
    remaining: int | None,
) -> BudgetRow:
    """Add what one process used, and return what all of them did.

    Args:
        conn: The writer's connection.
        lane: The vendor tenant.
        day: The UTC day.
        now: The time.
        used: Units since this process last told.
        background: Of them, by sweeps and polls.
        sweeps: Of those, by sweeps.
        daily_limit: From the vendor's newest header; ``None`` leaves what is known.
        remaining: Units left by the vendor's newest header, less what we used since; ``None``: no header came, and
            what is known shrinks by ``used``.
    """
    statement = insert(conn, budgets).values(
        lane=lane,
        day=day,
        used=used,
        background=background,
        sweeps=sweeps,
        daily_limit=daily_limit,
        remaining=remaining,
        updated_at=now,
    )
    values = {
        "used": budgets.c.used + used,
        "background": budgets.c.background + background,
        "sweeps": budgets.c.sweeps + sweeps,
        "daily_limit": func.coalesce(statement.excluded.daily_limit, budgets.c.daily_limit),
        "remaining": func.coalesce(statement.excluded.remaining, budgets.c.remaining - used),
        "updated_at": now,
    }
    changed = statement.on_conflict_do_update(index_elements=["lane", "day"], set_=values).returning(*_COLUMNS)
    return BudgetRow(**(await conn.execute(changed)).mappings().one())


async def take_interactive(conn: AsyncConnection, lane: str, second: int, at_most: int) -> bool:
    """Take one of the ``at_most`` calls that all processes together may make for people in a span of seconds.

    Args:
        conn: The writer's connection.
        lane: The vendor tenant.
        second: When the span begins, in seconds since the epoch.
        at_most: Calls in the span; at least one.
    """
    statement = insert(conn, interactive_calls).values(lane=lane, second=second, calls=1)
    taken = await conn.execute(
        statement.on_conflict_do_update(
            index_elements=["lane", "second"],
            set_={"calls": interactive_calls.c.calls + 1},
            where=interactive_calls.c.calls < at_most,
        ).returning(interactive_calls.c.calls)
    )
    return taken.one_or_none() is not None


async def prune(conn: AsyncConnection, now: datetime) -> None:
    """Forget spans that are over, and days older than a month."""
    await conn.execute(delete(interactive_calls).where(interactive_calls.c.second < int(now.timestamp()) - 60))
    await conn.execute(delete(budgets).where(budgets.c.day < day_of(now - timedelta(days=31))))
