"""The triggers of the app: which events each listens to, and with which filters. Pure."""

from collections.abc import Sequence
from typing import Any

import msgspec


class Trigger(msgspec.Struct, frozen=True, kw_only=True):
    """A trigger that a Zap can begin with.

    Attributes:
        events: Event types of the gateway.
        filters: Keys of the event's data and the values that they must have; null stands for data without the key.
        whole_account: Some of its events belong to no campaign; a choice of campaign does not hide those.
        imported: Events that are added where the Zap asks for people who came by a contact sync too.
    """

    events: Sequence[str]
    filters: dict[str, Any] = {}
    whole_account: bool = False
    imported: Sequence[str] = ()


TRIGGERS: dict[str, Trigger] = {
    "new_referrer": Trigger(
        events=("signup.accepted",), filters={"role": ["referrer", None]}, imported=("contacts.imported",)
    ),
    "new_lead": Trigger(events=("signup.accepted",), filters={"role": "referred"}),
    "lead_qualified": Trigger(events=("referral.qualified",)),
    "lead_unqualified": Trigger(events=("referral.disqualified",)),
    "sale_recorded": Trigger(events=("sale.recorded",)),
    "reward_due": Trigger(events=("reward.due",)),
    "reward_issued": Trigger(events=("reward.issued",)),
    "referrer_stats_updated": Trigger(events=("referrer.stats_updated",)),
    "sync_problem": Trigger(
        events=("signup.refused", "connection.needs_reauth", "setup.needs_attention", "sync.failed"),
        whole_account=True,
    ),
}
"""Trigger key → what it listens to. Keys are promises to every Zap: add, never rename."""


def subscription(
    trigger: Trigger, campaign: str | None, *, include_synced: bool = False
) -> tuple[list[str], dict[str, Any]]:
    """Return the event types and filters of a subscription.

    Args:
        trigger: What a Zap begins with.
        campaign: Only this campaign; null: all of them.
        include_synced: People who came by a contact sync count too.
    """
    events = [*trigger.events, *(trigger.imported if include_synced else ())]
    filters = dict(trigger.filters)
    if campaign is not None:
        filters["campaign"] = [campaign, None] if trigger.whole_account else campaign
    return events, filters
