"""Endpoints: make, change, rotate, test and enable the URLs that receive events; an automation's subscriptions too."""

import hashlib
from collections.abc import Sequence
from datetime import datetime
from typing import Any, get_args

import msgspec
import structlog

from gateway.errors import Refused, invalid, not_found
from gateway.flows.accounts import existing
from gateway.flows.notify.deliver import disable
from gateway.flows.notify.envelopes import as_endpoint, as_event, wants
from gateway.flows.notify.feed import check_given
from gateway.flows.notify.replay import resume
from gateway.flows.notify.shaping import Shaper
from gateway.flows.services import Services
from gateway.storage import accounts, connections, deliveries, endpoints, events
from gateway.storage.columns import new_id
from gateway.storage.connections import ConnectionRow
from gateway.storage.endpoints import EndpointRow
from gateway.storage.engine import AsyncConnection
from gateway.webhooks.signing import new_secret
from gateway.webhooks.targets import check_url
from gateway_schemas.base import Page
from gateway_schemas.events import (
    Endpoint,
    EndpointInput,
    EndpointPatch,
    Event,
    EventType,
)
from gateway_schemas.problem import FieldProblem

log = structlog.get_logger(__name__)

MAX_SUBSCRIPTIONS = 10_000
"""Subscriptions of one connection."""

LOOK_BACK = 500
"""Events that are looked at for samples."""


async def create(services: Services, wanted: EndpointInput, *, once: bool = False) -> Endpoint:
    """Make an endpoint; the answer is the only one with its secret.

    Args:
        services: The process's services.
        wanted: What to make.
        once: Refuse when an enabled endpoint has this URL and account: a form that was sent twice makes one.

    Raises:
        Refused: ``invalid_input`` naming the URL; ``not_found`` for the account.
    """
    row = EndpointRow(
        id=new_id("end"),
        account_id=wanted.account,
        url=wanted.url,
        event_types=list(dict.fromkeys(wanted.event_types)),
        description=wanted.description,
        created_at=services.clock.now(),
    )
    return await _store(services, row, once=once)


async def _store(services: Services, row: EndpointRow, *, once: bool) -> Endpoint:
    if problems := check_url(row.url, services.settings):
        raise invalid(*problems)
    secret = new_secret()

    async def write(conn: AsyncConnection) -> Endpoint | Refused:
        if row.account_id is not None and await accounts.get(conn, row.account_id) is None:
            return not_found("account", row.account_id)
        if once and await endpoints.has_enabled(conn, row.account_id, row.url):
            message = "An enabled endpoint has this URL already. Rotate its secret there if it is lost."
            return invalid(FieldProblem(field="url", message=message, code="duplicate"))
        started = msgspec.structs.replace(row, last_position=await events.newest_position(conn))
        await endpoints.add(conn, started)
        await services.vault.put(conn, row.id, "secret", secret, row.created_at)
        return as_endpoint(started, secret)

    answer = await services.database.writer.run(write)
    if isinstance(answer, Refused):
        raise answer
    log.info("endpoint.made", endpoint_id=row.id, account_id=row.account_id, connection_id=row.connection_id)
    return answer


async def get(services: Services, endpoint_id: str) -> EndpointRow:
    """Return an endpoint.

    Raises:
        Refused: ``not_found``.
    """
    async with services.database.read() as conn:
        row = await endpoints.get(conn, endpoint_id)
    if row is None:
        raise not_found("endpoint", endpoint_id)
    return row


async def list_endpoints(
    services: Services, *, account_id: str | None, cursor: str | None, limit: int
) -> Page[Endpoint]:
    """Return one page of endpoints, newest first: of one account, or all.

    Raises:
        Refused: ``not_found`` for the account.
    """
    async with services.database.read() as conn:
        if account_id is not None:
            await existing(conn, account_id)
        found = await endpoints.list_endpoints(conn, account_id=account_id, before=cursor, limit=limit + 1)
    shown = [as_endpoint(row) for row in found[:limit]]
    return Page(data=shown, next=shown[-1].id if len(found) > limit else None)


