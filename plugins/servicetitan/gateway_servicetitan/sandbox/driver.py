"""The sandbox's side of the conformance suite: what people do in ServiceTitan, and what it does by itself.

See ``gateway.testing.driver`` for what each part is for.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

import httpx

from gateway_schemas.base import Money
from gateway_schemas.records import RecordRef
from gateway_servicetitan.sandbox.app import Sandbox, create_sandbox
from gateway_servicetitan.sandbox.errors import problem
from gateway_servicetitan.sandbox.state import Booking, Job

HOSTS = ("api.servicetitan.io", "auth.servicetitan.io")
WEBHOOK_KEY = "sandbox-webhook-key-of-32-characters"
HEADER = "x-servicetitan-signature"
WORTH = Money(amount=Decimal("1234.56"), currency="USD")
"""What completed jobs are worth, with tax; the tenant's business units trade in this currency."""


class ServiceTitanDriver:
    """One tenant in a sandbox; ``sandbox`` has more hands than the suite needs."""

    hosts: Sequence[str] = HOSTS
    exempt: Mapping[str, str] = {}
    page_size = 500
    proof_headers: Sequence[str] = (HEADER,)
    signs_body = True

    def __init__(self, sandbox: Sandbox) -> None:
        self.sandbox = sandbox
        self.transport = sandbox.transport()
        self._access = sandbox.connect_app()
        self._app_url: str | None = None
        self._made = 0

    @property
    def contact_page(self) -> int:
        """A page of the export feed."""
        return self.sandbox.options.export_page

    @property
    def identity(self) -> str:
        """The tenant id."""
        return str(self.sandbox.tenant().id)

    def environ(self) -> Mapping[str, str]:
        """Return the app's key, and the key of its webhooks."""
        return {
            "GATEWAY_SERVICETITAN_APP_KEY": self.sandbox.app_key,
            "GATEWAY_SERVICETITAN_WEBHOOK_KEY": WEBHOOK_KEY,
        }

    # --- connecting ---

    async def authorise(self, url: str, browser: httpx.AsyncClient, *, allow: bool) -> httpx.Response:
        """There is no page to click on."""
        raise NotImplementedError("ServiceTitan is connected by forms.")

    def step_values(self, step: str) -> Mapping[str, str]:
        """Return what the administrator copies out of ServiceTitan."""
        if step == "tenant":
            return {"tenant": self.identity}
        return {
            "client_id": self._access.client_id,
            "client_secret": self._access.client_secret,
            "booking_provider": str(self._access.provider),
        }

    def wrong_values(self, step: str) -> Mapping[str, Mapping[str, str]]:
        """Return forms with one wrong field; whether a tenant id is right shows at the last step only."""
        if step == "tenant":
            return {"tenant": {"tenant": "acme"}}
        right = self.step_values(step)
        other = next(one for one in self.sandbox.tenant().providers if str(one) != right["booking_provider"])
        wrong = {"client_id": "cid.unknown", "client_secret": "cs1.unknown", "booking_provider": str(other)}
        return {key: {**right, key: value} for key, value in wrong.items()}

    def expire_token(self) -> None:
        """Let every token end."""
        self.sandbox.expire_tokens()

    def registered(self) -> Sequence[str]:
        """Nothing is registered for a tenant: webhooks are the app's, and the administrator allows the app."""
        return []

    # --- refusing ---

    def answer(self, status: int) -> httpx.Response:
        """Return ServiceTitan's answer with this status (``VENDOR.md``, chapter 4)."""
        return httpx.Response(status, json=problem(status))

    # --- lists ---

    def make_fields(self, record_kind: str, number: int) -> Sequence[str]:
        """Make custom fields of customers or jobs."""
        match record_kind:
            case "customer":
                return [self.sandbox.add_customer_field(f"Extra {self._next()}").name for _ in range(number)]
            case "job":
                return [self.sandbox.add_job_field(f"Extra {self._next()}").name for _ in range(number)]
        raise NotImplementedError("Bookings have no custom fields in ServiceTitan.")

    def make_options(self, source: str, number: int) -> Sequence[str]:
        """Make campaigns, business units or job types."""
        match source:
            case "campaigns":
                return [str(self.sandbox.add_campaign(f"Extra {self._next()}").id) for _ in range(number)]
            case "business_units":
                return [str(self.sandbox.add_business_unit(f"Extra {self._next()}").id) for _ in range(number)]
            case "job_types":
                return [str(self.sandbox.add_job_type(f"Extra {self._next()}").id) for _ in range(number)]
        raise NotImplementedError(f"ServiceTitan's {source.replace('_', ' ')} are its own, always the same.")

    # --- signups ---

    def setup(self, target: str) -> Mapping[str, Any]:
        """Say what has no suggestion: whether it is a first-time client."""
        first = {"record_kind": target, "field": "isFirstTimeClient", "value": True}
        return {"defaults": [first]}

    def records(self, email: str) -> Sequence[RecordRef]:
        """List bookings with this address and their jobs, and customers with it."""
        tenant = self.sandbox.tenant()
        bookings = self.sandbox.bookings(email)
        jobs = {one.job for one in bookings if one.job is not None}
        customers = {one.customer for one in tenant.contacts.values() if one.active and one.value == email}
        return [
            *(RecordRef(kind="booking", id=str(one.id)) for one in bookings),
            *(RecordRef(kind="job", id=str(one)) for one in jobs),
            *(RecordRef(kind="customer", id=str(one)) for one in customers),
        ]

    # --- changes ---

    def parameters(self, trigger: str) -> Mapping[str, str]:
        """Return the last status, where one is asked for."""
        return {"status": "Completed"} if trigger == "job_status" else {}

    async def reach(self, trigger: str, target: str, email: str) -> None:
        """Book a job from the booking, and complete it where the trigger asks for a status."""
        job = self._book(self.sandbox.bookings(email)[-1])
        if trigger == "job_status":
            self.sandbox.set_job_total(job.id, str(WORTH.amount), "197.11")
            self.sandbox.set_job_status(job.id, "Completed")

    def worth(self, trigger: str, target: str) -> tuple[str, str, Money] | None:
        """A job has a value once it is completed."""
        return ("job", "total", WORTH) if trigger == "job_status" else None

    def _book(self, booking: Booking) -> Job:
        return self.sandbox.convert_booking(booking.id)

    async def deliver(self) -> int:
        """Send the webhooks that are due."""
        return len(await self.sandbox.deliver_webhooks())

    def set_app_url(self, url: str) -> None:
        """Set up the webhooks in the developer portal, once."""
        if self._app_url != url:
            self._app_url = url
            self.sandbox.subscribe(url, WEBHOOK_KEY, header=HEADER)

    async def call_app(self) -> None:
        """Let something happen that the vendor tells of: a job that nobody referred."""
        customer = self.sandbox.add_customer(f"Extra {self._next()}")
        self.sandbox.book_by_hand(customer.id)
        await self.sandbox.deliver_webhooks()

    # --- contacts ---

    def contacts(self) -> Mapping[str, str | None]:
        """Return customers that are active and were not merged away, with their first e-mail address."""
        tenant = self.sandbox.tenant()
        found: dict[str, str | None] = {}
        for customer in tenant.customers.values():
            if customer.active and customer.merged_to is None:
                mails = (one.value for one in tenant.contacts_of(customer.id) if one.active and one.type == "Email")
                found[str(customer.id)] = next(mails, None)
        return found

    def add_contact(self, email: str) -> str:
        """Add a customer."""
        return str(self.sandbox.add_customer(f"Extra {self._next()}", email).id)

    def edit_contact(self, contact: str) -> None:
        """Rename a customer."""
        self.sandbox.edit_customer(int(contact), name=f"Renamed {self._next()}")

    def delete_contact(self, contact: str) -> None:
        """Make a customer inactive: ServiceTitan deletes none."""
        self.sandbox.deactivate_customer(int(contact))

    def _next(self) -> int:
        self._made += 1
        return self._made


def driver(
    *, clock: Callable[[], datetime], http: httpx.AsyncClient, gateway_url: str, **options: Any
) -> ServiceTitanDriver:
    """Return the driver of a fresh sandbox with one tenant; ``options`` are those of ``create_sandbox``."""
    return ServiceTitanDriver(create_sandbox(clock=clock, http=http, **options))
