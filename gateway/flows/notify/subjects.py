"""Whom and what events are about: read for a whole batch in a constant number of statements, for ``shape_event``."""

from collections.abc import Iterable, Sequence
from typing import Any

from gateway.flows.services import Services
from gateway.sdk.subjects import EventSubjects
from gateway.storage import campaigns, connections, people
from gateway.storage.events import EventRow

_PEOPLE = ("person", "referrer", "referred")
"""Keys of ``data`` that name one person."""


async def of_events(services: Services, events: Sequence[EventRow]) -> dict[str, EventSubjects]:
    """Return the subjects of each event, by the event's id."""
    # imported when needed: people have something to tell, and so need notify, which needs us
    from gateway.flows.campaigns.campaign import shown as shown_campaign
    from gateway.flows.connections.connect_steps import shown as shown_connection
    from gateway.flows.people.shapes import shown

    async with services.database.read() as conn:
        rows = await people.by_ids(conn, {one for event in events for one in named_people(event.data)})
        by_id = {person.id: person for person in await shown(conn, list(rows.values()))}
        named = {(event.account_id, event.data.get("campaign")) for event in events}
        found = {
            (account, campaign): await campaigns.get(conn, account, campaign)
            for account, campaign in sorted((a, c) for a, c in named if isinstance(c, str))
        }
        wanted = sorted({one for event in events if isinstance(one := event.data.get("connection"), str)})
        rows_of = {one: await connections.get(conn, one) for one in wanted}
    subjects = {}
    for event in events:
        campaign = found.get((event.account_id, event.data.get("campaign", "")))
        connection = rows_of.get(event.data.get("connection", ""))
        subjects[event.id] = EventSubjects(
            campaign=None if campaign is None else shown_campaign(campaign),
            people={
                one: by_id[one]
                for one in named_people(event.data)
                if one in by_id and by_id[one].account == event.account_id
            },
            connection=None if connection is None else shown_connection(services, connection),
        )
    return subjects


def named_people(data: dict[str, Any]) -> Iterable[str]:
    """Return the ids of the people whom an event's data names."""
    listed = data.get("people")
    imported = [one.get("person") for one in listed] if isinstance(listed, list) else []
    return [one for one in [*(data.get(key) for key in _PEOPLE), *imported] if isinstance(one, str)]
