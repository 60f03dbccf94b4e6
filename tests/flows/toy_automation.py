"""A third party's automation: it serves one route and shapes one event, and the host knows nothing of it."""

from typing import Any

import msgspec

from gateway import hookimpl
from gateway.sdk.connection import Connection
from gateway.sdk.errors import Problem, Rejected
from gateway.sdk.routes import Answer, Call, Route
from gateway.sdk.subjects import EventSubjects
from gateway_schemas.events import Endpoint, Event
from gateway_schemas.manifest import AccountKey, Manifest

MANIFEST = Manifest(
    key="relay",
    name="Relay",
    category="automation",
    spec_version=1,
    logo_svg="<svg/>",
    summary="Tells a chat room who joined.",
    auth=AccountKey(instructions=["Copy the key.", "Paste it in Relay."]),
    connect_steps=[],
    deliveries_per_second=3,
)


class Listen(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    url: str
    campaign: str | None = None


class Listening(msgspec.Struct, frozen=True, kw_only=True):
    id: str


class Told(msgspec.Struct, frozen=True, kw_only=True):
    id: str
    who: str | None
    invited_by: str | None
    campaign: str | None


@hookimpl
def describe() -> Manifest:
    return MANIFEST


@hookimpl
def shape_event(event: Event, endpoint: Endpoint, subjects: EventSubjects) -> dict[str, Any] | None:
    person = subjects.people.get(event.data["person"])
    if person is None or person.test:
        return None
    referrer = subjects.people.get(event.data["referrer"] or "")
    told = Told(
        id=event.id,
        who=person.first_name,
        invited_by=referrer.first_name if referrer is not None else None,
        campaign=subjects.campaign.name if subjects.campaign is not None else None,
    )
    return msgspec.to_builtins(told)


async def listen(connection: Connection, call: Call) -> Listening | Answer:
    asked: Listen = call.body
    if call.query.get("mood") == "grumpy":
        raise Rejected("No.", [Problem(field="url", message="Ask politely.", code="grumpy")])
    filters = {"role": "referred", "campaign": asked.campaign}
    made = await connection.host.subscribe(asked.url, ["signup.accepted"], filters=filters)
    body = Listening(id=made.id)
    return body if made.secret is not None else Answer(status=200, body=body)


@hookimpl
def routes() -> list[Route]:
    return [
        Route(
            method="POST",
            path="/listen",
            scope="relay",
            handler=listen,
            takes=Listen,
            returns=Listening,
            summary="Listen to signups.",
            query={"mood": "How you ask."},
        )
    ]
