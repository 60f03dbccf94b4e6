"""Users: find people, take them along, and see what happened to one of them and why they have not qualified yet."""

from collections.abc import AsyncIterator
from decimal import Decimal, InvalidOperation
from typing import Any, get_args

import msgspec
from litestar import Response, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath
from litestar.response import Stream

from gateway.console import reward_list
from gateway.console.pages import Desk
from gateway.errors import Refused, invalid
from gateway.flows.campaigns import campaign as campaigns
from gateway.flows.people import people as flow
from gateway.flows.referrals import qualification
from gateway.flows.refusals import meaning_of
from gateway.storage.campaigns import mark_of
from gateway.storage.people_search import Query
from gateway_schemas.person import CrmState, Person, QualificationInput, ReferralState
from gateway_schemas.problem import FieldProblem

STATES = (*get_args(ReferralState), *get_args(CrmState))
PAGE = 50
OFFERED = 200
"""Campaigns that a filter offers at most; the users of others are reached from the page of campaigns."""

WORDS = {
    "pending": "Pending",
    "qualified": "Qualified",
    "disqualified": "Taken back",
    "waiting": "On the way to the CRM",
    "held": "Held",
    "linked": "In the CRM",
    "refused": "Refused by the CRM",
    "gone": "Deleted in the CRM",
}
"""The word that people see for each state of a referral and of its link to the CRM."""

TONES = {"qualified": "good", "linked": "good", "refused": "bad", "gone": "bad", "held": "wait", "waiting": "wait"}


def query_of(desk: Desk, *, limit: int = PAGE) -> Query:
    """Return what the page's filters ask for; a filter that means nothing is left out."""
    given = desk.request.query_params
    role, state = given.get("role"), given.get("state")
    return flow.query_for(
        desk.services,
        desk.account_id,
        campaign=given.get("campaign") or None,
        role=role if role in ("referred", "referrer") else None,
        state=state if state in STATES else None,
        q=(given.get("q") or "")[:400] or None,
        limit=limit,
        cursor=given.get("cursor") or None,
    )


@get("/a/{account:str}/people")
async def list_people(desk: NamedDependency[Desk]) -> Response[str]:
    """Show people, newest first, by search and filters."""
    query = query_of(desk)
    page = await flow.find_page(desk.services, query)
    offered = await campaigns.find_page(desk.services, desk.account_id, OFFERED, None)
    choices = {one.id: one.name for one in offered.data}
    shown = {one.campaign for one in page.data} | ({query.campaign_id} if query.campaign_id else set())
    if beyond := shown - choices.keys():
        names = choices | await campaigns.names_of(desk.services, desk.account_id, beyond)
    else:
        names = choices
    if query.campaign_id and query.campaign_id not in choices:
        choices[query.campaign_id] = names.get(query.campaign_id, query.campaign_id)
    return desk.page(
        "people.html",
        people=page.data,
        next=page.next,
        query=query,
        choices=choices,
        offered=OFFERED if offered.next is not None else None,
        names=names,
        words=WORDS,
        tones=TONES,
        states=STATES,
    )


@get("/a/{account:str}/people.csv")
async def people_csv(desk: NamedDependency[Desk]) -> Stream:
    """Return the people of the filters as a file."""
    parts = await flow.as_csv(desk.services, query_of(desk))

    async def encoded() -> AsyncIterator[bytes]:
        async for part in parts:
            yield part.encode()

    headers = {"content-disposition": 'attachment; filename="people.csv"', "cache-control": "no-store"}
    return Stream(encoded(), media_type="text/csv; charset=utf-8", headers=headers)


@get("/a/{account:str}/people/{person:str}")
async def show_person(desk: NamedDependency[Desk], person: FromPath[str]) -> Response[str]:
    """Show one person: who, where in the CRM, what happened, and what is still missing."""
    return await _page(desk, person)


async def _page(
    desk: Desk, ref: str, *, status: int = 200, typed: dict[str, str] | None = None, alert: str = ""
) -> Response[str]:
    found = await flow.tell_timeline(desk.services, desk.account_id, ref)
    campaign = await campaigns.find(desk.services, desk.account_id, found.person.campaign)
    referrer: Person | None = None
    if found.person.referrer is not None:
        try:
            referrer = await flow.find(desk.services, desk.account_id, found.person.referrer)
        except Refused:  # erased meanwhile
            referrer = None
    owed = await reward_list.of_person(desk, found.person)
    return desk.page(
        "person.html",
        status=status,
        person=found.person,
        entries=found.entries,
        why=found.why,
        campaign=campaign,
        referrer=referrer,
        rewards=owed.data,
        more_rewards=owed.next is not None,
        people=await reward_list.named(desk, owed.data),
        mark_of=mark_of,
        labels={one.key: one.label for one in campaign.fields},
        kinds=_kinds(desk),
        words=WORDS,
        tones=TONES,
        typed=typed or {},
        alert=alert,
    )


def _kinds(desk: Desk) -> dict[str, str]:
    """Return the names of record kinds, those of all integrations: a person may have been in several."""
    return {
        kind.key: desk.texts.of_plugin(one.key, kind.label)
        for one in desk.services.integrations
        for kind in one.manifest.record_kinds
    }


@post("/a/{account:str}/people/{person:str}/qualification")
async def decide(desk: NamedDependency[Desk], person: FromPath[str]) -> Response[str]:
    """Qualify or reverse a referral by hand."""
    form = await desk.form()
    decision = form.get("decision")
    if decision not in ("qualify", "reverse"):
        raise invalid(FieldProblem(field="decision", message="Press Qualify or Reverse: nothing was decided."))
    qualified = decision == "qualify"
    typed = {name: form.get(name) for name in ("amount", "currency", "reason")}
    assert desk.account is not None
    try:
        sale = None
        if qualified and typed["amount"]:
            currency = typed["currency"].upper() or desk.account.currency
            sale = {"amount": Decimal(typed["amount"]), "currency": currency}
        # converted, not built: what a Struct says of its fields is checked only then
        given = msgspec.convert(
            {"qualified": qualified, "sale_value": sale, "reason": typed["reason"][:500] or None}, QualificationInput
        )
        await qualification.qualify(desk.services, desk.account_id, person, given)
    except InvalidOperation:
        return await _page(desk, person, status=422, typed=typed, alert="The sale value is no number, such as 1200.50.")
    except (Refused, msgspec.ValidationError) as error:
        refused = meaning_of(error)
        if refused.code == "not_found":
            raise
        said = " ".join(one.message for one in refused.problems) or refused.detail
        return await _page(desk, person, status=422, typed=typed, alert=said)
    return desk.go("people", person, said="qualified" if qualified else "reversed")


ROUTES: list[Any] = [list_people, people_csv, show_person, decide]
