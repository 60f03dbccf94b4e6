"""Work out which rewards a referral owes, from its rules and sales: pure, and the same however often it is repeated.

``held → due → issued | cancelled``. What is issued never changes; what is not follows the newest sale value, refunds
and the state of the referral. A referral has at most one reward of a rule and cause, so nothing is rewarded twice.
"""

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime, timedelta
from decimal import Decimal

import msgspec

from gateway.flows.rewards.money import plain
from gateway.sdk.money import rounded
from gateway.storage.rewards import RewardRow, new_reward_id
from gateway.storage.sales import SaleRow
from gateway_schemas.base import Money
from gateway_schemas.campaign import RewardRule

QUALIFICATION = "qualification"
REVERSED = "the referral does not count any more"
REFUNDED = "the sale was refunded"


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """What rewards of one referral depend on.

    Attributes:
        referrer_id: Who is rewarded; null: nobody is.
        qualified_at: When it qualified; null while it is not qualified.
        currency: The account's, where a rule names none.
    """

    person_id: str
    account_id: str
    campaign_id: str
    referrer_id: str | None
    qualified_at: datetime | None
    currency: str


class Settled(msgspec.Struct, frozen=True, kw_only=True):
    """A reward that is new (``old`` null) or changed."""

    old: RewardRow | None
    new: RewardRow

    @property
    def became(self) -> str | None:
        """Return the event's verb: ``due`` (also with another amount), ``cancelled``, or null."""
        if self.new.state == "due" and (
            self.old is None or (self.old.state, self.old.amount) != ("due", self.new.amount)
        ):
            return "due"
        if self.new.state == "cancelled" and (self.old is None or self.old.state != "cancelled"):
            return "cancelled"
        return None


def sale_cause(sale_id: str) -> str:
    """Return the cause of a reward that a sale brings."""
    return f"sale:{sale_id}"


def all_causes(sales: Iterable[SaleRow]) -> set[str]:
    """Return every cause for which a referral that qualifies now is rewarded."""
    return {QUALIFICATION, *(sale_cause(sale.id) for sale in sales if sale.amount > 0)}


def settle(
    standing: Standing,
    rules: Sequence[RewardRule],
    sales: Sequence[SaleRow],
    existing: Sequence[RewardRow],
    fresh: Collection[str],
    now: datetime,
) -> list[Settled]:
    """Return the rewards that are new or change.

    Args:
        standing: The referral.
        rules: The campaign's rules, for rewards that arise now; those that exist keep theirs.
        sales: All sales of the referral, refunds included.
        existing: All its rewards.
        fresh: Causes that arise now; a rule that was added later does not reward what happened before.
        now: The time.
    """
    settled = []
    known = {(reward.rule_key, reward.cause): reward for reward in existing}
    for reward in existing:
        new = _again(standing, reward, sales, existing, fresh, now)
        if msgspec.structs.replace(new, updated_at=reward.updated_at) != reward:
            settled.append(Settled(old=reward, new=new))
    if standing.qualified_at is None or standing.referrer_id is None:
        return settled
    for rule in rules:
        causes = [one for one in sorted(fresh) if (one == QUALIFICATION) == (rule.on == "qualification")]
        arising = [one for one in causes if (rule.key, one) not in known]
        settled += [Settled(old=None, new=_new(standing, rule, one, sales, existing, now)) for one in arising]
    return settled


def remaining(sales: Sequence[SaleRow], issued: Collection[str] = ()) -> dict[str, Decimal]:
    """Return what is left of each sale after refunds of its currency, taken from the newest sales first.

    Args:
        sales: Sales and refunds, in any order.
        issued: Sales whose reward is issued: refunds pass them by.
    """
    left = {sale.id: sale.amount for sale in sales if sale.amount > 0}
    newest = sorted((sale for sale in sales if sale.id in left), key=_age, reverse=True)
    refunds: dict[str, Decimal] = {}
    for sale in sales:
        if sale.amount < 0:
            refunds[sale.currency] = refunds.get(sale.currency, Decimal(0)) - sale.amount
    for sale in newest:
        if sale.id not in issued:
            taken = min(left[sale.id], refunds.get(sale.currency, Decimal(0)))
            left[sale.id] -= taken
            if taken:
                refunds[sale.currency] -= taken
    return left


def _age(sale: SaleRow) -> tuple[datetime, str]:
    return (sale.occurred_at, sale.id)


