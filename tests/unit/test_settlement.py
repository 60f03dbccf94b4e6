"""What a referral owes: the same however often it is worked out, and nothing twice."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.flows.rewards.settlement import (
    QUALIFICATION,
    REFUNDED,
    REVERSED,
    Standing,
    all_causes,
    remaining,
    sale_cause,
    settle,
)
from gateway.storage.sales import SaleRow
from gateway_schemas.campaign import RewardRule

NOW = datetime(2026, 3, 1, tzinfo=UTC)
FIXED = RewardRule(key="fixed", kind="fixed", amount=Decimal(50), currency="EUR")
TENTH = RewardRule(key="tenth", kind="percentage", percent=Decimal(10))
EACH = RewardRule(key="each", on="sale", kind="percentage", percent=Decimal(5))


def standing(**changes):
    values = {
        "person_id": "per_1",
        "account_id": "acme",
        "campaign_id": "spring",
        "referrer_id": "per_r",
        "qualified_at": NOW,
        "currency": "EUR",
    }
    return Standing(**{**values, **changes})


def sale(identifier, amount, currency="EUR", days=0, origin="host"):
    when = NOW + timedelta(days=days)
    return SaleRow(
        id=identifier,
        account_id="acme",
        campaign_id="spring",
        person_id="per_1",
        amount=Decimal(amount),
        currency=currency,
        external_reference=identifier,
        origin=origin,
        occurred_at=when,
        updated_at=when,
    )


def first(rules, sales=(), now=NOW, **changes):
    return [one.new for one in settle(standing(**changes), rules, sales, [], all_causes(sales), now)]


def then(existing, sales=(), now=NOW, fresh=(), rules=(), **changes):
    """Settle again and return all rewards as they are then, and what became of the changed ones."""
    settled = settle(standing(**changes), rules, sales, existing, fresh, now)
    changed = {one.new.id: one.new for one in settled}
    return [changed.pop(row.id, row) for row in existing] + list(changed.values()), [one.became for one in settled]


def test_a_fixed_reward_without_a_hold_period_is_due_at_once():
    (reward,) = first([FIXED])
    assert (reward.state, reward.amount, reward.currency, reward.cause) == (
        "due",
        Decimal("50.00"),
        "EUR",
        QUALIFICATION,
    )


def test_a_hold_period_holds():
    (reward,) = first([msgspec.structs.replace(FIXED, hold_days=14)])
    assert (reward.state, reward.held_reason, reward.due_at) == ("held", "hold_period", NOW + timedelta(days=14))


def test_a_percentage_waits_for_a_sale_and_takes_its_share():
    (waiting,) = first([TENTH])
    assert (waiting.state, waiting.held_reason, waiting.amount) == ("held", "awaiting_sale", None)
    (due,), became = then([waiting], [sale("s1", "99.95")])
    assert (due.state, due.amount, due.sale_id) == ("due", Decimal("10.00"), "s1")  # 9.995 to even
    assert became == ["due"]
    (same,), became = then([due], [sale("s1", "99.95"), sale("s2", "10", days=1)])
    assert (same, became) == (due, [])


def test_a_cap_bounds_and_another_currency_is_held():
    capped = msgspec.structs.replace(TENTH, cap=Decimal(5), currency="EUR")
    assert first([capped], [sale("s1", "1000")])[0].amount == Decimal("5.00")
    (held,) = first([capped], [sale("s1", "1000", "USD")])
    assert (held.state, held.held_reason, held.amount) == ("held", "currency_mismatch", None)
    assert first([TENTH], [sale("s1", "1000", "JPY")])[0].amount == Decimal(100)


def test_every_sale_is_rewarded_once():
    sales = [sale("s1", "100"), sale("s2", "200", days=1)]
    rewards = first([EACH], sales)
    assert {(one.cause, one.amount) for one in rewards} == {
        (sale_cause("s1"), Decimal("5.00")),
        (sale_cause("s2"), Decimal("10.00")),
    }
    again, became = then(rewards, sales, fresh=all_causes(sales), rules=[EACH])
    assert (again, became) == (rewards, [])


def test_a_rule_added_later_does_not_reward_what_happened_before():
    rewards = first([FIXED], [sale("s1", "100")])
    again, _ = then(rewards, [sale("s1", "100"), sale("s2", "60")], rules=[FIXED, EACH], fresh=[sale_cause("s2")])
    assert {(one.rule_key, one.cause) for one in again} == {("fixed", QUALIFICATION), ("each", sale_cause("s2"))}


def test_an_existing_reward_keeps_its_rule():
    (reward,) = first([TENTH], [sale("s1", "100")])
    (again,), _ = then([reward], [sale("s1", "200")], rules=[msgspec.structs.replace(TENTH, percent=Decimal(50))])
    assert again.amount == Decimal("20.00")


@pytest.mark.parametrize(
    ("refund", "states", "amounts"),
    [
        ("-40", ["due", "due"], ["5.00", "8.00"]),
        ("-250", ["due", "cancelled"], ["2.50", "10.00"]),
        ("-300", ["cancelled", "cancelled"], ["5.00", "10.00"]),
    ],
)
def test_refunds_reduce_the_newest_sales_first(refund, states, amounts):
    sales = [sale("s1", "100"), sale("s2", "200", days=1)]
    rewards = sorted(first([EACH], sales, now=NOW + timedelta(days=2)), key=lambda one: one.cause)
    again, _ = then(rewards, [*sales, sale("r1", refund, days=2)], now=NOW + timedelta(days=2))
    assert [one.state for one in again] == states
    assert [str(one.amount) for one in again] == amounts
    assert all(one.reason == REFUNDED for one in again if one.state == "cancelled")


def test_a_refund_passes_an_issued_reward_by():
    sales = [sale("s1", "100"), sale("s2", "200", days=1)]
    one, two = sorted(first([EACH], sales, now=NOW + timedelta(days=2)), key=lambda reward: reward.cause)
    two = msgspec.structs.replace(two, state="issued")
    again, _ = then([one, two], [*sales, sale("r1", "-40", days=2)], now=NOW + timedelta(days=2))
    assert [(reward.state, str(reward.amount)) for reward in again] == [("due", "3.00"), ("issued", "10.00")]


def test_a_refund_in_another_currency_reduces_nothing():
    assert remaining([sale("s1", "100"), sale("r1", "-100", "USD")]) == {"s1": Decimal(100)}


def test_a_whole_refund_cancels_a_fixed_reward():
    (reward,) = first([FIXED], [sale("s1", "100")])
    (part,), _ = then([reward], [sale("s1", "100"), sale("r1", "-99")])
    assert part.state == "due"
    (gone,), became = then([reward], [sale("s1", "100"), sale("r1", "-100")])
    assert (gone.state, became) == ("cancelled", ["cancelled"])


def test_a_reversal_cancels_what_is_not_issued_and_qualifying_again_brings_it_back():
    paid, open_one = first([FIXED, TENTH], [sale("s1", "100")])
    paid = msgspec.structs.replace(paid, state="issued")
    (still, cancelled), became = then([paid, open_one], [sale("s1", "100")], qualified_at=None)
    assert (still.state, cancelled.state, cancelled.reason, became) == ("issued", "cancelled", REVERSED, ["cancelled"])
    later = NOW + timedelta(days=3)
    (_, back), became = then(
        [still, cancelled], [sale("s1", "100")], now=later, fresh=[QUALIFICATION], qualified_at=later
    )
    assert (back.id, back.state, became) == (open_one.id, "due", ["due"])


def test_what_the_host_cancelled_stays_cancelled():
    (reward,) = first([FIXED])
    cancelled = msgspec.structs.replace(reward, state="cancelled", reason="fraud")
    again, became = then([cancelled], fresh=[QUALIFICATION])
    assert (again, became) == ([cancelled], [])


@pytest.mark.parametrize("changes", [{"referrer_id": None}, {"qualified_at": None}])
def test_without_a_referrer_or_a_qualification_nothing_is_owed(changes):
    assert first([FIXED, TENTH, EACH], [sale("s1", "100")], **changes) == []


SALES = st.lists(
    st.tuples(
        st.sampled_from(["10", "99.95", "200", "-5", "-40", "-1000"]),
        st.sampled_from(["EUR", "USD"]),
        st.integers(0, 9),
    ),
    max_size=6,
).map(lambda some: [sale(f"s{index}", amount, currency, days) for index, (amount, currency, days) in enumerate(some)])


@given(SALES, st.permutations([FIXED, TENTH, EACH]), st.data())
def test_settling_again_and_in_any_order_changes_nothing(sales, rules, data):
    now = NOW + timedelta(days=10)
    rewards = first([FIXED, TENTH, EACH], sales, now=now)
    shuffled = data.draw(st.permutations(sales))
    again, became = then(rewards, shuffled, now=now, fresh=all_causes(sales), rules=rules)
    assert (again, became) == (rewards, [])
    assert all(amount >= 0 for amount in remaining(shuffled).values())
