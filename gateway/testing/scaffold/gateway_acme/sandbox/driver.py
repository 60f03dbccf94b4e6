"""The sandbox's side of the conformance suite: what people do in Acme, and what Acme does by itself."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

import httpx

from gateway_acme.sandbox.serving import VendorTransport
from gateway_acme.sandbox.vendor import PAGE, Vendor
from gateway_schemas.base import Money
from gateway_schemas.records import RecordRef

STAGE = 2
"""The stage that rules of the suite ask for, counted from 0."""
WORTH = Money(amount=Decimal("1234.56"), currency="USD")
"""What deals are worth that people work on: with cents, and in another currency than the tenant's."""


class AcmeDriver:
    """One tenant; see ``gateway.testing.driver`` for what each part is for."""

    hosts: Sequence[str] = ("api.acme.example", "login.acme.example")
    exempt: Mapping[str, str] = {}
    page_size = PAGE
    contact_page = PAGE
    proof_headers: Sequence[str] = ("x-acme-signature",)
    signs_body = True

    def __init__(self, vendor: Vendor) -> None:
        self.vendor = vendor
        self.transport = VendorTransport(vendor)

    @property
    def identity(self) -> str:
        """The tenant id."""
        return self.vendor.tenant

    def environ(self) -> Mapping[str, str]:
        """The default URLs are the sandbox's."""
        return {}

    async def authorise(self, url: str, browser: httpx.AsyncClient, *, allow: bool) -> httpx.Response:
        """There is no page to click on."""
        raise NotImplementedError("Acme is connected by forms.")

    def step_values(self, step: str) -> Mapping[str, str]:
        """Return the right values."""
        if step == "tenant":
            return {"tenant": self.vendor.tenant}
        return {"client_id": self.vendor.client_id, "client_secret": self.vendor.client_secret}

    def wrong_values(self, step: str) -> Mapping[str, Mapping[str, str]]:
        """Return forms with one wrong field."""
        right = self.step_values(step)
        if step == "tenant":
            return {"tenant": {"tenant": "not a number"}}
        return {key: {**right, key: "wrong"} for key in right}

    def expire_token(self) -> None:
        """Let all tokens end."""
        self.vendor.tokens.clear()

    def registered(self) -> Sequence[str]:
        """List subscriptions."""
        return [f"webhook to {row['url']}" for row in self.vendor.rows["webhooks"].values()]

    def answer(self, status: int) -> httpx.Response:
        """Return an error as Acme has it."""
        headers = {"retry-after": "2"} if status == 429 else {}
        return httpx.Response(status, json={"error": f"refused with {status}"}, headers=headers)

    def make_fields(self, record_kind: str, number: int) -> Sequence[str]:
        """Make custom fields."""
        return [self.vendor.add_field(record_kind, f"Extra {n}")["label"] for n in range(number)]

    def make_options(self, source: str, number: int) -> Sequence[str]:
        """Make stages."""
        return [self.vendor.add(source, {"name": f"Extra {n}"})["id"] for n in range(number)]

    def setup(self, target: str) -> Mapping[str, Any]:
        """The suggested mapping is enough."""
        return {}

    def records(self, email: str) -> Sequence[RecordRef]:
        """List contacts with this address and their deals."""
        contacts = [key for key, row in self.vendor.rows["contacts"].items() if row["email"] == email]
        deals = [key for key, row in self.vendor.rows["deals"].items() if row["contact"] in contacts]
        return [RecordRef(kind="contact", id=key) for key in contacts] + [
            RecordRef(kind="deal", id=key) for key in deals
        ]

    def parameters(self, trigger: str) -> Mapping[str, str]:
        """Return the stage."""
        return {"stage": list(self.vendor.rows["stages"])[STAGE]} if trigger == "deal_stage" else {}

    async def reach(self, trigger: str, target: str, email: str) -> None:
        """Win the deal, or move it."""
        deal = next(ref.id for ref in self.records(email) if ref.kind == "deal")
        self.vendor.change("deals", deal, value=float(WORTH.amount), currency=WORTH.currency)
        if trigger == "deal_won":
            self.vendor.change("deals", deal, state="won")
        else:
            self.vendor.change("deals", deal, stage=self.parameters(trigger)["stage"])

    def worth(self, trigger: str, target: str) -> tuple[str, str, Money] | None:
        """Every deal has a value."""
        return "deal", "value", WORTH

    async def deliver(self) -> int:
        """Send webhooks."""
        return await self.vendor.deliver()

    def set_app_url(self, url: str) -> None:
        """There are no calls for the app as a whole."""

    async def call_app(self) -> None:
        """There are no calls for the app as a whole."""
        raise NotImplementedError("Acme makes no calls for the app as a whole.")

    def contacts(self) -> Mapping[str, str | None]:
        """Return the contacts."""
        return {key: row["email"] for key, row in self.vendor.rows["contacts"].items()}

    def add_contact(self, email: str) -> str:
        """Add a contact."""
        return str(self.vendor.add("contacts", {"name": "Extra", "email": email})["id"])

    def edit_contact(self, contact: str) -> None:
        """Rename a contact."""
        self.vendor.change("contacts", contact, name="Renamed")

    def delete_contact(self, contact: str) -> None:
        """Delete a contact."""
        del self.vendor.rows["contacts"][contact]


def driver(*, clock: Callable[[], datetime], http: httpx.AsyncClient, gateway_url: str) -> AcmeDriver:
    """Return the driver of a fresh tenant."""
    return AcmeDriver(Vendor(clock, http))
