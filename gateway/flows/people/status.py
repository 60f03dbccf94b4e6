"""Tell what changed about people: counts to the host, and link, code and counts to the CRM.

A change inserts a task (``status_tasks``) that carries no values; when it runs it reads the newest. So any number of
changes in a row cost one write, and an older value never overwrites a newer one.
"""

from collections.abc import Collection
from datetime import datetime

from msgspec.structs import replace

from gateway.flows import mishaps
from gateway.flows.campaigns.setup_checks import locality_of
from gateway.flows.connections import opening
from gateway.flows.notify.notify import publish
from gateway.flows.people.shapes import mapping_campaign, mapping_person, stats_event
from gateway.flows.people.status_tasks import SOURCES, counts_changed
from gateway.flows.services import Services
from gateway.sdk import errors
from gateway.sdk.connection import StatusPush
from gateway.sdk.mapping import render
from gateway.storage import accounts, campaigns, connections, links, people, sync_contacts, timeline
from gateway.storage.campaigns import SetupRow
from gateway.storage.connections import ConnectionRow
from gateway.storage.engine import AsyncConnection
from gateway.storage.links import LinkRow
from gateway.storage.people import PersonRow
from gateway.storage.running import Done, Fail, Handler, Outcome, TaskRun
from gateway.storage.tasks import Task
from gateway.storage.timeline import NewEntry

__all__ = ["counts_changed", "handlers"]

PUSH_SECONDS = 60.0


class PublishStats:
    """Tells the host a referrer's newest counts."""

    def __init__(self, services: Services) -> None:
        self._services = services

    async def run(self, run: TaskRun) -> Outcome:
        """Publish ``referrer.stats_updated`` with what the counts are now."""
        person_id = run.task.args["person"]
        now = run.now()

        async def write(conn: AsyncConnection) -> None:
            person = await people.by_id(conn, person_id)
            if person is not None:
                await publish(conn, [stats_event(person)], now)

        return Done(apply=write)

    async def failed(self, conn: AsyncConnection, task: Task, error: str, now: datetime) -> None:
        """Leave it: the next change tells the newest counts."""


class PushStatus:
    """Writes a person's newest link, code and counts to the CRM."""

    def __init__(self, services: Services) -> None:
        self._services = services

    async def run(self, run: TaskRun) -> Outcome:
        """Read the newest values and write them to each record that the setup maps them to."""
        person_id = run.task.args["person"]
        async with self._services.database.read() as conn:
            person = await people.by_id(conn, person_id)
            if person is None or person.crm != "linked":
                return Done()
            row = await connections.active_crm(conn, person.account_id)
            if row is None or connections.lane(row) != run.task.lane:
                return Done()  # the next connection's push carries the newest
            setup = await campaigns.setup(conn, row.id, person.campaign_id, person.role)
            linked = (await links.of_people(conn, [person_id]))[person_id]
            campaign = await campaigns.get(conn, person.account_id, person.campaign_id)
            account = await accounts.get(conn, person.account_id)
            by_sync = await sync_contacts.written_fields(conn, person_id)
        integration = self._services.integrations.get(row.integration)
        if (
            setup is None
            or campaign is None
            or account is None
            or integration is None
            or not integration.has("push_status")
        ):
            return Done()
        body = replace(
            setup.body,
            mapping=[
                one
                for one in setup.body.mapping
                if one.source in SOURCES
                # what a contact sync keeps up to date is written by it, once
                and not (one.record_kind == integration.manifest.contact_kind and one.field in by_sync)
            ],
            defaults=[],
            referrer_fields=[],
        )
        mapped = render(
            body,
            setup.resolved.fields,
            person=mapping_person(person),
            referrer=None,
            campaign=mapping_campaign(campaign),
            locality=locality_of(account),
        )
        try:
            connection = await opening.open_connection(self._services, row, run=run)
            for kind, values in mapped.values.items():
                link = _target(linked, row, kind)
                if link is None or not values:
                    continue
                push = StatusPush(
                    reference=person_id, record=link.ref, values=values, fields=setup.resolved.fields.get(kind, ())
                )
                try:
                    await integration.call(
                        integration.hooks.push_status(connection=connection, push=push), timeout_seconds=PUSH_SECONDS
                    )
                except errors.RecordGone:
                    return _gone(person, link, linked, run.now())
        except errors.MappingBroken as error:
            return mishaps.mapping_broken(setup, error, run.now())
        except (errors.Rejected, errors.NotSupported) as error:
            return _refused(person, row, setup, str(error), run.now())
        except Exception as error:  # noqa: BLE001 - what any other error means is decided in one place
            return await mishaps.outcome_of(run, row, error)
        return Done()

    async def failed(self, conn: AsyncConnection, task: Task, error: str, now: datetime) -> None:
        """Note on the timeline that the CRM shows older values."""
        entry = NewEntry(
            task.args["person"],
            task.account_id or "",
            "status.failed",
            "Link and counts could not be written to the CRM; the next change tries again.",
        )
        await timeline.add(conn, [entry], now)


def _target(linked: Collection[LinkRow], row: ConnectionRow, kind: str) -> LinkRow | None:
    """Return the newest record of this kind that the push made or found."""
    own = [
        one
        for one in linked
        if one.connection_id == row.id
        and one.record_kind == kind
        and one.gone_at is None
        and one.how in ("created", "matched", "updated")
    ]
    return own[-1] if own else None


def _gone(person: PersonRow, gone: LinkRow, linked: Collection[LinkRow], now: datetime) -> Outcome:
    async def write(conn: AsyncConnection) -> None:
        await links.mark_gone(conn, gone.connection_id, [gone.ref], now)
        left = [
            one
            for one in linked
            if one.gone_at is None and one.ref != gone.ref and one.connection_id == gone.connection_id
        ]
        if not left:
            await people.set_crm(conn, [person.id], "gone", now, cause="record_gone")
        text = f"The {gone.record_kind} {gone.record_id} is not in the CRM any more; nothing is written to it."
        await timeline.add(
            conn, [NewEntry(person.id, person.account_id, "record.gone", text, {"record": gone.ref})], now
        )

    return Done(apply=write)


def _refused(person: PersonRow, row: ConnectionRow, setup: SetupRow, said: str, now: datetime) -> Outcome:
    message = mishaps.scrubbed(said)

    async def write(conn: AsyncConnection) -> None:
        text = f"The CRM refused link and counts: {message}"
        data = {"connection": row.id, "setup": setup.id}
        await timeline.add(conn, [NewEntry(person.id, person.account_id, "status.refused", text, data)], now)

    return Fail(error=message, apply=write)


def handlers(services: Services) -> dict[str, Handler]:
    """Return the handler of each task kind of this flow."""
    return {"push_status": PushStatus(services), "publish_stats": PublishStats(services)}
