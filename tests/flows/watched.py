"""A CRM in memory that tells what happens in it, its plugin, and a gateway that watches it."""

import base64
import json
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from decimal import Decimal
from typing import Any

import httpx
import msgspec
from sqlalchemy import select

from gateway import hookimpl
from gateway.app import create_app, create_worker, open_services
from gateway.plugins import Integration, Registry
from gateway.sdk.errors import InvalidSignature
from gateway.sdk.inbound import AppNotice, WebhookRegistration
from gateway.sdk.polling import ChangePage
from gateway.settings import Settings
from gateway.storage import accounts, campaigns, connections, facts, links, people, rewards, sales
from gateway.storage.campaigns import Resolved, SetupRow
from gateway.storage.connections import ConnectionRow
from gateway.storage.links import NewLink
from gateway.storage.people import PersonRow
from gateway.storage.tables import events as events_table
from gateway.storage.tables import inbound as inbound_table
from gateway.storage.tables import people as people_table
from gateway.storage.tables import tasks as tasks_table
from gateway_schemas.account import AccountInput
from gateway_schemas.base import Money
from gateway_schemas.campaign import CampaignInput, SetupInput
from gateway_schemas.manifest import Feed, Manifest, NoAuth, Parameter, Requirement, Target, Trigger
from gateway_schemas.records import Fact, Record, RecordChange, RecordRef

HOST_KEY = "host-key-for-tests-0123456789abcdef"
TOKEN = "t" * 40
SECRET = "s" * 40

MANIFEST = Manifest(
    key="watched",
    name="Watched CRM",
    category="crm",
    spec_version=1,
    logo_svg="<svg/>",
    summary="A toy.",
    auth=NoAuth(),
    connect_steps=[],
    targets=[
        Target(key="contact", label="Contact", creates=["contact"], rows={}),
        Target(key="lead", label="Lead", creates=["contact", "lead"], rows={}),
        Target(key="deal", label="Deal", creates=["contact", "deal"], rows={}),
    ],
    triggers=[
        Trigger(
            key="won",
            label="A deal is won",
            record_kind="deal",
            targets=["contact", "lead", "deal"],
            requires=[Requirement(fact="won", label="Won")],
            through={"contact": ["contact"], "lead": ["converted"], "deal": ["created"]},
            reversed_by=["open", "lost", "deleted"],
        ),
        Trigger(
            key="stage",
            label="A deal reaches a stage",
            record_kind="deal",
            targets=["contact", "lead", "deal"],
            requires=[Requirement(fact="stage", parameter="stage", label="Stage")],
            through={"contact": ["contact"], "lead": ["converted"], "deal": ["created"]},
            parameters=[Parameter(key="stage", label="Stage", ordered=True)],
            reversed_by=["lost", "deleted"],
        ),
        Trigger(
            key="converted",
            label="A lead converts",
            record_kind="deal",
            targets=["lead"],
            requires=[Requirement(fact="converted", label="Converted")],
            through={"lead": ["converted"]},
            reversed_by=["deleted"],
        ),
    ],
    feeds=[Feed(key="deals", label="Changed deals", interval_seconds=300, healthy_interval_seconds=900)],
    read_batch=3,
    settle_seconds=30,
    allowed_hosts=[".watched.test"],
)


