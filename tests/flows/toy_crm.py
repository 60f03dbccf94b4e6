"""A CRM in one file: the vendor in memory, the plugin as hooks, and a process of the gateway over both."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import httpx
import msgspec
from litestar import Litestar
from litestar.di import Provide
from sqlalchemy import select

from gateway import hookimpl
from gateway.api import auth, campaigns, fields, setups
from gateway.api.problems import problem_response
from gateway.app import create_worker, open_services
from gateway.flows.services import Services
from gateway.plugins import Integration, Registry
from gateway.sdk.connection import Connection, Push, PushedRecord, PushResult
from gateway.sdk.errors import MappingBroken, Rejected
from gateway.settings import Settings
from gateway.storage import accounts, connections
from gateway.storage.connections import ConnectionRow
from gateway.storage.tables import metadata
from gateway_schemas.account import AccountInput
from gateway_schemas.manifest import (
    DuplicatePolicy,
    Manifest,
    MappingRow,
    NoAuth,
    OptionSource,
    Parameter,
    RecordKind,
    Requirement,
    Target,
    TargetOption,
    Trigger,
)
from gateway_schemas.records import Field, NewField, Option, RecordRef

HOST_KEY = "host-key-for-tests-0123456789abcdef"
ROWS = [
    MappingRow(record_kind="contact", field="name", label="Name", source="person.full_name", required="always"),
    MappingRow(record_kind="contact", field="email", label="Email", source="person.email", required="always"),
    MappingRow(
        record_kind="lead", field=None, label="Referral Code", source="person.code", required="with_qualification"
    ),
    MappingRow(record_kind="lead", field=None, label="Referrer", source="referrer.full_name"),
]
MANIFEST = Manifest(
    key="toy",
    name="Toy CRM",
    category="crm",
    spec_version=1,
    logo_svg="",
    summary="",
    auth=NoAuth(),
    connect_steps=[],
    allowed_hosts=["toy.example"],
    record_kinds=[
        RecordKind(key="contact", label="Contact", is_contact=True),
        RecordKind(key="lead", label="Lead", sale_value=True),
    ],
    targets=[
        Target(
            key="lead",
            label="Contact and lead",
            creates=["contact", "lead"],
            rows={"referred": ROWS, "referrer": ROWS[:3]},
            options=[TargetOption(key="stage", label="Stage", source="stages")],
        )
    ],
    duplicates=[
        DuplicatePolicy(key="fill_empty", label="Complete the contact", description="Empty fields are written."),
        DuplicatePolicy(key="skip", label="Leave the contact alone", description="Nothing is written."),
        DuplicatePolicy(key="create", label="Make a second one", description="Another contact is made."),
    ],
    triggers=[
        Trigger(
            key="stage",
            label="A lead reaches a stage",
            record_kind="lead",
            targets=["lead"],
            requires=[Requirement(fact="stage", parameter="stage")],
            through={"lead": ["created"]},
            parameters=[
                Parameter(key="board", label="Board", source="boards", required=False),
                Parameter(key="stage", label="Stage", source="stages", parent="board", ordered=True),
            ],
        )
    ],
    option_sources=[
        OptionSource(key="boards", label="Boards"),
        OptionSource(key="stages", label="Stages", parent="boards"),
    ],
)


class Vendor:
    """The vendor: what it holds, what it was asked, and whether it answers."""

    def __init__(self) -> None:
        self.fields = {
            "contact": [
                Field(key="name", label="Name", type="text", max_length=20),
                Field(key="email", label="Email", type="email"),
                Field(key="notes", label="Notes", type="long_text", max_length=30),
            ],
            "lead": [
                Field(key="worth", label="Worth", type="money"),
                Field(key="f_code", label="Referral Code", type="text", custom=True),
                Field(key="f_ref", label="Referrer", type="text", custom=True),
                Field(key="f_size", label="Size", type="number", custom=True),
                Field(
                    key="f_kind",
                    label="Kind",
                    type="option",
                    custom=True,
                    options=[Option(value="1", label="Small"), Option(value="2", label="Large")],
                ),
                Field(key="f_date", label="Date", type="date", custom=True),
            ],
        }
        self.options = {
            "boards": [Option(value="b", label="Board")],
            "stages": [Option(value=str(n), label=f"Stage {n}", parent="b", rank=n) for n in (1, 2, 3)],
        }
        self.contacts: dict[str, dict[str, Any]] = {}
        self.leads: dict[str, dict[str, Any]] = {}
        self.requests: list[tuple[str, str, bytes]] = []
        self.status: int | None = None

    def remove_field(self, kind: str, key: str) -> None:
        self.fields[kind] = [one for one in self.fields[kind] if one.key != key]

    @property
    def writes(self) -> list[tuple[str, str, bytes]]:
        return [one for one in self.requests if one[0] not in ("GET", "SEARCH") and "/search" not in one[1]]

    def answer(self, request: httpx.Request) -> httpx.Response:
        path = request.url.path
        self.requests.append((request.method, request.url.raw_path.decode(), request.content))
        if self.status is not None:
            return httpx.Response(self.status)
        body = msgspec.json.decode(request.content) if request.content else {}
        match request.method, path.strip("/").split("/"):
            case "GET", ["fields", kind]:
                return self._json(self.fields[kind])
            case "POST", ["fields", kind]:
                made = Field(key=f"f_{len(self.fields[kind])}", label=body["label"], type=body["type"], custom=True)
                self.fields[kind].append(made)
                return self._json(made)
            case "GET", ["options", source]:
                parent = request.url.params.get("parent")
                return self._json([one for one in self.options[source] if parent in (None, one.parent)])
            case "POST", ["contacts", "search"]:
                return self._json([key for key, one in self.contacts.items() if one.get("email") == body["email"]])
            case "POST", [("contacts" | "leads") as kind]:
                unknown = set(body) - {one.key for one in self.fields[kind[:-1]]} - {"reference", "contact", "title"}
                if unknown:
                    return httpx.Response(400, json=sorted(unknown))
                records = getattr(self, kind)
                records[key := f"{kind[0]}{len(records) + 1}"] = body
                return self._json({"id": key})
            case "PATCH", ["contacts", key]:
                self.contacts[key] |= body
                return self._json({"id": key})
        return httpx.Response(404)

    def _json(self, value: Any) -> httpx.Response:
        return httpx.Response(200, content=msgspec.json.encode(value))


class Plugin:
    """The integration; it misbehaves where a test says so."""

    def __init__(self) -> None:
        self.writes_outside = False
        self.names_alike = False
        self.refuses: str | None = None
        self.manifest = MANIFEST

    @hookimpl
    def describe(self) -> Manifest:
        return self.manifest

    @hookimpl
    async def list_fields(self, connection: Connection, record_kind: str) -> list[Field]:
        answer = await connection.http.get(f"https://toy.example/fields/{record_kind}")
        return msgspec.json.decode(answer.content, type=list[Field])

    @hookimpl
    async def list_options(self, connection: Connection, source: str, parent: str | None) -> list[Option]:
        answer = await connection.http.get(f"https://toy.example/options/{source}", params={"parent": parent})
        return msgspec.json.decode(answer.content, type=list[Option])

    @hookimpl
    async def create_field(self, connection: Connection, record_kind: str, field: NewField) -> Field:
        answer = await connection.http.post(f"https://toy.example/fields/{record_kind}", json=field)
        return msgspec.json.decode(answer.content, type=Field)

    @hookimpl
    async def push_signup(self, connection: Connection, push: Push) -> PushResult:
        http = connection.http

        async def nothing(_began):
            return None

        async def write(method: str, path: str, body: dict[str, Any], kind: str, how: Any) -> PushedRecord:
            try:
                answer = await http.request(method, f"https://toy.example{path}", json=body)
            except Rejected as error:
                raise MappingBroken("unknown fields", ["f_code"]) from error
            return PushedRecord(ref=RecordRef(kind=kind, id=msgspec.json.decode(answer.content)["id"]), how=how)

        if self.refuses is not None:
            raise Rejected(self.refuses)
        if self.writes_outside:
            await write("POST", "/leads", {"title": "early"}, "lead", "created")
        found = await http.post("https://toy.example/contacts/search", json={"email": push.email}, reads=True)
        matches = [RecordRef(kind="contact", id=key) for key in msgspec.json.decode(found.content)]
        if matches and push.duplicates == "skip":
            contact = PushedRecord(ref=matches[0], how="matched")
            return PushResult(records=[contact], others=matches[1:], cannot_qualify="It cannot qualify.")
        values = dict(push.values.get("contact", {}))

        async def make_contact() -> PushedRecord:
            if matches and push.duplicates == "fill_empty":
                return await write("PATCH", f"/contacts/{matches[0].id}", values, "contact", "updated")
            return await write("POST", "/contacts", values | {"reference": push.reference}, "contact", "created")

        contact = await push.once("contact", find=nothing, create=make_contact)
        others = matches[1:] if push.duplicates == "fill_empty" else matches
        lead_values = dict(push.values.get("lead", {})) | {"contact": contact.ref.id, "reference": push.reference}

        async def make_lead() -> PushedRecord:
            return await write("POST", "/leads", lead_values, "lead", "created")

        lead = await push.once("contact" if self.names_alike else "lead", find=nothing, create=make_lead)
        return PushResult(records=[contact, lead], others=others, notes=["Pushed by the toy."])


class Helper:
    """An automation beside the CRM: it has nothing to set up."""

    @hookimpl
    def describe(self) -> Manifest:
        return Manifest(
            key="helper",
            name="Helper",
            category="automation",
            spec_version=1,
            logo_svg="",
            summary="",
            auth=NoAuth(),
            connect_steps=[],
        )


class Toy:
    """What a test acts on."""

    def __init__(self, services: Services, vendor: Vendor, plugin: Plugin) -> None:
        self.services = services
        self.vendor = vendor
        self.plugin = plugin
        self.clock = services.clock
        self.worker = create_worker(services, lease_seconds=60)
        app = Litestar(
            [*campaigns.ROUTES, *setups.ROUTES, *fields.ROUTES],
            dependencies={
                "services": Provide(lambda: services, sync_to_thread=False),
                "caller": Provide(auth.provide_caller),
            },
            exception_handlers={Exception: problem_response},
            openapi_config=None,
        )
        self.api = httpx.AsyncClient(
            transport=httpx.ASGITransport(app),
            base_url="https://gateway.test/v1",
            headers={"authorization": f"Bearer {HOST_KEY}"},
        )

    async def call(self, method: str, path: str, body: Any = None, expect: int | None = None, **kwargs: Any) -> Any:
        content = None if body is None else msgspec.json.encode(body)
        headers = {"content-type": "application/json"}
        answer = await self.api.request(method, path, content=content, headers=headers, **kwargs)
        met = answer.is_success if expect is None else answer.status_code == expect
        assert met, f"{method} {path}: {answer.status_code} {answer.text}"
        return answer.json() if answer.content else None

    async def problems(self, method: str, path: str, body: Any = None, expect: int = 422) -> list[tuple[str, str]]:
        answer = await self.call(method, path, body, expect)
        return [(one["field"], one["code"]) for one in answer["problems"]]

    async def write(self, fn, *args, **kwargs):
        async def run(conn):
            return await fn(conn, *args, **kwargs)

        return await self.services.database.writer.run(run)

    async def read(self, fn, *args, **kwargs):
        async with self.services.database.read() as conn:
            return await fn(conn, *args, **kwargs)

    async def account(self, key: str = "acme") -> None:
        given = AccountInput(name="Acme", currency="EUR", country="DE", timezone="Europe/Berlin")
        await self.write(accounts.put, key, given, self.clock.now())

    async def connection(self, key: str = "con_1", **changes: Any) -> ConnectionRow:
        now = self.clock.now()
        values = {"account_id": "acme", "integration": "toy", "category": "crm", "state": "active", "identity": "t1"}
        row = ConnectionRow(id=key, created_at=now, state_since=now, **(values | changes))
        await self.write(connections.add, row)
        return row

    async def campaign(self, key: str = "spring", **changes: Any) -> None:
        body = {"name": "Spring", "state": "live", "link_template": "https://refer.example/{code}", **changes}
        await self.call("PUT", f"/accounts/acme/campaigns/{key}", body)

    async def ready(self, **changes: Any) -> dict[str, Any]:
        """Have an account, a connection, a campaign and a setup."""
        await self.account()
        await self.connection()
        await self.campaign()
        return await self.setup(**changes)

    async def setup(self, role: str = "referred", expect: int | None = None, **changes: Any) -> dict[str, Any]:
        body = {"target": "lead", "use_suggested": True, **changes}
        return await self.call("PUT", f"/accounts/acme/campaigns/spring/setups/{role}", body, expect)

    async def dump(self) -> dict[str, list[tuple[Any, ...]]]:
        """Return everything that is stored, but for how a connection is doing and what its calls cost."""
        left_out = {"budgets", "connections", "lanes", "schedules"}
        async with self.services.database.read() as conn:
            return {
                name: sorted((tuple(row) for row in await conn.execute(select(table))), key=repr)
                for name, table in metadata.tables.items()
                if name not in left_out
            }


@asynccontextmanager
async def open_toy(database_url: str, clock: Any) -> AsyncIterator[Toy]:
    vendor, plugin = Vendor(), Plugin()
    settings = Settings(
        database_url=database_url,
        public_url="https://gateway.test",
        host_keys=[HOST_KEY],
        secret_keys=["k1:MDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDA="],
    )
    async with AsyncExitStack() as stack:
        services = await stack.enter_async_context(
            open_services(
                settings,
                environ={},
                integrations=Registry([Integration("toy", plugin), Integration("helper", Helper())]),
                clock=clock,
                vendor_transport=httpx.MockTransport(vendor.answer),
                webhook_transport=httpx.MockTransport(lambda _: httpx.Response(204)),
            )
        )
        toy = Toy(services, vendor, plugin)
        stack.push_async_callback(toy.api.aclose)
        yield toy
