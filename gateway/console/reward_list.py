"""Rewards of an account: the list, one of them, and somebody's word that it was paid or will not be."""

from typing import Any, get_args

from litestar import Response, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath

from gateway.console.pages import Desk
from gateway.errors import Refused, invalid
from gateway.flows.people import people
from gateway.flows.rewards import rewards as flow
from gateway.storage.campaigns import mark_of
from gateway_schemas.base import Page
from gateway_schemas.campaign import Reward, RewardState
from gateway_schemas.person import Person
from gateway_schemas.problem import FieldProblem

PAGE = 50
OF_A_PERSON = 10


@get("/a/{account:str}/rewards")
async def list_rewards(desk: NamedDependency[Desk]) -> Response[str]:
    """Show the rewards of an account, newest first."""
    given = desk.request.query_params
    wanted = given.get("state")
    state: RewardState | None = wanted if wanted in get_args(RewardState) else None
    referrer = given.get("referrer") or None
    page = await flow.find_rewards(
        desk.services,
        desk.account_id,
        state=state,
        referrer=referrer,
        after=given.get("cursor") or None,
        limit=PAGE,
    )
    return desk.page(
        "reward_list.html",
        rewards=page.data,
        next=page.next,
        chosen=state,
        referrer=referrer,
        people=await named(desk, page.data),
        mark_of=mark_of,
    )


@get("/a/{account:str}/rewards/{reward:str}")
async def show_reward(desk: NamedDependency[Desk], reward: FromPath[str]) -> Response[str]:
    """Show one reward, and what can be said of it now."""
    return await _page(desk, reward)


@post("/a/{account:str}/rewards/{reward:str}")
async def decide(desk: NamedDependency[Desk], reward: FromPath[str]) -> Response[str]:
    """Say that a due reward was paid, or that one will not be."""
    form = await desk.form()
    decision, reason = form.get("decision"), form.get("reason")[:500]
    try:
        if decision == "issued":
            await flow.mark_reward_issued(
                desk.services, desk.account_id, reward, reason=reason, by="by hand", seen=form.get("seen")
            )
        elif decision == "cancelled":
            await flow.cancel_reward(desk.services, desk.account_id, reward, reason=reason, by="by hand")
        else:
            message = "Press one of the two buttons: nothing was decided."
            raise invalid(FieldProblem(field="decision", message=message))
    except Refused as error:
        if error.code not in ("wrong_state", "changed_meanwhile"):
            raise
        return await _page(desk, reward, status=409, alert=error.code, reason=reason)
    said, then = f"reward_{decision}", form.get("then")
    if then == "list":
        return desk.go("rewards", said=said, state=form.get("state"), referrer=form.get("referrer"))
    if then:
        return desk.go("people", then, said=said)
    return desk.go("rewards", reward, said=said)


async def _page(desk: Desk, reward_id: str, *, status: int = 200, alert: str = "", reason: str = "") -> Response[str]:
    found = await flow.find(desk.services, desk.account_id, reward_id)
    return desk.page(
        "reward.html",
        status=status,
        reward=found,
        people=await named(desk, [found]),
        mark_of=mark_of,
        alert=alert,
        reason=reason,
    )


async def of_person(desk: Desk, person: Person) -> Page[Reward]:
    """Return the newest rewards that are owed to somebody, or that this referral owes."""
    whose = {"referrer" if person.role == "referrer" else "referred": person.id}
    return await flow.find_rewards(desk.services, desk.account_id, limit=OF_A_PERSON, **whose)


async def named(desk: Desk, rewards: list[Reward]) -> dict[str, str]:
    """Return what to call the people of these rewards, by id."""
    ids = [one for reward in rewards for one in (reward.referrer, reward.referred)]
    return await people.names_of(desk.services, desk.account_id, ids)


ROUTES: list[Any] = [list_rewards, show_reward, decide]
