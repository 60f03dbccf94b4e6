"""What the app calls, under ``/v1/apps/zapier``."""

from typing import Any

from gateway.sdk.routes import Route
from gateway_zapier import inputs, lists, people, referrals, searches, subscriptions
from gateway_zapier.answers import (
    Choice,
    DecisionAnswer,
    LeadAnswer,
    Me,
    ReferrerAnswer,
    RewardAnswer,
    SaleAnswer,
    Subscribed,
    UpdateAnswer,
)
from gateway_zapier.manifest import SCOPE

_PAGES = {"page": "Number of the page, from 0.", "limit": "Entries of a page, at most 100."}
_PERSON = {
    "match_by": "email, code, coupon or external_id.",
    "value": "The value to look for.",
    "campaign": "Only in this campaign.",
}


def _get(path: str, handler: Any, returns: Any, summary: str, query: dict[str, str] | None = None) -> Route:
    return Route(
        method="GET", path=path, scope=SCOPE, handler=handler, returns=returns, summary=summary, query=query or {}
    )


def _post(path: str, handler: Any, takes: Any, returns: Any, summary: str, *, status: int = 200) -> Route:
    return Route(
        method="POST", path=path, scope=SCOPE, handler=handler, takes=takes, returns=returns, summary=summary,
        status=status,
    )  # fmt: skip


def _delete(path: str, handler: Any, summary: str, query: dict[str, str] | None = None) -> Route:
    return Route(method="DELETE", path=path, scope=SCOPE, handler=handler, summary=summary, query=query or {})


ROUTES = [
    _get("/me", lists.me, Me, "Say whose key it is"),
    _post("/hooks", subscriptions.subscribe, inputs.Subscribe, Subscribed, "Subscribe a Zap", status=201),
    _delete(
        "/hooks", subscriptions.unsubscribe_url, "Unsubscribe by URL", {"target_url": "URL of the subscription."}
    ),
    _delete("/hooks/{subscription}", subscriptions.unsubscribe, "Unsubscribe by id"),
    _get(
        "/samples/{event}", subscriptions.samples, list[dict[str, Any]], "Show recent bodies of a trigger",
        {"campaign_id": "Only of this campaign.", "include_synced": "true: contact syncs too.", "limit": "At most 10."},
    ),
    _get("/lists/campaigns", lists.campaigns, list[Choice], "List campaigns for a dropdown", _PAGES),
    _get(
        "/lists/rewards", lists.rewards, list[Choice], "List rewards for a dropdown",
        {**_PAGES, "status": "Only with this status; due when left out."},
    ),
    _get(
        "/lists/fields", lists.fields, list[Choice], "List form fields for a dropdown",
        {**_PAGES, "campaign_id": "Of which campaign.", "role": "referrer or referred."},
    ),
    _post(
        "/actions/add_referrer", people.add_referrer, inputs.ReferrerInput, ReferrerAnswer, "Add a referrer", status=201
    ),
    _post("/actions/add_lead", people.add_lead, inputs.LeadInput, LeadAnswer, "Add a referred person", status=201),
    _post("/actions/qualify_lead", referrals.qualify_lead, inputs.QualifyInput, DecisionAnswer, "Qualify a referral"),
    _post(
        "/actions/unqualify_lead", referrals.unqualify_lead, inputs.UnqualifyInput, DecisionAnswer,
        "Take a qualification back",
    ),
    _post("/actions/record_sale", referrals.record_sale, inputs.SaleRecordInput, SaleAnswer, "Record a sale"),
    _post("/actions/update_person", people.update_person, inputs.UpdateInput, UpdateAnswer, "Update a person"),
    _post(
        "/actions/mark_reward_issued", referrals.mark_reward_issued, inputs.RewardInput, RewardAnswer,
        "Note that a reward was given out",
    ),
    _get("/search/find_referrer", searches.find_referrer, list[ReferrerAnswer], "Find referrers", _PERSON),
    _get("/search/find_lead", searches.find_lead, list[LeadAnswer], "Find referred people", _PERSON),
    _get(
        "/search/find_reward", searches.find_reward, list[RewardAnswer], "Find rewards",
        {"email": "Of the referrer.", "status": "held, due, issued or cancelled.", "campaign": "Only in this one."},
    ),
]  # fmt: skip
