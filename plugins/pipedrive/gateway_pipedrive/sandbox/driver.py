"""The sandbox's side of the conformance suite: what people do in Pipedrive, and what Pipedrive does by itself.

See ``gateway.testing.driver`` for what each part is for.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

import httpx

from gateway_pipedrive.sandbox.app import Sandbox, create_sandbox
from gateway_pipedrive.sandbox.errors import scope_missing, unauthorized
from gateway_pipedrive.sandbox.state import Deal, Lead, Person
from gateway_schemas.base import Money
from gateway_schemas.records import RecordRef

API_URL = "https://acme.pipedrive.com"
HOSTS = ("acme.pipedrive.com", "oauth.pipedrive.com")
WORTH = Money(amount=Decimal("1234.56"), currency="USD")
"""What deals are worth that people work on."""

_DEAL_FIELDS = {"contact": "person", "lead": "deal", "deal": "deal"}


class PipedriveDriver:
    """One company in a sandbox; ``sandbox`` has more hands than the suite needs."""

    hosts: Sequence[str] = HOSTS
    exempt: Mapping[str, str] = {}
    page_size = 500
    contact_page = 500
    proof_headers: Sequence[str] = ("authorization",)
    signs_body = False

    def __init__(self, sandbox: Sandbox) -> None:
        self.sandbox = sandbox
        self.transport = sandbox.transport()
        self._made = 0

    @property
    def identity(self) -> str:
        """The company's id."""
        return str(self.sandbox.company().id)

    def environ(self) -> Mapping[str, str]:
        """Return the app's client id and secret."""
        return {
            "GATEWAY_PIPEDRIVE_CLIENT_ID": self.sandbox.client_id,
            "GATEWAY_PIPEDRIVE_CLIENT_SECRET": self.sandbox.client_secret,
        }

    # --- connecting ---

    async def authorise(self, url: str, browser: httpx.AsyncClient, *, allow: bool) -> httpx.Response:
        """Click on the consent page, and follow the way back."""
        answered = await browser.get(f"{url}&decision={'allow' if allow else 'deny'}")
        return await browser.get(answered.headers["location"])

    def step_values(self, step: str) -> Mapping[str, str]:
        """There are no forms."""
        raise NotImplementedError("Pipedrive is connected by OAuth alone, there is no form.")

    def wrong_values(self, step: str) -> Mapping[str, Mapping[str, str]]:
        """There are no forms."""
        raise NotImplementedError("Pipedrive is connected by OAuth alone, there is no form.")

    def expire_token(self) -> None:
        """Let access tokens end."""
        self.sandbox.expire_tokens()

    def registered(self) -> Sequence[str]:
        """List subscriptions, and refresh tokens of installations that live."""
        tokens = {
            id(token.installation)
            for token in self.sandbox.state.refresh_tokens.values()
            if token.installation.is_alive and not token.is_revoked
        }
        webhooks = [f"webhook for {one.event_object}" for one in self.sandbox.subscriptions()]
        return sorted([*webhooks, *("authorisation" for _ in tokens)])

    # --- refusing ---

    def answer(self, status: int) -> httpx.Response:
        """Return Pipedrive's answer with this status (``VENDOR.md``, chapters 3 and 4)."""
        match status:
            case 401:
                return httpx.Response(401, json=unauthorized().body)
            case 403:
                return httpx.Response(403, json=scope_missing().body)
            case 429:
                body = {"success": False, "error": "request over limit", "errorCode": 429}
                return httpx.Response(429, json=body, headers={"retry-after": "2", "x-ratelimit-remaining": "0"})
        return httpx.Response(status, json={"success": False, "error": "Service Unavailable", "code": "ERR_UNKNOWN"})

    # --- lists ---

    def make_fields(self, record_kind: str, number: int) -> Sequence[str]:
        """Make custom fields of persons or deals; leads have those of deals."""
        if record_kind not in _DEAL_FIELDS:
            raise NotImplementedError("Notes have no custom fields in Pipedrive.")
        entity: Any = _DEAL_FIELDS[record_kind]
        return [self.sandbox.add_field(entity, f"Extra {self._next()}").name for _ in range(number)]

    def make_options(self, source: str, number: int) -> Sequence[str]:
        """Make pipelines, stages, filters or users."""
        names = [f"Extra {self._next()}" for _ in range(number)]
        match source:
            case "pipelines":
                return [str(self.sandbox.add_pipeline(name, ["New"]).id) for name in names]
            case "stages":
                pipeline = self.sandbox.company().default_pipeline().id
                return [str(self.sandbox.add_stage(pipeline, name).id) for name in names]
            case "filters":
                return [str(self.sandbox.add_filter(name).id) for name in names]
            case "users":
                return [str(self.sandbox.add_user(name).id) for name in names]
        raise NotImplementedError("Pipedrive's list of currencies is its own.")

    # --- signups ---

    def setup(self, target: str) -> Mapping[str, Any]:
        """Nothing is needed beside the suggested mapping: the company has the fields for referrals."""
        return {}

    def records(self, email: str) -> Sequence[RecordRef]:
        """List persons with this address, and their leads and deals."""
        found = self.sandbox.snapshot()
        people = {one.id for one in found["person"] if _has(one, email)}
        contacts = [RecordRef(kind="contact", id=str(one)) for one in people]
        leads = [RecordRef(kind="lead", id=one.id) for one in found["lead"] if one.person_id in people]
        deals = [RecordRef(kind="deal", id=str(one.id)) for one in found["deal"] if one.person_id in people]
        return contacts + leads + deals

    # --- changes ---

    def parameters(self, trigger: str) -> Mapping[str, str]:
        """Return the third stage of the pipeline, where a stage is asked for."""
        if not trigger.endswith("stage"):
            return {}
        pipeline, stage = self._pipeline(2)
        return {"pipeline": str(pipeline), "stage": str(stage)}

    async def reach(self, trigger: str, target: str, email: str) -> None:
        """Convert the lead, move the deal, win it, as the trigger says; a contact gets a deal first."""
        person = next(one for one in self.sandbox.snapshot()["person"] if _has(one, email))
        deal = self._deal(target, person)
        self.sandbox.update_deal(deal.id, value=float(WORTH.amount), currency=WORTH.currency)
        if trigger.endswith("stage"):
            self.sandbox.move_deal(deal.id, self._pipeline(2)[1])
        if trigger.endswith("won"):
            self.sandbox.win_deal(deal.id)

    def worth(self, trigger: str, target: str) -> tuple[str, str, Money] | None:
        """Every deal has a value."""
        return "deal", "value", WORTH

    async def deliver(self) -> int:
        """Send the webhooks that are due."""
        return len(await self.sandbox.deliver_webhooks())

    def set_app_url(self, url: str) -> None:
        """The one call for the app, an uninstall, goes to the callback URL."""

    async def call_app(self) -> None:
        """Uninstall the app, as a customer does in Pipedrive."""
        await self.sandbox.uninstall()

    # --- contacts ---

    def contacts(self) -> Mapping[str, str | None]:
        """Return the living persons."""
        people = self.sandbox.snapshot()["person"]
        return {str(one.id): next((entry["value"] for entry in one.emails), None) for one in people}

    def add_contact(self, email: str) -> str:
        """Add a person."""
        return str(self.sandbox.add_person(f"Extra {self._next()}", email).id)

    def edit_contact(self, contact: str) -> None:
        """Rename a person."""
        self.sandbox.update_person(int(contact), name=f"Renamed {self._next()}")

    def delete_contact(self, contact: str) -> None:
        """Delete a person."""
        self.sandbox.delete_person(int(contact))

    # --- helpers ---

    def _deal(self, target: str, person: Person) -> Deal:
        found = self.sandbox.snapshot()
        if target == "contact":
            return self.sandbox.add_deal("Later business", person_id=person.id)
        if target == "lead":
            lead: Lead = next(one for one in found["lead"] if one.person_id == person.id)
            return self.sandbox.convert_lead(lead.id)
        deal: Deal = next(one for one in found["deal"] if one.person_id == person.id)
        return deal

    def _pipeline(self, number: int) -> tuple[int, int]:
        """Return the default pipeline and its stage of this number, from 0; stages are made where there are fewer."""
        company = self.sandbox.company()
        pipeline = company.default_pipeline().id
        while len(company.stages_of(pipeline)) <= number:
            self.sandbox.add_stage(pipeline, f"Stage {self._next()}")
        return pipeline, company.stages_of(pipeline)[number].id

    def _next(self) -> int:
        self._made += 1
        return self._made


def _has(person: Person, email: str) -> bool:
    return email in {entry["value"].lower() for entry in person.emails}


def driver(
    *, clock: Callable[[], datetime], http: httpx.AsyncClient, gateway_url: str, **options: Any
) -> PipedriveDriver:
    """Return the driver of a fresh sandbox with one company; ``options`` are those of ``create_sandbox``."""
    callback_url = f"{gateway_url}/v1/oauth/pipedrive/callback"
    return PipedriveDriver(
        create_sandbox(clock=clock, base_url=API_URL, http=http, callback_url=callback_url, **options)
    )
