"""What referrals owe: bring rewards in line with state and sales, inside the transaction that changed them."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime

from gateway.flows.notify.publishing import NewEvent
from gateway.flows.rewards import settlement
from gateway.flows.rewards.settlement import Settled, Standing
from gateway.storage import accounts, campaigns, rewards, sales, timeline
from gateway.storage.engine import AsyncConnection
from gateway.storage.people import PersonRow
from gateway.storage.rewards import RewardRow
from gateway.storage.sales import SaleRow
from gateway.storage.timeline import NewEntry
from gateway_schemas.event_data import RewardData
from gateway_schemas.events import EventType

EVENTS: dict[str, EventType] = {"due": "reward.due", "issued": "reward.issued", "cancelled": "reward.cancelled"}


async def reconcile(
    conn: AsyncConnection, people: Sequence[PersonRow], fresh: Mapping[str, Collection[str]], now: datetime
) -> list[NewEvent]:
    """Bring the rewards of referrals in line with their state and sales; return the events to be published.

    Args:
        conn: The writer's connection.
        people: Referred persons as they are now, locked; all of one account.
        fresh: By person, the causes that arise now (``settlement.QUALIFICATION``, ``settlement.sale_cause``).
        now: The time.
    """
    people = [person for person in people if not person.test]
    if not people:
        return []
    ids = [person.id for person in people]
    account_id = people[0].account_id
    account = await accounts.get(conn, account_id)
    of_campaigns = await campaigns.by_ids(conn, account_id, sorted({person.campaign_id for person in people}))
    of_sales = await sales.of_people(conn, ids)
    existing = await rewards.of_people(conn, ids, locked=True)
    entries: list[NewEntry] = []
    settled: list[Settled] = []
    for person in people:
        campaign = of_campaigns.get(person.campaign_id)
        rules = campaign.rewards if campaign is not None else []
        causes = fresh.get(person.id, ())
        if rules and causes and person.referrer_id is None and person.state == "qualified":
            entries.append(
                NewEntry(person.id, account_id, "reward.none", "No reward: nobody is named as the referrer.")
            )
        standing = Standing(
            person_id=person.id,
            account_id=account_id,
            campaign_id=person.campaign_id,
            referrer_id=person.referrer_id,
            qualified_at=(person.qualified_at or now) if person.state == "qualified" else None,
            currency=account.currency if account is not None else "USD",
        )
        settled += settlement.settle(
            standing, rules, of_sales.get(person.id, []), existing.get(person.id, []), causes, now
        )
    added = await rewards.add(conn, [one.new for one in settled if one.old is None])
    settled = [one for one in settled if one.old is not None or one.new.id in added]
    await rewards.change(conn, [one.new for one in settled if one.old is not None])
    references = {sale.id: sale for some in of_sales.values() for sale in some}
    await timeline.add(conn, entries + [entry for one in settled if (entry := entry_of(one))], now)
    return [event_of(one.new, one.became, references) for one in settled if one.became]


def entry_of(one: Settled) -> NewEntry | None:
    """Return what the timeline says of a reward that is new or changed, if anything."""
    new, data = one.new, {"reward": one.new.id, "rule": one.new.rule_key}
    amount = f"{new.amount} {new.currency}" if new.amount is not None else "an amount that is not known yet"
    if one.became == "due":
        text = f"Reward of {amount} is due to the referrer."
    elif one.became == "cancelled":
        text = f"Reward cancelled: {new.reason}."
    elif new.state == "held" and (
        one.old is None or one.old.held_reason != new.held_reason or one.old.amount != new.amount
    ):
        waits = {
            "hold_period": f"until {new.due_at:%Y-%m-%d %H:%M} UTC" if new.due_at else "",
            "awaiting_sale": "until a sale value is known",
            "currency_mismatch": "since the sale is not in the currency of the cap",
        }
        return NewEntry(
            new.referred_id,
            new.account_id,
            "reward.held",
            f"Reward of {amount} is held {waits.get(new.held_reason or '', '')}.",
            data,
        )
    else:
        return None
    return NewEntry(new.referred_id, new.account_id, f"reward.{one.became}", text, data)


def event_of(reward: RewardRow, verb: str | None, references: Mapping[str, SaleRow]) -> NewEvent:
    """Return ``reward.due``, ``reward.issued`` or ``reward.cancelled``."""
    sale = references.get(reward.sale_id or "")
    data = RewardData(
        reward=reward.id,
        rule=reward.rule_key,
        referrer=reward.referrer_id,
        referred=reward.referred_id,
        campaign=reward.campaign_id,
        amount=reward.amount,
        currency=reward.currency,
        state=reward.state,
        sale_reference=sale.external_reference if sale is not None else None,
        reason=reward.reason,
    )
    return NewEvent(EVENTS[verb or ""], reward.account_id, reward.referrer_id, data)
