"""The CRMs that a run of faults can push into: one class each, over the sandbox behind ``gateway.sandboxes``.

A second CRM needs the methods of ``Crm`` and a line in ``CRMS``; nothing else here names a vendor.
"""

from collections import Counter
from collections.abc import Mapping
from importlib.metadata import entry_points
from typing import Any, Protocol

import httpx

from .history import Record


class Crm(Protocol):
    """One vendor with any number of tenants, one an account.

    Attributes:
        app: Its ASGI application.
        expected: Which record kinds a signup of each role makes.
    """

    app: Any
    expected: dict[str, list[str]]

    def environ(self) -> Mapping[str, str]:
        """Return the plugin's settings that point it at this sandbox."""
        ...

    def set_app_url(self, url: str) -> None:
        """Take the URL for webhooks of all tenants at once, as the operator sets it up; a vendor may need none."""
        ...

    async def connect(self, account: str, next_step: Mapping[str, Any], browser: httpx.AsyncClient) -> None:
        """Make a tenant for an account and do what its administrator clicks on the vendor's page."""
        ...

    def fill_in(self, account: str, step: str) -> Mapping[str, str]:
        """Return what the account's administrator copies into a form of ours; the first form makes the tenant."""
        ...

    def setups(self) -> dict[str, dict[str, Any]]:
        """Return the setup to save for each role; referrals qualify when the customer buys."""
        ...

    def records(self) -> list[Record]:
        """Return all records that stand in all tenants and were not there before."""
        ...

    def buy(self, record: Record) -> None:
        """Let the customer behind a signup's record buy, as the sales people would enter it."""
        ...

    def advance(self, seconds: float) -> None:
        """Move the vendor's clock."""
        ...

    async def aclose(self) -> None:
        """Close its connections."""
        ...

    async def deliver_webhooks(self) -> None:
        """Send the webhooks that are due."""
        ...

    def webhooks_sent(self) -> int:
        """Return how many were sent so far, repeats included."""
        ...

    def webhook_chaos(self, *, copies: int, newest_first: bool, drop: int) -> None:
        """Send each webhook several times, in another order, and lose the next few; no more of those of before."""
        ...


class Sandboxed:
    """What the sandboxes have in common."""

    sandbox: Any

    def advance(self, seconds: float) -> None:
        self.sandbox.advance(seconds)

    async def aclose(self) -> None:
        await self.sandbox.aclose()

    async def deliver_webhooks(self) -> None:
        await self.sandbox.deliver_webhooks()

    def webhooks_sent(self) -> int:
        return len(self.sandbox.webhooks())

    def webhook_chaos(self, *, copies: int, newest_first: bool, drop: int) -> None:
        self.sandbox.webhook_chaos(copies=copies, newest_first=newest_first)
        self.sandbox.outbox.drop_next = drop


class Pipedrive(Sandboxed):
    """The Pipedrive sandbox with a company for each account; signups become a contact and a lead."""

    expected = {"referred": ["contact", "lead"], "referrer": ["contact"]}

    def __init__(self, base_url: str, callback_url: str, **options: Any) -> None:
        module = next(iter(entry_points(group="gateway.sandboxes", name="pipedrive"))).load()
        options = {"seed": False, **options}
        self.sandbox = module.create_sandbox(base_url=base_url, callback_url=callback_url, **options)
        self._base_url = base_url
        self.app = self.sandbox.app
        self._companies: dict[str, Any] = {}
        self._before: set[tuple[str, str, str]] = set()

    def environ(self) -> Mapping[str, str]:
        return {
            "GATEWAY_PIPEDRIVE_CLIENT_ID": self.sandbox.client_id,
            "GATEWAY_PIPEDRIVE_CLIENT_SECRET": self.sandbox.client_secret,
            "GATEWAY_PIPEDRIVE_OAUTH_URL": self._base_url,
            "GATEWAY_PIPEDRIVE_API_URL": self._base_url,
        }

    def set_app_url(self, url: str) -> None:
        """The gateway subscribes to each company's webhooks by itself."""

    def fill_in(self, account: str, step: str) -> Mapping[str, str]:
        raise NotImplementedError("Pipedrive is connected on its own page")

    async def connect(self, account: str, next_step: Mapping[str, Any], browser: httpx.AsyncClient) -> None:
        demo = self.sandbox.demo_company(account.title(), account)
        demo.company.plan, demo.company.daily_budget = "Ultimate", 500_000_000
        self._companies[account] = demo.company
        self._before |= {(one.account, one.kind, one.id) for one in self._all() if one.account == account}
        page = await browser.get(f"{next_step['url']}&decision=allow&user_id={demo.admin.id}")
        back = await browser.get(page.headers["location"])
        if back.is_error:
            raise RuntimeError(f"the gateway refused the authorisation: {back.status_code} {back.text}")

    def setups(self) -> dict[str, dict[str, Any]]:
        return {
            "referrer": {"target": "contact", "use_suggested": True},
            "referred": {"target": "lead", "use_suggested": True, "qualification": {"trigger": "lead_converted"}},
        }

    def _all(self) -> list[Record]:
        found = []
        for account, company in self._companies.items():
            converted = {deal.source_lead_id for deal in company.deals.values()}
            found += [
                Record(account=account, kind="contact", id=str(one.id), belongs=one.emails[0]["value"])
                for one in company.persons.values()
                if not one.is_deleted and one.emails
            ]
            # a lead that was converted is deleted at the vendor; its signup had it all the same
            found += [
                Record(account=account, kind="lead", id=one.id, belongs=one.origin_id or "")
                for one in company.leads.values()
                if not one.is_deleted or one.id in converted
            ]
        return found

    def records(self) -> list[Record]:
        return [one for one in self._all() if (one.account, one.kind, one.id) not in self._before]

    def buy(self, record: Record) -> None:
        self.sandbox.convert_lead(record.id, company_id=self._companies[record.account].id)

    # --- contacts, for a sync ---

    def add_contacts(self, account: str, number: int) -> None:
        """Put contacts into an account's company, as many as that; nobody is told."""
        company = self._companies[account]
        kept, self.sandbox.state.subscriptions = self.sandbox.state.subscriptions, {}
        for one in range(number):
            self.sandbox.add_person(f"Contact {one}", f"c{one}@many.example", company_id=company.id)
        self.sandbox.state.subscriptions = kept

    def contacts(self, account: str) -> dict[str, dict[str, Any]]:
        """Return what an account's contacts with an address hold, by id: ``email``, and each custom field."""
        return {
            str(one.id): {"email": one.emails[0]["value"].lower(), **one.custom_fields}
            for one in self._companies[account].persons.values()
            if not one.is_deleted and one.emails
        }

    def contact_writes(self, field: str) -> Counter[str]:
        """Return how often each contact was given a value of a field by a call that was done, by id."""
        done = [one for one in self.sandbox.requests(method="PATCH", body_contains=field) if one.status < 300]
        return Counter(one.path.rpartition("/")[2] for one in done if "/persons/" in one.path)


