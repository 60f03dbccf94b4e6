"""What a test, a demonstration or a test in another language may do to the sandbox, beside calling its API.

Each public method of ``Controls`` is also ``POST /_control/{method}`` with its parameters as a JSON object, answering
``{"result": …}``. Where a tenant is not named, the first one is meant.
"""

from decimal import Decimal
from typing import Any

from gateway.sdk.faults import FaultControls, RequestEntry
from gateway_servicetitan.sandbox.core import Core
from gateway_servicetitan.sandbox.jobs import STATUSES
from gateway_servicetitan.sandbox.outbox import Attempt, Delivery, Encoding, Subscription
from gateway_servicetitan.sandbox.state import Access, Booking, Contact, Customer, Invoice, Job, Named, Tenant

Json = dict[str, Any]

ALL_SCOPES = frozenset(
    {
        "tn.crm.bookings:r", "tn.crm.bookings:w", "tn.crm.customers:r", "tn.crm.contacts:r",
        "tn.crm.bookingprovidertags:r", "tn.jpm.jobs:r", "tn.jpm.jobtypes:r", "tn.acc.invoices:r",
        "tn.stt.businessunits:r", "tn.mrk.campaigns:r", "tn.jbce.callreasons:r",
    }
)  # fmt: skip
EVENTS = (
    "tn.crm.booking-updated",
    "tn.jpm.job-scheduled",
    "tn.jpm.job-updated",
    "tn.jpm.job-completed",
    "tn.acc.invoice-updated",
)
"""Those that a referral is concerned with; there is none for a new booking, a canceled job or a customer."""


