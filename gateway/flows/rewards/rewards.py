"""Rewards: what a qualified referral owes its referrer, from the hold period to the host's word that it was paid.

Paying is the host's business: we say ``reward.due``, the host says *issued* or *cancelled*.
"""

from collections.abc import Mapping
from datetime import datetime

import msgspec

from gateway.errors import Refused, not_found
from gateway.flows.notify.publishing import publish
from gateway.flows.rewards.owing import entry_of, event_of
from gateway.flows.rewards.settlement import Settled
from gateway.flows.services import Services
from gateway.storage import rewards, sales, timeline
from gateway.storage.campaigns import mark_of
from gateway.storage.engine import AsyncConnection
from gateway.storage.rewards import RewardRow
from gateway.storage.running import Done, Handler, Outcome, Periodic, TaskRun
from gateway.storage.sales import SaleRow
from gateway.storage.tasks import NewTask, Task, insert_tasks
from gateway.storage.timeline import NewEntry
from gateway_schemas.base import Money, Page
from gateway_schemas.campaign import Reward

BATCH = 500
"""Rewards that become due in one transaction."""

EVERY_SECONDS = 60.0


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
            await timeline.add(conn, [entry for one in due if (entry := entry_of(one))], now)
            await publish(conn, [event_of(one.new, "due", references) for one in due], now)
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
    services: Services,
    account_id: str,
    reward_id: str,
    *,
    reason: str | None = None,
    by: str = "by the host",
    seen: str | None = None,
) -> Reward:
    """Note that a due reward was paid; saying it again changes nothing.

    Args:
        services: The process's services.
        account_id: Whose reward.
        reward_id: Which.
        reason: In the words of whoever says so.
        by: Who says so, where no reason is given.
        seen: Mark (``mark_of``) of the reward's amount as it was shown; null: whichever it is.

    Raises:
        Refused: ``not_found``; ``wrong_state`` when it is held or cancelled; ``changed_meanwhile``.
    """
    return await _decide(services, account_id, reward_id, "issued", reason, by, seen)


async def cancel_reward(
    services: Services, account_id: str, reward_id: str, *, reason: str | None = None, by: str = "by the host"
) -> Reward:
    """Note that a held or due reward will not be paid; saying it again changes nothing.

    Raises:
        Refused: ``not_found``; ``wrong_state`` when it was issued.
    """
    return await _decide(services, account_id, reward_id, "cancelled", reason, by, None)


async def _decide(
    services: Services, account_id: str, reward_id: str, verb: str, reason: str | None, by: str, seen: str | None
) -> Reward:
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
        if seen is not None and seen != mark_of(_amount(row)):
            raise Refused("changed_meanwhile", "The amount changed after you opened the page. Nothing was changed.")
        words = (reason or "").strip() or None
        new = msgspec.structs.replace(row, state=verb, held_reason=None, reason=words or f"{verb} {by}", updated_at=now)
        await rewards.change(conn, [new])
        if words:
            text = f"Reward cancelled: {words}." if verb == "cancelled" else f"Reward issued: {words}."
        else:
            text = f"Reward cancelled {by}." if verb == "cancelled" else f"Reward issued {by}."
        await timeline.add(
            conn, [NewEntry(row.referred_id, account_id, f"reward.{verb}", text, {"reward": row.id})], now
        )
        await publish(conn, [event_of(new, verb, references)], now)
        return as_reward(new, references)

    return await services.database.writer.run(write)


# --- reading ----------------------------------------------------------------------------------------


async def find_rewards(
    services: Services,
    account_id: str,
    *,
    campaign: str | None = None,
    state: str | None = None,
    referrer: str | None = None,
    referred: str | None = None,
    after: str | None = None,
    limit: int = 50,
) -> Page[Reward]:
    """Return an account's rewards, newest first; of one campaign, of one referrer, for one referral, or all."""
    async with services.database.read() as conn:
        rows = await rewards.search(
            conn,
            account_id,
            campaign=campaign,
            state=state,
            referrer=referrer,
            referred=referred,
            after=after,
            limit=limit + 1,
        )
        references = await sales.by_ids(conn, sorted({row.sale_id for row in rows if row.sale_id}))
    shown = rows[:limit]
    return Page(data=[as_reward(row, references) for row in shown], next=shown[-1].id if len(rows) > limit else None)


async def find(services: Services, account_id: str, reward_id: str) -> Reward:
    """Return one reward.

    Raises:
        Refused: The account has none of this id.
    """
    async with services.database.read() as conn:
        row = await rewards.get(conn, reward_id)
        if row is None or row.account_id != account_id:
            raise not_found("reward", reward_id)
        return as_reward(row, await sales.by_ids(conn, [row.sale_id] if row.sale_id else []))


def _amount(row: RewardRow) -> Money | None:
    if row.amount is None or row.currency is None:
        return None
    return Money(amount=row.amount, currency=row.currency)


def as_reward(row: RewardRow, references: Mapping[str, SaleRow]) -> Reward:
    """Return a reward as the API shows it."""
    sale = references.get(row.sale_id or "")
    return Reward(
        id=row.id,
        account=row.account_id,
        campaign=row.campaign_id,
        referrer=row.referrer_id,
        referred=row.referred_id,
        rule=row.rule_key,
        state=row.state,
        held_reason=row.held_reason,
        amount=_amount(row),
        sale_reference=sale.external_reference if sale is not None else None,
        due_at=row.due_at,
        created_at=row.created_at,
        updated_at=row.updated_at,
    )