class Crm:
    """The vendor: records by reference, what it would tell, and how it misbehaves."""

    def __init__(self, clock: Any) -> None:
        self.clock = clock
        self.records: dict[RecordRef, Record] = {}
        self.told: list[RecordChange] = []  # messages of webhooks, oldest first
        self.feed: list[Record] = []
        self.page = 100
        self.errors: dict[str, list[Exception]] = {}  # raised by the next calls of a kind, one each
        self.unreadable: set[str] = set()  # ids that make the plugin fail
        self.calls: list[tuple[str, Any]] = []
        self.registered: list[str] = []
        self.may_register = True
        self.makes_secrets = False  # the vendor signs with a secret of its own, told once
        self.hooks: dict[str, str] = {}  # its subscriptions by id, and their secrets
        self.notices: list[AppNotice] = []
        self.messages = 0

    def add(self, kind: str, number: Any, *, state: str = "open", **values: Any) -> RecordRef:
        now = self.clock.now()
        ref = RecordRef(kind=kind, id=str(number))
        values.setdefault("created_at", now)
        self.records[ref] = Record(ref=ref, state=state, updated_at=now, **values)
        self._tell(ref)
        return ref

    def change(self, ref: RecordRef, *, fact: str | None = None, value: str | None = None, **values: Any) -> None:
        """Change a record; a fact that is shown as it is now replaces others of its name."""
        old = self.records[ref]
        shown = [one for one in old.facts if one.name != fact or fact == "won"]
        if fact is not None and not any((one.name, one.value) == (fact, value) for one in shown):
            shown.append(Fact(name=fact, value=value, at=self.clock.now()))
        self.records[ref] = msgspec.structs.replace(old, facts=shown, updated_at=self.clock.now(), **values)
        self._tell(ref)

    def win(self, ref: RecordRef) -> None:
        self.change(ref, state="won", fact="won")

    def delete(self, ref: RecordRef, *, merged_into: str | None = None) -> None:
        old = self.records.pop(ref)
        self.told.append(
            RecordChange(
                ref=ref,
                contact=old.contact,
                deleted=merged_into is None,
                merged_into=merged_into,
                message_id=self._id(),
            )
        )

    def convert(self, lead: RecordRef, number: Any, **values: Any) -> RecordRef:
        old = self.records[lead]
        self.delete(lead)
        converted = Fact(name="converted", at=self.clock.now())
        return self.add(
            "deal", number, origin=lead, contact=old.contact, facts=[converted, *values.pop("facts", [])], **values
        )

    def merge_contacts(self, loser: RecordRef, survivor: RecordRef) -> None:
        for ref, record in list(self.records.items()):
            if record.contact == loser:
                self.records[ref] = msgspec.structs.replace(record, contact=survivor)
        self.delete(loser, merged_into=survivor.id)

    def _tell(self, ref: RecordRef) -> None:
        record = self.records[ref]
        self.told.append(
            RecordChange(
                ref=ref, facts=record.facts, contact=record.contact, message_id=self._id(), occurred_at=self.clock.now()
            )
        )
        if ref.kind == "deal":
            self.feed.append(record)

    def _id(self) -> str:
        self.messages += 1
        return f"m{self.messages}"

    def answer(self, what: str, about: Any) -> None:
        self.calls.append((what, about))
        if self.errors.get(what):
            raise self.errors[what].pop(0)


class Plugin:
    """The hooks over ``Crm``; one an instance, so that tests do not share anything."""

    def __init__(self, crm: Crm) -> None:
        self.crm = crm

    @hookimpl
    def describe(self):
        return MANIFEST

    @hookimpl
    async def read_records(self, connection, refs):
        assert len(refs) <= MANIFEST.read_batch
        self.crm.answer("read", list(refs))
        if any(ref.id in self.crm.unreadable for ref in refs):
            raise KeyError("the plugin has a bug")
        return [self.crm.records[ref] for ref in refs if ref in self.crm.records]

    @hookimpl
    async def find_related(self, connection, ref):
        self.crm.answer("related", ref)
        return [one for one in self.crm.records.values() if ref in (one.contact, one.origin)]

    @hookimpl
    async def poll_changes(self, connection, feed, checkpoint):
        self.crm.answer("poll", checkpoint)
        start = int(checkpoint or 0)
        page = self.crm.feed[start : start + self.crm.page]
        changes = [
            RecordChange(ref=one.ref, facts=one.facts, contact=one.contact, origin=one.origin, record=one)
            for one in page
        ]
        return ChangePage(
            changes=changes, checkpoint=str(start + len(page)), more=start + len(page) < len(self.crm.feed)
        )

    @hookimpl
    async def register_webhooks(self, connection, callback_url):
        self.crm.answer("register", callback_url)
        if not self.crm.may_register:
            from gateway.sdk.errors import NotSupported

            raise NotSupported("the scope is missing")
        self.crm.registered = [callback_url]
        if self.crm.makes_secrets:
            return [self.own_secret(connection, subject) for subject in ("deal", "lead")]
        return [WebhookRegistration(external_id="1", subject="deal")]

    def own_secret(self, connection, subject):
        """Leave one subscription whose secret is known: the vendor tells it in the answer that makes it."""
        crm = self.crm
        ours = [key for key in crm.hooks if key.startswith(subject)]
        for key in ours:
            if key in connection.webhook_secrets:
                return WebhookRegistration(external_id=key, subject=subject)
            del crm.hooks[key]
        crm.messages += 1
        made = f"{subject}-{crm.messages}"
        crm.hooks[made] = f"secret-of-{made}"
        crm.answer("made", made)
        return WebhookRegistration(external_id=made, subject=subject, secret=crm.hooks[made])

    @hookimpl
    def verify_webhook(self, connection, request):
        if self.crm.makes_secrets:
            proofs = {f"Bearer {one}" for one in connection.webhook_secrets.values()}
            if request.headers.get("authorization") not in proofs:
                raise InvalidSignature("wrong secret")
            return
        if request.headers.get("authorization") != f"Bearer {connection.inbound_secret}":
            raise InvalidSignature("wrong secret")

    @hookimpl
    def webhook_id(self, request):
        said = json.loads(request.body)  # fails on garbage, as a careless plugin would
        return said["id"] if isinstance(said, dict) else None

    @hookimpl
    def read_webhook(self, connection, request):
        return msgspec.convert(json.loads(request.body)["changes"], list[RecordChange])

    @hookimpl
    def verify_app_call(self, settings, request):
        if request.headers.get("x-app") != SECRET:
            raise InvalidSignature("not the vendor")

    @hookimpl
    def read_app_call(self, settings, request):
        return msgspec.json.decode(request.body, type=list[dict[str, Any]]) and self.crm.notices