class Controls(FaultControls, Core):
    """Hands on the sandbox; see the module's docstring."""

    # Tenants and connections

    def add_tenant(self, name: str = "Acme Plumbing", tenant_id: int | None = None, *, added: bool = True) -> Tenant:
        """Add a tenant with one booking provider tag.

        Args:
            name: Its name.
            tenant_id: Its id; the next one when left out.
            added: Our app lists it already; ``add_to_app`` does that later.
        """
        number = tenant_id if tenant_id is not None else self.state.next_id("tenant", 123_456_789)
        tenant = Tenant(number, name, added=added)
        self.state.tenants[number] = tenant
        self.add_provider("Referrals", tenant_id=number)
        return tenant

    def add_to_app(self, tenant_id: int | None = None) -> None:
        """List a tenant in our app, as its developer does in the portal: now the administrator sees the app."""
        self.tenant(tenant_id).added = True

    def add_provider(self, name: str, *, tenant_id: int | None = None) -> Named:
        """Add a booking provider tag; its id is the booking provider value."""
        return self._named("providers", "provider", 77, name, tenant_id)

    def connect_app(
        self,
        *,
        provider: int | None = None,
        restricted: bool = True,
        scopes: list[str] | None = None,
        tenant_id: int | None = None,
    ) -> Access:
        """Allow our app in a tenant, as its administrator does; returns what is to be pasted.

        Raises:
            ValueError: Our app does not list the tenant: the administrator does not see it.
        """
        tenant = self.tenant(tenant_id)
        if not tenant.added:
            raise ValueError("the app does not list this tenant yet; add_to_app first")
        chosen = provider if provider is not None else next(iter(tenant.providers))
        access = Access(
            tenant.id,
            f"cid.{self.state.word()}",
            f"cs1.{self.state.word(40)}",
            chosen if restricted else None,
            set(ALL_SCOPES if scopes is None else scopes),
        )
        tenant.access.append(access)
        return access

    def regenerate_secret(self, *, tenant_id: int | None = None) -> str:
        """Make another secret for the app's newest connection: the old one gets no tokens any more."""
        access = self.tenant(tenant_id).access[-1]
        access.client_secret = f"cs2.{self.state.word(40)}"
        return access.client_secret

    def disconnect_app(self, *, tenant_id: int | None = None) -> None:
        """Disconnect our app in a tenant: no tokens any more, and given ones are forbidden everything."""
        for access in self.tenant(tenant_id).access:
            access.enabled = False

    def take_scope(self, scope: str, *, tenant_id: int | None = None) -> None:
        """Take a scope away from the app's connections."""
        for access in self.tenant(tenant_id).access:
            access.scopes.discard(scope)

    def give_scope(self, scope: str, *, tenant_id: int | None = None) -> None:
        """Allow another scope; a token that was given before does not have it."""
        for access in self.tenant(tenant_id).access:
            access.scopes.add(scope)

    def close_contact_search(self, *, is_open: bool = False, tenant_id: int | None = None) -> None:
        """Close the search of contacts for a tenant: it answers 403."""
        self.tenant(tenant_id).contact_search = is_open

    def expire_tokens(self) -> None:
        """Let every token end now."""
        self.tokens.expire()

    # Lists to choose from

    def add_campaign(self, name: str, *, tenant_id: int | None = None) -> Named:
        """Add a marketing campaign."""
        return self._named("campaigns", "campaign", 310, name, tenant_id)

    def add_business_unit(self, name: str, currency: str | None = None, *, tenant_id: int | None = None) -> Named:
        """Add a business unit."""
        unit = self._named("business_units", "business unit", 319, name, tenant_id)
        unit.currency = currency
        return unit

    def add_job_type(
        self, name: str, business_units: list[int] | None = None, *, tenant_id: int | None = None
    ) -> Named:
        """Add a job type; without business units it belongs to all of them."""
        job_type = self._named("job_types", "job type", 702, name, tenant_id)
        job_type.business_units = list(business_units or [])
        return job_type

    def add_call_reason(self, name: str, *, tenant_id: int | None = None) -> Named:
        """Add a call reason."""
        return self._named("call_reasons", "call reason", 12, name, tenant_id)

    def add_customer_field(
        self, name: str, data_type: str = "Text", options: list[str] | None = None, *, tenant_id: int | None = None
    ) -> Named:
        """Add a custom field of customers."""
        made = self._named("customer_fields", "custom field", 55, name, tenant_id)
        made.data_type, made.options = data_type, list(options or [])
        return made

    def add_job_field(self, name: str, data_type: str = "Text", *, tenant_id: int | None = None) -> Named:
        """Add a custom field of jobs."""
        made = self._named("job_fields", "custom field", 55, name, tenant_id)
        made.data_type = data_type
        return made

    def deactivate(self, kind: str, number: int, *, tenant_id: int | None = None) -> None:
        """Make a choice inactive: of ``campaigns``, ``business_units``, ``job_types`` or ``call_reasons``."""
        rows: dict[int, Named] = getattr(self.tenant(tenant_id), kind)
        rows[number].active, rows[number].modified = False, self.now()

    # Customers

    def add_customer(
        self,
        name: str,
        email: str | None = None,
        phone: str | None = None,
        *,
        tenant_id: int | None = None,
        **more: Any,
    ) -> Customer:
        """Add a customer with an e-mail address and a telephone number; ``more`` are attributes of ``Customer``."""
        tenant, now = self.tenant(tenant_id), self.now()
        customer = Customer(self.state.next_id("customer", 1001), name, now, now, **more)
        tenant.customers[customer.id] = customer
        for kind, value in (("Email", email), ("MobilePhone", phone)):
            if value is not None:
                self.add_contact(customer.id, kind, value, tenant_id=tenant.id)
        return customer

    def edit_customer(self, customer: int, *, tenant_id: int | None = None, **changes: Any) -> Customer:
        """Change attributes of a customer; its contacts stay as they are."""
        found = self.tenant(tenant_id).customers[customer]
        for name, value in changes.items():
            if not hasattr(found, name):
                raise TypeError(f"a customer has no {name!r}")
            setattr(found, name, value)
        found.modified = self.now()
        return found

    def deactivate_customer(self, customer: int, *, tenant_id: int | None = None) -> None:
        """Make a customer inactive; the vendor deletes none."""
        self.edit_customer(customer, active=False, tenant_id=tenant_id)

    def merge_customers(self, loser: int, survivor: int, *, tenant_id: int | None = None) -> None:
        """Merge a customer into another: it becomes inactive and names the survivor, which takes contacts and jobs."""
        tenant = self.tenant(tenant_id)
        self.edit_customer(loser, active=False, merged_to=survivor, tenant_id=tenant.id)
        self.edit_customer(survivor, tenant_id=tenant.id)
        for contact in tenant.contacts_of(loser):
            contact.customer, contact.modified = survivor, self.now()
        for job in tenant.jobs.values():
            if job.customer == loser:
                job.customer = survivor
                self.touch_job(tenant, job)

    def add_contact(self, customer: int, kind: str, value: str, *, tenant_id: int | None = None) -> Contact:
        """Add a contact (``Email``, ``Phone``, ``MobilePhone``, ``Fax``); the customer's time of change stays."""
        now = self.now()
        contact = Contact(self.state.next_id("contact", 9001), self.state.guid(), customer, kind, value, now, now)
        self.tenant(tenant_id).contacts[contact.id] = contact
        return contact

    def edit_contact(self, contact: int, value: str, *, tenant_id: int | None = None) -> Contact:
        """Change a contact; the customer's time of change stays."""
        found = self.tenant(tenant_id).contacts[contact]
        found.value, found.modified = value, self.now()
        return found

    def delete_contact(self, contact: int, *, tenant_id: int | None = None) -> None:
        """Delete a contact: the feed goes on to show it, as inactive."""
        found = self.tenant(tenant_id).contacts[contact]
        found.active, found.modified = False, self.now()

    # Bookings and jobs

    def accept_booking(self, booking: int, *, tenant_id: int | None = None) -> Booking:
        """Accept a booking; it is no job yet."""
        tenant = self.tenant(tenant_id)
        tenant.bookings[booking].status = "Accepted"
        self.touch_booking(tenant, tenant.bookings[booking])
        return tenant.bookings[booking]

    def convert_booking(
        self, booking: int, customer: int | None = None, *, tenant_id: int | None = None, **more: Any
    ) -> Job:
        """Book a job from a booking, for a customer that is there or for one that is made of the booking."""
        tenant = self.tenant(tenant_id)
        found = tenant.bookings[booking]
        body = found.body
        if customer is None:
            values = {one.type: one.value for one in found.contacts}
            phone = values.get("Phone") or values.get("MobilePhone")
            customer = self.add_customer(body["name"], values.get("Email"), phone, tenant_id=tenant.id).id
        given = {
            "booking": found.id,
            "business_unit": body.get("businessUnitId"),
            "job_type": body.get("jobTypeId"),
            "campaign": body.get("campaignId"),
            "priority": body.get("priority") or "Normal",
            **more,
        }
        job = self._job(tenant, customer, given)
        found.status, found.job = "Converted", job.id
        self.touch_booking(tenant, found)
        self.touch_job(tenant, job, "tn.jpm.job-scheduled")
        return job

    def book_by_hand(self, customer: int, *, tenant_id: int | None = None) -> Job:
        """Book a job without using a booking: nothing ties it to one."""
        tenant = self.tenant(tenant_id)
        job = self._job(tenant, customer, {})
        self.touch_job(tenant, job, "tn.jpm.job-scheduled")
        return job

    def dismiss_booking(self, booking: int, reason: int | None = None, *, tenant_id: int | None = None) -> None:
        """Dismiss a booking, for a call reason or none."""
        tenant = self.tenant(tenant_id)
        self.dismiss(tenant, tenant.bookings[booking], reason)

    def set_job_status(self, job: int, status: str, *, tenant_id: int | None = None) -> Job:
        """Move a job on, or back; the vendor tells of completion, and of nothing but an update for the others."""
        if status not in STATUSES:
            raise ValueError(f"no job status {status!r}; there are {', '.join(STATUSES)}")
        tenant = self.tenant(tenant_id)
        found = tenant.jobs[job]
        found.status = status
        if status == "Completed":
            found.completed = self.now()
        self.touch_job(tenant, found, "tn.jpm.job-completed" if status == "Completed" else "tn.jpm.job-updated")
        return found

    def set_job_total(
        self, job: int, total: float | str, tax: float | str = 0, *, tenant_id: int | None = None
    ) -> Invoice:
        """Set what a job costs, with tax: its total and its invoice."""
        tenant = self.tenant(tenant_id)
        found, invoice = tenant.jobs[job], tenant.invoices[job]
        found.total = Decimal(str(total))
        invoice.tax = Decimal(str(tax))
        invoice.sub_total = found.total - invoice.tax
        self.touch_job(tenant, found)
        self.touch_invoice(tenant, invoice)
        return invoice

    def add_adjustment(self, job: int, sub_total: float | str, *, tenant_id: int | None = None) -> Invoice:
        """Add an adjustment invoice to a job."""
        tenant, now = self.tenant(tenant_id), self.now()
        number = self.state.next_id("adjustment", 90_001)
        invoice = Invoice(number, job, now, now, Decimal(str(sub_total)), adjustment_to=job)
        tenant.invoices[number] = invoice
        self.touch_invoice(tenant, invoice)
        return invoice

    def delete_job(self, job: int, *, tenant_id: int | None = None) -> None:
        """Take a job away, as for a record that is not visible any more; the vendor itself deletes none."""
        del self.tenant(tenant_id).jobs[job]

    # Webhooks

    def subscribe(
        self,
        url: str,
        key: str | None = None,
        *,
        events: list[str] | None = None,
        header: str = "x-servicetitan-signature",
        encoding: Encoding = "hex",
    ) -> list[Subscription]:
        """Subscribe in the developer portal, for all tenants: one URL an event."""
        made = [Subscription(event, url, key, header, encoding) for event in events or EVENTS]
        self.outbox.subscriptions += made
        return made

    async def deliver_webhooks(self) -> list[Attempt]:
        """Send all webhooks that are due by the sandbox's clock and return the attempts."""
        return await self.outbox.deliver()

    async def replay_webhook(self, number: int = -1) -> Attempt:
        """Send a webhook of the log once more, as the portal's button does: another delivery of the same occurrence."""
        attempt = self.outbox.log[number]
        subscription = next(one for one in self.outbox.subscriptions if one.url == attempt.url)
        return await self.outbox.send(Delivery(subscription, attempt.payload, self.now(), 2))

    def drop_webhooks(self, n: int = 1) -> None:
        """Lose the next ``n`` events without a trace."""
        self.outbox.drop_next += n

    def webhook_chaos(self, *, copies: int = 1, newest_first: bool = False) -> None:
        """Send each webhook several times, or in reverse order: neither once nor order is promised."""
        self.outbox.copies, self.outbox.newest_first = copies, newest_first

    def webhooks(self) -> list[Attempt]:
        """Return the log of sent webhooks."""
        return self.outbox.log

    # Looking

    def requests(self, *, method: str | None = None, path: str | None = None) -> list[RequestEntry]:
        """Return the request log: calls of this method, whose path ends like this."""
        return [
            entry
            for entry in self.front.log
            if method in {None, entry.method} and (path is None or entry.path.endswith(path))
        ]

    def clear_log(self) -> None:
        """Forget logged requests and webhooks."""
        self.front.log.clear()
        self.outbox.log.clear()

    def bookings(self, email: str | None = None, *, tenant_id: int | None = None) -> list[Booking]:
        """Return the bookings, those with this e-mail address among their contacts."""
        return [
            one
            for one in self.tenant(tenant_id).bookings.values()
            if email is None or any(it.value.casefold() == email.casefold() for it in one.contacts)
        ]

    # What the others stand on

    def tenant(self, tenant_id: int | None = None) -> Tenant:
        """Return a tenant, the first by default."""
        return next(iter(self.state.tenants.values())) if tenant_id is None else self.state.tenants[tenant_id]

    def _named(self, kind: str, counter: str, first: int, name: str, tenant_id: int | None) -> Named:
        now = self.now()
        made = Named(self.state.next_id(counter, first), name, now, now)
        rows: dict[int, Named] = getattr(self.tenant(tenant_id), kind)
        rows[made.id] = made
        return made

    def _job(self, tenant: Tenant, customer: int, more: Json) -> Job:
        now = self.now()
        job = Job(self.state.next_id("job", 8001), customer, now, now, **more)
        tenant.jobs[job.id] = job
        tenant.invoices[job.id] = Invoice(job.id, job.id, now, now)
        return job


COMMANDS = frozenset(name for name in {**vars(FaultControls), **vars(Controls)} if not name.startswith("_")) - {
    "front",
    "tenant",
}
