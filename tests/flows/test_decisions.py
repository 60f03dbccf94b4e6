"""Decisions of people and the host: qualification by hand, sales, refunds, rewards."""

from datetime import timedelta
from decimal import Decimal

import pytest

from gateway_schemas.records import Fact

from .watched import watching

FIXED = {"key": "fixed", "kind": "fixed", "amount": "50", "currency": "EUR", "hold_days": 7}
TENTH = {"key": "tenth", "kind": "percentage", "percent": "10"}
EACH = {"key": "each", "on": "sale", "kind": "percentage", "percent": "5"}
PEOPLE = "/v1/accounts/acme/people"


@pytest.fixture
async def gateway(database, database_url):
    async with watching(database, database_url) as made:
        yield made


def sale(amount, reference, **changes):
    return {"amount": str(amount), "currency": "EUR", "external_reference": reference, **changes}


async def test_by_hand_qualifies_with_a_value_and_the_crm_changes_it_no_more(gateway):
    await gateway.begin(rewards=[TENTH])
    deal = gateway.crm.add("deal", 1)
    fred = await gateway.person(records=(deal,))
    body = {"qualified": True, "sale_value": {"amount": "200", "currency": "EUR"}, "reason": "Paid by bank transfer"}
    for _ in range(2):
        why = await gateway.call("POST", f"{PEOPLE}/{fred}/qualification", body)
        assert why["qualified"] is True
        assert "by hand: Paid by bank transfer" in why["note"]
    gateway.services.clock.advance(timedelta(seconds=1))
    gateway.crm.change(deal, state="lost")
    await gateway.deliver()
    person = await gateway.get(fred)
    assert (person.state, person.manual, person.sale_amount) == ("qualified", True, 200)
    assert [(one.state, str(one.amount)) for one in await gateway.rewards(fred)] == [("due", "20.00")]
    ((_, told),) = await gateway.told_host("referral.qualified")
    assert (told["manual"], told["rule"], told["reason"], told["sale_value"]) == (
        True,
        None,
        "Paid by bank transfer",
        {"amount": "200", "currency": "EUR"},
    )
    assert (await gateway.get("per_rita")).qualified == 1


async def test_by_hand_takes_back_what_the_crm_qualified_and_cancels_what_is_not_issued(gateway):
    await gateway.begin(rewards=[FIXED])
    deal = gateway.crm.add("deal", 1, state="won", facts=[Fact(name="won")])
    fred = await gateway.person(records=(deal,))
    await gateway.deliver()
    assert await gateway.states(fred) == ["qualified"]
    for _ in range(2):
        why = await gateway.call("POST", f"{PEOPLE}/{fred}/qualification", {"qualified": False, "reason": "fraud"})
        assert why["qualified"] is False
    await gateway.later(days=8)
    assert await gateway.states(fred) == ["disqualified"]
    assert [one.state for one in await gateway.rewards(fred)] == ["cancelled"]
    assert [kind for kind, _ in await gateway.told_host("referral.disqualified", "reward.cancelled", "reward.due")] == [
        "referral.disqualified",
        "reward.cancelled",
    ]
    await gateway.call("POST", f"{PEOPLE}/{fred}/qualification", {"qualified": True})
    assert [one.state for one in await gateway.rewards(fred)] == ["held"]
    assert (await gateway.get("per_rita")).qualified == 1


@pytest.mark.parametrize(
    ("person", "body", "status"),
    [
        ("per_nobody", {"qualified": True}, 404),
        ("per_rita", {"qualified": True}, 422),
        ("per_fred", {"qualified": False, "sale_value": {"amount": "1", "currency": "EUR"}}, 422),
        ("per_fred", {"qualified": True, "sale_value": {"amount": "-1", "currency": "EUR"}}, 422),
        ("per_fred", {"qualified": True, "sale_value": {"amount": "NaN", "currency": "EUR"}}, 422),
        ("per_fred", {"qualified": True, "surprise": 1}, 422),
        ("per_fred", {}, 422),
    ],
)
async def test_a_wrong_decision_is_refused(gateway, person, body, status):
    await gateway.begin()
    await gateway.person()
    answer = await gateway.call("POST", f"{PEOPLE}/{person}/qualification", body, expect=status)
    assert answer["code"] == ("not_found" if status == 404 else "invalid_input")
    assert await gateway.states("per_fred") == ["pending"]


