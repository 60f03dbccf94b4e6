"""Take a signup into the CRM: never lost, and never twice.

What is sent is frozen with the first step and mapped anew only after a refusal that proves that nothing is in doubt. Each step goes
through ``flows.once``; its record is linked to the person in the transaction that finishes it, so the next push for the same e-mail
knows it, whatever becomes of this one.
"""

from collections.abc import Sequence
from datetime import datetime

import msgspec

from gateway.flows import attention, mishaps, opening, reauth
from gateway.flows.held import push_task, told_held
from gateway.flows.inbound import look_at
from gateway.flows.notify import publish
from gateway.flows.once import Step, Steps
from gateway.flows.pushing import Loaded, freeze, load
from gateway.flows.services import Services
from gateway.flows.shapes import signup_event
from gateway.flows.status_tasks import tasks_for
from gateway.plugins import Integration
from gateway.sdk import errors
from gateway.sdk.connection import Connection, Push, PushedRecord, PushResult
from gateway.sdk.errors import Problem
from gateway.storage import links, people, pushes, timeline
from gateway.storage.connections import lane as lane_of
from gateway.storage.engine import AsyncConnection
from gateway.storage.links import NewLink
from gateway.storage.people import Change
from gateway.storage.pushes import Place
from gateway.storage.running import Apply, Done, Fail, Handler, Outcome, Park, Retry, TaskRun
from gateway.storage.tasks import Task, insert_tasks
from gateway.storage.timeline import NewEntry
from gateway_schemas.person import LinkedRecord
from gateway_schemas.records import RecordRef

__all__ = ["handlers", "replay_push"]

PUSH_SECONDS = 120.0
"""How long all calls of one push may take together; each has a time-out of its own."""

ANEW = ":anew"
"""Pseudo step: the push was begun anew once, because a record that it built on was gone."""


class PushSignup:
    """Takes one signup into the CRM."""

    def __init__(self, services: Services) -> None:
        self._services = services

    async def run(self, run: TaskRun) -> Outcome:
        """Push what can be pushed; else hold, park or refuse it with the cause."""
        async with self._services.database.read() as conn:
            loaded = await load(conn, run.task.args["person"])
        if loaded is None or loaded.person.crm != "waiting":
            return Done()  # it was delivered, held or refused meanwhile
        if (elsewhere := _not_now(loaded, run)) is not None:
            return elsewhere
        return await _Attempt(self._services, run, loaded).run()

    async def failed(self, conn: AsyncConnection, task: Task, error: str, now: datetime) -> None:
        """Refuse the signup: its attempts are used up. A replay goes on from the steps that were done."""
        person_id = task.args["person"]
        person = await people.by_id(conn, person_id)
        if person is None or person.crm == "linked":
            return
        await pushes.keep_task_steps(conn, person_id, task.id)
        message = (
            f"It could not be delivered in {task.tries} attempts; the last one said: {mishaps.scrubbed(error, 300)}"
        )
        await people.set_crm(conn, [person_id], "refused", now, cause="failed", note=message)
        await timeline.add(
            conn, [NewEntry(person_id, person.account_id, "signup.refused", message, {"cause": "failed"})], now
        )
        await publish(conn, [signup_event("signup.refused", person, cause="failed", message=message)], now)


def _not_now(loaded: Loaded, run: TaskRun) -> Outcome | None:
    """Return what becomes of a push that cannot go out as things are; ``None`` when it can."""
    person, row, setup = loaded.person, loaded.row, loaded.setup
    if row is None:
        return _hold(loaded, "no_connection", run.now())
    if lane_of(row) != run.task.lane:
        return _move(loaded, lane_of(row), run)
    if row.state == "needs_reauth":
        return Park(cause=reauth.park_cause(row), error="the connection needs re-authorisation")
    if setup is None or loaded.campaign is None or loaded.account is None:
        return _hold(loaded, "no_setup", run.now())
    if setup.state != "ready":
        message = "; ".join(problem.message for problem in setup.problems) or "Its setup needs attention."
        told = person.crm_cause == "setup_needs_attention"
        tell = None if told else parked(loaded, message, run.now())
        return Park(
            cause=attention.park_cause(setup.id), error=message, apply=attention.parking(setup, run.now(), tell)
        )
    if person.email is None:
        return Done()  # erased
    return None


