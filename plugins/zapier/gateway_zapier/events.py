"""Shape events for Zaps: flat, every key always there; the same call makes what is sent and what is shown as sample."""

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any

import msgspec

from gateway.sdk.subjects import EventSubjects
from gateway_schemas.base import Output
from gateway_schemas.event_data import RewardData, SaleData
from gateway_schemas.events import Event
from gateway_schemas.person import Person
from gateway_zapier import bodies
from gateway_zapier.bodies import (
    AboutBody,
    CampaignBody,
    ConnectionBody,
    LeadBody,
    ProblemBody,
    ReferrerBody,
    RewardBody,
    SaleBody,
)


class EventBody(Output, frozen=True, kw_only=True):
    """What the body of every event begins with.

    Attributes:
        id: The event's id: the same when it is sent again, and equal to the header ``webhook-id``.
        event: The gateway's event type.
        test: It came of a marked test signup.
    """

    id: str
    event: str
    occurred_at: datetime
    test: bool
    campaign: CampaignBody


class ReferrerEvent(EventBody, frozen=True, kw_only=True):
    """``new_referrer`` and ``referrer_stats_updated``."""

    referrer: ReferrerBody
    source: str | None


class LeadEvent(EventBody, frozen=True, kw_only=True):
    """``new_lead``."""

    lead: LeadBody
    referrer: ReferrerBody
    source: str | None


class DecisionEvent(LeadEvent, frozen=True, kw_only=True):
    """``lead_qualified`` and ``lead_unqualified``.

    Attributes:
        decided_by: ``crm`` or ``hand``.
        rule: Key of the CRM trigger that decided; null by hand.
        reason: In words, where somebody or the CRM said so.
    """

    sale: SaleBody
    decided_by: str
    rule: str | None
    reason: str | None


class SaleEvent(LeadEvent, frozen=True, kw_only=True):
    """``sale_recorded``."""

    sale: SaleBody


class RewardEvent(EventBody, frozen=True, kw_only=True):
    """``reward_due`` and ``reward_issued``."""

    reward: RewardBody
    lead: LeadBody
    referrer: ReferrerBody


class ProblemEvent(EventBody, frozen=True, kw_only=True):
    """``sync_problem``."""

    problem: ProblemBody
    person: AboutBody
    connection: ConnectionBody


def shape(event: Event, subjects: EventSubjects) -> dict[str, Any] | None:
    """Return the body of an event, or ``None`` for one that no trigger is about.

    A contact sync tells of up to 100 people at once: its body is ``{"items": [...]}`` with one body a new referrer.
    """
    if event.type == "contacts.imported":
        items = [bodies.as_plain(one) for one in _imported(event, subjects)]
        return {"items": items} if items else None
    make = _SHAPES.get(event.type)
    return None if make is None else bodies.as_plain(make(event, subjects))


def _common(event: Event, subjects: EventSubjects, *people: Person | None) -> dict[str, Any]:
    marked = bool(event.data.get("test")) or any(person is not None and person.test for person in people)
    return {
        "id": event.id,
        "event": event.type,
        "occurred_at": event.occurred_at,
        "test": marked,
        "campaign": bodies.campaign_body(subjects.campaign, event.data.get("campaign")),
    }


def _named(event: Event, subjects: EventSubjects, key: str) -> Person | None:
    return subjects.people.get(event.data.get(key) or "")


def _lead_parts(event: Event, subjects: EventSubjects, key: str = "person") -> dict[str, Any]:
    lead, referrer = _named(event, subjects, key), _named(event, subjects, "referrer")
    return {
        **_common(event, subjects, lead),
        "lead": _with_id(bodies.lead_body(lead, subjects.campaign), event.data.get(key)),
        "referrer": _with_id(bodies.referrer_body(referrer), event.data.get("referrer")),
    }


def _with_id(body: Any, person_id: str | None) -> Any:
    """Keep the id of somebody who was erased meanwhile."""
    return msgspec.structs.replace(body, id=person_id) if body.id is None else body


def _source(event: Event, subjects: EventSubjects, key: str = "person") -> str | None:
    person = _named(event, subjects, key)
    return event.data.get("source") or (person.source if person is not None else None)


