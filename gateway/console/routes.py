"""Every page of the console, below ``/console``."""

from litestar import Request, Response, Router, get
from litestar.di import NamedDependency, Provide
from litestar.params import FromPath

from gateway.console import (
    activity,
    assets,
    campaigns,
    integrations,
    opening,
    operators,
    people,
    reward_list,
    rewards,
    setups,
    syncs,
)
from gateway.console.pages import AnyRequest, Desk, find_desk, problem_page
from gateway.errors import Refused
from gateway.flows.services import Services

MODULES = (assets, opening, integrations, campaigns, setups, rewards, reward_list, people, activity, operators, syncs)
MAX_BODY = 1024 * 1024


async def provide_desk(request: AnyRequest, services: NamedDependency[Services]) -> Desk:
    """Return what a page of somebody who is signed in works with (a Litestar dependency)."""
    return await find_desk(request, services)


@get("/{rest:path}", sync_to_thread=False)
def nowhere(rest: FromPath[str]) -> Response[str]:
    """Say that there is no such page."""
    raise Refused("not_found", "There is no such page. It may have moved; begin at the console's first page.")


def router(services: Services) -> Router:
    """Return the console's routes."""
    return Router(
        path="/console",
        route_handlers=[*(route for module in MODULES for route in module.ROUTES), nowhere],
        dependencies={"desk": Provide(provide_desk)},
        exception_handlers={Exception: problem_page(services)},
        request_max_body_size=MAX_BODY,
        include_in_schema=False,
        signature_types=[Desk, Request],
    )