def _hold(loaded: Loaded, cause: str, now: datetime) -> Outcome:
    person = msgspec.structs.replace(loaded.person, crm="held", crm_cause=cause)

    async def write(conn: AsyncConnection) -> None:
        entry, event = told_held(person, loaded.row.id if loaded.row is not None else None)
        await people.set_crm(conn, [person.id], "held", now, cause=cause)
        await timeline.add(conn, [entry], now)
        await publish(conn, [event], now)

    return Done(apply=write)


def _move(loaded: Loaded, lane: str, run: TaskRun) -> Outcome:
    """Push it to the CRM that the account is connected to now."""
    now = run.now()

    async def write(conn: AsyncConnection) -> None:
        await pushes.keep_task_steps(conn, loaded.person.id, run.task.id)
        await insert_tasks(conn, [push_task(loaded.person, lane)], now)

    return Done(apply=write)


def parked(loaded: Loaded, message: str, now: datetime) -> Apply:
    """Return the writes of a signup that waits for its mapping to be mended."""

    async def write(conn: AsyncConnection) -> None:
        person, cause = loaded.person, "setup_needs_attention"
        connection = loaded.row.id if loaded.row is not None else None
        await people.set_crm(conn, [person.id], "waiting", now, cause=cause, note=message, unless=("linked",))
        await timeline.add(
            conn, [NewEntry(person.id, person.account_id, "signup.parked", message, {"cause": cause})], now
        )
        await publish(
            conn, [signup_event("signup.parked", person, connection=connection, cause=cause, message=message)], now
        )

    return write


