"""Rewards that are owed to referrers."""

from collections.abc import Collection, Sequence
from datetime import datetime
from decimal import Decimal

import msgspec
from sqlalchemy import bindparam, select, update

from gateway.storage.columns import new_id
from gateway.storage.engine import AsyncConnection, among, insert
from gateway.storage.tables import rewards
from gateway_schemas.campaign import RewardRule, RewardState


class RewardRow(msgspec.Struct, frozen=True, kw_only=True):
    """A reward as it stands.

    Attributes:
        rule: The campaign's rule as it was when the reward arose.
        cause: ``qualification``, or ``sale:{id}``; a referral has at most one reward of a rule and cause.
        sale_id: The sale that its amount is a share of.
        due_at: When the hold period ends.
        reason: Why it was cancelled (``reversed``, ``refunded``), or what was said when it was decided.
    """

    id: str
    account_id: str
    campaign_id: str
    referrer_id: str
    referred_id: str
    rule_key: str
    rule: RewardRule
    cause: str
    state: RewardState
    held_reason: str | None
    amount: Decimal | None
    currency: str | None
    sale_id: str | None
    due_at: datetime | None
    reason: str | None
    created_at: datetime
    updated_at: datetime


_COLUMNS = [rewards.c[name] for name in RewardRow.__struct_fields__]
_CHANGED = ("state", "held_reason", "amount", "currency", "sale_id", "due_at", "reason", "updated_at")


def new_reward_id() -> str:
    """Return an id for a reward."""
    return new_id("rew")


async def get(conn: AsyncConnection, reward_id: str) -> RewardRow | None:
    """Return one reward."""
    row = (await conn.execute(select(*_COLUMNS).where(rewards.c.id == reward_id))).one_or_none()
    return None if row is None else _row(row._asdict())


async def lock(conn: AsyncConnection, reward_id: str) -> RewardRow | None:
    """Return one reward, unchanged by others until the commit."""
    row = (await conn.execute(select(*_COLUMNS).where(rewards.c.id == reward_id).with_for_update())).one_or_none()
    return None if row is None else _row(row._asdict())


async def of_people(
    conn: AsyncConnection, referred_ids: Collection[str], *, locked: bool = False
) -> dict[str, list[RewardRow]]:
    """Return the rewards that arose from referrals, by referred person, oldest first.

    Args:
        conn: The writer's connection where they are to be locked.
        referred_ids: The referred people.
        locked: Nobody else changes them until the commit.
    """
    statement = select(*_COLUMNS).where(among(conn, rewards.c.referred_id, referred_ids)).order_by(rewards.c.id)
    if locked:
        statement = statement.with_for_update()
    found: dict[str, list[RewardRow]] = {}
    for row in await conn.execute(statement):
        reward = _row(row._asdict())
        found.setdefault(reward.referred_id, []).append(reward)
    return found


async def search(
    conn: AsyncConnection,
    account_id: str,
    *,
    campaign: str | None = None,
    state: str | None = None,
    referrer: str | None = None,
    referred: str | None = None,
    after: str | None = None,
    limit: int = 50,
) -> list[RewardRow]:
    """Return one page of an account's rewards, newest first, those older than the id ``after``."""
    statement = select(*_COLUMNS).where(rewards.c.account_id == account_id)
    if campaign is not None:
        statement = statement.where(rewards.c.campaign_id == campaign)
    if state is not None:
        statement = statement.where(rewards.c.state == state)
    if referrer is not None:
        statement = statement.where(rewards.c.referrer_id == referrer)
    if referred is not None:
        statement = statement.where(rewards.c.referred_id == referred)
    if after is not None:
        statement = statement.where(rewards.c.id < after)
    return [_row(row._asdict()) for row in await conn.execute(statement.order_by(rewards.c.id.desc()).limit(limit))]


async def held_until(conn: AsyncConnection, now: datetime, limit: int) -> list[RewardRow]:
    """Return rewards whose hold period has ended, those that waited longest first; locked until the commit."""
    statement = (
        select(*_COLUMNS)
        .where(
            rewards.c.state == "held",
            rewards.c.due_at.is_not(None),
            rewards.c.due_at <= now,
            rewards.c.held_reason == "hold_period",
        )
        .order_by(rewards.c.due_at, rewards.c.id)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    return [_row(row._asdict()) for row in await conn.execute(statement)]


async def add(conn: AsyncConnection, new: Sequence[RewardRow]) -> set[str]:
    """Store rewards once each referral, rule and cause; return the ids of those that are new."""
    if not new:
        return set()
    added = await conn.execute(
        insert(conn, rewards).on_conflict_do_nothing().returning(rewards.c.id),
        [msgspec.structs.asdict(row) for row in new],
    )
    return set(added.scalars())


async def change(conn: AsyncConnection, changed: Sequence[RewardRow]) -> None:
    """Write what became of rewards; issued ones never change again."""
    if changed:
        await conn.execute(
            update(rewards)
            .where(rewards.c.id == bindparam("reward"), rewards.c.state != "issued")
            .values({name: bindparam(f"b_{name}", type_=rewards.c[name].type) for name in _CHANGED}),
            [
                {"reward": row.id, **{f"b_{name}": getattr(row, name) for name in _CHANGED}}
                for row in sorted(changed, key=lambda one: one.id)
            ],
        )


def _row(values: dict[str, object]) -> RewardRow:
    rule = msgspec.convert(values.pop("rule"), RewardRule)
    return RewardRow(rule=rule, **values)  # type: ignore[arg-type]  # the columns bear the fields' names