async def test_a_sale_is_recorded_once_and_rewarded_once(gateway):
    await gateway.begin(rewards=[TENTH, EACH])
    fred = await gateway.person(external_id="f-1")
    first = await gateway.call("POST", f"{PEOPLE}/ext:f-1/sales", sale(100, "inv-1"))
    assert (first["duplicate"], first["person"], first["origin"]) == (False, fred, "host")
    assert await gateway.rewards(fred) == []  # not qualified yet
    await gateway.call("POST", f"{PEOPLE}/{fred}/qualification", {"qualified": True})
    again = await gateway.call("POST", f"{PEOPLE}/{fred}/sales", sale("100.00", "inv-1"))
    assert (again["duplicate"], again["id"]) == (True, first["id"])
    refused = await gateway.call("POST", f"{PEOPLE}/{fred}/sales", sale(101, "inv-1"), expect=409)
    assert refused["code"] == "sale_conflict"
    assert "100 EUR" in refused["detail"]
    await gateway.call("POST", f"{PEOPLE}/{fred}/sales", sale(40, "inv-2"))
    rewards = {
        (one.rule_key, one.cause.partition(":")[0], str(one.amount), one.state) for one in await gateway.rewards(fred)
    }
    assert rewards == {
        ("tenth", "qualification", "10.00", "due"),
        ("each", "sale", "5.00", "due"),
        ("each", "sale", "2.00", "due"),
    }
    assert (await gateway.get(fred)).sale_amount == 140
    assert len(await gateway.told_host("sale.recorded")) == 2


async def test_a_refund_reduces_and_cancels_what_is_not_issued(gateway):
    await gateway.begin(rewards=[EACH])
    fred = await gateway.person()
    await gateway.call("POST", f"{PEOPLE}/{fred}/qualification", {"qualified": True})
    await gateway.call("POST", f"{PEOPLE}/{fred}/sales", sale(100, "inv-1"))
    await gateway.later(minutes=1)
    await gateway.call("POST", f"{PEOPLE}/{fred}/sales", sale(200, "inv-2"))
    for reference, amount in (("credit-1", -50), ("credit-2", -200)):
        await gateway.later(minutes=1)
        await gateway.call("POST", f"{PEOPLE}/{fred}/sales", sale(amount, reference))
    rewards = sorted((one.state, str(one.amount)) for one in await gateway.rewards(fred))
    assert rewards == [("cancelled", "7.50"), ("due", "2.50")]
    assert (await gateway.get(fred)).sale_amount == 50
    due = [data["amount"] for kind, data in await gateway.told_host("reward.due")]
    assert sorted(due) == ["10.00", "2.50", "5.00", "7.50"]  # the host hears of each new amount


@pytest.mark.parametrize(
    "body",
    [
        sale(0, "a"),
        sale("NaN", "a"),
        sale("Infinity", "a"),
        sale("1e15", "a"),
        sale("0.0000001", "a"),
        sale(1, ""),
        sale(1, "a b"),
        sale(1, "a", currency="eur"),
        sale(1, "a", occurred_at="2026-01-01T00:00:00"),
    ],
)
async def test_a_sale_that_cannot_be_kept_exactly_is_refused(gateway, body):
    await gateway.begin()
    fred = await gateway.person()
    assert (await gateway.call("POST", f"{PEOPLE}/{fred}/sales", body, expect=422))["problems"]
    assert await gateway.sales(fred) == []


async def test_rewards_become_due_when_the_hold_period_ends_and_are_issued_once(gateway):
    await gateway.begin(rewards=[FIXED])
    fred = await gateway.person()
    await gateway.call("POST", f"{PEOPLE}/{fred}/qualification", {"qualified": True})
    (held,) = (await gateway.call("GET", "/v1/accounts/acme/rewards?state=held"))["data"]
    assert (held["held_reason"], held["amount"], held["referrer"], held["referred"]) == (
        "hold_period",
        {"amount": "50.00", "currency": "EUR"},
        "per_rita",
        fred,
    )
    refused = await gateway.call("POST", f"/v1/rewards/{held['id']}/issued", expect=409)
    assert refused["code"] == "wrong_state"
    await gateway.later(days=7, minutes=2)
    await gateway.later(days=1)
    ((_, told),) = await gateway.told_host("reward.due")
    assert (told["reward"], told["state"]) == (held["id"], "due")
    for _ in range(2):
        issued = await gateway.call("POST", f"/v1/rewards/{held['id']}/issued", {"reason": "Gift card 7"})
        assert issued["state"] == "issued"
    assert len(await gateway.told_host("reward.issued")) == 1
    assert (await gateway.call("POST", f"/v1/rewards/{held['id']}/cancelled", expect=409))["code"] == "wrong_state"
    assert (await gateway.call("GET", "/v1/accounts/acme/rewards?state=due"))["data"] == []


