"""``C/syncs``: start a contact sync, see how far it is, pause it, stop it."""

from collections.abc import AsyncIterator
from typing import Annotated

import msgspec
from litestar import Response, get, patch, post
from litestar.di import NamedDependency
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import FromPath, FromQuery, JSONBody, Parameter, QueryParameter
from litestar.response import ServerSentEvent, ServerSentEventMessage

from gateway.api.auth import Caller
from gateway.api.cursors import SyncCursor
from gateway.errors import invalid
from gateway.flows.contact_sync import contacts, progress, start
from gateway.flows.services import Services
from gateway.flows.signups.intake import nul_in
from gateway_schemas.base import Page
from gateway_schemas.problem import FieldProblem
from gateway_schemas.sync import (
    Sync,
    SyncContact,
    SyncContactState,
    SyncEstimate,
    SyncInput,
    SyncPatch,
    WriteBackFields,
)

TAGS = ["contact sync"]
PATH = "/v1/accounts/{account:str}/campaigns/{campaign:str}/syncs"
Limit = Annotated[int, Parameter(ge=1, le=200)]
Cursor = Annotated[str | None, Parameter(max_length=200)]
InState = Annotated[SyncContactState | None, QueryParameter(name="state")]


@post(
    PATH,
    tags=TAGS,
    status_code=202,
    responses={200: ResponseSpec(Sync, description="The one that is open")},
    opt={"scope": "manage"},
)
async def start_sync(
    caller: NamedDependency[Caller],
    services: NamedDependency[Services],
    account: FromPath[str],
    campaign: FromPath[str],
    data: JSONBody[SyncInput],
) -> Response[Sync]:
    """Start to sync contacts (202), checked against the CRM; while one is open, answer with that one (200).

    One that is up to date and ongoing begins a new walk (202).
    """
    caller.require(account, "manage")
    _refuse_nul(data)
    sync, begins = await start.start(services, account, campaign, data)
    return Response(sync, status_code=202 if begins else 200)


@post(f"{PATH}/estimate", tags=TAGS, status_code=200, opt={"scope": "manage"})
async def estimate_sync(
    caller: NamedDependency[Caller],
    services: NamedDependency[Services],
    account: FromPath[str],
    campaign: FromPath[str],
    data: JSONBody[SyncInput],
) -> SyncEstimate:
    """Say what a sync would take, without starting it: contacts, units of the vendor's daily budget, days."""
    caller.require(account, "manage")
    _refuse_nul(data)
    return await start.estimate(services, account, campaign, data)


@post(f"{PATH}/write-back-fields", tags=TAGS, status_code=200, opt={"scope": "manage"})
async def make_write_back_fields(
    caller: NamedDependency[Caller],
    services: NamedDependency[Services],
    account: FromPath[str],
    campaign: FromPath[str],
    connection: FromQuery[str | None] = None,
) -> WriteBackFields:
    """Make the custom fields for links and counts that the CRM does not have yet; answers the rows to start with."""
    caller.require(account, "manage")
    return await start.make_fields(services, account, campaign, connection)


@get(PATH, tags=TAGS, opt={"scope": "read"})
async def list_syncs(
    caller: NamedDependency[Caller],
    services: NamedDependency[Services],
    account: FromPath[str],
    campaign: FromPath[str],
    limit: Limit = 50,
    cursor: SyncCursor = None,
) -> Page[Sync]:
    """Return the syncs of a campaign, newest first."""
    caller.require(account, "read")
    return await start.find_page(services, account, campaign, limit=limit, cursor=cursor)


@get(f"{PATH}/{{sync:str}}", tags=TAGS, opt={"scope": "read"})
async def get_sync(
    caller: NamedDependency[Caller],
    services: NamedDependency[Services],
    account: FromPath[str],
    campaign: FromPath[str],
    sync: FromPath[str],
) -> Sync:
    """Return one sync with its progress."""
    caller.require(account, "read")
    return await start.find(services, account, campaign, sync)


@get(f"{PATH}/{{sync:str}}/progress", tags=TAGS, media_type="text/event-stream", opt={"scope": "read"})
async def watch_sync(
    caller: NamedDependency[Caller],
    services: NamedDependency[Services],
    account: FromPath[str],
    campaign: FromPath[str],
    sync: FromPath[str],
) -> ServerSentEvent:
    """Send a sync as server-sent events (``progress``, a Sync as JSON) as it changes, until it has ended."""
    caller.require(account, "read")
    states = await progress.watch(services, account, campaign, sync)

    async def messages() -> AsyncIterator[ServerSentEventMessage]:
        async for state in states:
            yield ServerSentEventMessage(event="progress", data=msgspec.json.encode(state).decode())

    return ServerSentEvent(messages())


@get(f"{PATH}/{{sync:str}}/contacts", tags=TAGS, opt={"scope": "read"})
async def list_sync_contacts(
    caller: NamedDependency[Caller],
    services: NamedDependency[Services],
    account: FromPath[str],
    campaign: FromPath[str],
    sync: FromPath[str],
    in_state: InState = None,
    reason: Cursor = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Page[SyncContact]:
    """Return the contacts of a sync: ``state=skipped&reason=no_email`` those that became no referrers, and why."""
    caller.require(account, "read")
    return await contacts.find_page(
        services,
        account,
        campaign,
        sync,
        state=in_state,
        reason=_sound("reason", reason),
        limit=limit,
        cursor=_sound("cursor", cursor),
    )


@patch(f"{PATH}/{{sync:str}}", tags=TAGS, opt={"scope": "manage"})
async def patch_sync(
    caller: NamedDependency[Caller],
    services: NamedDependency[Services],
    account: FromPath[str],
    campaign: FromPath[str],
    sync: FromPath[str],
    data: JSONBody[SyncPatch],
) -> Sync:
    """Pause or resume a sync, toggle ``ongoing``, or mend its selection and mappings; what is left out stays."""
    caller.require(account, "manage")
    _refuse_nul(data)
    return await start.patch(services, account, campaign, sync, data)


@post(f"{PATH}/{{sync:str}}/cancel", tags=TAGS, status_code=200, opt={"scope": "manage"})
async def cancel_sync(
    caller: NamedDependency[Caller],
    services: NamedDependency[Services],
    account: FromPath[str],
    campaign: FromPath[str],
    sync: FromPath[str],
) -> Sync:
    """End a sync for good; referrers and links stay."""
    caller.require(account, "manage")
    return await start.cancel(services, account, campaign, sync)


def _refuse_nul(data: msgspec.Struct) -> None:
    if (where := nul_in(msgspec.to_builtins(data))) is not None:
        raise invalid(FieldProblem(field=where, message="Leave out the character U+0000; it cannot be stored."))


def _sound(name: str, value: str | None) -> str | None:
    if nul_in(value) is not None:
        raise invalid(FieldProblem(field=name, message="Leave out the character U+0000."))
    return value


ROUTES = [
    start_sync, estimate_sync, make_write_back_fields, list_syncs, get_sync, watch_sync, list_sync_contacts,
    patch_sync, cancel_sync,
]  # fmt: skip