class _Attempt:
    """One attempt of a push whose connection, setup and campaign are there."""

    def __init__(self, services: Services, run: TaskRun, loaded: Loaded) -> None:
        assert loaded.row is not None
        assert loaded.setup is not None
        self.services, self.run_, self.loaded = services, run, loaded
        self.person, self.row, self.setup = loaded.person, loaded.row, loaded.setup
        earlier = loaded.push
        self.frozen = earlier.frozen if earlier is not None else None
        # the state of the person that the values show, so that what changed since is seen at the end
        self.frozen_at = (
            earlier.frozen_at if earlier is not None and earlier.frozen is not None else self.person.updated_at
        )
        self.steps = Steps(
            run,
            run.steps or (earlier.steps if earlier is not None else None),
            settle_seconds=self._settle_seconds(),
            on_begin=self._store_frozen,
            on_finish=self._finished,
        )

    def _settle_seconds(self) -> float:
        integration = self.services.integrations.get(self.row.integration)
        return 0.0 if integration is None else integration.manifest.settle_seconds

    async def run(self) -> Outcome:
        """Freeze, open the connection, and let the plugin push."""
        now = self.run_.now()
        if self.frozen is None:
            self.frozen, problems = freeze(self.loaded)
            if problems:
                return self._refuse("rejected", "The signup does not fit the mapping.", problems, now)
        try:
            integration = opening.usable_integration(self.services, self.row.integration)
            if not integration.has("push_signup"):
                raise errors.NotSupported(f"{integration.manifest.name} takes no signups")
            connection = await opening.open_connection(self.services, self.row, run=self.run_)
            push = Push(
                reference=self.frozen.reference,
                role=self.frozen.role,
                campaign_name=self.frozen.campaign_name,
                email=self.frozen.email,
                values=self.frozen.values,
                target=self.frozen.target,
                target_options=self.frozen.target_options,
                duplicates=self.frozen.duplicates,
                known=tuple(ref for ref in self._known() if ref not in {one.ref for one in self.steps.records}),
                fields=self.setup.resolved.fields,
                code=self.person.code,
                once=self.steps,
            )
            try:
                calling = integration.hooks.push_signup(connection=connection, push=push)
                result = await integration.call(calling, timeout_seconds=PUSH_SECONDS)
            except errors.RecordGone as error:
                return await self._anew(integration, connection, error)
        except errors.Rejected as error:
            return self._refuse("rejected", str(error), error.problems, self.run_.now())
        except errors.NotSupported as error:
            return self._refuse("not_supported", str(error), [], self.run_.now())
        except errors.MappingBroken as error:
            return self._park(error, self.run_.now())
        except Exception as error:  # noqa: BLE001 - what any other error means is decided in one place
            outcome = await mishaps.outcome_of(self.run_, self.row, error, settle_seconds=self._settle_seconds())
            return self._doubted(outcome) if isinstance(error, errors.OutcomeUnknown) else outcome
        return Done(apply=self._delivered(result, self.run_.now()))

    def _known(self) -> list[RecordRef]:
        return [link.ref for link in self.loaded.known]

    # --- what commits with the steps -------------------------------------------------------------

    async def _store_frozen(self, conn: AsyncConnection) -> None:
        assert self.frozen is not None
        current = await people.by_id(conn, self.person.id)
        if current is None or current.email is None:
            raise errors.RetryLater("the person was erased", after_seconds=0, lane_wide=False)
        await pushes.freeze(conn, self.person.id, self.row.id, self.setup.id, self.frozen, self.frozen_at)

    async def _finished(self, conn: AsyncConnection, record: PushedRecord) -> None:
        now = self.run_.now()
        await links.add(conn, [self._link(record)], now)
        text = f"{_words(record)}."
        entry = NewEntry(
            self.person.id, self.person.account_id, "push.step", text, {"record": record.ref, "how": record.how}
        )
        await timeline.add(conn, [entry], now)

    def _link(self, record: PushedRecord) -> NewLink:
        return NewLink(
            account_id=self.person.account_id,
            connection_id=self.row.id,
            record_kind=record.ref.kind,
            record_id=record.ref.id,
            person_id=self.person.id,
            how=record.how,
            email_hash=self.person.email_hash,
            url=record.url,
        )

    # --- how it ends -----------------------------------------------------------------------------

    def _delivered(self, result: PushResult, now: datetime) -> Apply:
        person, row = self.person, self.row
        records = [LinkedRecord(ref=one.ref, how=one.how, url=one.url) for one in result.records]
        notes = [*(self.frozen.notes if self.frozen is not None else []), *result.notes]
        if result.others:
            notes.append(
                "More contacts with this e-mail: " + ", ".join(f"{one.kind} {one.id}" for one in result.others) + "."
            )
        if result.cannot_qualify is not None:
            notes.append(result.cannot_qualify)
        text = " ".join(
            ["Delivered to the CRM:", "; ".join(_words(one) for one in result.records) or "nothing was written", *notes]
        )

        async def write(conn: AsyncConnection) -> None:
            current = await people.by_id(conn, person.id)
            await links.add(conn, [self._link(one) for one in result.records], now)
            await people.set_crm(conn, [person.id], "linked", now)
            if result.cannot_qualify != person.cannot_qualify:
                await people.change(conn, [Change(id=person.id, values={"cannot_qualify": result.cannot_qualify})], now)
            data = {"records": records, "others": result.others, "connection": row.id}
            await timeline.add(conn, [NewEntry(person.id, person.account_id, "signup.delivered", text, data)], now)
            await publish(conn, [signup_event("signup.delivered", person, connection=row.id, records=records)], now)
            if person.role == "referred" and self.setup.body.qualification is not None:
                await insert_tasks(conn, [look_at([person.id], row)], now)
            if current is not None and current.updated_at != self.frozen_at:  # it changed on its way
                await insert_tasks(conn, await tasks_for(conn, [msgspec.structs.replace(current, crm="linked")]), now)

        return write

    def _refuse(self, cause: str, said: str, problems: Sequence[Problem], now: datetime) -> Outcome:
        shown = [{"field": one.field, "message": mishaps.scrubbed(one.message), "code": one.code} for one in problems]
        message = mishaps.scrubbed("; ".join(one.message for one in problems) or said)
        person, row = self.person, self.row

        async def write(conn: AsyncConnection) -> None:
            await people.set_crm(conn, [person.id], "refused", now, cause=cause, note=message, unless=("linked",))
            await self._let_go(conn, now)
            data = {"cause": cause, "problems": shown, "connection": row.id}
            await timeline.add(conn, [NewEntry(person.id, person.account_id, "signup.refused", message, data)], now)
            await publish(
                conn, [signup_event("signup.refused", person, connection=row.id, cause=cause, message=message)], now
            )

        return Fail(error=f"{cause}: {message}", apply=write)

    def _park(self, error: errors.MappingBroken, now: datetime) -> Outcome:
        async def write(conn: AsyncConnection) -> None:
            await self._let_go(conn, now)
            await parked(self.loaded, mishaps.scrubbed(str(error)), now)(conn)

        return mishaps.mapping_broken(self.setup, error, now, write)

    async def _let_go(self, conn: AsyncConnection, now: datetime) -> None:
        """Keep what was done for a later attempt; unless something is in doubt, the values are mapped anew then."""
        if self.steps.steps:
            await pushes.keep_steps(conn, self.person.id, self.row.id, self.setup.id, self.steps.stored, now)
        if not self.steps.in_doubt:
            await pushes.thaw(conn, self.person.id)

    def _doubted(self, outcome: Outcome) -> Outcome:
        if not isinstance(outcome, Retry):
            return outcome
        now = self.run_.now()
        text = "No full answer came from the CRM; before anything is written again we look whether it was done."
        entry = NewEntry(self.person.id, self.person.account_id, "push.in_doubt", text)

        async def write(conn: AsyncConnection) -> None:
            await timeline.add(conn, [entry], now)

        return msgspec.structs.replace(outcome, apply=write)

    async def _anew(self, integration: Integration, connection: Connection, error: errors.RecordGone) -> Outcome:
        """Find out which record is gone, drop it, and begin anew, once."""
        refs = list(dict.fromkeys([*self._known(), *(one.ref for one in self.steps.records)]))
        missing = await _missing(integration, connection, refs)
        if not missing or ANEW in self.steps.steps:
            return self._refuse("record_gone", str(error), [], self.run_.now())
        now = self.run_.now()
        self.steps.forget(missing)
        self.steps.steps[ANEW] = Step(begun_at=now, attempt=self.run_.task.attempt)
        text = (
            "Gone from the CRM, so the signup does without: "
            + ", ".join(f"{one.kind} {one.id}" for one in missing)
            + "."
        )

        async def write(conn: AsyncConnection) -> None:
            await links.mark_gone(conn, self.row.id, missing, now)
            await timeline.add(
                conn, [NewEntry(self.person.id, self.person.account_id, "record.gone", text, {"records": missing})], now
            )

        await self.run_.save_steps(self.steps.stored, write)
        return Retry(error=mishaps.scrubbed(str(error)), after_seconds=0)


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


