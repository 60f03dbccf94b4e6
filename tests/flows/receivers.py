"""The outgoing half alone: flows, worker and a scripted receiver, without the rest of a gateway."""

import base64
import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import httpx
from standardwebhooks.webhooks import Webhook

from gateway.flows.notify import endpoints, notify
from gateway.flows.notify.notify import NewEvent
from gateway.flows.services import Services
from gateway.plugins import Registry
from gateway.settings import Settings
from gateway.storage import accounts, delivery_log
from gateway.storage import events as stored
from gateway.storage.columns import new_id
from gateway.storage.delivery_log import Filter
from gateway.storage.engine import Database
from gateway.storage.tables import people
from gateway.storage.vault import Vault
from gateway.worker import Worker
from gateway_schemas.account import AccountInput
from gateway_schemas.events import Delivery, Endpoint, EndpointInput, EventFeed

Answer = tuple[int, dict[str, str]]


class Receiver:
    """Takes messages at any URL and answers as scripted; afterwards 204.

    Attributes:
        requests: Every message, in order of arrival.
        always: Answers every message without a script of its own.
    """

    def __init__(self):
        self.requests: list[httpx.Request] = []
        self.answers: list[Answer | Exception] = []
        self.always: Answer = (204, {})
        self.before: Callable[[httpx.Request], Any] | None = None

    def answer(self, status: int, headers: dict[str, str] | None = None, times: int = 1) -> None:
        self.answers.extend([(status, headers or {})] * times)

    async def __call__(self, request: httpx.Request) -> httpx.Response:
        await request.aread()
        self.requests.append(request)
        if self.before is not None:
            await self.before(request)
        given = self.answers.pop(0) if self.answers else self.always
        if isinstance(given, Exception):
            raise given
        return httpx.Response(given[0], headers=given[1])

    def to(self, url: str) -> list[httpx.Request]:
        return [request for request in self.requests if str(request.url) == url]

    def ids(self, url: str | None = None) -> list[str]:
        return [request.headers["webhook-id"] for request in (self.requests if url is None else self.to(url))]

    def bodies(self) -> list[dict[str, Any]]:
        return [json.loads(request.content) for request in self.requests]

    def types(self) -> list[str]:
        return [body["type"] for body in self.bodies()]


def verified(request: httpx.Request, secret: str) -> Any:
    """Check a message as a receiver with the library does; raises when it is not genuine."""
    return Webhook(secret).verify(request.content, dict(request.headers))


class Out:
    """A process that publishes and delivers, and one receiver."""

    def __init__(self, database: Database, receiver: Receiver, vault: Vault, integrations: Registry):
        self.database = database
        self.clock = database.clock
        self.receiver = receiver
        transport = httpx.MockTransport(receiver)
        client = httpx.AsyncClient(transport=transport, headers={"user-agent": "referral-gateway/test"})
        self.services = Services(
            settings=Settings(),
            database=database,
            integrations=integrations,
            vault=vault,
            clock=database.clock,
            vendor_transport=transport,
            vendor_http=client,
            webhook_http=client,
            host_for=lambda services, row: None,
        )
        self.worker = Worker(database, notify.handlers(self.services), process_id=new_id("prc"))

    @classmethod
    async def start(
        cls, database: Database, receiver: Receiver | None = None, integrations: Registry | None = None
    ) -> "Out":
        vault = Vault(["k1:" + base64.b64encode(b"0" * 32).decode()])
        await vault.load(database)
        return cls(database, receiver or Receiver(), vault, integrations or Registry([]))

    async def account(self, account: str = "acme") -> None:
        now = self.clock.now()
        await self.database.writer.run(lambda conn: accounts.put(conn, account, AccountInput(name="Acme"), now))

    async def person(self, person: str = "per_a", account: str = "acme") -> None:
        now = self.clock.now()
        same = {"account_id": account, "campaign_id": "spring", "role": "referred", "fields": {}, "crm": "waiting"}
        times = dict.fromkeys(("crm_since", "signed_up_at", "created_at", "updated_at"), now)
        row = {"id": person, "signed_up": True, "test": False, **same, **times}
        await self.database.writer.run(lambda conn: conn.execute(people.insert().values(row)))

    async def endpoint(self, url: str = "https://host.test/in", **changes: Any) -> Endpoint:
        return await endpoints.create(self.services, EndpointInput(url=url, **changes))

    async def publish(self, *types: str, account: str = "acme", data: dict[str, Any] | None = None) -> None:
        now = self.clock.now()
        new = [NewEvent(one, account, None, data or {"number": number}) for number, one in enumerate(types)]
        await self.database.writer.run(lambda conn: notify.publish(conn, new, now))

    async def publish_new(self, *new: NewEvent) -> None:
        now = self.clock.now()
        await self.database.writer.run(lambda conn: notify.publish(conn, new, now))

    async def drain(self) -> int:
        return await self.worker.drain()

    async def later(self, **delta: float) -> int:
        self.clock.advance(timedelta(**delta))
        return await self.worker.drain()

    async def shown(self, endpoint_id: str) -> Any:
        return await endpoints.get(self.services, endpoint_id)

    async def deliveries(self, **narrowed: Any) -> list[Delivery]:
        async with self.database.read() as conn:
            return await delivery_log.page(conn, Filter(limit=200, **narrowed))

    async def states(self, endpoint_id: str) -> list[str]:
        return sorted(one.state for one in await self.deliveries(endpoint_id=endpoint_id))

    async def feed(self, after: int = 0) -> EventFeed:
        from gateway.flows.notify import feed

        return await feed.read(self.services, after=after, limit=200)

    async def all_events(self) -> list[stored.EventRow]:
        async with self.database.read() as conn:
            return await stored.after(conn, 0, 1_000)
