"""A CRM that is connected in stages, cannot be searched by e-mail, and makes jobs of bookings; and a gateway over it.

Its credentials are checked by the vendor of ``toys`` (a token for a client id and secret); its records are in memory.
"""

import json
import types
from contextlib import AsyncExitStack
from typing import Any

import msgspec

from gateway import hookimpl
from gateway.flows.connections.app_calls import app_token
from gateway.plugins import Integration
from gateway.sdk.connection import PushedRecord, PushResult
from gateway.sdk.errors import InvalidSignature, NotSupported, Rejected
from gateway.sdk.errors import Problem as FieldError
from gateway.sdk.inbound import Hint
from gateway.sdk.polling import ChangePage
from gateway.storage import people, rewards, sales
from gateway_schemas.base import Money
from gateway_schemas.connection import VendorAccount
from gateway_schemas.manifest import (
    ConnectStep,
    Credentials,
    DuplicatePolicy,
    Feed,
    Manifest,
    MappingRow,
    OptionSource,
    Parameter,
    RateBudget,
    RecordKind,
    Requirement,
    StepField,
    Target,
    Trigger,
)
from gateway_schemas.records import ContactSeen, Fact, Field, Option, Record, RecordChange, RecordRef

from .toys import FormSettings, Gateway, Vendor, open_gateway

API = "https://api.form.test"
STATUSES = ["Scheduled", "Dispatched", "InProgress", "Completed"]
APART = ["Hold", "Canceled"]

ROWS = [
    MappingRow(record_kind="booking", field="name", label="Name", source="person.full_name", required="always"),
    MappingRow(record_kind="booking", field="email", label="Email", source="person.email", required="always"),
]
MANIFEST = Manifest(
    key="booked",
    name="Booked CRM",
    category="crm",
    spec_version=1,
    logo_svg="<svg/>",
    summary="A toy.",
    auth=Credentials(token_path="/token", base_url_setting="auth_url"),
    connect_steps=[
        ConnectStep(
            key="tenant",
            kind="form",
            title="Tenant",
            fields=[StepField(key="tenant", label="Tenant id", pattern=r"[0-9]+", help="Digits only.")],
        ),
        ConnectStep(key="approval", kind="approval", title="Approval", instructions=["We add you to our app."]),
        ConnectStep(
            key="finalise",
            kind="form",
            title="Finalise",
            fields=[
                StepField(key="client_id", label="Client id"),
                StepField(key="client_secret", label="Client secret", secret=True),
                StepField(key="provider", label="Booking provider"),
            ],
        ),
    ],
    allowed_hosts=[".form.test"],
    record_kinds=[
        RecordKind(key="contact", label="Customer", is_contact=True, merges=True),
        RecordKind(key="booking", label="Booking"),
        RecordKind(key="job", label="Job", sale_value=True),
    ],
    targets=[
        Target(key="booking", label="Booking", creates=["booking"], rows={"referred": ROWS, "referrer": ROWS}),
    ],
    duplicates=[
        DuplicatePolicy(key="skip", label="No booking", description="Nothing is written."),
        DuplicatePolicy(key="create", label="Book all the same", description="A booking is made."),
    ],
    default_duplicates="skip",
    triggers=[
        Trigger(
            key="booking_to_job",
            label="A booking becomes a job",
            record_kind="job",
            targets=["booking"],
            requires=[Requirement(fact="job", label="Became a job")],
            through={"booking": ["converted"]},
        ),
        Trigger(
            key="job_status",
            label="A booking becomes a job and the job reaches a status",
            record_kind="job",
            targets=["booking"],
            requires=[
                Requirement(fact="job", label="Became a job"),
                Requirement(fact="status", parameter="status", label="Status"),
            ],
            through={"booking": ["converted"]},
            parameters=[Parameter(key="status", label="Status", source="statuses", ordered=True)],
            reversed_by=["Canceled", "deleted"],
        ),
    ],
    option_sources=[OptionSource(key="statuses", label="Statuses")],
    feeds=[
        Feed(key="bookings", label="Bookings", interval_seconds=300, healthy_interval_seconds=300),
        Feed(key="contacts", label="Customers", interval_seconds=300, healthy_interval_seconds=300, contacts=True),
    ],
    rate_budget=RateBudget(burst_calls=600, burst_seconds=1),
    read_batch=50,
    settle_seconds=30,
)


