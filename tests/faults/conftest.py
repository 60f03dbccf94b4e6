"""A CRM in memory and the real flows around it, for faults that no real vendor gives on request."""

import asyncio
import base64
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import httpx
import pytest
import structlog
import structlog.testing
from sqlalchemy import insert, select, update

from gateway import hookimpl
from gateway.flows.connections.host import AccountHost
from gateway.flows.notify import notify
from gateway.flows.people import status
from gateway.flows.services import Services
from gateway.flows.signups import push, signup
from gateway.plugins import Integration, Registry
from gateway.sdk import errors
from gateway.sdk.clock import Clock
from gateway.sdk.connection import PushedRecord, PushResult
from gateway.settings import Settings
from gateway.storage import people, timeline
from gateway.storage.engine import Database
from gateway.storage.tables import accounts, campaigns, connections, events, links, setups, tasks
from gateway.storage.vault import Vault
from gateway.worker import Worker
from gateway_schemas.base import FieldValue
from gateway_schemas.campaign import FormField
from gateway_schemas.manifest import Manifest, NoAuth
from gateway_schemas.records import Field, Record, RecordRef

SETTLE_SECONDS = 30
Fault = Callable[[Callable[[], Any]], Awaitable[Any]]


class ToyCrm:
    """Contacts and leads in memory; ``faults`` maps a step to what happens to its next write."""

    def __init__(self) -> None:
        self.records: dict[RecordRef, dict[str, FieldValue]] = {}
        self.references: dict[RecordRef, str] = {}
        self.faults: dict[str, list[Fault]] = {}
        self.statuses: list[tuple[RecordRef, dict[str, FieldValue]]] = []
        self.writes: list[str] = []
        self.running: dict[str, int] = {}
        self.together = False
        self.lead_step = "lead"
        self.before_status: Callable[[], None] | None = None

    def of(self, kind: str) -> list[RecordRef]:
        return [ref for ref in self.records if ref.kind == kind]

    def make(self, kind: str, reference: str, values: dict[str, FieldValue]) -> RecordRef:
        ref = RecordRef(kind=kind, id=str(len(self.writes) + 1))
        self.writes.append(f"{kind} {values.get('email')}")
        self.records[ref] = dict(values)
        self.references[ref] = reference
        return ref

    async def write(self, step: str, make: Callable[[], Any]) -> Any:
        waiting = self.faults.get(step) or []
        return await waiting.pop(0)(make) if waiting else make()

    def next(self, step: str, *faults: Fault) -> None:
        self.faults.setdefault(step, []).extend(faults)


def before(error: Exception) -> Fault:
    """The vendor refuses, or the request never arrives."""

    async def fault(make: Callable[[], Any]) -> Any:
        raise error

    return fault


def after(error: BaseException) -> Fault:
    """The vendor does it, and the answer is lost."""

    async def fault(make: Callable[[], Any]) -> Any:
        make()
        raise error

    return fault


class ToyPlugin:
    """Writes a contact, found by e-mail, and a lead."""

    def __init__(self, crm: ToyCrm) -> None:
        self.crm = crm

    @hookimpl
    def describe(self) -> Manifest:
        return Manifest(
            key="toy",
            name="Toy",
            category="crm",
            spec_version=1,
            logo_svg="",
            summary="",
            auth=NoAuth(),
            connect_steps=[],
            settle_seconds=SETTLE_SECONDS,
        )

    @hookimpl
    async def push_signup(self, connection: Any, push: Any) -> PushResult:
        crm = self.crm
        crm.running[push.email] = crm.running.get(push.email, 0) + 1
        crm.together |= crm.running[push.email] > 1
        try:
            await asyncio.sleep(0)
            known = [ref for ref in push.known if ref.kind == "contact"]
            if known:
                if known[0] not in crm.records:
                    raise errors.RecordGone(f"contact {known[0].id} is gone")
                contact = PushedRecord(ref=known[0], how="matched")
            else:
                contact = await push.once(
                    "contact",
                    find=lambda since: self.find("contact", push),
                    create=lambda: self.create("contact", push),
                )
            if push.target == "contact":
                return PushResult(records=[contact])
            if contact.ref not in crm.records:
                raise errors.RecordGone(f"contact {contact.ref.id} is gone")
            lead = await push.once(
                crm.lead_step, find=lambda since: self.find("lead", push), create=lambda: self.create("lead", push)
            )
            return PushResult(records=[contact, lead])
        finally:
            crm.running[push.email] -= 1

    async def find(self, kind: str, push: Any) -> PushedRecord | None:
        for ref in self.crm.of(kind):
            if self.crm.references[ref] == push.reference:
                return PushedRecord(ref=ref, how="created")
        return None

    async def create(self, kind: str, push: Any) -> PushedRecord:
        ref = await self.crm.write(kind, lambda: self.crm.make(kind, push.reference, push.values.get(kind, {})))
        return PushedRecord(ref=ref, how="created", url=f"https://toy.test/{ref.id}")

    @hookimpl
    async def read_records(self, connection: Any, refs: Any) -> list[Record]:
        return [Record(ref=ref, state="open") for ref in refs if ref in self.crm.records]

    @hookimpl
    async def push_status(self, connection: Any, push: Any) -> None:
        if self.crm.before_status is not None:
            self.crm.before_status()
        if push.record not in self.crm.records:
            raise errors.RecordGone("gone")
        self.crm.statuses.append((push.record, dict(push.values)))


