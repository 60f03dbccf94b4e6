"""The pull feed: all events in the order of their positions. A reader that goes on from ``next`` has missed nothing."""

from typing import Any

import msgspec

from gateway.errors import Refused, invalid
from gateway.flows.accounts import existing
from gateway.flows.notify.envelopes import as_event
from gateway.flows.services import Services
from gateway.storage import events
from gateway_schemas.events import EventFeed, FeedEvent
from gateway_schemas.problem import FieldProblem


async def read(services: Services, *, after: int, limit: int, account_id: str | None = None) -> EventFeed:
    """Return the events after a position, of one account or all.

    Args:
        services: The process's services.
        after: ``next`` of the answer before; 0 begins with the oldest event that is kept.
        limit: At most so many.
        account_id: Only this account's.

    Raises:
        Refused: ``feed_expired`` when events after the position were deleted by retention: some would be missed;
            ``not_found`` for the account; ``invalid_input`` for a position that was never given: its reader would
            wait for ever.
    """
    async with services.database.read() as conn:
        if account_id is not None:
            await existing(conn, account_id)
        # the newest place is read first: it was committed together with all places before it
        newest = await events.newest_position(conn)
        found = await events.after(conn, after, limit, until=newest, account_id=account_id)
        pruned = await events.pruned_position(conn)  # last, so that a deletion in between is noticed
    if 0 < after < pruned:
        detail = f"Events up to position {pruned} were deleted. Read the present state, then go on from after={pruned}."
        raise Refused("feed_expired", detail)
    check_given("after", after, newest)
    shown = [_with_position(row) for row in found]
    return EventFeed(data=shown, next=shown[-1].position if len(shown) == limit else max(after, newest))


def check_given(field: str, position: int, newest: int) -> None:
    """Go on if a position of the feed was given already.

    Raises:
        Refused: ``invalid_input`` naming ``field`` and the newest position.
    """
    if position > newest:
        message = f"There is no such position yet; the newest is {newest}. Go on from {field}={newest}, or from 0."
        raise invalid(FieldProblem(field=field, message=message, code="unknown_position"))


def _with_position(row: events.EventRow) -> FeedEvent:
    fields: dict[str, Any] = msgspec.structs.asdict(as_event(row))
    return FeedEvent(**fields, position=row.position or 0)