def _new(
    standing: Standing,
    rule: RewardRule,
    cause: str,
    sales: Sequence[SaleRow],
    existing: Sequence[RewardRow],
    now: datetime,
) -> RewardRow:
    assert standing.referrer_id is not None
    blank = RewardRow(
        id=new_reward_id(),
        account_id=standing.account_id,
        campaign_id=standing.campaign_id,
        referrer_id=standing.referrer_id,
        referred_id=standing.person_id,
        rule_key=rule.key,
        rule=rule,
        cause=cause,
        state="held",
        held_reason=None,
        amount=None,
        currency=None,
        sale_id=None,
        due_at=None,
        reason=None,
        created_at=now,
        updated_at=now,
    )
    return _valued(standing, blank, sales, existing, now)


def _again(
    standing: Standing,
    reward: RewardRow,
    sales: Sequence[SaleRow],
    existing: Sequence[RewardRow],
    fresh: Collection[str],
    now: datetime,
) -> RewardRow:
    """Return what becomes of a reward that exists."""
    if reward.state == "issued":
        return reward
    if standing.qualified_at is None:
        if reward.state == "cancelled":
            return reward
        return msgspec.structs.replace(reward, state="cancelled", held_reason=None, reason=REVERSED, updated_at=now)
    if reward.state == "cancelled":
        if reward.reason != REVERSED or reward.cause not in fresh:
            return reward
        reward = msgspec.structs.replace(reward, state="held", reason=None, due_at=None)  # qualified again
    return _valued(standing, reward, sales, existing, now)


def _valued(
    standing: Standing, reward: RewardRow, sales: Sequence[SaleRow], existing: Sequence[RewardRow], now: datetime
) -> RewardRow:
    """Return the reward with its amount and state by the sales as they are now."""
    rule = reward.rule
    assert standing.qualified_at is not None
    sale = _sale_of(reward, sales)
    since = (
        standing.qualified_at
        if sale is None or reward.cause == QUALIFICATION
        else max(sale.occurred_at, standing.qualified_at)
    )
    due_at = reward.due_at or since + timedelta(days=rule.hold_days)
    issued = {one.sale_id for one in existing if one.rule_key == rule.key and one.state == "issued" and one.sale_id}
    left = remaining(sales, issued if rule.on == "sale" else ())
    refunded = sale is not None and left[sale.id] == 0
    if rule.kind == "fixed" and rule.on == "qualification":
        refunded = bool(left) and not any(left.values())
    if refunded:
        return msgspec.structs.replace(
            reward, state="cancelled", held_reason=None, reason=REFUNDED, due_at=due_at, updated_at=now
        )
    held, amount = _amount(rule, sale, left, standing.currency)
    if held is None and due_at > now and reward.state != "due":
        held = "hold_period"
    return msgspec.structs.replace(
        reward,
        state="due" if held is None else "held",
        held_reason=held,
        amount=None if amount is None else amount.amount,
        currency=None if amount is None else amount.currency,
        sale_id=None if sale is None else sale.id,
        due_at=due_at,
        updated_at=now,
    )


def _sale_of(reward: RewardRow, sales: Sequence[SaleRow]) -> SaleRow | None:
    """Return the sale that the reward is about: for one on qualification the first sale, which it then keeps."""
    positive = {sale.id: sale for sale in sales if sale.amount > 0}
    if reward.cause != QUALIFICATION:
        return positive.get(reward.cause.removeprefix("sale:"))
    if reward.rule.kind == "fixed":
        return None
    if reward.sale_id is not None and reward.sale_id in positive:
        return positive[reward.sale_id]
    return min(positive.values(), key=lambda sale: (sale.origin != "crm", *_age(sale)), default=None)


def _amount(
    rule: RewardRule, sale: SaleRow | None, left: dict[str, Decimal], account_currency: str
) -> tuple[str | None, Money | None]:
    """Return why the amount is not known, or the amount."""
    currency = rule.currency or account_currency
    if rule.kind == "fixed":
        return None, Money(amount=rounded(rule.amount or Decimal(0), currency), currency=currency)
    if sale is None:
        return "awaiting_sale", None
    if rule.cap is not None and sale.currency != currency:
        return "currency_mismatch", None
    share = left[sale.id] * (rule.percent or Decimal(0)) / 100
    if rule.cap is not None:
        share = min(share, rule.cap)
    return None, Money(amount=plain(rounded(share, sale.currency)), currency=sale.currency)