class ToyWorld:
    """One process over the toy CRM; ``again`` is another process, or the same one after a crash."""

    def __init__(self, database: Database, crm: ToyCrm, services: Services) -> None:
        self.database, self.crm, self.services = database, crm, services
        self.clock: Clock = services.clock
        self.before, self.after = before, after
        self.worker = self.new_worker()

    def new_worker(self) -> Worker:
        handlers: dict[str, Any] = {}
        for flow in (signup, push, status, notify):
            handlers |= flow.handlers(self.services)
        return Worker(self.database, handlers, process_id="toy")

    def crash(self) -> None:
        """Forget the worker; a new one takes over."""
        self.worker = self.new_worker()

    async def drain(self) -> None:
        await self.worker.drain()

    async def later(self, **delta: float) -> None:
        self.clock.advance(timedelta(**delta))
        await self.drain()

    async def write(self, fn: Any) -> Any:
        return await self.database.writer.run(fn)

    async def connect(
        self,
        *,
        campaigns_: tuple[str, ...] = ("spring",),
        target: str = "lead",
        state: str = "ready",
        setup: bool = True,
    ) -> None:
        now = self.clock.now()

        async def write(conn: Any) -> None:
            await conn.execute(
                insert(connections).values(
                    id="con_1",
                    account_id="acme",
                    integration="toy",
                    category="crm",
                    state="active",
                    identity="t1",
                    identity_claim="t1",
                    granted=[],
                    limitations=[],
                    properties={},
                    created_at=now,
                    state_since=now,
                )
            )

        await self.write(write)
        for campaign in campaigns_ if setup else ():
            await self.set_up(campaign, target=target, state=state)

    async def set_up(self, campaign: str = "spring", *, target: str = "lead", state: str = "ready") -> None:
        fields = {
            kind: [
                Field(key="email", label="E-mail", type="email", required=True),
                *map(_text, ("name", "code", "link", "by", "count")),
            ]
            for kind in ("contact", "lead")
        }
        mapping = [
            {"record_kind": kind, "field": field, "source": source}
            for kind in ("contact", "lead")
            for field, source in (
                ("email", "person.email"),
                ("name", "person.first_name"),
                ("code", "person.code"),
                ("link", "person.link"),
                ("count", "person.referral_count"),
            )
        ]

        async def write(conn: Any) -> None:
            for role in ("referred", "referrer"):
                body = {
                    "target": target if role == "referred" else "contact",
                    "mapping": mapping,
                    "duplicates": "fill_empty",
                }
                if role == "referred":
                    body["referrer_fields"] = [{"record_kind": "lead", "field": "by", "source": "referrer.first_name"}]
                await conn.execute(
                    insert(setups).values(
                        id=f"set_{campaign}_{role}",
                        account_id="acme",
                        campaign_id=campaign,
                        role=role,
                        connection_id="con_1",
                        integration="toy",
                        identity="t1",
                        body=body,
                        resolved={"fields": fields},
                        state=state,
                        problems=[],
                        updated_at=self.clock.now(),
                    )
                )

        await self.write(write)

    async def sign_up(
        self, email: str = "friend@example.com", *, campaign: str = "spring", role: str = "referred", **changes: Any
    ) -> str:
        """Accept a signup and return the person's id."""
        person = {"email": email, "first_name": "Fiona", **changes.pop("person", {})}
        (result,) = await signup.submit(self.services, "acme", campaign, [{"role": role, "person": person, **changes}])
        assert not result.problems, result.problems
        assert result.person is not None
        return result.person

    async def person(self, person_id: str) -> people.PersonRow:
        async with self.database.read() as conn:
            found = await people.by_id(conn, person_id)
        assert found is not None
        return found

    async def timeline(self, person_id: str) -> list[str]:
        async with self.database.read() as conn:
            return [one.kind for one in await timeline.of_person(conn, person_id)]

    async def events(self, person_id: str) -> list[str]:
        async with self.database.read() as conn:
            return list(
                (
                    await conn.execute(
                        select(events.c.type).where(events.c.person_id == person_id).order_by(events.c.sequence)
                    )
                ).scalars()
            )

    async def links(self, person_id: str) -> list[tuple[str, str, str]]:
        async with self.database.read() as conn:
            rows = await conn.execute(
                select(links.c.record_kind, links.c.record_id, links.c.how)
                .where(links.c.person_id == person_id, links.c.gone_at.is_(None))
                .order_by(links.c.id)
            )
            return [tuple(row) for row in rows]  # type: ignore[misc]

    async def tasks(self, kind: str) -> list[Any]:
        async with self.database.read() as conn:
            return list(await conn.execute(select(tasks).where(tasks.c.kind == kind).order_by(tasks.c.id)))

    async def repair(self, campaign: str = "spring", role: str = "referred") -> None:
        """A person mends the setup and saves it."""
        from gateway.storage import campaigns as storage
        from gateway.storage.tasks import release_parked

        async def mend(conn: Any) -> None:
            await conn.execute(
                update(setups)
                .where(setups.c.campaign_id == campaign, setups.c.role == role)
                .values(state="ready", problems=[])
            )
            row = await storage.setup(conn, "con_1", campaign, role)
            assert row is not None
            await signup.released_by_setup(conn, row, self.clock.now())
            await release_parked(conn, f"setup:{row.id}")

        await self.write(mend)


