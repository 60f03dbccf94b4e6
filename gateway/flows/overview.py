"""Numbers at a glance for people: what a campaign has, what happened day by day, and what is parked and why."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import msgspec

from gateway.flows.campaigns.campaign import check_task
from gateway.flows.services import Services
from gateway.storage import accounts, campaigns, connections, overview
from gateway.storage.campaigns import SetupRow
from gateway.storage.engine import AsyncConnection
from gateway.storage.tasks import insert_tasks


class Numbers(msgspec.Struct, frozen=True, kw_only=True):
    """People of one campaign."""

    referrers: int = 0
    referred: int = 0
    qualified: int = 0


MANY = 20_000
REMEMBER = timedelta(minutes=1)


class Counted:
    """Numbers that took long to count, by account and campaigns; they may be a minute old."""

    def __init__(self) -> None:
        self.known: dict[tuple[str, tuple[str, ...]], tuple[datetime, dict[str, Numbers]]] = {}


async def of_campaigns(services: Services, account_id: str, ids: Sequence[str]) -> dict[str, Numbers]:
    """Return how many people each of these campaigns has; of more than ``MANY`` as of the last minute."""
    known, key, now = services.memory(Counted).known, (account_id, tuple(ids)), services.clock.now()
    if key in known and now - known[key][0] < REMEMBER:
        return known[key][1]
    async with services.database.read() as conn:
        found = await overview.people_by_campaign(conn, account_id, ids)
    made: dict[str, Numbers] = {}
    for campaign, role, number, qualified in found:
        change = {"referrers": number} if role == "referrer" else {"referred": number, "qualified": qualified}
        made[campaign] = msgspec.structs.replace(made.get(campaign, Numbers()), **change)
    known.pop(key, None)
    if sum(number for _, _, number, _ in found) > MANY:
        if len(known) > 1_000:
            known.clear()
        known[key] = (now, made)
    return made


class Day(msgspec.Struct, frozen=True, kw_only=True):
    """What happened on one day of the account's time zone."""

    day: date
    signups: int
    qualified: int
    failed: int


async def by_day(services: Services, account_id: str, days: int = 30) -> list[Day]:
    """Return signups, qualified referrals and refused signups of the last days, today last.

    A signup counts as failed on the day on which it was accepted, so that the two bars of a day belong together.
    """
    async with services.database.read() as conn:
        account = await accounts.get(conn, account_id)
        zone = ZoneInfo(account.timezone if account is not None else "UTC")
        today = services.clock.now().astimezone(zone).date()
        all_days = [today - timedelta(days=back) for back in range(days - 1, -1, -1)]
        starts = [_start(one, zone) for one in (*all_days, today + timedelta(days=1))]
        found = await overview.by_day(conn, account_id, starts)
    return [
        Day(day=one, signups=signups, qualified=qualified, failed=failed)
        for one, (signups, qualified, failed) in zip(all_days, found, strict=True)
    ]


def _start(day: date, zone: ZoneInfo) -> datetime:
    return datetime.combine(day, time(), zone).astimezone(UTC)


class Parked(msgspec.Struct, frozen=True, kw_only=True):
    """Work that waits until somebody mends its cause.

    Attributes:
        number: How many tasks.
        setup: The setup to mend, where that is the cause.
    """

    cause: str
    number: int
    setup: SetupRow | None = None


class Held(msgspec.Struct, frozen=True, kw_only=True):
    """Signups that are held, by cause; they go out by themselves when it ends."""

    cause: str
    number: int


async def what_waits(services: Services, account_id: str) -> tuple[list[Parked], list[Held]]:
    """Return parked work and held signups of an account, the most first."""
    async with services.database.read() as conn:
        parked = await overview.parked(conn, account_id)
        held = await overview.held(conn, account_id)
        found = []
        for cause, number in parked:
            setup = await campaigns.setup_by_id(conn, cause.removeprefix("setup:"))
            found.append(Parked(cause=cause, number=number, setup=setup))
    return found, [Held(cause=cause, number=number) for cause, number in held]


async def compare_again(services: Services, account_id: str) -> bool:
    """Compare the account's setups with the CRM now, not tonight: what was parked goes out when all is well.

    Returns:
        Whether there is a CRM to compare with.
    """
    now = services.clock.now()

    async def write(conn: AsyncConnection) -> bool:
        row = await connections.active_crm(conn, account_id)
        if row is None:
            return False
        await insert_tasks(conn, [check_task(row.id, account_id, connections.lane(row))], now)
        return True

    return await services.database.writer.run(write)
