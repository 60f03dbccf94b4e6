"""Whom and what an event is about, as they stand now: given to ``shape_event`` beside the event."""

from collections.abc import Mapping

import msgspec

from gateway_schemas.campaign import Campaign
from gateway_schemas.connection import Connection
from gateway_schemas.person import Person


class EventSubjects(msgspec.Struct, frozen=True, kw_only=True):
    """What the ids in an event's ``data`` name; the event tells what happened, these tell who it was.

    Attributes:
        campaign: Its campaign; null for events of no campaign, or when it was deleted meanwhile.
        people: By id, everybody whom ``data`` names (as person, referrer or referred, or in a list of imported people);
            who was erased meanwhile is left out.
        connection: The connection that ``data`` names.
    """

    campaign: Campaign | None = None
    people: Mapping[str, Person] = {}
    connection: Connection | None = None
