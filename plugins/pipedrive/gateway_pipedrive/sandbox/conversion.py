"""Turns leads into deals: an asynchronous job and its state.

Source: ``VENDOR.md``, chapters 7.6 (converting) and 8.3 (what is told). There is no event for it: the lead
is deleted and a deal is created. Order of the two, carry-over of custom fields and the source lead in the webhook are
unconfirmed, hence options.
"""

from datetime import timedelta
from typing import Any

from gateway_pipedrive.sandbox import checks
from gateway_pipedrive.sandbox.calls import Answer, Call, Operations
from gateway_pipedrive.sandbox.checks import body_v2
from gateway_pipedrive.sandbox.deals import new_deal, stage_of
from gateway_pipedrive.sandbox.errors import not_found
from gateway_pipedrive.sandbox.events import Actor, Events
from gateway_pipedrive.sandbox.leads import find_lead
from gateway_pipedrive.sandbox.state import Company, Conversion, Deal, Lead, State

Json = dict[str, Any]
operations = Operations()

KEPT = timedelta(days=3)


@operations.add("POST", 2, "/leads/{id}/convert/deal", cost=40, scopes="leads:full")
def convert(call: Call) -> Answer:
    """Start a conversion; a stage wins over a pipeline, neither means the default pipeline's first stage."""
    lead = find_lead(call, "Entity was")
    allowed: dict[str, checks.Check] = {"stage_id": checks.integer, "pipeline_id": checks.integer}
    body = body_v2({} if call.body is None else call.body, allowed)
    if "stage_id" in body:
        body = {"stage_id": body["stage_id"]}
    job = start(call.sandbox.state, call.company, lead, stage_of(call.company, body), call.user.id, call.source)
    job.due += timedelta(seconds=call.sandbox.options.conversion_seconds)
    call.sandbox.work()
    return Answer({"success": True, "data": {"conversion_id": job.id}, "additional_data": None})


@operations.add("GET", 2, "/leads/{id}/convert/status/{conversion_id}", cost=1, scopes="leads:full leads:read")
def status(call: Call) -> Answer:
    """Tell how a conversion stands; the answer is kept for a few days. The lead itself is gone by then."""
    job = call.company.conversions.get(call.path["conversion_id"])
    if job is None or job.lead_id != call.path["id"] or call.sandbox.state.now() - job.created > KEPT:
        raise not_found("Entity was")
    data: Json = {"conversion_id": job.id, "status": job.status}
    if job.status == "completed":
        data["deal_id"] = job.deal_id
    return Answer({"success": True, "data": data, "additional_data": None})


def start(state: State, company: Company, lead: Lead, stage_id: int, user_id: int, source: str) -> Conversion:
    """Note a job that is due now."""
    now = state.now()
    job = Conversion(state.new_uuid("conversion"), lead.id, stage_id, user_id, source, now, now)
    company.conversions[job.id] = job
    return job


def run(
    state: State, events: Events, company: Company, job: Conversion, *, deal_first: bool, carry: bool
) -> Deal | None:
    """Do a job that is due: make the deal, move the notes, delete the lead.

    Returns:
        The deal, or None when the lead had gone meanwhile (the job is then ``rejected``).
    """
    lead = company.leads[job.lead_id]
    if lead.is_deleted or company.stages[job.stage_id].is_deleted:
        job.status = "rejected"
        return None
    who = Actor(company.users[job.user_id], job.source)
    deal = new_deal(state, company, job.user_id, {"stage_id": job.stage_id, "owner_id": lead.owner_id})
    deal.title, deal.person_id, deal.org_id = lead.title, lead.person_id, lead.organization_id
    if lead.value:
        deal.value, deal.currency = lead.value["amount"], lead.value["currency"]
    deal.expected_close_date, deal.visible_to = lead.expected_close_date, lead.visible_to
    deal.origin, deal.origin_id = lead.origin, lead.origin_id
    deal.channel, deal.channel_id, deal.source_lead_id = lead.channel, lead.channel_id, lead.id
    if carry:
        deal.custom_fields = dict(lead.custom_fields)
    for note in company.notes.values():
        if note.lead_id == lead.id:
            note.lead_id, note.deal_id = None, deal.id
    company.deals[deal.id] = deal
    if deal_first:
        events.created(company, deal, who)
    events.deleted(company, lead, who)
    if not deal_first:
        events.created(company, deal, who)
    job.status, job.deal_id = "completed", deal.id
    return deal