async def change(services: Services, row: EndpointRow, patch: EndpointPatch) -> Endpoint:
    """Change URL, event types or description, and disable or enable.

    Raises:
        Refused: ``invalid_input`` naming the URL; ``wrong_state`` for what a subscription asked for.
    """
    if row.connection_id is not None and (patch.url is not None or patch.event_types is not None):
        raise Refused(
            "wrong_state", "This is a subscription of a connection: change it there. It can be disabled here."
        )
    if patch.url is not None and (problems := check_url(patch.url, services.settings)):
        raise invalid(*problems)
    values: dict[str, Any] = {
        name: value for name in ("url", "event_types", "description") if (value := getattr(patch, name)) is not None
    }
    now = services.clock.now()

    async def write(conn: AsyncConnection) -> EndpointRow | None:
        if values:
            await endpoints.change(conn, row.id, **values)
        if patch.disabled is True:
            await disable(conn, row, "manual", now)
        elif patch.disabled is False:
            await _enable(conn, row.id, None, now)
        return await endpoints.get(conn, row.id)

    return _found(await services.database.writer.run(write), row.id)


async def enable(services: Services, row: EndpointRow, replay_from: int | None) -> Endpoint:
    """Enable an endpoint: what was parked goes out, and with ``replay_from`` what it missed after that position.

    An endpoint that is enabled already can be given ``replay_from`` as well.

    Raises:
        Refused: ``invalid_input`` for a position that was never given.
    """
    if replay_from is not None:
        async with services.database.read() as conn:
            check_given("replay_from", replay_from, await events.newest_position(conn))
    now = services.clock.now()
    changed = await services.database.writer.run(lambda conn: _enable(conn, row.id, replay_from, now))
    return _found(changed, row.id)


async def _enable(
    conn: AsyncConnection, endpoint_id: str, replay_from: int | None, now: datetime
) -> EndpointRow | None:
    changed = await endpoints.change(conn, endpoint_id, to_state="enabled", disabled_reason=None, failing_since=None)
    if changed is not None:
        await resume(conn, changed, replay_from, now)
    return changed


def _found(row: EndpointRow | None, endpoint_id: str) -> Endpoint:
    if row is None:
        raise not_found("endpoint", endpoint_id)
    return as_endpoint(row)


async def remove(services: Services, row: EndpointRow) -> None:
    """Remove an endpoint, its secrets, and what waits for it."""
    now = services.clock.now()
    await services.database.writer.run(lambda conn: _remove(services, conn, row.id, now))
    log.info("endpoint.removed", endpoint_id=row.id)


async def _remove(services: Services, conn: AsyncConnection, endpoint_id: str, now: datetime) -> None:
    await endpoints.change(conn, endpoint_id, to_state="disabled", removed_at=now)
    await deliveries.cancel_waiting(conn, endpoint_id, "the endpoint was removed", now)
    await services.vault.delete(conn, endpoint_id)


# --- subscriptions: endpoints that a connection owns ------------------------------------------------------


async def subscribe(
    services: Services,
    connection_row: ConnectionRow,
    url: str,
    event_types: Sequence[str],
    filters: dict[str, Any] | None = None,
) -> Endpoint:
    """Make an endpoint that this connection owns; the same subscription again is answered with the one that is there.

    Raises:
        Refused: ``invalid_input`` naming the URL, an unknown event type, or that there are too many; ``not_connected``
            when the connection was disconnected meanwhile.
    """
    known = get_args(EventType)
    if unknown := sorted(set(event_types) - set(known)):
        message = f"Unknown event types: {', '.join(unknown)}."
        raise invalid(FieldProblem(field="event_types", message=message, code="unknown_event_type"))
    if problems := check_url(url, services.settings):
        raise invalid(*problems)
    wanted_types = sorted(set(event_types))
    new = EndpointRow(
        id=new_id("end"),
        account_id=connection_row.account_id,
        connection_id=connection_row.id,
        url=url,
        event_types=wanted_types,
        filters=filters,
        subscription_key=_subscription_key(connection_row.id, url, wanted_types, filters or {}),
        description=f"Subscription of {connection_row.integration}",
        created_at=services.clock.now(),
    )
    secret = new_secret()
    answer = await services.database.writer.run(lambda conn: _subscribe(services, conn, new, secret))
    if isinstance(answer, Refused):
        raise answer
    if answer.id == new.id:
        log.info("endpoint.made", endpoint_id=new.id, account_id=new.account_id, connection_id=new.connection_id)
    return answer


