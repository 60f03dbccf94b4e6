"""Deals: list, read, create, change, delete.

Source: ``VENDOR.md``, chapter 7.5. Unconfirmed there and decided here: a stage of another pipeline than the
one sent along is refused; no stage means the first stage of the default pipeline.
"""

from datetime import datetime
from typing import Any

from gateway_pipedrive.sandbox import checks, values
from gateway_pipedrive.sandbox.calls import Answer, Call, Operations, good
from gateway_pipedrive.sandbox.checks import Query, body_v2
from gateway_pipedrive.sandbox.errors import feature_capped, schema_failed
from gateway_pipedrive.sandbox.listing import LIST, SINGLE, actor, answer_list, check_links, find, render
from gateway_pipedrive.sandbox.persons import set_custom
from gateway_pipedrive.sandbox.state import Company, Deal, State

Json = dict[str, Any]
operations = Operations()

_READ = "deals:read deals:full"
_STATUSES = frozenset({"open", "won", "lost", "deleted"})
_MOMENT_OR_NULL = checks.nullable(checks.moment)
_BODY: dict[str, checks.Check] = {
    "title": checks.text,
    "owner_id": checks.integer,
    "person_id": checks.integer,
    "org_id": checks.integer,
    "pipeline_id": checks.integer,
    "stage_id": checks.integer,
    "value": checks.number,
    "currency": checks.text,
    "is_deleted": checks.one_of(False),
    "is_archived": checks.boolean,
    "archive_time": checks.moment,
    "status": checks.one_of("open", "won", "lost"),
    "probability": checks.nullable(checks.number),
    "lost_reason": checks.nullable(checks.text),
    "visible_to": checks.integer,
    "close_time": _MOMENT_OR_NULL,
    "won_time": checks.moment,
    "lost_time": checks.moment,
    "expected_close_date": checks.day,
    "label_ids": checks.list_of(checks.integer),
    "custom_fields": checks.anything,
}
_PATCH: dict[str, checks.Check] = _BODY | {
    "person_id": checks.nullable(checks.integer),
    "org_id": checks.nullable(checks.integer),
    "value": checks.nullable(checks.number),
    "expected_close_date": checks.nullable(checks.day),
    "won_time": _MOMENT_OR_NULL,
    "lost_time": _MOMENT_OR_NULL,
}
_PLAIN = (
    "title",
    "owner_id",
    "person_id",
    "org_id",
    "currency",
    "probability",
    "lost_reason",
    "visible_to",
    "expected_close_date",
    "label_ids",
)
_NARROW = frozenset({"person_id", "pipeline_id", "stage_id", "status"})


@operations.add("GET", 2, "/deals", cost=10, scopes=_READ)
def list_deals(call: Call) -> Answer:
    """List deals that are not archived; deleted ones only when ``status`` asks for them."""
    return _list(call, archived=False)


@operations.add("GET", 2, "/deals/archived", cost=20, scopes=_READ)
def list_archived(call: Call) -> Answer:
    """List archived deals."""
    return _list(call, archived=True)


@operations.add("GET", 2, "/deals/{id}", cost=1, scopes=_READ)
def get_deal(call: Call) -> Answer:
    """Return one deal, archived or not; ``source_lead_id`` only when asked for."""
    deal = find(call, call.company.deals, call.number("id"), "Deal")
    return good(render(call, Query(call.query, SINGLE), "deal", deal))


@operations.add("POST", 2, "/deals", cost=5, scopes="deals:full")
def create_deal(call: Call) -> Answer:
    """Create a deal."""
    body = dict(body_v2(call.body, {**_BODY, "add_time": checks.moment}, ("title",)))
    check_links(call, body, kind="deal")
    company = call.company
    limit = company.open_deals_limit
    if (
        limit is not None
        and sum(one.status == "open" and not one.is_deleted for one in company.deals.values()) >= limit
    ):
        raise feature_capped("Couldn't add the deal. Open deals limit reached.", "feature_capping_deals_limit")
    custom = values.accept_v2(company, "deal", body.pop("custom_fields", {}))
    deal = new_deal(call.sandbox.state, company, call.user.id, body)
    _apply(call.sandbox.state, deal, body)
    set_custom(deal, custom)
    company.deals[deal.id] = deal
    call.sandbox.events.created(company, deal, actor(call))
    return good(render(call, Query({}), "deal", deal))


