"""Rewards: what a qualified referral owes its referrer, from the hold period to the host's word that it was paid.

Paying is the host's business: we say ``reward.due``, the host says *issued* or *cancelled*.
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime

import msgspec

from gateway.errors import Refused, not_found
from gateway.flows import settlement
from gateway.flows.publishing import NewEvent, publish
from gateway.flows.services import Services
from gateway.flows.settlement import Settled, Standing
from gateway.storage import accounts, campaigns, rewards, sales, timeline
from gateway.storage.engine import AsyncConnection
from gateway.storage.people import PersonRow
from gateway.storage.rewards import RewardRow
from gateway.storage.running import Done, Handler, Outcome, Periodic, TaskRun
from gateway.storage.sales import SaleRow
from gateway.storage.tasks import NewTask, Task, insert_tasks
from gateway.storage.timeline import NewEntry
from gateway_schemas.base import Money, Page
from gateway_schemas.campaign import Reward
from gateway_schemas.event_data import RewardData
from gateway_schemas.events import EventType

BATCH = 500
"""Rewards that become due in one transaction."""

EVERY_SECONDS = 60.0

EVENTS: dict[str, EventType] = {"due": "reward.due", "issued": "reward.issued", "cancelled": "reward.cancelled"}


# --- what a referral owes (inside the transaction that changed it) -----------------------------------


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
    await timeline.add(conn, entries + [entry for one in settled if (entry := _entry(one))], now)
    return [_event(one.new, one.became, references) for one in settled if one.became]


def _entry(one: Settled) -> NewEntry | None:
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


def _event(reward: RewardRow, verb: str | None, references: Mapping[str, SaleRow]) -> NewEvent:
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


# --- the end of the hold period ---------------------------------------------------------------------


class BecomeDue:
    """Makes rewards due whose hold period has ended."""

    async def run(self, run: TaskRun) -> Outcome:
        """Do one batch; another task follows while there may be more."""
        now = run.now()

        async def apply(conn: AsyncConnection) -> None:
            ended = await rewards.held_until(conn, now, BATCH)
            due = [
                Settled(old=row, new=msgspec.structs.replace(row, state="due", held_reason=None, updated_at=now))
                for row in ended
            ]
            await rewards.change(conn, [one.new for one in due])
            references = await sales.by_ids(conn, sorted({row.sale_id for row in ended if row.sale_id}))
            await timeline.add(conn, [entry for one in due if (entry := _entry(one))], now)
            await publish(conn, [_event(one.new, "due", references) for one in due], now)
            if len(ended) == BATCH:
                await insert_tasks(conn, [_due_task()], now)

        return Done(apply)

    async def failed(self, conn: AsyncConnection, task: Task, error: str, now: datetime) -> None:
        """Leave it to the next period."""


def _due_task() -> NewTask:
    return NewTask(kind="rewards_due", args={}, lane="internal", priority=1, unique_key="rewards_due")


def handlers(services: Services) -> dict[str, Handler]:
    """Return the handlers of this flow's tasks."""
    return {"rewards_due": BecomeDue()}


def periodic(services: Services) -> list[Periodic]:
    """Return this flow's periodic work."""

    async def make_tasks(conn: AsyncConnection, now: datetime) -> None:
        await insert_tasks(conn, [_due_task()], now)

    return [Periodic("rewards_due", EVERY_SECONDS, make_tasks)]


# --- the host's word --------------------------------------------------------------------------------


async def owner_of(services: Services, reward_id: str) -> str:
    """Return the account of a reward.

    Raises:
        Refused: ``not_found``.
    """
    async with services.database.read() as conn:
        row = await rewards.get(conn, reward_id)
    if row is None:
        raise not_found("reward", reward_id)
    return row.account_id


async def mark_reward_issued(
    services: Services, account_id: str, reward_id: str, *, reason: str | None = None
) -> Reward:
    """Note that a due reward was paid; saying it again changes nothing.

    Raises:
        Refused: ``not_found``; ``wrong_state`` when it is held or cancelled.
    """
    return await _decide(services, account_id, reward_id, "issued", reason)


async def cancel_reward(services: Services, account_id: str, reward_id: str, *, reason: str | None = None) -> Reward:
    """Note that a held or due reward will not be paid; saying it again changes nothing.

    Raises:
        Refused: ``not_found``; ``wrong_state`` when it was issued.
    """
    return await _decide(services, account_id, reward_id, "cancelled", reason)


async def _decide(services: Services, account_id: str, reward_id: str, verb: str, reason: str | None) -> Reward:
    now = services.clock.now()
    before = ("due",) if verb == "issued" else ("held", "due")

    async def write(conn: AsyncConnection) -> Reward:
        row = await rewards.lock(conn, reward_id)
        if row is None or row.account_id != account_id:
            raise not_found("reward", reward_id)
        references = await sales.by_ids(conn, [row.sale_id] if row.sale_id else [])
        if row.state == verb:
            return as_reward(row, references)
        if row.state not in before:
            held = f" ({row.held_reason})" if row.held_reason else ""
            raise Refused(
                "wrong_state", f"The reward is {row.state}{held}; only one that is {' or '.join(before)} can be {verb}."
            )
        words = (reason or "").strip() or None
        new = msgspec.structs.replace(
            row, state=verb, held_reason=None, reason=words or f"{verb} by the host", updated_at=now
        )
        await rewards.change(conn, [new])
        text = f"Reward {verb}{': ' + words if words else ' by the host'}."
        await timeline.add(
            conn, [NewEntry(row.referred_id, account_id, f"reward.{verb}", text, {"reward": row.id})], now
        )
        await publish(conn, [_event(new, verb, references)], now)
        return as_reward(new, references)

    return await services.database.writer.run(write)


# --- reading ----------------------------------------------------------------------------------------


async def find_rewards(
    services: Services, account_id: str, *, state: str | None = None, after: str | None = None, limit: int = 50
) -> Page[Reward]:
    """Return an account's rewards, newest first."""
    async with services.database.read() as conn:
        rows = await rewards.search(conn, account_id, state=state, after=after, limit=limit + 1)
        references = await sales.by_ids(conn, sorted({row.sale_id for row in rows if row.sale_id}))
    shown = rows[:limit]
    return Page(data=[as_reward(row, references) for row in shown], next=shown[-1].id if len(rows) > limit else None)


def as_reward(row: RewardRow, references: Mapping[str, SaleRow]) -> Reward:
    """Return a reward as the API shows it."""
    sale = references.get(row.sale_id or "")
    amount = (
        Money(amount=row.amount, currency=row.currency) if row.amount is not None and row.currency is not None else None
    )
    return Reward(
        id=row.id,
        account=row.account_id,
        campaign=row.campaign_id,
        referrer=row.referrer_id,
        referred=row.referred_id,
        rule=row.rule_key,
        state=row.state,
        held_reason=row.held_reason,
        amount=amount,
        sale_reference=sale.external_reference if sale is not None else None,
        due_at=row.due_at,
        created_at=row.created_at,
        updated_at=row.updated_at,
    )
