"""The ledger of a day: accepted = delivered + refused + held + parked + under way, or something is wrong."""

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import structlog

from gateway.errors import invalid, not_found
from gateway.flows.services import Services
from gateway.storage import accounts, ledger
from gateway_schemas.events import Ledger
from gateway_schemas.problem import FieldProblem

_log = structlog.get_logger()


async def of_day(services: Services, account_id: str | None, day: str | None) -> Ledger:
    """Return where a day's signups are.

    Args:
        services: What every flow is given.
        account_id: One account, whose time zone says when the day begins; ``None``: all accounts, in UTC.
        day: ``YYYY-MM-DD``; ``None``: today.

    Raises:
        Refused: There is no such account, or the day is none.
    """
    async with services.database.read() as conn:
        zone = ZoneInfo("UTC")
        if account_id is not None:
            account = await accounts.get(conn, account_id)
            if account is None:
                raise not_found("account", account_id)
            zone = ZoneInfo(account.timezone)
        chosen = _day(day, services.clock.now().astimezone(zone).date())
        start, end = (
            datetime.combine(one, time(), zone).astimezone(UTC) for one in (chosen, chosen + timedelta(days=1))
        )
        found = await ledger.standing(conn, start, end, account_id)
        events = await ledger.event_deliveries(conn, start, end, account_id)
    balanced = found.accepted == found.delivered + found.refused + found.held + found.parked + found.under_way
    if not balanced:
        _log.error("ledger.unbalanced", account_id=account_id, day=str(chosen), lost=found.lost)
    return Ledger(
        account=account_id,
        day=chosen.isoformat(),
        accepted=found.accepted,
        delivered=found.delivered,
        refused=found.refused,
        held=found.held,
        parked=found.parked,
        under_way=found.under_way,
        balanced=balanced,
        events=events,
    )


def _day(given: str | None, today: date) -> date:
    if given is None:
        return today
    try:
        day = date.fromisoformat(given)
        if not date(1971, 1, 1) <= day <= date(9998, 1, 1):
            raise ValueError(given)
    except ValueError as error:
        raise invalid(FieldProblem(field="day", message="Send a day as YYYY-MM-DD.")) from error
    return day