class Booked:
    """The vendor: customers, bookings and jobs, what was asked, and how it misbehaves."""

    def __init__(self, clock: Any) -> None:
        self.clock = clock
        self.contacts: list[ContactSeen] = []  # the feed of customers, oldest change first
        self.page = 100
        self.bookings: dict[str, dict[str, Any]] = {}
        self.jobs: dict[str, Record] = {}
        self.changes: list[RecordChange] = []  # the feed of bookings and jobs
        self.asks_customers = False  # whether an existing customer is named as a record
        self.searchable: bool | None = None  # null: the plugin has no search; false: this account may not use it
        self.unsearched: set[str] = set()  # contacts that the search does not know, though the feed does
        self.errors: dict[str, list[Exception]] = {}
        self.calls: list[tuple[str, Any]] = []
        self.manifest = MANIFEST

    def asked(self, what: str, about: Any = None) -> None:
        self.calls.append((what, about))
        if self.errors.get(what):
            raise self.errors[what].pop(0)

    def count(self, what: str) -> int:
        return sum(1 for one, _ in self.calls if one == what)

    def customer(self, number: Any, *emails: str, **values: Any) -> None:
        self.contacts.append(ContactSeen(id=str(number), emails=list(emails), **values))

    def booking(self, number: Any) -> Record:
        one = self.bookings[str(number)]
        return Record(
            ref=RecordRef(kind="booking", id=str(number)),
            state=one["state"],
            note=one.get("note"),
            updated_at=one["updated_at"],
        )

    def dismiss(self, number: Any, note: str) -> None:
        self.bookings[str(number)] |= {"state": "dismissed", "note": note, "updated_at": self.clock.now()}
        self._changed(RecordRef(kind="booking", id=str(number)))

    def convert(self, number: Any, job: Any, status: str = "Scheduled", **values: Any) -> RecordRef:
        """Make a job of a booking."""
        self.bookings[str(number)] |= {"state": "converted", "updated_at": self.clock.now()}
        self._changed(RecordRef(kind="booking", id=str(number)))
        self.jobs[str(job)] = Record(
            ref=RecordRef(kind="job", id=str(job)),
            state=status,
            origin=RecordRef(kind="booking", id=str(number)),
            created_at=self.clock.now(),
            **values,
        )
        return self.set_job(job, status)

    def set_job(self, job: Any, status: str, *, told: bool = True, **values: Any) -> RecordRef:
        """Set the status of a job; the record shows it as it is now alone."""
        facts = [Fact(name="job"), Fact(name="status", value=status)]
        changed = {
            "state": status,
            "facts": facts,
            "updated_at": self.clock.now(),
            "value_ready": status == "Completed",
        }
        self.jobs[str(job)] = msgspec.structs.replace(self.jobs[str(job)], **(changed | values))
        if told:
            self._changed(RecordRef(kind="job", id=str(job)), origin=self.jobs[str(job)].origin)
        return RecordRef(kind="job", id=str(job))

    def _changed(self, ref: RecordRef, **values: Any) -> None:
        self.changes.append(RecordChange(ref=ref, **values))


