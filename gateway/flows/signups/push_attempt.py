"""One attempt of a push whose connection and setup are there: freeze, call the plugin, and say how it ended."""

from collections.abc import Sequence
from datetime import datetime

import msgspec

from gateway.flows import mishaps
from gateway.flows.connections import opening
from gateway.flows.contact_index import existing
from gateway.flows.services import Services
from gateway.flows.signups.doubts import wait_for_others
from gateway.flows.signups.once import Step, Steps
from gateway.flows.signups.push_endings import delivered, let_go, link_to, parked, refused, words
from gateway.flows.signups.pushing import Ready, freeze
from gateway.plugins import Integration
from gateway.sdk import errors
from gateway.sdk.connection import Connection, Push, PushedRecord
from gateway.storage import links, people, pushes, timeline
from gateway.storage.engine import AsyncConnection
from gateway.storage.pushes import Frozen, ToFreeze
from gateway.storage.running import Apply, Done, Outcome, Park, Retry, TaskRun, Together
from gateway.storage.timeline import NewEntry
from gateway_schemas.records import RecordRef

PUSH_SECONDS = 120.0
"""How long all calls of one push may take together; each has a time-out of its own."""

ANEW = ":anew"
"""Pseudo step: the push was begun anew once, because a record that it built on was gone."""


class Attempt:
    """One attempt of a push."""

    def __init__(self, services: Services, task_run: TaskRun, ready: Ready) -> None:
        self._services, self._run, self._ready = services, task_run, ready
        earlier = ready.push
        self._frozen: Frozen | None = earlier.frozen if earlier is not None else None
        # the state of the person that the values show, so that what changes on the way is seen at the end
        frozen_before = earlier is not None and earlier.frozen is not None
        self._shown_at = earlier.frozen_at if earlier is not None and frozen_before else ready.person.updated_at
        integration = services.integrations.get(ready.row.integration)
        self._settle_seconds = 0.0 if integration is None else integration.manifest.settle_seconds
        self._steps = Steps(
            task_run,
            task_run.steps or (earlier.steps if earlier is not None else None),
            settle_seconds=self._settle_seconds,
            on_begin=self._store_frozen,
            on_finish=self._store_record,
        )

    async def run(self) -> Outcome:
        """Freeze, open the connection, and let the plugin push; not while another push of this e-mail is in doubt."""
        ready, steps = self._ready, self._steps
        waiting = wait_for_others(
            ready.person.id, steps.steps, ready.others, settle_seconds=self._settle_seconds, now=self._run.now()
        )
        if waiting is not None:
            return waiting
        if self._frozen is None:
            self._frozen, problems = freeze(ready)
            if problems:
                said = "The signup does not fit the mapping."
                return refused(ready, steps, "rejected", said, problems, self._run.now())
        try:
            return await self._push(self._frozen)
        except errors.Rejected as error:
            return refused(ready, steps, "rejected", str(error), error.problems, self._run.now())
        except errors.NotSupported as error:
            return refused(ready, steps, "not_supported", str(error), [], self._run.now())
        except errors.MappingBroken as error:
            return self._parked(error)
        except Exception as error:  # noqa: BLE001 - what any other error means is decided in one place
            outcome = await mishaps.outcome_of(self._run, ready.row, error, settle_seconds=self._settle_seconds)
            return self._doubted(outcome) if isinstance(error, errors.OutcomeUnknown) else outcome

    async def _push(self, frozen: Frozen) -> Outcome:
        ready = self._ready
        integration = opening.usable_integration(self._services, ready.row.integration)
        if not integration.has("push_signup"):
            raise errors.NotSupported(f"{integration.manifest.name} takes no signups")
        connection = await opening.open_connection(self._services, ready.row, run=self._run)
        if not self._steps.steps and frozen.existing is None:
            looked = await self._look(integration, connection, frozen)
            if isinstance(looked, Park):
                return looked
            frozen = self._frozen = looked
        own = {one.ref for one in self._steps.records}
        push = Push(
            reference=frozen.reference,
            role=frozen.role,
            campaign_name=frozen.campaign_name,
            email=frozen.email,
            values=frozen.values,
            target=frozen.target,
            target_options=frozen.target_options,
            duplicates=frozen.duplicates,
            known=tuple(ref for ref in self._known() if ref not in own),
            existing=tuple(frozen.existing or ()),
            existing_complete=frozen.existing_complete,
            fields=ready.setup.resolved.fields,
            code=ready.person.code,
            once=self._steps,
        )
        try:
            calling = integration.hooks.push_signup(connection=connection, push=push)
            result = await integration.call(calling, timeout_seconds=PUSH_SECONDS)
        except errors.RecordGone as error:
            return await self._anew(integration, connection, error)
        return Done(apply=delivered(ready, result, self._shown_at, frozen.notes, self._run.now()))

    async def _look(self, integration: Integration, connection: Connection, frozen: Frozen) -> Frozen | Park:
        """Find out whether the e-mail is a contact already, before the first write, or wait until that can be known."""
        services, ready, now = self._services, self._ready, self._run.now()
        found = await existing.look(services, integration, connection, ready.row, frozen.email, run=self._run)
        if existing.must_wait(services, ready, found, frozen.duplicates, now):
            return existing.wait(services, integration, ready, found, now)
        return msgspec.structs.replace(
            frozen,
            existing=found.refs,
            existing_complete=found.complete,
            notes=[*frozen.notes, *existing.not_checked(found, frozen.duplicates)],
        )

    def _known(self) -> list[RecordRef]:
        return [link.ref for link in self._ready.known]

    # --- what commits with the steps -------------------------------------------------------------

    def _store_frozen(self) -> Apply:
        ready = self._ready
        assert self._frozen is not None
        to_freeze = ToFreeze(
            person_id=ready.person.id,
            connection_id=ready.row.id,
            setup_id=ready.setup.id,
            frozen=self._frozen,
            frozen_at=self._shown_at,
        )
        return Together(write_frozen, to_freeze)

    def _store_record(self, record: PushedRecord) -> Apply:
        return Together(write_made, Made(self._ready, record, self._run.now()))

    # --- how it ends -----------------------------------------------------------------------------

    def _parked(self, error: errors.MappingBroken) -> Outcome:
        now = self._run.now()

        async def write(conn: AsyncConnection) -> None:
            await let_go(conn, self._ready, self._steps, now)
            await parked(self._ready, mishaps.scrubbed(str(error)), now)(conn)

        return mishaps.mapping_broken(self._ready.setup, error, now, write)

    def _doubted(self, outcome: Outcome) -> Outcome:
        if not isinstance(outcome, Retry):
            return outcome
        now = self._run.now()
        text = "No full answer came from the CRM; before anything is written again we look whether it was done."
        entry = NewEntry(self._ready.person.id, self._ready.person.account_id, "push.in_doubt", text)

        async def write(conn: AsyncConnection) -> None:
            await timeline.add(conn, [entry], now)

        return msgspec.structs.replace(outcome, apply=write)

    async def _anew(self, integration: Integration, connection: Connection, error: errors.RecordGone) -> Outcome:
        """Find out which record is gone, drop it, and begin anew, once."""
        person, steps = self._ready.person, self._steps
        refs = list(dict.fromkeys([*self._known(), *(one.ref for one in steps.records)]))
        missing = await _missing(integration, connection, refs)
        if not missing or ANEW in steps.steps:
            return refused(self._ready, steps, "record_gone", str(error), [], self._run.now())
        now = self._run.now()
        steps.forget(missing)
        steps.steps[ANEW] = Step(begun_at=now, attempt=self._run.task.attempt)
        named = ", ".join(f"{one.kind} {one.id}" for one in missing)
        text = f"Gone from the CRM, so the signup does without: {named}."
        entry = NewEntry(person.id, person.account_id, "record.gone", text, {"records": missing})

        async def write(conn: AsyncConnection) -> None:
            await links.mark_gone(conn, self._ready.row.id, missing, now)
            await timeline.add(conn, [entry], now)

        await self._run.save_steps(steps.stored, write)
        return Retry(error=mishaps.scrubbed(str(error)), after_seconds=0)