async def test_a_cancelled_reward_stays_cancelled(gateway):
    await gateway.begin(rewards=[FIXED, TENTH])
    fred = await gateway.person()
    await gateway.call("POST", f"{PEOPLE}/{fred}/qualification", {"qualified": True})
    for reward in await gateway.rewards(fred):
        for _ in range(2):
            assert (await gateway.call("POST", f"/v1/rewards/{reward.id}/cancelled"))["state"] == "cancelled"
    await gateway.call("POST", f"{PEOPLE}/{fred}/sales", sale(100, "inv-1"))
    await gateway.later(days=8)
    assert [one.state for one in await gateway.rewards(fred)] == ["cancelled", "cancelled"]
    assert len(await gateway.told_host("reward.cancelled")) == 2


async def test_rewards_of_another_account_are_not_there(gateway):
    await gateway.begin(rewards=[FIXED])
    fred = await gateway.person()
    await gateway.call("POST", f"{PEOPLE}/{fred}/qualification", {"qualified": True})
    (reward,) = await gateway.rewards(fred)
    await gateway.call("PUT", "/v1/accounts/other", {"name": "Other"}, expect=201)
    key = (
        await gateway.call("POST", "/v1/accounts/other/keys", {"name": "k", "scopes": ["read", "signups"]}, expect=201)
    )["key"]
    for verb in ("issued", "cancelled"):
        answer = await gateway.api.post(f"/v1/rewards/{reward.id}/{verb}", headers={"authorization": f"Bearer {key}"})
        assert answer.status_code == 404
    assert (await gateway.call("POST", "/v1/rewards/rew_none/issued", expect=404))["code"] == "not_found"


async def test_rewards_are_listed_page_after_page(gateway):
    await gateway.begin(rewards=[EACH])
    fred = await gateway.person()
    await gateway.call("POST", f"{PEOPLE}/{fred}/qualification", {"qualified": True})
    for number in range(5):
        await gateway.call("POST", f"{PEOPLE}/{fred}/sales", sale(100 + number, f"inv-{number}"))
    seen, cursor = [], ""
    while cursor is not None:
        page = await gateway.call("GET", f"/v1/accounts/acme/rewards?limit=2{f'&cursor={cursor}' if cursor else ''}")
        seen += [one["sale_reference"] for one in page["data"]]
        cursor = page["next"]
    assert seen == ["inv-4", "inv-3", "inv-2", "inv-1", "inv-0"]


async def test_a_sale_in_another_currency_than_the_cap_is_held(gateway):
    await gateway.begin(rewards=[{**TENTH, "cap": "5", "currency": "EUR"}])
    fred = await gateway.person()
    await gateway.call("POST", f"{PEOPLE}/{fred}/qualification", {"qualified": True})
    await gateway.call("POST", f"{PEOPLE}/{fred}/sales", sale(100, "inv-1", currency="USD"))
    (reward,) = await gateway.rewards(fred)
    assert (reward.state, reward.held_reason) == ("held", "currency_mismatch")
    await gateway.later(days=30)
    assert [one.state for one in await gateway.rewards(fred)] == ["held"]


async def test_everything_adds_up_whatever_comes_in_between(gateway):
    await gateway.begin(rewards=[TENTH], sale_value={"record_kind": "deal", "field": "value"})
    deal = gateway.crm.add("deal", 1, state="won", facts=[Fact(name="won")], fields={"value": "80"})
    fred = await gateway.person(records=(deal,))
    await gateway.call("POST", f"{PEOPLE}/{fred}/sales", sale(20, "inv-1"))
    await gateway.deliver()
    person = await gateway.get(fred)
    assert (person.sale_amount, person.sale_currency) == (Decimal(100), "EUR")
    (reward,) = await gateway.rewards(fred)
    assert (reward.state, str(reward.amount)) == ("due", "8.00")  # of the value in the CRM