def plugin(crm: Booked) -> Integration:  # noqa: C901 - one small function a hook
    """The hooks over the vendor; one for each process, as in life."""

    async def ask(connection, what, about=None):
        await connection.http.get(f"{API}/{what}")  # a token, the budget, the attempt log
        crm.asked(what, about)

    async def verify_connection(connection, step):
        tenant = connection.credentials["tenant"]
        if step == "tenant":
            return VendorAccount(identity=tenant, name=f"Tenant {tenant}")
        me = (await connection.http.get(f"{API}/me")).json()
        if me["tenant"] != tenant:
            message = "These credentials are another tenant's."
            raise Rejected(message, [FieldError(field="values.client_id", message=message)])
        if connection.credentials["provider"] != "12":
            message = "The booking provider is not known."
            raise Rejected(message, [FieldError(field="values.provider", message=message)])
        return VendorAccount(identity=tenant, name=me["name"])

    async def disconnect(connection):
        return {"removed": [], "by_hand": ["Open Settings > Integrations and remove our app."]}

    async def list_fields(connection, record_kind):
        if record_kind == "job":
            return [Field(key=key, label=key, type="money", writable=False) for key in ("total", "invoice_total")]
        return [Field(key="name", label="Name", type="text"), Field(key="email", label="Email", type="email")]

    async def list_options(connection, source, parent):
        ranked = [Option(value=one, label=one, rank=rank) for rank, one in enumerate(STATUSES)]
        return [*ranked, *(Option(value=one, label=one) for one in APART)]

    async def push_signup(connection, push):
        if push.existing and push.duplicates == "skip":
            there = [PushedRecord(ref=push.existing[0], how="matched")] if crm.asks_customers else []
            cannot = "Already a contact; it cannot qualify." if push.role == "referred" else None
            return PushResult(records=there, cannot_qualify=cannot)

        async def find(_began):
            await ask(connection, "find", push.reference)
            for key, one in crm.bookings.items():
                if one["reference"] == push.reference:
                    return PushedRecord(ref=RecordRef(kind="booking", id=key), how="created")
            return None

        async def create():
            await ask(connection, "create", push)
            key = str(len(crm.bookings) + 1)
            crm.bookings[key] = {
                "reference": push.reference,
                "state": "open",
                "updated_at": crm.clock.now(),
                **push.values["booking"],
            }
            crm.asked("created", push)  # what is raised here was done: its answer is lost
            return PushedRecord(ref=RecordRef(kind="booking", id=key), how="created")

        return PushResult(records=[await push.once("booking", find=find, create=create)])

    async def poll_changes(connection, feed, checkpoint):
        await ask(connection, feed, checkpoint)
        start, rows = int(checkpoint or 0), crm.contacts if feed == "contacts" else crm.changes
        page = rows[start : start + crm.page]
        end = start + len(page)
        told = {"contacts": page, "changes": []} if feed == "contacts" else {"changes": page}
        return ChangePage(checkpoint=str(end), more=end < len(rows), **told)

    async def read_records(connection, refs):
        await ask(connection, "read", list(refs))
        found = [crm.booking(ref.id) for ref in refs if ref.kind == "booking" and ref.id in crm.bookings]
        return [*found, *(crm.jobs[ref.id] for ref in refs if ref.kind == "job" and ref.id in crm.jobs)]

    async def find_related(connection, ref):
        await ask(connection, "related", ref)
        return [one for one in crm.jobs.values() if one.origin == ref]

    async def find_by_reference(connection, reference, values):
        assert values["booking"]["email"], "what was sent, for vendors whose key is made of it"
        await ask(connection, "reference", reference)
        return [RecordRef(kind="booking", id=key) for key, one in crm.bookings.items() if one["reference"] == reference]

    async def find_contacts(connection, email):
        await ask(connection, "search", email)
        if not crm.searchable:
            raise NotSupported("the tenant does not allow it")
        newest = {one.id: one for one in crm.contacts}
        hits = [one for one in newest.values() if email in (one.emails or ()) and one.id not in crm.unsearched]
        return [RecordRef(kind="contact", id=one.id) for one in hits]

    def verify_app_call(settings, request):
        if request.headers.get("x-app") != "proof":
            raise InvalidSignature("not the vendor")

    def webhook_id(request):
        return json.loads(request.body).get("id")

    def read_app_call(settings, request):
        said = json.loads(request.body)
        return [Hint(identity=one["tenant"], refs=[tuple(ref) for ref in one["refs"]]) for one in said["hints"]]

    hooks: dict[str, Any] = {
        "describe": lambda: crm.manifest,
        "settings_type": lambda: FormSettings,
        "verify_connection": verify_connection,
        "disconnect": disconnect,
        "list_fields": list_fields,
        "list_options": list_options,
        "push_signup": push_signup,
        "poll_changes": poll_changes,
        "read_records": read_records,
        "find_related": find_related,
        "verify_app_call": verify_app_call,
        "webhook_id": webhook_id,
        "read_app_call": read_app_call,
        "find_by_reference": find_by_reference,
    }
    if crm.searchable is not None:
        hooks["find_contacts"] = find_contacts
    module = types.ModuleType("booked")
    for name, function in hooks.items():
        setattr(module, name, hookimpl(function, specname=name))
    return Integration("booked", module, distribution="gateway-booked", version="1.0")