class Made(msgspec.Struct, frozen=True):
    """What a step of a push made or found."""

    ready: Ready
    record: PushedRecord
    now: datetime


async def write_frozen(conn: AsyncConnection, new: Sequence[ToFreeze]) -> None:
    """Store what pushes send, before their first step begins.

    Raises:
        RetryLater: A person was erased; nothing may be sent.
    """
    current = await people.email_hashes(conn, [one.person_id for one in new])
    for one in new:
        if current.get(one.person_id) is None:
            raise errors.RetryLater("the person was erased", after_seconds=0, lane_wide=False)
    await pushes.freeze(conn, new)


async def write_made(conn: AsyncConnection, made: Sequence[Made]) -> None:
    """Write down the records that steps made or found, with the end of these steps."""
    now = max(one.now for one in made)
    hashes = await people.email_hashes(conn, [one.ready.person.id for one in made])  # none is left of who was erased
    linked = []
    entries = []
    for one in made:
        person = one.ready.person
        link = link_to(one.record, person, one.ready.row.id)
        linked.append(msgspec.structs.replace(link, email_hash=hashes.get(person.id, person.email_hash)))
        data = {"record": one.record.ref, "how": one.record.how}
        entries.append(NewEntry(person.id, person.account_id, "push.step", f"{words(one.record)}.", data))
    await links.add(conn, linked, now)
    await timeline.add(conn, entries, now)


async def _missing(integration: Integration, connection: Connection, refs: Sequence[RecordRef]) -> list[RecordRef]:
    """Return those records that the vendor does not have any more; all of them where it cannot be asked."""
    if not refs or not integration.has("read_records"):
        return list(refs)
    there: set[RecordRef] = set()
    size = integration.manifest.read_batch
    for start in range(0, len(refs), size):
        reading = integration.hooks.read_records(connection=connection, refs=refs[start : start + size])
        found = await integration.call(reading, timeout_seconds=PUSH_SECONDS)
        there |= {record.ref for record in found if record.state != "deleted" and record.merged_into is None}
    return [ref for ref in refs if ref not in there]
