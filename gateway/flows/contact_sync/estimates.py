"""Say before a contact sync starts what it will take, by what the vendor allows. Pure."""

import math

import msgspec

from gateway_schemas.manifest import ContactSync, RateBudget
from gateway_schemas.sync import SyncEstimate

DAY_SECONDS = 86_400


class Budget(msgspec.Struct, frozen=True, kw_only=True):
    """What a vendor tenant allows, as far as we know.

    Attributes:
        limits: Of the manifest; ``None`` where the vendor counts nothing.
        daily: Units of a whole day.
        left: Units left today.
        reserve: Units of a day that are kept for signups, and for calls while a person waits.
    """

    limits: RateBudget | None
    daily: int | None
    left: int | None
    reserve: int

    @property
    def a_day(self) -> int | None:
        """Units of a day that a sync may use."""
        return None if self.daily is None else max(1, self.daily - self.reserve)

    @property
    def now(self) -> int | None:
        """Units that a sync may use today from now on."""
        return None if self.left is None else max(0, self.left - self.reserve)


def estimate(
    asked: ContactSync, budget: Budget, contacts: int | None, *, at_most: bool, writes: bool, name: str
) -> SyncEstimate:
    """Return what a sync will take.

    Args:
        asked: What the integration says of contact syncs.
        budget: What the vendor allows.
        contacts: How many there are, where known.
        at_most: ``contacts`` is an upper bound.
        writes: Values are written back.
        name: The vendor's, for sentences.
    """
    units_read = units_write = None
    days: float | None = None
    if contacts is not None and budget.limits is not None:
        units_read = math.ceil(contacts / asked.page) * asked.read_units
        units_write = contacts * asked.write_units if writes else 0
        if budget.a_day is not None:
            days = _days(units_read + units_write, budget)
    return SyncEstimate(
        contacts=contacts,
        at_most=at_most,
        read_units=units_read,
        write_units=units_write,
        units_a_day=budget.a_day,
        units_left=budget.now,
        days=None if days is None else round(days, 2),
        sentences=_sentences(asked, budget, contacts, days, units_write, at_most=at_most, name=name),
    )


def seconds_for(units: int, budget: Budget) -> float | None:
    """Return how long units take by the daily budget alone; ``None`` where nothing is counted."""
    if budget.a_day is None:
        return None
    left = budget.now if budget.now is not None else budget.a_day
    return 0.0 if units <= left else (units - left) / budget.a_day * DAY_SECONDS


def _days(units: int, budget: Budget) -> float:
    seconds = seconds_for(units, budget)
    assert seconds is not None
    return seconds / DAY_SECONDS


def _sentences(
    asked: ContactSync,
    budget: Budget,
    contacts: int | None,
    days: float | None,
    units_write: int | None,
    *,
    at_most: bool,
    name: str,
) -> list[str]:
    said: list[str] = []
    if days is not None and days >= 0.5 and units_write and budget.a_day is not None:
        said.append(
            f"{name} allows {budget.daily:,} units a day, of which the sync may use {budget.a_day:,}: writing to "
            f"{contacts:,} contacts takes {'up to ' if at_most else ''}{_about(days)}. Referrers and links are there "
            "long before; it goes on by itself, and signups come first."
        )
    elif days is not None and days >= 0.5 and budget.a_day is not None:
        said.append(f"By {name}'s daily budget, reading the contacts takes {_about(days)}; it goes on by itself.")
    if contacts is not None:
        said.append(f"There are {'at most ' if at_most else ''}{contacts:,} contacts.")
    else:
        said.append(f"{name} does not say how many contacts there are.")
    said.append("Contacts are not notified.")
    return said


def _about(days: float) -> str:
    return f"about {math.ceil(days)} day{'s' if math.ceil(days) > 1 else ''}"