class Watching:
    """A gateway over the CRM; helpers put things where other flows would."""

    def __init__(self, services: Any, crm: Crm) -> None:
        self.services = services
        self.crm = crm
        self.worker = create_worker(services, lease_seconds=60)
        self.worker._periodic.pop("check_setups", None)  # this vendor has no lists to check setups by
        self.app = create_app(services)
        self.api = httpx.AsyncClient(
            transport=httpx.ASGITransport(self.app),
            base_url="https://gateway.test",
            headers={"authorization": f"Bearer {HOST_KEY}"},
        )
        self.row: ConnectionRow = None  # type: ignore[assignment]

    @property
    def now(self):
        return self.services.clock.now()

    async def write(self, fn):
        return await self.services.database.writer.run(fn)

    async def read(self, fn):
        async with self.services.database.read() as conn:
            return await fn(conn)

    # --- what stands before --------------------------------------------------------------------------

    async def begin(
        self,
        *,
        trigger: str | None = "won",
        target: str = "deal",
        reverse: str = "until_issued",
        campaign: str = "spring",
        parameters: dict[str, str] | None = None,
        accepts: dict[str, list[str]] | None = None,
        sale_value: dict[str, str] | None = None,
        rewards: list[dict[str, Any]] | None = None,
    ) -> None:
        """Make account, connection, campaign and setup; again with another campaign, or to change one."""
        import hashlib

        async def make(conn):
            await accounts.put(conn, "acme", AccountInput(name="Acme", currency="EUR"), self.now)
            if self.row is None:
                self.row = ConnectionRow(
                    id="con_1",
                    account_id="acme",
                    integration="watched",
                    category="crm",
                    state="active",
                    identity="tenant",
                    created_at=self.now,
                    state_since=self.now,
                    activated_at=self.now,
                    webhooks="healthy",
                    inbound_token_hash=hashlib.sha256(TOKEN.encode()).hexdigest(),
                )
                await connections.add(conn, self.row)
                await self.services.vault.put(conn, "con_1", "inbound_secret", SECRET, self.now)
                await self.services.vault.put(conn, "con_1", "inbound_token", TOKEN, self.now)
            given = msgspec.convert({"name": campaign, "state": "live", "rewards": rewards or []}, CampaignInput)
            await campaigns.upsert(conn, "acme", campaign, given, self.now)
            rule = None if trigger is None else {"trigger": trigger, "parameters": parameters or {}, "reverse": reverse}
            body = msgspec.convert({"target": target, "qualification": rule, "sale_value": sale_value}, SetupInput)
            row = SetupRow(
                id=campaigns.new_setup_id(),
                account_id="acme",
                campaign_id=campaign,
                role="referred",
                connection_id="con_1",
                integration="watched",
                identity="tenant",
                body=body,
                resolved=Resolved(accepts=accepts or {}),
                state="ready",
                problems=[],
                updated_at=self.now,
            )
            await campaigns.save_setup(conn, row)

        await self.write(make)

    async def person(
        self,
        name: str = "fred",
        *,
        campaign: str = "spring",
        role: str = "referred",
        referrer: str | None = "rita",
        records: tuple[RecordRef, ...] = (),
        test: bool = False,
        **changes: Any,
    ) -> str:
        """Put a person with records where a signup and its push would have put them; returns the id."""
        if referrer is not None and role == "referred":
            await self.referrer(referrer, campaign=campaign)

        async def make(conn):
            row = PersonRow(
                id=f"per_{name}",
                account_id="acme",
                campaign_id=campaign,
                role=role,
                email=f"{name}@example.com",
                email_hash=f"{campaign}:{role}:{name}",
                code=f"{campaign}-{name}",
                state="pending" if role == "referred" else None,
                crm="linked",
                crm_since=self.now,
                test=test,
                referrer_id=f"per_{referrer}" if referrer is not None and role == "referred" else None,
                signed_up_at=changes.pop("signed_up_at", self.now),
                created_at=self.now,
                updated_at=self.now,
                **changes,
            )
            await conn.execute(people_table.insert().values(msgspec.structs.asdict(row)))
            new = [
                NewLink(
                    account_id="acme",
                    connection_id="con_1",
                    record_kind=ref.kind,
                    record_id=ref.id,
                    person_id=row.id,
                    how="created",
                    email_hash=row.email_hash,
                )
                for ref in records
            ]
            await links.add(conn, new, self.now)
            return row.id

        return await self.write(make)

    async def referrer(self, name: str = "rita", *, campaign: str = "spring") -> str:
        known = await self.read(lambda conn: people.by_id(conn, f"per_{name}"))
        return known.id if known else await self.person(name, campaign=campaign, role="referrer")

    # --- what happens --------------------------------------------------------------------------------

    async def post(
        self,
        body: bytes,
        *,
        token: str = TOKEN,
        secret: str = SECRET,
        connection: str = "con_1",
        integration: str = "watched",
    ):
        return await self.api.post(
            f"/v1/inbound/{integration}/{connection}/{token}",
            content=body,
            headers={"authorization": f"Bearer {secret}", "content-type": "application/json"},
        )

    async def deliver(self, told: list[RecordChange] | None = None) -> None:
        """Deliver what the CRM has to tell (or these messages), each answered with a 2xx, and drain."""
        messages = self.crm.told if told is None else told
        if told is None:
            self.crm.told = []
        for one in messages:
            answer = await self.post(msgspec.json.encode({"id": one.message_id, "changes": [one]}))
            assert answer.status_code == 200, answer.text
        await self.drain()

    async def drain(self) -> int:
        return await self.worker.drain()

    async def later(self, **delta: float) -> None:
        self.services.clock.advance(timedelta(**delta))
        await self.drain()

    async def call(self, method: str, path: str, body: Any = None, expect: int = 200):
        response = await self.api.request(method, path, json=body)
        assert response.status_code == expect, f"{response.status_code} {response.text}"
        return response.json()

    # --- what became of it -----------------------------------------------------------------------------

    async def get(self, person: str) -> PersonRow:
        found = await self.read(lambda conn: people.by_id(conn, person))
        assert found is not None
        return found

    async def states(self, *persons: str) -> list[str | None]:
        return [(await self.get(person)).state for person in persons]

    async def links(self, person: str) -> dict[str, str]:
        found = (await self.read(lambda conn: links.of_people(conn, [person])))[person]
        return {f"{one.record_kind} {one.record_id}": one.how + (" gone" if one.gone_at else "") for one in found}

    async def rewards(self, person: str) -> list[rewards.RewardRow]:
        return (await self.read(lambda conn: rewards.of_people(conn, [person]))).get(person, [])

    async def sales(self, person: str) -> list[tuple[str, Decimal, str]]:
        found = (await self.read(lambda conn: sales.of_people(conn, [person]))).get(person, [])
        return [(one.external_reference, one.amount, one.currency) for one in found]

    async def facts(self, person: str) -> set[tuple[str, str, str]]:
        found = (await self.read(lambda conn: facts.of_people(conn, [person]))).get(person, [])
        return {(one.record_id, one.fact, one.value) for one in found}

    async def timeline(self, person: str) -> dict[str, Any]:
        return await self.call("GET", f"/v1/accounts/acme/people/{person}/timeline")

    async def why(self, person: str) -> dict[str, Any]:
        return (await self.timeline(person))["why"]

    async def told_host(self, *types: str) -> list[tuple[str, dict[str, Any]]]:
        statement = select(events_table.c.type, events_table.c.data).order_by(
            events_table.c.sequence, events_table.c.id
        )
        rows = await self.read(lambda conn: conn.execute(statement))
        return [(kind, data) for kind, data in rows if not types or kind in types]

    async def inbound(self) -> list[Any]:
        rows = await self.read(lambda conn: conn.execute(select(inbound_table).order_by(inbound_table.c.id)))
        return list(rows)

    async def tasks(self, kind: str, state: str = "available") -> list[Any]:
        statement = select(tasks_table).where(tasks_table.c.kind == kind, tasks_table.c.state == state)
        return list(await self.read(lambda conn: conn.execute(statement)))


def eur(amount: Any) -> Money:
    return Money(amount=Decimal(str(amount)), currency="EUR")


@asynccontextmanager
async def watching(database: Any, database_url: str, **settings: Any):
    """Open a gateway with the toy integration over a migrated database."""
    async with AsyncExitStack() as stack:
        crm = Crm(database.clock)
        chosen = Settings(
            database_url=database_url,
            public_url="https://gateway.test",
            host_keys=[HOST_KEY],
            secret_keys=["k1:" + base64.urlsafe_b64encode(b"0" * 32).decode()],
            **settings,
        )
        registry = Registry([Integration("watched", Plugin(crm))])
        services = await stack.enter_async_context(
            open_services(chosen, integrations=registry, clock=database.clock, environ={})
        )
        gateway = Watching(services, crm)
        stack.push_async_callback(gateway.api.aclose)
        yield gateway