class ServiceTitan(Sandboxed):
    """The ServiceTitan sandbox with a tenant for each account; signups become a booking, found by its external id.

    Every second tenant has closed its search of contacts, so that signups there wait for the index of contacts. A new
    booking is listed as late as the run's search lags.
    """

    expected = {"referred": ["booking"], "referrer": ["booking"]}
    webhook_key = "key-of-a-run-of-faults-0123456789"

    def __init__(self, base_url: str, callback_url: str, *, search_lag: float = 0.0, **options: Any) -> None:
        del callback_url  # nobody is sent back
        module = next(iter(entry_points(group="gateway.sandboxes", name="servicetitan"))).load()
        options = {"seed": False, "search_lag": search_lag, "list_lag": search_lag, **options}
        self.sandbox = module.create_sandbox(base_url=base_url, **options)
        self._base_url = base_url
        self.app = self.sandbox.app
        self._tenants: dict[str, Any] = {}

    def environ(self) -> Mapping[str, str]:
        return {
            "GATEWAY_SERVICETITAN_APP_KEY": self.sandbox.app_key,
            "GATEWAY_SERVICETITAN_AUTH_URL": self._base_url,
            "GATEWAY_SERVICETITAN_API_URL": self._base_url,
            "GATEWAY_SERVICETITAN_WEBHOOK_KEY": self.webhook_key,
        }

    def set_app_url(self, url: str) -> None:
        self.sandbox.subscribe(url, self.webhook_key)

    async def connect(self, account: str, next_step: Mapping[str, Any], browser: httpx.AsyncClient) -> None:
        raise NotImplementedError("ServiceTitan is connected by forms")

    def fill_in(self, account: str, step: str) -> Mapping[str, str]:
        if step == "tenant":
            tenant = self._tenants[account] = self.sandbox.add_tenant(account.title())
            self.sandbox.close_contact_search(is_open=len(self._tenants) % 2 == 1, tenant_id=tenant.id)
            return {"tenant": str(tenant.id)}
        access = self.sandbox.connect_app(tenant_id=self._tenants[account].id)
        return {
            "client_id": access.client_id,
            "client_secret": access.client_secret,
            "booking_provider": str(access.provider),
        }

    def setups(self) -> dict[str, dict[str, Any]]:
        booking = {
            "target": "booking",
            "use_suggested": True,
            "defaults": [{"record_kind": "booking", "field": "isFirstTimeClient", "value": True}],
            # the suggested code says whose signup a booking is to people only
            "mapping": [{"record_kind": "booking", "field": "externalId", "source": "person.id"}],
        }
        rule = {"trigger": "job_status", "parameters": {"status": "Completed"}}
        return {"referrer": booking, "referred": {**booking, "qualification": rule}}

    def records(self) -> list[Record]:
        # those who signed up to share did so while the run was set up, and are no part of it
        return [
            Record(account=account, kind="booking", id=str(one.id), belongs=one.body["externalId"])
            for account, tenant in self._tenants.items()
            for one in tenant.bookings.values()
            if not any(contact.value == f"rita@{account}.example" for contact in one.contacts)
        ]

    def buy(self, record: Record) -> None:
        # The household is a customer already, under an address of its own: were the booking's address a customer's
        # from now on, its signup to the other campaign would rightly get no booking, and could not be told from a loss.
        number = self._tenants[record.account].id
        household = self.sandbox.add_customer("The household", f"home-{record.id}@example.com", tenant_id=number)
        job = self.sandbox.convert_booking(int(record.id), household.id, tenant_id=number)
        self.sandbox.set_job_status(job.id, "Completed", tenant_id=number)


CRMS: dict[str, type[Crm]] = {"pipedrive": Pipedrive, "servicetitan": ServiceTitan}