def _words(record: PushedRecord) -> str:
    how = {"created": "was created", "matched": "was there already", "updated": "was there and was updated"}[record.how]
    return f"{record.ref.kind} {record.ref.id} {how}"


# --- again -------------------------------------------------------------------------------------------


async def replay_push(conn: AsyncConnection, person_id: str, now: datetime) -> bool:
    """Push a signup again that was refused, or whose record is gone; return whether it goes out now.

    What was done already is not done again; a signup whose records are gone is pushed as if for the first time.
    """
    person = (await people.lock(conn, [person_id])).get(person_id)
    if person is None or not person.signed_up or person.crm == "linked":
        return False
    if person.crm == "gone":
        await pushes.forget(conn, person_id)
    place = Place(person.account_id, person.campaign_id, person.role)
    await pushes.lock_accounts(conn, [person.account_id])
    destination = (await pushes.destinations(conn, [place])).get(place)
    if destination is None or destination.setup_id is None:
        cause = "no_connection" if destination is None else "no_setup"
        await people.set_crm(conn, [person_id], "held", now, cause=cause)
        return False
    await people.set_crm(conn, [person_id], "waiting", now)
    await insert_tasks(conn, [push_task(person, destination.lane)], now)
    await timeline.add(
        conn, [NewEntry(person_id, person.account_id, "signup.replayed", "The signup is sent again.")], now
    )
    return True


def handlers(services: Services) -> dict[str, Handler]:
    """Return the handler of each task kind of this flow."""
    return {"push_signup": PushSignup(services)}
