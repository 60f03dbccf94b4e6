"""The sandbox's part of ``gateway demo``: find the values of the connect forms, then book and complete a job."""

from collections.abc import AsyncIterator, Mapping
from typing import Any

import httpx

from gateway_servicetitan.sandbox.app import Sandbox, create_sandbox

WEBHOOK_KEY = "0123456789abcdef0123456789abcdef"


class Story:
    """A seeded tenant whose people book a job for a referred customer and do it."""

    title = "ServiceTitan: a booking becomes a job, and the job is completed"
    account: Mapping[str, str] = {"currency": "USD", "country": "US"}
    phone = "(818) 555-0111"

    def __init__(self, base_url: str) -> None:
        self._base_url = base_url
        self._sandbox: Sandbox = create_sandbox(auto_deliver=True)
        self._sandbox.tenant().added = False
        self._told_calls = 0
        self._told_webhooks = 0
        self.app = self._sandbox.app

    def environ(self) -> Mapping[str, str]:
        """Return the plugin's settings that point it at this sandbox."""
        return {
            "GATEWAY_SERVICETITAN_APP_KEY": self._sandbox.app_key,
            "GATEWAY_SERVICETITAN_AUTH_URL": self._base_url,
            "GATEWAY_SERVICETITAN_API_URL": self._base_url,
            "GATEWAY_SERVICETITAN_WEBHOOK_KEY": WEBHOOK_KEY,
        }

    async def connect(self, next_step: Mapping[str, Any], browser: httpx.AsyncClient) -> None:
        """ServiceTitan has no page to be sent to."""
        raise NotImplementedError("ServiceTitan is connected by forms, there is no page to be sent to")

    def fill_in(self, step: str) -> Mapping[str, str]:
        """Look the values up under API Application Access; for the last form the app is allowed there first."""
        if step == "tenant":
            return {"tenant": str(self._sandbox.tenant().id)}
        access = self._sandbox.connect_app()
        return {
            "client_id": access.client_id,
            "client_secret": access.client_secret,
            "booking_provider": str(access.provider),
        }

    def let_in(self) -> str:
        """Add the tenant to the app in the developer portal."""
        tenant = self._sandbox.tenant()
        self._sandbox.add_to_app(tenant.id)
        return f"adds tenant {tenant.id} to the app in the developer portal"

    def set_app_url(self, url: str) -> None:
        """Set up the app's webhooks in the developer portal."""
        self._sandbox.subscribe(url, WEBHOOK_KEY)

    def setups(self) -> dict[str, dict[str, Any]]:
        """Return the setup to save for each role: bookings for both, a completed job qualifies."""
        first = {"record_kind": "booking", "field": "isFirstTimeClient", "value": "Yes"}
        booking = {"target": "booking", "use_suggested": True, "defaults": [first]}
        rule = {"trigger": "job_status", "parameters": {"status": "Completed"}, "reverse": "until_issued"}
        sale = {"record_kind": "job", "field": "total"}
        return {"referrer": booking, "referred": {**booking, "qualification": rule, "sale_value": sale}}

    async def customer_buys(self, email: str, value: int) -> AsyncIterator[str]:
        """Book a job from the booking of this e-mail, do it, and charge for it."""
        tenant = self._sandbox.tenant()
        booking = self._sandbox.bookings(email)[-1]
        job = self._sandbox.convert_booking(booking.id)
        yield f"{tenant.name} books job {job.id} from booking {booking.id} of {booking.body['name']}"
        self._sandbox.set_job_status(job.id, "InProgress")
        yield "a technician is on the way: the job is in progress"
        self._sandbox.set_job_total(job.id, value)
        self._sandbox.set_job_status(job.id, "Completed")
        yield f"the job is completed at {value} USD"

    def fill_contacts(self, number: int) -> str:
        """Put more customers into the CRM, and say so."""
        for one in range(1, number + 1):
            self._sandbox.add_customer(f"Customer {one}", f"customer{one}@customer.test")
        return f"{number} more customers are in the CRM"

    def contact_shows(self, email: str, label: str) -> str | None:
        """Return nothing: ServiceTitan takes no links back."""
        return None

    def calls(self) -> list[str]:
        """Return the calls taken since the last time."""
        new, self._told_calls = self._sandbox.front.log[self._told_calls :], len(self._sandbox.front.log)
        return [f"{one.method} {one.path} → {one.status}" for one in new]

    def webhooks(self) -> list[str]:
        """Return the webhooks sent since the last time."""
        log = self._sandbox.webhooks()
        new, self._told_webhooks = log[self._told_webhooks :], len(log)
        return [f"{one.payload['type']} → {one.status}" for one in new]


def story(base_url: str, callback_url: str) -> Story:
    """Return the story of this sandbox, served under ``base_url``; nobody is sent back to a callback URL."""
    del callback_url
    return Story(base_url)
