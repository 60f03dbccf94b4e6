"""Automations: what they receive has one shape, and their routes let nobody in.

Rules of subscriptions (made, filtered, removed by what the automation asks) go here.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, cast, get_args

from gateway.flows.connections.opening import open_connection
from gateway.flows.notify.envelopes import as_event
from gateway.flows.notify.subjects import of_events
from gateway.sdk.connection import Connection
from gateway.sdk.subjects import EventSubjects
from gateway.storage import connections, events
from gateway.testing.conformance.rules import Stage, expect, needs, rule
from gateway.testing.conformance.scenes import connected
from gateway.testing.driver import AutomationDriver
from gateway.testing.world import World
from gateway_schemas.account import Scope
from gateway_schemas.events import Endpoint, Event, EventType

_shapes = needs("shape_event", "It takes events as they are.")
SCOPES: tuple[str, ...] = get_args(Scope)


@rule("bronze", applies=needs("routes", "It serves no routes."))
async def guards_its_routes(stage: Stage) -> None:
    """Guards each of its routes by a scope, and answers nobody without a key that has it."""
    async with connected(stage) as (world, _):
        keys = {scope: await _key(world, scope) for scope in SCOPES}
        for route in world.integration.hooks.routes():
            what = f"{route.method} {route.path}"
            known = dict.fromkeys((*SCOPES, world.subject.key))
            expect(route.scope in known, f"{what} asks for the scope {route.scope!r}; there are {', '.join(known)}")
            path = "/".join("x" if part.startswith("{") else part for part in route.path.strip("/").split("/"))
            url = f"/v1/apps/{world.subject.key}/{path}"
            lacking = next(key for scope, key in keys.items() if scope != route.scope)
            # a body that the route cannot read may be refused before the scope is looked at
            for key, wanted in (("", {401}), ("wrong", {401}), (lacking, {403, 400, 422} if route.takes else {403})):
                answer = await world.api.request(
                    route.method, url, json={}, headers={"authorization": f"Bearer {key}" if key else ""}
                )
                said = f"{what} answered {answer.status_code} to a key that may not call it"
                expect(answer.status_code in wanted, said)


async def _key(world: World, scope: str) -> str:
    made = await world.call("POST", "/v1/accounts/acme/keys", {"name": f"only {scope}", "scopes": [scope]})
    return str(made["key"])


@rule("silver", applies=_shapes)
async def shapes_events_alike(stage: Stage) -> None:
    """Gives all events of one type the same keys, whatever is known of the person."""
    async with connected(stage) as (world, connection):
        shapes = await _shapes_by_type(world, connection)
        expect(shapes, "shape_event left every event out")
        for (event_type, _), bodies in shapes.items():
            keys = [_keys(body) for body in bodies]
            differing = sorted({key for some in keys for key in some ^ keys[0]})
            expect(not differing, f"{event_type}: some events have these keys and some do not: {differing}")


@rule("silver", applies=_shapes)
async def samples_look_like_events(stage: Stage) -> None:
    """Offers samples that have the same keys as what it delivers."""
    async with connected(stage) as (world, connection):
        compared = 0
        shapes = await _shapes_by_type(world, connection)
        key = {scope: await _key(world, scope) for scope in SCOPES}
        scopes = {route.path.strip("/"): route.scope for route in world.integration.hooks.routes()}
        for (event_type, role), bodies in shapes.items():
            path = cast("AutomationDriver", world.driver).samples(event_type)
            if path is None:  # no route of its own shows them: what its routes would be given by the host
                async with world.services.database.read() as conn:
                    row = await connections.get(conn, connection)
                assert row is not None
                opened = await open_connection(world.services, row)
                samples = await opened.host.sample_bodies([event_type], filters={"role": role})
            else:
                scope = scopes.get(path.partition("?")[0].strip("/"), SCOPES[-1])
                samples = await world.call(
                    "GET",
                    f"/v1/apps/{world.subject.key}/{path.lstrip('/')}",
                    headers={"authorization": f"Bearer {key[scope]}"},
                )
            compared += len(samples)
            for sample in samples:
                # to the event that is most like it: that events of one type are alike is a rule of its own
                differing = min((sorted(_keys(sample) ^ _keys(body)) for body in bodies), key=len)
                expect(not differing, f"{event_type}: samples and events differ in {differing}")
        expect(compared, "there are no samples of what was shaped")


async def _shapes_by_type(world: World, connection: str) -> dict[tuple[str, str | None], list[dict[str, Any]]]:
    """Let things happen to people of whom much and little is known; return what is made of each event.

    By the type of the event and, where its data names one, the role: a subscription is filtered by both.
    """
    await _happen(world)
    async with world.services.database.read() as conn:
        row = await connections.get(conn, connection)
    assert row is not None
    opened = await open_connection(world.services, row)
    async with world.services.database.read() as conn:
        found = await events.recent_of(conn, row.account_id, get_args(EventType), limit=200)
    subjects = await of_events(world.services, found)
    shapes: dict[tuple[str, str | None], list[dict[str, Any]]] = defaultdict(list)
    for event in map(as_event, found):
        body = _shape(world, opened, event, subjects[event.id])
        if body is not None:
            shapes[event.type, event.data.get("role")].append(body)
    return dict(shapes)


def _shape(world: World, connection: Connection, event: Event, subjects: EventSubjects) -> dict[str, Any] | None:
    endpoint = Endpoint(
        id="end_conformance",
        url="https://host.test/hook",
        event_types=[event.type],
        account=event.account,
        description="",
        state="enabled",
        disabled_reason=None,
        failing_since=None,
        created_at=event.occurred_at,
        last_position=0,
        connection=connection.id,
    )
    return world.integration.hooks.shape_event(connection=connection, event=event, endpoint=endpoint, subjects=subjects)


async def _happen(world: World) -> None:
    share = {"key": "share", "kind": "percentage", "percent": "10", "cap": "100", "currency": "EUR", "on": "sale"}
    fixed = {"key": "fixed", "kind": "fixed", "amount": "20", "currency": "EUR"}
    await world.campaign(rewards=[share, fixed])
    rich = {"first_name": "Rita", "last_name": "Referrer", "phone": "+49301234567", "external_id": "r1"}
    rita = await world.signup(role="referrer", person={"email": "rita@example.com", **rich})
    code = (await world.person(rita["person"]))["code"]
    known = {"email": "fred@example.com", **rich, "external_id": "f1"}
    fred = await world.signup(person=known, referrer={"code": code}, source="landing_page")
    bare = await world.signup(person={"email": "bare@example.com", "first_name": "Bo"})
    for person, more in ((fred, {"sale_value": {"amount": "100", "currency": "EUR"}, "reason": "Bought."}), (bare, {})):
        path = f"/v1/accounts/acme/people/{person['person']}"
        await world.call("POST", f"{path}/qualification", {"qualified": True, **more})
        await world.call("POST", f"{path}/sales", {"amount": "50", "currency": "EUR", "external_reference": "s1"})
    await world.drain()


def _keys(body: Any, path: str = "") -> set[str]:
    """Return the paths of all keys; lists count as one of their elements."""
    if isinstance(body, Mapping):
        inner = [_keys(value, f"{path}.{key}" if path else str(key)) for key, value in body.items()]
        return {f"{path}.{key}" if path else str(key) for key in body}.union(*inner)
    if isinstance(body, Sequence) and not isinstance(body, str | bytes) and body:
        return _keys(body[0], f"{path}[]")
    return set()


RULES = (guards_its_routes,)
MORE = (shapes_events_alike, samples_look_like_events)
