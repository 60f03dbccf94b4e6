"""Qualify referrals: by what was seen in the CRM (``apply``), and by hand; and say why, or why not yet.

A decision by hand stands: the CRM changes it no more. The next decision by hand does.
"""

from typing import Literal

import msgspec

from gateway.errors import invalid
from gateway.flows.accounts import CURRENCIES
from gateway.flows.notify.publishing import NewEvent, publish
from gateway.flows.referrals.dossiers import collect
from gateway.flows.referrals.judging import Turn, apply, causes_of, count_turns, event_of, record_of, write_turns
from gateway.flows.referrals.verdict import judge
from gateway.flows.rewards import owing, sales
from gateway.flows.rewards.sale_value import value_of
from gateway.flows.rewards.sales import check_amount, referred
from gateway.flows.services import Services
from gateway.storage import facts
from gateway.storage.engine import AsyncConnection
from gateway.storage.people import PersonRow
from gateway_schemas.person import Condition, Explanation, QualificationInput
from gateway_schemas.problem import FieldProblem

__all__ = ["apply", "explain", "qualify"]

State = Literal["qualified", "disqualified"]

BY_HAND = "qualification"
"""Reference of the sale that is given with a decision by hand."""


async def qualify(services: Services, account_id: str, person_ref: str, given: QualificationInput) -> Explanation:
    """Qualify or reverse a referral by hand; saying the same again changes nothing.

    Rewards that are issued stay issued; those that are not are cancelled by a reversal.

    Raises:
        Refused: ``not_found``; ``invalid_input`` for a referrer, or a sale value that cannot be kept.
    """
    now = services.clock.now()
    if given.sale_value is not None:
        check_amount(given.sale_value.amount, field="sale_value.amount")
        if given.sale_value.currency not in CURRENCIES:
            message = f"{given.sale_value.currency} is no currency in use (ISO 4217)."
            raise invalid(FieldProblem(field="sale_value.currency", message=message))
        if not given.qualified or given.sale_value.amount <= 0:
            message = (
                "Give an amount above 0."
                if given.qualified
                else "A sale value belongs to a qualified referral; leave it out."
            )
            raise invalid(FieldProblem(field="sale_value", message=message))

    async def write(conn: AsyncConnection) -> Explanation:
        person = await referred(conn, account_id, person_ref)
        state: State = "qualified" if given.qualified else "disqualified"
        reason = (given.reason or "").strip()
        turns = []
        after = person
        if person.state != state or not person.manual:
            by = {**(person.qualified_by or {}), "manual": True, "reason": reason or None}
            qualified_at = now if state == "qualified" and person.state != "qualified" else person.qualified_at
            after = msgspec.structs.replace(
                person, state=state, manual=True, qualified_by=by, qualified_at=qualified_at
            )
            turns = [Turn(before=person, after=after, why=reason or "decided by hand")]
        await write_turns(conn, turns, now)
        events: list[NewEvent] = []
        causes: dict[str, set[str]] = {}
        if given.sale_value is not None:
            after, events, causes = await sales.set_value(conn, after, given.sale_value, BY_HAND, now)
        fresh = await causes_of(conn, turns, causes)
        owed = await owing.reconcile(conn, [after], fresh, now)
        told = [event_of(after, reason) for turn in turns if turn.before.state != turn.after.state]
        await publish(conn, [*told, *events, *owed], now)
        await count_turns(conn, turns, now)
        found = await explain(services, conn, after)
        assert found is not None
        return found

    return await services.database.writer.run(write)


# --- why, or why not yet ---------------------------------------------------------------------------------


async def explain(services: Services, conn: AsyncConnection, person: PersonRow) -> Explanation | None:
    """Return why a referral has qualified or has not yet, condition by condition; ``None`` for a referrer."""
    if person.role != "referred":
        return None
    dossier = (await collect(conn, services, [person]))[person.id]
    claims = await facts.claimed(conn, person.account_id, {link.ref for link in dossier.links})
    found = judge(dossier.case(claims)).explanation
    qualified = person.state == "qualified"
    by = person.qualified_by or {}
    notes = [found.note]
    if person.manual:
        said = f": {by['reason']}" if by.get("reason") else ""
        notes.insert(0, f"{'Qualified' if qualified else 'Reversed'} by hand{said}. The CRM does not change it.")
    elif qualified and not found.qualified and by.get("conditions"):
        kept = msgspec.convert(by["conditions"], list[Condition])
        return Explanation(
            qualified=True, rule=by.get("label"), conditions=kept, note="Qualified before; kept as it was seen then."
        )
    if qualified and not person.manual:
        value = value_of(dossier, record_of(person))
        notes.append(value.note)
    said = " ".join(note for note in notes if note)
    return msgspec.structs.replace(found, qualified=qualified, note=said or None)