async def _subscribe(services: Services, conn: AsyncConnection, new: EndpointRow, secret: str) -> Endpoint | Refused:
    """Store a subscription unless it is there; a unique key decides when several processes are asked at once."""
    assert new.connection_id is not None
    assert new.subscription_key is not None
    owner = await connections.get(conn, new.connection_id)
    if owner is None or owner.state == "disconnected":
        return Refused("not_connected", "The connection was disconnected meanwhile; connect again.")
    there = await endpoints.by_subscription_key(conn, new.subscription_key)
    if there is not None:
        return await _subscribed_again(conn, there, new.created_at)
    if await endpoints.count_of_connection(conn, new.connection_id) >= MAX_SUBSCRIPTIONS:
        message = f"There are {MAX_SUBSCRIPTIONS:,} subscriptions already; remove some that are not needed any more."
        return invalid(FieldProblem(field="url", message=message, code="too_many_subscriptions"))
    row = msgspec.structs.replace(new, last_position=await events.newest_position(conn))
    if not await endpoints.add_subscription(conn, row):
        there = await endpoints.by_subscription_key(conn, new.subscription_key)
        return Refused("overloaded", "Ask again.", retry_after=1) if there is None else as_endpoint(there)
    await services.vault.put(conn, row.id, "secret", secret, row.created_at)
    return as_endpoint(row, secret)


async def _subscribed_again(conn: AsyncConnection, there: EndpointRow, now: datetime) -> Endpoint | Refused:
    """Answer with a subscription that is there; one disabled because it kept failing is wanted again, and goes on."""
    if there.state == "enabled":
        return as_endpoint(there)
    if there.disabled_reason == "manual":
        return Refused(
            "wrong_state", f"This subscription ({there.id}) was disabled by an operator, who can enable it again."
        )
    return _found(await _enable(conn, there.id, None, now), there.id)


def _subscription_key(connection_id: str, url: str, event_types: list[str], filters: dict[str, Any]) -> str:
    said = msgspec.json.encode([connection_id, url, event_types, filters], order="sorted")
    return hashlib.sha256(said).hexdigest()


async def unsubscribe(
    services: Services, connection_row: ConnectionRow, endpoint_id: str | None = None, *, url: str | None = None
) -> None:
    """Remove a subscription of this connection by its id, or those with a URL; unknown and foreign ones are left."""
    async with services.database.read() as conn:
        found = [] if endpoint_id is None else [await endpoints.get(conn, endpoint_id)]
        found += [] if url is None else await endpoints.by_url(conn, connection_row.id, url)
    for row in found:
        if row is not None and row.connection_id == connection_row.id:
            await remove(services, row)


async def remove_subscriptions(services: Services, conn: AsyncConnection, connection_id: str, now: datetime) -> int:
    """Remove all endpoints of a connection that is being disconnected; return how many."""
    removed = await endpoints.remove_of_connection(conn, connection_id, now)
    if removed:
        await deliveries.cancel_waiting_of(conn, removed, "the connection was disconnected", now)
        await services.vault.delete_all(conn, removed)
    return len(removed)


async def recent_events(
    services: Services, account_id: str, event_type: str, limit: int = 3, *, since: datetime | None = None
) -> list[Event]:
    """Return an account's newest events of one type, newest first, for samples."""
    async with services.database.read() as conn:
        found = await events.recent(conn, account_id, event_type, limit, since=since)
    return [as_event(row) for row in found]


async def sample_bodies(
    services: Services,
    connection_row: ConnectionRow,
    event_types: Sequence[str],
    filters: dict[str, Any] | None = None,
    limit: int = 3,
) -> list[dict[str, Any]]:
    """Return what a subscription like this would have been sent of recent events, newest first.

    The same hook shapes them that shapes deliveries, so a sample has the keys of the real thing.
    """
    would_be = EndpointRow(
        id="",
        account_id=connection_row.account_id,
        connection_id=connection_row.id,
        url="",
        event_types=sorted(set(event_types)),
        filters=filters,
        created_at=services.clock.now(),
    )
    async with services.database.read() as conn:
        found = await events.recent_of(conn, connection_row.account_id, would_be.event_types, LOOK_BACK)
    fitting = [event for event in found if wants(would_be, event)]
    shaper = Shaper(services)
    bodies: list[dict[str, Any]] = []
    for event in fitting:
        shaped = await shaper.shaped(would_be, event)
        if shaped is not None:
            bodies.append(shaped)
        if len(bodies) == limit:
            break
    return bodies