@operations.add("PATCH", 2, "/deals/{id}", cost=5, scopes="deals:full")
def update_deal(call: Call) -> Answer:
    """Change the keys sent; it cannot delete."""
    deal = find(call, call.company.deals, call.number("id"), "Deal")
    body = dict(body_v2(call.body, _PATCH))
    check_links(call, body, kind="deal")
    if "value" in body and deal.has_products:
        raise schema_failed("value: cannot be set on a deal with products")
    if body.get("won_time") and body.get("status", deal.status) != "won":
        raise schema_failed("won_time: only for won deals")
    custom = values.accept_v2(call.company, "deal", body.pop("custom_fields", {}))
    place = stage_of(call.company, body) if {"stage_id", "pipeline_id"} & set(body) else None
    with call.sandbox.events.changing(call.company, deal, actor(call)):
        if place is not None and place != deal.stage_id:
            move(call.sandbox.state, call.company, deal, place)
        _apply(call.sandbox.state, deal, body)
        set_custom(deal, custom)
    return good(render(call, Query({}), "deal", deal))


@operations.add("DELETE", 2, "/deals/{id}", cost=3, scopes="deals:full")
def delete_deal(call: Call) -> Answer:
    """Mark a deal as deleted."""
    deal = find(call, call.company.deals, call.number("id"), "Deal")
    call.sandbox.events.deleted(call.company, deal, actor(call))
    return good({"id": deal.id})


def stage_of(company: Company, body: Json) -> int:
    """Choose the stage: the one sent, else the first of the pipeline sent, else the first of the default pipeline."""
    stage_id, pipeline_id = body.get("stage_id"), body.get("pipeline_id")
    if stage_id is not None:
        stage = company.stages.get(stage_id)
        if stage is None or stage.is_deleted:
            raise schema_failed(f"stage_id: {stage_id} does not exist")
        if pipeline_id not in {None, stage.pipeline_id}:
            raise schema_failed(f"stage_id: {stage_id} is not a stage of pipeline {pipeline_id}")
        return stage.id
    if pipeline_id is None:
        pipeline_id = company.default_pipeline().id
    stages = company.stages_of(pipeline_id)
    if not stages or company.pipelines[pipeline_id].is_deleted:
        raise schema_failed(f"pipeline_id: {pipeline_id} does not exist")
    return stages[0].id


def new_deal(state: State, company: Company, user_id: int, body: Json) -> Deal:
    """Make a deal in the stage that the body asks for, with the company's currency."""
    stage = company.stages[stage_of(company, body)]
    now = state.now()
    return Deal(
        company.next_id("deal"),
        body.get("title", ""),
        body.get("owner_id", user_id),
        user_id,
        stage.pipeline_id,
        stage.id,
        now,
        now,
        currency=company.default_currency,
    )


def move(state: State, company: Company, deal: Deal, stage_id: int) -> None:
    """Put a deal into a stage; another pipeline's stage changes the pipeline with it."""
    deal.stage_id, deal.pipeline_id = stage_id, company.stages[stage_id].pipeline_id
    deal.stage_change_time = state.now()


def set_status(state: State, deal: Deal, status: str) -> None:
    """Win, lose or re-open a deal, with the times that belong to it."""
    if status == deal.status:
        return
    now = state.now()
    deal.status = status
    deal.won_time = now if status == "won" else None
    deal.lost_time = now if status == "lost" else None
    deal.close_time = None if status == "open" else now
    if status == "won":
        deal.first_won_time = deal.first_won_time or now
    if status != "lost":
        deal.lost_reason = None


def set_archived(state: State, deal: Deal, archived: bool) -> None:
    """Archive a deal or bring it back."""
    deal.is_archived = archived
    deal.archive_time = state.now() if archived else None


def _apply(state: State, deal: Deal, body: Json) -> None:
    if "status" in body:
        set_status(state, deal, body["status"])
    for key in _PLAIN:
        if key in body:
            setattr(deal, key, body[key])
    if "value" in body:
        deal.value = 0 if body["value"] is None else body["value"]
    for key in ("won_time", "lost_time", "close_time"):
        if body.get(key):
            setattr(deal, key, datetime.fromisoformat(body[key]))
    if "is_archived" in body and body["is_archived"] != deal.is_archived:
        set_archived(state, deal, body["is_archived"])


def _list(call: Call, *, archived: bool) -> Answer:
    query = Query(call.query, LIST | _NARROW)
    statuses = query.words("status", _STATUSES)
    person, pipeline, stage = (query.integer(key) for key in ("person_id", "pipeline_id", "stage_id"))
    overridden = query.integer("filter_id") is not None
    wants_deleted = "deleted" in statuses and not overridden
    rows = (
        deal
        for deal in call.company.deals.values()
        if deal.is_archived == archived and (wants_deleted or not deal.is_deleted)
    )

    def narrow(deal: Deal) -> bool:
        shown = "deleted" if deal.is_deleted else deal.status
        return (
            (not statuses or shown in statuses)
            and person in {None, deal.person_id}
            and pipeline in {None, deal.pipeline_id}
            and stage in {None, deal.stage_id}
        )

    return answer_list(call, query, "deal", rows, narrow)