def _signup(event: Event, subjects: EventSubjects) -> Output:
    if event.data["role"] == "referrer":
        return _referrer(event, subjects)
    return LeadEvent(**_lead_parts(event, subjects), source=_source(event, subjects))


def _referrer(event: Event, subjects: EventSubjects) -> ReferrerEvent:
    person = _named(event, subjects, "person")
    return ReferrerEvent(
        **_common(event, subjects, person),
        referrer=_with_id(bodies.referrer_body(person), event.data["person"]),
        source=_source(event, subjects),
    )


def _imported(event: Event, subjects: EventSubjects) -> list[ReferrerEvent]:
    """Return one body for each contact that became a referrer; those who were one already are no news."""
    made = []
    for one in event.data["people"]:
        if not one["created"]:
            continue
        person = subjects.people.get(one["person"])
        body = ReferrerEvent(
            **_common(event, subjects, person),
            referrer=_with_id(bodies.referrer_body(person), one["person"]),
            source="contact_sync",
        )
        made.append(msgspec.structs.replace(body, id=f"{event.id}:{one['person']}"))
    return made


def _decision(event: Event, subjects: EventSubjects) -> DecisionEvent:
    value: Mapping[str, Any] = event.data.get("sale_value") or {}
    return DecisionEvent(
        **_lead_parts(event, subjects),
        source=_source(event, subjects),
        sale=SaleBody(value=_amount(value.get("amount")), currency=value.get("currency")),
        decided_by="hand" if event.data.get("manual") else "crm",
        rule=event.data.get("rule"),
        reason=event.data.get("reason"),
    )


def _sale(event: Event, subjects: EventSubjects) -> SaleEvent:
    data = msgspec.convert(event.data, SaleData)
    sale = SaleBody(
        id=data.sale,
        value=bodies.plain(data.amount),
        currency=data.currency,
        external_reference=data.external_reference,
    )
    return SaleEvent(**_lead_parts(event, subjects), source=_source(event, subjects), sale=sale)


def _reward(event: Event, subjects: EventSubjects) -> RewardEvent:
    data = msgspec.convert(event.data, RewardData)
    reward = RewardBody(
        id=data.reward,
        rule=data.rule,
        status=data.state,
        amount=None if data.amount is None else bodies.plain(data.amount),
        currency=data.currency,
        sale_reference=data.sale_reference,
        reason=data.reason,
    )
    return RewardEvent(**_lead_parts(event, subjects, "referred"), reward=reward)


def _problem(event: Event, subjects: EventSubjects) -> ProblemEvent:
    person, connection = _named(event, subjects, "person"), subjects.connection
    return ProblemEvent(
        **_common(event, subjects, person),
        problem=_said(event, connection.name if connection is not None else None),
        person=bodies.about_body(person),
        connection=ConnectionBody(
            id=event.data.get("connection"),
            integration=event.data.get("integration") or (connection.integration if connection is not None else None),
            name=event.data.get("name") or (connection.name if connection is not None else None),
        ),
    )


def _said(event: Event, name: str | None) -> ProblemBody:
    data, crm = event.data, name or "the CRM"
    match event.type:
        case "signup.refused":
            return ProblemBody(
                code=data.get("cause") or "refused", message=data.get("message") or f"{crm} refused a signup."
            )
        case "connection.needs_reauth":
            reason = data.get("reason") or "The credentials are refused"
            return ProblemBody(
                code="needs_reauth",
                message=f"{reason.rstrip('.')}. Signups wait until the connection to {crm} is authorised again.",
            )
        case "setup.needs_attention":
            found = " ".join(one["message"] for one in data["problems"])
            return ProblemBody(code="setup_needs_attention", message=found or "A setup needs attention.")
        case _:
            return ProblemBody(code="sync_failed", message=data.get("message") or f"A contact sync from {crm} failed.")


def _amount(given: Any) -> str | None:
    return None if given is None else bodies.plain(Decimal(str(given)))


_SHAPES = {
    "signup.accepted": _signup,
    "referral.qualified": _decision,
    "referral.disqualified": _decision,
    "sale.recorded": _sale,
    "reward.due": _reward,
    "reward.issued": _reward,
    "referrer.stats_updated": _referrer,
    "signup.refused": _problem,
    "connection.needs_reauth": _problem,
    "setup.needs_attention": _problem,
    "sync.failed": _problem,
}