def _text(key: str) -> Field:
    return Field(key=key, label=key.title(), type="text")


@pytest.fixture(autouse=True)
def quiet() -> Any:
    """Bugs are logged on purpose here; formatting their tracebacks with all locals would take seconds each."""
    with structlog.testing.capture_logs():
        yield


@pytest.fixture
async def toy(database: Database) -> Any:
    """An account with two live campaigns; its CRM is not connected yet."""
    crm = ToyCrm()
    settings = Settings(host_keys=["k" * 32], secret_keys=["k1:" + base64.urlsafe_b64encode(b"0" * 32).decode()])
    vault = Vault(settings.secret_keys)
    await vault.load(database)
    now = database.clock.now()

    async def write(conn: Any) -> None:
        await conn.execute(
            insert(accounts).values(
                id="acme", name="Acme", timezone="Europe/Berlin", currency="EUR", locale="en", created_at=now
            )
        )
        for campaign in ("spring", "autumn"):
            await conn.execute(
                insert(campaigns).values(
                    account_id="acme",
                    id=campaign,
                    name=campaign.title(),
                    state="live",
                    link_template="https://r.example/{code}",
                    rewards=[],
                    fields=[FormField(key="size", label="Size")],
                    created_at=now,
                    updated_at=now,
                )
            )

    await database.writer.run(write)
    unreachable = httpx.MockTransport(lambda _: httpx.Response(500))
    async with httpx.AsyncClient(transport=unreachable) as nobody:
        services = Services(
            settings=settings,
            database=database,
            integrations=Registry([Integration("toy", ToyPlugin(crm))]),
            vault=vault,
            clock=database.clock,
            vendor_transport=unreachable,
            vendor_http=nobody,
            webhook_http=nobody,
            host_for=AccountHost,
        )
        yield ToyWorld(database, crm, services)
