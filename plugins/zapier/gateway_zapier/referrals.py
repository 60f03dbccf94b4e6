"""Actions about referrals: qualify, unqualify, record a sale, and note that a reward was given out.

Shops send *every* conversion and let the gateway decide who was referred: nobody matched is an answer, never an error.
A step of a Zap runs twice now and then: each of these does the same again without harm.
"""

from gateway.sdk.connection import Connection
from gateway.sdk.routes import Call
from gateway_schemas.base import Money
from gateway_schemas.campaign import Campaign
from gateway_schemas.person import Person, SaleInput
from gateway_zapier import bodies, matching, values
from gateway_zapier.answers import DecisionAnswer, RewardAnswer, SaleAnswer
from gateway_zapier.bodies import SaleBody
from gateway_zapier.inputs import QualifyInput, RewardInput, SaleRecordInput, UnqualifyInput
from gateway_zapier.rewards import reward_answer

QUALIFICATION = "qualification"
"""Reference of a sale that comes with a decision and has none of its own; the gateway's word for it."""

MOST = 200


async def qualify_lead(connection: Connection, call: Call) -> DecisionAnswer:
    """Qualify a referral; one that is qualified already stays as it is, and learns its sale value if it has none.

    Raises:
        Rejected: Several people are meant, or a value is wrong.
    """
    asked: QualifyInput = call.body
    money = values.money(asked.sale_value, asked.currency, fallback=connection.currency)
    _check_sale(money)
    at = values.moment("occurred_at", "Time of the sale", asked.occurred_at)
    reference = values.clean(asked.external_reference)
    sale = None  # read whole before anything is changed
    if money is not None:
        sale = SaleInput(
            amount=money.amount,
            currency=money.currency,
            external_reference=_reference(reference or QUALIFICATION),
            occurred_at=at,
        )
    found = await matching.find(connection, "referred", asked.match_by, asked.value, asked.campaign, limit=MOST)
    campaigns = await matching.campaigns_of(connection, (person.campaign for person in found))
    order = ("pending", "qualified", "disqualified")
    person = matching.choose(found, order, harmless="qualified", campaigns=campaigns)
    if person is None:
        return DecisionAnswer(matched=False)
    already = person.state == "qualified"
    changed = not already
    reason = values.clean(asked.reason) or "Qualified by a Zap"
    named = reference is not None or at is not None
    if not already:
        value = None if named else money
        await connection.host.qualify(person.id, qualified=True, sale_value=value, reason=reason[:500])
    if sale is not None and (named or (already and person.sale_value is None)):
        recorded = await connection.host.record_sale(person.id, sale)
        changed = changed or not recorded.duplicate
    return await _decided(connection, person, campaigns, changed=changed, already=already, reference=reference)


def _check_sale(money: Money | None) -> None:
    if money is not None and money.amount <= 0:
        message = "Sale value must be above 0; leave it empty when it is not known, and record refunds as sales."
        raise values.refuse("sale_value", message, "not_positive")


async def unqualify_lead(connection: Connection, call: Call) -> DecisionAnswer:
    """Take a qualification back; rewards that were given out stay.

    Raises:
        Rejected: Several people are meant, or a value is wrong.
    """
    asked: UnqualifyInput = call.body
    found = await matching.find(connection, "referred", asked.match_by, asked.value, asked.campaign, limit=MOST)
    campaigns = await matching.campaigns_of(connection, (person.campaign for person in found))
    order = ("qualified", "pending", "disqualified")
    person = matching.choose(found, order, harmless="disqualified", campaigns=campaigns)
    if person is None:
        return DecisionAnswer(matched=False)
    changed = person.state != "disqualified"
    if changed:
        reason = values.clean(asked.reason) or "Unqualified by a Zap"
        await connection.host.qualify(person.id, qualified=False, reason=reason[:500])
    return await _decided(connection, person, campaigns, changed=changed, already=False, reference=None)


async def _decided(
    connection: Connection,
    person: Person,
    campaigns: dict[str, Campaign],
    *,
    changed: bool,
    already: bool,
    reference: str | None,
) -> DecisionAnswer:
    fresh = await connection.host.person(person.id)
    campaign, worth = campaigns.get(fresh.campaign), fresh.sale_value
    return DecisionAnswer(
        id=fresh.id,
        matched=True,
        changed=changed,
        already_qualified=already,
        lead=bodies.lead_body(fresh, campaign),
        referrer=bodies.referrer_body(await matching.referrer_of(connection, fresh)),
        campaign=bodies.campaign_body(campaign, fresh.campaign),
        sale=SaleBody(
            value=None if worth is None else bodies.plain(worth.amount),
            currency=None if worth is None else worth.currency,
            external_reference=reference,
        ),
    )


async def record_sale(connection: Connection, call: Call) -> SaleAnswer:
    """Record a sale, or a refund below 0, once a reference.

    Raises:
        Rejected: Several people are meant, or a value is wrong.
    """
    asked: SaleRecordInput = call.body
    money = values.money(asked.sale_value, asked.currency, fallback=connection.currency)
    if money is None:
        raise values.refuse("sale_value", "Sale value is empty. Map a value to it.", "required")
    if money.amount == 0:
        message = "A sale of 0 changes nothing; send the amount, or a refund below 0."
        raise values.refuse("sale_value", message, "zero")
    given = SaleInput(
        amount=money.amount,
        currency=money.currency,
        external_reference=_reference(
            values.needed("external_reference", "External reference", asked.external_reference)
        ),
        occurred_at=values.moment("occurred_at", "Time of the sale", asked.occurred_at),
    )
    found = await matching.find(connection, "referred", asked.match_by, asked.value, asked.campaign, limit=MOST)
    campaigns = await matching.campaigns_of(connection, (person.campaign for person in found))
    person = matching.choose(found, ("qualified", "pending", "disqualified"), harmless="", campaigns=campaigns)
    if person is None:
        return SaleAnswer(matched=False)
    sale = await connection.host.record_sale(person.id, given)
    fresh = await connection.host.person(person.id)
    campaign = campaigns.get(fresh.campaign)
    return SaleAnswer(
        id=sale.id,
        matched=True,
        duplicate=sale.duplicate,
        sale=SaleBody(
            id=sale.id,
            value=bodies.plain(sale.amount.amount),
            currency=sale.amount.currency,
            external_reference=sale.external_reference,
        ),
        lead=bodies.lead_body(fresh, campaign),
        referrer=bodies.referrer_body(await matching.referrer_of(connection, fresh)),
        campaign=bodies.campaign_body(campaign, fresh.campaign),
    )


def _reference(text: str) -> str:
    if len(text) > 128 or not text.isascii() or any(character <= " " for character in text):
        message = "External reference takes up to 128 letters, digits and signs, without spaces."
        raise values.refuse("external_reference", message, "invalid_reference")
    return text


async def mark_reward_issued(connection: Connection, call: Call) -> RewardAnswer:
    """Note that a reward was given out; nothing is paid by it. Noting it again changes nothing."""
    asked: RewardInput = call.body
    reward = await connection.host.mark_reward_issued(values.needed("reward", "Reward", asked.reward))
    return await reward_answer(connection, reward, await matching.campaigns_of(connection, [reward.campaign]))