class Office(Gateway):
    """A gateway over the booked CRM, and what people do with it."""

    crm: Booked

    async def connected(self, account: str = "acme", *, tenant: str = "77", **changes: str) -> str:
        """Connect in all stages, as people would; nothing is drained yet."""
        await self.account(account)
        started = await self.begin(account, "booked")
        path = f"/v1/connections/{started['id']}"
        await self.call("POST", f"{path}/steps/tenant", {"values": {"tenant": tenant}})
        await self.call("POST", f"{path}/approve")
        done = await self.finalise(started["id"], **changes)
        assert done["state"] == "active", done
        return started["id"]

    async def finalise(self, connection: str, expect: int | None = None, **changes: str) -> dict[str, Any]:
        values = {"client_id": "cid", "client_secret": self.vendor.secret, "provider": "12", **changes}
        return await self.call(
            "POST", f"/v1/connections/{connection}/steps/finalise", {"values": values}, expect=expect
        )

    async def ready(self, account: str = "acme", *, rewards: Any = (), **changes: Any) -> None:
        """Have a live campaign with a setup, and the endpoint-less host."""
        campaign = {
            "name": "Spring",
            "state": "live",
            "link_template": "https://refer.example/{code}",
            "rewards": list(rewards),
        }
        await self.call("PUT", f"/v1/accounts/{account}/campaigns/spring", campaign)
        body = {"target": "booking", "use_suggested": True, **changes}
        await self.call("PUT", f"/v1/accounts/{account}/campaigns/spring/setups/referred", body)

    async def signup(self, email: str = "friend@example.com", account: str = "acme", **more: Any) -> str:
        body = {"role": "referred", "person": {"email": email, "first_name": "Fiona", "last_name": "Friend"}, **more}
        answer = await self.call("POST", f"/v1/accounts/{account}/campaigns/spring/signups", body)
        return answer["results"][0]["person"]

    async def person(self, person: str, account: str = "acme") -> dict[str, Any]:
        return await self.call("GET", f"/v1/accounts/{account}/people/{person}")

    async def timeline(self, person: str, account: str = "acme") -> dict[str, Any]:
        return await self.call("GET", f"/v1/accounts/{account}/people/{person}/timeline")

    async def said(self, person: str) -> str:
        return "\n".join(one["text"] for one in (await self.timeline(person))["entries"])

    async def why(self, person: str) -> dict[str, Any]:
        return (await self.timeline(person))["why"]

    async def index(self, connection: str) -> dict[str, Any]:
        return (await self.connection(connection))["health"]["contact_index"]

    async def drain(self) -> None:
        await self.worker.drain()

    async def later(self, **delta: float) -> None:
        from datetime import timedelta

        self.clock.advance(timedelta(**delta))
        await self.worker.drain()

    async def hint(self, *hints: dict[str, Any], message: str = "m1", proof: str = "proof") -> int:
        """The vendor calls the app: these tenants, these records."""
        url = f"/v1/inbound/booked/{app_token(self.services, 'booked')}"
        body = {"id": message, "hints": list(hints)}
        return (await self.browser.post(url, json=body, headers={"x-app": proof})).status_code

    async def rewards(self, person: str) -> list[rewards.RewardRow]:
        async with self.services.database.read() as conn:
            return (await rewards.of_people(conn, [person])).get(person, [])

    async def sales(self, person: str) -> list[tuple[str, str]]:
        async with self.services.database.read() as conn:
            found = (await sales.of_people(conn, [person])).get(person, [])
        return [(f"{one.amount:f}", one.currency) for one in found]

    async def row(self, person: str) -> people.PersonRow:
        async with self.services.database.read() as conn:
            found = await people.by_id(conn, person)
        assert found is not None
        return found


def eur(amount: Any) -> Money:
    return Money(amount=amount, currency="EUR")


async def open_office(
    stack: AsyncExitStack, database_url: str, clock: Any, vendor: Vendor, crm: Booked, **changes: Any
) -> Office:
    """Open one process over a database; several over one are several processes."""
    opened = await open_gateway(stack, database_url, clock, vendor, [plugin(crm)], **changes)
    office = Office(opened.services, opened.app, opened.worker, opened.vendor)
    office.browser = opened.browser
    office.crm = crm
    return office
