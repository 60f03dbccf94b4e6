"""Judge referrals by what was seen in the CRM, and write what follows: state, values, rewards, counts, events.

Repeating it changes nothing. A qualification is a latch: another rule or a setup that is gone takes nothing back;
only a reversing state of the record does, until a reward is issued.
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec

from gateway.flows.notify.publishing import NewEvent, publish
from gateway.flows.people import status_tasks
from gateway.flows.referrals.dossiers import Claims, Dossier, collect
from gateway.flows.referrals.verdict import Verdict, judge
from gateway.flows.rewards import owing, sale_value
from gateway.flows.rewards.settlement import all_causes
from gateway.flows.services import Services
from gateway.storage import facts, people, referrals, timeline
from gateway.storage.engine import AsyncConnection
from gateway.storage.facts import Claim
from gateway.storage.people import Change, PersonRow
from gateway.storage.rewards import of_people as rewards_of
from gateway.storage.sales import of_people as sales_of
from gateway.storage.timeline import NewEntry
from gateway_schemas.base import Money
from gateway_schemas.event_data import ReferralData
from gateway_schemas.events import EventType
from gateway_schemas.records import RecordRef


class Turn(msgspec.Struct, frozen=True, kw_only=True):
    """A referral whose state, or whose deciding record, changes."""

    before: PersonRow
    after: PersonRow
    why: str


async def apply(conn: AsyncConnection, services: Services, person_ids: Collection[str], now: datetime) -> None:
    """Judge these people anew and write what follows; those who are no referrals are passed over.

    Args:
        conn: The writer's connection; what was seen is stored already.
        services: For the manifests.
        person_ids: People of one account.
        now: The time.
    """
    locked = await people.lock(conn, sorted(set(person_ids)))
    chosen = [person for person in locked.values() if person.role == "referred" and person.signed_up]
    if not chosen:
        return
    dossiers = await collect(conn, services, chosen)
    owed = await rewards_of(conn, [person.id for person in chosen])
    issued = {person for person, some in owed.items() if any(one.state == "issued" for one in some)}
    verdicts = await _judge_all(conn, chosen, dossiers, now)
    turns = [
        turn
        for person in chosen
        if (turn := _turn(dossiers[person.id], verdicts.get(person.id), person.id in issued, now))
    ]
    turned = {turn.after.id: turn.after for turn in turns}
    after = {person.id: turned.get(person.id, person) for person in chosen}
    await write_turns(conn, turns, now)
    values = {
        person.id: (person, dossiers[person.id], sale_value.value_of(dossiers[person.id], record_of(person)))
        for person in after.values()
        if person.state == "qualified" and not person.manual
    }
    qualified = [turn.after.id for turn in turns if turn.after.state == "qualified"]
    taken = await sale_value.take_values(conn, values, qualified, now)
    after |= taken.people
    fresh = await causes_of(conn, turns, taken.fresh)
    concerned = [after[person] for person in after if person in fresh or person in turned or person in taken.events]
    owed_now = await owing.reconcile(conn, concerned, fresh, now)
    events = [event_of(after[turn.after.id], turn.why) for turn in turns if turn.before.state != turn.after.state]
    await publish(conn, [*events, *(event for some in taken.events.values() for event in some), *owed_now], now)
    await count_turns(conn, turns, now)


async def _judge_all(
    conn: AsyncConnection, chosen: Sequence[PersonRow], dossiers: Mapping[str, Dossier], now: datetime
) -> dict[str, Verdict]:
    """Judge each referral, the oldest signup first, and claim its record: one record qualifies one of a campaign."""
    open_ones = sorted(
        (person for person in chosen if not person.manual), key=lambda person: (person.signed_up_at, person.id)
    )
    if not open_ones:
        return {}
    account_id = open_ones[0].account_id
    refs = {link.ref for person in open_ones for link in dossiers[person.id].links}
    claims: Claims = await facts.claimed(conn, account_id, refs)
    verdicts: dict[str, Verdict] = {}
    waiting = open_ones
    while waiting:
        wanted: dict[tuple[str, str, RecordRef], Claim] = {}
        again: list[PersonRow] = []
        for person in waiting:
            dossier = dossiers[person.id]
            verdict = verdicts[person.id] = judge(dossier.case(claims))
            if not verdict.qualified or verdict.record is None or dossier.connection is None:
                continue
            key = (person.campaign_id, dossier.connection.id, verdict.record)
            if key in claims:
                continue  # ours already
            if key in wanted:
                again.append(
                    person
                )  # an older signup of this batch wants it: judged again when it is known to be taken
                continue
            wanted[key] = Claim(
                account_id=account_id,
                campaign_id=person.campaign_id,
                connection_id=dossier.connection.id,
                record_kind=verdict.record.kind,
                record_id=verdict.record.id,
                person_id=person.id,
            )
        holders = await facts.claim(conn, list(wanted.values()), now)
        claims |= holders
        lost = {claim.person_id for key, claim in wanted.items() if holders[key] != claim.person_id}
        waiting = [person for person in waiting if person.id in lost or person in again]
    return verdicts


def _turn(dossier: Dossier, verdict: Verdict | None, issued: bool, now: datetime) -> Turn | None:
    """Return how the verdict changes a referral, if it does."""
    person = dossier.person
    if verdict is None or person.manual:
        return None
    if verdict.qualified:
        if person.state == "qualified" and record_of(person) == verdict.record:
            return None
        why = verdict.explanation.rule or ""
        changed = msgspec.structs.replace(person, state="qualified", qualified_by=_evidence(dossier, verdict))
        if person.state != "qualified":
            changed = msgspec.structs.replace(changed, qualified_at=now)
        return Turn(before=person, after=changed, why=why)
    if (
        person.state == "qualified"
        and verdict.taken_back is not None
        and verdict.record == record_of(person)
        and not issued
    ):
        assert verdict.record is not None
        why = f"The {verdict.record.kind} {verdict.record.id} is {verdict.taken_back} now."
        return Turn(before=person, after=msgspec.structs.replace(person, state="disqualified"), why=why)
    return None


def _evidence(dossier: Dossier, verdict: Verdict) -> dict[str, Any]:
    """Return what is kept with a qualification: it explains it for ever, whatever becomes of the rule."""
    kept = {
        "rule": dossier.rule.trigger if dossier.rule is not None else None,
        "label": verdict.explanation.rule,
        "record": verdict.record,
        "seen": verdict.seen,
        "conditions": verdict.explanation.conditions,
    }
    evidence: dict[str, Any] = msgspec.to_builtins(kept)
    return evidence


def record_of(person: PersonRow) -> RecordRef | None:
    """Return the record by which a referral has qualified last."""
    record = (person.qualified_by or {}).get("record")
    return msgspec.convert(record, RecordRef) if record else None


async def write_turns(conn: AsyncConnection, turns: Sequence[Turn], now: datetime) -> None:
    """Write the new states, and what the timeline says of them."""
    columns = ("state", "qualified_at", "qualified_by", "manual")
    changes = [Change(id=turn.after.id, values={name: getattr(turn.after, name) for name in columns}) for turn in turns]
    await people.change(conn, changes, now)
    entries = []
    for turn in turns:
        data = {"by": turn.after.qualified_by}
        if turn.before.state == turn.after.state:
            kind, text = "referral.evidence", f"Still qualified, now by another record: {turn.why}"
        elif turn.after.state == "qualified":
            again = " again" if turn.before.state == "disqualified" else ""
            kind, text = "referral.qualified", f"The referral has qualified{again}: {turn.why}"
        else:
            kind, text = "referral.disqualified", f"The referral does not count any more: {turn.why}"
        entries.append(NewEntry(turn.after.id, turn.after.account_id, kind, text, data))
    await timeline.add(conn, entries, now)


async def causes_of(
    conn: AsyncConnection, turns: Sequence[Turn], of_sales: Mapping[str, set[str]]
) -> dict[str, set[str]]:
    """Return which causes of rewards arise now: all of those who just qualified, and those of new sales."""
    arrived = [turn.after.id for turn in turns if turn.after.state == "qualified" and turn.before.state != "qualified"]
    known = await sales_of(conn, arrived) if arrived else {}
    fresh = {person: set(causes) for person, causes in of_sales.items()}
    for person in arrived:
        fresh.setdefault(person, set()).update(all_causes(known.get(person, [])))
    return fresh


async def count_turns(conn: AsyncConnection, turns: Sequence[Turn], now: datetime) -> None:
    """Add to the counts of the referrers, and tell host and CRM of it; test signups count for nobody."""
    changes: dict[str, int] = {}
    for turn in turns:
        step = (turn.after.state == "qualified") - (turn.before.state == "qualified")
        if step and turn.after.referrer_id is not None and not turn.after.test:
            changes[turn.after.referrer_id] = changes.get(turn.after.referrer_id, 0) + step
    changes = {referrer: number for referrer, number in changes.items() if number}
    await referrals.count_qualified(conn, changes, now)
    await status_tasks.counts_changed(conn, sorted(changes), now)


def event_of(person: PersonRow, why: str) -> NewEvent:
    """Return ``referral.qualified`` or ``referral.disqualified``."""
    by = person.qualified_by or {}
    value = (
        Money(amount=person.sale_amount, currency=person.sale_currency)
        if person.sale_amount is not None and person.sale_currency is not None
        else None
    )
    data = ReferralData(
        person=person.id,
        campaign=person.campaign_id,
        referrer=person.referrer_id,
        external_id=person.external_id,
        rule=None if person.manual else by.get("rule"),
        record=None if person.manual else record_of(person),
        seen={} if person.manual else by.get("seen", {}),
        sale_value=value,
        manual=person.manual,
        reason=(why or None) if person.manual or person.state == "disqualified" else None,
        test=person.test,
    )
    kind: EventType = "referral.qualified" if person.state == "qualified" else "referral.disqualified"
    return NewEvent(kind, person.account_id, person.id, data)
